"""The harness against MTEB's published figures for the same model on the same files.

One of MLQA dev's 49 subsets, a cheap one; `benchmarks/mlqa_parity.py` runs them all.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from babelweave.evaluate.benchmarks import mlqa
from babelweave.evaluate.benchmarks.subsets import Settings, run_tasks
from babelweave.evaluate.benchmarks.system import System

SUBSET = "es-zh"
ROUNDING = 0.0051  # published in per cent with two decimals


@pytest.mark.data
def test_minilm_scores_what_mteb_published(data_root: Path) -> None:
    published = json.loads((data_root / "mlqa" / "published_mteb.json").read_text())
    expected = published["models"]["all-MiniLM-L6-v2"]["dev"][SUBSET]
    ranker = System(encoder="minilm?precision=float32").open(("zh",), print)
    tasks = mlqa.read(data_root / "mlqa" / "MLQA_V1.zip", subsets=SUBSET)
    result = run_tasks(tasks, ranker, Settings())
    found = result.summary["subsets"][SUBSET]
    assert 100 * found["RR@10"] == pytest.approx(expected["mrr_at_10"], abs=ROUNDING)
    assert 100 * found["R@100"] == pytest.approx(expected["recall_at_100"], abs=ROUNDING)
    assert 100 * found["nDCG@10"] == pytest.approx(expected["ndcg_at_10"], abs=ROUNDING)
