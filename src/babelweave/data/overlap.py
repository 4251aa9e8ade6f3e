"""How much two texts share: questions compared whole, passages by their 8-grams.

A piece is a word of letters, marks and digits after NFKC and case folding; where a script writes no
spaces, each letter with its marks is a piece. An n-gram is 8 consecutive words, or as many letters as 8
words take: 16 of Chinese and Japanese, 32 of Thai, Lao, Khmer and Burmese, by what most of a text's pieces
are (8 letters are one name, and names are no leak).

Two passages overlap by the distinct n-grams they share, as a fraction of those of the one that has fewer:
a sentence that stands in a long passage overlaps with it by 1. A text of fewer than 8 n-grams (15 words)
is too short to tell by, and counts as having none: one idiom or title would be much of it.
"""

from __future__ import annotations

import functools
import hashlib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from babelweave.data.words import EAST_ASIAN, SOUTHEAST_ASIAN, SPACELESS
from babelweave.records import Int64

N_WORDS, N_EAST_ASIAN, N_SOUTHEAST_ASIAN = 8, 16, 32
"""Pieces of an n-gram."""
FEWEST = 8
"""Texts with fewer n-grams are too short to compare."""
_UInt64 = npt.NDArray[np.uint64]
_BASE = 0x9E3779B97F4A7C15
"""Of the polynomial hash; odd, so that it has an inverse modulo 2^64."""
_INVERSE = pow(_BASE, -1, 2**64)
_TEXTS_AT_ONCE = 4096
_ASCII_WORD = re.compile(r"[a-z0-9]+")


class Match(NamedTuple):
    """Text `text` of those compared and passage `row` of the index share `shared` n-grams."""

    text: int
    row: int
    shared: int
    overlap: float


class Comparison(NamedTuple):
    """Matches in the order of the texts, then of the rows; and how many texts were too short."""

    matches: list[Match]
    n_short: int


class _Patterns(NamedTuple):
    piece: Any
    other: Any
    """All that is in no piece."""
    east_asian: Any
    southeast_asian: Any


@functools.cache
def _patterns() -> _Patterns:
    """Compiled when first used, because importing `regex` takes a while."""
    import regex

    return _Patterns(
        regex.compile(rf"{SPACELESS}\p{{M}}*+|[[\p{{L}}\p{{M}}\p{{N}}]--{SPACELESS}]++", regex.V1),
        regex.compile(r"[^\p{L}\p{M}\p{N}]+"),
        regex.compile(EAST_ASIAN),
        regex.compile(SOUTHEAST_ASIAN),
    )


def question_key(text: str) -> str:
    """What makes two questions the same: their letters, marks and digits, after NFKC and case folding."""
    folded: str = _patterns().other.sub(" ", _folded(text))
    return folded.strip()


def pieces(text: str) -> tuple[list[str], int]:
    """The pieces of a text in order, and how many of them make an n-gram."""
    folded = _folded(text)
    if folded.isascii():  # most English texts, four times as fast
        return _ASCII_WORD.findall(folded), N_WORDS
    patterns = _patterns()
    found: list[str] = patterns.piece.findall(folded)
    if 2 * len(patterns.east_asian.findall(folded)) > len(found):
        return found, N_EAST_ASIAN
    if 2 * len(patterns.southeast_asian.findall(folded)) > len(found):
        return found, N_SOUTHEAST_ASIAN
    return found, N_WORDS


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


class OverlapIndex:
    """The n-grams of some passages, to find the texts that share them.

    Args:
        passages: held as 16 bytes for each distinct n-gram, not as text.
    """

    def __init__(self, passages: Iterable[str]) -> None:
        grams = [np.empty(0, dtype=np.uint64)]
        rows = [np.empty(0, dtype=np.int64)]
        self.n_rows = 0
        stream = iter(passages)
        while batch := list(islice(stream, _TEXTS_AT_ONCE)):
            found, bounds = _ngrams(batch)
            grams.append(found)
            rows.append(np.repeat(np.arange(len(batch)) + self.n_rows, np.diff(bounds)))
            self.n_rows += len(batch)
        gram, row = np.concatenate(grams), np.concatenate(rows)
        order = np.lexsort((row, gram))
        gram, row = gram[order], row[order]
        distinct = np.ones(len(gram), dtype=bool)
        distinct[1:] = (gram[1:] != gram[:-1]) | (row[1:] != row[:-1])
        gram, self._rows = gram[distinct], row[distinct]
        self._grams, first = np.unique(gram, return_index=True)
        self._first = np.append(first, len(gram))
        self._sizes = np.bincount(self._rows, minlength=self.n_rows)

    def compare(self, texts: Sequence[str], threshold: float) -> Comparison:
        """The pairs of a text and a passage that overlap by at least `threshold`, more than 0.

        Cost: 100,000 texts of 100 words against 10,000 passages take half a minute on one core.
        """
        grams, bounds = _ngrams(texts)
        n_short = int(np.count_nonzero(np.diff(bounds) == 0))
        if not len(self._grams):
            return Comparison([], n_short)
        found = np.minimum(np.searchsorted(self._grams, grams), len(self._grams) - 1)
        shared = self._grams[found] == grams
        owners = np.unique(np.searchsorted(bounds, np.flatnonzero(shared), side="right") - 1)
        matches: list[Match] = []
        for text in owners.tolist():
            span = slice(bounds[text], bounds[text + 1])
            known = np.unique(found[span][shared[span]])
            size = len(np.unique(grams[span]))
            postings = [self._rows[self._first[k] : self._first[k + 1]] for k in known]
            rows, counts = np.unique(np.concatenate(postings), return_counts=True)
            overlaps = counts / np.minimum(self._sizes[rows], size)
            matches += [
                Match(text, int(rows[at]), int(counts[at]), float(overlaps[at]))
                for at in np.flatnonzero(overlaps >= threshold)
            ]
        return Comparison(matches, n_short)


def _ngrams(texts: Sequence[str]) -> tuple[_UInt64, Int64]:
    """64-bit hashes of the n-grams of all texts, repeats and all, and where those of each begin and end.

    An n-gram's hash is the sum of its pieces' hashes, times powers of the base; as sums over any span come
    from two running sums, all texts are hashed at once whatever the length of their n-grams.

    Returns:
        hashes (g,), bounds (texts + 1,): those of text i are `hashes[bounds[i] : bounds[i + 1]]`, none
        where it is too short.
    """
    read = [pieces(text) for text in texts]
    lengths = np.array([len(found) for found, _ in read], dtype=np.int64)
    window = np.array([n for _, n in read], dtype=np.int64)
    flat = np.array([_hash(piece) for found, _ in read for piece in found], dtype=np.uint64)
    powers = np.cumprod(np.full(len(flat), _BASE, dtype=np.uint64))
    inverses = np.cumprod(np.full(len(flat), _INVERSE, dtype=np.uint64))
    sums = np.concatenate([np.zeros(1, dtype=np.uint64), np.cumsum(flat * powers)])

    counts = lengths - window + 1
    counts[counts < FEWEST] = 0
    bounds = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counts)])
    # The k-th n-gram of a text begins at its k-th piece, so none reaches over into the next text.
    first = np.repeat(np.cumsum(lengths) - lengths - bounds[:-1], counts) + np.arange(bounds[-1])
    return (sums[first + np.repeat(window, counts)] - sums[first]) * inverses[first], bounds


@functools.lru_cache(maxsize=1_000_000)
def _hash(piece: str) -> int:
    """The same on every machine and in every process, unlike `hash`."""
    return int.from_bytes(hashlib.blake2b(piece.encode("utf-8"), digest_size=8).digest(), "little")
