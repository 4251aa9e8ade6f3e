"""Examples per second of `babelweave train` against sentence-transformers' trainer, and GradCache's memory.

    python benchmarks/train_speed.py [--pairs 3] [--steps 10] [--batch 32] [--threads N] [--precision float32]
    python benchmarks/train_speed.py --memory [--steps 1]

Same model (the packaged all-MiniLM-L6-v2), same questions and passages (MLQA dev, English), same batch size,
lengths, loss and optimiser, same process. One side is the recipe `kind = "retriever"` as a user runs it, with
its log, checkpoints' bookkeeping and samplers; the other a `SentenceTransformerTrainer` with
`MultipleNegativesRankingLoss` at its defaults. The two run in alternation, the first of a pair changing from
pair to pair, and the ratio is the median over pairs: other work on the machine then hits both alike. CPU
seconds stand beside wall seconds for the same reason. Seconds are from the end of the first step to that of
the last.

`--memory` trains in processes of their own: with the small batch, and with 1,024 under GradCache, which
embeds as many texts at a time as the small batch holds. What it prints is their peak resident set.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from sentence_transformers.sentence_transformer.trainer import SentenceTransformerTrainer
from sentence_transformers.sentence_transformer.training_args import SentenceTransformerTrainingArguments
from transformers import PrinterCallback, TrainerCallback

from babelweave.data.mlqa import read_subset
from babelweave.encode.packaged import minilm
from babelweave.recipe import Recipe, load_recipe
from encode_speed import DATA, cpu_name

TARGET_RATIO = 0.97
LARGE = 1024
RECIPE = """
kind = "retriever"
[model]
base = "{model}"
max_tokens_query = {tokens}
max_tokens_passage = {tokens}
[data]
root = "{root}"
[[data.sets]]
dataset = "mlqa"
source = "mlqa/MLQA_V1.zip"
split = "dev"
subset = "en-en"
[optimisation]
max_steps = {steps}
batch_size = {batch}
learning_rate = 2e-5
precision = "{precision}"
save_every = 1000000
[batches]
distinct = false
[loss]
mask_known = false
"""


class Clock:
    """Wall and CPU seconds between the end of the first step and that of the last."""

    def __init__(self) -> None:
        self.ticks: list[tuple[float, float]] = []

    def __call__(self, status: Any = None) -> None:
        self.ticks.append((time.perf_counter(), time.process_time()))

    def rates(self, batch: int) -> Rates:
        (wall, cpu), (end, cpu_end) = self.ticks[0], self.ticks[-1]
        n = (len(self.ticks) - 1) * batch
        return Rates(n / (end - wall), n / (cpu_end - cpu))


class Rates(NamedTuple):
    """Examples per second."""

    wall: float
    cpu: float


class Tick(TrainerCallback):  # type: ignore[misc]
    """The clock of a plain trainer."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.clock()


def write_recipe(folder: Path, options: argparse.Namespace) -> Recipe:
    path = folder / "recipe.toml"
    fields = {"model": minilm(), "root": DATA.resolve(), **vars(options)}
    path.write_text(RECIPE.format(**fields))
    grad_cache = [f"loss.grad_cache={options.grad_cache}"] if options.grad_cache else []
    return load_recipe(path, grad_cache)


def ours(folder: Path, options: argparse.Namespace) -> Rates:
    clock = Clock()
    write_recipe(folder, options).train(folder / "ours", overwrite=True, progress=clock)
    return clock.rates(options.batch)


def theirs(folder: Path, options: argparse.Namespace) -> Rates:
    clock = Clock()
    subset = read_subset(DATA / "mlqa" / "MLQA_V1.zip", "dev", "en-en")
    passages = {p.doc_id: p.content for p in subset.passages}
    positives = [passages[next(iter(subset.qrels[q.query_id]))] for q in subset.queries]
    data = Dataset.from_dict({"anchor": [q.text for q in subset.queries], "positive": positives})
    model = SentenceTransformer(str(minilm()), model_kwargs={"dtype": torch.float32})
    model.max_seq_length = options.tokens
    arguments = SentenceTransformerTrainingArguments(
        str(folder / "theirs"),
        max_steps=options.steps,
        per_device_train_batch_size=options.batch,
        learning_rate=2e-5,
        bf16=options.precision == "bfloat16",
        save_strategy="no",
        logging_steps=10,
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=torch.cuda.is_available(),
    )
    loss = MultipleNegativesRankingLoss(model)
    trainer = SentenceTransformerTrainer(model, arguments, data, loss=loss, callbacks=[Tick(clock)])
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return clock.rates(options.batch)


def compare(options: argparse.Namespace) -> None:
    sides: dict[str, Callable[[Path, argparse.Namespace], Rates]] = {
        "babelweave": ours,
        "sentence-transformers": theirs,
    }
    found: dict[str, list[Rates]] = {name: [] for name in sides}
    for pair in range(options.pairs):
        for name in sorted(sides, reverse=bool(pair % 2)):
            with tempfile.TemporaryDirectory() as folder:
                rates = sides[name](Path(folder), options)
            found[name].append(rates)
            print(
                f"pair {pair + 1}: {name:22} {rates.wall:7.2f} examples/s, {rates.cpu:7.2f} per CPU s",
                flush=True,
            )
    wall, cpu = (
        statistics.median(
            a[i] / b[i] for a, b in zip(found["babelweave"], found["sentence-transformers"], strict=True)
        )
        for i in range(2)
    )
    print(f"\nratio      {wall:.3f} of wall time, {cpu:.3f} of CPU time (median over pairs)")
    print(f"           target {TARGET_RATIO}")


def measure(options: argparse.Namespace) -> None:
    """The child: train, print the peak in MB before and after."""

    def peak() -> float:
        found = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return found / (2**20 if sys.platform == "darwin" else 2**10)

    with tempfile.TemporaryDirectory() as folder:
        recipe = write_recipe(Path(folder), options)
        before = peak()
        trained = recipe.train(Path(folder) / "out")
    print(json.dumps({"before": before, "peak": peak(), "steps": trained.n_steps}))


def memory(options: argparse.Namespace) -> None:
    peaks = []
    for batch, grad_cache in ((options.batch, None), (LARGE, options.batch)):
        command = [sys.executable, __file__, "--child", "--batch", batch, "--steps", options.steps]
        command += [
            "--tokens",
            options.tokens,
            "--precision",
            options.precision,
            "--threads",
            options.threads,
        ]
        command += ["--grad-cache", grad_cache] if grad_cache else []
        done = subprocess.run(list(map(str, command)), check=True, stdout=subprocess.PIPE)
        found = json.loads(done.stdout)
        peaks.append(found["peak"])
        how = f"GradCache of {grad_cache}" if grad_cache else "at once"
        print(f"batch {batch:5} {how:15} peak {found['peak']:.0f} MB ({found['before']:.0f} MB before)")
    print(f"\nratio      {peaks[1] / peaks[0]:.3f} of the small batch's peak")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=128, help="of a question and of a passage")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--precision", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--grad-cache", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.child:
        measure(options)
        return
    (memory if options.memory else compare)(options)
    print(f"command    python {' '.join(sys.argv)}")
    print(
        f"machine    {cpu_name()}, {options.threads} threads, {platform.system()}, torch {torch.__version__}"
    )
    settings = f"batch {options.batch}, {options.tokens} tokens, {options.precision}, {options.steps} steps"
    print(f"           {settings}")


if __name__ == "__main__":
    main()
