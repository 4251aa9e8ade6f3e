"""A bilingual lexicon over shared meanings, for any pair of its languages.

Two file layouts are read, gzipped or not, one row a line:

    lang <TAB> synset <TAB> lemma|lemma|...      the Open Multilingual Wordnet, one row per meaning
    term <TAB> lang <TAB> translation|...        a plain list, `term` English, the best translation first

Both become the same thing: meanings, each with its lemmas in some languages. A translation is a lemma of
the target language in a meaning that the term has.
"""

from __future__ import annotations

import functools
import gzip
import re
import unicodedata
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from babelweave.artifact import digest_file, reading
from babelweave.data.languages import canonical
from babelweave.errors import DataError, UsageError, nearest
from babelweave.generate.packaged import mini_qg

_LISTED = "term:"
"""Begins the meanings of a plain list, whose translations stand in an order."""
_SYNSET = re.compile(r"\d{8}-[a-z]\Z")
_ARABIC_MARKS = re.compile("[\u0640\u064b-\u0652\u0670]")  # vowel signs and the stretching bar
_ASIDE = re.compile(r"\s*\([^)]*\)")
_SPACES = re.compile(r"[\s_]+")


FILE = "lexicon.tsv.gz"
"""Of a folder that holds a lexicon."""


def default_lexicon() -> Path:
    """The lexicon file used when none is named: the packaged one."""
    return mini_qg() / FILE


