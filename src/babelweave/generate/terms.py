"""Reading a passage as terms: the words, phrases, names and numbers of its sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import regex

from babelweave.generate.lexicon import Lexicon
from babelweave.generate.templates import ARABIC_PREFIXES, IRREGULAR, STOP_WORDS

_SENTENCE_END = regex.compile(r"(?<=[.!?؟।])\s+(?=[^\p{Ll}])|(?<=[。！？])|\n+")
_TOKEN = regex.compile(r"[\p{L}\p{M}\p{N}]+(?:['’.,\-–][\p{L}\p{M}\p{N}]+)*")
_UNSPACED_RUN = regex.compile(
    r"([\p{Han}\p{Hiragana}\p{Katakana}ー\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{M}]+)"
)
_UNSPACED_LANGUAGES = frozenset({"zh", "zh-Hant", "zh-HK", "ja", "th", "lo", "km", "my"})
_YEAR = regex.compile(r"(?:1\d|20)\d\d")
_NUMBER = regex.compile(r"\p{N}[\p{N}.,\-–]*")
_MAX_PHRASE_WORDS = 4
_MAX_UNSPACED_CHARACTERS = 8
_MIN_UNKNOWN_CHARACTERS = 4

_ENDINGS = (
    ("'s", ""),
    ("’s", ""),
    ("s", ""),
    ("ies", "y"),
    ("es", ""),
    ("ed", ""),
    ("ed", "e"),
    ("ing", ""),
    ("ing", "e"),
)


class Term(NamedTuple):
    """A word, phrase, name or number; `lemma` is its lexicon entry, "" when it has none."""

    surface: str
    lemma: str
    kind: Literal["word", "name", "number"]

    @property
    def key(self) -> str:
        """What makes two terms the same."""
        return self.lemma or self.surface.casefold()

    def is_number(self) -> bool:
        return self.kind == "number"

    def is_year(self) -> bool:
        return self.kind == "number" and _YEAR.fullmatch(self.surface) is not None


def read_terms(text: str, lang: str, lexicon: Lexicon) -> list[tuple[Term, ...]]:
    """The terms of each sentence that has any, in the order of the text.

    A phrase is the longest run of words (of characters, in scripts without spaces) that the lexicon has.
    Words it does not have count from four letters on; stop words do not count.
    """
    read = _unspaced_terms if lang in _UNSPACED_LANGUAGES else _spaced_terms
    found = (tuple(read(sentence, lang, lexicon)) for sentence in _SENTENCE_END.split(text) if sentence)
    return [terms for terms in found if terms]


def english_lemmas(word: str) -> Iterator[str]:
    """Candidates for the lemma of a lower-case English word; the caller looks which one exists."""
    if word in IRREGULAR:
        yield IRREGULAR[word]
    for ending, replacement in _ENDINGS:
        stem = word.removesuffix(ending)
        if stem != word and len(stem) > 2:
            yield stem + replacement
            if stem[-1] == stem[-2] and ending in ("ed", "ing"):
                yield stem[:-1]


def _spaced_terms(sentence: str, lang: str, lexicon: Lexicon) -> Iterator[Term]:
    tokens = _TOKEN.findall(sentence)
    stop = STOP_WORDS.get(lang, frozenset())
    i = 0
    while i < len(tokens):
        token = tokens[i]
        if _NUMBER.fullmatch(token):
            yield Term(token, "", "number")
        elif token.casefold() not in stop:
            size, lemma = _longest(tokens[i : i + _MAX_PHRASE_WORDS], lang, lexicon)
            surface = " ".join(tokens[i : i + size])
            # A sentence begins with a capital whatever the word is, so the first token proves nothing.
            named = token[0].isupper() and (i > 0 or not lemma)
            if lemma or named or len(token) >= _MIN_UNKNOWN_CHARACTERS:
                yield Term(surface, lemma, "name" if named else "word")
            i += size - 1
        i += 1


def _longest(tokens: Sequence[str], lang: str, lexicon: Lexicon) -> tuple[int, str]:
    """(words, lexicon entry) of the longest known phrase at the front; (1, "") when there is none.

    Of several entries ("moved" the adjective, "move") the one known in most languages is meant.
    """
    for size in range(len(tokens), 0, -1):
        *head, last = (token.casefold() for token in tokens[:size])
        phrases = [" ".join([*head, form]) for form in (last, *lemmas(last, lang))]
        best = max(phrases, key=lambda phrase: lexicon.reach(phrase, lang))
        if lexicon.reach(best, lang):
            return size, best
    return 1, ""


def lemmas(word: str, lang: str) -> Iterator[str]:
    """Candidates for the lemma of a lower-case word, by the rules there are: of English and Arabic."""
    if lang == "en":
        yield from english_lemmas(word)
    elif lang == "ar":
        yield from (
            word.removeprefix(p) for p in ARABIC_PREFIXES if word.startswith(p) and len(word) > len(p) + 2
        )


def _unspaced_terms(sentence: str, lang: str, lexicon: Lexicon) -> Iterator[Term]:
    """Longest match from the left; characters the lexicon does not know are passed over."""
    for part in _UNSPACED_RUN.split(sentence):
        if not _UNSPACED_RUN.fullmatch(part):
            yield from _spaced_terms(part, lang, lexicon)
            continue
        i = 0
        while i < len(part):
            size = next(
                (
                    size
                    for size in range(min(_MAX_UNSPACED_CHARACTERS, len(part) - i), 1, -1)
                    if lexicon.meanings(part[i : i + size], lang)
                ),
                1,
            )
            if size > 1:
                yield Term(part[i : i + size], part[i : i + size], "word")
            i += size
