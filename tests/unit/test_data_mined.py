"""Questions paired with the English passages that hold their answers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

import training_cases as cases
from babelweave.data.answers import AnswerIndex
from babelweave.data.mined import read_mined
from babelweave.data.relevance import read_relevance
from babelweave.errors import DataError

PASSAGES = [
    "The river Rhine rises in the Alps and ends in the North Sea near Rotterdam.",
    "The river Danube rises in the Black Forest and ends in the Black Sea.",
    "Rotterdam has the largest port of Europe.",
]


@pytest.mark.parametrize(
    ("question", "answers", "row"),
    [
        ("Where ends the river Rhine?", ["Rotterdam"], 0),
        ("Who has the largest port?", ["Rotterdam"], 2),
        ("Where rises the river Danube?", ["the Rhine", "Black Forest"], 1),
        ("Where rises the river Danube?", ["Forest Black"], None),  # no such phrase
        ("Where rises the river Danube?", ["Oslo"], None),
        ("Who painted the ceiling of a chapel?", ["Rotterdam"], None),  # too little of the question
        ("Is the Rhine a river?", ["yes"], None),
        ("Is the Rhine a river?", ["!"], None),
        ("?", ["Rotterdam"], None),
    ],
)
def test_the_passage_that_holds_the_answer_and_most_of_the_question(
    question: str, answers: Sequence[str], row: int | None
) -> None:
    assert AnswerIndex(["Yes, no.", *PASSAGES]).best(question, answers) == (None if row is None else row + 1)


def test_passages_that_hold_an_answer_word_for_word() -> None:
    index = AnswerIndex(
        ["In 1910 he left.", "BLACK forest", "The Black Forest.", "forest, black", "Yes, unknown."]
    )
    assert index.holding(["Black Forest", "in 1910"]).tolist() == [0, 1, 2]
    assert index.holding(["10", "he  left!", "forest"]).tolist() == [0, 1, 2, 3], "10 is no word of 1910"
    for nothing in ([], ["yes", "Unknown", "No."], ["", "?"], ["Oslo"]):
        assert index.holding(nothing).tolist() == []


def test_equal_passages_give_the_first() -> None:
    assert AnswerIndex([*PASSAGES[1:], PASSAGES[1]]).best("the river Danube", ["Black Sea"]) == 0
    assert AnswerIndex([]).best("the river Danube", ["Black Sea"]) is None


@pytest.fixture
def root(tmp_path: Path) -> Path:
    cases.write_parallel(tmp_path)
    cases.write_evaluations(tmp_path)
    cases.write_english_pool(tmp_path, PASSAGES, ["Which sea, who and where: a passage of Oslo."])
    xor = tmp_path / "xor-tydi"
    cases.write(xor / "ja-en" / "ja.txt", "ライン川はどこ?\n誰?\n")
    cases.write(xor / "ja-en" / "en.txt", "Where ends the river Rhine?\nWhere is Oslo, a passage?\n")
    asked = [("1", "ライン川はどこ？", "Rotterdam"), ("2", "誰？", "Oslo"), ("3", "何?", "Rotterdam")]
    rows = [{"id": i, "question": q, "answers": [a], "lang": "ja", "split": "train"} for i, q, a in asked]
    cases.write_rows(xor / "xor_train_retrieve_eng_span.jsonl", *rows)
    cases.write_rows(
        tmp_path / "mkqa" / "queries.jsonl.gz",
        {
            "id": "1",
            "q": {"en": "largest port of europe", "fi": "suurin satama"},
            "ans": {"en": ["Rotterdam"]},
        },
        {"id": "2", "q": {"en": "where is oslo a passage", "fi": "missä"}, "ans": {"en": ["Oslo"]}},
        {"id": "3", "q": {"en": "unanswered port", "fi": "mitä"}},
    )
    mintaka = {
        "id": "m",
        "question": "Which sea, the river Danube?",
        "answer": {"mention": "Black Sea"},
    }
    mintaka["translations"] = {"de": "In welches Meer?", "hi": "कौन?"}
    none = {"id": "n", "question": "?", "answer": {"mention": None}, "translations": {"de": "Wer?"}}
    cases.write(tmp_path / "mintaka-dev" / "mintaka_dev.json", json.dumps([mintaka, none]))
    return tmp_path


def test_every_source_and_no_evaluated_passage(root: Path) -> None:
    data = read_mined(root)
    texts = {p.doc_id: p.text for p in data.passages}
    (judged,) = data.qrels.values()
    found = {q.query_id: (q.lang, q.text, [texts[d] for d in judged[q.query_id]]) for q in data.queries}
    assert found == {
        "xor-1-ja": ("ja", "ライン川はどこ？", PASSAGES[:1]),
        "mkqa-1-fi": ("fi", "suurin satama", PASSAGES[2:]),
        "mintaka-m-de": ("de", "In welches Meer?", PASSAGES[1:2]),
        "mintaka-m-hi": ("hi", "कौन?", PASSAGES[1:2]),
    }
    assert data.counts == {
        "xor: questions": 1,  # one stands in XOR-Retrieve dev, one has no English
        "mkqa: questions": 1,
        "mkqa: questions without a passage dropped": 2,  # Oslo stands in SQuAD dev alone
        "mintaka: questions": 2,
        "mintaka: questions without a passage dropped": 1,
    }
    assert [q.query_id for q in read_relevance("mined", root).queries] == list(found)


def test_broken_mintaka_is_named(root: Path) -> None:
    cases.write(root / "mintaka-dev" / "mintaka_dev.json", '[{"question": "?"}]')
    with pytest.raises(DataError, match=r"mintaka_dev\.json: entry 0 is not a row of Mintaka \(no 'answer'"):
        read_mined(root)
