"""Our readers of runs and qrels against those of ir_measures on the same files."""

from __future__ import annotations

import random
from pathlib import Path

import ir_measures

from babelweave.data.trec import read_qrels, read_run


def test_same_triples_as_ir_measures(tmp_path: Path) -> None:
    rng = random.Random(7)
    run_lines, qrels_lines = [], []
    for q in range(20):
        for rank, d in enumerate(rng.sample(range(100), 30)):
            run_lines.append(f"q{q} Q0 d{d} {rank} {rng.randint(0, 40) / 8} tag")
        qrels_lines += [f"q{q} 0 d{d} {rng.randint(0, 3)}" for d in rng.sample(range(100), 5)]
    (tmp_path / "run").write_text("\n".join(run_lines) + "\n", encoding="utf-8")
    (tmp_path / "qrels").write_text("\n".join(qrels_lines) + "\n", encoding="utf-8")
    # Eighths are exact in float32, the precision our order is made in.
    theirs = {(r.query_id, r.doc_id, r.score) for r in ir_measures.read_trec_run(str(tmp_path / "run"))}
    ours = {(q, d, s) for q, ds, ss in read_run(tmp_path / "run") for d, s in zip(ds, ss, strict=True)}
    assert ours == theirs
    judged = {
        (r.query_id, r.doc_id, r.relevance) for r in ir_measures.read_trec_qrels(str(tmp_path / "qrels"))
    }
    assert {(q, d, v) for q, ds in read_qrels(tmp_path / "qrels").items() for d, v in ds.items()} == judged
