"""Generators that do what a test says, for worker processes too: this module imports no heavy library."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence

from babelweave.errors import DataError
from babelweave.protocols import Generator
from babelweave.records import Passage


class Scripted:
    """Answers what a test says, and counts like a model."""

    signature = {"name": "scripted"}  # noqa: RUF012
    languages = frozenset({"de", "ar"})

    def __init__(self, answer: Callable[[Passage, str], list[str]], seconds: float = 0.0) -> None:
        self._answer, self._seconds = answer, seconds
        self.calls: list[tuple[list[str], str]] = []
        self.totals = {"input_tokens": 0, "output_tokens": 0}

    def generate(self, passages: Sequence[Passage], lang: str, n: int, seed: int) -> list[list[str]]:
        self.calls.append(([p.doc_id for p in passages], lang))
        time.sleep(self._seconds * len(passages))
        self.totals["input_tokens"] += 10 * len(passages)
        self.totals["output_tokens"] += 3 * n * len(passages)
        return [self._answer(p, lang) for p in passages]


class Poisoned(Scripted):
    def generate(self, passages: Sequence[Passage], lang: str, n: int, seed: int) -> list[list[str]]:
        if any(p.doc_id.endswith("-3") for p in passages):
            raise DataError("the passage is poison")
        return [[p.doc_id] for p in passages]


class Deadly(Scripted):
    def generate(self, passages: Sequence[Passage], lang: str, n: int, seed: int) -> list[list[str]]:
        os.kill(os.getpid(), signal.SIGKILL)
        return []


def poisoned() -> Generator:
    return Poisoned(lambda *_: [])


def deadly() -> Generator:
    return Deadly(lambda *_: [])
