"""Words written in Latin letters by people whose keyboard, or habit, has no others."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from anyascii import anyascii

from babelweave.data.words import SPACELESS
from babelweave.shift.edits import drawn, edit, finished, graphemes, how_many, is_idle, words

SHARES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Severity -> share of the words (of the characters, where no blanks part words); at least one."""
_UNSPACED = frozenset({"th", "zh", "zh-Hant"})
LANGUAGES = _UNSPACED | frozenset("ar bn el he hi ko ru te uk".split())
"""Written in other letters. Those of Latin ones lose only their marks, which is `diacritics`; Japanese is
left out because its kanji would be read as Chinese."""


class Transliterate:
    """Words put into Latin letters by AnyAscii (ISC licence), letter by letter.

    It looks at no word around a letter: Arabic and Hebrew come without vowels ("mta" for "متى"), as in much
    typed Arabic, and Hindi and Bengali without the vowel that is not written ("kb" for "कब"); Chinese comes
    as pinyin without tones. Where no blanks part words one stretch of characters is transliterated.
    """

    @property
    def signature(self) -> Mapping[str, Any]:
        return {"name": "transliterate", "anyascii": version("anyascii")}

    @property
    def languages(self) -> frozenset[str]:
        return LANGUAGES

    def perturb(self, text: str, lang: str, severity: int, seed: int) -> str:
        if is_idle(self, lang, severity):
            return text
        draw = drawn("transliterate", text, lang, seed)
        if lang in _UNSPACED:
            return _stretch(text, SHARES[severity], draw.random())
        places = [word for word in words(text) if _latin(text[word.begin : word.end]) is not None]

        def replace(word: str, _lot: float) -> str:
            return _latin(word) or word

        return edit(text, places, SHARES[severity], draw, replace)


def _stretch(text: str, share: float, lot: float) -> str:
    """The text with neighbouring characters transliterated; a larger share reaches further both ways."""
    import regex

    letters = [place for place in graphemes(text) if regex.match(SPACELESS, text[slice(*place)], regex.V1)]
    if not letters:
        return text
    n = how_many(len(letters), share)
    first = int(lot * (len(letters) - n + 1))
    begin, end = letters[first].begin, letters[first + n - 1].end
    latin = _latin(text[begin:end])
    return text if latin is None else finished(text, text[:begin] + latin + text[end:])


def _latin(text: str) -> str | None:
    """In Latin letters, None where it is already, or has none of its own."""
    latin = anyascii(text)
    if not text[:1].isupper():
        latin = latin.lower()  # it begins each Chinese syllable with a capital
    return latin if latin.strip() and latin != text else None
