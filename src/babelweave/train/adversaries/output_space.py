"""Vectors moved along the gradient of the loss: no text is encoded again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor

from babelweave.errors import UsageError, nearest
from babelweave.train.adversaries.steps import check_epsilon, leaves
from babelweave.train.adversaries.surface import Surface

Moved = Literal["passage", "query", "both"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputSpace:
    """L(q + d_q, p + d_p), each d epsilon times the mean length of its kind of vectors, along its gradient.

    With scores s_ij = scale q_i . p_j, P their softmax and y the positives, dL/dp_j = scale/B SUM_i (P_ij -
    y_ij) q_i and dL/dq_i = scale/B (SUM_j P_ij p_j - p_i+): known from the scores. The gradient taken here is
    that of the loss with its masks, cosine and second direction. Passages are moved as they enter the loss,
    woven: this is the shift that other queries, or another alpha, make in an index.

    Source: the gradient of InfoNCE (van den Oord et al. 2018, arXiv 1807.03748); step and norm as in `Fgm`.
    No paper is known to us that trains so; the default epsilon is ours.

    Args:
        epsilon: length of d as a part of the mean length of the vectors, above 0 to 1.
        moves: the passages, the questions, or both.
    Raises:
        UsageError: an option out of range.
    Cost: two more products of vectors; no pass of the encoder.
    """

    epsilon: float = 0.05
    moves: Moved = "passage"
    name: ClassVar[str] = "output_space"

    def __post_init__(self) -> None:
        check_epsilon(self.name, self.epsilon)
        if self.moves not in get_args(Moved):
            raise UsageError(f"adversary {self.name}: moves; {nearest(self.moves, get_args(Moved))}")

    @property
    def settings(self) -> Mapping[str, Any]:
        return {"name": self.name, **asdict(self)}

    def loss(self, surface: Surface) -> Tensor:
        questions, *passages = leaves([surface.questions, *surface.passages])
        moved = [questions] if self.moves == "query" else passages
        moved = [questions, *passages] if self.moves == "both" else moved
        found = dict(
            zip(
                map(id, moved),
                torch.autograd.grad(surface.contrast(questions, passages), moved),
                strict=True,
            )
        )
        unmoved = torch.zeros_like(questions)
        along = [found.get(id(leaf), unmoved) for leaf in (questions, *passages)]
        passage_moves = self._steps(along[1:], passages)
        return surface.contrast(
            surface.questions + self._steps(along[:1], [questions])[0],
            [p + move for p, move in zip(surface.passages, passage_moves, strict=True)],
        )

    def _steps(self, along: Sequence[Tensor], vectors: Sequence[Tensor]) -> list[Tensor]:
        """Rows of length epsilon times the mean over all columns, along their gradients; 0 without one."""
        size = self.epsilon * torch.cat(list(vectors)).detach().norm(dim=1).mean()
        return [size * g / g.norm(dim=1, keepdim=True).clamp(min=1e-30) for g in along]
