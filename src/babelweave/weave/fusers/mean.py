"""The fusion of xQG with a mean: what unit-norm encoders and uneven numbers of queries need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from babelweave.errors import UsageError
from babelweave.weave.fusers.arrays import (
    check_alpha,
    check_weights,
    full_precision,
    namespace,
    pool,
    unit_rows,
)


def alpha_mean(alpha: float, n_queries: int) -> float:
    """The alpha of `MeanFuser` that ranks as `SumFuser(alpha)` does when every passage has N queries.

    alpha N / (1 - alpha + alpha N): both then give p + c mean(q) with the same c, times a constant.

    Raises:
        UsageError: alpha outside [0, 1], or fewer than 1 query.

    Example:
        >>> round(alpha_mean(0.01, 35), 3)
        0.261
    """
    if n_queries < 1:
        raise UsageError(f"{n_queries} queries: alpha of a mean is defined from 1 query on")
    share = check_alpha(alpha) * n_queries
    return share / (1 - alpha + share)


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanFuser:
    """(1 - alpha) p + alpha SUM_k w_k q_k / SUM_k w_k, one vector per passage.

    A passage without queries (or whose weights are all 0) is given back unchanged: there is no mean to
    move it to.

    Args:
        alpha: share of the generated side, in [0, 1]; 0 gives the passages back. The default is what the
            paper's alpha = 0.01 over 35 queries comes to (`alpha_mean`).
        language_weights: language -> w of its queries, 1 where absent.
        normalise: scale the woven vectors to length 1.
    Raises:
        UsageError: alpha or a weight out of range, an unknown language.
    """

    alpha: float = 0.26
    language_weights: Mapping[str, float] = field(default_factory=dict)
    normalise: bool = False
    name: ClassVar[str] = "mean"
    linear: ClassVar[bool] = True
    """As in `SumFuser`."""

    def __post_init__(self) -> None:
        check_alpha(self.alpha)
        object.__setattr__(self, "language_weights", check_weights(self.language_weights))

    @property
    def settings(self) -> dict[str, Any]:
        return {"name": self.name, **asdict(self)}

    def fuse(self, passages: Any, generated: Any, mask: Any, languages: Sequence[str]) -> Any:
        """(n, d), (n, g, d), (n, g), (g,) -> (n, 1, d), numpy or torch; see `arrays.pool` for the mask."""
        woven = full_precision(passages)
        if self.alpha != 0:
            total, weight = pool(full_precision(generated), mask, languages, self.language_weights)
            xp = namespace(woven)
            mean = total / xp.where(weight > 0, weight, 1.0)
            woven = xp.where(weight > 0, (1 - self.alpha) * woven + self.alpha * mean, woven)
        return (unit_rows(woven) if self.normalise else woven)[:, None, :]
