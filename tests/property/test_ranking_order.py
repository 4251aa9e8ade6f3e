"""Ranking against a full sort in Python."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from babelweave.ranking import rank_documents, tie_keys, top_k

FEW_VALUES = st.sampled_from([-1.5, -0.0, 0.0, 1.0, 1.0000001, 2.0, float("-inf")])
ANY_VALUE = st.floats(width=32, allow_nan=False)
IDS = st.lists(st.text(min_size=1, max_size=4), min_size=1, max_size=12)


@st.composite
def _cases(draw: st.DrawFn) -> tuple[np.ndarray, list[str], int]:
    ids = draw(IDS)
    n_queries = draw(st.integers(0, 3))
    values = draw(st.sampled_from([FEW_VALUES, ANY_VALUE]))
    scores = draw(arrays(np.float32, (n_queries, len(ids)), elements=values.map(np.float32)))
    return scores, ids, draw(st.integers(0, len(ids) + 3))


def _full_sort(scores: np.ndarray, ids: list[str], k: int) -> list[int]:
    """Rows by (score, doc_id, row) descending, without the columns marked -inf."""
    rows = [row for row in range(len(ids)) if scores[row] > -np.inf]
    ranked = sorted(rows, key=lambda row: (scores[row], ids[row], row), reverse=True)[:k]
    return ranked + [-1] * (k - len(ranked))


@given(_cases())
def test_top_k_is_the_head_of_a_full_sort(case: tuple[np.ndarray, list[str], int]) -> None:
    scores, ids, k = case
    hits = top_k(scores, k, tie_keys(ids))
    assert hits.rows.tolist() == [_full_sort(row, ids, k) for row in scores]
    expected = [[-np.inf if r < 0 else s[r] for r in rows] for rows, s in zip(hits.rows, scores, strict=True)]
    np.testing.assert_array_equal(hits.scores, np.array(expected, dtype=np.float32).reshape(len(scores), k))


@given(st.dictionaries(st.text(max_size=3), FEW_VALUES | st.floats(allow_nan=False)), st.integers(0, 9))
def test_documents_are_ranked_by_float32_score_then_id(scores: dict[str, float], k: int) -> None:
    with np.errstate(over="ignore"):
        rounded = {doc_id: float(np.float32(score)) for doc_id, score in scores.items()}
    expected = sorted(rounded, key=lambda doc_id: (rounded[doc_id], doc_id), reverse=True)[:k]
    assert [doc_id for doc_id, _ in rank_documents(scores, k)] == expected
