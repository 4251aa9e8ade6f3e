"""The contrastive loss of woven passages, and of what adversaries make of a batch.

    AdversarialLoss   the module a sentence-transformers trainer calls, composed of `ContrastiveLoss`, a
                      `Weaver` and adversaries
    FollowStep        tells it which step it is

Shapes as in `losses` and `augmented`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from sentence_transformers.base.losses.gradcache import CachedLossMixin
from sentence_transformers.base.losses.merged_forward import embed_columns
from sentence_transformers.util import get_rank
from torch import Tensor, nn
from transformers import TrainerCallback

from babelweave.errors import UsageError
from babelweave.train.adversaries.embeddings import WordEmbeddings, untouched
from babelweave.train.adversaries.spec import Entry
from babelweave.train.adversaries.surface import Generated, Surface
from babelweave.train.augmented import GENERATED, Labels, Layout
from babelweave.train.losses import ContrastiveLoss
from babelweave.train.weaving import Weaver

CONTRASTIVE = "contrastive"
"""What the clean part of the loss is called."""


class AdversarialLoss(CachedLossMixin, nn.Module):  # type: ignore[misc]
    """contrastive(q, woven p) + SUM_k weight_k adversary_k, each part by its name.

    The columns are those of `augmented.Layout`. Before an adversary begins it costs nothing and moves no bit.
    Gradients reach questions, passages and generated queries alike.

    Args:
        contrastive: the loss of vectors; its masks, scale, GradCache and gathering hold for every part.
        weaver: None trains on plain passages.
        languages: of the data, whose numbers labels carry.
        generated: the languages of generated queries, whose numbers slots carry.
        dimension: of vectors.
        seed: of what adversaries draw, together with step, micro-batch, process and place in the recipe.
    Attributes:
        step: the optimiser step at work, counted from 0; `FollowStep` sets it.
    """

    def __init__(
        self,
        contrastive: ContrastiveLoss,
        layout: Layout,
        entries: Sequence[Entry] = (),
        weaver: Weaver | None = None,
        *,
        languages: Sequence[str] = (),
        generated: Sequence[str] = (),
        dimension: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.model = contrastive.model
        self.contrastive, self.layout, self.entries, self.weaver = contrastive, layout, list(entries), weaver
        self.mini_batch_size = contrastive.mini_batch_size
        self.generated, self.seed = tuple(generated), seed
        self.learned = nn.ParameterDict(
            {
                entry.label: nn.Parameter(torch.zeros(learns(dimension, len(languages))))
                for entry in entries
                if (learns := getattr(entry.adversary, "learns", None)) is not None
            }
        )
        self.step = self.micro_batch = 0
        self._parts: dict[str, Tensor] = {}

    @property
    def uses_gradient_cache(self) -> bool:
        return self.mini_batch_size is not None

    def forward(self, features: Iterable[dict[str, Tensor]], labels: Tensor) -> dict[str, Tensor]:
        """Every part of the loss, which the trainer adds up and logs."""
        columns = self._needed([untouched(column) for column in features])
        self.micro_batch += 1
        if self.uses_gradient_cache:
            total = CachedLossMixin.forward_cached(self, columns, labels)
            others = {name: part for name, part in self._parts.items() if name != CONTRASTIVE}
            return {CONTRASTIVE: total - sum(others.values()), **others}
        group, rest = columns[: 1 + self.layout.n_passages], columns[1 + self.layout.n_passages :]
        encoding = [e for e in self._active() if getattr(e.adversary, "encodes", False)]
        with contextlib.ExitStack() as stack:
            words = stack.enter_context(WordEmbeddings(self.model)) if encoding else None
            if words is None:
                vectors = embed_columns(self.model, group)
            else:
                both = any(getattr(e.adversary, "side", "query") == "both" for e in encoding)
                vectors = words.encode("query", group[:1]) + words.encode("passage", group[1:], seen=both)
            vectors += [self.model(column)["sentence_embedding"] for column in rest]
            return self._losses(vectors, labels, words)

    def calculate_loss(
        self, reps: list[list[Tensor]], labels: Tensor | None = None, *, with_backward: bool = False
    ) -> Tensor:
        """The whole loss from the vectors of each column in mini-batches; see `ContrastiveLoss`."""
        assert labels is not None
        parts = self._losses([torch.cat(rep) for rep in reps], labels, None)
        loss = torch.stack(list(parts.values())).sum()
        # GradCache wants a gradient of every column; at alpha 0 that of generated queries is 0.
        loss = loss + 0.0 * sum(part.sum() for rep in reps for part in rep)
        if with_backward:
            loss.backward()  # type: ignore[no-untyped-call]
            loss = loss.detach()
        self._parts = {name: part.detach() for name, part in parts.items()}
        return loss

    def _active(self) -> list[Entry]:
        return [entry for entry in self.entries if self.step >= entry.start_step]

    def _needed(self, columns: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Without the variants of adversaries that have not begun."""
        begin = len(columns) - len(self.layout.variants)
        sources = [entry for entry in self.entries if asks_for_variants(entry.adversary)]
        began = [self.step >= entry.start_step for entry in sources]
        return columns[:begin] + [c for c, is_due in zip(columns[begin:], began, strict=True) if is_due]

    def _losses(
        self, vectors: Sequence[Tensor], labels: Tensor, words: WordEmbeddings | None
    ) -> dict[str, Tensor]:
        """From the vectors of each column to every part."""
        cut = self.layout.cut(labels)
        n = 1 + self.layout.n_passages
        questions, plain, rest = vectors[0], vectors[1:n], list(vectors[n:])
        generated = None if cut.slots is None else self._generated(rest.pop(0), cut)
        surface = Surface(
            self.contrastive,
            cut.ids,
            questions,
            plain,
            languages=cut.languages,
            generated=generated,
            encodings=words,
        )
        parts = {CONTRASTIVE: surface.contrast(questions, surface.passages)}
        self.contrastive.counts = False  # the batch was counted
        try:
            for entry in self._active():
                own = rest.pop(0) if asks_for_variants(entry.adversary) else None
                surface.generator = self._generator(entry)
                surface.variants = None if own is None else own.reshape(len(questions), -1, own.shape[1])
                surface.learned = self.learned.get(entry.label, None)
                parts[entry.label] = entry.weight * entry.adversary.loss(surface)
        finally:
            self.contrastive.counts = True
        return parts

    def _generated(self, vectors: Tensor, cut: Labels) -> Generated:
        """Generated queries (rows in the order of the slots filled) to (N, g, D), and how they are woven."""
        assert cut.slots is not None
        assert self.weaver is not None
        present, weaver, step = cut.slots.present, self.weaver, self.step
        placed = vectors.new_zeros(*present.shape, vectors.shape[1])
        placed[present] = vectors[: int(present.sum())]
        languages = [self.generated[number] for number in cut.slots.languages.tolist()]
        n_woven = self.layout.n_woven

        def weave(plain: Sequence[Tensor], generated: Tensor, counts: Tensor) -> list[Tensor]:
            woven = weaver.weave(torch.cat(list(plain[:n_woven])), generated, counts, languages, step)
            return [*woven.chunk(n_woven), *plain[n_woven:]]

        return Generated(placed, cut.slots, weave)

    def _generator(self, entry: Entry) -> torch.Generator:
        place = [self.seed, self.step, self.micro_batch, get_rank(), self.entries.index(entry)]
        state = np.random.SeedSequence(place).generate_state(1, np.uint64)
        return torch.Generator().manual_seed(int(state[0] >> 1))

    def get_config_dict(self) -> dict[str, Any]:
        """What decides the loss, for a model card."""
        adversaries = [
            {"weight": entry.weight, "start_step": entry.start_step, **entry.adversary.settings}
            for entry in self.entries
        ]
        return {**self.contrastive.get_config_dict(), "adversaries": adversaries}


