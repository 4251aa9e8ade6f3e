"""What a student is taught from: translations, English itself, mixed questions, questions with passages."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, PositiveInt

from babelweave.data.dataset import Dataset
from babelweave.data.leaks import check_recipe_leaks
from babelweave.data.parallel.pairs import Pair
from babelweave.data.parallel.read import passages, read_parallel
from babelweave.data.relevance import read_relevance
from babelweave.errors import DataError
from babelweave.generate.code_switch import WordLexicon, code_switch
from babelweave.generate.lexicon import Lexicon
from babelweave.recipe import data_path
from babelweave.train.sections import Language, Parallel, Relevance
from babelweave.train.settings import Checked

Form = Literal["translations", "passages", "english", "switched", "relevance"]


class DistilSet(Checked):
    """Some texts of one form, and how many of them."""

    name: str
    form: Form
    """translations: sentences and questions, each against the vector of its English.
    passages: consecutive sentences joined, the same.
    english: the English sides of `parallel`, and the questions and passages of `relevance`, themselves.
    switched: the English questions of `relevance` with words put into `languages`, against the vector of
    the question as it was.
    relevance: questions and the passages that answer them, both by the student, as contrast."""
    parallel: tuple[Parallel, ...] = ()
    relevance: tuple[Relevance, ...] = ()
    languages: tuple[Language, ...] = ()
    """() takes all that the sources have; `switched` needs them named."""
    limit: PositiveInt | None = None
    """Examples of a language and source, taken evenly from all of them."""
    max_characters: PositiveInt = 1000
    """Longer texts are left out, and counted; passages of `relevance` and `english` are cut at the tokens
    the student reads instead."""
    sentences: Annotated[int, Field(ge=2)] = 3
    """Of a joined passage."""
    p: Annotated[float, Field(gt=0, le=1)] = 0.8
    """Of a word with a known translation to be switched."""

    def _contradictions(self) -> Iterator[str]:
        takes = {
            "translations": {"parallel"},
            "passages": {"parallel", "sentences"},
            "english": {"parallel", "relevance"},
            "switched": {"relevance", "p"},
            "relevance": {"relevance"},
        }[self.form]
        given = self.model_fields_set & {"parallel", "relevance", "sentences", "p"}
        if wrong := sorted(given - takes):
            yield f"{self.form} takes no {', '.join(wrong)}"
        if not any(getattr(self, kind) for kind in ("parallel", "relevance")):
            yield "names no source"
        if self.form == "switched" and not self.languages:
            yield "name the languages that words are put into"


class DistilData(Checked):
    """What is trained on."""

    root: str | None = None
    """Where relative paths of the recipe begin; BABELWEAVE_DATA by default."""
    lexicon: str | None = None
    """Terms and meanings (Open Multilingual Wordnet) that the word alignment reads beside the sentences."""
    against: tuple[str, ...] = ()
    """Evaluation sets (`leaks.EVALUATIONS`, or collections) whose texts are looked for in every source; what
    holds one is left out and counted. About two minutes for all of MLQA, XQuAD-R, SQuAD and XOR-Retrieve."""
    sets: Annotated[tuple[DistilSet, ...], Field(min_length=1)]

    def _contradictions(self) -> Iterator[str]:
        for name, n in Counter(part.name for part in self.sets).items():
            if n > 1:
                yield f"{n} sets are called {name!r}; give each its own name"

    @property
    def folder(self) -> Path:
        """The data root."""
        return data_path(".", self.root)


class Example(NamedTuple):
    """A text and what it is brought to."""

    text: str
    lang: str
    english: str
    """The text whose teacher vector is the target; for `relevance` the passage."""
    twin: str = ""
    """English text of a near-duplicate with another meaning."""


class Corpus:
    """The sources of a recipe, each read once and kept.

    Attributes:
        counts: "source: what was dropped" -> how many.
        used: (source, form) -> examples given in each language, over all sets.
    """

    def __init__(self, data: DistilData) -> None:
        self._root = data.folder
        self.counts: dict[str, int] = {}
        self.used: defaultdict[tuple[str, Form], Counter[str]] = defaultdict(Counter)
        self._excluded: Set[str] = frozenset()
        if data.against:
            names = [*_named(data, "parallel"), *_named(data, "relevance")]
            report = check_recipe_leaks(names, self._root, data.against)
            self._excluded = report.exclusions
            self.counts["texts that hold evaluation texts"] = len(report.exclusions)
        self._pairs: dict[str, list[Pair]] = {}
        self._relevance: dict[str, Dataset] = {}

    def pairs(self, name: str) -> list[Pair]:
        """Every pair of a source."""
        if name not in self._pairs:
            read = read_parallel(name, self._root, exclude=self._excluded)
            self._pairs[name] = list(read)
            self.counts |= {f"{name}: {what}": n for what, n in read.counts.items()}
        return self._pairs[name]

    def relevance(self, name: str) -> Dataset:
        if name not in self._relevance:
            found = read_relevance(name, self._root, exclude=self._excluded)
            self.counts |= {f"{name}: {what}": n for what, n in found.counts.items()}
            self._relevance[name] = found
        return self._relevance[name]

    def examples(self, part: DistilSet) -> Iterator[Example]:
        """The examples of a set; the words of `switched` are not switched yet (see `switch`)."""
        read: dict[str, Callable[[DistilSet], Iterable[tuple[str, Example]]]] = {
            "translations": self._translations,
            "passages": self._translations,
            "english": self._english,
            "switched": self._questions,
            "relevance": self._answers,
        }
        grouped: defaultdict[tuple[str, str], list[Example]] = defaultdict(list)
        n_long = 0
        for source, example in read[part.form](part):
            if part.form not in ("relevance", "english") and len(example.text) > part.max_characters:
                n_long += 1
            else:
                grouped[source, example.lang].append(example)
        if n_long:
            self.counts[f"{part.name}: longer than {part.max_characters} characters"] = n_long
        if not grouped:
            raise DataError(f"data.sets {part.name!r}: the sources hold nothing in {part.languages or 'any'}")
        for (source, lang), examples in grouped.items():
            taken = list(_take(examples, part.limit))
            self.used[source.partition(" ")[0], part.form][lang] += len(taken)
            yield from taken

    def _translations(self, part: DistilSet) -> Iterator[tuple[str, Example]]:
        for name in part.parallel:
            found: Iterable[Pair] = self.pairs(name)
            if part.form == "passages":
                found = passages(found, part.sentences)
            english = {pair.group: pair.english for pair in self.pairs(name)}
            for pair in found:
                if not part.languages or pair.lang in part.languages:
                    yield name, Example(pair.text, pair.lang, pair.english, english.get(pair.twin, ""))

    def _english(self, part: DistilSet) -> Iterator[tuple[str, Example]]:
        for name in part.parallel:
            for text in dict.fromkeys(pair.english for pair in self.pairs(name)):
                yield name, Example(text, "en", text)
        for name in part.relevance:
            found = self.relevance(name)
            for query in found.queries:
                if query.lang == "en":
                    yield f"{name} questions", Example(query.text, "en", query.text)
            for passage in found.passages:
                if passage.lang == "en":
                    yield f"{name} passages", Example(passage.content, "en", passage.content)

    def _questions(self, part: DistilSet) -> Iterator[tuple[str, Example]]:
        for name in part.relevance:
            for query in self.relevance(name).queries:
                if query.lang == "en":
                    yield name, Example(query.text, "en", query.text)

    def _answers(self, part: DistilSet) -> Iterator[tuple[str, Example]]:
        for name in part.relevance:
            found = self.relevance(name)
            texts = {passage.doc_id: passage.content for passage in found.passages}
            judged = {q: docs for qrels in found.qrels.values() for q, docs in qrels.items()}
            for query in found.queries:
                if not part.languages or query.lang in part.languages:
                    best = max(judged[query.query_id].items(), key=lambda item: item[1])[0]
                    yield name, Example(query.text, query.lang, texts[best])


def switch(
    examples: Iterable[Example], part: DistilSet, lexicon: WordLexicon, seed: int
) -> Iterator[Example]:
    """Each English question in one of the languages in turn; those without a known word are left out.

    Raises:
        DataError: none has one.
    """
    n_switched = 0
    for number, example in enumerate(examples):
        lang = part.languages[number % len(part.languages)]
        switched = code_switch(example.text, lexicon, [lang], p=part.p, seed=seed)
        if switched.n_replaced:
            n_switched += 1
            yield Example(switched.text, lang, example.english)
    if not n_switched:
        raise DataError(f"data.sets {part.name!r}: no question holds a word with a known translation")


def texts_by_language(corpus: Corpus, data: DistilData) -> dict[str, list[str]]:
    """All the sources of a recipe hold in each language, without limits: what a vocabulary is learned from.

    English are the questions and passages of `relevance`, and the English sides of `parallel`.
    """
    texts: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for name in _named(data, "parallel"):
        for pair in corpus.pairs(name):
            texts[pair.lang][pair.text] = None
            texts["en"][pair.english] = None
    for name in _named(data, "relevance"):
        found = corpus.relevance(name)
        for query in found.queries:
            texts[query.lang][query.text] = None
        for passage in found.passages:
            texts[passage.lang][passage.content] = None
    return {lang: list(found) for lang, found in texts.items()}


def translations(corpus: Corpus, data: DistilData) -> dict[str, list[tuple[str, str]]]:
    """Language -> (text, English) of all parallel sources and of the lexicon: what word alignment reads."""
    found: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    for name in _named(data, "parallel"):
        for pair in corpus.pairs(name):
            found[pair.lang].append((pair.text, pair.english))
    if data.lexicon is not None:
        lexicon = Lexicon.open(data_path(data.lexicon, data.root))
        for lang in found.keys() & lexicon.languages:
            found[lang] += lexicon.pairs(lang)
    return dict(found)


def _named(data: DistilData, kind: Literal["parallel", "relevance"]) -> Sequence[str]:
    return list(dict.fromkeys(name for part in data.sets for name in getattr(part, kind)))


def _take(examples: Sequence[Example], limit: int | None) -> Iterator[Example]:
    """`limit` of them, evenly from first to last."""
    n = len(examples)
    kept = n if limit is None else min(limit, n)
    return (examples[i * n // kept] for i in range(kept))
