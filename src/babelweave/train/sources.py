"""The data sets of a recipe, read into one pool of rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection as Container
from collections.abc import Iterable, Iterator
from pathlib import Path

from babelweave import registry
from babelweave.artifact import MANIFEST, digest_texts, read_json
from babelweave.data.collection import Collection
from babelweave.data.dataset import Card, Request
from babelweave.data.exclusions import read_exclusions
from babelweave.data.parallel.pairs import Pair
from babelweave.data.parallel.read import read_parallel
from babelweave.data.relevance import read_relevance
from babelweave.data.scripts import Scripts
from babelweave.data.squad import squad_paragraphs, text_id
from babelweave.errors import DataError, UsageError
from babelweave.recipe import data_path
from babelweave.records import Passage, Query
from babelweave.shift.splits import Row, provenance_sample
from babelweave.train.card import TrainingData, declared
from babelweave.train.rows import (
    Example,
    Question,
    RowPool,
    dataset_examples,
    examples_of,
    read_rows,
    tevatron_examples,
)
from babelweave.train.sections import SQUAD, TEVATRON, Data, Provenance, Source

_USE = "relevance"


def read_data(data: Data, *, whole: bool = False) -> RowPool:
    """Every set of a recipe, in its order.

    Args:
        whole: keep the passages of questions that `provenance` does not draw, as something to search in.
    Raises:
        UsageError: a relative path without a root, an option a loader does not take, or questions in a
            language that `provenance` does not align.
        DataError: a source is missing, broken, or has nothing to train on in the languages asked for, or too
            few questions of a provenance and language.
    """
    excluded = read_exclusions(data_path(data.exclusions, data.root)) if data.exclusions else {}
    pool = RowPool()
    for source in data.sets:
        examples = _examples(source, data.root, excluded)
        left_out: Counter[str] = Counter()
        if data.half is not None:
            examples = _half(examples, data.half, left_out)
        pool.add(source.label, examples, languages=source.languages, excluded=excluded)
        pool.counts[source.label].update(left_out)
    if data.provenance is not None:
        _draw(pool, data.provenance)
        return pool if whole else _of_questions(pool)
    return pool


def _half(examples: Iterable[Example], half: str, left_out: Counter[str]) -> Iterator[Example]:
    """Those whose first passage, or failing that whose question, has an even hash ("train") or an odd one."""
    for example in examples:
        text = example.positives[0].text if example.positives else example.query.text
        if (int(text_id(text), 16) % 2 == 0) == (half == "train"):
            yield example
        else:
            left_out["questions of the other half left out"] += 1


def _draw(pool: RowPool, settings: Provenance) -> None:
    """Keep the questions that are drawn, in every set."""
    places = [(name, question) for name, questions in pool.questions.items() for question in questions]
    rows = [Row(settings.of.get(name, name), question.query.lang) for name, question in places]
    aligned, strength, reverse = settings.aligned, settings.strength, settings.reverse
    try:
        drawn = provenance_sample(rows, aligned, strength, settings.n, seed=settings.seed, reverse=reverse)
    except (UsageError, DataError) as error:
        raise type(error)(f"data.provenance: {error}; name the languages of each set") from error
    kept: dict[str, list[Question]] = {name: [] for name in pool.questions}
    for i in drawn:
        kept[places[i][0]].append(places[i][1])
    for name, questions in kept.items():
        counts = pool.counts[name]
        counts["questions not drawn"] = len(pool.questions[name]) - len(questions)
        counts["questions"] = len(questions)
    pool.questions = {name: questions for name, questions in kept.items() if questions}


def _of_questions(pool: RowPool) -> RowPool:
    """The pool with the passages of its questions alone."""
    smaller = RowPool()
    smaller.counts = pool.counts

    def rows(old: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(smaller.row(pool.passages[row]) for row in old)

    for name, questions in pool.questions.items():
        smaller.questions[name] = [Question(q, rows(right), rows(wrong)) for q, right, wrong in questions]
    return smaller


def digests(pool: RowPool) -> dict[str, str]:
    """Data set -> digest of its questions and passages as they are trained on."""
    return {name: _digest(pool, questions) for name, questions in pool.questions.items()}


def _digest(pool: RowPool, questions: list[Question]) -> str:
    def texts() -> Iterator[str]:
        for question in questions:
            yield question.query.text
            yield question.query.lang
            for rows in (question.positives, question.negatives):
                yield str(len(rows))
                yield from (pool.passages[row].content for row in rows)

    return digest_texts(texts())


def _examples(source: Source, root: str | None, excluded: Container[str]) -> Iterator[Example]:
    if parallel := getattr(source, "parallel", None):
        pairs = read_parallel(parallel, data_path(".", root), source.languages or None, exclude=excluded)
        yield from _of_parallel(pairs, questions_only=getattr(source, "questions_only", False))
    elif source.relevance is not None:
        folder = data_path(".", root)
        yield from dataset_examples(read_relevance(source.relevance, folder), source.label)
    elif source.rows is not None:
        yield from read_rows(data_path(source.rows, root))
    elif source.collection is not None:
        yield from _of_collection(source, data_path(source.collection, root))
    else:
        assert source.dataset is not None
        assert source.source is not None
        path = data_path(source.source, root)
        corpus = data_path(source.corpus, root) if source.corpus else None
        if source.dataset == TEVATRON:
            yield from _of_tevatron(source, path, corpus)
            return
        if source.dataset == SQUAD and source.query_lang is not None:
            yield from _of_squad(source, path)
            return
        assert not isinstance(source.query_lang, tuple)
        request = Request(
            source=path,
            split=source.split,
            subset=source.subset,
            lang=source.lang,
            query_lang=source.query_lang,
            corpus=corpus,
            drop_unanswerable=source.drop_unanswerable,
        )
        card: Card = registry.load("dataset", source.dataset)
        yield from dataset_examples(card.load(source.dataset, request), source.label)


def _of_collection(source: Source, folder: Path) -> Iterator[Example]:
    collection = Collection.open(folder, source.lang)
    splits = collection.splits()
    if source.split is None and len(splits) != 1:
        raise UsageError(f"{source.label}: give split; {folder} has {', '.join(splits) or 'none'}")
    qrels = collection.qrels(source.split or splits[0], check=False)
    yield from examples_of(collection.passages(), collection.queries(), qrels, source.label)


def _of_tevatron(source: Source, path: Path, corpus: Path | None) -> Iterator[Example]:
    assert source.lang is not None
    if not isinstance(source.query_lang, tuple):
        yield from tevatron_examples(path, source.lang, source.query_lang or source.lang, corpus)
        return
    scripts = Scripts(source.query_lang)
    for example in tevatron_examples(path, source.lang, source.query_lang[0], corpus):
        query = example.query._replace(lang=scripts.language(example.query.text))
        yield example._replace(query=query)


def _of_squad(source: Source, path: Path) -> Iterator[Example]:
    """Questions in other languages than their paragraphs; one that stands at several of them comes again."""
    assert source.query_lang is not None
    if source.lang is None:
        raise UsageError(f"{source.label}: SQuAD files name no language; give lang beside query_lang")
    scripts = Scripts(source.query_lang) if isinstance(source.query_lang, tuple) else None
    for paragraph in squad_paragraphs(path):
        passage = Passage(text_id(paragraph.context), paragraph.context, source.lang, paragraph.title)
        for question in paragraph.questions:
            if not question.text.strip() or (question.impossible and source.drop_unanswerable):
                continue
            lang = scripts.language(question.text) if scripts else str(source.query_lang)
            query = Query(question.query_id, question.text, lang, question.answers)
            found = ((), (passage,)) if question.impossible else ((passage,), ())
            yield Example(query, *found)


def _of_parallel(pairs: Iterable[Pair], *, questions_only: bool) -> Iterator[Example]:
    """Each translation as a question, the English text in the passage's place."""
    for number, pair in enumerate(pairs):
        if questions_only and not (_asks(pair.english) and _asks(pair.text)):
            continue
        passage = Passage(pair.group, pair.english, "en")
        yield Example(Query(f"{pair.source}-{number}", pair.text, pair.lang), (passage,))


