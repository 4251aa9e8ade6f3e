"""Tevatron's training rows as a collection.

    v1   {query_id, query, answers, positive_passages: [{docid, title, text}], negative_passages: [...]}
    v2   {query_id, query_text | query, answer, positive_document_ids, negative_document_ids}, with a corpus
         file of {docid, text, title (optional)}

Positives are judged 1. Negatives were mined, not judged: they join the corpus and stay out of the qrels.
Rows name no language, so it is given.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from babelweave.data.archive import Archive
from babelweave.data.dataset import Card, Dataset, Request
from babelweave.data.languages import canonical
from babelweave.data.lines import fault, json_objects
from babelweave.errors import DataError, UsageError
from babelweave.records import Passage, Query

Passages = tuple[Passage, ...]
Ids = tuple[str, ...]


def read_v1(source: Path, lang: str, query_lang: str, split: str = "train") -> Dataset:
    """Rows that carry their passages; a passage of several rows is kept once and counted.

    Raises:
        DataError: a broken row, a query id used twice, or one docid with two texts.
    """
    pool: dict[str, Passage] = {}
    queries: dict[str, Query] = {}
    qrels: dict[str, dict[str, int]] = {}
    repeated = 0
    for where, query, positives, negatives in iter_v1(source, canonical(lang), canonical(query_lang)):
        _add_query(queries, query, where)
        for passage in (*positives, *negatives):
            known = pool.setdefault(passage.doc_id, passage)
            if known != passage:
                raise DataError(f"{where}: docid {passage.doc_id!r} has another text than before")
            repeated += known is not passage
        qrels[query.query_id] = {p.doc_id: 1 for p in positives}
    counts = {"repeated passages merged": repeated}
    return Dataset(list(pool.values()), list(queries.values()), {split: qrels}, counts)


def iter_v1(source: Path, lang: str, query_lang: str) -> Iterator[tuple[str, Query, Passages, Passages]]:
    """(where, question, positives, negatives) of each row of v1.

    Raises:
        DataError: a broken row.
    """
    for where, row in _rows(source):
        try:
            query = _query(row, query_lang)
            positives = tuple(_passage(p, lang) for p in row["positive_passages"])
            negatives = tuple(_passage(p, lang) for p in row.get("negative_passages") or ())
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{where}: not a row of Tevatron v1 ({fault(error)})") from error
        yield where, query, positives, negatives


def read_v2(source: Path, corpus: Path, lang: str, query_lang: str, split: str = "train") -> Dataset:
    """Rows that name their passages, and the corpus file, which is streamed.

    Raises:
        DataError: a broken row, or a query id used twice.
    """
    queries: dict[str, Query] = {}
    qrels: dict[str, dict[str, int]] = {}
    for where, query, positives, _ in iter_v2(source, canonical(query_lang)):
        _add_query(queries, query, where)
        qrels[query.query_id] = dict.fromkeys(positives, 1)
    return Dataset(read_corpus(corpus, canonical(lang)), list(queries.values()), {split: qrels})


def iter_v2(source: Path, query_lang: str) -> Iterator[tuple[str, Query, Ids, Ids]]:
    """(where, question, ids of positives, ids of negatives) of each row of v2.

    Raises:
        DataError: a broken row.
    """
    for where, row in _rows(source):
        try:
            query = _query(row, query_lang)
            positives = tuple(str(doc_id) for doc_id in row["positive_document_ids"])
            negatives = tuple(str(doc_id) for doc_id in row.get("negative_document_ids") or ())
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{where}: not a row of Tevatron v2 ({fault(error)})") from error
        yield where, query, positives, negatives


def read_corpus(path: Path, lang: str) -> Iterator[Passage]:
    """The passages of a corpus file of v2, streamed.

    Raises:
        DataError: a broken row.
    """
    for where, row in _rows(path):
        try:
            yield _passage(row, lang)
        except (KeyError, TypeError) as error:
            raise DataError(f"{where}: not a row of a Tevatron corpus ({fault(error)})") from error


def _rows(source: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    with Archive(source) as archive:
        for name in archive.names:
            if name.endswith((".jsonl", ".jsonl.gz", ".json")):
                yield from json_objects(archive.lines(name), archive.where(name))


def _passage(row: Mapping[str, Any], lang: str) -> Passage:
    return Passage(str(row["docid"]), _string(row["text"]), lang, _string(row.get("title") or ""))


def _query(row: Mapping[str, Any], lang: str) -> Query:
    text = row["query"] if "query" in row else row["query_text"]
    answers = row.get("answers") or row.get("answer") or ()
    if isinstance(answers, str):
        answers = (answers,)
    return Query(str(row["query_id"]), _string(text), lang, tuple(dict.fromkeys(answers)))


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} where a text was expected")
    return value


def _add_query(queries: dict[str, Query], query: Query, where: str) -> None:
    if query.query_id in queries:
        raise DataError(f"{where}: query id {query.query_id!r} is used twice")
    queries[query.query_id] = query


def _dataset(request: Request) -> Dataset:
    if request.lang is None:
        raise UsageError("tevatron rows name no language; pass --lang (and --query-lang where it differs)")
    query_lang = request.query_lang or request.lang
    split = request.split or "train"
    if request.corpus is None:
        return read_v1(request.source, request.lang, query_lang, split)
    return read_v2(request.source, request.corpus, request.lang, query_lang, split)


CARD = Card(
    licence="that of the data",
    languages="any (--lang, --query-lang)",
    layout=".jsonl[.gz], or a folder or zip of .jsonl; --corpus the corpus .jsonl[.gz] of v2",
    options=("split", "lang", "query_lang", "corpus"),
    read=_dataset,
)
