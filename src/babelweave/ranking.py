"""The only top-k and the only tie order of the package.

Order: score descending, then doc_id descending by code point, as trec_eval sorts. Everything that
ranks calls this module, so no two parts of babelweave can disagree about a tie.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

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
    Cost: O(q n) plus a sort of about k columns per query; ties at the k-th place are all looked at.
    """
    n_queries, n = scores.shape
    rows = np.full((n_queries, k), -1, dtype=np.int64)
    best = np.full((n_queries, k), -np.inf, dtype=np.float32)
    if n == 0 or k == 0:
        return Hits(rows, best)
    if k < n:
        kth = np.partition(scores, n - k, axis=1)[:, n - k]
    else:
        kth = np.full(n_queries, -np.inf, dtype=np.float32)
    for i in range(n_queries):
        row = scores[i]
        candidates = np.flatnonzero(row >= kth[i])  # every column tied with the k-th is a candidate
        candidates = candidates[row[candidates] > -np.inf]
        order = np.lexsort((keys[candidates], row[candidates]))[::-1][:k]
        chosen = candidates[order]
        rows[i, : len(chosen)] = chosen
        best[i, : len(chosen)] = row[chosen]
    return Hits(rows, best)


def merge(parts: Sequence[Hits], k: int, keys: Int64) -> Hits:
    """The k best hits of several searches over disjoint rows; `keys` (n,) is indexed by row."""
    rows = np.concatenate([p.rows for p in parts], axis=1)
    scores = np.concatenate([p.scores for p in parts], axis=1)
    return reorder(Hits(rows, scores), k, keys)


def reorder(hits: Hits, k: int, keys: Int64) -> Hits:
    """Sort each query's hits into our order and keep k; missing hits go last."""
    found = hits.rows >= 0
    scores = np.where(found, hits.scores, np.float32(-np.inf)).astype(np.float32, copy=False)
    key = np.where(found, keys[np.maximum(hits.rows, 0)] if len(keys) else -1, -1)
    order = np.lexsort((key, scores), axis=1)[:, ::-1][:, :k]
    rows = np.take_along_axis(np.where(found, hits.rows, -1), order, axis=1)
    best = np.take_along_axis(scores, order, axis=1)
    missing = k - rows.shape[1]
    if missing > 0:
        rows = np.pad(rows, ((0, 0), (0, missing)), constant_values=-1)
        best = np.pad(best, ((0, 0), (0, missing)), constant_values=-np.inf)
    return Hits(rows.astype(np.int64, copy=False), best)


def rank_documents(scores: Mapping[str, float], k: int | None = None) -> list[tuple[str, float]]:
    """(doc_id, score) pairs in our order; k of them when k is given."""
    ranked = sorted(scores.items(), key=lambda item: (item[1], item[0]), reverse=True)
    return ranked if k is None else ranked[:k]


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
