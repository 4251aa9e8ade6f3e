"""The record of parallel text, and what a source of it declares about itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

Counts = Counter[str]
Languages = Collection[str] | None
"""Canonical tags to read; None reads all."""


class Pair(NamedTuple):
    """An English text and a translation of it.

    Attributes:
        source: its name in the registry.
        group: the id of the English text; equal wherever the English differs at most in case and
            punctuation, in any source, so a batch can tell translations of one sentence from negatives.
        document: what the sentence stands in, where the source keeps the order of sentences, else "".
        position: of the sentence in its source, from 0; p and p + 1 of a document and language are
            consecutive sentences.
        twin: group of a sentence with nearly the same words and another meaning (PAWS-X), else "".
    """

    source: str
    group: str
    english: str
    lang: str
    text: str
    document: str = ""
    position: int = 0
    twin: str = ""


class Line(NamedTuple):
    """What the reader of a layout gives: a pair before it is checked; `twin` is English text."""

    english: str
    lang: str
    text: str
    document: str = ""
    position: int = 0
    twin: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParallelCard:
    """One source of parallel text: its origin, its layout, and how it is read."""

    title: str
    licence: str
    attribution: str
    """Whom to name: publisher or paper."""
    languages: tuple[str, ...]
    """Beside English, in the files known here."""
    folder: str
    """Where it lies below the data folder."""
    layout: str
    unit: str
    """"sentence" or "question"."""
    read: Callable[[Path, Languages, Counts], Iterator[Line]]
    """(folder, languages, counts to add to) -> lines; languages not asked for may be among them."""
    ordered: bool = False
    """Whether documents and positions are given, so that consecutive sentences can be joined."""


def may_hold(tag: str, languages: Languages) -> bool:
    """Whether a file in the language `tag` can hold one of the languages, scripts aside."""
    return languages is None or tag in languages or any(code.startswith(f"{tag}-") for code in languages)
