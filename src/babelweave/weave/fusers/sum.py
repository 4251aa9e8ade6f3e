"""The official fusion of xQG: a weighted sum, no normalisation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from babelweave.weave.fusers.arrays import check_alpha, check_weights, full_precision, pool, unit_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class SumFuser:
    """(1 - alpha) p + alpha SUM_k w_k q_k, one vector per passage.

    Source: Zhuang, Shou and Zuccon (2023), arXiv 2305.03950, released `fuse_embeds.py`. There all weights
    are 1, alpha is 0.01 and a passage has 35 queries (7 languages, 5 each): alpha belongs to that number.
    A passage with fewer queries is moved less, one with none becomes (1 - alpha) p, as the formula says;
    where the numbers differ between passages use `MeanFuser`.

    Args:
        alpha: share of the generated side, in [0, 1]; 0 gives the passages back.
        language_weights: language -> w of its queries, 1 where absent.
        normalise: scale the woven vectors to length 1 (not in the paper; for cosine indexes).
    Raises:
        UsageError: alpha or a weight out of range, an unknown language.
    """

    alpha: float = 0.01
    language_weights: Mapping[str, float] = field(default_factory=dict)
    normalise: bool = False
    name: ClassVar[str] = "sum"
    linear: ClassVar[bool] = True
    """Linear in the vectors, up to `normalise`; a mean per language and its count stand for the queries."""
    counts_queries: ClassVar[bool] = True
    """A passage with more queries is moved further (`weave.stream.uneven_numbers`)."""

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
            total = pool(full_precision(generated), mask, languages, self.language_weights).total
            woven = (1 - self.alpha) * woven + self.alpha * total
        return (unit_rows(woven) if self.normalise else woven)[:, None, :]
