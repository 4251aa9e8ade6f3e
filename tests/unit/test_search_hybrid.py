"""Fusion of runs: numbers worked by hand."""

from __future__ import annotations

import itertools

import pytest

from babelweave.errors import DataError, UsageError
from babelweave.records import Run
from babelweave.search.hybrid import named_fusion, reciprocal_rank_fusion, weighted_sum


def _run(**answers: dict[str, float]) -> Run:
    return Run(
        tuple(answers),
        tuple(tuple(a) for a in answers.values()),
        tuple(tuple(a.values()) for a in answers.values()),
    )


def _answers(run: Run) -> dict[str, dict[str, float]]:
    return {q: dict(zip(d, s, strict=True)) for q, d, s in run}


DENSE = _run(q={"a": 0.9, "b": 0.7, "c": 0.5})
BM25 = _run(q={"c": 12.0, "d": 8.0, "a": 4.0})


def test_reciprocal_ranks_by_hand() -> None:
    fused = _answers(reciprocal_rank_fusion([DENSE, BM25]))["q"]
    assert list(fused) == ["c", "a", "d", "b"]
    assert fused == pytest.approx(
        {"a": 1 / 61 + 1 / 63, "c": 1 / 63 + 1 / 61, "b": 1 / 62, "d": 1 / 62}, rel=1e-6
    )


def test_weights_and_constant_of_reciprocal_ranks() -> None:
    fused = _answers(reciprocal_rank_fusion([DENSE, BM25], constant=0, weights=[3, 1]))["q"]
    assert fused == pytest.approx({"a": 3 + 1 / 3, "b": 1.5, "c": 1 + 1, "d": 0.5}, rel=1e-6)


def test_min_max_by_hand() -> None:
    """Dense: a 1, b .5, c 0; BM25: c 1, d .5, a 0; what a run lacks counts 0 there."""
    fused = _answers(weighted_sum([DENSE, BM25], weights=[1, 0.5]))["q"]
    assert list(fused) == ["a", "c", "b", "d"]
    assert fused == pytest.approx({"a": 1.0, "c": 0.5, "b": 0.5, "d": 0.25}, rel=1e-6)


def test_z_by_hand() -> None:
    """Three equally spaced scores have z of +-sqrt(3/2) and 0; what a run lacks counts as its lowest."""
    z = 1.5**0.5
    fused = _answers(weighted_sum([DENSE, BM25], normalise="z"))["q"]
    assert fused == pytest.approx({"c": 0.0, "a": 0.0, "d": -z, "b": -z}, abs=1e-6)


@pytest.mark.parametrize("normalise", ["min-max", "z"])
def test_a_run_of_equal_scores_still_prefers_what_it_found(normalise: str) -> None:
    fused = _answers(
        named_fusion(normalise)([_run(q={"b": 5.0}), _run(q={"a": 3.0, "b": 3.0, "c": 3.0})], None)
    )["q"]
    assert fused == {"b": 2.0, "c": 1.0, "a": 1.0}


def test_k_cuts_after_fusion() -> None:
    assert reciprocal_rank_fusion([DENSE, BM25], 2).doc_ids == (("c", "a"),)


@pytest.mark.parametrize("name", ["rrf", "min-max", "z"])
def test_questions_of_any_run_are_answered_once(name: str) -> None:
    runs = [_run(q1={"a": 1.0}, q2={}), _run(q3={"b": 1.0}, q1={"c": 2.0})]
    fused = named_fusion(name)(runs, None)
    assert fused.query_ids == ("q1", "q2", "q3")
    assert fused.doc_ids == (("c", "a"), (), ("b",))


@pytest.mark.parametrize("name", ["rrf", "min-max", "z"])
def test_the_order_of_the_runs_does_not_matter(name: str) -> None:
    """Nine documents in three rotations: sums of the same three numbers in other orders must tie."""
    ids = [f"d{i}" for i in range(9)]
    runs = [_run(q={ids[(i + turn) % 9]: 1 / (3 + i) for i in range(9)}) for turn in (0, 3, 6)]
    fused = {named_fusion(name)(list(order), None) for order in itertools.permutations(runs)}
    assert len(fused) == 1
    scores = _answers(fused.pop())["q"]
    assert scores["d0"] == scores["d3"] == scores["d6"]


@pytest.mark.parametrize(
    ("fuse", "message"),
    [
        (lambda: reciprocal_rank_fusion([]), "0 runs"),
        (lambda: reciprocal_rank_fusion([DENSE], weights=[1, 2]), "2 weights for 1 runs"),
        (lambda: reciprocal_rank_fusion([DENSE], weights=[-1]), "at least 0"),
        (lambda: reciprocal_rank_fusion([DENSE], constant=-1), "constant"),
        (lambda: weighted_sum([DENSE], normalise="l2"), "known: min-max, z"),
        (lambda: named_fusion("rff"), "did you mean 'rrf'"),
    ],
)
def test_what_is_refused(fuse, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        fuse()


@pytest.mark.parametrize("score", [float("nan"), float("inf")])
def test_scores_that_are_not_finite_cannot_be_normalised(score: float) -> None:
    with pytest.raises(DataError, match="not finite"):
        weighted_sum([_run(q={"a": score, "b": 1.0})])
