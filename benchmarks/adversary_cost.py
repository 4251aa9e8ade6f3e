"""What an adversary costs: the time of a training step with it, over that of the same step without it.

    python benchmarks/adversary_cost.py [--pairs 5] [--steps 8] [--batch 16] [--passages 8] [--threads N]
                                        [--only fgm,vat] [--base minilm]

One model (the packaged all-MiniLM-L6-v2), one run per adversary in which it is on and off in turn, step by
step, on the same batches: questions of 32 tokens, groups of one positive and `--passages` - 1 negatives of
128 (xQG's training has 8). What is timed is what differs: the loss forward and its gradient, without
optimiser and tokeniser. Other work on the machine hits neighbouring steps alike; the ratio is that of the
medians, of wall and of CPU seconds. Adversaries that need generated queries are compared with woven training
without them.

Targets: output_space at most 1.05; fgm and vat on the side of questions at most 1.3; freelb what its passes
over the questions come to, which the last column states.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import time
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch

from babelweave.encode.spec import open_encoder
from babelweave.train.adversarial import AdversarialLoss
from babelweave.train.adversaries.spec import Entry, open_adversary
from babelweave.train.augmented import Layout
from babelweave.train.losses import ContrastiveLoss
from babelweave.train.sections import Weaving
from babelweave.train.weaving import Weaver
from encode_speed import cpu_name

PER_PASSAGE = 4
TARGETS = {"output_space": 1.05, "fgm": 1.3, "vat": 1.3}
ARMS: dict[str, tuple[str, dict[str, Any]]] = {
    "fgm": ("fgm", {}),
    "pgd K=3": ("pgd", {}),
    "freelb K=2": ("freelb", {}),
    "smart": ("smart", {}),
    "vat": ("vat", {}),
    "vat both": ("vat", {"side": "both"}),
    "output_space": ("output_space", {}),
    "worst_mixture": ("worst_mixture", {}),
    "consistency": ("consistency", {}),
    "language_confusion": ("language_confusion", {}),
}
PASSES = {
    "fgm": "+1 forward, +2 backward over questions",
    "pgd": "+3 forward, +4 backward over questions",
    "freelb": "+2 forward, +3 backward over questions",
    "smart": "+2 forward, +2 backward over questions",
    "vat": "+2 forward, +2 backward over questions; both: over passages too",
    "consistency": "+1 forward, +1 backward over questions",
}


def tokens(rng: np.random.Generator, n: int, length: int, vocabulary: int) -> dict[str, torch.Tensor]:
    """A column of n texts, some shorter than others, as a reader would give it."""
    lengths = rng.integers(length // 2, length + 1, size=n)
    lengths[0] = length
    mask = torch.from_numpy((np.arange(length) < lengths[:, None]).astype(np.int64))
    ids = torch.from_numpy(rng.integers(1000, vocabulary, size=(n, length))) * mask
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": torch.zeros_like(ids)}


def batch(
    rng: np.random.Generator, layout: Layout, options: argparse.Namespace, vocabulary: int
) -> tuple[list[dict[str, torch.Tensor]], torch.Tensor]:
    n, g = options.batch, options.passages
    columns = [tokens(rng, n, 32, vocabulary), *(tokens(rng, n, 128, vocabulary) for _ in range(g))]
    slots = None
    if layout.n_woven:
        columns.append(tokens(rng, n * layout.n_woven * PER_PASSAGE, 32, vocabulary))
        slots = np.broadcast_to(np.arange(PER_PASSAGE), (layout.n_woven, n, PER_PASSAGE)).copy()
    columns += [tokens(rng, n * v, 32, vocabulary) for v in layout.variants]
    groups = torch.arange(n * g).reshape(g, n).T
    ids = torch.cat([groups, groups[:, :1]], dim=1)
    return columns, layout.pack(ids, np.zeros((n, 1 + g), dtype=np.int64), slots)


def measure(name: str, given: dict[str, Any], options: argparse.Namespace) -> dict[str, float]:
    """Ratios of wall and CPU seconds, medians over pairs of steps."""
    adversary: Any = open_adversary(name, given)
    encoder: Any = open_encoder(options.base)
    model = encoder.model.train()
    contrastive = ContrastiveLoss(model, scale=20.0, similarity="cosine")
    woven = 1 if getattr(adversary, "weaves", False) else 0
    variants = (adversary.n,) if hasattr(adversary, "variants") else ()
    weaver = Weaver(Weaving(generated="").open_at) if woven else None
    loss = AdversarialLoss(
        contrastive,
        Layout(options.passages, woven, PER_PASSAGE * woven, variants),
        [Entry(name, adversary, 1.0, 1)],  # begins at step 1: off at step 0
        weaver,
        languages=("en", "de"),
        generated=("ar", "de", "es", "zh"),
        dimension=encoder.signature.dimension,
    )
    rng = np.random.default_rng(0)
    vocabulary = int(model[0].auto_model.config.vocab_size)
    seconds: dict[tuple[int, str], list[float]] = {(on, k): [] for on in (0, 1) for k in ("wall", "cpu")}
    for pair in range(options.steps + 1):
        columns, labels = batch(rng, loss.layout, options, vocabulary)
        for on in (pair % 2, 1 - pair % 2):
            loss.step = on
            wall, cpu = time.perf_counter(), time.process_time()
            parts = loss([dict(column) for column in columns], labels)
            torch.stack(list(parts.values())).sum().backward()
            if pair:  # the first warms up
                seconds[on, "wall"].append(time.perf_counter() - wall)
                seconds[on, "cpu"].append(time.process_time() - cpu)
            model.zero_grad()
    return {
        kind: statistics.median(seconds[1, kind]) / statistics.median(seconds[0, kind])
        for kind in ("wall", "cpu")
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=3, help="times all is measured; the median counts")
    parser.add_argument("--steps", type=int, default=8, help="of each kind")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--passages", type=int, default=8, help="of a group")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--only", default="", help="arms, separated by commas")
    parser.add_argument("--base", default="minilm", help="encoder")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    only = [arm for arm in options.only.split(",") if arm] or list(ARMS)
    print(f"{'adversary':20} {'wall':>6} {'CPU':>6}  target  passes of the encoder")
    for arm in only:
        name, given = ARMS[arm]
        found = [measure(name, given, options) for _ in range(options.pairs)]
        wall, cpu = (statistics.median(ratio[kind] for ratio in found) for kind in ("wall", "cpu"))
        target = TARGETS.get(arm)
        passes = PASSES.get(name, "none")
        print(f"{arm:20} {wall:6.3f} {cpu:6.3f}  {target or '':6}  {passes}", flush=True)
    print(f"\ncommand    python {' '.join(sys.argv)}")
    print(
        f"machine    {cpu_name()}, {options.threads} threads, {platform.system()}, torch {torch.__version__}"
    )
    print(
        f"           batch {options.batch}, groups of {options.passages}, {options.steps} steps of each kind"
    )


if __name__ == "__main__":
    main()
