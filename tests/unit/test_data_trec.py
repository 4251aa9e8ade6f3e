"""Runs and qrels: our order decides, and a broken line is named."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from babelweave.data.trec import read_qrels, read_run, write_qrels, write_run
from babelweave.errors import DataError
from babelweave.records import Run


def test_our_order_decides_and_the_file_is_told_when_it_differs(tmp_path: Path) -> None:
    path = tmp_path / "x.run"
    path.write_text(
        "q2 Q0 a 1 2.5 t\nq2 Q0 b 2 1.5 t\nq1 Q0 a 1 1.0 t\nq1 Q0 b 2 1.0 t\nq1\tQ0\tc\t3\t7e0\tt\n",
        encoding="utf-8",
    )
    said: list[str] = []
    run = read_run(path, say=said.append)
    assert run.query_ids == ("q2", "q1")
    assert run.doc_ids == (("a", "b"), ("c", "b", "a"))  # c has the best score; a and b tie, b is larger
    assert run.scores == ((2.5, 1.5), (7.0, 1.0, 1.0))
    assert len(said) == 1
    assert "1 of 2 queries" in said[0]
    assert read_run(path, k=1).doc_ids == (("a",), ("c",))


def test_a_run_in_our_order_says_nothing(tmp_path: Path) -> None:
    run = Run(("q",), (("b", "a", "c"),), ((1.0, 1.0, 0.125),))
    write_run(tmp_path / "x.run.gz", run, "tag")
    said: list[str] = []
    assert read_run(tmp_path / "x.run.gz", say=said.append) == run
    assert said == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("q Q0 d 2 1.0", "5 fields"),
        ("q Q0 d 2 nan t", "NaN"),
        ("q Q0 d 2 high t", "not a number"),
        ("q Q0 d two 1.0 t", "not a number"),
        ("q Q0 a 2 0.5 t", "'a' stands twice"),
    ],
)
def test_broken_run_lines(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "x.run").write_text(f"q Q0 a 1 1.0 t\n{line}\n", encoding="utf-8")
    with pytest.raises(DataError, match=rf"x\.run:2: .*{message}"):
        read_run(tmp_path / "x.run")


def test_both_qrels_formats(tmp_path: Path) -> None:
    expected = {"q1": {"d1": 1, "d2": 0}, "q2": {"d1": -1}}
    (tmp_path / "trec").write_text("q1 0 d1 1\nq1 0 d2 0\n\nq2 0 d1 -1\n", encoding="utf-8")
    with gzip.open(tmp_path / "beir.tsv.gz", "wt", encoding="utf-8") as file:
        file.write("query-id\tcorpus-id\tscore\r\nq1\td1\t1\r\nq1\td2\t0\r\nq2\td1\t-1\r\n")
    assert read_qrels(tmp_path / "trec") == expected
    assert read_qrels(tmp_path / "beir.tsv.gz") == expected
    write_qrels(tmp_path / "again.tsv", expected, "beir")
    assert read_qrels(tmp_path / "again.tsv") == expected
    write_qrels(tmp_path / "again.gz", expected)
    assert read_qrels(tmp_path / "again.gz") == expected


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("q 0 d 1.5", "not an integer"),
        ("q 0 d", "3 fields"),
        ("q 0 a 1", "judged twice"),
        ("q\ta\t1", "3 fields"),
    ],
)
def test_broken_qrels_lines(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "x").write_text(f"q 0 a 1\n{line}\n", encoding="utf-8")
    with pytest.raises(DataError, match=rf"x:2: .*{message}"):
        read_qrels(tmp_path / "x")


def test_ids_the_formats_cannot_carry(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="blank"):
        write_run(tmp_path / "x", Run(("q 1",), (("d",),), ((1.0,),)), "t")
    with pytest.raises(DataError, match="blank"):
        write_qrels(tmp_path / "x", {"q": {"": 1}})
    assert list(tmp_path.iterdir()) == []
