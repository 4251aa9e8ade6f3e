"""Small stores and encoders for tests of indexes and searchers."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from babelweave.encode.store import DType, VectorStore, build_store
from babelweave.records import Encoded, EncoderSignature, Passage, Role


def signature(dimension: int, **changes: Any) -> EncoderSignature:
    plain = EncoderSignature("letters", "0" * 64, dimension, "mean", False, "dot", "", "", 64, 64)
    return replace(plain, **changes)


def write_store(
    folder: Path,
    vectors: np.ndarray,
    doc_ids: Sequence[str],
    *,
    dtype: DType = "float32",
    shard_size: int = 7,
    made_by: EncoderSignature | None = None,
) -> VectorStore:
    """A store of given rows; len(vectors) / len(doc_ids) rows for each id."""
    per_passage = len(vectors) // len(doc_ids)
    rows_of = {doc_id: vectors[i * per_passage : (i + 1) * per_passage] for i, doc_id in enumerate(doc_ids)}
    build_store(
        folder,
        [Passage(doc_id, "text", "en") for doc_id in doc_ids],
        lambda shard: Encoded(np.concatenate([rows_of[p.doc_id] for p in shard]).astype(np.float32), 0),
        settings={},
        signature=made_by or signature(vectors.shape[1]),
        shard_size=shard_size,
        dtype=dtype,
    )
    return VectorStore.open(folder)


class LetterEncoder:
    """Counts of letter pairs in a few buckets: texts that share letters are near."""

    def __init__(self, dimension: int = 16, **changes: Any) -> None:
        self._signature = signature(dimension, **changes)

    @property
    def signature(self) -> EncoderSignature:
        return self._signature

    def encode(self, texts: Sequence[str], role: Role) -> Encoded:
        limit = self.signature.max_tokens_query if role == "query" else self.signature.max_tokens_passage
        vectors = np.zeros((len(texts), self.signature.dimension), dtype=np.float32)
        for row, text in zip(vectors, texts, strict=True):
            for pair in pairwise(text[:limit]):
                row[zlib.crc32("".join(pair).encode()) % len(row)] += 1
        return Encoded(vectors, sum(len(text) > limit for text in texts))
