"""The data sets of a recipe, read into one pool of rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from babelweave import registry
from babelweave.artifact import MANIFEST, digest_texts, read_json
from babelweave.data.collection import Collection
from babelweave.data.dataset import Card, Request
from babelweave.data.exclusions import read_exclusions
from babelweave.data.relevance import read_relevance
from babelweave.data.scripts import Scripts
from babelweave.errors import UsageError
from babelweave.recipe import data_path
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
from babelweave.train.sections import TEVATRON, Data, Source

_USE = "relevance"


def read_data(data: Data) -> RowPool:
    """Every set of a recipe, in its order.

    Raises:
        UsageError: a relative path without a root, or an option a loader does not take.
        DataError: a source is missing, broken, or has nothing to train on in the languages asked for.
    """
    excluded = read_exclusions(data_path(data.exclusions, data.root)) if data.exclusions else {}
    pool = RowPool()
    for source in data.sets:
        examples = _examples(source, data.root)
        pool.add(source.label, examples, languages=source.languages, excluded=excluded)
    return pool


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


def _examples(source: Source, root: str | None) -> Iterator[Example]:
    if source.relevance is not None:
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


def training_data(data: Data, pool: RowPool) -> tuple[TrainingData, ...]:
    """What a model card says of the sets: the registry's own words, else those of the recipe."""
    return tuple(_declared(source, pool.questions[source.label], data.root) for source in data.sets)


def _declared(source: Source, questions: list[Question], root: str | None) -> TrainingData:
    languages = tuple(sorted({question.query.lang for question in questions}))
    if source.relevance is not None:
        return declared("relevance", source.relevance, len(questions), _USE, languages)
    licence = source.licence
    if licence is None and source.dataset is not None:
        licence = registry.load("dataset", source.dataset).licence
    if licence is None and source.collection is not None:
        licence = _licence_of(data_path(source.collection, root))
    return TrainingData(
        title=source.label,
        licence=licence or "not stated",
        languages=languages,
        n_examples=len(questions),
        use=_USE,
    )


def _licence_of(collection: Path) -> str | None:
    """What `data prepare` noted of the data set a collection was made of."""
    manifest = collection / MANIFEST
    return read_json(manifest)["settings"].get("licence") if manifest.is_file() else None
