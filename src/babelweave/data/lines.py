"""Numbered lines and JSON records of text files; whatever is wrong is reported with its file and line.

Readers hand each `Problem` to a `Report`. The default, `refuse`, raises at the first one; `validate`
collects them all. So one reader serves both.
"""

from __future__ import annotations

import gzip
import json
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from babelweave.artifact import reading
from babelweave.errors import DataError

MAX_LINE_BYTES = 64 * 2**20
"""A longer line is no text record, but a file without line breaks or a compressed bomb."""


class Problem(NamedTuple):
    kind: str
    """Short and fixed, to count by: "broken JSON", "duplicate id", ..."""
    where: str
    """`path:line`, or the path alone."""
    detail: str


Report = Callable[[Problem], None]


def refuse(problem: Problem) -> None:
    """The strict `Report`: raise `DataError`."""
    raise DataError(f"{problem.where}: {problem.detail}")


def numbered_lines(stream: BinaryIO, name: str, report: Report = refuse) -> Iterator[tuple[int, str]]:
    """(line number from 1, text without its line break) of a UTF-8 stream; a leading BOM is dropped.

    Lines end at \\n or \\r\\n only, never at the other Unicode breaks a text may hold.
    """
    number = 0
    while True:
        number += 1
        where = f"{name}:{number}"
        try:
            raw = stream.readline(MAX_LINE_BYTES + 1)
        except (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile) as error:
            report(Problem("broken compression", where, f"the compressed data is cut or broken ({error})"))
            return
        if not raw:
            return
        if len(raw) > MAX_LINE_BYTES:
            report(Problem("overlong line", where, f"a line of more than {MAX_LINE_BYTES} bytes"))
            return
        try:
            text = raw.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            detail = f"not UTF-8 (byte {error.start + 1} of the line is 0x{raw[error.start]:02x}); convert it"
            report(Problem("not UTF-8", where, detail))
            continue
        yield number, text.rstrip("\r\n")


def file_lines(path: Path, report: Report = refuse) -> Iterator[tuple[int, str]]:
    """The numbered lines of a file, unpacked on the way when its name ends in `.gz`.

    Raises:
        DataError: the file is missing or cannot be read.
    """
    with reading(path), path.open("rb") as raw:
        stream = cast(BinaryIO, gzip.GzipFile(fileobj=raw)) if path.suffix == ".gz" else raw
        yield from numbered_lines(stream, str(path), report)


def json_objects(
    lines: Iterable[tuple[int, str]], name: str, report: Report = refuse
) -> Iterator[tuple[str, dict[str, Any]]]:
    """(`name:line`, object) of each line that is not blank."""
    for number, line in lines:
        if not line.strip():
            continue
        where = f"{name}:{number}"
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            report(Problem("broken JSON", where, f"not valid JSON ({error})"))
            continue
        if isinstance(record, dict):
            yield where, record
        else:
            report(Problem("broken JSON", where, f"a {type(record).__name__}, expected a JSON object"))


def file_objects(path: Path, report: Report = refuse) -> Iterator[tuple[str, dict[str, Any]]]:
    """(`path:line`, object) of each line of a JSON-lines file, plain or `.gz`."""
    return json_objects(file_lines(path, report), str(path), report)


def fault(error: Exception) -> str:
    """What a reader of rows says about the error a row caused: a missing field, or the error's own words."""
    return f"no {error}" if isinstance(error, KeyError) else str(error)


@contextmanager
def byte_writer(path: Path, *, gz: bool) -> Iterator[BinaryIO]:
    """Open a file for bytes, compressed when `gz`; the same content always gives the same file."""
    with path.open("wb") as raw:
        if not gz:
            yield raw
            return
        with gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) as packed:
            yield cast(BinaryIO, packed)
