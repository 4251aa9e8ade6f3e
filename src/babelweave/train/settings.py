"""The sections of a recipe that every kind of training shares.

Names are those of the transformers trainer where it has one, defaults are its own unless a source is named.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from babelweave.recipe import Strict

Precision = Literal["auto", "float32", "bfloat16", "float16"]
Scheduler = Literal["linear", "cosine", "constant", "constant_with_warmup"]
Attention = Literal["auto", "eager", "sdpa"]


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"not a regular expression ({error})") from None
    return text


Pattern = Annotated[str, AfterValidator(_pattern)]


class Checked(Strict):
    """A section whose fields may contradict each other; every contradiction is told at once.

    A field counts as set (`model_fields_set`) where its value differs from the default: a resolved recipe
    writes every default out, and has to read back.
    """

    @model_validator(mode="after")
    def _no_contradiction(self) -> Self:
        for name, field in type(self).model_fields.items():
            if getattr(self, name) == field.get_default(call_default_factory=True, validated_data={}):
                self.model_fields_set.discard(name)
        if found := list(self._contradictions()):
            raise ValueError("; ".join(found))
        return self

    def _contradictions(self) -> Iterator[str]:
        return iter(())


class Optimisation(Checked):
    """How the weights move, and when the run logs, evaluates and saves."""

    epochs: PositiveFloat | None = None
    """Passes over the data. This or `max_steps`."""
    max_steps: NonNegativeInt | None = None
    """Optimiser steps; 0 saves the model as it begins."""
    batch_size: PositiveInt
    """Examples that see each other as negatives: of one forward pass, over all processes together."""
    gradient_accumulation: PositiveInt = 1
    """Batches whose gradients one optimiser step adds up."""
    optimizer: Literal["adamw_torch_fused", "adamw_torch", "adafactor"] = "adamw_torch_fused"
    """Of the transformers trainer."""
    learning_rate: NonNegativeFloat
    """The highest, after warmup."""
    learning_rates: dict[Pattern, NonNegativeFloat] = Field(default_factory=dict)
    """Regular expression found in a parameter's name -> its own learning rate; retrievers only."""
    scheduler: Scheduler = "linear"
    """The rate after warmup: falling to 0 in a line or as a cosine, or constant."""
    warmup_steps: NonNegativeInt | None = None
    """Steps over which the rate rises from 0. This or `warmup_ratio`."""
    warmup_ratio: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Warmup as a part of all steps. This or `warmup_steps`; neither is no warmup."""
    weight_decay: NonNegativeFloat = 0.0
    """Decoupled (AdamW); not of biases and norms."""
    adam_beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Decay of the mean of gradients."""
    adam_beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """Decay of the mean of their squares."""
    adam_epsilon: PositiveFloat = 1e-8
    """Added to the root of that."""
    max_grad_norm: NonNegativeFloat = 1.0
    """Gradients are scaled down to this norm; 0 leaves them."""
    precision: Precision = "auto"
    """Of the forward pass, under autocast over float32 weights; auto takes bfloat16 where it is
    faster, else float32."""
    gradient_checkpointing: bool = False
    """Compute activations again in the backward pass: less memory, about a third more time."""
    attention: Attention = "auto"
    """How attention is computed in training. torch's fused kernel (sdpa) saves memory, but on a CPU its
    backward pass takes half of a step of MiniLM at 32 tokens. auto takes plain products (eager) on a CPU,
    where memory grows with batch * heads * tokens squared, and the network's own way elsewhere."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Of everything drawn: batches, groups, dropout, new weights."""
    log_every: PositiveInt = 10
    """Steps between two lines of the log."""
    save_every: PositiveInt = 500
    """Steps between two checkpoints; a killed run loses at most so many."""
    keep: PositiveInt = 1
    """Newest checkpoints kept, beside the best."""
    eval_every: PositiveInt | None = None
    """Steps between two evaluations on dev data; the last step is evaluated too, and the best is kept."""
    patience: PositiveInt | None = None
    """Evaluations without a better one before the run stops; None goes on to the end."""
    report_to: tuple[str, ...] = ()
    """Trackers of the transformers trainer: tensorboard, wandb, mlflow, ..."""
    workers: NonNegativeInt = 0
    """Processes that tokenise ahead; 0 tokenises between the steps."""

    def _contradictions(self) -> Iterator[str]:
        if (self.epochs is None) == (self.max_steps is None):
            yield f"give epochs or max_steps, {'one of them' if self.epochs is None else 'not both'}"
        if self.warmup_steps is not None and self.warmup_ratio is not None:
            yield "give warmup_steps or warmup_ratio, not both"
        if self.scheduler == "constant" and (self.warmup_steps or self.warmup_ratio):
            yield 'scheduler "constant" has no warmup; take "constant_with_warmup"'
        if self.scheduler == "constant_with_warmup" and not (self.warmup_steps or self.warmup_ratio):
            yield 'scheduler "constant_with_warmup" needs warmup_steps or warmup_ratio'
        if self.patience is not None and self.eval_every is None:
            yield "patience counts evaluations; set eval_every"
        if self.max_steps and self.warmup_steps is not None and self.warmup_steps > self.max_steps:
            yield f"{self.warmup_steps} warmup_steps are more than {self.max_steps} max_steps"
        if self.optimizer == "adafactor":
            for name in sorted(self.model_fields_set & {"adam_beta1", "adam_beta2", "adam_epsilon"}):
                yield f"{name} has no effect on adafactor"

    def n_steps(self, n_batches: int) -> int:
        """Optimiser steps of a run whose epoch has `n_batches` batches; as the trainer counts them."""
        if self.max_steps is not None:
            return self.max_steps
        assert self.epochs is not None
        return math.ceil(self.epochs * max(math.ceil(n_batches / self.gradient_accumulation), 1))


