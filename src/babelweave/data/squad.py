"""SQuAD JSON (v1.1 and v2) and the layouts near it, as passages, questions and judgements.

    read_squad          any file, folder or zip of SQuAD JSON
    read_squad_jsonl    one paragraph a line, {title, para, context, qas: [{question, answers}]}, plain or gz
    read_jaquad, read_cmrc2018, read_drcd, read_arcd    SQuAD JSON under the publishers' file names
    read_iapp           iapp-wiki-qa: one question a line, inside a zip

A passage is a distinct context; a repeated one is merged with its first occurrence and counted. Its id is
a hash of the text, its title the article's.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from babelweave.data.archive import Archive
from babelweave.data.dataset import Card, Dataset, Request
from babelweave.data.languages import canonical
from babelweave.data.lines import fault, json_objects
from babelweave.errors import DataError, UsageError
from babelweave.records import Passage, Query


class Question(NamedTuple):
    query_id: str
    text: str
    answers: tuple[str, ...]
    """Distinct and not empty; hidden test answers give ()."""
    start: int = 0
    """Character of the context where the first answer begins."""
    impossible: bool = False


class Paragraph(NamedTuple):
    title: str
    context: str
    questions: tuple[Question, ...]
    sentences: tuple[tuple[int, int], ...] = ()
    """[start, end) of each sentence, where the file gives them (XQuAD-R)."""


class Task(NamedTuple):
    """Paragraphs turned into a retrieval task; `counts` says what was merged, dropped or kept unjudged."""

    passages: list[Passage]
    queries: list[Query]
    qrels: dict[str, dict[str, int]]
    counts: Mapping[str, int]


def text_id(text: str) -> str:
    """The id of a passage known by its text alone: the first 20 hexadecimal digits of its sha1."""
    return text_sha1(text)[:20]


def text_sha1(text: str) -> str:
    return hashlib.sha1(text.encode("utf-8"), usedforsecurity=False).hexdigest()


def paragraphs(value: Any, where: str) -> Iterator[Paragraph]:
    """The paragraphs of a parsed SQuAD JSON file.

    Raises:
        DataError: it is shaped otherwise; the message holds the article and paragraph, counted from 0.
    """
    articles = value.get("data") if isinstance(value, dict) else None
    if not isinstance(articles, list):
        raise DataError(f"{where}: not SQuAD JSON, expected an object with a list 'data'")
    for a, article in enumerate(articles):
        for p, paragraph in enumerate(article.get("paragraphs", [])):
            try:
                yield Paragraph(
                    str(article.get("title", "")).replace("_", " ").strip(),
                    _string(paragraph["context"]),
                    tuple(_question(q) for q in paragraph["qas"]),
                    tuple((int(b), int(e)) for b, e in paragraph.get("sentence_breaks", ())),
                )
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                place = f"article {a}, paragraph {p}"
                raise DataError(f"{where}: {place} is not SQuAD JSON ({fault(error)})") from error


def _question(fields: Mapping[str, Any]) -> Question:
    answers = fields.get("answers") or []
    texts = _distinct(a["text"] for a in answers)
    start = int(answers[0].get("answer_start", 0)) if answers else 0
    return Question(
        str(fields["id"]), _string(fields["question"]), texts, start, bool(fields.get("is_impossible"))
    )


def _distinct(answers: Iterable[Any]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_string(answer) for answer in answers if answer))


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} where a text was expected")
    return value


def to_task(
    items: Iterable[Paragraph],
    passage_lang: str,
    query_lang: str,
    where: str,
    *,
    titles: bool = True,
    drop_unanswerable: bool = False,
) -> Task:
    """Join paragraphs into a task: distinct contexts, one relevant passage a question.

    A question marked impossible (SQuAD v2) keeps its paragraph as judged 0, or is dropped if asked. A
    blank question is dropped. All are counted.

    Raises:
        DataError: a blank context, or a question id used twice.
    """
    counts: Counter[str] = Counter()
    pool: dict[str, Passage] = {}
    queries: list[Query] = []
    qrels: dict[str, dict[str, int]] = {}
    for paragraph in items:
        if not paragraph.context.strip():
            raise DataError(f"{where}: a paragraph of {paragraph.title!r} has no text")
        if paragraph.context in pool:
            counts["repeated contexts merged"] += 1
        title = paragraph.title if titles else ""
        passage = pool.setdefault(
            paragraph.context, Passage(text_id(paragraph.context), paragraph.context, passage_lang, title)
        )
        for question in paragraph.questions:
            if question.query_id in qrels:
                raise DataError(f"{where}: question id {question.query_id!r} is used twice")
            if not question.text.strip():
                counts["blank questions dropped"] += 1
                continue
            if question.impossible:
                fate = "dropped" if drop_unanswerable else "judged 0"
                counts[f"unanswerable questions {fate}"] += 1
                if drop_unanswerable:
                    continue
            queries.append(Query(question.query_id, question.text, query_lang, question.answers))
            qrels[question.query_id] = {passage.doc_id: int(not question.impossible)}
    return Task(list(pool.values()), queries, qrels, dict(counts))


def read_squad(source: Path, lang: str, split: str = "all", *, drop_unanswerable: bool = False) -> Dataset:
    """Every SQuAD JSON file of a file, folder or zip, joined.

    Args:
        lang: of passages and questions; the layout does not say.
        split: what to call the judgements.
        drop_unanswerable: leave out SQuAD v2's impossible questions instead of judging them 0.
    Raises:
        DataError: no `.json` file, or one of another shape.
    """
    with Archive(source) as archive:
        return _join(archive, _names(archive), lang, split, drop_unanswerable=drop_unanswerable)


def squad_paragraphs(source: Path) -> Iterator[Paragraph]:
    """The paragraphs of what `read_squad` reads, in order and as they are: ids may repeat.

    Raises:
        DataError: no `.json` file, or one of another shape.
    """
    with Archive(source) as archive:
        if not (names := _names(archive)):
            raise DataError(f"{archive.path}: holds no .json file; expected SQuAD JSON")
        for name in names:
            yield from paragraphs(archive.json(name), archive.where(name))


def _names(archive: Archive) -> list[str]:
    return [n for n in archive.names if n.endswith(".json")] if len(archive.names) > 1 else archive.names


def _join(
    archive: Archive, names: list[str], lang: str, split: str, *, drop_unanswerable: bool = False
) -> Dataset:
    if not names:
        raise DataError(f"{archive.path}: holds no .json file; expected SQuAD JSON")
    lang = canonical(lang)
    items = (p for name in names for p in paragraphs(archive.json(name), archive.where(name)))
    task = to_task(items, lang, lang, str(archive.path), drop_unanswerable=drop_unanswerable)
    return Dataset(task.passages, task.queries, {split: task.qrels}, task.counts)


def _members(archive: Archive, pattern: str, split: str) -> list[str]:
    """The members whose file name matches and whose group 1 is the split.

    Raises:
        UsageError: none; the message names the splits present.
    """
    matches = [(name, re.fullmatch(pattern, name.rsplit("/", 1)[-1])) for name in archive.names]
    present = sorted({m[1] for _, m in matches if m})
    if split not in present:
        raise UsageError(
            f"{archive.path}: no split {split!r} of this layout; present: {', '.join(present) or 'none'}"
        )
    return [name for name, m in matches if m and m[1] == split]


def _read_named(source: Path, lang: str, pattern: str, split: str) -> Dataset:
    with Archive(source) as archive:
        return _join(archive, _members(archive, pattern, split), lang, split)


def read_jaquad(source: Path, split: str = "dev") -> Dataset:
    """JaQuAD (Japanese): `jaquad_{train,dev}_NNNN.json`, zipped or not."""
    return _read_named(source, "ja", r"jaquad_(train|dev)_\d+\.json", split)


def read_cmrc2018(source: Path, split: str = "dev") -> Dataset:
    """CMRC 2018 (simplified Chinese): `cmrc2018_{train,dev,trial}.json`."""
    return _read_named(source, "zh", r"cmrc2018_(train|dev|trial)\.json", split)


def read_drcd(source: Path, split: str = "dev") -> Dataset:
    """DRCD (traditional Chinese): `DRCD_{training,dev,test}.json`."""
    return _read_named(source, "zh-Hant", r"DRCD_(training|dev|test)\.json", split)


def read_arcd(source: Path, split: str = "test") -> Dataset:
    """ARCD (Arabic): `arcd-{train,test}.json`."""
    return _read_named(source, "ar", r"arcd-(train|test)\.json", split)


def read_iapp(source: Path, split: str = "test") -> Dataset:
    """iapp-wiki-qa (Thai): `{train,valid,test}.jsonl` of {question_id, context, question, answers, title}."""
    with Archive(source) as archive:
        (name,) = _members(archive, r"(train|valid|test)\.jsonl", split)
        where = archive.where(name)
        task = to_task(rows_to_paragraphs(archive.lines(name), where, _iapp_row), "th", "th", where)
    return Dataset(task.passages, task.queries, {split: task.qrels}, task.counts)


def read_squad_jsonl(source: Path, lang: str = "en", split: str = "all") -> Dataset:
    """One paragraph a line; the layout has no question ids, so they are `title-para-number`."""
    lang = canonical(lang)
    with Archive(source) as archive:
        if len(archive.names) != 1:
            raise UsageError(f"{source}: holds {len(archive.names)} files; name the one .jsonl or .jsonl.gz")
        where = archive.where(archive.names[0])
        lines = archive.lines(archive.names[0])
        task = to_task(rows_to_paragraphs(lines, where, _squad_row), lang, lang, where)
    return Dataset(task.passages, task.queries, {split: task.qrels}, task.counts)


def rows_to_paragraphs(
    lines: Iterable[tuple[int, str]], name: str, paragraph: Callable[[Mapping[str, Any]], Paragraph]
) -> Iterator[Paragraph]:
    """One paragraph of each JSON line.

    Raises:
        DataError: a row lacks a field or has one of another type; the message holds the line.
    """
    for where, row in json_objects(lines, name):
        try:
            yield paragraph(row)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(f"{where}: not a row of this layout ({fault(error)})") from error


def _iapp_row(row: Mapping[str, Any]) -> Paragraph:
    question = Question(str(row["question_id"]), _string(row["question"]), _distinct(row["answers"]["text"]))
    return Paragraph(_string(row["title"]), _string(row["context"]), (question,))


def _squad_row(row: Mapping[str, Any]) -> Paragraph:
    stem = "_".join(_string(row["title"]).split()) + f"-{int(row['para'])}"
    questions = tuple(
        Question(f"{stem}-{number}", _string(qa["question"]), _distinct(qa["answers"]))
        for number, qa in enumerate(row["qas"])
    )
    return Paragraph(_string(row["title"]).replace("_", " "), _string(row["context"]), questions)


def _squad_dataset(request: Request) -> Dataset:
    if request.lang is None:
        raise UsageError("SQuAD JSON names no language; pass --lang")
    return read_squad(
        request.source, request.lang, request.split or "all", drop_unanswerable=request.drop_unanswerable
    )


def _jsonl_dataset(request: Request) -> Dataset:
    return read_squad_jsonl(request.source, request.lang or "en", request.split or "all")


def _card(
    licence: str, lang: str, layout: str, read: Callable[[Path, str], Dataset], default_split: str
) -> Card:
    return Card(
        licence=licence,
        languages=lang,
        layout=layout,
        options=("split",),
        read=lambda request: read(request.source, request.split or default_split),
    )


SQUAD = Card(
    licence="that of the data (SQuAD itself CC BY-SA 4.0)",
    languages="any, one (--lang)",
    layout="SQuAD JSON v1.1 or v2: a .json file, or a folder or zip of them; --split names the judgements",
    options=("split", "lang", "drop_unanswerable"),
    read=_squad_dataset,
)
SQUAD_JSONL = Card(
    licence="CC BY-SA 4.0",
    languages="en (or --lang)",
    layout="one .jsonl or .jsonl.gz of {title, para, context, qas}; --split names the judgements",
    options=("split", "lang"),
    read=_jsonl_dataset,
)
JAQUAD = _card("CC BY-SA 3.0", "ja", "jaquad_{split}_NNNN.json, folder or zip", read_jaquad, "dev")
CMRC2018 = _card("CC BY-SA 4.0", "zh", "cmrc2018_{split}.json, file or folder", read_cmrc2018, "dev")
DRCD = _card("CC BY-SA 3.0", "zh-Hant", "DRCD_{split}.json, file or folder", read_drcd, "dev")
ARCD = _card("MIT", "ar", "arcd-{split}.json, file or folder", read_arcd, "test")
IAPP = _card("MIT", "th", "{split}.jsonl, folder or zip", read_iapp, "test")
