"""Words of a question in another language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from babelweave.data.languages import canonical
from babelweave.errors import UsageError, nearest
from babelweave.generate.code_switch import MeaningLexicon, put_words, switchable
from babelweave.generate.lexicon import Lexicon, default_lexicon
from babelweave.shift.edits import chosen, drawn, finished, is_idle

LANGUAGES = frozenset("ar de el en es fi fr hi it ja ms pt ru sv th tr vi zh".split())
"""Those in which most questions of MLQA, XQuAD-R, MKQA and Mintaka hold a word that the Open Multilingual
Wordnet translates, and most of a sample one that the packaged lexicon does."""
SHARES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Severity -> share of the words with a translation that are put into another language; at least one."""


class CodeSwitch:
    """Content words replaced by their best translations, as bilingual people mix their languages.

    What is replaced, and by what, is `generate.code_switch`'s: stop words and names stay. A language of
    `LANGUAGES` is claimed when the lexicon has it; with a small lexicon fewer questions change, and the
    counts say how many.

    Args:
        lexicon: file of either layout of `generate.lexicon`; None takes `lexicon.default_lexicon()`.
        to: languages to switch to, separated by commas; of several, one is drawn for each word.
    Raises:
        UsageError: the lexicon lacks a language of `to`.
        DataError: the lexicon cannot be read.
    """

    def __init__(self, *, lexicon: str | None = None, to: str = "en") -> None:
        self._lexicon = Lexicon.open(default_lexicon() if lexicon is None else Path(lexicon))
        self._to = tuple(dict.fromkeys(canonical(lang) for lang in to.split(",")))
        for lang in self._to:
            if lang not in self._lexicon.languages:
                raise UsageError(
                    f"the lexicon has no language {lang!r}; {nearest(lang, self._lexicon.languages)}"
                )
        self._words_of = cache(lambda lang: MeaningLexicon(self._lexicon, lang))

    @property
    def signature(self) -> Mapping[str, Any]:
        return {"name": "code_switch", "lexicon": self._lexicon.digest, "to": list(self._to)}

    @property
    def languages(self) -> frozenset[str]:
        return frozenset(lang for lang in LANGUAGES & self._lexicon.languages if self._targets(lang))

    def perturb(self, text: str, lang: str, severity: int, seed: int) -> str:
        if is_idle(self, lang, severity):
            return text
        units = list(switchable(text, self._words_of(lang), self._targets(lang)))
        draw = drawn("code_switch", text, lang, seed)
        switched = [
            (units[i], list(units[i].translations.values())[int(lot * len(units[i].translations))])
            for i, lot in chosen(len(units), SHARES[severity], draw)
        ]
        return finished(text, put_words(text, switched))

    def _targets(self, lang: str) -> Sequence[str]:
        return [target for target in self._to if target != lang]
