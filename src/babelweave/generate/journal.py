"""Answers kept as they come: one JSON line each, so that a kill loses none that was paid for."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from babelweave.artifact import storing


class Journal:
    """A file of answers by key. Without a file it keeps nothing."""

    def __init__(self, file: IO[str] | None = None, known: dict[str, Any] | None = None) -> None:
        self._file, self._known = file, known or {}

    @classmethod
    @contextlib.contextmanager
    def open(cls, path: Path) -> Iterator[Journal]:
        """Read what is there and go on behind it. A last line that a kill cut is dropped.

        Raises:
            StorageError: the disk is full or refuses.
        """
        known: dict[str, Any] = {}
        with storing(path):
            file = path.open("a+", encoding="utf-8")
        with file:
            file.seek(0)
            whole = 0
            while (line := file.readline()).endswith("\n"):
                entry = json.loads(line)
                known[entry["key"]] = entry["answer"]
                whole = file.tell()
            file.truncate(whole)
            yield cls(file, known)

    def get(self, key: str) -> Any:
        """The answer, or None."""
        return self._known.get(key)

    def put(self, key: str, answer: Any) -> None:
        """Keep it; it is with the operating system when this returns.

        Raises:
            StorageError: the disk is full or refuses.
        """
        if self._file is not None:
            self._known[key] = answer
            with storing(Path(self._file.name)):
                self._file.write(json.dumps({"key": key, "answer": answer}, ensure_ascii=False) + "\n")
                self._file.flush()
