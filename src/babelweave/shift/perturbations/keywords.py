"""Questions cut down to the words a search engine is used to."""

from __future__ import annotations

import tomllib
import unicodedata
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from babelweave.artifact import digest_texts
from babelweave.generate.templates import STOP_WORDS
from babelweave.shift.edits import Place, drawn, edit, is_idle, marks, words

SHARES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Severity -> share of the function words and marks left out; at least one."""
PACKAGED = Path(__file__).with_name("function_words.toml")
_HIRAGANA = r"\p{Hiragana}+"


class Keywords:
    """Question and function words, and the marks of the sentence, left out; content words stay.

    Function words are those of `function_words.toml`. Japanese writes them, and the endings of verbs, in
    hiragana: its runs are left out, by script alone. Chinese, Thai, Korean and others are not claimed: their
    function words cannot be told without a tool that cuts words.
    """

    @property
    def signature(self) -> Mapping[str, Any]:
        lists = _function_words()
        return {
            "name": "keywords",
            "words": digest_texts(f"{lang} {word}" for lang in sorted(lists) for word in sorted(lists[lang])),
        }

    @property
    def languages(self) -> frozenset[str]:
        return frozenset(_function_words()) | {"ja"}

    def perturb(self, text: str, lang: str, severity: int, seed: int) -> str:
        if is_idle(self, lang, severity):
            return text
        places = _function_places(text, lang)
        draw = drawn("keywords", text, lang, seed)
        kept = edit(text, places, SHARES[severity], draw, lambda _word, _lot: " ")
        pieces = (piece.strip("-") for piece in kept.split())  # "a-t-il" leaves hyphens behind
        return " ".join(piece for piece in pieces if words(piece)) if places else text


def _function_places(text: str, lang: str) -> list[Place]:
    """What can be left out, in order; () where nothing else would stay."""
    found = _hiragana(text) if lang == "ja" else _listed(text, lang)
    content = any(
        word.end - word.begin > sum(p.end - p.begin for p in found if word.begin <= p.begin < word.end)
        for word in words(text)
    )
    return sorted([*found, *marks(text)]) if content else []


def _listed(text: str, lang: str) -> list[Place]:
    known = _function_words()[lang]
    return [
        word
        for word in words(text)
        if unicodedata.normalize("NFC", text[word.begin : word.end]).casefold() in known
    ]


def _hiragana(text: str) -> list[Place]:
    import regex

    return [Place(*match.span()) for match in regex.finditer(_HIRAGANA, text)]


@cache
def _function_words() -> dict[str, frozenset[str]]:
    tables: dict[str, str] = tomllib.loads(PACKAGED.read_text(encoding="utf-8"))
    return {
        lang: frozenset(listed.split()) | STOP_WORDS.get(lang, frozenset()) for lang, listed in tables.items()
    }
