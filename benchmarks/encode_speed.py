"""Passages per second of `TransformerEncoder` against `SentenceTransformer.encode` at its defaults.

    python benchmarks/encode_speed.py [--pairs 3] [--passages N] [--threads N] [--precision auto]

Same model (the packaged all-MiniLM-L6-v2), same passages (MLQA dev, English), same process. The two run in
alternation, the first of a pair changing from pair to pair, and the ratio is the median over pairs: other
work on the machine then hits both alike. CPU seconds stand beside wall seconds for the same reason.
RR@10 is that of MLQA dev en-en with the vectors of each, exact search.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from babelweave.data.mlqa import read_subset
from babelweave.encode.packaged import minilm
from babelweave.encode.transformer import TransformerEncoder
from babelweave.evaluate.measures import evaluate
from babelweave.ranking import tie_keys, to_run, top_k
from babelweave.records import Float32, Subset
from babelweave.weights import has_bfloat16

DATA = Path(os.environ.get("BABELWEAVE_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
TARGET_RATIO = 2.5
TARGET_LOSS = 0.002


def timed(encode: Callable[[list[str]], Float32], texts: list[str]) -> tuple[float, float, Float32]:
    """(wall seconds, CPU seconds, vectors)."""
    wall, cpu = time.perf_counter(), time.process_time()
    vectors = encode(texts)
    return time.perf_counter() - wall, time.process_time() - cpu, vectors


def rr_at_10(subset: Subset, passages: Float32, queries: Float32) -> float:
    doc_ids = [p.doc_id for p in subset.passages]
    hits = top_k(queries @ passages.T, 10, tie_keys(doc_ids))
    run = to_run([q.query_id for q in subset.queries], hits, doc_ids)
    return evaluate(subset.qrels, run, ["RR@10"])[0].mean


def cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next(
        (line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown CPU"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--passages", type=int, help="only the first N passages, and no RR@10")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--precision", default="auto", choices=["auto", "float32", "bfloat16"])
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    subset = read_subset(DATA / "mlqa" / "MLQA_V1.zip", "dev", "en-en")
    texts = [p.content for p in subset.passages][: options.passages]
    ours = TransformerEncoder(str(minilm()), name="minilm", precision=options.precision)
    theirs = SentenceTransformer(str(minilm()), device=str(ours.model.device))
    encoders: dict[str, Callable[[list[str]], Float32]] = {
        "babelweave": lambda x: ours.encode(x, "passage").vectors,
        "sentence-transformers": lambda x: np.asarray(theirs.encode(x, show_progress_bar=False)),
    }
    for encode in encoders.values():
        encode(texts[:32])

    walls: dict[str, list[float]] = {name: [] for name in encoders}
    cpus: dict[str, list[float]] = {name: [] for name in encoders}
    vectors: dict[str, Float32] = {}
    for pair in range(options.pairs):
        for name in sorted(encoders, reverse=bool(pair % 2)):
            wall, cpu, vectors[name] = timed(encoders[name], texts)
            walls[name].append(wall)
            cpus[name].append(cpu)
            print(
                f"pair {pair + 1}: {name:22} {len(texts) / wall:7.1f} passages/s, {cpu:.1f} CPU s", flush=True
            )

    ratio, cpu_ratio = (
        statistics.median(b / a for a, b in zip(s["babelweave"], s["sentence-transformers"], strict=True))
        for s in (walls, cpus)
    )
    native = has_bfloat16(ours.model.device)
    print(f"\ncommand    python {' '.join(sys.argv)}")
    print(
        f"machine    {cpu_name()}, {options.threads} threads, {platform.system()}, torch {torch.__version__}"
    )
    print(f"bfloat16   {'in' if native else 'not in'} hardware; run in {ours.signature.precision}")
    print(f"passages   {len(texts)}, model all-MiniLM-L6-v2, {options.pairs} pairs")
    print(f"ratio      {ratio:.2f} of wall time, {cpu_ratio:.2f} of CPU time (median over pairs)")
    print(f"           target {TARGET_RATIO} on a CPU with bfloat16{'' if native else '; this is none'}")
    cosines = (vectors["babelweave"] * vectors["sentence-transformers"]).sum(axis=1)
    print(f"vectors    smallest cosine between the two {cosines.min():.6f}")
    if options.passages is None:
        questions = [q.text for q in subset.queries]
        a = rr_at_10(subset, vectors["babelweave"], ours.encode(questions, "query").vectors)
        b = rr_at_10(subset, vectors["sentence-transformers"], encoders["sentence-transformers"](questions))
        print(f"RR@10      {100 * a:.2f} against {100 * b:.2f} ({100 * (a - b):+.2f} points, allowed -0.20)")


if __name__ == "__main__":
    main()
