"""What the fusers share: weighted sums over generated queries, the same for numpy and torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from babelweave.data.languages import canonical
from babelweave.errors import UsageError


class Pooled(NamedTuple):
    """Weighted sum of the generated vectors (n, d), and the sum of their weights (n, 1)."""

    total: Any
    weight: Any


def check_alpha(alpha: float) -> float:
    """`alpha` unchanged.

    Raises:
        UsageError: not within [0, 1], or not a number.
    """
    if not 0 <= alpha <= 1:
        raise UsageError(f"alpha {alpha}: must lie within 0 (passages alone) and 1 (generated queries alone)")
    return alpha


def check_weights(weights: Mapping[str, float]) -> dict[str, float]:
    """Language weights under canonical codes, sorted.

    Raises:
        UsageError: an unknown language, one under two codes, or a weight that is negative or not finite.
    """
    checked = {canonical(lang): float(weight) for lang, weight in weights.items()}
    if len(checked) < len(weights):
        raise UsageError(f"language weights {dict(weights)}: two of the codes name one language")
    for lang, weight in checked.items():
        if not 0 <= weight < float("inf"):
            raise UsageError(f"language weight {lang}={weight}: must be 0 or more and finite")
    return dict(sorted(checked.items()))


def pool(generated: Any, mask: Any, languages: Sequence[str], weights: Mapping[str, float]) -> Pooled:
    """Sum generated vectors, each times its language's weight (1 where none is given).

    Args:
        generated: (n, g, d); where `mask` is 0 the content is ignored, even NaN.
        mask: (n, g), bool; or numbers: row j of a passage then stands for mask[j] queries whose mean it
            is, which is how `tune` weaves from per-language means.
        languages: (g,) canonical codes.
    """
    xp = namespace(generated)
    weight_ng = weights_of(mask, languages, weights, generated)
    present = xp.where(weight_ng[..., None] != 0, generated, 0.0)
    return Pooled((present * weight_ng[..., None]).sum(1), weight_ng.sum(1)[:, None])


def weights_of(mask: Any, languages: Sequence[str], weights: Mapping[str, float], generated: Any) -> Any:
    """(n, g): the weight of each generated vector, its mask times that of its language."""
    return like(mask, generated) * like([weights.get(lang, 1.0) for lang in languages], generated)


def full_precision(values: Any) -> Any:
    """float32, float64 left as it is: half precision must not accumulate."""
    if isinstance(values, np.ndarray):
        return values if values.dtype in (np.float32, np.float64) else values.astype(np.float32)
    return values if values.dtype.itemsize >= 4 else values.float()


def like(values: Any, reference: Any) -> Any:
    """`values` as an array of the library, dtype and device of `reference`."""
    if isinstance(reference, np.ndarray):
        return np.asarray(values, dtype=reference.dtype)
    import torch

    return torch.as_tensor(values, dtype=reference.dtype, device=reference.device)


def constant(values: Any) -> Any:
    """The values without their history: what is decided from them has no gradient."""
    return values if isinstance(values, np.ndarray) else values.detach()


def namespace(values: Any) -> ModuleType:
    """numpy or torch, whichever `values` belongs to."""
    if isinstance(values, np.ndarray):
        return np
    import torch

    return torch


def unit_rows(vectors: Any) -> Any:
    """Rows scaled to length 1; a zero row stays zero."""
    squares = (vectors * vectors).sum(-1)[..., None]
    xp = namespace(vectors)
    # The root of a zero row is taken of 1 instead: its gradient would be infinite.
    return vectors / xp.sqrt(xp.where(squares > 0, squares, 1.0))
