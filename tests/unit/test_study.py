"""Studies without running one: the arithmetic of their tables by hand, and what their recipes refuse."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import RootModel

from babelweave.errors import UsageError
from babelweave.recipe import dump_recipe
from babelweave.records import Scores
from babelweave.study.models import Models
from babelweave.study.recipe import load_study, merged, training_tables
from babelweave.study.shifts import Condition
from babelweave.study.starts import changed, read_start
from babelweave.study.summary import (
    SHIFTED,
    Measured,
    Row,
    compared,
    drop,
    figures,
    spared,
    worst_language,
    worst_shift,
)
from tiny_study import ADJUSTED, write_study_files

CLEAN, SWAPPED, CASE = Condition("clean", 0), Condition("swapped", 3), Condition("case", 1)
M = "RR@10"


def scores(*values: float) -> Scores:
    return Scores(M, tuple(f"q{i}" for i in range(len(values))), np.array(values))


def measured(*arms: tuple[str, Sequence[dict[str, Scores]]]) -> Measured:
    rows = [Row(label, "start", arms[0][0]) for label, _ in arms]
    found = {
        (label, condition, M): subsets
        for label, own in arms
        for condition, subsets in zip((CLEAN, SWAPPED, CASE), own, strict=True)
    }
    return Measured(rows, [CLEAN, SWAPPED, CASE], found)


def test_drop_and_worst_by_hand() -> None:
    found = measured(
        (
            "a",
            [
                {"en-de": scores(1.0, 0.5), "en-es": scores(1.0, 0.0)},  # 0.75, 0.5: 0.625
                {"en-de": scores(0.5, 0.5), "en-es": scores(0.0, 0.0)},  # 0.5, 0: 0.25
                {"en-de": scores(0.0, 0.5), "en-es": scores(0.5, 0.5)},  # 0.25, 0.5: 0.375
            ],
        )
    )
    assert found.columns == ["clean", "shifted", "swapped 3", "case 1"]
    assert found.mean("a", "clean", M) == 0.625
    assert found.mean("a", SHIFTED, M) == 0.3125  # (0.5 + 0 + 0.25 + 0.5) / 4
    assert found.estimate("a", SHIFTED, M).mean == 0.3125
    assert drop(found, "a", M) == 0.3125
    assert worst_language(found, "a", M) == ("es", 0.25)  # de: (0.5 + 0.25) / 2 = 0.375
    assert worst_shift(found, "a", M) == ("swapped 3", 0.25)
    assert figures(found, "a", M) == {
        "means": {"clean": 0.625, "shifted": 0.3125, "swapped 3": 0.25, "case 1": 0.375},
        "drop": 0.3125,
        "worst_language": {"name": "es", "mean": 0.25},
        "worst_shift": {"name": "swapped 3", "mean": 0.25},
    }


def test_a_pool_of_many_languages_is_asked_in_each_of_them() -> None:
    """de: (0.5 + (0.25 + 0.75) / 2) / 2 = 0.5; es: 0.25, in the pool alone."""
    pooled = Scores(M, ("de-q0", "de-q1", "es-q0"), np.array([0.25, 0.75, 0.25]))
    clean = {"en-de": scores(1.0)}
    found = measured(("a", [clean, {"en-de": scores(0.5)}, {"pooled": pooled}]))
    assert worst_language(found, "a", M) == ("es", 0.25)


def test_questions_are_clusters_and_holm_is_over_the_table() -> None:
    """Six questions, all better by 0.5 in some conditions: 2 of 64 flips are as far, p = 0.03125."""
    low, high = scores(*[0.0] * 6), scores(*[0.5] * 6)
    found = measured(
        ("a", [{"en-de": low, "en-es": low}, {"en-de": low}, {"en-de": low}]),
        ("b", [{"en-de": high, "en-es": high}, {"en-de": high}, {"en-de": low}]),
    )
    rows = compared(found, M)
    assert [(row.arm, row.comparison.family) for row in rows] == [
        ("b", over) for over in ("clean", "shifted", "swapped 3", "case 1")
    ]
    tests = {row.comparison.family: row.comparison for row in rows}
    assert tests["clean"].n_clusters == 6
    assert tests["clean"].n_rows == 12
    assert tests["shifted"].difference == 0.25  # (0.5 + 0) / 2
    assert tests["shifted"].n_clusters == 6
    assert [row.comparison.p_randomisation for row in rows] == [0.03125, 0.03125, 0.03125, 1.0]
    # the smallest times 4; the next ones times 3 and 2 may not be below it; the last times 1
    assert [row.comparison.p_adjusted for row in rows] == [0.125, 0.125, 0.125, 1.0]


def test_what_is_gained_everywhere_is_not_spared() -> None:
    """b is better by 0.25 clean and swapped, and by 0.5 in case 1: nothing spared there but the last 0.25."""
    low = scores(*[0.25] * 6)
    found = measured(
        ("a", [{"en-de": low}] * 3),
        ("b", [{"en-de": scores(*[0.5] * 6)}, {"en-de": scores(*[0.5] * 6)}, {"en-de": scores(*[0.75] * 6)}]),
    )
    rows = spared(found, M)
    assert [(row.arm, row.comparison.family) for row in rows] == [
        ("b", over) for over in ("shifted", "swapped 3", "case 1")
    ]
    assert [row.comparison.difference for row in rows] == pytest.approx([0.125, 0.0, 0.25])
    assert [row.comparison.p_adjusted for row in rows] == [0.09375, 1.0, 0.09375]  # 2 of 64 flips, times 3
    assert (rows[2].comparison.mean_a, rows[2].comparison.mean_b) == pytest.approx((0.25, 0.5))
    from_swapped = Measured(found.rows, found.conditions, found.scores, {"case 1": "swapped 3"})
    assert [row.comparison.difference for row in spared(from_swapped, M)] == pytest.approx([0.125, 0.0, 0.25])
    harder = {**found.scores, ("b", SWAPPED, M): {"en-de": low}}
    from_swapped = Measured(found.rows, found.conditions, harder, {"case 1": "swapped 3"})
    assert [row.comparison.difference for row in spared(from_swapped, M)] == pytest.approx([0.0, -0.25, 0.5])


def test_a_start_without_the_reference_is_not_tested() -> None:
    own = [{"en-de": scores(1.0)}] * 3
    found = measured(("a", own), ("b", own))
    rows = [Row("a", "x", "a"), Row("b", "y", None)]
    assert compared(Measured(rows, found.conditions, found.scores), M) == []


def test_tables_over_tables() -> None:
    base = {"a": {"b": 1, "c": [1, 2]}, "d": 1}
    assert merged(base, {"a": {"c": [3]}, "e": {"f": 2}}) == {"a": {"b": 1, "c": [3]}, "d": 1, "e": {"f": 2}}
    assert base == {"a": {"b": 1, "c": [1, 2]}, "d": 1}


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_study_files(tmp_path_factory.mktemp("study"))


def test_arms_profiles_and_overrides(recipe: Path, tmp_path: Path) -> None:
    study = load_study(recipe)
    labels = ["start", "start+woven", "plain", "plain+woven", "augmented", "vat"]
    assert [arm.label for arm in study.rows] == labels
    quick = load_study(recipe, ["benchmark.questions=3"], profile="quick")
    assert [arm.label for arm in quick.rows] == labels[:4]
    assert (quick.seeds, quick.benchmark.questions, [s.name for s in quick.shifts]) == ((7,), 3, ["german"])
    (tmp_path / "resolved.toml").write_text(dump_recipe(quick), encoding="utf-8")
    assert load_study(tmp_path / "resolved.toml") == quick


def test_the_tables_of_a_training(recipe: Path) -> None:
    study = load_study(recipe)
    arm = next(arm for arm in study.rows if arm.name == "augmented")
    found = training_tables(study, arm, base="b", seed=1, generated="g")
    assert found["model"] == {
        "pooling": "mean",
        "max_tokens_query": 12,
        "max_tokens_passage": 12,
        "base": "b",
    }
    assert found["optimisation"]["seed"] == 1
    assert found["weaving"] == {"missing": "plain", "per_step": 1, "generated": "g", "ids": "text"}


def test_models_are_shared_by_what_decides_them(recipe: Path) -> None:
    """Starts that are the same encoder train the same model; another seed, arm or start another one."""
    base = json.dumps(str(recipe.parent / "base"))
    made = recipe.with_name("made.toml")
    tables = load_study(recipe).training
    training = {
        **tables,
        "kind": "retriever",
        "model": {**tables["model"], "base": str(recipe.parent / "base")},
    }
    made.write_text(dump_recipe(RootModel[dict[str, Any]](training)), encoding="utf-8")
    starts = f"starts=[{{name='a'}}, {{name='b', model={base}}}, {{name='c', recipe='made.toml'}}]"
    study = load_study(recipe, [starts])
    models = Models(study, ["de", "en"])
    found = {(arm.label, seed): models.of(arm, seed) for arm in study.rows for seed in study.seeds}
    assert found["a/plain", 0] is found["a/plain+woven", 0] is found["b/plain", 0]
    assert found["a/start", 0] is found["a/start+woven", 1]
    keys = {found[label, seed].key for label in ("a/plain", "a/vat", "c/plain") for seed in (0, 1)}
    assert len(keys) == 6
    assert [m.label for m in found["c/plain", 1].lineage()] == ["start c", "c/plain, seed 1"]
    assert [m.label for m in found["c/start", 1].lineage()] == ["start c"]
    assert found["a/start", 0].lineage() == []
    assert len(models.written) == 1, "one file of queries serves all arms that weave"


def test_the_packaged_study() -> None:
    study = load_study("robustness")
    adversaries = {
        adversary["name"] for arm in study.arms for adversary in (arm.train or {}).get("adversaries", ())
    }
    assert len(adversaries) == 9
    names = {arm.name for arm in study.rows}
    assert {"plain", "plain+woven", "augmented", "augmented+woven", "vat"} <= names
    assert "augmented-consistency+woven" in names
    assert {start.name for start in study.starts} == {"zero-shot", "fine-tuned"}
    assert len(study.seeds) >= 3
    quick = load_study("robustness", ["start=minilm"], profile="quick")
    assert len({arm.section.name for arm in quick.rows}) >= 4
    assert len(quick.shifts) >= 6
    assert quick.seeds == (0,)


def test_the_packaged_study_of_splits() -> None:
    study = load_study("robustness-splits")
    names = {arm.name for arm in study.rows}
    assert names == {"confusion"} | {
        f"{arm}{weave}{adjust}"
        for arm in ("start", "plain", "augmented", "vat")
        for weave in ("", "+woven")
        for adjust in ("", "~centred", "~erased")
    }
    starts = {start.name: start for start in study.starts}
    assert starts["small"].set == starts["small-without-hi"].set, "they differ in the language alone"
    strengths = [start.train["data"]["provenance"]["strength"] for start in study.starts if start.train]
    assert strengths == [0.0, 0.5, 1.0]
    shares = {shift.name: shift.data.provenance for shift in study.shifts if shift.data}
    assert {name: (p.strength, p.reverse) for name, p in shares.items() if p} == {
        "as trained": (1.0, False),
        "balanced": (0.0, False),
        "reversed": (1.0, True),
    }
    made = read_start(starts["small-without-hi"], None)
    assert "vocabulary.languages.hi" in made.dropped
    assert not any("hi" in part.languages for part in made.recipe.data.sets)  # type: ignore[attr-defined]
    assert "hi" not in made.recipe.vocabulary.languages  # type: ignore[attr-defined]
    assert {p.limit for p in made.recipe.data.sets} == {100, 300, 500, 1000, 3000}  # type: ignore[attr-defined]
    left_out = load_study("robustness-splits", profile="left-out")
    assert left_out.references["small-without-hi/start+woven"] == "small/start"
    assert not any(subset.endswith("-hi") for subset in left_out.benchmark.subsets.split(","))
    provenance = load_study("robustness-splits", profile="provenance")
    assert set(provenance.references.values()) == {"strength-0/plain"}
    quick = load_study("robustness-splits", profile="quick")
    for start in (*study.starts, *quick.starts):
        if start.recipe is not None:
            read_start(start, None)
    assert {start.name for start in quick.starts} == {"mini", "small-without-hi", "strength-1"}
    assert {"plain~centred", "plain+woven~erased", "augmented~erased"} <= {arm.name for arm in quick.rows}


def test_arms_of_every_weave_and_adjustment(recipe: Path) -> None:
    study = load_study(recipe, ADJUSTED)
    assert [(arm.label, arm.training) for arm in study.rows][3:7] == [
        ("start+woven", "start"),
        ("start+woven~centred", "start"),
        ("start+woven~erased", "start"),
        ("plain", "plain"),
    ]


def test_a_change_of_named_parts() -> None:
    tables = {"sets": [{"name": "a", "limit": 1}, {"name": "b", "limit": 1}], "o": {"x": 1, "y": 2}}
    found = changed(tables, {"sets": {"b": {"limit": 9}}, "o": {"y": 3}}, "start s")
    assert found == {"sets": [{"name": "a", "limit": 1}, {"name": "b", "limit": 9}], "o": {"x": 1, "y": 3}}
    assert tables["o"] == {"x": 1, "y": 2}, "what is given stays as it was"
    assert changed(tables, {"sets": [{"name": "c"}]}, "start s")["sets"] == [{"name": "c"}]
    with pytest.raises(UsageError, match="start s: set: no part of sets is called 'bb'"):
        changed(tables, {"sets": {"bb": {}}}, "start s")


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("arms=[{name='plain', train={}, adjust=['centred']}]", "unknown adjustment 'centred'; known: none"),
        ("arms=[{name='plain', train={}, adjust=['none', 'none']}]", "an adjustment stands twice"),
        ("arms=[{name='a~b', train={}}]", "no / or + or ~"),
        ("adjustments=[{name='none', kind='centre', parallel=['tatoeba']}]", "'none' is taken"),
        ("adjustments=[{name='a', kind='center', parallel=['tatoeba']}]", "adjustments.0.kind"),
        ("adjustments=[{name='a', kind='erase', parallel=['tatoba']}]", "did you mean 'tatoeba'"),
        ("adjustments=[{name='a', kind='erase', parallel=['tatoeba'], languages=['de']}]", "de alone"),
        ("starts=[{name='a', without='hi'}]", "without 'hi' goes with recipe"),
        ("starts=[{name='a', set={x=1}}]", "set changes a recipe; give recipe"),
        ("shifts=[{name='a', data={sets=[{relevance='arcd'}], half='train'}}]", 'ask "test"'),
        (
            "training.data.provenance={aligned={en='a'}, strength=1.0, n=5}",
            "aligned has 1 provenance; two are needed",
        ),
        (
            "training.data.provenance={aligned={en='a', de='b'}, strength=1.0, n=5}",
            "aligned names no provenance 'tevatron'",
        ),
        (
            "training.data.provenance={aligned={en='a', de='b'}, of={train='a'}, strength=1.0, n=5}",
            "provenance.of: unknown set 'train'; known: tevatron",
        ),
        ("training.data.provenance={aligned={en='a', de='b'}, strength=1.5, n=5}", "strength"),
        ("reference=plian", "reference: unknown arm 'plian'; did you mean 'plain'"),
        ("reference=tinny/plain", "reference: unknown arm 'tinny/plain'; did you mean 'tiny/plain'"),
        ("seeds=[1, 1]", "one stands twice"),
        ("measures=['RR@1000']", "raise the depth"),
        ("benchmark.name=mlqaa", "benchmark.name"),
        ("benchmark={name='xquad-r', source='x', half='tune'}", "split and half go with mlqa"),
        ("benchmark={name='xor-retrieve', source='x', split='test'}", "split and half go with mlqa"),
        ("benchmark.distractors=-1", "benchmark.distractors"),
        ("starts=[{name='a', model='minilm', recipe='r'}]", "give model or recipe, not both"),
        ("starts=[{name='a/b'}]", "no / or +"),
        ("arms=[{name='plain', train={}, weave=['wove']}]", "unknown weave 'wove'; did you mean 'woven'"),
        ("arms=[{name='plain', train={}, starts=['tiyn']}]", "unknown start 'tiyn'; did you mean 'tiny'"),
        ("arms=[{name='plain', train={}}, {name='b', train={}}]", "arms 'plain' and 'b' are the same"),
        ("arms=[{name='plain', train={}}, {name='plain'}]", "2 arms are called 'plain'"),
        ("arms=[{name='plain', train={model={base='x'}}}]", "the start decides it"),
        ("arms=[{name='plain', train={optimisation={seed=1}}}]", "seeds decides it"),
        ("arms=[{name='plain', train={adversaries=[{name='vatt'}]}}]", "arm plain: 1 fault"),
        ("arms=[{name='plain', train={adversaries=[{name='vatt'}]}}]", "did you mean 'vat'"),
        ("arms=[{name='plain', train={optimisation={stepz=1}}}]", "optimisation.stepz: unknown key"),
        ("weaves=[{name='w'}]", "give generator or generated"),
        ("weaves=[{name='none', generator='lexical'}]", "'none' is taken"),
        ("shifts=[{name='a'}]", "give one of perturb, subsets, benchmark, distractors"),
        ("shifts=[{name='a', perturb='case', subsets='de-de'}]", "not perturb and subsets"),
        ("shifts=[{name='a', perturb='keybord'}]", "did you mean 'keyboard'"),
        ("shifts=[{name='a', perturb='case', severities=[6]}]", "from 0 (no change) to 5"),
        ("shifts=[{name='a', perturb='case', severities=[0]}]", "severity 0 changes nothing"),
        ("shifts=[{name='a', perturb='case', severities=[2, 1]}]", "expected growing numbers"),
        ("shifts=[{name='a', subsets='de-de', severities=[1]}]", "severities go with perturb"),
        ("shifts=[{name='clean', perturb='case'}]", "always measured"),
        ("shifts=[{name='a', perturb='case', of='b'}]", "shift a: unknown shift of one degree 'b'"),
        ("shifts=[{name='a', perturb='case', of='a'}]", "shift a: unknown shift of one degree 'a'"),
        (
            "shifts=[{name='a', perturb='case', of='b'}, {name='b', perturb='case', severities=[1, 2]}]",
            "shift a: unknown shift of one degree 'b'",
        ),
    ],
)
def test_faults_are_told_before_anything_is_read(recipe: Path, override: str, told: str) -> None:
    with pytest.raises(UsageError) as raised:
        load_study(recipe, [override])
    assert told in str(raised.value)


def test_what_arms_are_tested_against(recipe: Path) -> None:
    """The arm of that name from the same start, or the one of one start."""
    two = ["starts=[{name='a'}, {name='b'}]", "arms=[{name='plain', train={}}, {name='start', starts=['b']}]"]
    own = {"a/plain": "a/plain", "b/plain": "b/plain", "b/start": "b/plain"}
    assert load_study(recipe, two).references == own
    assert load_study(recipe, [*two, "reference=start"]).references == dict.fromkeys(
        ["b/plain", "b/start"], "b/start"
    )
    assert load_study(recipe, [*two, "reference=a/plain"]).references == dict.fromkeys(own, "a/plain")
    assert load_study(recipe, ["reference=tiny/plain"]).references["start"] == "plain"
    with pytest.raises(UsageError, match="unknown arm 'a/start'; did you mean 'b/start'"):
        load_study(recipe, [*two, "reference=a/start"])


def test_other_recipes_and_profiles_are_refused(recipe: Path) -> None:
    with pytest.raises(UsageError, match='expected "study"'):
        load_study("babelweave-mini")
    with pytest.raises(UsageError, match="no profile 'quik'; did you mean 'quick'"):
        load_study(recipe, profile="quik")
    text = recipe.read_text(encoding="utf-8")
    changed = recipe.with_name("changed.toml")
    for arms, told in (
        ("'start'", "leaves out the reference"),
        ("'pain'", "unknown arm 'pain'; did you mean"),
    ):
        changed.write_text(text.replace('arms = ["start", "plain"]', f"arms = [{arms}]"), encoding="utf-8")
        with pytest.raises(UsageError, match=told):
            load_study(changed, profile="quick")
