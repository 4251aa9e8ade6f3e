"""Marks left out that a hurried writer, or a keyboard without them, leaves out."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Any

from babelweave.shift.edits import drawn, edit, is_idle, words

SHARES = (0.0, 0.25, 0.4, 0.6, 0.8, 1.0)
"""Severity -> share of the words that have marks; at least one word."""

_UNMARKED = {
    "ß": "ss",
    "ł": "l",
    "Ł": "L",
    "đ": "d",
    "Đ": "D",
    "ø": "o",
    "Ø": "O",
    "ı": "i",
    "æ": "ae",
    "œ": "oe",
}
"""Latin letters whose mark does not come off by Unicode's decompositions."""
_ARABIC = str.maketrans(
    {
        **dict.fromkeys("أإآٱ", "ا"), "ؤ": "و", "ئ": "ي", "ى": "ي", "ة": "ه",
        **{chr(mark): "" for mark in (0x640, 0x670, *range(0x64B, 0x653))},
    }
)  # fmt: skip
"""Hamza, final ya and ta marbuta as they are typed, and no vowel signs (0640 stretches a line)."""
_HINDI = str.maketrans(
    {"\u093c": "", "\u0902": "", "\u0901": "", "\u0940": "\u093f", "\u0942": "\u0941", "ई": "इ", "ऊ": "उ"}
)
"""Nukta and nasal marks left out, long i and u written short, as in most misspelt Hindi."""
_OF_SCRIPT = {"ar": _ARABIC, "hi": _HINDI}
_LATIN_AND_GREEK = frozenset("cs el es fi fr pl pt sv tr vi".split())


class Diacritics:
    """Words written without their marks: "où" as "ou", "¿Qué" as "¿Que", "أين" as "اين".

    Latin and Greek letters lose every mark. Arabic is folded as Lucene's normaliser folds it, after Larkey,
    Ballesteros and Connell (2002, doi 10.1145/564376.564425), and hamza leaves waw and ya too. Hindi loses
    nukta and nasal marks, and its long i and u become short. German (45 % of the questions of MLQA dev have
    a mark), Italian, Dutch and others are not claimed: most of their questions have none. Neither is
    Hebrew, whose points nobody writes in a question.
    """

    @property
    def signature(self) -> Mapping[str, Any]:
        return {"name": "diacritics"}

    @property
    def languages(self) -> frozenset[str]:
        return _LATIN_AND_GREEK | _OF_SCRIPT.keys()

    def perturb(self, text: str, lang: str, severity: int, seed: int) -> str:
        if is_idle(self, lang, severity):
            return text
        places = [word for word in words(text) if _plain(text[word.begin : word.end], lang) is not None]

        def replace(word: str, _lot: float) -> str:
            return _plain(word, lang) or word

        return edit(text, places, SHARES[severity], drawn("diacritics", text, lang, seed), replace)


def _plain(word: str, lang: str) -> str | None:
    """A word without its marks; None where it has none, or is nothing else."""
    composed = unicodedata.normalize("NFC", word)
    if lang in _OF_SCRIPT:
        plain = composed.translate(_OF_SCRIPT[lang])
    else:
        plain = "".join(_unmarked(letter) for letter in composed)
    return plain if plain and plain != composed else None


def _unmarked(letter: str) -> str:
    """A Latin or Greek letter without marks; others as they are."""
    if letter in _UNMARKED:
        return _UNMARKED[letter]
    parts = unicodedata.normalize("NFD", letter)
    base = parts[0]
    return base if len(parts) > 1 and unicodedata.name(base, "").startswith(("LATIN", "GREEK")) else letter
