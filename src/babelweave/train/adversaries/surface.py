"""What an adversary may move in a batch, and the loss of what it moved.

Shapes: B questions, G passages of a group, C candidates, D dimensions, V variants of a question, g generated
queries, N = W B woven passages, T tokens, E dimensions of a word embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

import torch
from torch import Tensor

from babelweave.train.augmented import Slots
from babelweave.train.losses import LEFT_OUT, ContrastiveLoss

Role = Literal["query", "passage"]
Side = Literal["query", "both"]


class Place(NamedTuple):
    """Word embeddings of one forward pass of the clean loss."""

    role: Role
    embeddings: Tensor
    """float (n, T, E), in the graph of the clean loss."""
    free: Tensor
    """bool (n, T): what may move; padding and special tokens may not."""


class Encodings(Protocol):
    """Forward passes of the encoder, repeated with other word embeddings."""

    places: list[Place]

    def again(self, role: Role, moves: Sequence[Tensor]) -> list[Tensor]:
        """The vectors of each column of a role, dropout as it was, each place's embeddings moved."""
        ...


class Generated(NamedTuple):
    """The generated queries of a batch and how passages are woven with them."""

    vectors: Tensor
    """float (N, g, D); without meaning where not present."""
    slots: Slots
    weave: Callable[[Sequence[Tensor], Tensor, Tensor], list[Tensor]]
    """Plain passages (G of (B, D)), queries (N, g, D), a mask or counts (N, g) to what enters the loss."""


class Surface:
    """A batch as an adversary sees it.

    Attributes:
        questions: float (B, D), in the graph of the clean loss; so are `plain` and `passages`.
        plain: per column of the group (B, D), not woven.
        passages: the same as they enter the loss.
        generated: None without weaving.
        languages: int64 (B, 1 + G), of questions and passages.
        variants: float (B, V, D), of the variants that the adversary at work asks for.
        learned: what the adversary at work learns.
        generator: its source of random numbers in this step; the global ones stay untouched.
    """

    def __init__(
        self,
        contrastive: ContrastiveLoss,
        ids: Tensor | None,
        questions: Tensor,
        plain: Sequence[Tensor],
        *,
        languages: Tensor,
        generated: Generated | None = None,
        encodings: Encodings | None = None,
    ) -> None:
        self._contrastive, self._ids, self._encodings = contrastive, ids, encodings
        self.questions, self.plain = questions, list(plain)
        self.generated, self.languages = generated, languages
        self.variants: Tensor | None = None
        self.learned: Tensor | None = None
        self.generator = torch.Generator()
        self.passages = self.weave(self.plain)
        self._left_out: dict[bool, Tensor] = {}

    def weave(
        self, plain: Sequence[Tensor], counts: Tensor | None = None, *, constant: bool = False
    ) -> list[Tensor]:
        """The passages as they enter the loss.

        Args:
            counts: float (N, g), how many queries each slot stands for; None is one where present.
            constant: without gradients to the generated queries.
        """
        if self.generated is None:
            return list(plain)
        vectors, slots, weave = self.generated
        return weave(
            plain, vectors.detach() if constant else vectors, slots.present if counts is None else counts
        )

    def contrast(self, questions: Tensor, passages: Sequence[Tensor]) -> Tensor:
        """The contrastive loss, a scalar, masks and all, of other vectors in place of the clean ones."""
        return self._contrastive.calculate_loss([[questions], *([p] for p in passages)], self._ids)

    def scores(self, questions: Tensor, passages: Sequence[Tensor], *, back: bool = False) -> Tensor:
        """(B, C) what the loss takes the softmax of; what the clean loss leaves out is `LEFT_OUT`.

        Args:
            back: from each positive to the questions instead.
        """
        found, left_out = self._contrastive.similarities([questions, *passages], self._ids, back=back)
        return found.masked_fill(self._left_out.setdefault(back, left_out), LEFT_OUT)

    def clean_scores(self, *, back: bool = False) -> Tensor:
        """`scores` of the clean vectors; call it before those of others, for it decides what is left out."""
        return self.scores(self.questions, self.passages, back=back)

    def places(self, side: Side) -> list[Place]:
        """Where word embeddings may be moved."""
        assert self._encodings is not None
        return [place for place in self._encodings.places if side == "both" or place.role == "query"]

    def encode(self, side: Side, moves: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Questions and woven passages, the word embeddings of `places(side)` moved by as many tensors.

        Cost: one pass of the encoder over the questions; on both sides, over the passages too.
        """
        assert self._encodings is not None
        places = self.places(side)
        by_role: Mapping[Role, list[Tensor]] = {
            role: [move for place, move in zip(places, moves, strict=True) if place.role == role]
            for role in ("query", "passage")
        }
        (questions,) = self._encodings.again("query", by_role["query"])
        if side == "query":
            return questions, self.passages
        return questions, self.weave(self._encodings.again("passage", by_role["passage"]))

    def clean(self, side: Side) -> tuple[Tensor, list[Tensor]]:
        """The clean vectors for a search on a side: passages are constants where only questions move, so
        that no gradient is taken through their encoder."""
        return self.questions, self._constant(side, self.passages)

    def trial(self, side: Side, moves: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """`encode` for a search: as `clean`."""
        questions, passages = self.encode(side, moves)
        return questions, self._constant(side, passages)

    @staticmethod
    def _constant(side: Side, passages: list[Tensor]) -> list[Tensor]:
        return [vectors.detach() for vectors in passages] if side == "query" else passages
