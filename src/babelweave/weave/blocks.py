"""The queries of some passages, encoded together: what a fuser is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from babelweave.encode.adjust import Adjustment
from babelweave.protocols import Encoder
from babelweave.records import Bool, Float32

Lookup = Callable[[Sequence[str]], Mapping[str, Mapping[str, Sequence[str]]]]
"""doc_ids of a block -> doc_id -> language -> queries, best first; passages without queries may be absent.

`GeneratedQueries.lookup` is one; for queries in memory, `lambda _: queries` is another.
"""


class Block(NamedTuple):
    """What `Fuser.fuse` takes beside the passages, and what was counted."""

    generated: Float32
    """(n, g, d); zero where there is no query."""
    mask: Bool
    languages: tuple[str, ...]
    """(g,)"""
    counts: Mapping[str, int]


def encode_block(
    doc_ids: Sequence[str],
    lookup: Lookup,
    encoder: Encoder,
    languages: Sequence[str],
    per_language: int | None,
) -> Block:
    """Slots of a language lie together, as many as the passage with the most queries needs, and at least
    one, so that a fuser with a row per language keeps as many rows in every block."""
    found = lookup(doc_ids)
    held = [
        {lang: found[doc_id].get(lang, ())[:per_language] for lang in languages} if doc_id in found else {}
        for doc_id in doc_ids
    ]
    slots = tuple(
        lang for lang in languages for _ in range(max((len(h.get(lang, ())) for h in held), default=0) or 1)
    )
    first_slot = {lang: slots.index(lang) for lang in languages}
    texts: dict[str, int] = {}
    places: list[tuple[int, int, int]] = []
    counts = dict.fromkeys(count_names(languages), 0)
    for i, by_lang in enumerate(held):
        before = len(places)
        for lang in languages:
            for rank, text in enumerate(by_lang.get(lang, ())):
                places.append((i, first_slot[lang] + rank, texts.setdefault(text, len(texts))))
                counts[f"queries.{lang}"] += 1
        counts["passages_without_queries"] += len(places) == before
    generated = np.zeros((len(doc_ids), len(slots), encoder.signature.dimension), dtype=np.float32)
    mask = np.zeros(generated.shape[:2], dtype=np.bool_)
    if places:
        encoded = encoder.encode(list(texts), "query")
        rows, columns, sources = np.array(places).T
        generated[rows, columns] = encoded.vectors[sources]
        mask[rows, columns] = True
        counts["truncated_queries"] = encoded.n_truncated
    counts["queries"] = len(places)
    return Block(generated, mask, slots, counts)


def count_names(languages: Sequence[str]) -> list[str]:
    """What is counted of a block."""
    return [
        "passages_without_queries",
        "queries",
        "truncated_queries",
        *(f"queries.{lang}" for lang in languages),
    ]


def adjusted(block: Block, adjustment: Adjustment) -> Float32:
    """(n, g, d) of a block; slots without a query stay zero."""
    generated = np.zeros_like(block.generated)
    there = np.nonzero(block.mask)
    languages = [block.languages[slot] for slot in there[1]]
    generated[there] = adjustment.apply(block.generated[there], languages)
    return generated
