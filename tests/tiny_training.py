"""A kind of training small enough for tests: a random BERT learns which words belong together.

Run as a script, it is the command line with this kind registered; `spawn` runs that in another process.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from babelweave import registry
from babelweave.cli.main import main
from babelweave.recipe import Progress, Recipe, Strict, Trained, TrainingPlan
from babelweave.train.settings import Batches, Lora, Optimisation

ENTRY = registry.Entry("tiny_training:TinyRecipe", "pairs of words")
PAIRS = [(f"{word} {number}", word) for number, word in enumerate("abcdefghijklmnopqrstuvwxyz" * 3)]


class Trouble(Strict):
    """What a test wants to go wrong."""

    nan_at: int | None = None
    """Step whose loss is not a number."""
    inf_at: int | None = None
    """Step after which a weight is infinite."""
    pause: float = 0.0
    """Seconds of a step."""


class TinyRecipe(Recipe):
    kind: Literal["tiny"]
    model: str
    dropout: float = 0.1
    optimisation: Optimisation
    batches: Batches = Field(default_factory=lambda: Batches(distinct=False))
    lora: Lora | None = None
    trouble: Trouble = Field(default_factory=Trouble)

    def plan(self) -> TrainingPlan:
        from babelweave.train.batches import count_batches

        counts = count_batches(self.batches, self.data(), self.optimisation.batch_size, 0)
        steps = self.optimisation.n_steps(counts["batches"])
        return TrainingPlan(counts["examples"], steps, steps * self.optimisation.batch_size * 6)

    def data(self) -> Any:
        from datasets import Dataset

        anchors, positives = zip(*PAIRS, strict=True)
        languages = [("en", "de", "zh")[i % 3] for i in range(len(PAIRS))]
        return Dataset.from_dict({"anchor": anchors, "positive": positives, "lang": languages})

    def train(self, folder: Path, *, overwrite: bool = False, progress: Progress | None = None) -> Trained:
        from torch.nn import Dropout

        from babelweave.train.batches import batch_arguments
        from babelweave.train.folder import TrainingFolder
        from babelweave.train.lora import add_lora, merge_lora
        from babelweave.train.run import run_trainer, seeded
        from babelweave.train.trainers import Dev, EncoderTrainer, arguments

        place = TrainingFolder(folder, self, {"train": "words"}, overwrite=overwrite)
        data = self.data()
        with seeded(self.optimisation.seed):
            model = open_model(self.model)
            for module in model.modules():
                if isinstance(module, Dropout):
                    module.p = self.dropout
            if self.lora is not None:
                model[0].model = add_lora(model[0].model, self.lora)
            made = arguments(self.optimisation, place, **batch_arguments(self.batches, data))
            loss = TinyLoss(model, self.trouble)
            trainer = EncoderTrainer(model, made, train_dataset=data, loss=loss)
            dev = None
            if self.optimisation.eval_every is not None:
                dev = Dev(drawn_score, "score")
            outcome = run_trainer(trainer, place, self.optimisation, dev=dev, progress=progress)
        model[0].model = merge_lora(model[0].model)
        return place.finish(lambda f: save(model, f), outcome, {"examples": len(data)})


def open_model(folder: str) -> Any:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(folder, device="cpu")


def save(model: Any, folder: Path) -> None:
    model.save_pretrained(str(folder), create_model_card=False)


def drawn_score(model: Any) -> Mapping[str, float]:
    """A figure that depends on the weights, and draws at random as an evaluation may."""
    import torch

    torch.rand(3)
    return {"score": float(model.encode(["a 1"], show_progress_bar=False)[0, 0]), "other": 0.0}


def TinyLoss(model: Any, trouble: Trouble) -> Any:  # noqa: N802  a class made where torch may be imported
    import torch
    from torch import nn
    from torch.nn import functional as F

    class Symmetric(nn.Module):
        """Both directions of a contrastive loss, with a temperature that is learned."""

        def __init__(self) -> None:
            super().__init__()
            self.model, self.scale, self.n_calls = model, nn.Parameter(torch.tensor(5.0)), 0

        def forward(self, features: Sequence[dict[str, Any]], labels: Any = None) -> dict[str, Any]:
            time.sleep(trouble.pause)
            self.n_calls += 1
            a, b = (F.normalize(self.model(dict(f))["sentence_embedding"]) for f in features)
            scores = self.scale * a @ gathered(b).T
            if self.n_calls == trouble.nan_at:
                scores = scores * torch.nan
            if self.n_calls == trouble.inf_at:
                with torch.no_grad():
                    next(iter(model[0].model.parameters()))[0, 0] = torch.inf
                scores = scores.nan_to_num() * 0
            first = int(os.environ.get("RANK", 0)) * len(a)
            targets = torch.arange(first, first + len(a))
            return {"forward": F.cross_entropy(scores, targets), "penalty": 1e-3 * self.scale**2}

    return Symmetric()


def gathered(rows: Any) -> Any:
    """Rows of all processes, with gradients."""
    import torch.distributed as dist
    from sentence_transformers.util import all_gather_with_grad

    return all_gather_with_grad(rows) if dist.is_initialized() else rows


def run_cli(arguments: Sequence[str], environment: Mapping[str, str], output: str) -> None:
    """The command line in this process, its output in a file."""
    import torch

    torch.set_num_threads(1)
    os.environ.update(environment)
    registry.TABLE["training"]["tiny"] = ENTRY
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
    sys.argv = ["babelweave", *arguments]
    main()


_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["babelweave.train.run", "babelweave.train.lora"])


def spawn(
    *arguments: object, environment: Mapping[str, str] | None = None, output: Path
) -> multiprocessing.process.BaseProcess:
    """Start the command line in a process of its own; libraries are imported once for all of them."""
    process = _PROCESSES.Process(
        target=run_cli, args=(list(map(str, arguments)), dict(environment or {}), str(output))
    )
    process.start()
    return process


if __name__ == "__main__":
    registry.TABLE["training"]["tiny"] = ENTRY
    main()
