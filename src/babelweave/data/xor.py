"""XOR-Retrieve (Asai et al., arXiv 2010.11856): questions in seven languages, answers in English.

    xor_{train,dev}_retrieve_eng_span[_v1_1].jsonl     {id, question, answers, lang, split}; no passages
    {lang}-en/{lang}.txt, {lang}-en/en.txt             human translations of TyDi questions, line by line

The benchmark searches English Wikipedia and asks whether an answer string is in what was found (R@2kt,
R@5kt), so there are no judgements.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

from babelweave.data.archive import Archive
from babelweave.data.dataset import Card, Dataset, Request, corpus_passages
from babelweave.data.languages import canonical
from babelweave.data.lines import fault, json_objects
from babelweave.errors import DataError, UsageError
from babelweave.records import Query

LANGUAGES = ("ar", "bn", "fi", "ja", "ko", "ru", "te")
_NAME = re.compile(r"xor_(train|dev)_retrieve_eng_span(?:_v1_1)?\.jsonl")


class Translation(NamedTuple):
    lang: str
    text: str
    english: str


def read_questions(source: Path, split: str = "dev") -> list[Query]:
    """The questions of a split with their distinct answers, yes and no among them.

    Args:
        source: the folder, or the one `.jsonl` file.
    Raises:
        UsageError: no file of the split, or more than one.
        DataError: a broken row, an unknown language, or an id used twice.
    """
    queries: dict[str, Query] = {}
    with Archive(source) as archive:
        name = _questions_file(archive, split)
        for where, row in json_objects(archive.lines(name), archive.where(name)):
            try:
                answers = tuple(dict.fromkeys(str(a) for a in row["answers"]))
                query = Query(str(row["id"]), row["question"], canonical(row["lang"]), answers)
            except (KeyError, TypeError, AttributeError) as error:
                raise DataError(f"{where}: not a row of XOR-Retrieve ({fault(error)})") from error
            except UsageError as error:
                raise DataError(f"{where}: {error}") from error
            if query.query_id in queries:
                raise DataError(f"{where}: question id {query.query_id!r} is used twice")
            queries[query.query_id] = query
    return list(queries.values())


def read_translations(source: Path) -> Iterator[Translation]:
    """Every question translated into English, language by language.

    Raises:
        DataError: no pair of files, or two of different length.
    """
    with Archive(source) as archive:
        pairs = [
            (match[1], name, name.rsplit("/", 1)[0] + "/en.txt")
            for name in archive.names
            if (match := re.search(r"(?:^|/)([a-z]{2})-en/\1\.txt$", name))
        ]
        if not pairs:
            raise DataError(f"{source}: no translations; expected ja-en/ja.txt beside ja-en/en.txt")
        for lang, own, english in pairs:
            if english not in archive.names:
                raise DataError(f"{archive.where(own)}: its partner {english} is missing")
            for line, partner in zip_longest(archive.lines(own), archive.lines(english)):
                if line is None or partner is None:
                    longer = archive.where(english if line is None else own)
                    raise DataError(f"{longer}: has more lines than its partner; the two must be parallel")
                yield Translation(canonical(lang), line[1], partner[1])


def _questions_file(archive: Archive, split: str) -> str:
    if archive.path.is_file() and len(archive.names) == 1:
        return archive.names[0]
    matches = [(n, _NAME.fullmatch(n.rsplit("/", 1)[-1])) for n in archive.names]
    found = [name for name, match in matches if match and match[1] == split]
    if len(found) != 1:
        present = ", ".join(name for name, match in matches if match) or "none"
        many = "several files" if found else "no file"
        raise UsageError(
            f"{archive.path}: {many} of split {split!r}, expected xor_{split}_retrieve_eng_span.jsonl or "
            f"_v1_1.jsonl; name the one; present: {present}"
        )
    return found[0]


def _dataset(request: Request) -> Dataset:
    queries = read_questions(request.source, request.split or "dev")
    if request.lang is not None:
        queries = [q for q in queries if q.lang == canonical(request.lang)]
    return Dataset(corpus_passages("xor-retrieve", request.corpus), queries, {})


CARD = Card(
    licence="MIT (questions and answers), Apache 2.0 (TyDi)",
    languages=" ".join(LANGUAGES),
    layout="xor_{split}_retrieve_eng_span[_v1_1].jsonl, or a folder of them",
    options=("split", "lang", "corpus"),
    read=_dataset,
)
