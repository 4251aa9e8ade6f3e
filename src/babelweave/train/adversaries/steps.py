"""Arithmetic that adversaries share: norms per example, masks, divergences, and checks of their options."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import torch
from torch import Tensor

from babelweave.errors import UsageError, nearest
from babelweave.train.adversaries.surface import Place, Side

_FLOOR = 1e-12
"""The least norm that is divided by: without a gradient nothing moves."""


def check_range(
    name: str, option: str, value: float, low: float, high: float, *, above: bool = False
) -> None:
    """Refuse a number outside [low, high], or (low, high] with `above`.

    Raises:
        UsageError: naming the adversary, the option and what was expected.
    """
    if not (low < value <= high if above else low <= value <= high):
        raise UsageError(
            f"adversary {name}: {option} is {value:g}, expected {'above' if above else 'from'} {low:g} to "
            f"{high:g}"
        )


def check_epsilon(name: str, epsilon: float, side: str = "query") -> None:
    """Epsilons are parts of a mean norm: above 0, at most 1. Sides are those of `surface.Side`.

    Raises:
        UsageError: outside, or no such side.
    """
    check_range(name, "epsilon", epsilon, 0, 1, above=True)
    if side not in get_args(Side):
        raise UsageError(f"adversary {name}: no side {side!r}; {nearest(side, get_args(Side))}")


def mean_norm(place: Place) -> Tensor:
    """(): mean length of the word embeddings that may move, the unit of every epsilon."""
    norms: Tensor = torch.linalg.vector_norm(place.embeddings.detach(), dim=-1)  # (n, T)
    return (norms * place.free).sum() / place.free.sum().clamp(min=1)


def lengths(moves: Tensor) -> Tensor:
    """(n, T, E) to (n, 1, 1): the L2 norm of an example over all its tokens, never 0."""
    norms: Tensor = torch.linalg.vector_norm(moves, dim=(1, 2), keepdim=True)
    return norms.clamp(min=_FLOOR)


def unit(gradient: Tensor, free: Tensor) -> Tensor:
    """A gradient (n, T, E) where tokens may move, each example of length 1; 0 where there is none."""
    kept = gradient.detach() * free[..., None]
    return kept / lengths(kept)


def within(moves: Tensor, radius: Tensor) -> Tensor:
    """Each example drawn back to an L2 ball around 0."""
    return moves * (radius / lengths(moves)).clamp(max=1.0)


def noise(place: Place, generator: torch.Generator, *, uniform: bool = False) -> Tensor:
    """(n, T, E), normal or uniform in [-1, 1], 0 where nothing may move; drawn on the CPU, so that devices
    agree."""
    shape = place.embeddings.shape
    drawn = (
        torch.rand(shape, generator=generator) * 2 - 1 if uniform else torch.randn(shape, generator=generator)
    )
    return drawn.to(place.embeddings) * place.free[..., None]


def gradients(loss: Tensor, of: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Of a scalar, its graph kept: the clean loss is still to be differentiated."""
    return torch.autograd.grad(loss, list(of), retain_graph=True)


def divergence(target: Tensor, scores: Tensor) -> Tensor:
    """Mean over rows of KL(softmax(target) || softmax(scores)); the target is a constant."""
    log_target = target.detach().log_softmax(dim=1)
    return (log_target.exp() * (log_target - scores.log_softmax(dim=1))).sum(dim=1).mean()


def leaves(moves: Sequence[Tensor]) -> list[Tensor]:
    """Constants whose gradient can be asked for."""
    return [move.detach().requires_grad_() for move in moves]
