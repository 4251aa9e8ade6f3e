"""The whole of MLQA dev: our figures beside MTEB's published ones, and the time of each stage.

    python benchmarks/mlqa_parity.py [--encoder minilm] [--out FOLDER]
    python benchmarks/mlqa_parity.py --encoder bm25

Reads `mlqa/MLQA_V1.zip` and `mlqa/published_mteb.json` (MTEB's figures per subset) from BABELWEAVE_DATA,
default ../shared/data beside the repository.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np

from babelweave.evaluate.benchmarks import mlqa
from babelweave.evaluate.benchmarks.subsets import Settings, run_tasks
from babelweave.evaluate.benchmarks.system import System
from babelweave.evaluate.results import write_result

DATA = Path(os.environ.get("BABELWEAVE_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
PUBLISHED = {"minilm": "all-MiniLM-L6-v2", "bm25": "bm25s"}
MEASURES = {"RR@10": "mrr_at_10", "R@100": "recall_at_100", "nDCG@10": "ndcg_at_10"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--encoder", default="minilm")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    name = PUBLISHED[args.encoder.partition("?")[0]]
    published = json.loads((DATA / "mlqa" / "published_mteb.json").read_text())["models"][name]["dev"]
    tasks = mlqa.read(DATA / "mlqa" / "MLQA_V1.zip")
    start = time.perf_counter()
    ranker = System(encoder=args.encoder).open(tasks.languages, print)
    loaded = time.perf_counter() - start
    result = run_tasks(tasks, ranker, Settings())
    if args.out:
        write_result(args.out, result)
    print(f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}")
    print(f"{args.encoder} against {name} as MTEB publishes it, {len(published)} subsets of dev, in points")
    for ours, theirs in MEASURES.items():
        off = {s: 100 * result.summary["subsets"][s][ours] - published[s][theirs] for s in published}
        worst = max(off, key=lambda s: abs(off[s]))
        print(
            f"  {ours:8} mean {100 * result.summary['mean']['all'][ours]:.2f}  "
            f"mean absolute difference {np.mean(np.abs(list(off.values()))):.3f}  "
            f"largest {off[worst]:+.3f} ({worst})"
        )
    for group, figures in result.summary["mean"].items():
        print(f"  {group:6}", "  ".join(f"{m} {100 * v:.2f}" for m, v in figures.items()))
    stages = {"open the encoder": loaded, **result.seconds}
    print("  seconds:", ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in stages.items()))


if __name__ == "__main__":
    main()
