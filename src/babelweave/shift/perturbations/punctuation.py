"""Marks left out, or put where none belong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

from babelweave.errors import UsageError, nearest
from babelweave.shift.edits import Place, drawn, edit, finished, gaps, is_idle, marks

Form = Literal["both", "drop", "add"]

DROPPED = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Severity -> share of the marks left out; at least one."""
ADDED = (0, 1, 1, 2, 3, 4)
"""Severity -> marks put in: one more after the question, then the language's commas between words."""
_QUESTION_MARKS = {"ar": "؟", "el": ";", "ja": "？", "zh": "？", "zh-Hant": "？"}
_COMMAS = {"ar": "،", "ja": "、", "zh": "，", "zh-Hant": "，"}
_UNMARKED = frozenset({"th"})
"""Written without a question mark."""
LANGUAGES = frozenset(
    "ar bn cs de el en es fi fr he hi id it ja ko ms nl pl pt ru sv sw te th tr uk vi zh zh-Hant".split()
)  # fmt: skip


class Punctuation:
    """Questions with fewer or more marks than belong there, each language with its own.

    Hyphens and apostrophes within words, and points within numbers, stay: they are spelling.

    Args:
        form: "drop" leaves marks out; "add" puts some in; "both" leaves out what there is, and adds only to
            questions that have none, as typed queries.
    Raises:
        UsageError: another form.
    """

    def __init__(self, *, form: Form = "both") -> None:
        if form not in get_args(Form):
            raise UsageError(f"unknown form {form!r}; {nearest(form, get_args(Form))}")
        self._form = form

    @property
    def signature(self) -> Mapping[str, Any]:
        return {"name": "punctuation", "form": self._form}

    @property
    def languages(self) -> frozenset[str]:
        return LANGUAGES - _UNMARKED if self._form == "drop" else LANGUAGES

    def perturb(self, text: str, lang: str, severity: int, seed: int) -> str:
        if is_idle(self, lang, severity) or not text.strip():
            return text
        draw = drawn("punctuation", text, lang, seed)
        found = marks(text)
        if self._form == "add" or (self._form == "both" and not found):
            return _with_more(text, lang, ADDED[severity], gaps(text), draw.sample)
        dropped = edit(text, found, DROPPED[severity], draw, lambda _mark, _lot: "")
        return dropped.strip() if found else text  # French sets a blank before its question mark


def _with_more(text: str, lang: str, n: int, blanks: list[Place], sample: Any) -> str:
    """A mark after the text, and commas before some blanks, or more marks after it where there are none."""
    order = sample(blanks, len(blanks))  # all of them, so that a larger n holds a smaller one
    mark = _QUESTION_MARKS.get(lang, "?")
    commas = {blank.begin for blank in order[: n - 1]}
    n_after = n - len(commas)
    changed = "".join(
        (_COMMAS.get(lang, ",") if i in commas else "") + letter for i, letter in enumerate(text)
    )
    return finished(text, changed + mark * n_after)
