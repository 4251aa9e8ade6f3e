"""Smoothness-inducing regularisation: symmetric divergence from the own clean output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import sqrt
from typing import Any, ClassVar

from torch import Tensor

from babelweave.train.adversaries.steps import (
    check_epsilon,
    check_range,
    divergence,
    gradients,
    leaves,
    mean_norm,
    noise,
)
from babelweave.train.adversaries.surface import Place, Side, Surface


def symmetric_divergence(one: Tensor, other: Tensor) -> Tensor:
    """KL(P || Q) + KL(Q || P), the first of each pair a constant, as in the released code; gradients reach
    both."""
    return divergence(one, other) + divergence(other, one)


@dataclass(frozen=True, slots=True, kw_only=True)
class Smart:
    """KL(P(e) || P(e + d)) + KL(P(e + d) || P(e)), no component of d above epsilon |e| / sqrt(E).

    P is the softmax of a question over the passages of the batch. d_0 is normal with deviation sigma times
    that bound; then K times d <- clip(d + step bound g / |g|_inf), g the gradient of KL(P(e) || P(e + d)).
    |e| / sqrt(E) is the size of a component of a word embedding.

    Source: Jiang et al. (2020), arXiv 1911.03437, section 3.1 and the released code (mt-dnn): K = 1, the
    infinity norm, weight 1. The published sigma (1e-5), step (1e-3) and epsilon (1e-5) are absolute, for
    fine-tuning BERT; parts of a bound and the defaults are ours. The paper's momentum is left out.

    Args:
        epsilon: the bound as a part of the mean size of a component, above 0 to 1.
        step: of an ascent, as a part of the bound, above 0 to 1.
        sigma: deviation of the start, as a part of the bound, above 0 to 1.
        n_steps: K, from 1.
        side: what moves, questions or also passages.
    Raises:
        UsageError: an option out of range.
    Cost: one pass over what moves, forward and back, per step, and one for the loss.
    """

    epsilon: float = 0.05
    step: float = 1.0
    sigma: float = 0.1
    n_steps: int = 1
    side: Side = "query"
    name: ClassVar[str] = "smart"
    encodes: ClassVar[bool] = True
    """As in `Fgm`."""

    def __post_init__(self) -> None:
        check_epsilon(self.name, self.epsilon, self.side)
        for option in ("step", "sigma"):
            check_range(self.name, option, getattr(self, option), 0, 1, above=True)
        check_range(self.name, "n_steps", self.n_steps, 1, 100)

    @property
    def settings(self) -> Mapping[str, Any]:
        return {"name": self.name, **asdict(self)}

    def loss(self, surface: Surface) -> Tensor:
        places = surface.places(self.side)
        clean = surface.clean_scores()
        bounds = [self.epsilon * mean_norm(p) / sqrt(p.embeddings.shape[2]) for p in places]
        moves = [
            _clipped(self.sigma * bound * noise(place, surface.generator), bound)
            for place, bound in zip(places, bounds, strict=True)
        ]
        for _ in range(self.n_steps):
            moves = leaves(moves)
            found = gradients(divergence(clean, surface.scores(*surface.trial(self.side, moves))), moves)
            moves = [
                _clipped(move + self.step * bound * _largest_one(gradient, place), bound)
                for move, bound, gradient, place in zip(moves, bounds, found, places, strict=True)
            ]
        moved = surface.scores(*surface.encode(self.side, [move.detach() for move in moves]))
        return symmetric_divergence(clean, moved)


def _clipped(moves: Tensor, bound: Tensor) -> Tensor:
    return moves.clamp(min=-bound, max=bound)


def _largest_one(gradient: Tensor, place: Place) -> Tensor:
    """A gradient where tokens may move, the largest component of each text 1; 0 where there is none."""
    kept = gradient.detach() * place.free[..., None]
    return kept / kept.abs().amax(dim=(1, 2), keepdim=True).clamp(min=1e-30)
