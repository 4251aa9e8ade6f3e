"""Batches by a budget of padded tokens."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from babelweave.encode.tokens import token_batches


def batches(lengths: list[int], budget: int) -> list[list[int]]:
    return [b.tolist() for b in token_batches(np.array(lengths, dtype=np.int64), budget)]


def test_by_hand() -> None:
    # by falling length: 3 (9 tokens), 0 (5), 4 (5), 1 (2), 2 (1)
    assert batches([5, 2, 1, 9, 5], 10) == [[3], [0, 4], [1, 2]]
    assert batches([5, 2, 1, 9, 5], 8) == [[3], [0], [4], [1, 2]]
    assert batches([0, 0, 0], 2) == [[0, 1], [2]]
    assert batches([], 10) == []


@given(st.lists(st.integers(0, 300)), st.integers(1, 2000))
def test_every_text_once_and_within_budget(lengths: list[int], budget: int) -> None:
    found = batches(lengths, budget)
    assert sorted(i for batch in found for i in batch) == list(range(len(lengths)))
    for batch in found:
        padded = len(batch) * max(lengths[i] for i in batch)
        assert len(batch) == 1 or padded <= budget
    flat = [lengths[i] for batch in found for i in batch]
    assert flat == sorted(lengths, reverse=True)
