"""The contrastive loss of bi-encoders: InfoNCE over the passages of a batch, false negatives left out.

    info_nce            the arithmetic: vectors and a mask to one loss per question
    answered            ids to which passages answer which questions
    ContrastiveLoss     the module a sentence-transformers trainer calls; GradCache and several processes

Shapes: B questions of this process, W questions of all processes, G passages of a group (1 positive and its
negatives), C = W G candidates, K known positives of a question, D dimensions.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from sentence_transformers.base.losses.gradcache import CachedLossMixin
from sentence_transformers.base.losses.merged_forward import embed_columns
from sentence_transformers.util import all_gather, all_gather_with_grad, get_rank
from torch import Tensor, nn

from babelweave.weave.fusers.arrays import full_precision

Similarity = Literal["dot", "cosine"]

NO_PASSAGE = -1
"""Fills the known positives of a question up to K; the id of no passage."""

LEFT_OUT = -1e9
"""The score of a candidate that is left out, where a distribution needs a finite one: exp of it is 0."""


class Groups(NamedTuple):
    """Which passages a batch holds, as ids that are equal exactly where the texts are.

    Attributes:
        passages: int64 (B, G), the positive first.
        known: int64 (B, K), every passage known to answer the question, `NO_PASSAGE` where there are fewer.
    """

    passages: Tensor
    known: Tensor

    @classmethod
    def of(cls, labels: Tensor, n_passages: int) -> Groups:
        """Cut the label column of a batch, int64 (B, G + K), which is how a trainer carries the ids."""
        return cls(labels[:, :n_passages], labels[:, n_passages:])


def answered(known: Tensor, passages: Tensor) -> Tensor:
    """Which passages answer which questions.

    Args:
        known: int64 (q, K), ids of the passages that answer each question.
        passages: int64 (n,), ids.
    Returns:
        bool (q, n).
    """
    found = torch.zeros(len(known), len(passages), dtype=torch.bool, device=known.device)
    for ids in known.unbind(dim=1):  # (q, n) at a time; (q, K, n) may not fit
        found |= ids[:, None] == passages
    return found


def _gathered(vectors: Tensor) -> Tensor:
    """The vectors of all processes, in the order of their ranks; gradients flow back to each."""
    with warnings.catch_warnings():  # torch deprecates what sentence-transformers calls for it
        warnings.simplefilter("ignore", FutureWarning)
        gathered: Tensor = all_gather_with_grad(vectors)
    return gathered


def info_nce(scores: Tensor, own: Tensor, masked: Tensor) -> Tensor:
    """-log softmax of each row at the column of its positive, over the columns that are not masked.

    Args:
        scores: float (B, C), similarities times scale.
        own: int64 (B,), the column of each row's positive; never masked.
        masked: bool (B, C), columns that leave the denominator.
    Returns:
        float (B,).
    Source: van den Oord et al. 2018 (arXiv 1807.03748), equation 4; with in-batch passages as candidates,
        Karpukhin et al. 2020 (DPR, arXiv 2004.04906), equation 2.
    """
    return F.cross_entropy(scores.masked_fill(masked, -torch.inf), own, reduction="none")


def _right_passages(groups: Groups | None, own: Tensor) -> Tensor | None:
    """Bool (B, C): which candidates answer each question of this process."""
    return None if groups is None else answered(groups.known[own], groups.passages.T.flatten())


def _right_questions(groups: Groups | None, own: Tensor) -> Tensor | None:
    """Bool (B, W): which questions each positive of this process answers."""
    return None if groups is None else answered(groups.known, groups.passages[own, 0]).T


class ContrastiveLoss(CachedLossMixin, nn.Module):  # type: ignore[misc]
    """InfoNCE for (anchor, positive, negative_1, ..., negative_n) columns, on sentence-transformers' trainer.

    Without masks it is sentence-transformers' `MultipleNegativesRankingLoss`, and with `mini_batch_size` its
    cached form, whose GradCache it uses. What is added is the leaving out of false negatives, for which
    those losses have no place. Similarities are computed in float32 under autocast too.

    Args:
        model: the bi-encoder; one encoder for questions and passages.
        scale: factor of the similarity, the inverse of the temperature.
        similarity: "dot" for raw inner products, "cosine" for those of unit vectors.
        symmetric: average with the loss of finding the question of each positive among the batch's
            questions (Radford et al. 2021, arXiv 2103.00020, figure 3).
        mask_known: leave out candidates that are known to answer the question: the same text as its
            positive, or another of its positives. Needs labels, as `Groups`.
        mask_margin: also leave out candidates whose similarity is above the positive's by more than this
            (Qwen3 Embedding, arXiv 2506.05176, equation 1: 0.1 of a cosine); None keeps them.
        mini_batch_size: texts embedded at a time by GradCache (Gao et al. 2021, arXiv 2101.06983), which
            bounds memory at the price of a second forward pass; None embeds a column at once.
        gather: take the passages of all processes as candidates.
    Attributes:
        n_masked, n_candidates: wrong candidates left out, and all of them, since this object was made.
        counts: whether they are counted; a batch whose loss is taken again counts once.
    """

    def __init__(
        self,
        model: Any,
        *,
        scale: float,
        similarity: Similarity,
        symmetric: bool = False,
        mask_known: bool = True,
        mask_margin: float | None = None,
        mini_batch_size: int | None = None,
        gather: bool = False,
    ) -> None:
        super().__init__()
        self.model = model
        self.scale, self.similarity, self.symmetric = scale, similarity, symmetric
        self.mask_known, self.mask_margin = mask_known, mask_margin
        self.mini_batch_size = mini_batch_size
        self.gather = gather
        self.counts = True
        self.n_candidates = 0
        self._masked: Tensor | int = 0

    @property
    def uses_gradient_cache(self) -> bool:
        return self.mini_batch_size is not None

    @property
    def n_masked(self) -> int:
        return int(self._masked)

    def forward(self, features: Iterable[dict[str, Tensor]], labels: Tensor | None = None) -> Tensor:
        """The mean loss of the batch's questions.

        Args:
            features: one dict of token tensors per column, the anchor first.
            labels: int64 (B, G + K), see `Groups`; None where nothing is masked by id.
        """
        columns = list(features)
        if self.mini_batch_size is None:
            return self.calculate_loss([[vectors] for vectors in embed_columns(self.model, columns)], labels)
        loss: Tensor = CachedLossMixin.forward_cached(self, columns, labels)
        return loss

    def calculate_loss(
        self, reps: list[list[Tensor]], labels: Tensor | None = None, *, with_backward: bool = False
    ) -> Tensor:
        """The mean loss from the vectors of each column in mini-batches; GradCache asks for its gradient."""
        batch = self._batch([torch.cat(parts) for parts in reps], labels)
        with torch.autocast(reps[0][0].device.type, enabled=False):
            loss = self._mean_loss(*batch)
        if with_backward:
            loss.backward()  # type: ignore[no-untyped-call]
            loss = loss.detach()
        return loss

    def similarities(
        self, columns: Sequence[Tensor], labels: Tensor | None = None, *, back: bool = False
    ) -> tuple[Tensor, Tensor]:
        """What the loss takes the softmax of: similarities times scale, and what it leaves out of it.

        Args:
            columns: the vectors of each column (B, D), the anchor's first.
            back: from the positives to the questions instead.
        Returns:
            float (B, C) and bool (B, C); back, (B, W).
        """
        questions, passages, own, groups = self._batch(columns, labels)
        with torch.autocast(questions.device.type, enabled=False):
            questions, *passages = (self._scored(vectors) for vectors in (questions, *passages))
            if back:
                rows, right = passages[0][own] @ questions.T, _right_questions(groups, own)
            else:
                rows, right = questions[own] @ torch.cat(passages).T, _right_passages(groups, own)
            return rows * self.scale, self._left_out(rows, own, right)

    def _batch(
        self, columns: Sequence[Tensor], labels: Tensor | None
    ) -> tuple[Tensor, list[Tensor], Tensor, Groups | None]:
        """Questions (W, D), passages (W, D) per column, rows of this process's questions (B,), and ids."""
        questions, *passages = columns
        n_questions = len(questions)
        own = torch.arange(n_questions, device=questions.device)
        if not self.mask_known:
            labels = None
        if self.gather and torch.distributed.is_initialized():
            own = own + get_rank() * n_questions
            questions, *passages = (_gathered(vectors) for vectors in (questions, *passages))
            labels = None if labels is None else all_gather(labels)
        return questions, passages, own, None if labels is None else Groups.of(labels, len(passages))

    def _mean_loss(
        self, questions: Tensor, passages: list[Tensor], own: Tensor, groups: Groups | None
    ) -> Tensor:
        """From vectors (W, D) and, per column, (W, D), to the mean over the questions `own` (B,)."""
        questions, *passages = (self._scored(vectors) for vectors in (questions, *passages))
        right = _right_passages(groups, own)
        losses = self._losses(questions[own] @ torch.cat(passages).T, own, right)  # (B, C) to (B,)
        if self.symmetric:
            right = _right_questions(groups, own)
            losses = (losses + self._losses(passages[0][own] @ questions.T, own, right)) / 2  # (B, W)
        return losses.mean()

    def _scored(self, vectors: Tensor) -> Tensor:
        vectors = full_precision(vectors)
        return F.normalize(vectors, dim=-1) if self.similarity == "cosine" else vectors

    def _losses(self, similarities: Tensor, own: Tensor, right: Tensor | None) -> Tensor:
        """InfoNCE of each row; columns that are `right` without being its own, or too good, are left out."""
        masked = self._left_out(similarities, own, right)
        if self.training and self.counts:
            self.n_candidates += similarities.numel() - len(own)
            self._masked = self._masked + masked.sum()
        return info_nce(similarities * self.scale, own, masked)

    def _left_out(self, similarities: Tensor, own: Tensor, right: Tensor | None) -> Tensor:
        """Bool, as the similarities: what leaves the denominator of each row."""
        masked = torch.zeros_like(similarities, dtype=torch.bool) if right is None else right.clone()
        masked.scatter_(1, own[:, None], False)
        if self.mask_margin is not None:
            positive = similarities.detach().gather(1, own[:, None])
            masked |= similarities.detach() > positive + self.mask_margin
        return masked

    def get_config_dict(self) -> dict[str, Any]:
        """What decides the loss, for a model card."""
        names = ("scale", "similarity", "symmetric", "mask_known", "mask_margin", "mini_batch_size", "gather")
        return {name: getattr(self, name) for name in names}
