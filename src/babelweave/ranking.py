"""The only top-k and the only tie order of the package.

Order: score (float32) descending, then doc_id descending by code point, as trec_eval sorts. Everything that
ranks calls this module, so no two parts of babelweave can disagree about a tie.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from babelweave.errors import DataError
from babelweave.records import Float32, Hits, Int64, Run


def tie_keys(doc_ids: Sequence[str]) -> Int64:
    """int64 (n,): the place of each row's doc_id in ascending order; in a tie the larger key wins.

    Equal ids (several vectors of one passage) get keys of their own, the later row the larger.
    """
    order = np.array(sorted(range(len(doc_ids)), key=doc_ids.__getitem__), dtype=np.int64)
    keys = np.empty(len(doc_ids), dtype=np.int64)
    keys[order] = np.arange(len(doc_ids), dtype=np.int64)
    return keys


def top_k(scores: Float32, k: int, keys: Int64) -> Hits:
    """The k best columns of each row of `scores` (q, n), exact at the k-th place too.

    Args:
        scores: float32 (q, n); -inf marks a column that must not be returned.
        k: hits wanted per query; beyond n the rest is padded with row -1, score -inf.
        keys: int64 (n,) from `tie_keys`, one per column.
    Raises:
        DataError: a score is NaN.
    Cost: O(q n) plus a sort of about k columns per query; ties at the k-th place are all looked at.
    """
    n_queries, n = scores.shape
    _refuse_nan(scores)
    wanted = scores > -np.inf
    if 0 < k < n:
        kth = np.partition(scores, n - k, axis=1)[:, n - k]
        wanted &= scores >= kth[:, None]  # every column tied with the k-th is a candidate
    queries, rows = np.nonzero(wanted)
    return top_pairs(queries, rows, scores[queries, rows], n_queries, k, keys)


def top_pairs(queries: Int64, rows: Int64, scores: Float32, n_queries: int, k: int, keys: Int64) -> Hits:
    """The k best hits of each query out of flat (query, row, score) triples in any order.

    Args:
        queries, rows, scores: (m,) each; `queries` counts from 0 to `n_queries` - 1.
        keys: tie keys indexed by row.
    Raises:
        DataError: a score is NaN.
    """
    _refuse_nan(scores)
    order = np.lexsort((-keys[rows], -scores, queries))
    queries = queries[order]
    starts = np.searchsorted(queries, np.arange(n_queries))
    place = np.arange(len(queries)) - starts[queries]
    kept = place < k
    hits = Hits(
        np.full((n_queries, k), -1, dtype=np.int64), np.full((n_queries, k), -np.inf, dtype=np.float32)
    )
    hits.rows[queries[kept], place[kept]] = rows[order][kept]
    hits.scores[queries[kept], place[kept]] = scores[order][kept]
    return hits


def _refuse_nan(scores: Float32) -> None:
    if np.isnan(scores).any():
        raise DataError(
            "a score is NaN, which has no place in a ranking; look for NaN in the vectors or weights"
        )


def rank_documents(scores: Mapping[str, float], k: int | None = None) -> list[tuple[str, float]]:
    """(doc_id, score) pairs in our order; k of them when k is given.

    Scores are rounded to float32, the precision trec_eval compares them in: doubles that differ by less
    are a tie for it, so they are for us.

    Raises:
        DataError: a score is NaN.
    """
    with np.errstate(over="ignore"):
        values = np.array(list(scores.values()), dtype=np.float64).astype(np.float32)
    _refuse_nan(values)
    ranked = sorted(zip(values.tolist(), scores, strict=True), reverse=True)
    return [(doc_id, score) for score, doc_id in ranked[:k]]


def to_run(query_ids: Sequence[str], hits: Hits, doc_ids: Sequence[str]) -> Run:
    """Name the rows of `hits`; missing hits are left out."""
    names: list[tuple[str, ...]] = []
    scores: list[tuple[float, ...]] = []
    for row, score in zip(hits.rows, hits.scores, strict=True):
        found = row >= 0
        names.append(tuple(doc_ids[int(r)] for r in row[found]))
        scores.append(tuple(score[found].tolist()))
    return Run(tuple(query_ids), tuple(names), tuple(scores))


def run_from_scores(scores: Iterable[tuple[str, Mapping[str, float]]], k: int | None = None) -> Run:
    """A run from (query_id, doc_id -> score) pairs, each put into our order and cut at k."""
    ids: list[str] = []
    ranked: list[list[tuple[str, float]]] = []
    for query_id, documents in scores:
        ids.append(query_id)
        ranked.append(rank_documents(documents, k))
    return Run(
        tuple(ids),
        tuple(tuple(doc_id for doc_id, _ in r) for r in ranked),
        tuple(tuple(score for _, score in r) for r in ranked),
    )
