"""Capitals and small letters as careless or shouting writers use them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

from babelweave.errors import UsageError, nearest
from babelweave.shift.edits import Place, drawn, edit, graphemes, is_idle, words

Form = Literal["random", "lower", "upper"]

SHARES = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)
"""Severity -> share of what can change; at least one: letters for "random", words for the others."""
LANGUAGES = frozenset("cs de el en es fi fr id it ms nl pl pt ru sv sw tr uk vi".split())
"""Written in scripts with capitals."""
_DOTTED = str.maketrans({"I": "ı", "İ": "i"})
_TURKIC = str.maketrans({"i": "İ", "ı": "I"})


class Case:
    """Letters or words in the other case; Turkish i keeps its dot, and ı stays without.

    Args:
        form: "random" turns letters over one by one, so that at 5 all are turned, as with the shift lock on;
            "lower" makes words small, which changes nothing in questions that are small already; "upper"
            makes words capitals.
    Raises:
        UsageError: another form.
    """

    def __init__(self, *, form: Form = "random") -> None:
        if form not in get_args(Form):
            raise UsageError(f"unknown form {form!r}; {nearest(form, get_args(Form))}")
        self._form = form

    @property
    def signature(self) -> Mapping[str, Any]:
        return {"name": "case", "form": self._form}

    @property
    def languages(self) -> frozenset[str]:
        return LANGUAGES

    def perturb(self, text: str, lang: str, severity: int, seed: int) -> str:
        if is_idle(self, lang, severity):
            return text
        places = [place for place in self._places(text) if self._turn(_within(text, place), lang) is not None]

        def replace(piece: str, _lot: float) -> str:
            return self._turn(piece, lang) or piece

        return edit(text, places, SHARES[severity], drawn("case", text, lang, seed), replace)

    def _places(self, text: str) -> list[Place]:
        if self._form != "random":
            return words(text)
        return [letter for word in words(text) for letter in graphemes(text, word)]

    def _turn(self, piece: str, lang: str) -> str | None:
        """A word or letter in the other case, None where it has no other."""
        if self._form == "random":
            turned = _upper(piece, lang) if piece == _lower(piece, lang) else _lower(piece, lang)
        else:
            turned = _lower(piece, lang) if self._form == "lower" else _upper(piece, lang)
        return turned if turned != piece else None


def _within(text: str, place: Place) -> str:
    return text[place.begin : place.end]


def _lower(text: str, lang: str) -> str:
    return (text.translate(_DOTTED) if lang == "tr" else text).lower()


def _upper(text: str, lang: str) -> str:
    return (text.translate(_TURKIC) if lang == "tr" else text).upper()
