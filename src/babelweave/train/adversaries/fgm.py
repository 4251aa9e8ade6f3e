"""The fast gradient method on word embeddings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from torch import Tensor

from babelweave.train.adversaries.steps import check_epsilon, gradients, mean_norm, unit
from babelweave.train.adversaries.surface import Side, Surface


@dataclass(frozen=True, slots=True, kw_only=True)
class Fgm:
    """L(e + d) with d = epsilon |e| g / |g|_2, where g is the gradient of the contrastive loss at e.

    One step along the gradient, its length taken over the whole text; |e| is the mean length of the batch's
    word embeddings.

    Source: Miyato, Dai and Goodfellow (2017), arXiv 1605.07725, equations 5 and 6, whose weight is 1. Their
    epsilon of 5 belongs to normalised embeddings of 256 dimensions; the default here is ours.

    Args:
        epsilon: length of d as a part of the mean length of a word embedding, above 0 to 1.
        side: what moves, questions or also passages.
    Raises:
        UsageError: epsilon out of range.
    Cost: one pass of the encoder over what moves, forward and back, and one more back for g.
    """

    epsilon: float = 0.05
    side: Side = "query"
    name: ClassVar[str] = "fgm"
    encodes: ClassVar[bool] = True
    """Has texts encoded again, which GradCache cannot do."""

    def __post_init__(self) -> None:
        check_epsilon(self.name, self.epsilon, self.side)

    @property
    def settings(self) -> Mapping[str, Any]:
        return {"name": self.name, **asdict(self)}

    def loss(self, surface: Surface) -> Tensor:
        places = surface.places(self.side)
        clean = surface.contrast(*surface.clean(self.side))
        moves = [
            self.epsilon * mean_norm(place) * unit(gradient, place.free)
            for place, gradient in zip(places, gradients(clean, [p.embeddings for p in places]), strict=True)
        ]
        return surface.contrast(*surface.encode(self.side, moves))
