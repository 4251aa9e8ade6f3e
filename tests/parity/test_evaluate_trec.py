"""Our figures against trec_eval's own code, ties left to it."""

from __future__ import annotations

import numpy as np
import pytest
import pytrec_eval

from babelweave.evaluate.measures import evaluate
from babelweave.records import Run

NAMES = {
    "AP": "map",
    "nDCG@10": "ndcg_cut_10",
    "R@100": "recall_100",
    "RR": "recip_rank",
    "P@10": "P_10",
    "nDCG": "ndcg",
}


@pytest.mark.parametrize("seed", range(6))
def test_runs_full_of_ties_score_as_trec_eval_scores_them(seed: int) -> None:
    """Raw scores go to trec_eval, which breaks ties itself; half of them also differ below float32."""
    rng = np.random.default_rng(seed)
    docs = [f"d{i}" for i in rng.permutation(300)]
    qrels: dict[str, dict[str, int]] = {}
    found: dict[str, dict[str, float]] = {}
    for i in range(40):
        judged = rng.choice(docs, 12, replace=False)
        qrels[f"q{i}"] = {str(d): int(rng.integers(0, 4)) for d in judged}
        hits = rng.choice(docs, 150, replace=False)
        scores = rng.integers(0, 5, 150) + rng.integers(0, 2, 150) * 1e-9
        found[f"q{i}"] = {str(d): float(s) for d, s in zip(hits, scores, strict=True)}
    theirs = pytrec_eval.RelevanceEvaluator(qrels, set(NAMES.values())).evaluate(found)
    run = Run(
        tuple(found),
        tuple(tuple(f) for f in found.values()),
        tuple(tuple(f.values()) for f in found.values()),
    )
    for scores in evaluate(qrels, run, list(NAMES)):
        expected = [theirs[q][NAMES[scores.measure]] for q in scores.query_ids]
        np.testing.assert_allclose(scores.values, expected, rtol=0, atol=1e-12, err_msg=scores.measure)


def test_rr_at_10_is_trec_evals_reciprocal_rank_where_that_is_at_least_a_tenth() -> None:
    rng = np.random.default_rng(0)
    found = {f"q{i}": {f"d{j}": float(rng.integers(0, 4)) for j in range(40)} for i in range(200)}
    qrels = {q: {f"d{rng.integers(0, 40)}": 1} for q in found}
    theirs = pytrec_eval.RelevanceEvaluator(qrels, {"recip_rank"}).evaluate(found)
    run = Run(
        tuple(found),
        tuple(tuple(f) for f in found.values()),
        tuple(tuple(f.values()) for f in found.values()),
    )
    [scores] = evaluate(qrels, run, ["RR@10"])
    full = [theirs[q]["recip_rank"] for q in scores.query_ids]
    np.testing.assert_allclose(scores.values, [v if v >= 0.1 else 0.0 for v in full], atol=1e-12)
    assert 0 < np.count_nonzero(scores.values) < 200
