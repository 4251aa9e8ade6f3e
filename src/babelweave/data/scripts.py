"""Tell the languages of a data set apart by their scripts, where its rows name none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Any

from babelweave.data.languages import canonical, scripts
from babelweave.errors import DataError, UsageError

_PARTS = {"Jpan": ("Hira", "Kana", "Hani"), "Kore": ("Hang", "Hani"), "Hans": ("Hani",), "Hant": ("Hani",)}
"""Writing systems of ISO 15924 that are several scripts of Unicode, or go by another name there."""


class Scripts:
    """Which of some languages a text is in, by the script of most of its letters.

    Args:
        languages: each written in a script of its own. What some share (Han letters of Japanese and
            Korean) decides only where a text has no letters of one alone, for the first of them; Latin
            letters, in which every language writes foreign names, only where it has no others at all.
    Raises:
        UsageError: unknown languages, fewer than two, or one without a script of its own.
    """

    def __init__(self, languages: Sequence[str]) -> None:
        self._languages = tuple(dict.fromkeys(canonical(lang) for lang in languages))
        owners: dict[str, list[str]] = {}
        for lang in self._languages:
            for script in {part for name in scripts(lang) for part in _PARTS.get(name, (name,))}:
                owners.setdefault(script, []).append(lang)
        own = {script: langs[0] for script, langs in owners.items() if len(langs) == 1}
        shared = {script: langs[0] for script, langs in owners.items() if len(langs) > 1}
        latin = {script: own.pop(script) for script in ("Latn",) if script in own}
        self._owners = (own, shared, latin)
        alike = [lang for lang in self._languages if lang not in {*own.values(), *latin.values()}]
        if alike or len(self._languages) < 2:
            named = ", ".join(alike or self._languages)
            raise UsageError(f"no script tells {named} from the others; name the one language instead")

    def language(self, text: str) -> str:
        """The language of a text; the first given, where two have as many letters.

        Raises:
            DataError: it has no letter of any of the scripts.
        """
        for owners in self._owners:
            found: Counter[str] = Counter()
            for script, lang in owners.items():
                found[lang] += len(_letters(script).findall(text))
            best = max(self._languages, key=lambda lang: found[lang])
            if found[best]:
                return best
        raise DataError(f"{text!r} is in the script of none of {', '.join(self._languages)}")


def script_share(text: str, lang: str) -> float:
    """The share of a text's letters that are of a script its language is written in; 0 without a letter.

    Raises:
        UsageError: an unknown language.
    """
    every, own = _letters_of(lang)
    n_letters = len(every.findall(text))
    return len(own.findall(text)) / n_letters if n_letters else 0.0


@cache
def _letters_of(lang: str) -> tuple[Any, Any]:
    """(any letter, a letter of the language's scripts)."""
    import regex

    own = "".join(rf"\p{{Script={part}}}" for name in scripts(lang) for part in _PARTS.get(name, (name,)))
    return regex.compile(r"\p{L}"), regex.compile(rf"[\p{{L}}&&[{own}]]", regex.V1)


@cache
def _letters(script: str) -> Any:
    import regex

    return regex.compile(rf"\p{{Script={script}}}")
