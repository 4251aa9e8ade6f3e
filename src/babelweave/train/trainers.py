"""The trainers of the field, and what they leave open.

A checkpoint is the state dict of the model as it stands in memory, adapters, new vocabularies and the loss's
own parameters included, and never weights that are not finite. It is written by `save_model` of safetensors,
so that resuming needs no class path, no hub and no pickled arguments.
"""

from __future__ import annotations

import contextlib
import logging
import math
import random
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from accelerate.utils import broadcast_object_list
from safetensors.torch import load_file, load_model, save_file, save_model
from sentence_transformers.sentence_transformer.trainer import SentenceTransformerTrainer
from sentence_transformers.sentence_transformer.training_args import SentenceTransformerTrainingArguments
from transformers import Seq2SeqTrainer
from transformers.integrations import get_available_reporting_integrations

from babelweave.errors import BabelweaveError, UsageError, nearest
from babelweave.train.batches import TextCollator
from babelweave.train.folder import TrainingFolder, is_first_process, n_processes, standing, whole_or_none
from babelweave.train.settings import Optimisation, Precision
from babelweave.weights import has_bfloat16

logger = logging.getLogger(__name__)

WEIGHTS = "model.safetensors"
LOSS_WEIGHTS = "loss.safetensors"


class Dev(NamedTuple):
    """How a model is judged while it trains."""

    score: Callable[[Any], Mapping[str, float]]
    """The trainer's model, in evaluation mode and without gradients, to figures. Called by the first
    process only; what it draws at random does not move the training."""
    measure: str
    """The figure that chooses the best; larger is better."""


