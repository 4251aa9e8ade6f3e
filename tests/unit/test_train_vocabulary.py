"""The vocabulary of a student: whose pieces, whose rows, and that English stays English."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array

from babelweave.encode.packaged import minilm
from babelweave.errors import DataError
from babelweave.train.vocabulary import SPECIAL, Vocabulary, initial_rows, learn_pieces, make_tokenizer

ENGLISH = ["The old house by the sea was built in 1850.", "Who built the old house, and when?"] * 5
GERMAN = ["Das alte Haus am Meer wurde 1850 gebaut.", "Wer hat das alte Häuschen gebaut?"] * 6
CHINESE = ["海边的老房子建于1850年。", "谁建造了老房子？"] * 6
TEXTS = {"en": ENGLISH, "de": GERMAN, "zh": CHINESE}
SETTINGS = Vocabulary(english=60, languages={"de": 40, "zh": 30}, max_characters=2000)


@pytest.fixture(scope="module")
def teacher() -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(minilm())


@pytest.fixture(scope="module")
def pieces(teacher: Any) -> Any:
    return learn_pieces(SETTINGS, teacher, ENGLISH, TEXTS)


@pytest.fixture(scope="module")
def tokenizer(pieces: Any) -> Any:
    return make_tokenizer(pieces, 64)


def test_english_is_cut_as_the_teacher_cuts_it(teacher: Any, tokenizer: Any) -> None:
    for text in ENGLISH[:2]:
        theirs = [t if not t.startswith("##") else t[2:] for t in teacher.tokenize(text)]
        assert [t.removeprefix("▁") for t in tokenizer.tokenize(text)] == theirs


def test_pieces_of_the_teacher_keep_its_row(teacher: Any, pieces: Any) -> None:
    assert pieces.teacher["▁house"] == teacher.convert_tokens_to_ids("house")
    assert len(pieces.teacher) <= SETTINGS.english


def test_frequent_words_of_a_language_are_one_piece(tokenizer: Any) -> None:
    """Whole words that begin no other word, which a trainer of pieces alone would cut."""
    assert tokenizer.tokenize("gebaut") == ["▁gebaut"]
    assert tokenizer.tokenize("Das alte Haus") == ["▁das", "▁alte", "▁haus"]


def test_case_and_width_do_not_matter_but_accents_do(tokenizer: Any) -> None:
    assert tokenizer.tokenize("ＨＡＵＳ") == tokenizer.tokenize("haus")
    assert tokenizer.tokenize("Häuschen") != tokenizer.tokenize("Hauschen")


def test_no_known_character_is_unknown(tokenizer: Any) -> None:
    for text in (*GERMAN, *CHINESE):
        assert tokenizer.unk_token_id not in tokenizer(text)["input_ids"]


def test_texts_end_as_in_bert(tokenizer: Any) -> None:
    ids = tokenizer("haus")["input_ids"]
    assert ids[0] == tokenizer.cls_token_id
    assert ids[-1] == tokenizer.sep_token_id
    assert tokenizer.pad_token_id == 0


def test_budgets_are_kept(pieces: Any) -> None:
    characters = {p for p in pieces.log_probability if len(p) == 1}
    new = pieces.log_probability.keys() - pieces.teacher.keys() - characters
    assert len(new) <= 70


def test_probabilities_are_a_mixture(pieces: Any) -> None:
    """Every language's pieces sum to at most their share of 1, so no language outbids another."""
    assert 0.5 < np.exp(list(pieces.log_probability.values())).sum() <= 1.3


def test_a_language_without_text(teacher: Any) -> None:
    with pytest.raises(DataError, match=r"vocabulary.languages.fi"):
        learn_pieces(Vocabulary(english=10, languages={"fi": 5}), teacher, ENGLISH, TEXTS)


def test_rows_begin_as_the_teachers_as_translations_or_as_spelling(
    teacher: Any, pieces: Any, tokenizer: Any
) -> None:
    ids = tokenizer.get_vocab()
    rng = np.random.default_rng(0)
    theirs = rng.standard_normal((len(teacher), 8)).astype(np.float32)
    house, sea = teacher.convert_tokens_to_ids(["house", "sea"])
    counts = csr_array(
        ([8.0, 4.0], ([ids["▁haus"]] * 2, [ids["▁house"], ids["▁sea"]])), shape=(len(ids),) * 2
    )
    found = initial_rows(tokenizer, pieces, teacher, theirs, [counts], sharpness=1.0)
    assert np.array_equal(found.rows[ids["▁house"]], theirs[house])
    assert np.array_equal(found.rows[ids["[CLS]"]], theirs[teacher.cls_token_id])
    mean = (2 * theirs[house] + theirs[sea]) / 3
    row = found.rows[ids["▁haus"]]
    assert row @ mean == pytest.approx(np.linalg.norm(row) * np.linalg.norm(mean), rel=1e-5)
    usual = np.linalg.norm(
        found.rows[[ids[p] for p in pieces.teacher] + [ids[t] for t in SPECIAL.values()]], axis=1
    )
    assert np.linalg.norm(row) == pytest.approx((np.linalg.norm(mean) + usual.mean()) / 2, rel=1e-5)
    spelled = teacher("gebaut", add_special_tokens=False)["input_ids"]
    assert found.rows[ids["▁gebaut"]] == pytest.approx(theirs[spelled].mean(axis=0), rel=1e-5)
    assert found.n_teacher + found.n_aligned + found.n_spelled == len(ids)
    assert found.n_aligned == 1


def test_sharpness_favours_the_frequent_translation(teacher: Any, pieces: Any, tokenizer: Any) -> None:
    ids = tokenizer.get_vocab()
    theirs = np.random.default_rng(1).standard_normal((len(teacher), 8)).astype(np.float32)
    counts = csr_array(
        ([8.0, 4.0], ([ids["▁haus"]] * 2, [ids["▁house"], ids["▁sea"]])), shape=(len(ids),) * 2
    )
    house = theirs[teacher.convert_tokens_to_ids("house")]

    def likeness(sharpness: float) -> float:
        row = initial_rows(tokenizer, pieces, teacher, theirs, [counts], sharpness).rows[ids["▁haus"]]
        return float(row @ house / np.linalg.norm(row) / np.linalg.norm(house))

    assert likeness(1.0) < likeness(2.0) < likeness(8.0) <= 1.0 + 1e-6
