"""Standard measures on rankings small enough to score by hand."""

from __future__ import annotations

import math

import pytest

from babelweave.errors import DataError, UsageError
from babelweave.evaluate.measures import DEFAULT, Coverage, IrMeasure, check_measures, coverage, evaluate
from babelweave.records import Run


def run_of(**ranked: list[str]) -> Run:
    """A run whose hits score n, n - 1, ... 1."""
    scores = tuple(tuple(float(len(docs) - i) for i in range(len(docs))) for docs in ranked.values())
    return Run(tuple(ranked), tuple(tuple(docs) for docs in ranked.values()), scores)


HAND = [
    # ranking, relevant, measure, value
    ("a b c", {"a": 1}, "RR@10", 1.0),
    ("a b c", {"c": 1}, "RR@10", 1 / 3),
    ("a b c", {"b": 1, "c": 1}, "RR@10", 1 / 2),
    ("a b c d e f g h i j k", {"j": 1}, "RR@10", 1 / 10),
    ("a b c d e f g h i j k", {"k": 1}, "RR@10", 0.0),
    ("a b c d e f g h i j k", {"k": 1}, "RR", 1 / 11),
    ("a b c", {"a": 1, "c": 1, "x": 1}, "R@100", 2 / 3),
    ("a b c", {"a": 1, "c": 1, "x": 1}, "R@2", 1 / 3),
    ("a b c", {"a": 1, "c": 1}, "AP", (1 / 1 + 2 / 3) / 2),
    ("a b c", {"a": 1, "c": 1, "x": 1}, "AP", (1 / 1 + 2 / 3) / 3),
    ("a b c", {"b": 1}, "nDCG@10", 1 / math.log2(3)),
    ("a b c", {"b": 1, "c": 1}, "nDCG@10", (1 / math.log2(3) + 1 / 2) / (1 + 1 / math.log2(3))),
    # trec_eval's gain is the relevance itself, not 2^relevance - 1
    ("a b", {"b": 3, "a": 1}, "nDCG@10", (1 + 3 / math.log2(3)) / (3 + 1 / math.log2(3))),
    ("a b c", {"a": 1, "c": 1}, "P@2", 1 / 2),
    ("a b c", {"c": 1}, "Success@2", 0.0),
    ("a b c", {"c": 1}, "Success@3", 1.0),
    ("a b c", {"a": 0, "c": 1}, "RR@10", 1 / 3),
    ("a b", {"a": 0}, "Judged@2", 1 / 2),
    ("a b", {"a": 0}, "RR@10", 0.0),
    ("", {"a": 1}, "nDCG@10", 0.0),
]


@pytest.mark.parametrize(("ranking", "relevant", "measure", "value"), HAND)
def test_figures_worked_by_hand(ranking: str, relevant: dict[str, int], measure: str, value: float) -> None:
    [scores] = evaluate({"q": relevant}, run_of(q=ranking.split()), [measure])
    assert scores.values == pytest.approx([value], abs=1e-12)


def test_every_measure_of_one_call_sees_the_same_order_of_ties() -> None:
    """trec_eval puts the larger doc_id first; MS MARCO's scorer, which computes RR@k, would not."""
    run = Run(("q",), (("a", "b", "c"),), ((1.0, 1.0, 1.0),))
    values = {s.measure: s.values[0] for s in evaluate({"q": {"b": 1}}, run, ["RR@10", "RR", "AP", "P@2"])}
    assert values == {"RR@10": 1 / 2, "RR": 1 / 2, "AP": 1 / 2, "P@2": 1 / 2}


def test_scores_that_trec_eval_cannot_tell_apart_are_ties() -> None:
    run = Run(("q",), (("a", "b"),), ((1.0 + 1e-12, 1.0),))
    assert [s.values[0] for s in evaluate({"q": {"b": 1}}, run, ["RR@10", "RR"])] == [1.0, 1.0]