def _asks(text: str) -> bool:
    """Whether it ends as a question: with ?, the Arabic or the fullwidth form, whatever closes behind it."""
    return text.rstrip(" \"'»”’」)").endswith(("?", "؟", "？"))


def training_data(data: Data, pool: RowPool) -> tuple[TrainingData, ...]:
    """What a model card says of the sets: the registry's own words, else those of the recipe."""
    found = []
    for source in data.sets:
        if source.label not in pool.questions:  # nothing of it was drawn
            continue
        languages = tuple(sorted({question.query.lang for question in pool.questions[source.label]}))
        n = len(pool.questions[source.label])
        found.append(source_data(source, n, languages, data.root, _USE))
    return tuple(found)


def source_data(
    source: Source, n_examples: int, languages: tuple[str, ...], root: str | None, use: str
) -> TrainingData:
    """What a model card says of one set."""
    if parallel := getattr(source, "parallel", None):
        return declared("parallel", parallel, n_examples, use, languages)
    if source.relevance is not None:
        return declared("relevance", source.relevance, n_examples, use, languages)
    licence = source.licence
    if licence is None and source.dataset is not None:
        licence = registry.load("dataset", source.dataset).licence
    if licence is None and source.collection is not None:
        licence = _licence_of(data_path(source.collection, root))
    return TrainingData(
        title=source.label,
        licence=licence or "not stated",
        languages=languages,
        n_examples=n_examples,
        use=use,
    )


def _licence_of(collection: Path) -> str | None:
    """What `data prepare` noted of the data set a collection was made of."""
    manifest = collection / MANIFEST
    return read_json(manifest)["settings"].get("licence") if manifest.is_file() else None
