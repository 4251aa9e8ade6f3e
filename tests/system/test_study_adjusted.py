"""Studies that adjust vectors, leave a language out of a start, and set provenance against language."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from babelweave.artifact import read_json
from babelweave.data.languages import canonical
from babelweave.encode.adjust import fit_centring
from babelweave.encode.spec import open_encoder
from babelweave.study.cells import Pace, cell_file, plan_study
from babelweave.study.recipe import load_study
from babelweave.study.run import run_study
from babelweave.study.shifts import read_conditions
from conftest import Cli
from tiny_study import ADJUSTED, QUESTIONS, TEXTS, write_study_files


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_study_files(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def finished(recipe: Path) -> Path:
    """Adjusted, run without a break."""
    out = recipe.parent / "finished"
    run_study(plan_study(load_study(recipe, ADJUSTED)), out)
    return out


def means(folder: Path) -> dict[tuple[str, str, str, str], float]:
    rows: list[dict[str, Any]] = pq.read_table(folder / "cells.parquet").to_pylist()
    return {(r["arm"], r["shift"], r["subset"], r["measure"]): r["mean"] for r in rows}


def overridden(overrides: tuple[str, ...]) -> list[str]:
    return [part for override in overrides for part in ("--set", override)]


def test_rows_have_unambiguous_names(finished: Path) -> None:
    labels = [row["label"] for row in read_json(finished / "results.json")["rows"]]
    assert labels == [
        "start", "start~centred", "start~erased", "start+woven", "start+woven~centred", "start+woven~erased",
        "plain", "plain~centred",
    ]  # fmt: skip
    assert read_json(finished / "results.json")["adjustments"]["erased"] == {
        "kind": "erase", "parallel": ["tatoeba"], "languages": ["de", "en"], "texts_per_language": 3,
    }  # fmt: skip


def test_centred_ranks_are_those_of_centred_vectors(recipe: Path, finished: Path) -> None:
    """Worked outside of the study: fit on the parallel text, centre passages and questions, compare."""
    encoder = open_encoder(f"{recipe.parent / 'base'}?precision=float32")
    told = [lang for lang in ("de", "en") for _ in range(8)]
    texts = [*TEXTS["de"], *QUESTIONS["de"], *TEXTS["en"], *QUESTIONS["en"]]
    both = np.concatenate([encoder.encode(texts, role).vectors for role in ("passage", "query")])
    fitted = fit_centring(both, told * 2, unit=encoder.signature.normalised)
    passages = fitted.apply(encoder.encode(TEXTS["en"], "passage").vectors, ["en"] * 4)
    questions = fitted.apply(encoder.encode(QUESTIONS["de"], "query").vectors, ["de"] * 4)
    if encoder.signature.by_cosine:
        passages, questions = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (passages, questions))
    scores = questions @ passages.T
    ranks = [1 + int((row > row[i]).sum()) for i, row in enumerate(scores)]
    found = means(finished)
    assert found["start~centred", "clean", "en-de", "RR@10"] == pytest.approx(np.mean([1 / r for r in ranks]))


def test_unadjusted_arms_are_as_without_adjustments(recipe: Path, finished: Path, tmp_path: Path) -> None:
    arms = "arms=[{name='start', weave=['none', 'woven']}, {name='plain', train={}}]"
    plan = plan_study(load_study(recipe, (ADJUSTED[1], arms, ADJUSTED[3])))
    assert "adjust" not in json.dumps(plan.settings)
    run_study(plan, tmp_path / "out")
    assert means(tmp_path / "out") == {k: v for k, v in means(finished).items() if "~" not in k[0]}


def test_the_plan_counts_what_is_encoded(recipe: Path, tmp_path: Path) -> None:
    """Adjusting encodes its texts in both roles, and neither questions nor woven queries again."""
    plan = plan_study(
        load_study(
            recipe,
            [
                *ADJUSTED,
                "arms=[{name='plain', weave=['none', 'woven'], adjust=['none', 'centred', 'erased']}]",
            ],
        )
    )
    pace = plan.pace(tmp_path)
    work = plan.work(tmp_path, pace)
    assert (work.cells, work.trainings) == (2 * 3 * 3, 0)
    # 8 passages; 8 questions clean and swapped, 4 German ones' English, for two weaves; a query per passage;
    # 8 and 3 texts of two languages in two roles
    assert work.texts == 8 + 2 * (8 + 8 + 4) + 8 + 2 * 2 * (8 + 3)


def test_training_passages_count_at_the_length_they_are_cut_to(recipe: Path, tmp_path: Path) -> None:
    """Two steps of four passages, thrice a forward pass with the way back; 12 tokens where measured."""

    def seconds(cut: int) -> float:
        overrides = ["max_tokens_passage=12", f"training.model.max_tokens_passage={cut}", "seeds=[0]"]
        overrides.append("arms=[{name='plain', train={}}]")
        return plan_study(load_study(recipe, overrides)).work(tmp_path, Pace(0.0, 1.0)).seconds

    measuring = 8
    assert [seconds(cut) - measuring for cut in (3, 12, 24)] == pytest.approx([3 * 2 * 4 / 4, 24, 24])


def test_it_goes_on_from_the_cells_it_has(recipe: Path, finished: Path, tmp_path: Path) -> None:
    """Stopped before its second model, and with a cell lost, it computes what is missing and no more."""

    class StoppedError(Exception):
        pass

    def stop(line: str) -> None:
        if line.startswith("model 2"):
            raise StoppedError

    out = tmp_path / "out"
    plan = plan_study(load_study(recipe, ADJUSTED))
    with pytest.raises(StoppedError):
        run_study(plan, out, say=stop)
    lost = next(cell for cell in plan.cells if cell.arm.label == "start+woven~erased")
    cell_file(out, lost).unlink()
    before = {path: path.stat().st_mtime_ns for path in (out / "cells").iterdir()}
    keys = {cell.key for cell in plan.cells}
    assert len(before) == 6 * 3 - 1
    assert plan.work(out, plan.pace(out)).cells == len(keys) - len(before) == 2 * 3 + 1
    run_study(plan, out)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert means(out) == means(finished)


def test_a_language_that_no_mean_is_fitted_on(cli: Cli, recipe: Path, tmp_path: Path) -> None:
    adjust = "adjustments=[{name='centred', kind='centre', parallel=['tatoeba'], languages=['en', 'fi']}]"
    arms = "arms=[{name='plain', adjust=['none', 'centred']}]"
    code, _, err = cli("study", recipe, "--out", tmp_path / "out", *overridden((adjust, arms)))
    assert (code, "adjustment centred: de will be met, but no mean of it is fitted" in err) == (2, True), err
    adjust = "adjustments=[{name='erased', kind='erase', parallel=['tatoeba'], languages=['en', 'fi']}]"
    code, _, err = cli(
        "study", recipe, "--out", tmp_path / "out", *overridden((adjust, arms.replace("centred", "erased")))
    )
    assert (code, "adjustment erased: tatoeba have nothing in en, fi" in err) == (3, True), err
    assert not (tmp_path / "out").exists()


MADE = """
kind = "retriever"
model = {{ base = {base}, pooling = "mean", max_tokens_query = 12, max_tokens_passage = 12 }}
data = {{ sets = [
  {{ name = "kept", dataset = "tevatron", source = "train.jsonl", lang = "en", query_lang = "en" }},
  {{ name = "gone", dataset = "tevatron", source = "train.jsonl", lang = "en", query_lang = "de" }},
] }}
optimisation = {{ max_steps = 500, batch_size = 4, learning_rate = 1e-3 }}
"""


def test_a_start_without_a_language(cli: Cli, recipe: Path, tmp_path: Path) -> None:
    """Its recipe, its arms' data and their queries lose German, and the page says so."""
    made = MADE.format(base=json.dumps(str(recipe.parent / "base")))
    (recipe.parent / "both.toml").write_text(made, encoding="utf-8")
    sets = ", ".join(
        f"{{name='{name}', dataset='tevatron', source='train.jsonl', lang='en', query_lang='{lang}'}}"
        for name, lang in (("english", "en"), ("german", "de"))
    )
    shorter = "set={optimisation={max_steps=1}, data={sets={kept={licence='mine'}}}}"
    code, _, err = cli(
        "study", recipe, "--out", tmp_path / "out", "--json",
        *overridden((
            "seeds=[0]",
            "queries={generator='lexical', languages=['de', 'es']}",
            f"starts=[{{name='all', recipe='both.toml', {shorter}}}, "
            f"{{name='few', recipe='both.toml', without='de', {shorter}}}]",
            f"training.data.sets=[{sets}]",
            "arms=[{name='plain', train={}}, {name='augmented', train={weaving={per_step=1}}}]",
            "shifts=[{name='german', subsets='de-en'}]",
        )),
    )  # fmt: skip
    assert code == 0, err
    told = read_json(tmp_path / "out" / "results.json")["left_out"]
    assert told == {
        "start few": ["data.sets.gone"],
        "arm few/plain": ["data.sets.german"],
        "arm few/augmented": ["data.sets.german", "queries.languages.de"],
    }
    assert "start few leaves out data.sets.gone\n" in err
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "What is left out of trainings" in page
    recipes = [p.read_text(encoding="utf-8") for p in (tmp_path / "out" / "models").glob("*/recipe.toml")]
    assert len(recipes) == 6
    assert sum('query_lang = "de"' in text for text in recipes) == 3, (
        "the start that leaves nothing out, and its arms"
    )
    assert not any("max_steps = 500" in text for text in recipes)


