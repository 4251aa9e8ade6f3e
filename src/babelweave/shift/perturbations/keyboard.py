"""A key beside the one that was meant."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from babelweave.artifact import digest_texts
from babelweave.shift.edits import Place, drawn, edit, graphemes, is_idle, is_one_grapheme, words
from babelweave.shift.perturbations.layouts import (
    Neighbours,
    alike,
    packaged_layouts,
    read_layouts,
)

SHARES = (0.0, 0.03, 0.06, 0.1, 0.15, 0.2)
"""Severity -> share of the letters; at least one. From one slip in a question of thirty letters to one in
five letters; chosen by hand, for no log of typed questions in these languages is at hand."""

_INITIALS = "ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎ"
_VOWELS = "ㅏㅐㅑㅒㅓㅔㅕㅖㅗㅘㅙㅚㅛㅜㅝㅞㅟㅠㅡㅢㅣ"
_FINALS = " ㄱㄲㄳㄴㄵㄶㄷㄹㄺㄻㄼㄽㄾㄿㅀㅁㅂㅄㅅㅆㅇㅈㅊㅋㅌㅍㅎ"
_FIRST_SYLLABLE, _LAST_SYLLABLE = 0xAC00, 0xD7A3  # Unicode, section 3.12: how syllables are numbered


class Keyboard:
    """Letters replaced by one of a neighbouring key, capitals by capitals.

    A letter is replaced by a letter and a vowel sign by a sign, so that no mark is cut off. A Korean
    syllable has one of its keys replaced and stays a syllable. Letters that are not a key of their own
    (the Vietnamese "ế", typed in several strokes) stay as they are.

    Args:
        layouts: folder of `LANG.json` files, {key: [neighbouring keys]}, as nlpaug has them
            (MIT; Belinkov and Bisk 2018, arXiv 1711.02173, measure such noise); they go before the
            packaged keyboards (`layouts.toml`).
    Raises:
        DataError: the folder is missing or a file of it broken.
    """

    def __init__(self, *, layouts: str | None = None) -> None:
        self._layouts = packaged_layouts() | (read_layouts(Path(layouts)) if layouts else {})
        self._options = cache(self._find_options)

    @property
    def signature(self) -> Mapping[str, Any]:
        keys = (
            f"{lang} {key} {''.join(near)}" for lang in sorted(self._layouts)
            for key, near in sorted(self._layouts[lang].items())
        )  # fmt: skip
        return {"name": "keyboard", "layouts": digest_texts(keys)}

    @property
    def languages(self) -> frozenset[str]:
        return frozenset(self._layouts)

    def perturb(self, text: str, lang: str, severity: int, seed: int) -> str:
        if is_idle(self, lang, severity):
            return text
        places = [
            place
            for word in words(text)
            for place in graphemes(text, word)
            if self._options(_within(text, place), lang)
        ]

        def replace(letter: str, lot: float) -> str:
            options = self._options(letter, lang)
            return options[int(lot * len(options))]

        return edit(text, places, SHARES[severity], drawn("keyboard", text, lang, seed), replace)

    def _find_options(self, grapheme: str, lang: str) -> list[str]:
        """What one wrong key makes of a letter with its marks."""
        keys = self._layouts[lang]
        if len(grapheme) == 1 and _FIRST_SYLLABLE <= ord(grapheme) <= _LAST_SYLLABLE:
            return _syllables(grapheme, keys)
        return [
            changed
            for i, letter in enumerate(grapheme)
            for other in _near(letter, keys)
            if is_one_grapheme(changed := grapheme[:i] + other + grapheme[i + 1 :])
        ]


def _within(text: str, place: Place) -> str:
    return text[place.begin : place.end]


def _near(letter: str, keys: Neighbours) -> list[str]:
    found = [other for other in keys.get(letter.lower(), ()) if alike(letter, other)]
    return [other.upper() for other in found] if letter.isupper() else found


def _syllables(syllable: str, keys: Neighbours) -> list[str]:
    """A Korean syllable with its initial, vowel or final typed on a neighbouring key, each of its kind."""
    rest, final = divmod(ord(syllable) - _FIRST_SYLLABLE, len(_FINALS))
    initial, vowel = divmod(rest, len(_VOWELS))

    def written(initial: int, vowel: int, final: int) -> str:
        return chr(_FIRST_SYLLABLE + (initial * len(_VOWELS) + vowel) * len(_FINALS) + final)

    return [
        *(written(i, vowel, final) for i in _others(_INITIALS, initial, keys)),
        *(written(initial, v, final) for v in _others(_VOWELS, vowel, keys)),
        *(written(initial, vowel, f) for f in _others(_FINALS, final, keys)),
    ]


def _others(letters: str, number: int, keys: Neighbours) -> list[int]:
    return [letters.index(other) for other in keys.get(letters[number], ()) if other in letters]
