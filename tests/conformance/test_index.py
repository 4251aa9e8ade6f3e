"""What every index folder must do, held against a plain sort in float64.

Vectors of small whole numbers have exact inner products in float32, so their ties are exact and the
order of a correct index is fully determined.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest

from babelweave import registry
from babelweave.index.dense import build_index, open_index
from babelweave.ranking import tie_keys
from babelweave.records import Hits
from vector_cases import write_store

N, D = 500, 12
EXHAUSTIVE = [
    "exact",
    "flat",
    "IVF8,Flat?nprobe=8",
    "ivf4?nprobe=4",
    "SQ8?refine=500",
    "IVF4,PQ4x4fs?nprobe=4&refine=500",
]
APPROXIMATE = ["ivf", "hnsw", "hnsw16?efSearch=200", "IVF4,RaBitQ?nprobe=4&refine=20"]


class Opened(Protocol):
    def search(self, queries: Any, k: int) -> Hits: ...


Open = Callable[[np.ndarray, list[str], Path], Opened]
Check = Callable[[Open, Path], None]


def _through_a_folder(spec: str) -> Open:
    """Build, save, load: what is searched is always what was read back."""

    def opened(vectors: np.ndarray, doc_ids: list[str], folder: Path) -> Opened:
        dtype = "float16" if vectors.dtype == np.float16 else "float32"
        store = write_store(folder / "store", vectors, doc_ids, dtype=dtype, shard_size=300)
        build_index(store, spec, folder / "index")
        return open_index(folder / "index")

    return opened


def _ids(n: int) -> list[str]:
    """Ids whose order is not that of the rows."""
    return [f"{(i * 7919) % n:05d}" for i in range(n)]


def _oracle(
    vectors: np.ndarray, doc_ids: list[str], queries: np.ndarray, k: int
) -> tuple[list[Any], list[Any]]:
    scores = queries.astype(np.float64) @ vectors.astype(np.float64).T
    rows = [sorted(range(len(doc_ids)), key=lambda r: (s[r], doc_ids[r]), reverse=True)[:k] for s in scores]
    return rows, [[s[r] for r in found] for s, found in zip(scores, rows, strict=True)]


def _gaussian(seed: int, n: int) -> np.ndarray:
    """Rows of very different lengths: an index that normalises is wrong."""
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((n, D)) * rng.uniform(0.1, 10, (n, 1))).astype(np.float32)


def _whole_numbers(seed: int, n: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(-1, 2, (n, D)).astype(np.float32)


def _agrees(opened: Opened, vectors: np.ndarray, ids: list[str], queries: np.ndarray, k: int) -> None:
    hits = opened.search(queries, k)
    rows, scores = _oracle(vectors, ids, queries, k)
    assert hits.rows.tolist() == rows
    np.testing.assert_allclose(hits.scores, scores, rtol=1e-5, atol=1e-4)
    assert hits.rows.dtype == np.int64
    assert hits.scores.dtype == np.float32


def unnormalised_vectors(make: Open, folder: Path) -> None:
    vectors, ids = _gaussian(0, N), _ids(N)
    _agrees(make(vectors, ids, folder), vectors, ids, _gaussian(1, 9), 10)


def exact_ties(make: Open, folder: Path) -> None:
    vectors, ids = _whole_numbers(0, N), _ids(N)
    queries = _whole_numbers(1, 20)
    _, scores = _oracle(vectors, ids, queries, 11)
    assert any(s[9] == s[10] for s in scores), "the case must have ties at the tenth place"
    _agrees(make(vectors, ids, folder), vectors, ids, queries, 10)


def all_rows_equal(make: Open, folder: Path) -> None:
    vectors, ids = np.ones((N, D), dtype=np.float32), _ids(N)
    _agrees(make(vectors, ids, folder), vectors, ids, np.ones((2, D), dtype=np.float32), 3)


def equal_rows_tie_to_the_bit(make: Open, folder: Path) -> None:
    vectors, ids = _gaussian(0, N), _ids(N)
    vectors[3] *= 50 / np.linalg.norm(vectors[3])  # longer than the others: nothing scores better
    vectors[100::7] = vectors[3]
    hits = make(vectors, ids, folder).search(vectors[3:4], 30)
    assert len(set(hits.scores[0].tolist())) == 1
    assert [ids[r] for r in hits.rows[0]] == sorted([ids[3], *ids[100::7]], reverse=True)[:30]


def k_beyond_the_rows(make: Open, folder: Path) -> None:
    vectors, ids = _gaussian(0, 200), _ids(200)
    hits = make(vectors, ids, folder).search(_gaussian(1, 2), 205)
    assert (hits.rows[:, 200:] == -1).all()
    assert (hits.scores[:, 200:] == -np.inf).all()
    assert all(sorted(row) == list(range(200)) for row in hits.rows[:, :200].tolist())


def no_queries(make: Open, folder: Path) -> None:
    hits = make(_gaussian(0, 200), _ids(200), folder).search(np.empty((0, D), dtype=np.float32), 5)
    assert hits.rows.shape == hits.scores.shape == (0, 5)


def half_precision_rows(make: Open, folder: Path) -> None:
    vectors, ids = _gaussian(0, N).astype(np.float16), _ids(N)
    _agrees(make(vectors, ids, folder), vectors, ids, _gaussian(1, 9), 10)


def batching_changes_nothing(make: Open, folder: Path) -> None:
    vectors, ids, queries = _gaussian(0, N), _ids(N), _gaussian(1, 300)
    opened = make(vectors, ids, folder)
    whole = opened.search(queries, 10)
    for i in (0, 1, 17, 299):
        alone = opened.search(queries[i : i + 1], 10)
        assert (alone.rows[0] == whole.rows[i]).all()
        assert (alone.scores[0] == whole.scores[i]).all()


def several_rows_of_a_passage(make: Open, folder: Path) -> None:
    """The best of a passage's five rows counts, each passage comes once, and none is missing."""
    vectors, ids = _whole_numbers(0, N), _ids(N // 5)
    vectors[:5] *= 9  # one passage holds the best rows of many questions
    queries = _whole_numbers(1, 20)
    opened = make(vectors, ids, folder)
    best = (queries @ vectors.T).reshape(len(queries), len(ids), 5).max(axis=2)
    for k in (1, 10, len(ids), len(ids) + 3):
        hits = opened.search(queries, k)
        for row, (rows, scores) in enumerate(zip(hits.rows, hits.scores, strict=True)):
            expected = sorted(range(len(ids)), key=lambda p: (best[row, p], ids[p]), reverse=True)[:k]
            assert (rows[rows >= 0] // 5).tolist() == expected
            assert scores[rows >= 0].tolist() == [best[row, p] for p in expected]


CHECKS: list[Check] = [
    unnormalised_vectors,
    exact_ties,
    all_rows_equal,
    equal_rows_tie_to_the_bit,
    k_beyond_the_rows,
    no_queries,
    half_precision_rows,
    several_rows_of_a_passage,
    batching_changes_nothing,
]


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("spec", EXHAUSTIVE)
def test_an_index_that_looks_at_every_row_equals_the_oracle(spec: str, check: Check, tmp_path: Path) -> None:
    check(_through_a_folder(spec), tmp_path)


@pytest.mark.parametrize("spec", APPROXIMATE)
def test_an_approximate_index_reports_true_scores_in_our_order(spec: str, tmp_path: Path) -> None:
    vectors, ids, queries = _whole_numbers(0, N), _ids(N), _whole_numbers(1, 30)
    hits = _through_a_folder(spec)(vectors, ids, tmp_path).search(queries, 10)
    truth = queries @ vectors.T
    np.testing.assert_array_equal(hits.scores, np.take_along_axis(truth, hits.rows, axis=1))
    keys = tie_keys(ids)
    for rows, scores in zip(hits.rows.tolist(), hits.scores.tolist(), strict=True):
        places = [(score, keys[row]) for row, score in zip(rows, scores, strict=True)]
        assert places == sorted(places, reverse=True)
    best = np.sort(truth, axis=1)[:, ::-1][:, :10]
    assert np.mean(hits.scores >= best[:, 9:10]) > 0.7  # of its hits, how many are among the best ten


def test_every_registered_index_over_vectors_is_held_to_this_suite() -> None:
    tested = {spec.partition("?")[0].rstrip("0123456789") for spec in EXHAUSTIVE + APPROXIMATE}
    assert set(registry.names("index")) - {"bm25"} <= tested


class _Wrong:
    """An index folder with one fault."""

    def __init__(self, fault: str, vectors: np.ndarray, doc_ids: list[str]) -> None:
        self.fault, self.vectors = fault, vectors.astype(np.float32)
        self.rows_each = len(vectors) // len(doc_ids)
        self.keys = tie_keys([d for d in doc_ids for _ in range(self.rows_each)])

    def search(self, queries: Any, k: int) -> Hits:
        vectors = self.vectors
        if self.fault == "cosine":
            vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        if self.fault == "half precision":
            scores = (queries.astype(np.float16) @ vectors.astype(np.float16).T).astype(np.float32)
        else:
            scores = np.asarray(queries) @ vectors.T
        keys = -self.keys if self.fault == "tie order" else self.keys
        order = np.lexsort((np.broadcast_to(keys, scores.shape), scores), axis=1)[:, ::-1]
        if self.fault != "repeats a passage" and self.rows_each > 1:
            first = [np.unique(rows // self.rows_each, return_index=True)[1] for rows in order]
            order = np.array([rows[np.sort(f)] for rows, f in zip(order, first, strict=True)])
        order = order[:, :k]
        found = np.take_along_axis(scores, order, axis=1)
        if self.fault == "smallest first":
            order, found = order[:, ::-1], found[:, ::-1]
        lacking = k - order.shape[1] if self.fault != "no padding" else 0
        return Hits(
            np.pad(order, ((0, 0), (0, lacking)), constant_values=-1),
            np.pad(found, ((0, 0), (0, lacking)), constant_values=-np.inf),
        )


@pytest.mark.parametrize(
    "fault",
    ["cosine", "half precision", "tie order", "smallest first", "no padding", "repeats a passage"],
)
def test_a_wrong_index_is_noticed(fault: str, tmp_path: Path) -> None:
    failed = []
    for check in CHECKS:
        try:
            check(lambda vectors, ids, _: _Wrong(fault, vectors, ids), tmp_path)
        except (AssertionError, IndexError):
            failed.append(check.__name__)
    assert failed, f"no check noticed: {fault}"