class Lexicon:
    """Terms of many languages and the meanings they share; maps are built for a language when asked.

    Args:
        rows: (lang, meaning, lemmas joined by "|"), languages canonical.
        digest: what identifies the content; goes into a generator's signature.
    """

    def __init__(self, rows: Iterable[tuple[str, str, str]], digest: str) -> None:
        self.digest = digest
        self._rows: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
        self._n_languages: Counter[str] = Counter()
        for lang, meaning, lemmas in rows:
            self._rows[lang].append((meaning, lemmas))
            self._n_languages[meaning] += 1
        self.languages = frozenset(self._rows)
        self._meanings: dict[str, dict[str, list[str]]] = {}
        self._lemmas: dict[str, dict[str, list[str]]] = {}
        self._spelled: dict[str, frozenset[str]] = {}
        self._scripts: dict[str, str] = {}
        self.translate = functools.lru_cache(maxsize=200_000)(self._translate)

    @classmethod
    def open(cls, path: Path) -> Lexicon:
        """Read a lexicon file of either layout; about one second for the 605k rows of OMW.

        Raises:
            DataError: missing, not gzip or UTF-8 as its name says, empty, or a row of another shape.
        """
        rows = list(_rows(path))
        if not rows:
            raise DataError(
                f"{path}: holds no rows; expected lang, synset, lemmas or term, lang, translations"
            )
        return cls(rows, digest_file(path))

    def meanings(self, term: str, lang: str) -> list[str]:
        """The meanings of a term, widest known first; [] when it is not in the lexicon."""
        return self._index(lang)[0].get(_key(term), [])

    def reach(self, term: str, lang: str) -> int:
        """How many languages have a word for the term's widest known meaning; 0 when it has none."""
        return self._n_languages[meanings[0]] if (meanings := self.meanings(term, lang)) else 0

    def pairs(self, lang: str) -> Iterator[tuple[str, str]]:
        """Every lemma of a language with the first English lemma of its meaning."""
        english: dict[str, str] = {}
        for meaning, lemmas in self._rows["en"]:
            english.setdefault(meaning, clean_lemma(lemmas.split("|")[0]))
        for meaning, lemmas in self._rows[lang]:
            if meaning in english:
                yield from ((clean_lemma(lemma), english[meaning]) for lemma in lemmas.split("|"))

    def spelled(self, term: str, lang: str) -> bool:
        """Whether the lexicon writes a lemma exactly so; tells "Bush" the name from "bush" the plant."""
        self._index(lang)
        return term in self._spelled[lang]

    def script(self, lang: str) -> str:
        """The script most lemmas begin with, by its Unicode name: "LATIN", "CJK", "ARABIC", ..."""
        if lang not in self._scripts:
            lemmas = self._index(lang)[1].values()
            self._scripts[lang] = Counter(_script(lemma) for found in lemmas for lemma in found).most_common(
                1
            )[0][0]
        return self._scripts[lang]

    def _translate(self, term: str, source: str, target: str) -> tuple[str, ...]:
        """Translations of `term`, best first; () when there is none.

        A lemma's weight is the sum, over the meanings it shares with the term, of the number of languages
        that have a word for the meaning: OMW has no sense frequencies, and what many wordnets chose to
        translate is the usual sense. In a tie the lemma in the language's own script goes first, then the
        one that a plain list names earlier, then the one with more meanings, which is the commoner word.

        Raises:
            UsageError: a language the lexicon does not have.
        """
        meanings = self.meanings(term, source)
        targets, lemmas = self._index(target)
        script = self.script(target)
        weights: Counter[str] = Counter()
        places: dict[str, int] = {}
        for meaning in meanings:
            ranked = meaning.startswith(_LISTED)
            for place, lemma in enumerate(lemmas.get(meaning, ())):
                weights[lemma] += self._n_languages[meaning]
                places[lemma] = min(places.get(lemma, place), place) if ranked else 0

        def order(lemma: str) -> tuple[int, bool, int, int, str]:
            own_script = _script(lemma) == script
            return -weights[lemma], not own_script, places[lemma], -len(targets[_key(lemma)]), lemma

        return tuple(sorted(weights, key=order))

    def _index(self, lang: str) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
        """Term key -> meanings, and meaning -> lemmas, of one language."""
        if lang not in self.languages:
            raise UsageError(f"the lexicon has no language {lang!r}; {nearest(lang, self.languages)}")
        if lang not in self._meanings:
            terms: defaultdict[str, list[str]] = defaultdict(list)
            lemmas: defaultdict[str, list[str]] = defaultdict(list)
            for meaning, joined in self._rows[lang]:
                for raw in joined.split("|"):
                    lemma = clean_lemma(raw)
                    if lemma and lemma not in lemmas[meaning]:
                        lemmas[meaning].append(lemma)
                        terms[_key(lemma)].append(meaning)
            self._spelled[lang] = frozenset(lemma for found in lemmas.values() for lemma in found)
            for found in terms.values():
                found.sort(key=lambda m: (-self._n_languages[m], m))
            self._meanings[lang], self._lemmas[lang] = dict(terms), dict(lemmas)
        return self._meanings[lang], self._lemmas[lang]


def clean_lemma(raw: str) -> str:
    """A lemma as people write it: no underscores, bracketed remarks, word-break signs, Arabic vowels."""
    text = _ARABIC_MARKS.sub("", _ASIDE.sub("", raw)).replace("+", "")
    return _SPACES.sub(" ", text).strip()


def _script(lemma: str) -> str:
    return unicodedata.name(lemma[0], "").partition(" ")[0]


def _key(term: str) -> str:
    return _SPACES.sub(" ", _ARABIC_MARKS.sub("", term)).casefold()


def _rows(path: Path) -> Iterator[tuple[str, str, str]]:
    code = functools.cache(canonical)
    for number, line in enumerate(_lines(path), start=1):
        parts = line.split("\t")
        if len(parts) != 3:
            if not line.strip():
                continue
            raise DataError(f"{path}, line {number}: {len(parts)} columns, expected 3 (tab-separated)")
        first, second, third = parts
        if _SYNSET.match(second):
            yield code(first), second, third
        else:
            yield "en", f"{_LISTED}{first}", first
            yield code(second), f"{_LISTED}{first}", third


def _lines(path: Path) -> list[str]:
    with reading(path):
        data = path.read_bytes()
    try:
        return (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8").split("\n")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}: not {'gzipped ' if path.suffix == '.gz' else ''}UTF-8 text ({error})"
        ) from error
