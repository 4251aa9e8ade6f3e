"""`kind = "lexicon"`: a bilingual lexicon learned from parallel text, for the lexical generator and for code
switching.

    read     parallel text, and the terms of a wordnet beside it
    align    which words of a language produced which English ones (`word_alignment`)
    keep     pairs that are frequent enough and go both ways

Wordnets have few inflected forms and, of some languages, nothing; parallel text has both.
"""

from __future__ import annotations

import gzip
import io
import logging
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence, Set
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import regex
from pydantic import Field, PositiveFloat, PositiveInt

from babelweave.artifact import check_target, digest_texts, seal, source_commit, write_folder, write_text
from babelweave.data.languages import scripts
from babelweave.data.leaks import check_recipe_leaks
from babelweave.data.parallel.read import read_parallel
from babelweave.data.words import SPACELESS
from babelweave.encode.spec import open_encoder
from babelweave.encode.transformer import TransformerEncoder
from babelweave.errors import DataError, UsageError
from babelweave.generate.lexicon import FILE, Lexicon
from babelweave.recipe import Progress, Recipe, Trained, TrainingPlan, data_path
from babelweave.train.card import TrainingData, declared
from babelweave.train.sections import CardText, Language, Parallel
from babelweave.train.settings import Checked
from babelweave.train.word_alignment import LOCALITY, align

logger = logging.getLogger(__name__)

KIND = "lexicon"
_WORDNET = (
    "| Open Multilingual Wordnet | CC BY-SA 3.0 and those of its wordnets | | | Bond and Foster (2013), and "
    "the authors of its wordnets |"
)
Words = list[str]
Pairs = Sequence[tuple[Words, Words]]
_WORD = regex.compile(
    rf"(?P<run>{SPACELESS}(?:{SPACELESS}|\p{{M}})*)"
    rf"|(?:(?!{SPACELESS})[\p{{L}}\p{{M}}])+(?:['’](?:(?!{SPACELESS})[\p{{L}}\p{{M}}])+)*",
    regex.V1,
)


class LexiconData(Checked):
    """What is read."""

    root: str | None = None
    """Where relative paths of the recipe begin; BABELWEAVE_DATA by default."""
    parallel: Annotated[tuple[Parallel, ...], Field(min_length=1)]
    """Registered sources of parallel text."""
    terms: str | None = None
    """Terms and meanings (Open Multilingual Wordnet) that are aligned beside the sentences."""
    against: tuple[str, ...] = ()
    """Evaluation sets whose texts are looked for in every source; what holds one is left out and counted."""


