"""A fuser that keeps several vectors of a passage; search counts the best of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal, get_args

from babelweave.errors import UsageError, nearest
from babelweave.weave.fusers.arrays import (
    check_alpha,
    check_weights,
    constant,
    full_precision,
    like,
    namespace,
    unit_rows,
    weights_of,
)

By = Literal["cluster", "language"]

_ROUNDS = 10  # of Lloyd's algorithm; a few dozen queries settle in fewer
_SAME = 1e-6  # squared distance, relative to the longest query, below which two queries are one point


@dataclass(frozen=True, slots=True, kw_only=True)
class MaxFuser:
    """The passage itself, and (1 - alpha) p + alpha c_j for a few centroids c_j of its generated queries.

    A question then meets the passage at its nearest row, so queries on different facts do not blur each
    other as they do in a mean; the index holds 1 + centroids rows per passage instead of one.

    Centroids are the weighted means of clusters (`by="cluster"`: k-means, started farthest-first from the
    first query, which needs no seed) or of languages (`by="language"`: one each). A row
    without queries behind it (fewer distinct queries than centroids, a language without any) is the
    passage again, so every passage has the same number of rows.

    Args:
        alpha: share of the centroid in its row, in [0, 1]; 0 makes every row the passage, 1 a bare
            centroid. The default is half way, not a measured optimum: `tune` finds it.
        language_weights: language -> w of its queries in the clusters, 1 where absent; 0 leaves them out.
        normalise: scale every row to length 1.
        centroids: of clusters; without effect by language.
        by: what the centroids are of.
    Raises:
        UsageError: alpha, a weight or the number out of range, an unknown language, or another `by`.
    Cost: `_ROUNDS` products (n, g, d) x (n, d, centroids).
    """

    alpha: float = 0.5
    language_weights: Mapping[str, float] = field(default_factory=dict)
    normalise: bool = False
    centroids: int = 3
    by: By = "cluster"
    name: ClassVar[str] = "max"

    def __post_init__(self) -> None:
        check_alpha(self.alpha)
        object.__setattr__(self, "language_weights", check_weights(self.language_weights))
        if self.by not in get_args(By):
            raise UsageError(f"fuser max: by={self.by!r} is unknown; {nearest(self.by, get_args(By))}")
        if self.centroids < 1:
            raise UsageError(f"fuser max: {self.centroids} centroids, expected at least 1")

    @property
    def settings(self) -> dict[str, Any]:
        return {"name": self.name, **asdict(self)}

    def fuse(self, passages: Any, generated: Any, mask: Any, languages: Sequence[str]) -> Any:
        """(n, d), (n, g, d), (n, g), (g,) -> (n, 1 + centroids, d), numpy or torch; row 0 is the passage."""
        passage = full_precision(passages)[:, None, :]
        queries = full_precision(generated)
        xp = namespace(passage)
        weight = weights_of(mask, languages, self.language_weights, queries)
        queries = xp.where(weight[..., None] > 0, queries, 0.0)
        member = (
            _of_language(languages, queries)
            if self.by == "language"
            else _of_cluster(constant(queries), weight, self.centroids)
        )
        share = member * weight[:, None]
        size = share.sum(2)[..., None]
        centre = (share @ queries) / xp.where(size > 0, size, 1.0)
        rows = xp.where(size > 0, (1 - self.alpha) * passage + self.alpha * centre, passage)
        woven = xp.concatenate((passage, rows), 1)
        return unit_rows(woven) if self.normalise else woven


def _of_language(languages: Sequence[str], reference: Any) -> Any:
    """(1, l, g): 1 where a query is in the language, languages in the order they first come."""
    distinct = dict.fromkeys(languages)
    member = [[float(of == lang) for of in languages] for lang in distinct]
    return like(member, reference).reshape(1, len(distinct), len(languages))


def _of_cluster(queries: Any, weight: Any, k: int) -> Any:
    """(n, k, g): 1 where a query belongs to the cluster; k-means of every passage by itself.

    Args:
        queries: (n, g, d), zero where `weight` (n, g) is.
    """
    n, g, _ = queries.shape
    xp = namespace(queries)
    if g == 0:
        return xp.zeros_like(queries).reshape(n, 0, 1).swapaxes(1, 2) + like([[0.0]] * k, queries)
    shown = weight > 0
    square = (queries * queries).sum(-1)
    centres, exists = _farthest_first(queries, shown, square, k)
    cluster = like(list(range(k)), queries)[:, None]

    def nearest_of(centres: Any) -> Any:
        apart = xp.where(exists[..., None], _apart(centres, queries, square), float("inf"))
        place = like(apart.argmin(1), queries)[:, None]
        return like((place == cluster) & shown[:, None], queries)

    member = nearest_of(centres)
    for _ in range(_ROUNDS):
        share = member * weight[:, None]
        size = share.sum(2)[..., None]
        centres = xp.where(size > 0, (share @ queries) / xp.where(size > 0, size, 1.0), centres)
        member = nearest_of(centres)
    return member


def _farthest_first(queries: Any, shown: Any, square: Any, k: int) -> tuple[Any, Any]:
    """k queries to start from, (n, k, d), and whether each differs from those before it, bool (n, k).

    The first is the first of the passage, each other the one farthest from all before it (Gonzalez 1985,
    doi:10.1016/0304-3975(85)90224-5).
    """
    xp = namespace(queries)
    same = _SAME * xp.amax(square, 1)
    place = like(list(range(queries.shape[1])), queries)
    off = xp.where(shown, like(float("inf"), queries), -1.0)
    centres, exists = [], []
    for _ in range(k):
        chosen = off.argmax(1)
        exists.append((xp.amax(off, 1) > same)[:, None])
        here = like(like(chosen, queries)[:, None] == place, queries)
        centres.append(here[:, None] @ queries)
        off = xp.minimum(off, _apart(centres[-1], queries, square)[:, 0])
    return xp.concatenate(centres, 1), xp.concatenate(exists, 1)


def _apart(centres: Any, queries: Any, square: Any) -> Any:
    """(n, k, g): squared distances of centres (n, k, d) and queries (n, g, d) of squared length (n, g)."""
    return (centres * centres).sum(-1)[..., None] - 2 * (centres @ queries.swapaxes(1, 2)) + square[:, None]
