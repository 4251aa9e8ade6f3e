"""Ablations: the arms of a design, figures equal to benchmark runs of the same setting, tests, the report."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from babelweave.errors import DataError, UsageError
from babelweave.evaluate.ablate import Ablation, ablate, write_ablation
from babelweave.evaluate.arms import PLAIN, Arm, Design, sum_alpha
from babelweave.evaluate.benchmarks.rankers import DenseRanker, Stopwatch, Weaving
from babelweave.evaluate.benchmarks.subsets import Settings, Tasks, run_tasks
from babelweave.evaluate.compare import compare, holm
from babelweave.generate.queries import GeneratedQueries
from babelweave.records import Passage, Query, Subset
from babelweave.report.ablation import ablation_tables, read_ablation
from babelweave.report.page import as_html
from babelweave.weave.fusers.mean import MeanFuser, alpha_mean
from babelweave.weave.fusers.spec import open_fuser
from vector_cases import LetterEncoder

WORDS = "ba be bi bo bu da de di do du ga ge gi go gu la le li lo lu ma me mi mo mu".split()
N = 24
BASE = Arm(per_language=3, alpha=0.4)


def text(draw: np.random.Generator, n: int) -> str:
    return " ".join(draw.choice(WORDS, n))


def tasks() -> Tasks:
    """Passages in one jumble of syllables; questions share theirs with the queries of their passage."""
    draw = np.random.default_rng(0)
    passages = [Passage(f"d{i:02}", text(draw, 12), "en") for i in range(N)]
    subsets = []
    for lang in ("de", "es"):
        asked = queries()[lang]
        found = [Query(f"q{i:02}", f"{asked[f'd{i:02}'][0]} {text(draw, 3)}", lang) for i in range(N)]
        qrels = {f"q{i:02}": {f"d{i:02}": 1} for i in range(N)}
        subsets.append(Subset(f"en-{lang}", "en", lang, passages, found, qrels))
    return Tasks(subsets, [], {"benchmark": "syllables"}, Stopwatch())


def queries() -> dict[str, dict[str, list[str]]]:
    draw = np.random.default_rng(1)
    return {
        lang: {f"d{i:02}": [text(draw, 6) for _ in range(i % 3 + 1)] for i in range(N)}
        for lang in ("de", "es")
    }


@pytest.fixture(scope="module")
def weaving(tmp_path_factory: pytest.TempPathFactory) -> Weaving:
    by_doc = {d: {lang: found[d] for lang, found in queries().items()} for d in queries()["de"]}
    path = tmp_path_factory.mktemp("queries") / "q.json"
    path.write_text(json.dumps(by_doc))
    return Weaving(GeneratedQueries.open(path), MeanFuser(), ("de", "es"), 8)


def run(weaving: Weaving, **design: Any) -> Ablation:
    made = Design(**({"base": BASE, "numbers": (0, 1, 8), "alphas": (0.4,), "weights": (0, 1)} | design))
    return ablate(tasks(), LetterEncoder(64), weaving, made, measures=["RR@10"])


@pytest.fixture(scope="module")
def found(weaving: Weaving) -> Ablation:
    return run(weaving)


def test_every_arm_is_the_benchmark_run_of_its_setting(weaving: Weaving, found: Ablation) -> None:
    assert found.arms[0] == PLAIN
    for arm, scores in zip(found.arms, found.scores, strict=True):
        for subset in tasks().subsets:
            languages = [subset.query_lang] if arm.woven == "asked" else weaving.languages
            fuser = open_fuser(
                arm.fuser,
                alpha=arm.alpha,
                normalise=arm.normalise,
                language_weights=dict(arm.language_weights),
            )
            system = None if arm == PLAIN else Weaving(weaving.source, fuser, languages, arm.per_language)
            alone = replace(tasks(), subsets=[subset])
            result = run_tasks(alone, DenseRanker(LetterEncoder(64), system), Settings(("RR@10",)))
            values = (table["RR@10"][subset.name].values for table in (scores, result.scores))
            np.testing.assert_allclose(*values, err_msg=str(arm))


def test_the_design(found: Ablation) -> None:
    assert found.left_out == [8], "no passage has more than 3 in a language"
    number, alpha, weights = found.axes
    assert [[p.x for p in c.points] for c in number.curves] == [[0, 1]] * 2
    names = ["mean", "sum", "max", "mean, unit length", "mean, asking language"]
    assert [c.name for c in alpha.curves] == names
    assert {p.arm.per_language for c in alpha.curves for p in c.points} == {3}
    assert [c.name for c in weights.curves] == ["queries in de", "queries in es"]
    assert weights.curves[0].points[0].arm.language_weights == (("de", 0),)
    assert weights.curves[0].points[1].arm == BASE
    assert found.arms.count(BASE) == 1, "it stands in two axes and is run once"
    assert found.queries_per_passage[found.arms.index(BASE)] == 4
    asked = Arm(per_language=1, alpha=0.4, woven="asked")
    assert found.queries_per_passage[found.arms.index(asked)] == 1


def test_the_sum_of_an_axis_ranks_as_the_mean_where_numbers_are_equal() -> None:
    assert alpha_mean(sum_alpha(0.3, 14), 14) == pytest.approx(0.3)
    (axis,) = Design(base=replace(BASE, per_language=7), axes=["alpha"]).build(["de", "es"], 7)
    mean, total, *_ = axis.curves
    draw = np.random.default_rng(0)
    vectors, queries = draw.standard_normal((9, 5)), draw.standard_normal((9, 14, 5))
    for one, other in zip(mean.points, total.points, strict=True):
        rows = [
            open_fuser(p.arm.fuser, alpha=p.arm.alpha).fuse(vectors, queries, np.ones((9, 14)), ["de"] * 14)
            for p in (one, other)
        ]
        assert one.x == other.x == one.arm.alpha
        np.testing.assert_allclose(
            rows[0] / rows[1], (rows[0] / rows[1])[0, 0, 0], err_msg="one factor for all"
        )


def test_cells_are_paired_tests_against_plain_with_holm_over_the_axis(found: Ablation) -> None:
    assert found.groups == ["all", "asked in de", "asked in es"]
    for axis in found.axes:
        cells = [c for c in found.cells if c.axis == axis.name and c.comparison.measure == "RR@10"]
        first = [c for c in cells if c.comparison.family == "all"]
        others = [c for c in cells if c.comparison.family != "all"]
        assert len(others) == 2 * len(first)
        for family in (first, others):
            raw = [c.comparison.p_randomisation for c in family]
            assert [c.comparison.p_adjusted for c in family] == holm(raw)
        for cell in first[:2]:
            expected = compare(found.scores[0]["RR@10"], found.scores[cell.arm]["RR@10"])
            assert cell.comparison.difference == expected.difference
            assert cell.comparison.n_clusters == N, "a question in two languages is one"
    gain = {c.x: c.comparison for c in found.cells if (c.axis, c.curve) == ("queries", "asking language")}
    assert gain[1].difference > 0.1
    assert gain[1].p_adjusted < 0.05


def test_the_folder_and_the_page(found: Ablation, tmp_path: Path) -> None:
    write_ablation(tmp_path / "a", found)
    cells = pq.read_table(tmp_path / "a" / "cells.parquet").to_pylist()
    assert len(cells) == len(found.cells)
    assert cells[0]["difference"] == found.cells[0].comparison.difference
    rows = pq.read_table(tmp_path / "a" / "per_query.parquet")
    assert rows.num_rows == len(found.arms) * 2 * N
    report = read_ablation(tmp_path / "a")
    assert [s.heading for s in report.sections] == ["queries: RR@10", "alpha: RR@10", "weights: RR@10"]
    page = as_html("t", report.sections, report.signature, "c")
    assert "Not there to be woven: 8 per language." in page
    assert "sum, 0.4" in page
    table = ablation_tables(tmp_path / "a")[0]
    assert [row[1] for row in table.rows] == ["all languages, 1", "asking language, 1"]
    with pytest.raises(UsageError, match="--overwrite"):
        write_ablation(tmp_path / "a", found)


def test_a_page_of_other_cells_is_refused(found: Ablation, tmp_path: Path) -> None:
    write_ablation(tmp_path / "a", replace(found, cells=found.cells[3:]))
    with pytest.raises(DataError, match="lacks queries, all languages, 1"):
        read_ablation(tmp_path / "a")


@pytest.mark.parametrize(
    ("design", "message"),
    [
        ({"axes": ["alfa"]}, "did you mean 'alpha'"),
        ({"axes": []}, "nothing to try"),
        ({"base": replace(BASE, alpha=0.0)}, "nothing to try"),
        ({"numbers": (-1,)}, "queries per language -1"),
        ({"alphas": (1.5,)}, "alpha 1.5"),
        ({"alphas": (float("nan"),)}, "alpha nan"),
        ({"weights": (-2,)}, "weight -2"),
        ({"fusers": ["men"]}, "did you mean 'mean'"),
    ],
)
def test_designs_that_are_refused(design: dict[str, Any], message: str, weaving: Weaving) -> None:
    with pytest.raises(UsageError, match=message):
        run(weaving, **design)


def test_queries_of_other_passages(tmp_path: Path) -> None:
    (tmp_path / "q.json").write_text('{"x": {"de": ["y"], "es": ["z"]}}')
    other = Weaving(GeneratedQueries.open(tmp_path / "q.json"), MeanFuser(), ("de", "es"), 8)
    with pytest.raises(DataError, match="no passage of the subsets"):
        run(other)
