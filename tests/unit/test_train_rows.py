"""Training rows from collections, data sets and Tevatron's files, counted and kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from babelweave.data.collection import write_collection
from babelweave.data.dataset import Dataset
from babelweave.data.squad import text_sha1
from babelweave.errors import DataError, UsageError
from babelweave.records import Passage, Query
from babelweave.train.rows import (
    Example,
    RowPool,
    dataset_examples,
    read_rows,
    tevatron_examples,
    write_rows,
)
from babelweave.train.sections import Data
from babelweave.train.sources import digests, read_data

P = [Passage(f"p{i}", f"text {i}", "en", "Title" if i % 2 else "") for i in range(5)]
Q = [Query(f"q{i}", f"question {i}", lang, ("an answer",)) for i, lang in enumerate(["en", "de", "de"])]


def pool_of(*examples: Example, **settings: Any) -> RowPool:
    pool = RowPool()
    pool.add("set", examples, **settings)
    return pool


def contents(pool: RowPool, rows: tuple[int, ...]) -> list[str]:
    return [pool.passages[row].content for row in rows]


def test_equal_content_is_one_row_whatever_its_id() -> None:
    twin = Passage("other", "1", "en", "text")  # reads "text 1", as P[1] without its title would
    pool = pool_of(Example(Q[0], (Passage("p1", "text 1", "en"),)), Example(Q[1], (twin, P[1])))
    first, second = pool.questions["set"]
    assert first.positives[0] == second.positives[0]
    assert contents(pool, second.positives) == ["text 1", "Title text 1"]


def test_what_is_dropped_is_counted() -> None:
    pool = pool_of(
        Example(Q[0], (P[0],), (P[1], P[0], P[1])),
        Example(Q[1], (), (P[2],)),
        Example(Q[2], (P[3], P[4]), (P[2],)),
        excluded={text_sha1(P[4].text)},
    )
    assert [q.query for q in pool.questions["set"]] == [Q[0], Q[2]]
    assert contents(pool, pool.questions["set"][0].negatives) == ["Title text 1"]
    assert contents(pool, pool.questions["set"][1].positives) == ["Title text 3"]
    assert pool.counts["set"] == {
        "questions": 2,
        "negatives that are positives dropped": 1,
        "questions without a positive dropped": 1,
        "passages excluded as leaks": 1,
    }


def test_the_same_question_knows_the_positives_of_all_its_rows() -> None:
    again = Query("other id", Q[0].text, "en")
    pool = pool_of(Example(Q[0], (P[0],)), Example(again, (P[1],)))
    pool.add("second", [Example(Q[0], (P[2],)), Example(Q[1], (P[3],))])
    assert contents(pool, pool.known()[Q[0].text]) == ["text 0", "Title text 1", "text 2"]
    assert contents(pool, pool.known()[Q[1].text]) == ["Title text 3"]


def test_languages_choose_and_must_be_there() -> None:
    examples = [Example(q, (p,)) for q, p in zip(Q, P, strict=False)]
    pool = pool_of(*examples, languages=["deu"])
    assert [q.query.lang for q in pool.questions["set"]] == ["de", "de"]
    assert pool.counts["set"]["questions of other languages left out"] == 1
    with pytest.raises(DataError, match=r"set: no questions in fr; known: de, en"):
        pool_of(*examples, languages=["de", "fr"])


def test_nothing_to_train_on_says_why() -> None:
    with pytest.raises(DataError, match=r"no question has a passage.*2 questions without a positive dropped"):
        pool_of(Example(Q[0], ()), Example(Q[1], (), (P[0],)))


def test_judgements_become_positives_and_negatives_best_first() -> None:
    qrels = {"q0": {"p0": 1, "p1": 2, "p2": 0}, "q2": {"p3": 1}}
    found = list(dataset_examples(Dataset(iter(P), iter(Q), {"a": qrels}), "x"))
    assert found == [Example(Q[0], (P[1], P[0]), (P[2],)), Example(Q[2], (P[3],), ())]
    with pytest.raises(DataError, match=r"x: 1 judged passages are not there.*'p9'"):
        list(dataset_examples(Dataset(P, Q, {"a": {"q0": {"p9": 1}}}), "x"))


def tevatron_v1(path: Path) -> Path:
    rows = [
        {
            "query_id": 7,
            "query": "wo?",
            "answers": ["x"],
            "positive_passages": [{"docid": "1", "title": "T", "text": "a"}],
            "negative_passages": [{"docid": "2", "title": "", "text": "b"}, {"docid": "3", "text": "c"}],
        }
    ]
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


def test_tevatron_v1_keeps_its_negatives(tmp_path: Path) -> None:
    (found,) = tevatron_examples(tevatron_v1(tmp_path / "t.jsonl"), "en", "de")
    assert found.query == Query("7", "wo?", "de", ("x",))
    assert [p.content for p in found.positives] == ["T a"]
    assert [p.content for p in found.negatives] == ["b", "c"]
    assert {p.lang for p in found.negatives} == {"en"}


def test_tevatron_v2_finds_its_passages_in_the_corpus(tmp_path: Path) -> None:
    row = {
        "query_id": "1",
        "query_text": "where?",
        "positive_document_ids": ["b"],
        "negative_document_ids": ["a"],
    }
    corpus = [{"docid": d, "text": f"text {d}", "title": "T"} for d in "abc"]
    (tmp_path / "rows.jsonl").write_text(json.dumps(row))
    (tmp_path / "corpus.jsonl").write_text("\n".join(map(json.dumps, corpus)))
    (found,) = tevatron_examples(tmp_path / "rows.jsonl", "en", "en", tmp_path / "corpus.jsonl")
    assert [p.content for p in found.positives + found.negatives] == ["T text b", "T text a"]
    row["negative_document_ids"] = ["z"]
    (tmp_path / "rows.jsonl").write_text(json.dumps(row))
    with pytest.raises(DataError, match=r"rows.jsonl:1: docid 'z' is not in .*corpus.jsonl"):
        list(tevatron_examples(tmp_path / "rows.jsonl", "en", "en", tmp_path / "corpus.jsonl"))


def test_a_text_of_another_type_is_told_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text(json.dumps({"query_id": 1, "query": None, "positive_passages": []}))
    with pytest.raises(DataError, match=r"t.jsonl:1: not a row of Tevatron v1 \(NoneType where a text"):
        list(tevatron_examples(tmp_path / "t.jsonl", "en", "en"))


def test_rows_come_back_as_they_were_written(tmp_path: Path) -> None:
    examples = [Example(Q[0], (P[0], P[1]), (P[2],)), Example(Q[1], (P[3],), ())]
    manifest = write_rows(tmp_path / "rows", pool_of(*examples), settings={"a": 1}, counts={"x": 2})
    assert list(read_rows(tmp_path / "rows")) == examples
    assert dict(manifest.counts) == {"passages": 4, "questions": 2, "x": 2}
    with pytest.raises(UsageError, match="not empty"):
        write_rows(tmp_path / "rows", pool_of(*examples))


def test_every_kind_of_source(tmp_path: Path) -> None:
    write_collection(tmp_path / "col", P, Q, {"train": {"q0": {"p0": 1}}, "dev": {"q1": {"p1": 1}}})
    write_rows(tmp_path / "mined", pool_of(Example(Q[2], (P[4],), (P[2],))))
    tevatron_v1(tmp_path / "t.jsonl")
    sets = [
        {"collection": "col", "split": "train"},
        {"rows": "mined"},
        {"name": "tev", "dataset": "tevatron", "source": "t.jsonl", "lang": "en", "query_lang": ["ru", "de"]},
    ]
    data = Data.model_validate_json(json.dumps({"root": str(tmp_path), "sets": sets}))
    pool = read_data(data)
    assert {name: len(found) for name, found in pool.questions.items()} == {"col": 1, "mined": 1, "tev": 1}
    assert pool.questions["tev"][0].query.lang == "de"
    before = digests(pool)
    assert before.keys() == pool.questions.keys()
    again = read_data(data)
    assert digests(again) == before
    (tmp_path / "t.jsonl").write_text((tmp_path / "t.jsonl").read_text().replace('"c"', '"d"'))
    changed = digests(read_data(data))
    assert [name for name in before if changed[name] != before[name]] == ["tev"]


def test_a_collection_of_several_splits_is_asked_for_one(tmp_path: Path) -> None:
    write_collection(tmp_path / "col", P, Q, {"train": {"q0": {"p0": 1}}, "dev": {"q1": {"p1": 1}}})
    data = Data.model_validate_json(json.dumps({"root": str(tmp_path), "sets": [{"collection": "col"}]}))
    with pytest.raises(UsageError, match=r"col: give split; .* has dev, train"):
        read_data(data)


def test_exclusions_hold_for_every_source_but_those_that_read_them(tmp_path: Path) -> None:
    tevatron_v1(tmp_path / "t.jsonl")
    (tmp_path / "leaks.jsonl").write_text(json.dumps({"sha1": text_sha1("b")}))
    source = {"dataset": "tevatron", "source": "t.jsonl", "lang": "en"}
    data = Data.model_validate_json(
        json.dumps({"root": str(tmp_path), "exclusions": "leaks.jsonl", "sets": [source]})
    )
    pool = read_data(data)
    assert contents(pool, pool.questions["tevatron"][0].negatives) == ["c"]
    assert pool.counts["tevatron"]["passages excluded as leaks"] == 1


@pytest.mark.data
def test_real_sources_have_a_positive_for_every_question(data_root: Path) -> None:
    sets = [{"relevance": "nq"}, {"relevance": "arcd"}]
    data = Data.model_validate_json(json.dumps({"root": str(data_root), "sets": sets}))
    pool = read_data(data)
    counts = {name: c["questions"] for name, c in pool.counts.items()}
    assert counts["arcd"] == 1395
    assert counts["nq"] > 2600
    assert all(q.positives for found in pool.questions.values() for q in found)