class Alignment(Checked):
    """How words are cut and aligned."""

    segmenter: str = "babelweave-mini"
    """SPEC of an encoder whose pieces are the words of scripts that write none apart."""
    joined: tuple[Language, ...] = ("vi",)
    """Languages that write the parts of a word apart; parts that keep together are made one word."""
    fewest_joined: PositiveInt = 4
    """Times two parts have to stand together to be one word."""
    least_joined: PositiveFloat = 60.0
    """How much more often than by chance."""
    locality: dict[Language, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    """Of a language whose word order is unlike that of English, lower than `word_alignment.LOCALITY`."""


class Kept(Checked):
    """Which pairs of words enter the lexicon."""

    fewest: PositiveFloat = 1.5
    """Expected times a word has to have produced the English one."""
    share: Annotated[float, Field(gt=0, le=1)] = 0.2
    """Of the English words that a word produced, the least part that is this one."""
    share_english: Annotated[float, Field(gt=0, le=1)] = 0.08
    """Of the times the English word stands there, the least part that this word produced it."""
    translations: PositiveInt = 2
    """At most so many of an English word, the best first."""


class LexiconRecipe(Recipe):
    """A recipe of a lexicon; its folder holds words, not a model."""

    kind: Literal["lexicon"]
    languages: Annotated[tuple[Language, ...], Field(min_length=1)]
    """Beside English."""
    data: LexiconData
    alignment: Alignment = Alignment()
    kept: Kept = Kept()
    card: CardText = CardText(
        intended_use="Words of questions for the lexical generator, and code switching."
    )

    def settings(self) -> dict[str, Any]:
        """As of every recipe; the words of the card decide nothing."""
        return {key: value for key, value in super().settings().items() if not key.startswith("card.")}

    def plan(self) -> TrainingPlan:
        """Read the data; there are no steps."""
        read = self._read(frozenset())
        return TrainingPlan(sum(map(len, read.pairs.values())), 0, 0)

    def train(self, folder: Path, *, overwrite: bool = False, progress: Progress | None = None) -> Trained:
        """Write the lexicon; it appears whole or not at all. There are no steps for `progress` to be told of.

        Raises:
            UsageError: the folder is in use, or a segmenter without pieces.
            DataError: a source is missing or broken, or a language is left without a word.
        Cost: half a minute for 50,000 pairs of a language on one core.
        """
        check_target(folder, KIND, overwrite=overwrite)
        report = self._leaks()
        read = self._read(report)
        counts = {**read.counts, "texts that hold evaluation texts": len(report)}
        cut = Cutter(self.alignment)
        rows: dict[tuple[str, str], Words] = {}
        for lang in self.languages:
            table = self.translations(lang, cut.pairs(read.pairs[lang], lang))
            if not table:
                raise DataError(f"{lang}: no word is translated often enough; lower kept.fewest")
            rows |= {(word, lang): found for word, found in table.items()}
            counts[f"{lang}: English words"] = len(table)
            logger.info("%s: %s English words", lang, f"{len(table):,}")
        inputs = {lang: digest_texts(t for pair in read.pairs[lang] for t in pair) for lang in self.languages}
        with write_folder(folder, KIND, overwrite=overwrite) as aside:
            (aside / FILE).write_bytes(_compressed(rows))
            Lexicon.open(aside / FILE)  # what cannot be read back is not left
            write_text(aside / "README.md", self._card(folder.resolve().name, read, counts))
            manifest = seal(aside, KIND, self.settings(), inputs=inputs, counts=counts)
        return Trained(0, None, None, manifest)

    def translations(self, lang: str, pairs: Pairs) -> dict[str, Words]:
        """English word -> its words in a language, the best first.

        A pair of words scores the expected number of times one produced the other, by how sure that is:
        n * p(english | word).
        """
        ids: dict[tuple[str, str], int] = {}
        numbered = [
            tuple([ids.setdefault((side, word), len(ids)) for word in words] for side, words in named)
            for named in ((("x", text), ("en", english)) for text, english in pairs)
        ]
        names = [word for _, word in ids]
        stood = Counter(i for _, english in numbered for i in english)
        locality = self.alignment.locality.get(lang, LOCALITY)
        counts = align([(a, b) for a, b in numbered], len(ids), locality=locality)
        produced = np.asarray(counts.sum(axis=1)).ravel()
        found: defaultdict[str, list[tuple[float, str]]] = defaultdict(list)
        table = counts.tocoo()
        for f, e, n in zip(table.row.tolist(), table.col.tolist(), table.data.tolist(), strict=True):
            share, kept = n / produced[f], self.kept
            often = n >= kept.fewest and share >= kept.share and n / stood[e] >= kept.share_english
            if often and _written(names[f], lang):
                found[names[e]].append((-n * share, names[f]))
        return {word: _best(sorted(ranked), word, self.kept.translations) for word, ranked in found.items()}

    def _leaks(self) -> Set[str]:
        data = self.data
        if not data.against:
            return frozenset()
        return check_recipe_leaks(data.parallel, data_path(".", data.root), data.against).exclusions

    def _read(self, excluded: Set[str]) -> _Read:
        root = data_path(".", self.data.root)
        pairs: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
        counts: dict[str, int] = {}
        used: dict[str, Counter[str]] = {}
        for name in self.data.parallel:
            source = read_parallel(name, root, self.languages, exclude=excluded)
            used[name] = Counter()
            for pair in source:
                pairs[pair.lang].append((pair.text, pair.english))
                used[name][pair.lang] += 1
            counts |= {f"{name}: {what}": n for what, n in source.counts.items()}
        if self.data.terms is not None:
            wordnet = Lexicon.open(data_path(self.data.terms, self.data.root))
            for lang in sorted(wordnet.languages.intersection(self.languages)):
                pairs[lang] += wordnet.pairs(lang)
        if without := [lang for lang in self.languages if lang not in pairs]:
            raise DataError(f"no parallel text in {', '.join(without)}; the sources have {sorted(pairs)}")
        return _Read(pairs, counts, used)

    def _card(self, name: str, read: _Read, counts: Mapping[str, int]) -> str:
        data = [
            declared("parallel", source, n.total(), "word alignment", sorted(n))
            for source, n in read.used.items()
            if n
        ]
        return _card(name, self, data, counts)


class _Read(NamedTuple):
    pairs: Mapping[str, list[tuple[str, str]]]
    """Language -> (text, English)."""
    counts: dict[str, int]
    used: dict[str, Counter[str]]
    """Source -> pairs of each language."""


class Cutter:
    """Texts as words, without case.

    Args:
        settings: what segments scripts without spaces, and which languages write a word's parts apart.
    """

    def __init__(self, settings: Alignment) -> None:
        self._settings = settings
        self._pieces = cache(self._cut_run)
        self._tokenizer: Any = None

    def pairs(self, pairs: Sequence[tuple[str, str]], lang: str) -> Pairs:
        """(text in `lang`, English), both as words."""
        cut = [(self.words(text), self.words(english)) for text, english in pairs]
        if lang not in self._settings.joined:
            return cut
        together = self._together([text for text, _ in cut])
        return [(_join(text, together), english) for text, english in cut]

    def words(self, text: str) -> Words:
        """The words of a text, numbers left out; where a script writes none apart, the segmenter's pieces."""
        found: Words = []
        for match in _WORD.finditer(unicodedata.normalize("NFKC", text).casefold()):
            found += self._pieces(match[0]) if match["run"] else [match[0]]
        return found

    def _cut_run(self, run: str) -> Words:
        if self._tokenizer is None:
            encoder = open_encoder(self._settings.segmenter)
            if not isinstance(encoder, TransformerEncoder):
                raise UsageError(f"alignment.segmenter {self._settings.segmenter!r}: it has no pieces here")
            self._tokenizer = encoder.model[0].tokenizer
        pieces = (piece.lstrip("▁") for piece in self._tokenizer.tokenize(run))
        return [piece for piece in pieces if piece]

    def _together(self, texts: Sequence[Words]) -> Set[tuple[str, str]]:
        """Parts that stand side by side far more often than by chance."""
        single = Counter(word for words in texts for word in words)
        double = Counter(pair for words in texts for pair in pairwise(words))
        n = single.total()
        return {
            (a, b)
            for (a, b), times in double.items()
            if times >= self._settings.fewest_joined
            and times * n > self._settings.least_joined * single[a] * single[b]
        }


def _join(words: Words, together: Set[tuple[str, str]]) -> Words:
    """Words of two parts, from the left; the parts of none overlap."""
    joined: Words = []
    rest = iter(range(len(words)))
    for i in rest:
        if tuple(words[i : i + 2]) in together:
            joined.append(f"{words[i]} {words[i + 1]}")
            next(rest)
        else:
            joined.append(words[i])
    return joined


def _written(word: str, lang: str) -> bool:
    """Not in Latin letters where the language is not: those are names that stayed as they were."""
    return "Latn" in scripts(lang) or not regex.search(r"\p{Latin}", word)


def _best(ranked: Sequence[tuple[float, str]], english: str, n: int) -> Words:
    """The first n; the English word itself, which names bring in, only where there is no other."""
    words = [word for _, word in ranked]
    return ([word for word in words if word != english] or words)[:n]


def _compressed(rows: Mapping[tuple[str, str], Words]) -> bytes:
    """Rows `term, lang, translation|...`, sorted; equal rows give equal bytes."""
    lines = (f"{word}\t{lang}\t{'|'.join(found)}\n" for (word, lang), found in sorted(rows.items()))
    written = io.BytesIO()
    with gzip.GzipFile(fileobj=written, mode="wb", filename="", mtime=0) as file:
        file.write("".join(lines).encode())
    return written.getvalue()


def _card(name: str, recipe: LexiconRecipe, data: Sequence[TrainingData], counts: Mapping[str, int]) -> str:
    """README.md: what it is, where its words come from, what it cannot do."""
    sizes = ", ".join(f"{lang} {counts[f'{lang}: English words']:,}" for lang in recipe.languages)
    sources = [
        f"| {d.title} | {d.licence} | {', '.join(d.languages)} | {d.n_examples:,} | {d.attribution} |"
        for d in data
    ]
    if recipe.data.terms is not None:
        sources.append(_WORDNET)
    limits = [f"- {limit}" for limit in recipe.card.limits]
    made = f", commit {commit}" if (commit := source_commit()) else ""
    lines = [
        f"# {name}",
        recipe.card.summary
        or f"English words and their translations into {len(recipe.languages)} languages.",
        f"Licence: {recipe.card.licence}. {recipe.card.intended_use}",
        f"English words with a translation: {sizes}.",
        "\n".join(
            ["| data | licence | languages | pairs | whom to name |", "|---|---|---|---|---|", *sources]
        ),
        "\n".join(["## Limits", "", *limits]) if limits else "",
        f"Made with `babelweave train` from the settings in `manifest.json`{made}.",
    ]
    return "\n\n".join(line for line in lines if line) + "\n"
