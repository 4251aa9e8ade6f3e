"""Words out of order, near where they were."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from babelweave.shift.edits import Place, drawn, finished, is_idle

REACH = (0, 1, 2, 3, 5, 8)
"""Severity -> how far words can move: two that stand d apart change places only if it is above d. At least
one pair of neighbours does."""
LANGUAGES = frozenset(
    "ar bn cs de el en es fi fr he hi id it ko ms nl pl pt ru sv sw te tr uk vi".split()
)  # fmt: skip
"""Written with blanks between words."""


class WordOrder:
    """Words shuffled near their places, as in telegraphic queries or another language's order.

    Word i is sorted by i + reach * u with u drawn from [0, 1) (the local shuffle of Lample et al. 2018,
    arXiv 1711.00043), so a larger reach only adds to the pairs out of order. What opens the first word and
    closes the last (¿ ? quotes) stays at the ends.
    """

    @property
    def signature(self) -> Mapping[str, Any]:
        return {"name": "word_order"}

    @property
    def languages(self) -> frozenset[str]:
        return LANGUAGES

    def perturb(self, text: str, lang: str, severity: int, seed: int) -> str:
        if is_idle(self, lang, severity):
            return text
        places = _places(text)
        if len(places) < 2:
            return text
        order = _order(len(places), REACH[severity], drawn("word_order", text, lang, seed))
        parts, end = [], 0
        for place, source in zip(places, [places[i] for i in order], strict=True):
            parts += [text[end : place.begin], text[source.begin : source.end]]
            end = place.end
        return finished(text, "".join([*parts, text[end:]]))


def _order(n: int, reach: int, draw: random.Random) -> list[int]:
    """Which word comes at each place; never as they were."""
    lots = [draw.random() for _ in range(n)]
    order = sorted(range(n), key=lambda i: i + reach * lots[i])
    if order == list(range(n)):  # the neighbours that a larger reach would swap first
        i = max(range(n - 1), key=lambda i: lots[i] - lots[i + 1])
        order[i], order[i + 1] = order[i + 1], order[i]
    return order


def _places(text: str) -> Sequence[Place]:
    """The words without what opens the first and closes the last."""
    import regex

    inner = regex.fullmatch(r"[\p{P}\s]*(.*?)[\p{P}\s]*", text, regex.DOTALL)
    begin, end = inner.span(1)
    return [Place(*match.span()) for match in regex.finditer(r"\S+", text, pos=begin, endpos=end)]
