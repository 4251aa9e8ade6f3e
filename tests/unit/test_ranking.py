"""The one tie order: hand-checked cases."""

from __future__ import annotations

import numpy as np
import pytest

from babelweave.errors import DataError
from babelweave.ranking import rank_documents, run_from_scores, tie_keys, to_run, top_k, top_pairs
from babelweave.records import Hits

INF = np.inf


def _scores(*rows: list[float]) -> np.ndarray:
    return np.array(rows, dtype=np.float32)


def test_tie_keys_are_places_in_ascending_order_of_code_points() -> None:
    assert tie_keys(["b", "a", "é", "Z", "10", "9"]).tolist() == [4, 3, 5, 2, 0, 1]


def test_tie_keys_of_equal_ids_put_the_later_row_higher() -> None:
    assert tie_keys(["a", "b", "a"]).tolist() == [0, 2, 1]


def test_ties_at_the_kth_place_go_to_the_greater_id() -> None:
    keys = tie_keys(["a", "b", "c", "d"])
    hits = top_k(_scores([1, 2, 1, 1]), 2, keys)
    assert hits.rows.tolist() == [[1, 3]]
    assert hits.scores.tolist() == [[2, 1]]


def test_k_beyond_the_columns_pads_with_missing_hits() -> None:
    hits = top_k(_scores([0, -1]), 4, tie_keys(["a", "b"]))
    assert hits.rows.tolist() == [[0, 1, -1, -1]]
    assert hits.scores.tolist() == [[0, -1, -INF, -INF]]


def test_minus_infinity_is_a_column_that_is_not_returned() -> None:
    hits = top_k(_scores([-INF, 3, -INF]), 2, tie_keys(["a", "b", "c"]))
    assert hits.rows.tolist() == [[1, -1]]


@pytest.mark.parametrize(("shape", "k"), [((0, 3), 2), ((2, 0), 2), ((2, 3), 0)])
def test_nothing_to_rank_gives_the_shape_asked_for(shape: tuple[int, int], k: int) -> None:
    hits = top_k(np.zeros(shape, dtype=np.float32), k, np.arange(shape[1]))
    assert hits.rows.shape == hits.scores.shape == (shape[0], k)
    assert hits.rows.dtype == np.int64
    assert hits.scores.dtype == np.float32
    if shape[1] == 0:
        assert (hits.rows == -1).all()


def test_zero_and_minus_zero_are_a_tie() -> None:
    assert top_k(_scores([0.0, -0.0]), 2, np.arange(2)).rows.tolist() == [[1, 0]]


def test_nan_is_refused_wherever_scores_enter() -> None:
    with pytest.raises(DataError, match="NaN"):
        top_k(_scores([0, np.nan]), 1, np.arange(2))
    with pytest.raises(DataError, match="NaN"):
        rank_documents({"a": 1.0, "b": float("nan")})
    with pytest.raises(DataError, match="NaN"):
        top_pairs(
            np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64), _scores([np.nan])[0], 1, 1, np.arange(1)
        )


def test_documents_that_tie_in_float32_are_ranked_by_id() -> None:
    assert rank_documents({"a": 0.1234567891, "b": 0.1234567890}) == [
        ("b", pytest.approx(0.12345679)),
        ("a", pytest.approx(0.12345679)),
    ]


def test_scores_beyond_float32_are_infinite_and_ranked_first() -> None:
    assert [doc_id for doc_id, _ in rank_documents({"a": 1.0, "b": 1e300})] == ["b", "a"]


def test_to_run_leaves_missing_hits_out() -> None:
    hits = Hits(np.array([[1, -1], [-1, -1]]), _scores([0.5, -INF], [-INF, -INF]))
    run = to_run(["q1", "q2"], hits, ["x", "y"])
    assert list(run) == [("q1", ("y",), (0.5,)), ("q2", (), ())]


def test_run_from_scores_orders_and_cuts() -> None:
    run = run_from_scores([("q", {"a": 1.0, "b": 2.0, "c": 1.0}), ("none", {})], k=2)
    assert list(run) == [("q", ("b", "c"), (2.0, 1.0)), ("none", (), ())]
