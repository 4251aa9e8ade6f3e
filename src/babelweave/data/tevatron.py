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


def read_v1(source: Path, lang: str, query_lang: str, split: str = "train") -> Dataset:
    """Rows that carry their passages; a passage of several rows is kept once and counted.

    Raises:
        DataError: a broken row, a query id used twice, or one docid with two texts.
    """
    lang, query_lang = canonical(lang), canonical(query_lang)
    pool: dict[str, Passage] = {}
    queries: dict[str, Query] = {}
    qrels: dict[str, dict[str, int]] = {}
    repeated = 0
    for where, row in _rows(source):
        try:
            query = _query(row, query_lang)
            positives = [_passage(p, lang) for p in row["positive_passages"]]
            negatives = [_passage(p, lang) for p in row.get("negative_passages") or ()]
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{where}: not a row of Tevatron v1 ({fault(error)})") from error
        _add_query(queries, query, where)
        for passage in [*positives, *negatives]:
            known = pool.setdefault(passage.doc_id, passage)
            if known != passage:
                raise DataError(f"{where}: docid {passage.doc_id!r} has another text than before")
            repeated += known is not passage
        qrels[query.query_id] = {p.doc_id: 1 for p in positives}
    counts = {"repeated passages merged": repeated}
    return Dataset(list(pool.values()), list(queries.values()), {split: qrels}, counts)


def read_v2(source: Path, corpus: Path, lang: str, query_lang: str, split: str = "train") -> Dataset:
    """Rows that name their passages, and the corpus file, which is streamed.

    Raises:
        DataError: a broken row, or a query id used twice.
    """
    lang, query_lang = canonical(lang), canonical(query_lang)
    queries: dict[str, Query] = {}
    qrels: dict[str, dict[str, int]] = {}
    for where, row in _rows(source):
        try:
            query = _query(row, query_lang)
            positives = [str(doc_id) for doc_id in row["positive_document_ids"]]
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{where}: not a row of Tevatron v2 ({fault(error)})") from error
        _add_query(queries, query, where)
        qrels[query.query_id] = dict.fromkeys(positives, 1)
    return Dataset(_corpus(corpus, lang), list(queries.values()), {split: qrels})


def _corpus(path: Path, lang: str) -> Iterator[Passage]:
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
    return Passage(str(row["docid"]), row["text"], lang, row.get("title") or "")


def _query(row: Mapping[str, Any], lang: str) -> Query:
    text = row["query"] if "query" in row else row["query_text"]
    answers = row.get("answers") or row.get("answer") or ()
    if isinstance(answers, str):
        answers = (answers,)
    return Query(str(row["query_id"]), text, lang, tuple(dict.fromkeys(answers)))


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
