"""Which ways of weaving an ablation compares: arms, in curves along axes.

Every axis changes one thing of the base setting and leaves the rest:

    queries   how many per passage and language; of all languages, or of the asking one alone
    alpha     the share of the generated side: for each fuser, at unit length, of the asking language alone
    weights   of the queries of one language
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, NamedTuple

from babelweave.errors import UsageError, nearest

Woven = Literal["all", "asked"]
"""The queries of all languages in one index, or an index per language with the asking language's alone."""

NUMBERS = (0, 1, 2, 4, 5, 8)
"""Queries per passage and language: xQG has 5, and reports significance from 4 on."""

ALPHAS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.7)
WEIGHTS = (0.0, 0.5, 1.0, 2.0, 4.0)
FUSERS = ("mean", "sum", "max")
AXES = ("queries", "alpha", "weights")


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One way of weaving.

    Attributes:
        per_language: at most so many queries per passage and language, best first; 0 leaves passages plain.
        fuser: SPEC.
        alpha: of the fuser.
        language_weights: (language, weight) pairs, sorted; 1 where absent.
    """

    per_language: int
    fuser: str = "mean"
    alpha: float
    woven: Woven = "all"
    normalise: bool = False
    language_weights: tuple[tuple[str, float], ...] = ()

    @property
    def is_plain(self) -> bool:
        return self.per_language == 0 or self.alpha == 0

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "language_weights": dict(self.language_weights)}


PLAIN = Arm(per_language=0, alpha=0.0)


class Point(NamedTuple):
    x: float
    arm: Arm


@dataclass(frozen=True, slots=True)
class Curve:
    name: str
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Axis:
    """One figure: curves over one thing."""

    name: str
    label: str
    curves: tuple[Curve, ...]


def distinct(arm: Arm) -> Arm:
    """The arm, all plain ones as one."""
    return PLAIN if arm.is_plain else arm


def arms_of(axes: Iterable[Axis]) -> list[Arm]:
    """Every distinct arm of some axes, `PLAIN` first."""
    points = (point for axis in axes for curve in axis.curves for point in curve.points)
    return list(dict.fromkeys([PLAIN, *(distinct(point.arm) for point in points)]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """What to try around a base arm.

    Attributes:
        base: its `per_language` is the most that is woven where the number is not what changes.
        numbers, alphas, weights, fusers: of the axes. An alpha is that of a mean; the sum takes the alpha
            that ranks alike where all passages have as many queries (`sum_alpha`).
        axes: which to run.
    Raises:
        UsageError: an unknown axis, a number out of range, or nothing to try.
    """

    base: Arm
    numbers: Sequence[int] = NUMBERS
    alphas: Sequence[float] = ALPHAS
    weights: Sequence[float] = WEIGHTS
    fusers: Sequence[str] = FUSERS
    axes: Sequence[str] = field(default=AXES)

    def __post_init__(self) -> None:
        for axis in self.axes:
            if axis not in AXES:
                raise UsageError(f"unknown axis {axis!r}; {nearest(axis, AXES)}")
        for name, values, least, most in (
            ("queries per language", self.numbers, 0, float("inf")),
            ("alpha", self.alphas, 0, 1),
            ("weight", self.weights, 0, float("inf")),
        ):
            if bad := [v for v in values if not least <= v <= most]:
                raise UsageError(f"{name} {bad[0]}: must lie within {least} and {most}")
        if not self.axes or self.base.is_plain:
            raise UsageError("nothing to try; name at least one axis, an alpha above 0, and 1 query or more")

    def build(self, languages: Sequence[str], available: int) -> list[Axis]:
        """The axes, for queries in some languages, at most `available` of them per passage and language."""
        base = replace(self.base, per_language=min(self.base.per_language, available))
        made = {
            "queries": lambda: self._queries(base, available),
            "alpha": lambda: self._alpha(base, len(languages)),
            "weights": lambda: self._weights(base, languages),
        }
        return [made[name]() for name in AXES if name in self.axes]

    def left_out(self, available: int) -> list[int]:
        """The numbers of queries that are not there to be woven."""
        return [n for n in self.numbers if n > available]

    def _queries(self, base: Arm, available: int) -> Axis:
        numbers = sorted({n for n in self.numbers if n <= available} | {0})
        kinds: tuple[tuple[str, Woven], ...] = (("all languages", "all"), ("asking language", "asked"))
        curves = [
            Curve(name, tuple(Point(n, replace(base, per_language=n, woven=woven)) for n in numbers))
            for name, woven in kinds
        ]
        return Axis("queries", "queries per passage and language", tuple(curves))

    def _alpha(self, base: Arm, n_languages: int) -> Axis:
        n_queries = n_languages * base.per_language
        mean = replace(base, fuser="mean")
        curves = [
            *(Curve(fuser, self._swept(replace(base, fuser=fuser), n_queries)) for fuser in self.fusers),
            Curve("mean, unit length", self._swept(replace(mean, normalise=True))),
            Curve("mean, asking language", self._swept(replace(mean, woven="asked"))),
        ]
        return Axis("alpha", "alpha (of a mean)", tuple(curves))

    def _swept(self, base: Arm, n_queries: int = 1) -> tuple[Point, ...]:
        is_sum = base.fuser.partition("?")[0] == "sum"
        return tuple(
            Point(alpha, replace(base, alpha=sum_alpha(alpha, n_queries) if is_sum else alpha))
            for alpha in sorted(set(self.alphas))
        )

    def _weights(self, base: Arm, languages: Sequence[str]) -> Axis:
        given = dict(base.language_weights)
        curves = [
            Curve(
                f"queries in {lang}",
                tuple(
                    Point(w, replace(base, language_weights=_pairs({**given, lang: w}))) for w in self.weights
                ),
            )
            for lang in languages
        ]
        return Axis("weights", "weight of the language", tuple(curves))


def sum_alpha(alpha_mean: float, n_queries: int) -> float:
    """The alpha of a sum over N queries that ranks as `alpha_mean` of their mean: the inverse of
    `weave.fusers.mean.alpha_mean`.

    Example:
        >>> round(sum_alpha(0.2612, 35), 4)
        0.01
    """
    return alpha_mean / (alpha_mean + n_queries * (1 - alpha_mean))


def _pairs(weights: Mapping[str, float]) -> tuple[tuple[str, float], ...]:
    return tuple((lang, weight) for lang, weight in sorted(weights.items()) if weight != 1)
