"""What a row of a corpus or queries file must hold: the rules of a collection, for reading and writing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from babelweave.data.languages import canonical
from babelweave.data.lines import Problem, Report, file_objects
from babelweave.errors import UsageError
from babelweave.records import Passage, Query

_BATCH_ROWS = 4096


class Ids:
    """Which ids were seen, exact in practice: 16-byte digests, about 100 bytes of memory an id.

    Two different ids of a billion collide with a chance below 1e-20.
    """

    def __init__(self) -> None:
        self._seen: set[bytes] = set()

    def add(self, name: str) -> bool:
        """Remember an id; whether it is new."""
        digest = hashlib.blake2b(name.encode("utf-8"), digest_size=16).digest()
        before = len(self._seen)
        self._seen.add(digest)
        return len(self._seen) > before


def rows(path: Path, report: Report) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(`path:line`, fields) of a JSON-lines file, plain or `.gz`, or of a Parquet file, streamed."""
    if path.suffix != ".parquet":
        yield from file_objects(path, report)
        return
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=_BATCH_ROWS):
                for fields in batch.to_pylist():
                    number += 1
                    yield f"{path}:row {number}", fields
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        detail = f"not readable as Parquet after row {number} ({error})"
        report(Problem("broken Parquet", str(path), detail))


class RefusedRow(Exception):  # noqa: N818 - a verdict, which readers turn into a Problem
    """A record that is no passage or question; carries the kind and the detail of its `Problem`."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.kind, self.detail = kind, detail


def parse_passage(fields: Mapping[str, Any], lang: str | None) -> Passage:
    """A passage of a row; `lang` stands in where the row names none.

    Raises:
        RefusedRow: a bad id, neither text nor title, no language or an unknown one.
    """
    doc_id = _identifier(fields)
    text, title = _text(fields, "text"), _text(fields, "title")
    if not text.strip() and not title.strip():
        raise RefusedRow("empty text", f"passage {doc_id!r} has neither text nor title")
    return Passage(doc_id, text, _language(fields, lang), title)


def parse_query(fields: Mapping[str, Any], lang: str | None) -> Query:
    """A question of a row; as `parse_passage`."""
    query_id, text = _identifier(fields), _text(fields, "text")
    if not text.strip():
        raise RefusedRow("empty text", f"query {query_id!r} has no text")
    answers = fields.get("answers") or []
    if not isinstance(answers, list) or not all(isinstance(a, str) for a in answers):
        raise RefusedRow("wrong type", f"answers of query {query_id!r} are not a list of strings")
    return Query(query_id, text, _language(fields, lang), tuple(_encodable(a, "answers") for a in answers))


def _identifier(fields: Mapping[str, Any]) -> str:
    value = fields.get("_id")
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        what = "missing" if value is None else f"of type {type(value).__name__} ({value!r})"
        raise RefusedRow("bad id", f"_id is {what}, expected a string")
    if value.split() != [value]:
        raise RefusedRow("bad id", f"_id {value!r} is empty or holds a blank, which no TREC file can carry")
    return _encodable(value, "_id")


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise RefusedRow("wrong type", f"{name} is of type {type(value).__name__}, expected a string")
    return _encodable(value, name)


def _encodable(text: str, name: str) -> str:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        code = ord(text[error.start])
        raise RefusedRow(
            "not UTF-8", f"{name} holds half a character (U+{code:04X}), which is no text"
        ) from None
    return text


def _language(fields: Mapping[str, Any], default: str | None) -> str:
    value = fields.get("lang")
    if value is None or value == "":
        if default is None:
            raise RefusedRow(
                "no language", "no lang; add it to every text or pass one for all (lang=, --lang)"
            )
        return default
    if not isinstance(value, str):
        raise RefusedRow("wrong type", f"lang is of type {type(value).__name__}, expected a string")
    try:
        return canonical(value)
    except UsageError as error:
        raise RefusedRow("unknown language", str(error)) from None
