"""Virtual adversarial training: the direction in which the distribution over passages turns most."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
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
    unit,
)
from babelweave.train.adversaries.surface import Side, Surface


@dataclass(frozen=True, slots=True, kw_only=True)
class Vat:
    """KL(P(e) || P(e + d)), P(e) a constant, d = epsilon |e| times the direction of most divergence.

    P is the softmax of a question over the passages of the batch. The direction is the dominant one of the
    divergence's Hessian, by power iteration from a random one: u <- g / |g|_2 with g the gradient of
    KL(P(e) || P(e + xi |e| u)). No label is used, so a false negative of the batch is no target.

    Source: Miyato et al. (2019), arXiv 1704.03976, section 3.3, and Miyato, Dai and Goodfellow (2017), arXiv
    1605.07725, equation 8: one iteration, weight 1. Their xi (0.1) and epsilon (5) belong to normalised
    embeddings; the defaults here are ours.

    Args:
        epsilon: as in `Fgm`.
        xi: length of the step the Hessian is felt with, as a part of the mean length, above 0 to 1.
        iterations: of the power method, from 1.
        side: what moves, questions or also passages.
    Raises:
        UsageError: an option out of range.
    Cost: one pass over what moves, forward and back, per iteration, and one for the loss.
    """

    epsilon: float = 0.05
    xi: float = 0.01
    iterations: int = 1
    side: Side = "query"
    name: ClassVar[str] = "vat"
    encodes: ClassVar[bool] = True
    """As in `Fgm`."""

    def __post_init__(self) -> None:
        check_epsilon(self.name, self.epsilon, self.side)
        check_range(self.name, "xi", self.xi, 0, 1, above=True)
        check_range(self.name, "iterations", self.iterations, 1, 100)

    @property
    def settings(self) -> Mapping[str, Any]:
        return {"name": self.name, **asdict(self)}

    def loss(self, surface: Surface) -> Tensor:
        places = surface.places(self.side)
        clean = surface.clean_scores().detach()
        directions = [unit(noise(place, surface.generator), place.free) for place in places]
        for _ in range(self.iterations):
            moves = leaves(
                [
                    self.xi * mean_norm(place) * direction
                    for place, direction in zip(places, directions, strict=True)
                ]
            )
            found = gradients(divergence(clean, surface.scores(*surface.trial(self.side, moves))), moves)
            directions = [unit(g, place.free) for g, place in zip(found, places, strict=True)]
        moves = [
            self.epsilon * mean_norm(place) * direction
            for place, direction in zip(places, directions, strict=True)
        ]
        return divergence(clean, surface.scores(*surface.encode(self.side, moves)))