@pytest.mark.parametrize(
    ("start", "exit_code", "told"),
    [
        ("recipe='both.toml', without='fi'", 2, "start a: {root}both.toml: nothing in the recipe is in 'fi'"),
        ("recipe='both.toml', set={data={sets={kep={name='x'}}}}", 2, "called 'kep'; did you mean 'kept'"),
        ("recipe='both.toml', set={optimisation={step=1}}", 2, "unknown key; "),
        ("model='minilm', without='de'", 2, "without 'de' goes with recipe"),
        ("set={optimisation={max_steps=1}}", 2, "set changes a recipe; give recipe"),
    ],
)  # fmt: skip
def test_starts_that_are_refused(
    cli: Cli, recipe: Path, tmp_path: Path, start: str, exit_code: int, told: str
) -> None:
    made = MADE.format(base=json.dumps(str(recipe.parent / "base")))
    (recipe.parent / "both.toml").write_text(made, encoding="utf-8")
    code, _, err = cli("study", recipe, "--out", tmp_path / "out", "--set", f"starts=[{{name='a', {start}}}]")
    assert (code, told.format(root=f"{recipe.parent}/") in err) == (exit_code, True), err


def tevatron(path: Path, name: str, lang: str, n: int) -> None:
    rows = [
        {
            "query_id": f"{lang}{i}",
            "query": f"{name} {lang} asks {i}",
            "answers": [],
            "positive_passages": [{"docid": f"{lang}{i}", "title": "", "text": f"{name} {lang} tells {i}"}],
            "negative_passages": [],
        }
        for i in range(n)
    ]
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")


