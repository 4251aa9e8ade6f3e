"""8-grams by hand: what is shared, what is too short, and scripts without spaces."""

from __future__ import annotations

import random

import pytest

from babelweave.data.overlap import Match, OverlapIndex, pieces, question_key


def words(start: int, n: int) -> list[str]:
    """n words that no other start gives."""
    return [f"w{start + i}" for i in range(n)]


def letters(first: str, n_letters: int, n: int, seed: int) -> str:
    draw = random.Random(seed)
    return "".join(chr(ord(first) + draw.randrange(n_letters)) for _ in range(n))


def test_question_key() -> None:
    assert question_key("  Who was Ｊulius  CÆSAR?! ") == question_key("who was julius cæsar")
    assert question_key("¿Qué es?") == "qué es"
    assert question_key("Was it 1.5 or 15?") != question_key("Was it 15 or 15?")
    assert question_key("दिल्ली कहाँ है?") == "दिल्ली कहाँ है"  # vowel signs belong to their words
    assert question_key("?!") == ""


@pytest.mark.parametrize(
    ("text", "expected", "window"),
    [
        ("Don't STOP, 1.5", ["don", "t", "stop", "1", "5"], 8),
        ("Straße Ｎr. ５", ["strasse", "nr", "5"], 8),
        ("दिल्ली में", ["दिल्ली", "में"], 8),
        ("世界のABC人", ["世", "界", "の", "abc", "人"], 16),
        ("ที่นี่", ["ที่", "นี่"], 32),
        ("the word 世界 in English", ["the", "word", "世", "界", "in", "english"], 8),
        ("", [], 8),
    ],
)
def test_pieces(text: str, expected: list[str], window: int) -> None:
    assert pieces(text) == (expected, window)


@pytest.mark.parametrize(("copied", "found"), [(27, True), (26, False)])
def test_a_passage_with_a_fifth_of_its_8_grams_elsewhere(copied: int, found: bool) -> None:
    """107 words are 100 8-grams; 27 words in a row are 20 of them, 26 are 19."""
    held_out = words(0, 107)
    passage = " ".join([*words(1000, 50), *held_out[:copied], *words(2000, 107 - 50 - copied)])
    compared = OverlapIndex([" ".join(held_out)]).compare([passage], 0.2)
    assert compared.matches == ([Match(0, 0, 20, 0.2)] if found else [])
    assert OverlapIndex([passage]).compare([" ".join(held_out)], 0.2).matches == compared.matches


@pytest.mark.parametrize(("first", "n_letters", "window"), [("一", 20_000, 16), ("ก", 40, 32)])
@pytest.mark.parametrize(("n_shared", "found"), [(20, True), (19, False)])
def test_scripts_without_spaces(first: str, n_letters: int, window: int, n_shared: int, found: bool) -> None:
    held_out = letters(first, n_letters, 99 + window, seed=1)
    copied = held_out[: n_shared + window - 1]
    passage = copied + letters(first, n_letters, 99 + window - len(copied), seed=2)
    compared = OverlapIndex([held_out]).compare([passage], 0.2)
    assert compared.matches == ([Match(0, 0, 20, 0.2)] if found else [])


def test_a_sentence_of_a_passage_overlaps_by_one() -> None:
    passage = words(0, 200)
    index = OverlapIndex([" ".join(words(500, 60)), " ".join(passage)])
    compared = index.compare(["nothing", " ".join(passage[50:80]).upper() + "."], 0.2)
    assert compared.matches == [Match(1, 1, 23, 1.0)]
    assert compared.n_short == 1


def test_texts_under_fifteen_words_are_too_short() -> None:
    passage = words(0, 100)
    texts = [" ".join(passage[:14]), " ".join(passage[:15]), ""]
    compared = OverlapIndex([" ".join(passage)]).compare(texts, 0.2)
    assert compared.matches == [Match(1, 0, 8, 1.0)]
    assert compared.n_short == 2


def test_order_and_repeats() -> None:
    passages = [" ".join(words(100 * i, 30)) for i in range(3)]
    text = " ".join([passages[2], passages[0], passages[2]])
    index = OverlapIndex(iter(passages))
    assert index.n_rows == 3
    assert index.compare([text, passages[1]], 0.2).matches == [
        Match(0, 0, 23, 1.0), Match(0, 2, 23, 1.0), Match(1, 1, 23, 1.0),
    ]  # fmt: skip


def test_nothing_to_compare_with() -> None:
    assert OverlapIndex([]).compare(["a b c"], 0.2) == ([], 1)
    assert OverlapIndex([" ".join(words(0, 30))]).compare([], 0.2) == ([], 0)
