"""Questions with some of their words in other languages: an augmentation of training, and a shift to measure.

Litschko et al. (2023, arXiv 2305.05295) train rankers on questions whose words were swapped for
translations from a bilingual lexicon, which brings the languages closer at no cost. Mixed questions beside
whole ones, not instead of them: questions that are always mixed make models worse on whole ones.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

import regex

from babelweave.data.words import SPACELESS
from babelweave.errors import UsageError, nearest
from babelweave.generate.lexicon import Lexicon
from babelweave.generate.templates import STOP_WORDS
from babelweave.generate.terms import lemmas

_TOKEN = regex.compile(
    rf"(?P<letter>{SPACELESS}\p{{M}}*+)"
    rf"|[[\p{{L}}\p{{M}}\p{{N}}]--{SPACELESS}]++(?:['’\-][[\p{{L}}\p{{M}}\p{{N}}]--{SPACELESS}]++)*+",
    regex.V1,
)
_RUN_TOGETHER = regex.compile(rf"(?!{SPACELESS}{{2}})[\p{{L}}\p{{M}}\p{{N}}]{{2}}", regex.V1)
_MOST_WORDS, _FEWEST_LETTERS, _MOST_LETTERS = 3, 2, 8


class WordLexicon(Protocol):
    """Words of the questions' language to words of others."""

    def translate(self, word: str, lang: str) -> Sequence[str]:
        """The translations of a word or phrase into `lang`, best first; empty when it has none.

        The word comes as it stands in the question: folding its case and undoing its inflection is the
        lexicon's, and so is having no translation for names and function words.
        """
        ...


class Switched(NamedTuple):
    text: str
    n_replaced: int


class Unit(NamedTuple):
    """What can be replaced: characters [begin, end) and their translations by language."""

    begin: int
    end: int
    translations: Mapping[str, str]


def code_switch(
    text: str, lexicon: WordLexicon, languages: Sequence[str], *, p: float, seed: int
) -> Switched:
    """Replace words of a question by translations; the same arguments give the same text.

    A unit is the longest run of at most 3 words that the lexicon translates (2 to 8 letters, where the
    script writes no spaces, so a word is not read into another's end). Each is replaced with probability
    `p` by its best translation in one of the languages that have any, drawn evenly. All else stays as it
    is, but a word put between letters that need no spaces gets its own.

    Args:
        p: in [0, 1]; 0 is the text itself.
        seed: drawn from together with the text, so the order of texts does not matter.
    Raises:
        UsageError: p is out of range, or there is no language.
    """
    if not 0 <= p <= 1:
        raise UsageError(f"p is {p}, expected a probability")
    if not languages:
        raise UsageError("code switching needs at least one language to switch to")
    draw = random.Random(f"{seed}\n{text}")
    chosen = [
        (unit, unit.translations[draw.choice(list(unit.translations))])
        for unit in switchable(text, lexicon, languages)
        if draw.random() < p
    ]
    return Switched(put_words(text, chosen), len(chosen))


def put_words(text: str, chosen: Iterable[tuple[Unit, str]]) -> str:
    """The text with each unit, in their order, replaced by a word; blanks keep words apart that need them."""
    switched = ""
    end = 0
    for unit, word in chosen:
        switched += text[end : unit.begin]
        switched += _blank(switched, word) + word + _blank(word, text[unit.end :])
        end = unit.end
    return switched + text[end:]


def switchable(text: str, lexicon: WordLexicon, languages: Sequence[str]) -> Iterator[Unit]:
    """The units of a text that have a translation; longest match from the left."""
    tokens = list(_TOKEN.finditer(text))
    i = 0
    while i < len(tokens):
        step = 1
        for size in _sizes(tokens, i, text):
            begin, end = tokens[i].start(), tokens[i + size - 1].end()
            if found := _translations(text[begin:end], lexicon, languages):
                yield Unit(begin, end, found)
                step = size
                break
        i += step


def _sizes(tokens: Sequence[regex.Match[str]], i: int, text: str) -> Iterator[int]:
    """How many tokens from the i-th on may be one unit, the most first."""
    letters = tokens[i]["letter"] is not None
    least, most, gap = (_FEWEST_LETTERS, _MOST_LETTERS, "") if letters else (1, _MOST_WORDS, " ")
    size = 1
    while size < most and i + size < len(tokens):
        before, after = tokens[i + size - 1], tokens[i + size]
        if (after["letter"] is not None) != letters or text[before.end() : after.start()] != gap:
            break
        size += 1
    yield from range(size, least - 1, -1)


def _translations(surface: str, lexicon: WordLexicon, languages: Sequence[str]) -> dict[str, str]:
    found = {lang: lexicon.translate(surface, lang) for lang in languages}
    return {lang: words[0] for lang, words in found.items() if words and words[0] != surface}


def _blank(left: str, right: str) -> str:
    """What keeps two words apart that would run together: both letters, one of a script with spaces."""
    return " " if _RUN_TOGETHER.fullmatch(left[-1:] + right[:1]) else ""


class MeaningLexicon:
    """The lexicon over shared meanings (Open Multilingual Wordnet) as a `WordLexicon`.

    Wordnets name things: they hold indium for "in" and a plant for "Bush". So stop words have no
    translation here, nor have capitalised words that the wordnet of their language writes small. English
    and Arabic words are also looked up by their lemmas; of several, the one known in most languages is
    meant.

    Raises:
        UsageError: the lexicon does not have the language, or has one asked for later.
    """

    def __init__(self, lexicon: Lexicon, lang: str) -> None:
        if lang not in lexicon.languages:
            raise UsageError(f"the lexicon has no language {lang!r}; {nearest(lang, lexicon.languages)}")
        self._lexicon, self._lang = lexicon, lang
        self._stop_words = STOP_WORDS.get(lang, frozenset())
        self._lemma: Callable[[str], str] = functools.lru_cache(maxsize=200_000)(self._find_lemma)

    def translate(self, word: str, lang: str) -> Sequence[str]:
        if lang == self._lang or not (lemma := self._lemma(word)):
            return ()
        return self._lexicon.translate(lemma, self._lang, lang)

    def _find_lemma(self, word: str) -> str:
        """The lexicon's entry for a word, "" when it has none."""
        folded = word.casefold()
        if folded in self._stop_words or (word != folded and not self._written(word)):
            return ""
        *head, last = folded.split(" ")
        forms = [last, *lemmas(last, self._lang)]
        best = max((" ".join([*head, form]) for form in forms), key=self._reach)
        return best if self._reach(best) else ""

    def _written(self, word: str) -> bool:
        return self._lexicon.spelled(word, self._lang)

    def _reach(self, term: str) -> int:
        return self._lexicon.reach(term, self._lang)
