"""MKQA (Longpre et al., arXiv 2007.15207): questions of Natural Questions put into many languages.

There are no passages. The layouts read:

    mkqa.jsonl[.gz]          the publisher's: {example_id, queries: {lang: text},
                             answers: {lang: [{text, aliases}]}}
    one .jsonl[.gz]          {id, q: {lang: text}, ans: {lang: [text]}}, answers optional
    mkqa-{lang}.jsonl        one file a language, rows {id, lang, question, answers}; a folder or zip of them
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from babelweave.data.archive import Archive
from babelweave.data.dataset import Card, Dataset, Request, corpus_passages
from babelweave.data.languages import canonical
from babelweave.data.lines import fault, json_objects
from babelweave.errors import DataError, UsageError
from babelweave.records import Query

_PER_LANGUAGE = re.compile(r"mkqa-([a-z_]+)\.jsonl")


def read_mkqa(source: Path, languages: Iterable[str] | None = None) -> dict[str, list[Query]]:
    """language -> its questions; one question has the same id in every language.

    Raises:
        UsageError: a language that is not there; the message names those present.
        DataError: another layout, a blank question, or an id used twice in a language.
    """
    found: dict[str, dict[str, Query]] = {}
    with Archive(source) as archive:
        for where, query in _questions(archive):
            if not query.text.strip():
                raise DataError(f"{where}: question {query.query_id!r} ({query.lang}) is blank")
            known = found.setdefault(query.lang, {})
            if query.query_id in known:
                raise DataError(f"{where}: question id {query.query_id!r} ({query.lang}) is used twice")
            known[query.query_id] = query
    wanted = sorted(found) if languages is None else [canonical(lang) for lang in languages]
    for lang in wanted:
        if lang not in found:
            raise UsageError(f"{source}: no MKQA questions in {lang!r}; present: {', '.join(sorted(found))}")
    return {lang: list(found[lang].values()) for lang in wanted}


def _questions(archive: Archive) -> Iterator[tuple[str, Query]]:
    files = [n for n in archive.names if _PER_LANGUAGE.fullmatch(n.rsplit("/", 1)[-1])]
    joint = [n for n in archive.names if n.endswith((".jsonl", ".jsonl.gz")) and n not in files]
    if not files and len(joint) != 1:
        raise DataError(
            f"{archive.path}: {len(joint)} files of JSON lines, expected one, or mkqa-{{lang}}.jsonl files"
        )
    for name in files or joint:
        for where, row in json_objects(archive.lines(name), archive.where(name)):
            try:
                for query in [_row(row)] if files else _parallel(row):
                    yield where, query
            except (KeyError, TypeError, AttributeError) as error:
                raise DataError(f"{where}: not a row of MKQA ({fault(error)})") from error


def _row(row: Mapping[str, Any]) -> Query:
    """The id carries the language at its end; without it the ids are parallel."""
    query_id = row["id"].removesuffix(f"_{row['lang']}")
    return Query(query_id, row["question"], canonical(row["lang"]), tuple(dict.fromkeys(row["answers"])))


def _parallel(row: Mapping[str, Any]) -> Iterator[Query]:
    official = "queries" in row
    texts = row["queries"] if official else row["q"]
    answers = row.get("answers" if official else "ans") or {}
    for lang, text in texts.items():
        given = answers.get(lang) or []
        strings = _surface_forms(given) if official else given
        query_id = str(row["example_id" if official else "id"])
        yield Query(query_id, text, canonical(lang), tuple(dict.fromkeys(strings)))


def _surface_forms(answers: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """The text and the aliases of each answer; unanswerable ones have no text."""
    for answer in answers:
        yield from (form for form in (answer.get("text"), *(answer.get("aliases") or ())) if form)


def _dataset(request: Request) -> Dataset:
    languages = None if request.lang is None else [request.lang]
    questions = read_mkqa(request.source, languages)
    queries = [q._replace(query_id=f"{lang}-{q.query_id}") for lang, qs in questions.items() for q in qs]
    return Dataset(corpus_passages("mkqa", request.corpus), queries, {})


CARD = Card(
    licence="CC BY-SA 3.0",
    languages="ar en es fi ja km ko ms ru sv tr zh; the publisher's file also da de fr he hu it nl no pl "
    "pt th vi zh-Hant zh-HK",
    layout="mkqa.jsonl.gz, one .jsonl.gz of {id, q, ans}, or a folder or zip of mkqa-{lang}.jsonl",
    options=("lang", "corpus"),
    read=_dataset,
)
