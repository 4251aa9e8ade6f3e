"""MLQA (Lewis et al., arXiv 1910.07475) in the publisher's layout, as retrieval tasks.

The release is a zip, or a folder of it unpacked, of SQuAD JSON files
`{split}-context-{passage language}-question-{question language}.json`, split dev or test.

A subset is one file, named passage language - question language ("en-de"), by the protocol of MTEB's
MLQARetrieval: the pool is the distinct contexts of that file, without titles, and each question has its
one context. Passage ids are hashes of the text, equal over subsets; question ids are the publisher's and
shared across languages, so the rows of several subsets are not independent.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Literal, cast

from babelweave.data.archive import Archive
from babelweave.data.dataset import Card, Dataset, Request
from babelweave.data.languages import canonical
from babelweave.data.squad import Task, paragraphs, to_task
from babelweave.errors import DataError, UsageError, nearest
from babelweave.records import Passage, Subset

SPLITS = ("dev", "test")
LANGUAGES = ("ar", "de", "en", "es", "hi", "vi", "zh")
HALVES = ("tune", "report")
Half = Literal["tune", "report"]
_NAME = re.compile(r"(dev|test)-context-([a-z]{2})-question-([a-z]{2})\.json")


def half_of(query_id: str) -> Half:
    """Which half of dev a question belongs to: "tune" to choose on, "report" to report.

    By the parity of the sha1 of its id, so all languages of a question fall in the same half.
    """
    digest = hashlib.sha1(query_id.encode("utf-8"), usedforsecurity=False).digest()
    return "tune" if digest[-1] % 2 == 0 else "report"


def subset_names(source: Path, split: str) -> list[str]:
    """The subsets present, sorted: "ar-ar", "ar-de", ...

    Raises:
        UsageError: `split` is neither dev nor test.
        DataError: the source is missing or hostile, or holds no file of the split.
    """
    with Archive(source) as archive:
        return sorted(_members(archive, split))


def read_subset(source: Path, split: str, name: str, half: Half | None = None) -> Subset:
    """One subset; its file is read once.

    Args:
        half: keep only the questions of that half; the pool stays whole.
    Raises:
        UsageError: an unknown split or half, or a subset that is not there; the message names those present.
        DataError: the file is broken or not SQuAD JSON.
    """
    if half is not None and half not in HALVES:
        raise UsageError(f"unknown half {half!r}; {nearest(half, HALVES)}")
    with Archive(source) as archive:
        members = _members(archive, split)
        if name not in members:
            raise UsageError(f"{source}: no {split} subset {name!r}; present: {', '.join(sorted(members))}")
        task = _task(archive, members[name], name)
    passage_lang, query_lang = name.split("-")
    queries = [q for q in task.queries if half is None or half_of(q.query_id) == half]
    qrels = {q.query_id: task.qrels[q.query_id] for q in queries}
    return Subset(name, passage_lang, query_lang, task.passages, queries, qrels)


def read_language_pool(source: Path, split: str, lang: str) -> list[Passage]:
    """The distinct passages of a language over all files of a split, in the order of `subset_names`.

    Raises:
        UsageError: an unknown split or language, or none of its passages here.
    """
    lang = canonical(lang)
    pool: dict[str, Passage] = {}
    with Archive(source) as archive:
        members = _members(archive, split)
        names = [name for name in sorted(members) if name.split("-")[0] == lang]
        if not names:
            present = sorted({name.split("-")[0] for name in members})
            raise UsageError(f"{source}: no {split} passages in {lang!r}; present: {', '.join(present)}")
        for name in names:
            pool.update({p.doc_id: p for p in _task(archive, members[name], name).passages})
    return list(pool.values())


def _members(archive: Archive, split: str) -> dict[str, str]:
    """Subset name -> member of the archive."""
    if split not in SPLITS:
        raise UsageError(f"unknown MLQA split {split!r}; {nearest(split, SPLITS)}")
    matches = ((name, _NAME.fullmatch(name.rsplit("/", 1)[-1])) for name in archive.names)
    members = {f"{m[2]}-{m[3]}": name for name, m in matches if m and m[1] == split}
    if not members:
        raise DataError(
            f"{archive.path}: no {split} file of MLQA, such as {split}-context-en-question-de.json"
        )
    return members


def _task(archive: Archive, member: str, name: str) -> Task:
    where = archive.where(member)
    passage_lang, query_lang = name.split("-")
    return to_task(paragraphs(archive.json(member), where), passage_lang, query_lang, where, titles=False)


def _dataset(request: Request) -> Dataset:
    split = request.split or "dev"
    if request.subset is None and request.lang is None:
        raise UsageError("mlqa needs --subset (such as en-de), or --lang for the passages of one language")
    if request.subset is None:
        return Dataset(read_language_pool(request.source, split, request.lang or ""), [], {})
    if request.lang is not None:
        raise UsageError("--subset and --lang exclude each other: a subset has its languages in its name")
    half = cast(Half | None, request.half)
    subset = read_subset(request.source, split, request.subset, half)
    name = f"{split}-{half}" if half else split
    return Dataset(subset.passages, subset.queries, {name: subset.qrels})


CARD = Card(
    licence="CC BY-SA 3.0",
    languages=" ".join(LANGUAGES),
    layout="MLQA_V1.zip or the unpacked folder of {split}-context-{c}-question-{q}.json",
    options=("split", "subset", "half", "lang"),
    read=_dataset,
)
