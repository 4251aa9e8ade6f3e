"""Word alignment on corpora small enough to know the answer."""

from __future__ import annotations

import numpy as np
import pytest

from babelweave.train.word_alignment import P_NULL, align, aligned_words

DAS, HAUS, BUCH, EIN = 0, 1, 2, 3
THE, HOUSE, BOOK, A = 4, 5, 6, 7
BROWN = [((DAS, HAUS), (THE, HOUSE)), ((DAS, BUCH), (THE, BOOK)), ((EIN, BUCH), (A, BOOK))]
"""The textbook example of model 1."""


def probability(counts, foreign: int, english: int) -> float:
    return counts[foreign, english] / counts[[foreign], :].sum()


def test_words_that_go_together_are_told_apart() -> None:
    counts = align(BROWN, 8, locality=0.0, iterations=30)
    for foreign, english in ((DAS, THE), (HAUS, HOUSE), (BUCH, BOOK), (EIN, A)):
        assert probability(counts, foreign, english) > 0.9


def test_one_step_by_hand() -> None:
    """One pair of one word: after one step English comes from the word or from nothing, by their priors."""
    counts = align([((1,), (0,))], 2, iterations=1)
    assert counts[1, 0] == pytest.approx(1 - P_NULL)
    assert counts.nnz == 1


def test_every_english_token_is_explained_once() -> None:
    counts = align(BROWN * 4, 8, locality=1.0)
    n_english = sum(len(english) for _, english in BROWN * 4)
    assert 0.5 * n_english < counts.sum() <= n_english


def test_position_decides_where_nothing_else_does() -> None:
    pair = [((0, 1), (2, 3))]
    blind = align(pair, 4, locality=0.0)
    near = align(pair, 4, locality=3.0)
    assert blind[0, 2] == pytest.approx(blind[0, 3])
    assert near[0, 2] > 2 * near[0, 3]
    assert near[1, 3] > 2 * near[1, 2]


def test_nothing_to_align() -> None:
    assert align([], 5).shape == (5, 5)
    assert align([((), (1,)), ((1,), ())], 5).nnz == 0


class Names:
    """Five pieces, as a tokenizer lists them."""

    pieces = ("▁haus", "▁house", "en", "▁stadt", "▁city")

    def __len__(self) -> int:
        return len(self.pieces)

    def convert_ids_to_tokens(self, ids: list[int]) -> list[str]:
        return [self.pieces[i] for i in ids]


def test_words_are_whole_frequent_and_mean_mostly_that() -> None:
    from scipy.sparse import csr_array

    counts = np.zeros((5, 5))
    counts[0, 1] = 9.0  # haus -> house
    counts[2, 1] = 50.0  # a piece is no word
    counts[3, 4], counts[3, 1] = 4.0, 20.0  # stadt is house in most of its uses: not the word for city
    words = aligned_words(csr_array(counts), Names(), "de")
    assert words == {"house": "stadt"}
    counts[0, 1] = 21.0
    assert aligned_words(csr_array(counts), Names(), "de")["house"] == "haus"
    assert aligned_words(csr_array(counts), Names(), "de", fewest=22) == {}
