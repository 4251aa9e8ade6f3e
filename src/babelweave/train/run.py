"""Run a trainer of the field so that it can be killed, watched and trusted.

A kind of training claims a `TrainingFolder`, makes a trainer of `train.trainers` under `seeded`, has it run
by `run_trainer`, and lets the folder `finish` with a function that saves the model.
"""

from __future__ import annotations

import contextlib
import logging
import math
import signal
import threading
from collections.abc import Iterator
from typing import Any

import torch.distributed as dist
from accelerate.utils import broadcast_object_list
from transformers import PreTrainedModel, PrinterCallback, TrainerCallback, set_seed

from babelweave.errors import UsageError
from babelweave.recipe import Progress, Status
from babelweave.train.folder import (
    Checkpoint,
    Outcome,
    TrainingFolder,
    barrier,
    is_first_process,
    n_processes,
)
from babelweave.train.log import TrainingLog
from babelweave.train.settings import Attention, Optimisation
from babelweave.train.trainers import Dev, Losses, unmoved_randomness

logger = logging.getLogger(__name__)


def run_trainer(
    trainer: Any,
    folder: TrainingFolder,
    optimisation: Optimisation,
    *,
    dev: Dev | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Train to the end, from the last complete checkpoint where there is one.

    Uninterrupted or killed and called again, the losses and the weights are the same to the last bit, on the
    same machine with the same number of threads. A first SIGINT or SIGTERM ends the run after the step at
    work, with a checkpoint; a second one at once.

    Args:
        trainer: an `EncoderTrainer` or `SequenceTrainer` whose arguments came from `arguments`.
        dev: scored every `eval_every` steps and at the end; its best weights are what is left in the model.
        progress: told of every step.
    Raises:
        KeyboardInterrupt: a signal ended it.
        BabelweaveError: a loss that is not finite; the last checkpoint stands.
        StorageError: the disk is full; the last checkpoint stands.
        DataError: a checkpoint that has lost files.
        UsageError: evaluations are asked for without dev data, or the other way round.
    """
    if (dev is None) != (optimisation.eval_every is None):
        raise UsageError("optimisation.eval_every and dev data belong together; give both or neither")
    last = _last_checkpoint(folder)
    conductor = _Conductor(trainer, folder, optimisation, dev, progress, last)
    if optimisation.max_steps == 0:
        return conductor.outcome()
    if last is not None and last.notes["finished"]:
        logger.info("%s: trained to the end before; saving", folder.path)
    else:
        trainer.dev = dev
        trainer.add_callback(conductor)
        trainer.remove_callback(PrinterCallback)
        if optimisation.gradient_checkpointing:
            _recompute_activations(trainer.model)
        _attend(trainer.model, optimisation.attention, trainer.args.device.type)
        with _ending_gently(conductor):
            trainer.train(resume_from_checkpoint=None if last is None else str(last.path))
        if conductor.interrupted:
            raise KeyboardInterrupt
        last = _last_checkpoint(folder)
    outcome = conductor.outcome()
    weights = outcome.n_steps if outcome.best_step is None else outcome.best_step
    trainer.load_weights(folder.checkpoint(weights))
    trainer.model.eval()
    return outcome


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed python, numpy and torch, and give back their states on the way out."""
    with unmoved_randomness():
        set_seed(seed)
        yield


class _Conductor(TrainerCallback):  # type: ignore[misc]
    """What happens between the steps: log, dev figures, checkpoints, and the end."""

    def __init__(
        self,
        trainer: Any,
        folder: TrainingFolder,
        optimisation: Optimisation,
        dev: Dev | None,
        progress: Progress | None,
        last: Checkpoint | None,
    ) -> None:
        self.trainer, self.folder, self.optimisation = trainer, folder, optimisation
        self.dev, self.progress = dev, progress
        self.interrupted = False
        self.finished = False
        self.step = 0 if last is None else last.step
        notes = {"best": None, "stale": 0, "losses": {}, "n_steps": 0} if last is None else last.notes
        self.best: tuple[int, float] | None = None if notes["best"] is None else tuple(notes["best"])
        self.stale: int = notes["stale"]
        trainer.losses.add(notes["losses"])
        trainer.losses.n_steps = notes["n_steps"]
        self.log: TrainingLog | None = None
        if is_first_process():
            folder.keep(optimisation.keep, None if self.best is None else self.best[0])
            n_examples = optimisation.batch_size * optimisation.gradient_accumulation
            self.log = TrainingLog(folder.log, self.step, n_examples)

    def outcome(self) -> Outcome:
        return Outcome(self.step, *(self.best or (None, None)))

    def on_epoch_begin(
        self, args: Any, state: Any, control: Any, train_dataloader: Any = None, **kwargs: Any
    ) -> None:
        """Tell every sampler the epoch: among several processes, a loader that skips batches hides them."""
        pending = [train_dataloader]
        while pending:
            part = pending.pop()
            if hasattr(part, "set_epoch"):
                part.set_epoch(int(state.epoch or 0))
            inner = (getattr(part, name, None) for name in ("batch_sampler", "sampler"))
            pending += [found for found in inner if found is not None]

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Average over the processes what a loss learns beside the model, which DDP does not see."""
        if n_processes() > 1:
            for parameter in self.trainer.loss_parameters().values():
                if parameter.grad is not None:
                    dist.all_reduce(parameter.grad)
                    parameter.grad /= n_processes()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.step = state.global_step
        losses = self.trainer.losses
        losses.n_steps += 1
        at_end = self.step >= state.max_steps
        every = self.optimisation.eval_every
        if every is not None and (self.step % every == 0 or at_end):
            control.should_evaluate = True
        self.finished = at_end
        if self.interrupted:
            control.should_save = control.should_training_stop = True
        if self.progress is not None and self.log is not None:
            rate, pace = self.log.pace(self.step)
            mean = losses.sums.get("loss", math.nan) / losses.n_steps
            self.progress(
                Status(self.step, state.max_steps, mean, rate, pace * (state.max_steps - self.step))
            )

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if "loss" not in logs:  # dev figures, or the library's summary
            return
        means = self.trainer.losses.means()
        self.trainer.losses = Losses()
        if self.log is not None:
            parts = {n.removeprefix("parts."): v for n, v in means.items() if n.startswith("parts.")}
            given = {key: logs[key] for key in ("learning_rate", "grad_norm") if key in logs}
            values = {
                "epoch": state.epoch,
                "loss": means["loss"],
                **({"parts": parts} if parts else {}),
                **given,
            }
            self.log.losses(self.step, values)

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **kwargs: Any) -> None:
        assert self.dev is not None
        figures = {name.removeprefix("eval_"): value for name, value in metrics.items()}
        value = figures[self.dev.measure]
        is_best = value > (-math.inf if self.best is None else self.best[1])
        if is_best:
            self.best, self.stale = (self.step, value), 0
            control.should_save = True
        else:
            self.stale += 1
        if self.optimisation.patience is not None and self.stale >= self.optimisation.patience:
            self.finished = control.should_training_stop = control.should_save = True
        if self.log is not None:
            self.log.evaluation(self.step, state.epoch, figures, best=is_best)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        means = self.trainer.losses.means()
        barrier()  # every process has written its random state
        if self.log is None:
            return
        n_steps = self.trainer.losses.n_steps
        notes = {
            "best": self.best,
            "stale": self.stale,
            "losses": {name: mean * n_steps for name, mean in means.items()},
            "n_steps": n_steps,
            "finished": self.finished,
        }
        self.folder.mark(self.step, notes)
        self.folder.keep(self.optimisation.keep, None if self.best is None else self.best[0])


def _last_checkpoint(folder: TrainingFolder) -> Checkpoint | None:
    """The newest complete one, the same for every process."""
    found: list[Any] = [None]
    if is_first_process() and (complete := folder.complete()):
        folder.verify(complete[-1])
        found = [complete[-1]]
    last: Checkpoint | None = broadcast_object_list(found)[0]
    return last


def _networks(model: Any) -> list[Any]:
    """The networks of transformers a model holds, without those inside another."""
    outer: list[Any] = []
    for network in model.modules():
        if isinstance(network, PreTrainedModel) and not any(network in set(o.modules()) for o in outer):
            outer.append(network)
    return outer


def _recompute_activations(model: Any) -> None:
    """Turn on gradient checkpointing, under either name transformers gives it."""
    for network in _networks(model):
        enable = getattr(network, "activation_checkpointing_enable", network.gradient_checkpointing_enable)
        enable()


def _attend(model: Any, attention: Attention, device: str) -> None:
    """Set how attention is computed; see `Optimisation.attention`."""
    wanted = attention if attention != "auto" else "eager" if device == "cpu" else None
    for network in _networks(model):
        if wanted is not None and network.config._attn_implementation != wanted:
            network.set_attn_implementation(wanted)


@contextlib.contextmanager
def _ending_gently(conductor: _Conductor) -> Iterator[None]:
    """Let a first SIGINT or SIGTERM end the run after the step at work; a second one acts at once.

    Under torchrun the signals stay as they are: processes would end at different steps.
    """
    if threading.current_thread() is not threading.main_thread() or n_processes() > 1:
        yield
        return

    def end(number: int, frame: Any) -> None:
        if conductor.interrupted:
            raise KeyboardInterrupt
        conductor.interrupted = True
        logger.warning("interrupted: the step at work ends with a checkpoint; once more stops at once")

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
