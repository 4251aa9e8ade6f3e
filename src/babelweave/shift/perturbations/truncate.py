"""Questions that break off, or begin late."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

from babelweave.data.words import SPACELESS
from babelweave.errors import UsageError, nearest
from babelweave.shift.edits import Place, finished, graphemes, how_many, is_idle

End = Literal["tail", "head"]

SHARES = (0.0, 0.1, 0.2, 0.3, 0.45, 0.6)
"""Severity -> share of the words (of the characters, where there are no blanks between words) cut off; at
least one, and at least one stays."""
_UNSPACED = frozenset({"ja", "th", "zh", "zh-Hant"})
LANGUAGES = _UNSPACED | frozenset(
    "ar bn cs de el en es fi fr he hi id it ko ms nl pl pt ru sv sw te tr uk vi".split()
)  # fmt: skip


class Truncate:
    """The end of a question cut off, as a search box that sends too early does, or its beginning.

    Nothing is drawn: the seed does not matter.

    Args:
        end: which end is lost.
    Raises:
        UsageError: another end.
    """

    def __init__(self, *, end: End = "tail") -> None:
        if end not in get_args(End):
            raise UsageError(f"unknown end {end!r}; {nearest(end, get_args(End))}")
        self._end = end

    @property
    def signature(self) -> Mapping[str, Any]:
        return {"name": "truncate", "end": self._end}

    @property
    def languages(self) -> frozenset[str]:
        return LANGUAGES

    def perturb(self, text: str, lang: str, severity: int, seed: int) -> str:
        if is_idle(self, lang, severity):
            return text
        pieces = _pieces(text, lang)
        if len(pieces) < 2:
            return text
        n = min(len(pieces) - 1, how_many(len(pieces), SHARES[severity]))
        if self._end == "tail":
            return finished(text, text[: pieces[-n - 1].end])
        return finished(text, text[pieces[n].begin :])


def _pieces(text: str, lang: str) -> list[Place]:
    """Words with the marks beside them, or characters."""
    import regex

    if lang in _UNSPACED and regex.search(SPACELESS, text, regex.V1):
        return [place for place in graphemes(text) if not text[place.begin : place.end].isspace()]
    return [Place(*match.span()) for match in regex.finditer(r"\S+", text)]
