"""Our tie order against trec_eval's, measure by measure, on runs full of exact ties."""

from __future__ import annotations

import numpy as np
import pytest
import pytrec_eval

from babelweave.ranking import rank_documents

MEASURES = {"recip_rank", "recall_100", "ndcg_cut_10", "map"}
N_QUERIES, N_DOCUMENTS = 40, 150


def _run_with_ties(seed: int) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, int]]]:
    """Four distinct scores over 150 documents, and doubles that are equal only in float32."""
    rng = np.random.default_rng(seed)
    run, qrels = {}, {}
    for q in range(N_QUERIES):
        ids = [f"{prefix}{i}" for i, prefix in enumerate(rng.choice(["d", "D", "é", "文", "9"], N_DOCUMENTS))]
        scores = rng.choice([0.0, 1.0, 1.0 + 1e-9, 2.0], N_DOCUMENTS)
        run[f"q{q}"] = dict(zip(ids, scores.tolist(), strict=True))
        relevant = rng.choice(N_DOCUMENTS, 5, replace=False)
        qrels[f"q{q}"] = {ids[i]: int(rng.integers(0, 3)) for i in relevant}
    return run, qrels


def _trec_eval(
    run: dict[str, dict[str, float]], qrels: dict[str, dict[str, int]]
) -> dict[str, dict[str, float]]:
    results: dict[str, dict[str, float]] = pytrec_eval.RelevanceEvaluator(qrels, MEASURES).evaluate(run)
    return results


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_our_order_is_the_one_trec_eval_sees(seed: int) -> None:
    run, qrels = _run_with_ties(seed)
    ours = {
        query_id: {doc_id: -float(rank) for rank, (doc_id, _) in enumerate(rank_documents(scores))}
        for query_id, scores in run.items()
    }
    assert _trec_eval(ours, qrels) == _trec_eval(run, qrels)


def test_another_tie_order_would_be_noticed() -> None:
    run, qrels = _run_with_ties(0)
    ascending_ids = {
        query_id: {
            doc_id: -float(rank)
            for rank, doc_id in enumerate(sorted(scores, key=lambda d: (-np.float32(scores[d]), d)))
        }
        for query_id, scores in run.items()
    }
    theirs, wrong = _trec_eval(run, qrels), _trec_eval(ascending_ids, qrels)
    for measure in MEASURES:
        assert any(theirs[q][measure] != wrong[q][measure] for q in theirs), measure
