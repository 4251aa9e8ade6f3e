"""What a loader gives: texts and judgements, and the card that says where they come from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from babelweave.data.collection import Collection
from babelweave.errors import UsageError
from babelweave.records import Passage, Qrels, Query


@dataclass(frozen=True, slots=True)
class Dataset:
    """A release in memory or as streams that can be read once.

    Attributes:
        qrels: split -> judgements; empty where the release has answers only.
        counts: what a loader merged, dropped, renumbered or judged 0; nothing else is left out.
    """

    passages: Iterable[Passage]
    queries: Iterable[Query]
    qrels: Mapping[str, Qrels]
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What `prepare` was asked for; None means the loader's default."""

    source: Path
    split: str | None = None
    subset: str | None = None
    half: str | None = None
    lang: str | None = None
    query_lang: str | None = None
    corpus: Path | None = None
    unit: str | None = None
    revision: str | None = None
    drop_unanswerable: bool = False
    keep_leaks: bool = False

    def given(self) -> list[str]:
        """The names of the options that were set, without the source."""
        return [n for n in self.__slots__ if n != "source" and getattr(self, n) not in (None, False)]


def corpus_passages(name: str, corpus: Path | None) -> Iterator[Passage]:
    """The passages that a dataset without any is asked against, streamed from a collection.

    Raises:
        UsageError: none was named.
    """
    if corpus is None:
        raise UsageError(f"{name} has questions but no passages; name a collection to search with --corpus")
    return Collection.open(corpus).passages()


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One dataset of the registry: its origin, its layout, and how it becomes a collection."""

    licence: str
    languages: str
    layout: str
    """What `--source` must be, in one line."""
    options: tuple[str, ...]
    """The fields of `Request` it understands."""
    read: Callable[[Request], Dataset]

    def flags(self) -> list[str]:
        """Its options as the command line spells them."""
        return ["--" + option.replace("_", "-") for option in self.options]

    def load(self, name: str, request: Request) -> Dataset:
        """Read the dataset.

        Raises:
            UsageError: an option it does not understand.
            DataError: the source is missing, broken or of another layout.
        """
        for option in request.given():
            if option not in self.options:
                flag = "--" + option.replace("_", "-")
                raise UsageError(f"{name} takes no {flag}; its options: {', '.join(self.flags()) or 'none'}")
        return self.read(request)