@pytest.fixture(scope="module")
def confounded(recipe: Path) -> str:
    """Two sources of questions in two languages, as `data.sets`."""
    sets = []
    for name in ("search", "reading"):
        for lang in ("en", "de"):
            tevatron(recipe.parent / f"{name}-{lang}.jsonl", name, lang, 60)
            sets.append(
                f"{{dataset='tevatron', name='{name}-{lang}', source='{name}-{lang}.jsonl', lang='{lang}'}}"
            )
    return f"[{', '.join(sets)}]"


def provenance(strength: float, *, reverse: bool = False) -> str:
    of = ", ".join(f"{name}-{lang}='{name}'" for name in ("search", "reading") for lang in ("en", "de"))
    return (
        f"{{aligned={{en='search', de='reading'}}, of={{{of}}}, strength={strength}, n=24, "
        f"reverse={str(reverse).lower()}}}"
    )


def asked(name: str, sets: str, strength: float, *, reverse: bool = True) -> str:
    """A shift."""
    drawn = provenance(strength, reverse=reverse)
    return f"{{name='{name}', data={{sets={sets}, half='test', provenance={drawn}}}}}"


@pytest.mark.parametrize(("strength", "own", "other"), [(0.0, 6, 6), (0.5, 3, 9), (1.0, 0, 12)])
def test_questions_are_asked_in_reversed_shares(
    recipe: Path, confounded: str, strength: float, own: int, other: int
) -> None:
    """24 questions, 12 in a language: of the aligned source (1 - s) / 2 of them, of the other (1 + s) / 2."""
    shifts = f"shifts=[{asked('reversed', confounded, strength)}]"
    posed = read_conditions(load_study(recipe, [shifts])).posed[1]
    assert [s.name for s in posed.tasks.subsets] == ["de-de", "en-en"]
    for subset, aligned in zip(posed.tasks.subsets, ("reading", "search"), strict=True):
        found = [query.query_id.partition("-")[0] for query in subset.queries]
        assert (found.count(aligned), len(found)) == (own, own + other)
        texts = {p.doc_id: p.text for p in subset.passages}
        for query in subset.queries:
            (answer,) = subset.qrels[query.query_id]
            assert texts[answer] == query.text.replace("asks", "tells")
        assert canonical(subset.query_lang) in subset.name