def test_questions_without_hits_stay_in_the_mean_and_unjudged_ones_stay_out() -> None:
    qrels = {"answered": {"a": 1}, "empty": {"a": 1}, "absent": {"a": 1}}
    run = run_of(answered=["a"], empty=[], unjudged=["a"])
    [scores] = evaluate(qrels, run, ["RR@10"])
    assert scores.query_ids == ("absent", "answered", "empty")
    assert scores.values.tolist() == [0.0, 1.0, 0.0]
    assert scores.mean == pytest.approx(1 / 3)
    assert coverage(qrels, run) == Coverage(n_judged=3, n_without_hits=2, n_unjudged=1)


def test_scores_come_in_the_order_asked_and_carry_what_moves_them() -> None:
    measures = ["nDCG@10", "AP", "RR@10", "AP"]
    scores = evaluate({"q": {"a": 1}}, run_of(q=["b", "a"]), measures)
    assert [s.measure for s in scores] == measures
    assert all("pytrec_eval-terrier" in s.signature and "ties" in s.signature for s in scores)


def test_more_questions_than_one_chunk() -> None:
    ids = [f"q{i:04d}" for i in range(2500)]
    qrels = {q: {"a": 1} for q in ids}
    run = run_of(**{q: ["b", "a"] if i % 2 else ["a", "b"] for i, q in enumerate(reversed(ids))})
    [scores] = evaluate(qrels, run, ["RR@10"])
    assert scores.query_ids == tuple(ids)
    assert scores.values.tolist() == [0.5 if (2499 - i) % 2 else 1.0 for i in range(2500)]


def test_the_default_measures_are_mtebs() -> None:
    assert [s.measure for s in evaluate({"q": {"a": 1}}, run_of(q=["a"]))] == list(DEFAULT)


def test_all_unknown_measures_are_named_at_once_with_the_nearest() -> None:
    with pytest.raises(UsageError) as raised:
        evaluate({"q": {"a": 1}}, run_of(q=["a"]), ["RR@10", "DCG@10", "recal", "RR@1.5"])
    message = str(raised.value)
    assert "did you mean 'nDCG@10'?" in message
    assert "'recal'" in message
    assert "'RR@1.5'" in message
    assert "'RR@10';" not in message


def test_measures_are_checked_against_the_depth_of_a_run() -> None:
    check_measures(["R@100", "AP", "RR"], 100)
    with pytest.raises(UsageError, match="R@1000 looks at more than the 100 passages"):
        check_measures(["RR@10", "R@1000"], 100)
    with pytest.raises(UsageError, match="no measure"):
        check_measures([], 100)
    with pytest.raises(UsageError, match="no measure"):
        evaluate({"q": {"a": 1}}, run_of(q=["a"]), [])


@pytest.mark.parametrize("measure", ["P@0", "nDCG@0", "RR@0", "Judged@0", "AP(rel=0)", "P(rel=0)@5"])
def test_a_cutoff_or_a_relevance_below_one_is_refused(measure: str) -> None:
    """trec_eval's code ends the whole process over some of them; only the name is parsed here."""
    with pytest.raises(UsageError, match="unknown measure"):
        IrMeasure(measure)


@pytest.mark.parametrize("measure", ["alpha_nDCG@10", "ERR@20", "RBP", "BPM", "__import__('os')", ""])
def test_a_measure_no_shipped_provider_computes_is_refused_before_work(measure: str) -> None:
    with pytest.raises(UsageError, match="unknown measure"):
        evaluate({"q": {"a": 1}}, run_of(q=["a"]), [measure])


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (Run(("q",), (("a", "b"),), ((1.0, float("nan")),)), "'q'.*not a number"),
        (Run(("q",), (("a", "a"),), ((2.0, 1.0),)), "'q'.*document twice"),
        (Run(("q", "q"), (("a",), ("b",)), ((1.0,), (1.0,))), "question twice"),
        (Run(("other",), (("a",),), ((1.0,),)), "share no question.*'other'.*'q'"),
    ],
)
def test_broken_runs_are_refused(run: Run, message: str) -> None:
    with pytest.raises(DataError, match=message):
        evaluate({"q": {"a": 1}}, run)


def test_nothing_to_score_against_is_an_error() -> None:
    with pytest.raises(DataError, match="no judgements"):
        evaluate({}, run_of(q=["a"]))
