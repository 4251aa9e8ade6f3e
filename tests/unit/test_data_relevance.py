"""Training questions of every source: all splits together, leaks left out and counted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import training_cases as cases
from babelweave import registry
from babelweave.data import nq
from babelweave.data.relevance import card, read_relevance
from babelweave.data.squad import text_id, text_sha1
from babelweave.errors import DataError, UsageError
from babelweave.records import Passage, Query


def write_nq(path: Path, *questions: tuple[str, str]) -> None:
    """Rows of (question, gold passage), each with a passage that is not gold."""
    other = {"title": "N", "text": "no", "isgold": False}
    cases.write_rows(
        path,
        *(
            {
                "question": q,
                "answers": ["a", "a"],
                "ctxs": [other, {"title": "G", "text": text, "isgold": True}],
            }
            for q, text in questions
        ),
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    cases.write_rows(tmp_path / "leak_exclusions.jsonl.gz", {"sha1": text_sha1("listed"), "title": "L"})
    arcd = tmp_path / "arcd"
    cases.write(arcd / "arcd-train.json", cases.squad_json(("one", [("1", "a?"), ("2", "b?")])))
    cases.write(arcd / "arcd-test.json", cases.squad_json(("one", [("3", "c?")]), ("listed", [("4", "d?")])))
    write_nq(
        tmp_path / "nq-open-oracle" / "nq-open-oracle.jsonl.gz",
        ("who", "gold"),
        ("what", "listed"),
        ("x", "gold"),
    )
    return tmp_path


def test_all_splits_without_the_listed(root: Path) -> None:
    data = read_relevance("arcd", root)
    one = text_id("one")
    assert data.passages == [Passage(one, "one", "ar", "T")]
    assert [(q.query_id, q.text) for q in data.queries] == [("1", "a?"), ("2", "b?"), ("3", "c?")]
    assert data.qrels == {"train": {"1": {one: 1}, "2": {one: 1}, "3": {one: 1}}}
    assert data.counts == {
        "passages in several splits merged": 1,
        "passages excluded as leaks": 1,
        "questions of excluded passages dropped": 1,
    }


def test_more_texts_are_excluded_by_name(root: Path) -> None:
    data = read_relevance("arcd", root, exclude={text_sha1("b?")})
    assert [q.query_id for q in data.queries] == ["1", "3"]
    assert data.counts["questions excluded as leaks"] == 1
    nothing = read_relevance("arcd", root, exclude={text_sha1("one")})
    assert (nothing.passages, nothing.queries, nothing.qrels) == ([], [], {"train": {}})
    assert nothing.counts == {"passages excluded as leaks": 3, "questions of excluded passages dropped": 4}


def test_nq(root: Path) -> None:
    data = read_relevance("nq", root)
    assert data.queries == [Query("nq-0", "who", "en", ("a",)), Query("nq-2", "x", "en", ("a",))]
    assert data.passages == [Passage(text_id("gold"), "gold", "en", "G")]
    assert data.counts["repeated contexts merged"] == 1


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"answers": [], "ctxs": []}, "0 gold passages, expected one"),
        ({"question": "?", "answers": []}, "no 'ctxs'"),
        ({"question": "?", "answers": [], "ctxs": [{"isgold": True, "title": "t"}]}, "no 'text'"),
    ],
)
def test_broken_rows_of_nq_are_named(tmp_path: Path, row: object, message: str) -> None:
    path = tmp_path / "nq.jsonl"
    path.write_text(json.dumps(row), encoding="utf-8")
    with pytest.raises(DataError, match=rf"nq\.jsonl:1: not a row of Natural Questions \({message}"):
        nq.read_nq_oracle(path)


def test_an_id_of_two_splits_is_refused(root: Path) -> None:
    cases.write(root / "arcd" / "arcd-test.json", cases.squad_json(("two", [("1", "c?")])))
    with pytest.raises(DataError, match="question id '1' of split 'test' is used twice"):
        read_relevance("arcd", root)


def test_the_exclusion_list_is_needed(root: Path) -> None:
    (root / "leak_exclusions.jsonl.gz").unlink()
    with pytest.raises(DataError, match="leak_exclusions"):
        read_relevance("arcd", root)
    cases.write(root / "leak_exclusions.jsonl.gz", '{"sha1": 1}\n')
    with pytest.raises(DataError, match=r"gz:1: no sha1"):
        read_relevance("arcd", root)


@pytest.mark.parametrize("name", registry.names("relevance"))
def test_cards(name: str) -> None:
    source = card(name)
    reader = registry.load("dataset", source.dataset)
    assert source.licence == reader.licence
    assert source.title
    assert source.attribution
    assert tuple(sorted(source.languages)) == source.languages


def test_an_unknown_source_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'squad'"):
        card("sqad")
