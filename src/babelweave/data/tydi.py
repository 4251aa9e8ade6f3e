"""TyDi QA GoldP (Clark et al., arXiv 2003.05002): natural questions, each with its gold passage.

    tydiqa.goldp.{lang}.{train,dev}.json        one language a file (XTREME's layout; dev answers withheld)
    tydiqa-goldp-v1.1-{train,dev}.json          all languages, named at the front of each question id

Questions have the language of their passage. Some releases number questions anew in every article, so ids
repeat; such a file's questions get the ids `lang-split-number`, and that is counted.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from babelweave.data.archive import Archive
from babelweave.data.dataset import Card, Dataset, Request
from babelweave.data.languages import canonical
from babelweave.data.squad import Paragraph, paragraphs, to_task
from babelweave.errors import DataError, UsageError
from babelweave.records import Passage, Query

LANGUAGES = {
    "arabic": "ar",
    "bengali": "bn",
    "english": "en",
    "finnish": "fi",
    "indonesian": "id",
    "korean": "ko",
    "russian": "ru",
    "swahili": "sw",
    "telugu": "te",
}
_NAME = re.compile(r"tydiqa\.goldp\.([a-z]{2})\.(train|dev)\.json|tydiqa-goldp-v1\.[01]-(train|dev)\.json")


def read_goldp(source: Path, split: str = "dev", lang: str | None = None) -> Dataset:
    """The passages and questions of a split, of every language present or of one.

    Raises:
        UsageError: no file of the split, or none of its questions in `lang`; the message names those present.
        DataError: not SQuAD JSON, or a question of the joint file names no TyDi language.
    """
    by_lang: dict[str, list[Paragraph]] = {}
    present = set()
    with Archive(source) as archive:
        for name in archive.names:
            match = _NAME.fullmatch(name.rsplit("/", 1)[-1])
            if match is None:
                continue
            present.add(match[2] or match[3])
            if split not in (match[2], match[3]):
                continue
            where = archive.where(name)
            for paragraph in paragraphs(archive.json(name), where):
                found = canonical(match[1]) if match[1] else _named_language(paragraph, where)
                by_lang.setdefault(found, []).append(paragraph)
    if split not in present:
        raise UsageError(
            f"{source}: no TyDi split {split!r}; present: {', '.join(sorted(present)) or 'none'}"
        )
    wanted = sorted(by_lang) if lang is None else [canonical(lang)]
    if not by_lang.keys() >= set(wanted):
        raise UsageError(f"{source}: no {split} questions in {lang!r}; present: {', '.join(sorted(by_lang))}")
    return _joined(split, {name: by_lang[name] for name in wanted}, str(source))


def _joined(split: str, by_lang: dict[str, list[Paragraph]], where: str) -> Dataset:
    passages: list[Passage] = []
    queries: list[Query] = []
    qrels: dict[str, dict[str, int]] = {}
    counts: Counter[str] = Counter()
    for lang, items in by_lang.items():
        ids = [q.query_id for paragraph in items for q in paragraph.questions]
        if len(set(ids)) < len(ids):
            items = _renumbered(items, f"{lang}-{split}")
            counts["repeated question ids renumbered"] += len(ids)
        task = to_task(items, lang, lang, where, titles=False)
        if not task.qrels.keys().isdisjoint(qrels):
            raise DataError(f"{where}: question ids of {lang!r} are used by another language too")
        passages += task.passages
        queries += task.queries
        qrels |= task.qrels
        counts.update(task.counts)
    return Dataset(passages, queries, {split: qrels}, dict(counts))


def _renumbered(items: Iterable[Paragraph], stem: str) -> list[Paragraph]:
    numbered, count = [], 0
    for paragraph in items:
        questions = []
        for question in paragraph.questions:
            questions.append(question._replace(query_id=f"{stem}-{count:05d}"))
            count += 1
        numbered.append(paragraph._replace(questions=tuple(questions)))
    return numbered


def _named_language(paragraph: Paragraph, where: str) -> str:
    names = {question.query_id.split("-")[0] for question in paragraph.questions}
    if len(names) != 1 or not names <= LANGUAGES.keys():
        raise DataError(f"{where}: question ids begin with {sorted(names)}, expected a TyDi language")
    return LANGUAGES[names.pop()]


def _dataset(request: Request) -> Dataset:
    return read_goldp(request.source, request.split or "dev", request.lang)


CARD = Card(
    licence="Apache 2.0",
    languages=" ".join(LANGUAGES.values()),
    layout="folder or zip of tydiqa.goldp.{lang}.{split}.json or tydiqa-goldp-v1.1-{split}.json",
    options=("split", "lang"),
    read=_dataset,
)
