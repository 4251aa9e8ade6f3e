"""Which places of a text a perturbation changes: some share of them, more of the same as severity grows.

A draw depends on (perturbation, text, language, seed) alone. Severity only says how far down the drawn
order the changes go, so what severity 1 changes is changed at 2 as well, and questions may come in any order.
"""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

from babelweave.errors import UsageError
from babelweave.protocols import Perturbation

MOST_SEVERE = 5


class Place(NamedTuple):
    """Characters [begin, end) of a text."""

    begin: int
    end: int


def check_severity(severity: int) -> None:
    """Refuse what is not a severity.

    Raises:
        UsageError: not a whole number from 0 to 5.
    """
    if isinstance(severity, bool) or not isinstance(severity, int) or not 0 <= severity <= MOST_SEVERE:
        raise UsageError(
            f"severity {severity!r}: expected a whole number from 0 (no change) to {MOST_SEVERE}"
        )


def is_idle(perturbation: Perturbation, lang: str, severity: int) -> bool:
    """Whether nothing is to be done: severity 0, or a language that is not claimed.

    Raises:
        UsageError: severity out of range.
    """
    check_severity(severity)
    return severity == 0 or lang not in perturbation.languages


def drawn(name: str, text: str, lang: str, seed: int) -> random.Random:
    """The random numbers of a text, the same whatever the severity."""
    # Bytes, as a text read from a broken file may hold half of a surrogate pair.
    return random.Random(f"{name}\n{seed}\n{lang}\n{text}".encode("utf-8", "surrogatepass"))


def how_many(n: int, share: float) -> int:
    """A share of n, rounded, but at least 1 of any."""
    return min(n, max(1, round(share * n)))


def edit(
    text: str,
    places: Sequence[Place],
    share: float,
    draw: random.Random,
    replace: Callable[[str, float], str],
) -> str:
    """Replace a share of the places of a text, at least one where there are any.

    Args:
        places: in order, none overlapping another.
        replace: what a place holds, and a number drawn from [0, 1) for it, to what stands there instead.
    """
    parts, end = [], 0
    for i, lot in chosen(len(places), share, draw):
        begin, stop = places[i]
        parts += [text[end:begin], replace(text[begin:stop], lot)]
        end = stop
    return finished(text, "".join([*parts, text[end:]]))


def chosen(n: int, share: float, draw: random.Random) -> list[tuple[int, float]]:
    """Some of n things and a number in [0, 1) for each, in order; a larger share holds the smaller one."""
    order = list(range(n))
    draw.shuffle(order)
    lots = [draw.random() for _ in range(n)]
    return [(i, lots[i]) for i in sorted(order[: how_many(n, share)])]


def finished(text: str, changed: str) -> str:
    """A changed text as it is given back: composed if the text was; the text itself if nothing is left."""
    if unicodedata.is_normalized("NFC", text):
        changed = unicodedata.normalize("NFC", changed)
    return changed if changed.strip() else text


def words(text: str) -> list[Place]:
    """The runs of letters, marks and digits, apostrophes within them included."""
    return [Place(*match.span()) for match in _pattern(_WORD).finditer(text)]


def graphemes(text: str, place: Place | None = None) -> list[Place]:
    """What readers take for the characters of a text, or of one place in it."""
    begin, end = place or Place(0, len(text))
    return [Place(*match.span()) for match in _pattern(r"\X").finditer(text, begin, end)]


def marks(text: str) -> list[Place]:
    """Punctuation that is not part of a word or a number: not the hyphen of "X-ray", the point of "3.5"."""
    return [Place(*match.span()) for match in _pattern(_MARK).finditer(text)]


def gaps(text: str) -> list[Place]:
    """The blanks between words."""
    return [Place(*match.span()) for match in _pattern(r"(?<=\S)\s+(?=\S)").finditer(text)]


def is_one_grapheme(text: str) -> bool:
    return _pattern(r"\X").fullmatch(text) is not None


_WORD = r"[\p{L}\p{M}\p{N}\u200c\u200d]+(?:['’ʼ][\p{L}\p{M}\p{N}]+)*"
_MARK = r"\p{P}(?<![\p{L}\p{M}\p{N}]\p{P}(?=[\p{L}\p{M}\p{N}]))"


@cache
def _pattern(pattern: str) -> Any:
    import regex

    return regex.compile(pattern, regex.V1)
