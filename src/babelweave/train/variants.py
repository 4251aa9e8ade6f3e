"""Variants of a question, for training that wants a model to answer them alike.

A source is a callable of a question, its language and a seed; a registered perturbation becomes one at the
severity asked for.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import regex

from babelweave import registry
from babelweave.data.languages import canonical
from babelweave.errors import UsageError, nearest
from babelweave.generate.code_switch import MeaningLexicon, code_switch
from babelweave.generate.lexicon import Lexicon, default_lexicon
from babelweave.spec import parse_spec, read_options

PERTURBATION = "perturbation"
"""Registry kind of sources beside those of this file."""
GENERATED = "generated"
OWN = ("characters", "code_switch", GENERATED)

Variant = Callable[[str, str, int], str]
"""(question, language, seed) -> variant; the same arguments give the same text."""

_WORD = regex.compile(r"\p{L}[\p{L}\p{M}]{2,}")


def check_source(name: str, languages: Sequence[str]) -> None:
    """Refuse variants that nothing makes.

    Raises:
        UsageError: an unknown source or language, or code switching without languages.
    """
    known = [*OWN, *registry.TABLE.get(PERTURBATION, ())]
    if name.partition("?")[0] not in known:
        raise UsageError(f"adversary consistency: no variants {name!r}; {nearest(name, known)}")
    if (name == "code_switch") != bool(languages):
        raise UsageError(
            'adversary consistency: variants = "code_switch" and languages belong together; name the '
            "languages whose words are put in"
        )
    for lang in languages:
        canonical(lang)


def code_switching(lexicon: str | None, languages: Sequence[str], *, p: float) -> Variant:
    """Words of other languages, by `code_switch`; questions in languages the lexicon lacks stay as they are.

    Args:
        lexicon: a file; None takes `default_lexicon`.
    Raises:
        UsageError: the lexicon lacks one of `languages`.
        DataError: no lexicon can be read.
    """
    path = default_lexicon() if lexicon is None else Path(lexicon)
    words, targets = Lexicon.open(path), [canonical(lang) for lang in languages]
    for lang in targets:
        if lang not in words.languages:
            raise UsageError(f"{path}: no language {lang!r}; {nearest(lang, words.languages)}")
    opened: dict[str, MeaningLexicon] = {}

    def switch(text: str, lang: str, seed: int) -> str:
        if lang not in words.languages:
            return text
        if lang not in opened:
            opened[lang] = MeaningLexicon(words, lang)
        return code_switch(text, opened[lang], targets, p=p, seed=seed).text

    return switch


def registered(spec: str, *, severity: int) -> Variant:
    """A registered perturbation at a severity.

    Raises:
        UsageError: an unknown name or option.
    """
    name, given = parse_spec(spec)
    made: Any = registry.load(PERTURBATION, name)
    perturbation = made(**read_options(given, made, name, PERTURBATION))

    def perturb(text: str, lang: str, seed: int) -> str:
        found: str = perturbation.perturb(text, lang, severity, seed)
        return found

    return perturb


def change_characters(text: str, lang: str, seed: int, *, p: float) -> str:
    """Slips of the hand: words of three letters and more are changed in one place with probability `p`.

    Two neighbours change places, a letter is left out, written twice, or replaced by another of the word; the
    first letter stays. At least one word of a text that has any is changed.

    Source: the operators of Self-Teaching (Zhuang and Zuccon 2022, arXiv 2204.00716), without keyboards.
    """
    draw = random.Random(f"{seed}\n{text}")
    words = list(_WORD.finditer(text))
    chosen = [word for word in words if draw.random() < p] or draw.sample(words, min(len(words), 1))
    changed, end = "", 0
    for word in chosen:
        changed += text[end : word.start()] + _slip(word[0], draw)
        end = word.end()
    return changed + text[end:]


def _slip(word: str, draw: random.Random) -> str:
    i = draw.randrange(1, len(word) - 1)
    before, letter, after = word[:i], word[i], word[i + 1 :]
    return draw.choice(
        [
            before + after[0] + letter + after[1:],
            before + after,
            before + letter + letter + after,
            before + draw.choice(word) + after,
        ]
    )