class Batches(Checked):
    """Which examples stand in a batch together, and so are each other's negatives."""

    languages: Literal["mixed", "single", "hybrid"] = "mixed"
    """Every batch of many languages, every batch of one, or some of each."""
    single_probability: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Of a hybrid batch to hold one language (Elmahdy et al., hybrid batch sampling: 0.5; 0.4 to 0.6 are
    as good)."""
    language_exponent: Annotated[float, Field(ge=0, le=1)] = 1.0
    """A language of n examples is drawn in proportion to n ** this: 1 as the data is, 0 all alike."""
    exponent: Annotated[float, Field(ge=0, le=1)] = 1.0
    """The same for data sets."""
    weights: dict[str, NonNegativeFloat] = Field(default_factory=dict)
    """Data set -> its part of the batches, instead of `exponent`; 0 leaves it out."""
    distinct: bool = True
    """No text stands twice in a batch, where it would be its own negative."""
    group_by_length: bool = False
    """Examples of like length together: less padding, and negatives of like length."""

    def _contradictions(self) -> Iterator[str]:
        if self.languages != "hybrid" and "single_probability" in self.model_fields_set:
            yield f'single_probability has no effect on languages = "{self.languages}"'
        if self.weights and "exponent" in self.model_fields_set:
            yield "give weights or exponent, not both"
        if self.weights and not any(self.weights.values()):
            yield "all weights are 0: nothing to train on"


class Lora(Strict):
    """Low-rank adapters (Hu et al. 2021, arXiv 2106.09685) instead of all weights; merged when saved."""

    r: PositiveInt = 8
    """Rank of the adapters; peft's default."""
    alpha: PositiveFloat = 16.0
    """The adapters' output is scaled by alpha / r."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Before the adapters."""
    target_modules: Literal["all-linear"] | tuple[str, ...] = "all-linear"
    """Last parts of module names, or all linear layers."""
    trained: tuple[str, ...] = ()
    """Last parts of names of modules trained in full beside the adapters, for instance word_embeddings."""
