"""Several runs to one: reciprocal ranks, or a weighted sum of normalised scores."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Literal

from babelweave.errors import DataError, UsageError, nearest
from babelweave.protocols import Searcher
from babelweave.ranking import run_from_scores
from babelweave.records import Query, Run

Normalise = Literal["min-max", "z"]
Fusion = Callable[[Sequence[Run], int | None], Run]
"""Runs and how many hits to keep (None: all) to one run."""

DEPTH = 1000
"""Hits taken of each run before fusion: the depth of TREC runs, which RRF was measured on."""


def reciprocal_rank_fusion(
    runs: Sequence[Run], k: int | None = None, *, constant: float = 60.0, weights: Sequence[float] = ()
) -> Run:
    """A passage scores the sum over runs of weight / (constant + rank), rank from 1.

    Args:
        runs: each in our order; a question may be in some of them only.
        k: hits kept per question; None keeps all.
        constant: 60 in the paper.
        weights: one a run, 1 each when empty.
    Raises:
        UsageError: no run, a constant below 0, or another number of weights.
    Source: Cormack, Clarke and Büttcher (2009), SIGIR, doi:10.1145/1571941.1572114.
    """
    if constant < 0:
        raise UsageError(f"the constant of reciprocal rank fusion is {constant}, expected at least 0")

    def shares(doc_ids: Sequence[str], scores: Sequence[float]) -> tuple[dict[str, float], float]:
        return {doc_id: 1 / (constant + rank) for rank, doc_id in enumerate(doc_ids, start=1)}, 0.0

    return _fuse(runs, k, weights, shares)


def weighted_sum(
    runs: Sequence[Run],
    k: int | None = None,
    *,
    weights: Sequence[float] = (),
    normalise: Normalise = "min-max",
) -> Run:
    """A passage scores the weighted sum of its normalised scores.

    `min-max` maps the scores a run gives one question to [0, 1], `z` to mean 0 and population standard
    deviation 1. A passage that a run did not return counts there as the lowest it returned (0 for
    min-max). Where a run's scores are all equal, what it returned counts 1 and the rest 0, so that found
    stays better than not found.

    Args: as `reciprocal_rank_fusion`.
    Raises:
        UsageError: no run, another number of weights, or an unknown normalisation.
        DataError: a score that is not finite.
    """
    if normalise not in ("min-max", "z"):
        raise UsageError(f"unknown normalisation {normalise!r}; known: min-max, z")

    def shares(doc_ids: Sequence[str], scores: Sequence[float]) -> tuple[dict[str, float], float]:
        if not all(map(math.isfinite, scores)):
            raise DataError("a run holds a score that is not finite; it cannot be normalised")
        low, high = min(scores, default=0.0), max(scores, default=0.0)
        if low == high:
            return dict.fromkeys(doc_ids, 1.0), 0.0
        centre, scale = (low, high - low) if normalise == "min-max" else _mean_and_deviation(scores)
        values = [(score - centre) / scale for score in scores]
        return dict(zip(doc_ids, values, strict=True)), (low - centre) / scale

    return _fuse(runs, k, weights, shares)


def named_fusion(name: str, weights: Sequence[float] = ()) -> Fusion:
    """`rrf`, or the normalisation of a weighted sum: `min-max` or `z`.

    Raises:
        UsageError: another name.
    """
    known: dict[str, Fusion] = {
        "rrf": partial(reciprocal_rank_fusion, weights=weights),
        "min-max": partial(weighted_sum, weights=weights, normalise="min-max"),
        "z": partial(weighted_sum, weights=weights, normalise="z"),
    }
    if name not in known:
        raise UsageError(f"unknown fusion {name!r}; {nearest(name, known)}")
    return known[name]


def _mean_and_deviation(scores: Sequence[float]) -> tuple[float, float]:
    mean = math.fsum(scores) / len(scores)
    return mean, math.hypot(*(score - mean for score in scores)) / math.sqrt(len(scores))


def _fuse(
    runs: Sequence[Run],
    k: int | None,
    weights: Sequence[float],
    shares: Callable[[Sequence[str], Sequence[float]], tuple[Mapping[str, float], float]],
) -> Run:
    """Sum over runs of weight * share; `shares` gives each hit's share and that of a passage not hit.

    Sums are exact before rounding (`fsum`), so the order of the runs cannot break a tie.
    """
    weights = weights or [1.0] * len(runs)
    if not runs or len(weights) != len(runs):
        raise UsageError(f"{len(weights)} weights for {len(runs)} runs; fusion takes one weight for each run")
    if not all(math.isfinite(weight) and weight >= 0 for weight in weights):
        raise UsageError(f"weights {list(weights)}: each must be a number of at least 0")
    answers = [{query_id: (ids, scores) for query_id, ids, scores in run} for run in runs]
    fused = []
    for query_id in dict.fromkeys(query_id for run in runs for query_id in run.query_ids):
        parts = [shares(*answer.get(query_id, ((), ()))) for answer in answers]
        doc_ids = dict.fromkeys(doc_id for hits, _ in parts for doc_id in hits)
        totals = {
            doc_id: math.fsum(
                weight * hits.get(doc_id, absent)
                for weight, (hits, absent) in zip(weights, parts, strict=True)
            )
            for doc_id in doc_ids
        }
        fused.append((query_id, totals))
    return run_from_scores(fused, k)


class HybridSearcher:
    """Several searchers asked the same questions, their runs fused.

    Args:
        searchers: at least one.
        fusion: runs and k to one run, for instance `reciprocal_rank_fusion` or a partial of it.
        depth: hits taken of each, at least the k asked for.
    """

    def __init__(
        self, searchers: Sequence[Searcher], fusion: Fusion = reciprocal_rank_fusion, depth: int = DEPTH
    ) -> None:
        self._searchers, self._fusion, self._depth = searchers, fusion, depth

    def search(self, queries: Sequence[Query], k: int) -> Run:
        """The k best passages of each question after fusion, in our order."""
        runs = [searcher.search(queries, max(k, self._depth)) for searcher in self._searchers]
        return self._fusion(runs, k)
