"""Projected gradient ascent on word embeddings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from torch import Tensor

from babelweave.train.adversaries.steps import (
    check_epsilon,
    check_range,
    gradients,
    leaves,
    mean_norm,
    unit,
    within,
)
from babelweave.train.adversaries.surface import Side, Surface


@dataclass(frozen=True, slots=True, kw_only=True)
class Pgd:
    """L(e + d_K) with d_0 = 0 and d_(k+1) = proj(d_k + step epsilon |e| g_k / |g_k|_2).

    The projection is onto the L2 ball of radius epsilon |e| around each text.

    Source: Madry et al. (2018), arXiv 1706.06083; K = 3 and steps of 0.3 epsilon as in the widely copied
    PyTorch code for text, whose epsilon of 1 is absolute. The default epsilon is ours.

    Args:
        epsilon: as in `Fgm`.
        step: length of a step as a part of epsilon, above 0 to 1.
        n_steps: K, from 1.
        side: what moves, questions or also passages.
    Raises:
        UsageError: an option out of range.
    Cost: K passes over what moves, forward; K back for the g, and one for the loss.
    """

    epsilon: float = 0.05
    step: float = 0.3
    n_steps: int = 3
    side: Side = "query"
    name: ClassVar[str] = "pgd"
    encodes: ClassVar[bool] = True
    """As in `Fgm`."""

    def __post_init__(self) -> None:
        check_epsilon(self.name, self.epsilon, self.side)
        check_range(self.name, "step", self.step, 0, 1, above=True)
        check_range(self.name, "n_steps", self.n_steps, 1, 100)

    @property
    def settings(self) -> Mapping[str, Any]:
        return {"name": self.name, **asdict(self)}

    def loss(self, surface: Surface) -> Tensor:
        places = surface.places(self.side)
        radii = [self.epsilon * mean_norm(place) for place in places]
        found = gradients(surface.contrast(*surface.clean(self.side)), [p.embeddings for p in places])
        moves = [0.0 * place.embeddings.detach() for place in places]
        for k in range(self.n_steps):
            moves = [
                within(move + self.step * radius * unit(gradient, place.free), radius)
                for move, radius, gradient, place in zip(moves, radii, found, places, strict=True)
            ]
            if k + 1 < self.n_steps:
                moves = leaves(moves)
                found = gradients(surface.contrast(*surface.trial(self.side, moves)), moves)
        return surface.contrast(*surface.encode(self.side, [move.detach() for move in moves]))
