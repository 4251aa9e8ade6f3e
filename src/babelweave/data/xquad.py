"""XQuAD (Artetxe et al., arXiv 1910.11856) and XQuAD-R (LAReQA, arXiv 2004.05484) as retrieval tasks.

XQuAD's files are `xquad.{lang}.json`, XQuAD-R's are `{lang}.json` with the sentences of each paragraph
marked. Both are fully parallel: a question has the same id in every language.

A subset is passage language - question language ("en-de"), or "pooled": the questions of all languages
against the passages of all languages, where a question has one relevant passage per language. The unit
is the paragraph, or the sentence as in LAReQA: the one in which the answer begins.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal, cast

from babelweave.data.archive import Archive
from babelweave.data.dataset import Card, Dataset, Request
from babelweave.data.languages import canonical
from babelweave.data.squad import Paragraph, Question, paragraphs, text_id
from babelweave.errors import DataError, UsageError, nearest
from babelweave.records import Passage, Query, Subset

POOLED = "pooled"
UNITS = ("passage", "sentence")
Unit = Literal["passage", "sentence"]
Release = Mapping[str, tuple[Paragraph, ...]]
"""language -> its paragraphs."""
_NAME = re.compile(r"(?:xquad\.)?([a-z]{2})\.json")


def read_release(source: Path) -> Release:
    """Every language of a folder or zip, sorted.

    Raises:
        DataError: no file of either layout, two for one language, or one that is not SQuAD JSON.
    """
    release: dict[str, tuple[Paragraph, ...]] = {}
    with Archive(source) as archive:
        for name in archive.names:
            match = _NAME.fullmatch(name.rsplit("/", 1)[-1])
            if match is None:
                continue
            lang, where = canonical(match[1]), archive.where(name)
            if lang in release:
                raise DataError(f"{where}: a second file for {lang!r}; name the folder of one release")
            release[lang] = tuple(paragraphs(archive.json(name), where))
    if not release:
        raise DataError(f"{source}: no XQuAD here; expected xquad.en.json, or en.json of XQuAD-R")
    return dict(sorted(release.items()))


def subset_names(release: Release) -> list[str]:
    """Every pair of languages present, then "pooled"."""
    return [f"{p}-{q}" for p in release for q in release] + [POOLED]


def subset(release: Release, name: str, unit: Unit = "passage") -> Subset:
    """One task over passages or sentences.

    Texts have ids `lang-hash`, sentences `lang-hash-number`. In "pooled", where one question stands in
    several languages, question ids are prefixed with theirs, and the languages of the task are "mul".

    Raises:
        UsageError: an unknown subset or unit, or sentences asked of files that do not mark them.
        DataError: a question that is missing in the passage language: the files are not parallel.
    """
    if unit not in UNITS:
        raise UsageError(f"unknown unit {unit!r}; {nearest(unit, UNITS)}")
    if name not in subset_names(release):
        raise UsageError(f"no XQuAD subset {name!r}; {nearest(name, subset_names(release))}")
    pooled = name == POOLED
    passage_langs = list(release) if pooled else [name.rsplit("-", 1)[0]]
    query_langs = list(release) if pooled else [name.rsplit("-", 1)[1]]
    pool: dict[str, Passage] = {}
    relevant: dict[str, list[str]] = {}
    for lang in passage_langs:
        for paragraph in release[lang]:
            units = _units(paragraph, lang, unit)
            pool.update({p.doc_id: p for p in units.values()})
            for question in paragraph.questions:
                relevant.setdefault(question.query_id, []).append(_answering(units, question).doc_id)
    queries: list[Query] = []
    qrels: dict[str, dict[str, int]] = {}
    for lang in query_langs:
        for question in _questions(release[lang]):
            found = relevant.get(question.query_id, [])
            if len(found) != len(passage_langs):
                raise DataError(
                    f"XQuAD question {question.query_id!r} ({lang}) is in {len(found)} passages, expected "
                    f"one in each of {len(passage_langs)} languages; the files are not parallel"
                )
            query_id = f"{lang}-{question.query_id}" if pooled else question.query_id
            queries.append(Query(query_id, question.text, lang, question.answers))
            qrels[query_id] = dict.fromkeys(found, 1)
    languages = ("mul", "mul") if pooled else (passage_langs[0], query_langs[0])
    return Subset(name, *languages, list(pool.values()), queries, qrels)


def pooled_question(query_id: str) -> str:
    """The question that a query id of "pooled" asks in one of its languages."""
    return query_id.partition("-")[2]


def pooled_language(query_id: str) -> str:
    """The language that a query id of "pooled" asks in."""
    return query_id.partition("-")[0]


def _questions(items: Iterable[Paragraph]) -> Iterable[Question]:
    return (question for paragraph in items for question in paragraph.questions)


def _units(paragraph: Paragraph, lang: str, unit: Unit) -> dict[int, Passage]:
    """Where a unit begins in the paragraph -> the unit."""
    stem = f"{lang}-{text_id(paragraph.context)}"
    if unit == "passage":
        return {0: Passage(stem, paragraph.context, lang)}
    if not paragraph.sentences:
        raise UsageError("these files mark no sentences; those of XQuAD-R (LAReQA) do")
    return {
        begin: Passage(f"{stem}-{number:02d}", paragraph.context[begin:end], lang)
        for number, (begin, end) in enumerate(paragraph.sentences)
    }


def _answering(units: Mapping[int, Passage], question: Question) -> Passage:
    """The unit in which the answer begins."""
    return units[max((begin for begin in units if begin <= question.start), default=min(units))]


def _dataset(request: Request) -> Dataset:
    unit = cast(Unit, request.unit or "passage")
    if request.subset is None:
        raise UsageError(
            "xquad needs --subset: passage language - question language such as en-de, or pooled"
        )
    task = subset(read_release(request.source), request.subset, unit)
    return Dataset(task.passages, task.queries, {"test": task.qrels})


CARD = Card(
    licence="CC BY-SA 4.0",
    languages="ar de el en es hi ru th tr vi zh (XQuAD also ro)",
    layout="folder or zip of xquad.{lang}.json (XQuAD) or {lang}.json (XQuAD-R, for sentences)",
    options=("subset", "unit"),
    read=_dataset,
)
