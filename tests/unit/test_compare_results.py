"""Result folders compared: which means are tested, and what a broken table says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from babelweave.artifact import seal, write_json
from babelweave.errors import DataError
from babelweave.evaluate.compare import holm
from babelweave.evaluate.results import compare_results, families, groups, question_language, read_per_query
from babelweave.records import Scores


def table(
    shift: float = 0.0, subsets: str = "en-en en-de de-en de-de", n: int = 9
) -> dict[str, dict[str, Scores]]:
    rng = np.random.default_rng(0)
    ids = tuple(f"q{i}" for i in range(n))
    return {
        measure: {s: Scores(measure, ids, rng.uniform(0, 0.5, n) + shift) for s in subsets.split()}
        for measure in ("RR@10", "R@100")
    }


def test_groups_and_languages() -> None:
    names = ["en-en", "en-de", "de-en", "zh-Hant-de"]
    assert groups(names) == {"all": names, "x-en": ["en-de"], "cross": ["en-de", "de-en", "zh-Hant-de"]}
    assert question_language("de-zh-Hant") == "zh-Hant"
    assert groups(["pooled"]) == {"all": ["pooled"]}


def test_families_are_the_means_and_the_languages_asked_in() -> None:
    assert families(["en-en", "en-de", "de-en", "de-de"]) == {
        "all": ["en-en", "en-de", "de-en", "de-de"],
        "x-en": ["en-de"],
        "cross": ["en-de", "de-en"],
        "asked in de": ["en-de"],
        "asked in en": ["de-en"],
    }


def test_a_mean_that_is_another_ones_twin_is_tested_once() -> None:
    """XOR-Retrieve has English passages only: all, x-en and cross are the same subsets."""
    assert families(["en-ar", "en-ko"]) == {
        "all": ["en-ar", "en-ko"],
        "asked in ar": ["en-ar"],
        "asked in ko": ["en-ko"],
    }
    assert families(["en-ar"]) == {"en-ar": ["en-ar"]}


def test_each_measure_is_one_family() -> None:
    rows = compare_results(table(), table(0.2))
    assert [(r.measure, r.family) for r in rows[:2]] == [("RR@10", "all"), ("RR@10", "x-en")]
    for measure in ("RR@10", "R@100"):
        family = [r for r in rows if r.measure == measure]
        assert len(family) == 5
        assert [r.p_adjusted for r in family] == holm([r.p_randomisation for r in family])
        assert all(r.difference == pytest.approx(0.2) for r in family)
        assert all(r.n_clusters == 9 for r in family)


def test_a_question_of_pooled_is_one_unit_in_all_its_languages() -> None:
    """`pooled` asks q0 as en-q0 and de-q0; both stand with q0 of the other subsets."""
    rng = np.random.default_rng(3)
    ids = tuple(f"{lang}-q{i}" for lang in ("de", "en") for i in range(9))

    def both(shift: float) -> dict[str, dict[str, Scores]]:
        found = table(shift, "en-de")["RR@10"]
        return {"RR@10": {**found, "pooled": Scores("RR@10", ids, rng.uniform(0, 1, 18))}}

    rows = {r.family: r for r in compare_results(both(0), both(0.1))}
    assert (rows["asked in pooled"].n_rows, rows["asked in pooled"].n_clusters) == (18, 9)
    assert (rows["all"].n_rows, rows["all"].n_clusters) == (27, 9)


def test_what_cannot_be_compared() -> None:
    with pytest.raises(DataError, match="baseline lacks subset 'en-de'"):
        compare_results(table(subsets="en-en"), table())
    with pytest.raises(DataError, match="share no measure"):
        compare_results({"AP": table()["RR@10"]}, table())


def folder(path: Path, **columns: list[object]) -> Path:
    path.mkdir()
    write_json(path / "results.json", {})
    pq.write_table(pa.table(columns), path / "per_query.parquet")
    seal(path, "result", {})
    return path


COLUMNS = {"subset": ["a", "a"], "query_id": ["q", "r"], "measure": ["AP", "AP"], "value": [0.5, 1.0]}


def test_a_table_of_scores_is_read_by_measure_and_subset(tmp_path: Path) -> None:
    found = read_per_query(folder(tmp_path / "r", **COLUMNS))
    assert found["AP"]["a"].query_ids == ("q", "r")
    assert found["AP"]["a"].values.tolist() == [0.5, 1.0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"value": [0.5, None]}, "not a number"),
        ({"value": [0.5, float("nan")]}, "not a number"),
        ({"query_id": ["q", "q"]}, "twice"),
        ({name: [] for name in COLUMNS}, "no rows"),
    ],
)
def test_a_table_that_cannot_be_right_is_refused(
    tmp_path: Path, change: dict[str, list[object]], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        read_per_query(folder(tmp_path / "r", **(COLUMNS | change)))


def test_a_table_without_a_column_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a table of per-query scores"):
        read_per_query(folder(tmp_path / "r", **{k: v for k, v in COLUMNS.items() if k != "value"}))
