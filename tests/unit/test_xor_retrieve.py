"""XOR-Retrieve judged by its answers, by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

import training_cases as cases
from babelweave.errors import DataError, UsageError
from babelweave.evaluate.benchmarks.xor_retrieve import MOST, read_judged
from babelweave.records import Passage

FOREST = "It rises in the Black Forest."
POOL = [
    Passage("a", FOREST, "en", "Oslo"),
    Passage("b", "A black forest it is not.", "en"),
    Passage("c", "Rotterdam has a port.", "en"),
    *(Passage(f"y{i}", f"Number {i}, in the year 1910.", "en") for i in range(MOST)),
    Passage("last", "Number 10, in the year 1911.", "en"),
]
ASKED = [
    ("1", "ja", "黒い森?", ["Black Forest"]),
    ("2", "ja", "誰?", ["Oslo"]),  # a title is no text
    ("3", "fi", "missä?", ["Rotterdam", "Black Forest"]),
    ("4", "fi", "milloin?", ["1910"]),
    ("5", "fi", "monesko?", ["number"]),
    ("6", "te", "అవునా?", ["yes"]),
]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return cases.write_xor_dev(tmp_path, *ASKED)


def test_relevant_is_what_holds_an_answer(source: Path) -> None:
    tasks = read_judged(source, POOL)
    found = {s.name: s.qrels for s in tasks.subsets}
    assert found == {
        "en-fi": {"3": {"a": 1, "b": 1, "c": 1}, "4": {f"y{i}": 1 for i in range(MOST)}},
        "en-ja": {"1": {"a": 1, "b": 1}},
        "en-te": {},
    }
    assert tasks.signature["unasked"] == {
        "no passage holds an answer": 1,
        f"more than {MOST} passages hold an answer": 1,
        "the answer is yes or no": 1,
    }
    for subset in tasks.subsets:
        assert (subset.passage_lang, subset.query_lang) == ("en", subset.name[3:])
        assert [p.doc_id for p in subset.passages] == [*"abc", *(f"y{i}" for i in range(MOST))]
        assert {q.query_id for q in subset.queries} == subset.qrels.keys()
    assert tasks.missing == ["en-ar", "en-bn", "en-ko", "en-ru"]


def test_one_language_searches_its_own_answers_and_distractors(source: Path) -> None:
    more = [Passage("z", FOREST, "en"), POOL[-1]]
    (ja,) = read_judged(source, POOL, subsets="en-ja", distractors=more).subsets
    assert [p.doc_id for p in ja.passages] == ["a", "b", "last"], "a text that is there is not added"
    signatures = [
        read_judged(source, POOL, subsets="en-ja", **given).signature  # type: ignore[arg-type]
        for given in ({}, {"distractors": POOL[-1:]}, {"distractors": POOL[2:3]})
    ]
    assert len({s["passages"] for s in signatures}) == 3


def test_what_cannot_be_read(source: Path) -> None:
    with pytest.raises(UsageError, match="'en-ko'"):
        read_judged(source, POOL, subsets="en-ko")
    with pytest.raises(UsageError, match="no file of split 'train'"):
        read_judged(source.parent, POOL, split="train")
    with pytest.raises(
        DataError, match=r"no question of en-te has answers that stand in 1 to 10 of the 14 p"
    ):
        read_judged(source, POOL, subsets="en-te")
