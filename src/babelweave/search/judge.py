"""Do generated queries find the passages they were made for? Judges for `generate.inspect`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from babelweave.artifact import read_manifest
from babelweave.errors import DataError, UsageError
from babelweave.generate.inspect import Judge, Judged
from babelweave.index.bm25 import Bm25Index, open_bm25
from babelweave.index.dense import KIND, DenseIndex, open_index
from babelweave.protocols import Encoder
from babelweave.records import Hits, Int64, Passage
from babelweave.search.rerank import CrossEncoder, open_cross_encoder
from babelweave.spec import parse_spec

DEPTH = 100
"""Hits looked through for the own passage."""


def open_judges(
    index: str | None, encoder: Callable[[], Encoder], reranker: str | None = None, *, depth: int = DEPTH
) -> list[Judge]:
    """The judges of an inspection.

    Args:
        index: folder of an index over the collection, dense (with `?nprobe=...` options) or BM25.
        encoder: opens the encoder of a dense index; called only for one.
        reranker: SPEC of a cross-encoder, whose scores then are the relevance.
        depth: hits looked at, at least 1.
    Raises:
        SignatureError: the index was made with another encoder.
        DataError: an index or model that is missing or broken.
        UsageError: a depth below 1, or an unknown option.
    """
    if depth < 1:
        raise UsageError(f"depth {depth}: at least one hit has to be looked at")
    judges: list[Judge] = []
    if index is not None:
        folder, options = parse_spec(index)
        manifest = read_manifest(Path(folder), KIND)
        if "encoder" in manifest.settings:
            judges.append(DenseJudge(encoder(), open_index(Path(folder), options), depth))
        elif options:
            raise UsageError(f"{folder}: a bm25 index has no search options, {', '.join(options)} given")
        else:
            judges.append(Bm25Judge(open_bm25(Path(folder)), manifest.digest(), depth))
    if reranker is not None:
        judges.append(CrossEncoderJudge(open_cross_encoder(reranker), reranker))
    return judges


class DenseJudge:
    """Places and scores by an index over vectors: a query is encoded once for both.

    Args:
        encoder: of the queries; must be the one that made the index.
        index: over the passages. Its score of a passage, the best over its rows, is the relevance.
        depth: hits looked at.
    """

    def __init__(self, encoder: Encoder, index: DenseIndex, depth: int = DEPTH) -> None:
        index.check(encoder.signature)
        self._encoder, self._index, self._depth = encoder, index, depth
        self._rows = _rows_of(index.doc_ids)
        self.signature: dict[str, Any] = {
            "name": "dense",
            "index": index.manifest.digest(),
            "encoder": encoder.signature.to_dict(),
            "depth": depth,
            "relevance": True,
        }

    def judge(self, queries: Sequence[str], passages: Sequence[Passage]) -> Judged:
        """Raises DataError: a passage that the index does not hold."""
        own = _own_rows(self._rows, passages)
        vectors = self._encoder.encode(queries, "query").vectors
        hits = self._index.search(vectors, self._depth)
        query_of = np.repeat(np.arange(len(own)), [len(rows) for rows in own])
        scores = self._index.score(vectors, query_of, np.concatenate(own))
        starts = np.searchsorted(query_of, np.arange(len(own)))
        return Judged(_places(hits, own), np.maximum.reduceat(scores, starts))


class Bm25Judge:
    """Places by shared terms. No relevance: its scores grow with the query and do not compare across queries.

    Args:
        index: over the passages.
        digest: of the folder it was opened from.
        depth: hits looked at.
    """

    def __init__(self, index: Bm25Index, digest: str, depth: int = DEPTH) -> None:
        self._index, self._depth = index, depth
        self._rows = _rows_of(index.doc_ids)
        self.signature: dict[str, Any] = {
            "name": "bm25",
            "index": digest,
            "depth": depth,
            "relevance": False,
        }

    def judge(self, queries: Sequence[str], passages: Sequence[Passage]) -> Judged:
        """Raises DataError: a passage that the index does not hold."""
        own = _own_rows(self._rows, passages)
        return Judged(_places(self._index.search(queries, self._depth), own))


class CrossEncoderJudge:
    """Relevance by a cross-encoder that reads query and passage together, as doc2query-- does."""

    def __init__(self, cross_encoder: CrossEncoder, name: str) -> None:
        self._cross_encoder = cross_encoder
        self.signature: dict[str, Any] = {
            "name": "cross-encoder",
            "model": name,
            "depth": 0,
            "relevance": True,
        }

    def judge(self, queries: Sequence[str], passages: Sequence[Passage]) -> Judged:
        pairs = [(query, passage.content) for query, passage in zip(queries, passages, strict=True)]
        return Judged(relevance=self._cross_encoder.score(pairs))


def _rows_of(doc_ids: Sequence[str]) -> dict[str, list[int]]:
    rows: dict[str, list[int]] = {}
    for row, doc_id in enumerate(doc_ids):
        rows.setdefault(doc_id, []).append(row)
    return rows


def _own_rows(rows: dict[str, list[int]], passages: Sequence[Passage]) -> list[Int64]:
    try:
        return [np.array(rows[passage.doc_id], dtype=np.int64) for passage in passages]
    except KeyError as error:
        raise DataError(
            f"the index does not hold passage {error.args[0]!r}; index the collection that is inspected"
        ) from None


def _places(hits: Hits, own: Sequence[Int64]) -> Int64:
    """(n,): where each query's own passage stands among its hits, from 1; 0 where it does not."""
    places = np.zeros(len(own), dtype=np.int64)
    for query, (rows, mine) in enumerate(zip(hits.rows, own, strict=True)):
        found = np.flatnonzero(np.isin(rows, mine))
        places[query] = found[0] + 1 if len(found) else 0
    return places