def asks_for_variants(adversary: Any) -> bool:
    """Whether the batch has to hold variants of its questions for it."""
    return hasattr(adversary, "variants")


def check_together(
    entries: Sequence[Entry], *, weaves: bool, grad_cache: bool, generated: bool, learns_alpha: bool = False
) -> None:
    """Refuse adversaries that cannot do what they do beside the rest of a recipe.

    Args:
        weaves: passages are woven.
        generated: there are generated queries, woven or not.
    Raises:
        UsageError: every such adversary, and what to change.
    """
    faults = []
    for label, adversary, *_ in entries:
        if grad_cache and getattr(adversary, "encodes", False):
            faults.append(
                f"{label} has texts encoded again, which loss.grad_cache cannot do; leave grad_cache out, or "
                "take output_space, worst_mixture or consistency"
            )
        if grad_cache and hasattr(adversary, "learns"):
            faults.append(f"{label} learns a parameter of its own, which loss.grad_cache would not scale")
        if not weaves and getattr(adversary, "weaves", False):
            faults.append(f"{label} needs woven passages; add a [weaving] section with alpha above 0")
        if not generated and getattr(adversary, "variants", None) == GENERATED:
            faults.append(f"{label} takes generated queries as variants; add a [weaving] section")
    if grad_cache and learns_alpha:
        faults.append(
            "weaving.learn_alpha learns a parameter of its own, which loss.grad_cache would not scale"
        )
    if faults:
        raise UsageError("; ".join(faults))


class FollowStep(TrainerCallback):  # type: ignore[misc]
    """Tells a loss which optimiser step is at work, so that a resumed one draws what it would have drawn; a
    plain loss needs no telling."""

    def __init__(self, loss: ContrastiveLoss | AdversarialLoss) -> None:
        self._loss = loss

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if isinstance(self._loss, AdversarialLoss):
            self._loss.step, self._loss.micro_batch = state.global_step, 0