class Losses:
    """Sums of the loss and its parts since the last line of the log, over micro-batches."""

    def __init__(self) -> None:
        self.n_steps = 0
        self.sums: dict[str, float] = {}

    def add(self, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + value

    def means(self) -> dict[str, float]:
        """Mean per step, over all processes; every process has to call it."""
        mine = {name: total / max(self.n_steps, 1) for name, total in self.sums.items()}
        if n_processes() == 1:
            return mine
        everyone: list[Any] = [None] * n_processes()
        torch.distributed.all_gather_object(everyone, mine)
        names = dict.fromkeys(name for one in everyone for name in one)
        return {name: math.fsum(one.get(name, 0.0) for one in everyone) / len(everyone) for name in names}


class Resumable:
    """What is added to a transformers `Trainer`; put before it among the bases.

    Attributes:
        dev: judges the model where the trainer evaluates; `run_trainer` sets it.
        losses: since the last line of the log.
    """

    dev: Dev | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.losses = Losses()
        super().__init__(*args, **kwargs)

    def training_step(self: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Forward and backward of one micro-batch.

        Raises:
            BabelweaveError: the loss is not finite; the optimiser has not seen it.
        """
        loss: torch.Tensor = super().training_step(*args, **kwargs)  # type: ignore[misc]
        value = loss.item()
        if not math.isfinite(value):
            raise BabelweaveError(
                f"step {self.state.global_step + 1}: the loss is {value}; lower learning_rate or "
                'max_grad_norm, warm up longer, or set precision = "float32" '
                f"({standing(Path(self.args.output_dir))})"
            )
        self.losses.add({"loss": value})
        return loss

    def evaluate(self: Any, *args: Any, **kwargs: Any) -> dict[str, float]:
        """The figures of `dev`, under the names `eval_*`."""
        if self.dev is None:
            found: dict[str, float] = super().evaluate(*args, **kwargs)  # type: ignore[misc]
            return found
        values: list[Any] = [None]
        if is_first_process():
            self.model.eval()
            with unmoved_randomness(), torch.no_grad():
                values = [{name: float(value) for name, value in self.dev.score(self.model).items()}]
        figures = broadcast_object_list(values)[0]
        if self.dev.measure not in figures:
            raise UsageError(f"no dev figure {self.dev.measure!r}; {nearest(self.dev.measure, figures)}")
        metrics = {f"eval_{name}": value for name, value in figures.items()}
        self.log(dict(metrics))  # it adds the epoch to what it is given
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def load_weights(self: Any, checkpoint: Path) -> None:
        """Give model and loss the weights of a checkpoint."""
        load_model(self.model, checkpoint / WEIGHTS)
        kept = load_file(checkpoint / LOSS_WEIGHTS) if (checkpoint / LOSS_WEIGHTS).is_file() else {}
        with torch.no_grad():
            for name, parameter in self.loss_parameters().items():
                parameter.copy_(kept[name])

    def _load_from_checkpoint(self: Any, resume_from_checkpoint: str, model: Any = None) -> None:
        self.load_weights(Path(resume_from_checkpoint))

    def _save(self: Any, output_dir: str | None = None, state_dict: Any = None) -> None:
        folder = Path(output_dir or self.args.output_dir)
        for name, parameter in self.model.named_parameters():
            if not torch.isfinite(parameter).all():
                raise BabelweaveError(
                    f"step {self.state.global_step}: {name} is no longer finite; lower learning_rate, "
                    f'or set precision = "float32" ({standing(Path(self.args.output_dir))})'
                )
        folder.mkdir(parents=True, exist_ok=True)
        save_model(self.model, str(folder / WEIGHTS))
        if own := self.loss_parameters():
            save_file({name: p.detach().contiguous() for name, p in own.items()}, folder / LOSS_WEIGHTS)

    def loss_parameters(self: Any) -> dict[str, torch.nn.Parameter]:
        """What a loss learns beside the model: a temperature, a projection."""
        models = {id(parameter) for parameter in self.model.parameters()}
        return {
            name: parameter
            for name, parameter in self._named_parameters()
            if parameter.requires_grad and id(parameter) not in models
        }

    def _named_parameters(self: Any) -> Iterator[tuple[str, torch.nn.Parameter]]:
        """Of the loss, which holds the model; of each, where every data set has its own."""
        loss = getattr(self, "loss", None)
        for key, module in (loss if isinstance(loss, dict) else {"loss": loss}).items():
            if isinstance(module, torch.nn.Module):
                yield from module.named_parameters(prefix=key)

    def _save_checkpoint(self: Any, model: Any, trial: Any) -> None:
        path = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
        with whole_or_none(path):
            super()._save_checkpoint(model, trial)  # type: ignore[misc]


class EncoderTrainer(Resumable, SentenceTransformerTrainer):  # type: ignore[misc]
    """sentence-transformers' trainer: losses over columns of texts; metadata columns are not tokenised."""

    data_collator_class = TextCollator

    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        """None: the library's card quotes training rows, and ours is written when the model is saved."""

    def get_optimizer_cls_and_kwargs(self, args: Any, model: Any = None) -> tuple[Any, Any]:
        names = [name for name, _ in self._named_parameters()]
        for pattern in args.learning_rate_mapping:
            if not any(re.search(pattern, name) for name in names):
                raise UsageError(
                    f"optimisation.learning_rates: no parameter's name matches {pattern!r}; "
                    f"{nearest(pattern, {name.split('.')[-2] for name in names if '.' in name})}"
                )
        for name in self.loss_parameters():
            if not any(re.search(pattern, name) for pattern in args.learning_rate_mapping):
                short = name.split(".")[-1]
                logger.warning(
                    f"{short} learns at the encoder's rate of {args.learning_rate:g} and will hardly move; "
                    f"give it its own, optimisation.learning_rates.{short} = 1e-2 for instance"
                )
        found: tuple[Any, Any] = super().get_optimizer_cls_and_kwargs(args, model)
        return found

    def track_loss_components(self, loss: dict[str, torch.Tensor]) -> None:
        super().track_loss_components(loss)
        if self.model.training:
            part = 1 / self.current_gradient_accumulation_steps
            self.losses.add({f"parts.{name}": value.item() * part for name, value in loss.items()})


class SequenceTrainer(Resumable, Seq2SeqTrainer):  # type: ignore[misc]
    """transformers' trainer of encoder-decoder models."""


def arguments(
    optimisation: Optimisation,
    folder: TrainingFolder,
    cls: type = SentenceTransformerTrainingArguments,
    **more: Any,
) -> Any:
    """Training arguments of a recipe.

    Args:
        cls: of sentence-transformers, or `Seq2SeqTrainingArguments`.
        more: what else `cls` takes: prompts, batch_sampler, ...
    Raises:
        UsageError: a batch that the processes cannot share, or settings this machine or trainer lacks.
    """
    o, n = optimisation, n_processes()
    if o.batch_size % n:
        raise UsageError(f"optimisation.batch_size {o.batch_size} cannot be shared by {n} processes alike")
    for tracker in o.report_to:
        if tracker not in (installed := get_available_reporting_integrations()):
            raise UsageError(
                f"optimisation.report_to: no {tracker!r} installed; {nearest(tracker, installed)}"
            )
    if o.learning_rates:
        if not issubclass(cls, SentenceTransformerTrainingArguments):
            raise UsageError("optimisation.learning_rates: only retrievers have rates by parameter name")
        more["learning_rate_mapping"] = dict(o.learning_rates)
    if n > 1:
        more["dataloader_drop_last"] = True
    device = torch.accelerator.current_accelerator() or torch.device("cpu")
    return cls(
        output_dir=str(folder.checkpoints),
        num_train_epochs=o.epochs or 1.0,
        max_steps=o.max_steps or -1,
        per_device_train_batch_size=o.batch_size // n,
        gradient_accumulation_steps=o.gradient_accumulation,
        optim=o.optimizer,
        learning_rate=o.learning_rate,
        lr_scheduler_type=o.scheduler,
        warmup_steps=o.warmup_ratio or o.warmup_steps or 0,
        weight_decay=o.weight_decay,
        adam_beta1=o.adam_beta1,
        adam_beta2=o.adam_beta2,
        adam_epsilon=o.adam_epsilon,
        max_grad_norm=o.max_grad_norm,
        seed=o.seed,
        logging_steps=o.log_every,
        logging_nan_inf_filter=False,  # a loss that is not finite ends the run
        save_strategy="steps",
        save_steps=o.save_every,
        eval_strategy="no",  # `Dev` instead
        report_to=list(o.report_to) or "none",
        dataloader_num_workers=o.workers,
        dataloader_pin_memory=device.type == "cuda",
        disable_tqdm=True,
        use_cpu=device.type == "cpu",
        **_mixed_precision(o.precision, device),
        **more,
    )


def _mixed_precision(precision: Precision, device: torch.device) -> dict[str, bool]:
    """The trainer's flags of a precision on a device.

    Raises:
        UsageError: float16 on a CPU, which the trainer would run in another precision.
    """
    if precision == "float16" and device.type == "cpu":
        raise UsageError('optimisation.precision "float16" needs a GPU; "bfloat16" and "float32" run here')
    if precision == "auto" and has_bfloat16(device):
        precision = "bfloat16"
    return {"bf16": precision == "bfloat16", "fp16": precision == "float16"}


@contextlib.contextmanager
def unmoved_randomness() -> Iterator[None]:
    """Give python, numpy and torch back the random states they had."""
    python, with_numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        with torch.random.fork_rng(range(torch.cuda.device_count())):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(with_numpy)  # noqa: NPY002
