"""Some passages through a generator: the queries in the order of the file, and what is counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import regex

from babelweave.errors import DataError
from babelweave.generate.decoding import distinct
from babelweave.protocols import Generator
from babelweave.records import GeneratedQuery, Passage

_WORD = regex.compile(r"[\p{L}\p{N}]")


@runtime_checkable
class Counting(Protocol):
    """A generator that counts what it reads and writes, and what it could not do."""

    @property
    def totals(self) -> Mapping[str, int]:
        """name -> how many since it was opened; they only grow."""
        ...


class Made(NamedTuple):
    """Queries by passage, then language, then rank; and counts, each with `.LANG` behind its name."""

    queries: list[GeneratedQuery]
    counts: dict[str, int]


class Order(NamedTuple):
    """What is asked for each passage."""

    languages: Sequence[str]
    per_language: int
    seed: int


def make_queries(passages: Sequence[Passage], generator: Generator, order: Order) -> Made:
    """At most `per_language` distinct queries per passage and language.

    A passage without a letter or digit has nothing to ask about: it is counted and not sent.

    Raises:
        DataError: a text is not valid Unicode, or the generator did not answer for each passage.
    """
    asked = [p for p in passages if _has_words(p)]
    counts: Counter[str] = Counter(passages=len(passages), passages_without_words=len(passages) - len(asked))
    kept: dict[str, list[list[str]]] = {}
    for lang in order.languages:
        before = dict(generator.totals) if isinstance(generator, Counting) else {}
        lists = generator.generate(asked, lang, order.per_language, order.seed)
        if len(lists) != len(asked):
            raise DataError(f"the generator gave {len(lists)} lists for {len(asked)} passages")
        kept[lang] = [distinct(queries)[: order.per_language] for queries in lists]
        n_kept = sum(map(len, kept[lang]))
        counts[f"asked.{lang}"] += len(passages) * order.per_language
        counts[f"kept.{lang}"] += n_kept
        counts[f"dropped.{lang}"] += sum(map(len, lists)) - n_kept
        counts[f"passages_without.{lang}"] += sum(not q for q in kept[lang]) + len(passages) - len(asked)
        if isinstance(generator, Counting):
            for name, total in generator.totals.items():
                counts[f"{name}.{lang}"] += total - before.get(name, 0)
    rows = [
        GeneratedQuery(p.doc_id, lang, rank, query)
        for i, p in enumerate(asked)
        for lang in order.languages
        for rank, query in enumerate(kept[lang][i])
    ]
    return Made(rows, dict(counts))


def _has_words(passage: Passage) -> bool:
    try:
        passage.content.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"passage {passage.doc_id!r} is not valid Unicode ({error.reason}); repair the source"
        ) from error
    return _WORD.search(passage.content) is not None
