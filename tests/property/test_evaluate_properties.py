"""What every ranking measure owes, whatever the run."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from babelweave.evaluate.measures import evaluate
from babelweave.records import Run

MEASURES = ["RR@10", "R@5", "nDCG@10", "AP", "P@3"]
DOCS = [f"d{i}" for i in range(12)]

hits = st.dictionaries(st.sampled_from(DOCS), st.sampled_from([0.0, 0.5, 1.0, 2.0]), max_size=12)
judged = st.dictionaries(st.sampled_from(DOCS), st.integers(0, 3), min_size=1, max_size=6)
tasks = st.dictionaries(st.sampled_from("ABCD"), st.tuples(hits, judged), min_size=1)


def as_run(found: dict[str, dict[str, float]]) -> Run:
    return Run(
        tuple(found),
        tuple(tuple(f) for f in found.values()),
        tuple(tuple(f.values()) for f in found.values()),
    )


@given(tasks)
@settings(max_examples=100, deadline=None)
def test_bounded_and_blind_to_the_order_of_the_input(
    task: dict[str, tuple[dict[str, float], dict[str, int]]],
) -> None:
    found = {q: h for q, (h, _) in task.items()}
    qrels = {q: j for q, (_, j) in task.items()}
    backwards = as_run({q: dict(reversed(list(h.items()))) for q, h in reversed(list(found.items()))})
    swapped = {q: dict(reversed(list(j.items()))) for q, j in reversed(list(qrels.items()))}
    for ours, again in zip(
        evaluate(qrels, as_run(found), MEASURES), evaluate(swapped, backwards, MEASURES), strict=True
    ):
        assert ours.query_ids == tuple(sorted(qrels))
        assert np.all((ours.values >= 0) & (ours.values <= 1 + 1e-12))
        assert ours.query_ids == again.query_ids
        assert ours.values.tolist() == again.values.tolist()


@given(hits.filter(bool), st.data())
@settings(max_examples=100, deadline=None)
def test_raising_a_relevant_passage_lowers_nothing(found: dict[str, float], data: st.DataObject) -> None:
    """With one relevant passage every measure is a non-increasing function of its rank."""
    relevant = data.draw(st.sampled_from(sorted(found)))
    raised = found | {relevant: found[relevant] + data.draw(st.sampled_from([0.25, 1.0, 5.0]))}
    before = evaluate({"q": {relevant: 1}}, as_run({"q": found}), MEASURES)
    after = evaluate({"q": {relevant: 1}}, as_run({"q": raised}), MEASURES)
    assert all(b.values[0] <= a.values[0] for b, a in zip(before, after, strict=True))
