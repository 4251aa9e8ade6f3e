"""Two letters of a word in the wrong order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from babelweave.shift.edits import drawn, edit, graphemes, is_idle, words

SHARES = (0.0, 0.1, 0.25, 0.4, 0.6, 0.8)
"""Severity -> share of the words with at least three letters; at least one word."""
_FEWEST_LETTERS = 3
LANGUAGES = frozenset(
    "ar bn cs de el en es fi fr he hi id it ko ms nl pl pt ru sv sw te tr uk vi".split()
)  # fmt: skip
"""Written with blanks between words, so that a word can be told."""


class Transpose:
    """Neighbouring letters of a word swapped, the first letter excepted.

    A letter is what readers take for one, with its marks (a grapheme cluster). The first stays because
    people rarely mistype it (Pruthi, Dhingra and Lipton 2019, arXiv 1905.11268, keep first and last).
    """

    @property
    def signature(self) -> Mapping[str, Any]:
        return {"name": "transpose"}

    @property
    def languages(self) -> frozenset[str]:
        return LANGUAGES

    def perturb(self, text: str, lang: str, severity: int, seed: int) -> str:
        if is_idle(self, lang, severity):
            return text
        places = [word for word in words(text) if _swaps(text[word.begin : word.end])]

        def replace(word: str, lot: float) -> str:
            swaps = _swaps(word)
            return swaps[int(lot * len(swaps))]

        return edit(text, places, SHARES[severity], drawn("transpose", text, lang, seed), replace)


def _swaps(word: str) -> list[str]:
    """The word with each pair of neighbours swapped that differ, without the first letter's."""
    letters = [word[begin:end] for begin, end in graphemes(word)]
    if len(letters) < _FEWEST_LETTERS:
        return []
    return [
        "".join([*letters[:i], letters[i + 1], letters[i], *letters[i + 2 :]])
        for i in range(1, len(letters) - 1)
        if letters[i] != letters[i + 1]
    ]
