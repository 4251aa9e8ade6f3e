"""Quality gates: each by hand, their order, what they refuse, and what weaving makes of the result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from babelweave.artifact import ShardWriter, read_manifest
from babelweave.errors import DataError, UsageError
from babelweave.generate.filters import Gates, count_kept, filter_queries, parse_gates
from babelweave.generate.inspect import SCHEMA, Inspected
from babelweave.generate.queries import GeneratedQueries
from babelweave.weave.fusers.mean import MeanFuser
from babelweave.weave.fusers.sum import SumFuser
from babelweave.weave.stream import uneven_numbers

SETTINGS = {
    "queries": {"digest": "0", "generator": {"name": "hand"}, "gates": {}},
    "identifier": {"name": "hand"},
    "judges": [{"name": "hand", "depth": 10, "relevance": True}],
    "seed": 0,
}


def row(doc_id: str, lang: str, rank: int, **changes: Any) -> dict[str, Any]:
    plain = {
        "doc_id": doc_id, "lang": lang, "rank": rank, "query": f"{doc_id} {lang} {rank}", "score": None,
        "identified": lang.partition("-")[0], "script": 1.0, "terms": 5, "copied": 0.1, "place": 1,
        "relevance": 1.0,
    }  # fmt: skip
    return plain | changes


def inspected(
    folder: Path, rows: list[dict[str, Any]], *more: list[dict[str, Any]], **changes: Any
) -> Inspected:
    writer = ShardWriter(folder, "inspected", SETTINGS | changes)
    for number, shard in enumerate((rows, *more)):
        made = pa.Table.from_pylist(shard, schema=SCHEMA)
        writer.write(
            number, "x", {"inspected.parquet": lambda path, made=made: pq.write_table(made, path)}, {}
        )
    writer.finish()
    return Inspected.open(folder)


ROWS = [
    row("a", "de", 0),
    row("a", "de", 1, identified="en"),
    row("a", "de", 2, script=0.2, identified=None),
    row("a", "zh-Hant", 0),
    row("b", "de", 0, copied=0.95, terms=2),
    row("b", "de", 1, terms=31),
    row("b", "de", 2, place=0),
    row("b", "de", 3, place=10),
    row("b", "zh-Hant", 0, identified=None),
]


@pytest.mark.parametrize(
    ("gates", "dropped"),
    [
        ("language", {("a", "de", 1), ("a", "de", 2)}),
        ("copy", {("b", "de", 0)}),
        ("copy=0.05", {tuple(r[k] for k in ("doc_id", "lang", "rank")) for r in ROWS}),
        ("length", {("b", "de", 0), ("b", "de", 1)}),
        ("length=2-31", set()),
        ("round-trip", {("b", "de", 2)}),
        ("round-trip=9", {("b", "de", 2), ("b", "de", 3)}),
        ("length,copy,language", {("a", "de", 1), ("a", "de", 2), ("b", "de", 0), ("b", "de", 1)}),
    ],
)
def test_each_gate_by_hand(gates: str, dropped: set[tuple[str, str, int]], tmp_path: Path) -> None:
    table = inspected(tmp_path / "i", ROWS[:4], ROWS[4:])
    if gates == "copy=0.05":
        with pytest.raises(DataError, match=r"no query passes copy; open a gate wider"):
            filter_queries(table, parse_gates(gates), tmp_path / "f")
        assert not (tmp_path / "f").exists()
        return
    filter_queries(table, parse_gates(gates), tmp_path / "f")
    found = GeneratedQueries.open(tmp_path / "f").rows(["a", "b"])
    kept = [r for r in ROWS if (r["doc_id"], r["lang"], r["rank"]) not in dropped]
    assert [(q.doc_id, q.lang, q.query) for q in found] == [
        (r["doc_id"], r["lang"], r["query"]) for r in kept
    ]
    ranks = [q.rank for q in found if q.doc_id == "b" and q.lang == "de"]
    assert ranks == list(range(len(ranks))), "ranked anew from 0"


def test_a_query_is_counted_at_the_first_gate_that_drops_it(tmp_path: Path) -> None:
    table = inspected(tmp_path / "i", ROWS[:4], ROWS[4:])
    gates = parse_gates("round-trip,length,copy,language")
    assert list(gates.closed) == ["language", "copy", "length", "round-trip"]
    manifest, card = filter_queries(table, gates, tmp_path / "f")
    assert manifest.counts == {
        "asked.de": 7,
        "asked.zh-Hant": 2,
        "dropped-language.de": 2,
        "dropped-copy.de": 1,
        "dropped-length.de": 1,
        "dropped-round-trip.de": 1,
        "kept.de": 2,
        "kept.zh-Hant": 2,
        "passages_without.de": 0,
        "passages_without.zh-Hant": 0,
    }
    assert manifest.counts == count_kept(table, gates)
    assert [(c.lang, c.n_queries) for c in card.languages] == [("de", 2), ("zh-Hant", 2)]
    settings = read_manifest(tmp_path / "f", "generated").settings
    assert settings["gates"] == {"language": True, "copy": 0.9, "length": [3, 30], "round-trip": 10}
    assert settings["generator"] == {"name": "hand"}


def test_the_share_is_of_what_the_other_gates_leave_in_each_language(tmp_path: Path) -> None:
    german = [row("a", "de", i, relevance=float(i), place=0 if i >= 8 else 1) for i in range(10)]
    french = [row("a", "fr", i, relevance=100.0 + i) for i in range(2)]
    table = inspected(tmp_path / "i", german, french)
    filter_queries(table, parse_gates("score=0.25,round-trip"), tmp_path / "f")
    found = GeneratedQueries.open(tmp_path / "f").rows(["a"])
    assert [(q.lang, q.score) for q in found] == [("de", 6.0), ("de", 7.0), ("fr", 101.0)]
    assert read_manifest(tmp_path / "f", "generated").settings["thresholds"] == {"de": 6.0, "fr": 101.0}


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=60), st.floats(0.01, 1))
def test_the_share_kept_is_the_share_asked_for(
    tmp_path_factory: pytest.TempPathFactory, values: list[int], share: float
) -> None:
    """But for ties; and none that is dropped is better than one that is kept."""
    folder = tmp_path_factory.mktemp("share")
    table = inspected(folder / "i", [row("a", "de", i, relevance=float(v)) for i, v in enumerate(values)])
    manifest, _ = filter_queries(table, Gates(score=share), folder / "f")
    kept = [q.score for q in GeneratedQueries.open(folder / "f").rows(["a"])]
    least = min(kept)
    assert sorted(kept) == sorted(v for v in values if v >= least)
    assert 1 <= sum(v > least for v in values) + 1 <= share * len(values) + 1
    assert manifest.counts["kept.de"] == len(kept) >= share * (len(values) - 1)


def test_filtered_twice_the_gates_add_up(tmp_path: Path) -> None:
    first = SETTINGS["queries"] | {"gates": {"copy": 0.9}}
    table = inspected(tmp_path / "i", ROWS, queries=first)
    filter_queries(table, parse_gates("length"), tmp_path / "f")
    assert GeneratedQueries.open(tmp_path / "f").gates == {"copy": 0.9, "length": [3, 30]}


def test_a_sum_of_filtered_queries_is_refused_and_a_mean_is_not(tmp_path: Path) -> None:
    filter_queries(inspected(tmp_path / "i", ROWS), parse_gates("length,language"), tmp_path / "f")
    filtered = GeneratedQueries.open(tmp_path / "f")
    with pytest.raises(UsageError, match=r"was filtered: passages have 1 to 2 queries.*--fuser mean --alpha"):
        uneven_numbers(SumFuser(), filtered, ["de"], None)
    assert uneven_numbers(SumFuser(), filtered, ["de"], 1) == ""
    assert uneven_numbers(MeanFuser(), filtered, ["de"], None) == ""


def test_nothing_is_written_over(tmp_path: Path) -> None:
    table = inspected(tmp_path / "i", ROWS)
    filter_queries(table, parse_gates("copy"), tmp_path / "f")
    with pytest.raises(UsageError, match="--overwrite"):
        filter_queries(table, parse_gates("copy"), tmp_path / "f")
    with pytest.raises(UsageError, match="left alone"):
        filter_queries(table, parse_gates("copy"), tmp_path / "i", overwrite=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no gate"),
        ("langage", "did you mean 'language'"),
        ("copy,copy=0.5", "copy is given twice"),
        ("copy=much", "expected a share"),
        ("copy=1.5", "from 0 to 1"),
        ("copy=nan", "from 0 to 1"),
        ("length=5", "fewest and most"),
        ("length=9-3", "fewest terms, then most"),
        ("round-trip=0", "from 1"),
        ("score=0", "above 0"),
        ("language=de", "expected no value"),
    ],
)
def test_gates_that_are_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_gates(text)


def test_gates_that_look_at_what_was_not_inspected(tmp_path: Path) -> None:
    table = inspected(tmp_path / "i", ROWS, identifier=None, judges=[{"name": "bm25", "depth": 5}])
    for gates, message in (
        ("language", "no language was identified"),
        ("round-trip=6", "up to 5.*--depth"),
        ("score", "no relevance was judged.*--rerank"),
    ):
        with pytest.raises(UsageError, match=message):
            filter_queries(table, parse_gates(gates), tmp_path / "f")
    assert filter_queries(table, parse_gates("round-trip=5"), tmp_path / "f").manifest.counts["kept.de"] == 5