def test_the_pool_does_not_tell_which_questions_are_drawn(recipe: Path, confounded: str) -> None:
    pools = []
    for strength in (0.0, 1.0):
        shifts = f"shifts=[{asked('reversed', confounded, strength)}]"
        posed = read_conditions(load_study(recipe, [shifts])).posed[1]
        pools.append([p for s in posed.tasks.subsets for p in s.passages])
    assert pools[0] == pools[1]
    assert 80 < len(pools[0]) < 160, "half of 240"


def test_a_study_of_provenance(cli: Cli, recipe: Path, confounded: str, tmp_path: Path) -> None:
    """It trains on one half in shares of a strength and asks the other half in reversed ones."""
    code, out, err = cli(
        "study", recipe, "--out", tmp_path / "out", "--json",
        *overridden((
            "seeds=[0]",
            f"training.data={{sets={confounded}, half='train'}}",
            f"starts=[{{name='s0', train={{data={{provenance={provenance(0.0)}}}}}}}, "
            f"{{name='s1', train={{data={{provenance={provenance(1.0)}}}}}}}]",
            "arms=[{name='plain', train={}}]",
            f"shifts=[{asked('as trained', confounded, 1.0, reverse=False)}, "
            f"{asked('reversed', confounded, 1.0)}]",
        )),
    )  # fmt: skip
    assert code == 0, err
    found = json.loads(out)
    assert [row["label"] for row in found["rows"]] == ["s0/plain", "s1/plain"]
    assert {c["shift"] for c in found["conditions"]} == {"clean", "as trained", "reversed"}
    counts = [
        {k.split(":")[0]: v for k, v in read_json(p)["counts"].items() if k.endswith(": questions")}
        for p in (tmp_path / "out" / "models").glob("*/manifest.json")
    ]
    assert sorted(counts, key=lambda c: c["search-de"]) == [
        {"search-en": 12, "search-de": 0, "reading-en": 0, "reading-de": 12},
        {"search-en": 6, "search-de": 6, "reading-en": 6, "reading-de": 6},
    ]
