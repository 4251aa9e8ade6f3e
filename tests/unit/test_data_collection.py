"""A collection is read, written, validated and described by one set of rules."""

from __future__ import annotations

import errno
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from babelweave.artifact import read_manifest
from babelweave.data.collection import FORMATS, Collection, FileFormat, write_collection
from babelweave.data.describe import describe
from babelweave.data.validate import validate
from babelweave.errors import DataError, StorageError, UsageError
from babelweave.records import Passage, Query

PASSAGES = [
    Passage("d1", "Das Wetter\u2028ist schön.", "de"),
    Passage("d2", "四川地震", "zh", "地震"),
    Passage("d3", "plain", "en", "Title"),
]
QUERIES = [Query("q1", "weather?", "en", ("schön", "sunny")), Query("q2", "地震?", "zh")]
QRELS = {"dev": {"q1": {"d1": 1, "d3": 0}}, "test": {"q2": {"d2": 2}}}


def write_lines(path: Path, *records: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [r if isinstance(r, bytes) else json.dumps(r, ensure_ascii=False).encode() for r in records]
    path.write_bytes(b"\n".join(lines) + b"\n")


@pytest.fixture
def beir(tmp_path: Path) -> Path:
    """A folder as BEIR ships it: no language anywhere."""
    folder = tmp_path / "beir"
    write_lines(
        folder / "corpus.jsonl", {"_id": "d1", "title": "T", "text": "one"}, {"_id": 2, "text": "two"}
    )
    write_lines(folder / "queries.jsonl", {"_id": "q1", "text": "uno?", "metadata": {}})
    write_lines(folder / "qrels" / "test.tsv", b"query-id\tcorpus-id\tscore", b"q1\t2\t1")
    return folder


@pytest.mark.parametrize("file_format", FORMATS)
def test_what_is_written_is_read(tmp_path: Path, file_format: FileFormat) -> None:
    manifest = write_collection(tmp_path / "c", PASSAGES, QUERIES, QRELS, file_format=file_format)
    collection = Collection.open(tmp_path / "c")
    assert list(collection.passages()) == PASSAGES
    assert list(collection.queries()) == QUERIES
    assert collection.splits() == ["dev", "test"]
    assert {split: collection.qrels(split) for split in collection.splits()} == QRELS
    assert manifest.counts == {"passages": 3, "queries": 2, "qrels/dev": 2, "qrels/test": 1}
    read_manifest(tmp_path / "c", "collection", checksums=True)
    assert validate(tmp_path / "c").problems == {}


@pytest.mark.parametrize("file_format", FORMATS)
def test_the_same_content_gives_the_same_bytes(tmp_path: Path, file_format: FileFormat) -> None:
    digests = {
        write_collection(tmp_path / name, PASSAGES, QUERIES, QRELS, file_format=file_format).digest()
        for name in "ab"
    }
    assert len(digests) == 1


def test_a_beir_folder_needs_a_language(beir: Path) -> None:
    with pytest.raises(DataError, match=r"corpus\.jsonl:1: no lang"):
        list(Collection.open(beir).passages())
    collection = Collection.open(beir, "eng")
    assert list(collection.passages()) == [Passage("d1", "one", "en", "T"), Passage("2", "two", "en")]
    assert collection.qrels("test") == {"q1": {"2": 1}}
    with pytest.raises(UsageError, match="unknown language"):
        Collection.open(beir, "klingon")


def test_a_text_keeps_its_own_language(tmp_path: Path) -> None:
    write_lines(
        tmp_path / "corpus.jsonl", {"_id": "a", "text": "x", "lang": "zho_Hant"}, {"_id": "b", "text": "y"}
    )
    assert [p.lang for p in Collection.open(tmp_path, "de").passages()] == ["zh-Hant", "de"]


BAD_ROWS: list[tuple[Any, str]] = [
    ({"_id": "b", "text": ""}, "neither text nor title"),
    ({"_id": "b", "text": " \n", "title": ""}, "neither text nor title"),
    ({"_id": "b"}, "neither text nor title"),
    ({"_id": "b", "text": 5}, "text is of type int"),
    ({"_id": "a", "text": "again"}, "'a' was used before"),
    ({"_id": "b", "text": "x", "lang": "tlh"}, "unknown language 'tlh'"),
    ({"_id": "b", "text": "x", "lang": 3}, "lang is of type int"),
    ({"text": "x"}, "_id is missing"),
    ({"_id": None, "text": "x"}, "_id is missing"),
    ({"_id": 1.0, "text": "x"}, "_id is of type float"),
    ({"_id": True, "text": "x"}, "_id is of type bool"),
    ({"_id": "", "text": "x"}, "empty or holds a blank"),
    ({"_id": "b c", "text": "x"}, "empty or holds a blank"),
    ([1], "a list, expected a JSON object"),
    (b'{"_id": "b", "text": ', "not valid JSON"),
    (b'{"_id": "b", "text": "\xe9t\xe9"}', "not UTF-8"),
    (b'{"_id": "b", "text": "\\ud83d"}', "half a character"),
]


@pytest.mark.parametrize(("row", "message"), BAD_ROWS)
def test_a_bad_row_is_named_with_its_line(tmp_path: Path, row: Any, message: str) -> None:
    write_lines(tmp_path / "corpus.jsonl", {"_id": "a", "text": "fine"}, b"", row)
    with pytest.raises(DataError, match=rf"corpus\.jsonl:3: .*{message}"):
        list(Collection.open(tmp_path, "en").passages())


def test_the_same_holds_in_gz_and_parquet(tmp_path: Path) -> None:
    rows = [{"_id": "a", "text": "fine", "lang": "en"}, {"_id": "a", "text": "twice", "lang": "en"}]
    (tmp_path / "gz").mkdir()
    with gzip.open(tmp_path / "gz" / "corpus.jsonl.gz", "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "pq").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "pq" / "corpus.parquet")
    for name, place in (("gz", r"corpus\.jsonl\.gz:2"), ("pq", r"corpus\.parquet:row 2")):
        with pytest.raises(DataError, match=rf"{place}: id 'a' was used before"):
            list(Collection.open(tmp_path / name).passages())


def test_cut_gz_and_broken_parquet(tmp_path: Path) -> None:
    packed = gzip.compress(b"".join(b'{"_id": "%d", "text": "x"}\n' % i for i in range(1000)))
    (tmp_path / "gz").mkdir()
    (tmp_path / "gz" / "corpus.jsonl.gz").write_bytes(packed[: len(packed) // 2])
    (tmp_path / "pq").mkdir()
    (tmp_path / "pq" / "corpus.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(DataError, match="cut or broken"):
        list(Collection.open(tmp_path / "gz", "en").passages())
    with pytest.raises(DataError, match="not readable as Parquet"):
        list(Collection.open(tmp_path / "pq", "en").passages())


def test_queries_need_text_and_string_answers(tmp_path: Path) -> None:
    write_lines(tmp_path / "corpus.jsonl", {"_id": "a", "text": "fine"})
    for row, message in [
        ({"_id": "q", "text": " "}, "no text"),
        ({"_id": "q", "text": "x", "answers": [1]}, "answers"),
    ]:
        write_lines(tmp_path / "queries.jsonl", row)
        with pytest.raises(DataError, match=rf"queries\.jsonl:1: .*{message}"):
            list(Collection.open(tmp_path, "en").queries())


def test_opening_what_is_no_collection(tmp_path: Path, beir: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        Collection.open(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"expected one of corpus\.jsonl"):
        Collection.open(tmp_path / "empty")
    (beir / "corpus.parquet").touch()
    with pytest.raises(DataError, match="keep one"):
        Collection.open(beir)


def test_a_collection_cut_since_it_was_written(tmp_path: Path) -> None:
    write_collection(tmp_path / "c", PASSAGES, QUERIES, QRELS)
    data = (tmp_path / "c" / "corpus.jsonl").read_bytes()
    (tmp_path / "c" / "corpus.jsonl").write_bytes(data[:-10])
    with pytest.raises(DataError, match=r"corpus\.jsonl is cut or changed"):
        Collection.open(tmp_path / "c")
    assert {"changed since written", "broken JSON", "unknown id in qrels"} == validate(
        tmp_path / "c"
    ).problems.keys()


def test_qrels_that_name_unknown_ids(beir: Path) -> None:
    collection = Collection.open(beir, "en")
    for row, message in [(b"q1\tdX\t1", "passage 'dX'"), (b"qX\td1\t1", "query 'qX'")]:
        write_lines(beir / "qrels" / "test.tsv", b"query-id\tcorpus-id\tscore", b"q1\td1\t1", row)
        with pytest.raises(DataError, match=rf"test\.tsv:3: {message} is judged"):
            collection.qrels("test")
        assert collection.qrels("test", check=False)
    with pytest.raises(UsageError, match="no split 'tset'; did you mean 'test'"):
        collection.qrels("tset")


def failing_passages() -> Iterator[Passage]:
    yield from PASSAGES
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("passages", "queries", "qrels", "error", "message"),
    [
        ([*PASSAGES, PASSAGES[0]], QUERIES, QRELS, DataError, "passage 4 to write: id 'd1'"),
        (PASSAGES, [*QUERIES, QUERIES[1]], QRELS, DataError, "query 3 to write: id 'q2'"),
        ([*PASSAGES, Passage("d4", " ", "en")], QUERIES, QRELS, DataError, "neither text nor title"),
        ([*PASSAGES, Passage("d4", "x", "xx")], QUERIES, QRELS, DataError, "unknown language"),
        (PASSAGES, [*QUERIES, Query("q3", "x", "en", ("\ud83d",))], QRELS, DataError, "half a character"),
        (PASSAGES[:2], QUERIES, QRELS, DataError, "passage 'd3' is judged"),
        (PASSAGES, QUERIES[:1], QRELS, DataError, "query 'q2' is judged"),
        (failing_passages(), QUERIES, QRELS, StorageError, "disk is full"),
    ],
)
def test_a_failed_write_leaves_nothing(
    tmp_path: Path, passages: Any, queries: Any, qrels: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        write_collection(tmp_path / "c", passages, queries, qrels)
    assert list(tmp_path.iterdir()) == []


def test_a_split_name_cannot_leave_the_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot name a split"):
        write_collection(tmp_path / "c", PASSAGES, QUERIES, {"../../x": QRELS["dev"]})
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_overwrite_keeps_the_old_collection(tmp_path: Path) -> None:
    def interrupted() -> Iterator[Passage]:
        yield PASSAGES[0]
        raise KeyboardInterrupt

    write_collection(tmp_path / "c", PASSAGES, QUERIES, QRELS)
    with pytest.raises(UsageError, match="not empty"):
        write_collection(tmp_path / "c", [], [], {})
    with pytest.raises(KeyboardInterrupt):
        write_collection(tmp_path / "c", interrupted(), [], {}, overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["c"]
    assert list(Collection.open(tmp_path / "c").passages()) == PASSAGES
    write_collection(tmp_path / "c", PASSAGES[:1], [], {}, overwrite=True)
    assert list(Collection.open(tmp_path / "c").passages()) == PASSAGES[:1]


def test_a_folder_of_others_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(UsageError, match="did not write"):
        write_collection(tmp_path, PASSAGES, QUERIES, QRELS, overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_validate_finds_every_problem_in_one_pass(tmp_path: Path) -> None:
    rows = [
        {"_id": "a", "text": "fine"},
        *[row for row, _ in BAD_ROWS],
        *[{"_id": f"e{i}"} for i in range(9)],
    ]
    write_lines(tmp_path / "corpus.jsonl", *rows)
    write_lines(tmp_path / "queries.jsonl", {"_id": "q", "text": "x"}, {"_id": "q", "text": "y"})
    header = b"query-id\tcorpus-id\tscore"
    write_lines(
        tmp_path / "qrels" / "dev.tsv", header, b"q\ta\t1", b"q\ta\t0", b"q\tb\t1", b"q\ta", b"q\tc\tx"
    )
    found = validate(tmp_path, "en")
    assert {kind: problem.count for kind, problem in found.problems.items()} == {
        "empty text": 12,
        "wrong type": 2,
        "duplicate id": 2,
        "unknown language": 1,
        "bad id": 6,
        "broken JSON": 2,
        "not UTF-8": 2,
        "judged twice": 1,
        "broken qrels": 2,
        "unknown id in qrels": 1,
    }
    assert found.n_problems == 31
    assert found.counts == {"passages": 1, "queries": 1, "judgements": 2}
    examples = found.problems["empty text"].examples
    assert len(examples) == 5
    assert examples[0].where.endswith("corpus.jsonl:2")


def test_describe_counts_by_language(tmp_path: Path) -> None:
    write_collection(tmp_path / "c", [*PASSAGES, Passage("d4", "ab", "en")], QUERIES, QRELS)
    figures = describe(tmp_path / "c")
    assert figures["passages"]["en"] == {
        "count": 2,
        "characters": {"min": 2, "median": 2, "mean": 3.5, "max": 5},
    }
    assert figures["passages"]["zh"]["characters"]["max"] == 4
    assert figures["queries"]["zh"]["count"] == 1
    assert (figures["titles"], figures["answers"]) == (2, 1)
    assert figures["splits"]["dev"] == {"queries": 1, "judgements": 2, "relevant": 1, "coverage": 0.5}
    assert figures["bytes"] == sum(p.stat().st_size for p in (tmp_path / "c").rglob("*") if p.is_file())
