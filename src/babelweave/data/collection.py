"""A collection: BEIR's folder layout with `lang` on every text, streamed.

    corpus.jsonl | corpus.jsonl.gz | corpus.parquet      _id, text, lang, title (optional)
    queries.jsonl | queries.jsonl.gz | queries.parquet   _id, text, lang, answers (optional)
    qrels/<split>.tsv                                    header query-id, corpus-id, score

A folder as BEIR ships it has no `lang`; `lang=` names the language of its texts. Ids are strings: an
integer is turned into one, any other type is an error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from babelweave.artifact import MANIFEST, Manifest, read_manifest, seal, write_folder
from babelweave.data.languages import canonical
from babelweave.data.lines import Problem, Report, byte_writer, refuse
from babelweave.data.rows import Ids, RefusedRow, parse_passage, parse_query, rows
from babelweave.data.trec import judgements, write_qrels
from babelweave.errors import DataError, UsageError, nearest
from babelweave.records import Passage, Qrels, Query

FileFormat = Literal["jsonl", "jsonl.gz", "parquet"]
FORMATS: tuple[FileFormat, ...] = ("jsonl", "jsonl.gz", "parquet")
KIND = "collection"
_BATCH_ROWS = 4096
_SPLIT = re.compile(r"\w[\w.-]*")
_PASSAGE_COLUMNS = ("_id", "title", "text", "lang")
_QUERY_COLUMNS = ("_id", "text", "lang", "answers")

T = TypeVar("T", Passage, Query)


@dataclass(frozen=True, slots=True)
class Collection:
    """A folder of texts, questions and judgements, read as a stream each time it is asked for."""

    folder: Path
    corpus_file: Path
    query_file: Path | None
    lang: str | None = None

    @classmethod
    def open(cls, folder: Path, lang: str | None = None, *, check: bool = True) -> Self:
        """Find the files of a collection; no text is read yet.

        Args:
            lang: language of the texts that name none.
            check: where babelweave wrote the folder, be sure its files have their full size.
        Raises:
            DataError: no folder, no corpus, two formats of one file, or a file babelweave wrote here is
                missing or cut.
            UsageError: `lang` is no known language.
        """
        if not folder.is_dir():
            raise DataError(f"{folder}: no such folder; expected a collection (corpus, queries, qrels/)")
        corpus = _only(folder, "corpus")
        if corpus is None:
            names = ", ".join(f"corpus.{f}" for f in FORMATS)
            raise DataError(f"{folder}: not a collection; expected one of {names}")
        if check and (folder / MANIFEST).is_file():
            read_manifest(folder, KIND)
        return cls(folder, corpus, _only(folder, "queries"), canonical(lang) if lang else None)

    def passages(self, report: Report = refuse) -> Iterator[Passage]:
        """Every passage in the order of the file.

        Raises:
            DataError: with file and line: not UTF-8, broken JSON, a bad or repeated id, no text and no
                title, no language or an unknown one. With a `report` of your own such lines go there
                and are left out.
        """
        for _, passage in self._records(self.corpus_file, parse_passage, report):
            yield passage

    def queries(self, report: Report = refuse) -> Iterator[Query]:
        """Every question in the order of the file; errors as `passages`."""
        if self.query_file is None:
            raise DataError(f"{self.folder}: no queries file; expected queries.jsonl, .jsonl.gz or .parquet")
        for _, query in self._records(self.query_file, parse_query, report):
            yield query

    def splits(self) -> list[str]:
        """The names under `qrels/`, sorted."""
        return sorted(p.stem for p in (self.folder / "qrels").glob("*.tsv"))

    def qrels(self, split: str, *, check: bool = True) -> Qrels:
        """The judgements of a split.

        Args:
            check: also read the queries and the corpus once, to be sure that every judged id exists.
        Raises:
            UsageError: no such split.
            DataError: a broken row, a pair judged twice, or an id that is in neither file.
        """
        path = self.qrels_file(split)
        qrels: dict[str, dict[str, int]] = {}
        places: dict[tuple[str, str], str] = {}
        for where, query_id, doc_id, relevance in judgements(path):
            qrels.setdefault(query_id, {})[doc_id] = relevance
            places.setdefault(("query", query_id), where)
            places.setdefault(("passage", doc_id), where)
        if check:
            for problem in unknown_ids(places, self.passages(), self.queries()):
                refuse(problem)
        return qrels

    def qrels_file(self, split: str) -> Path:
        if split not in self.splits():
            raise UsageError(f"{self.folder}: no split {split!r}; {nearest(split, self.splits())}")
        return self.folder / "qrels" / f"{split}.tsv"

    def _records(
        self, path: Path, parse: Callable[[Mapping[str, Any], str | None], T], report: Report
    ) -> Iterator[tuple[str, T]]:
        ids = Ids()
        for where, fields in rows(path, report):
            try:
                record = parse(fields, self.lang)
            except RefusedRow as refused:
                report(Problem(refused.kind, where, refused.detail))
                continue
            if ids.add(record[0]):
                yield where, record
            else:
                report(Problem("duplicate id", where, f"id {record[0]!r} was used before in this file"))


def unknown_ids(
    places: Mapping[tuple[str, str], str], passages: Iterable[Passage], queries: Iterable[Query]
) -> Iterator[Problem]:
    """One problem for each judged ("query" | "passage", id) that exists nowhere."""
    missing = dict(places)
    for query in queries:
        missing.pop(("query", query.query_id), None)
    for passage in passages:
        missing.pop(("passage", passage.doc_id), None)
    yield from _unknown(missing)


def _unknown(missing: Mapping[tuple[str, str], str]) -> Iterator[Problem]:
    for (kind, name), where in missing.items():
        yield Problem("unknown id in qrels", where, f"{kind} {name!r} is judged, but there is no such {kind}")


def _only(folder: Path, stem: str) -> Path | None:
    found = [folder / f"{stem}.{f}" for f in FORMATS if (folder / f"{stem}.{f}").is_file()]
    if len(found) > 1:
        names = ", ".join(p.name for p in found)
        raise DataError(f"{folder}: holds {names}; keep one, they may differ")
    return found[0] if found else None


def write_collection(
    folder: Path,
    passages: Iterable[Passage],
    queries: Iterable[Query],
    qrels: Mapping[str, Qrels],
    *,
    file_format: FileFormat = "jsonl",
    settings: Mapping[str, Any] | None = None,
    inputs: Mapping[str, str] | None = None,
    overwrite: bool = False,
) -> Manifest:
    """Write a collection; the folder appears whole, with its manifest, or not at all.

    The passages are streamed; ids, texts and judgements obey the same rules as in reading. Memory is that
    of the judgements and of `Ids`.

    Args:
        qrels: split -> judgements.
        settings: what decided the content; kept in the manifest with the format.
        inputs: name -> digest of what was read.
    Raises:
        UsageError: the folder is in use and `overwrite` is not given; an unknown format, a split name that
            is no file name.
        DataError: a duplicate id, an empty text, or a judgement of an id that is not there.
        StorageError: the disk is full or refuses.
    """
    if file_format not in FORMATS:
        raise UsageError(f"unknown format {file_format!r}; {nearest(file_format, FORMATS)}")
    for split in qrels:
        if not _SPLIT.fullmatch(split):
            raise UsageError(f"{split!r} cannot name a split; use letters, digits, '-', '_' and '.'")
    places = {
        ("query" if i == 0 else "passage", name): f"{folder}: qrels of split {split!r}"
        for split, judged in qrels.items()
        for query_id, docs in judged.items()
        for i, name in enumerate((query_id, *docs))
    }
    counts = {"passages": 0, "queries": 0}
    with write_folder(folder, KIND, overwrite=overwrite) as aside:
        texts = _checked(queries, "query", _query_fields, parse_query, places)
        counts["queries"] = _write_rows(aside / f"queries.{file_format}", texts, _QUERY_COLUMNS)
        texts = _checked(passages, "passage", _passage_fields, parse_passage, places)
        counts["passages"] = _write_rows(aside / f"corpus.{file_format}", texts, _PASSAGE_COLUMNS)
        for problem in _unknown(places):
            refuse(problem)
        for split, judged in qrels.items():
            write_qrels(aside / "qrels" / f"{split}.tsv", judged, "beir")
            counts[f"qrels/{split}"] = sum(len(docs) for docs in judged.values())
        stated = {"format": file_format, **(settings or {})}
        return seal(aside, KIND, stated, inputs=inputs, counts=counts)


def _checked(
    records: Iterable[T],
    kind: str,
    fields_of: Callable[[T], dict[str, Any]],
    parse: Callable[[Mapping[str, Any], str | None], T],
    places: dict[tuple[str, str], str],
) -> Iterator[dict[str, Any]]:
    """Rows to write, each put through the rules of reading; the ids found are taken out of `places`."""
    ids = Ids()
    for number, record in enumerate(records, start=1):
        try:
            checked = parse(fields_of(record), None)
        except RefusedRow as refused:
            raise DataError(f"{kind} {number} to write: {refused.detail}") from None
        if not ids.add(checked[0]):
            raise DataError(f"{kind} {number} to write: id {checked[0]!r} was used before")
        places.pop((kind, checked[0]), None)
        yield fields_of(checked)


def _passage_fields(passage: Passage) -> dict[str, Any]:
    return {"_id": passage.doc_id, "title": passage.title, "text": passage.text, "lang": passage.lang}


def _query_fields(query: Query) -> dict[str, Any]:
    return {"_id": query.query_id, "text": query.text, "lang": query.lang, "answers": list(query.answers)}


def _write_rows(path: Path, records: Iterator[dict[str, Any]], columns: Sequence[str]) -> int:
    """Write rows in the format of the suffix, batch by batch; how many there were."""
    count = 0
    if path.suffix != ".parquet":
        with byte_writer(path, gz=path.suffix == ".gz") as file:
            for fields in records:
                file.write(json.dumps(fields, ensure_ascii=False).encode("utf-8") + b"\n")
                count += 1
        return count
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([(c, pa.list_(pa.string()) if c == "answers" else pa.string()) for c in columns])
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        while batch := list(islice(records, _BATCH_ROWS)):
            writer.write_table(pa.Table.from_pylist(batch, schema=schema))
            count += len(batch)
    return count
