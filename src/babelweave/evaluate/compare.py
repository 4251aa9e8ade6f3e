"""Is system B better than system A? Paired tests, intervals, and corrections for asking often.

The unit is the question. Where one question stands in several subsets (MLQA asks the same question in up
to seven languages of up to seven pools), its rows are not independent: they form one cluster, which the
tests flip, draw and count as a whole.

The difference of means is a weighted sum of per-row differences, weight 1/(S n_s) for a row of subset s
with n_s rows when S subsets are averaged. Adding a cluster's weighted differences and multiplying by the
number of clusters C gives one value per cluster whose plain mean is that difference, so every test below
is a one-sample test of C values around zero.

Intervals draw the questions again, and with them the n_s change: a question of many subsets must not count
as a good one. So a row enters the bootstrap as its deviation from the mean of its subset, the linear form
of a mean of ratios, and the deviations spread around the reported mean.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from babelweave.errors import DataError
from babelweave.records import Float64, Scores

Correction = Literal["holm", "bonferroni", "none"]

RESAMPLES = 9999
"""Draws of the randomisation test and the bootstrap; the smallest p it can give is 1 / 10,000."""

_ROUNDING = 1e-12
"""Relative size below which a difference is float64 rounding."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """System B against system A on one measure.

    Attributes:
        family: which comparison of its family this is (a subset, a language, "mean").
        n_rows: question-subset rows compared.
        n_clusters: independent questions among them, the n of every test.
        difference: mean_b - mean_a; low and high bound it with 95 % confidence (percentile bootstrap).
        n_better, n_worse: clusters where B is above, below A.
        p_t: two-sided paired t-test. p_randomisation: two-sided paired sign-flip test.
        p_adjusted: p_randomisation after `correction` over the family.
    """

    family: str
    measure: str
    n_rows: int
    n_clusters: int
    mean_a: float
    mean_b: float
    difference: float
    low: float
    high: float
    n_better: int
    n_worse: int
    p_t: float
    p_randomisation: float
    p_adjusted: float
    correction: Correction = "none"

    def to_dict(self) -> dict[str, Any]:
        """JSON values; what too few questions leave undefined is None."""
        return {name: None if value != value else value for name, value in asdict(self).items()}


class Estimate(NamedTuple):
    """A mean and its 95 % interval (percentile bootstrap over questions)."""

    mean: float
    low: float
    high: float


def estimate(scores: Mapping[str, Scores], seed: int = 0) -> Estimate:
    """One system's mean over subsets, each counting equally, with the interval `compare` would give it.

    Args:
        scores: subset -> scores; equal query_ids in different subsets are the same question.
    """
    clusters, weighted = _weighted(scores)
    mean = float(weighted.sum())
    return Estimate(mean, *bootstrap_interval(mean + cluster_values(_deviations(scores), clusters), seed))


def compare(
    a: Mapping[str, Scores], b: Mapping[str, Scores], *, family: str = "all", seed: int = 0
) -> Comparison:
    """Compare two systems on one measure over one or several subsets, each subset counting equally.

    Args:
        a, b: subset -> scores; the same subsets, questions and measure on both sides. Equal query_ids in
            different subsets are the same question.
        family: label of this comparison.
        seed: of the randomisation test and the bootstrap.

    Raises:
        DataError: subsets, questions or measures differ; the message names the first difference.
    """
    check_pairs(a, b)
    b = {name: b[name] for name in a}
    clusters, weighted_a = _weighted(a)
    _, weighted_b = _weighted(b)
    values = cluster_values(weighted_b - weighted_a, clusters)
    spread = cluster_values(_deviations(b) - _deviations(a), clusters)
    means = float(weighted_a.sum()), float(weighted_b.sum())
    measure = next(iter(a.values())).measure
    return _comparison(family, measure, len(clusters), means, values, values, values.mean() + spread, seed)


def compare_gains(
    before: tuple[Mapping[str, Scores], Mapping[str, Scores]],
    after: tuple[Mapping[str, Scores], Mapping[str, Scores]],
    *,
    family: str = "all",
    seed: int = 0,
) -> Comparison:
    """Does B gain more over A after something changed than before it? The difference of two differences.

    A question that is asked before and after is one cluster, so what makes it easy for a system both times
    cancels; questions of one side alone are clusters too. B that gains as much before as after has a
    difference of 0, however much that is: rows enter the tests, like the bootstrap, as deviations from the
    mean of their subset.

    Args:
        before, after: (A, B), each subset -> scores, as for `compare`; the two may be of other subsets and
            questions.
        family: label of this comparison.
        seed: of the randomisation test and the bootstrap.

    Returns:
        `mean_a` is B's gain over A before, `mean_b` after; `n_better` counts questions that speak for a
        larger gain after.

    Raises:
        DataError: subsets, questions or measures of A and B differ, or the measures of the two sides.
    """
    check_pairs(*before)
    check_pairs(*after)
    measures = {next(iter(pair[0].values())).measure for pair in (before, after)}
    if len(measures) > 1:
        raise DataError(f"a comparison takes one measure, got {sorted(measures)}")
    clusters: list[str] = []
    weighted, spread, gains = [], [], []
    for sign, (a, b) in ((-1.0, before), (1.0, after)):
        b = {name: b[name] for name in a}
        own, weighted_a = _weighted(a)
        difference = _weighted(b)[1] - weighted_a
        clusters += own
        gains.append(float(difference.sum()))
        weighted.append(sign * difference)
        spread.append(sign * (_deviations(b) - _deviations(a)))
    rows = np.concatenate(weighted)
    votes = cluster_values(rows, clusters)
    values = cluster_values(np.concatenate(spread), clusters) + votes.mean()
    values[np.abs(values) <= _ROUNDING * np.abs(rows).sum()] = 0.0  # equal gains are no difference
    means = gains[0], gains[1]
    return _comparison(family, measures.pop(), len(clusters), means, votes, values, values, seed)


def _comparison(
    family: str,
    measure: str,
    n_rows: int,
    means: tuple[float, float],
    votes: Float64,
    tested: Float64,
    drawn: Float64,
    seed: int,
) -> Comparison:
    """Of values of clusters: what counts them better or worse, what is tested, what the bootstrap draws."""
    low, high = bootstrap_interval(drawn, seed)
    p = randomisation_test(tested, seed)
    return Comparison(
        family=family,
        measure=measure,
        n_rows=n_rows,
        n_clusters=len(tested),
        mean_a=means[0],
        mean_b=means[1],
        difference=float(tested.mean()),
        low=low,
        high=high,
        n_better=int((votes > 0).sum()),
        n_worse=int((votes < 0).sum()),
        p_t=t_test(tested),
        p_randomisation=p,
        p_adjusted=p,
    )


def _weighted(scores: Mapping[str, Scores]) -> tuple[list[str], Float64]:
    """The question of every row, and the row's value over (number of subsets times rows of its subset)."""
    clusters = [query_id for found in scores.values() for query_id in found.query_ids]
    parts = [found.values / (len(scores) * len(found.query_ids)) for found in scores.values()]
    return clusters, np.concatenate(parts)


def _deviations(scores: Mapping[str, Scores]) -> Float64:
    """Every row as in `_weighted`, less the mean of its subset before it is weighted."""
    parts = [(s.values - s.values.mean()) / (len(scores) * len(s.query_ids)) for s in scores.values()]
    return np.concatenate(parts)


def cluster_values(weighted: Float64, clusters: Sequence[str]) -> Float64:
    """float64 (C,): each cluster's sum of weighted differences times C; their mean is the sum of all."""
    names, inverse = np.unique(np.asarray(clusters), return_inverse=True)
    sums, sizes = np.zeros(len(names)), np.zeros(len(names))
    np.add.at(sums, inverse, weighted)
    np.add.at(sizes, inverse, np.abs(weighted))
    sums[np.abs(sums) <= _ROUNDING * sizes] = 0.0  # equal and opposite parts are no difference
    return sums * len(names)


def t_test(differences: Float64) -> float:
    """Two-sided p of a paired t-test; 1 where nothing differs, NaN for fewer than two values."""
    from scipy.stats import ttest_1samp

    if not differences.any():
        return 1.0
    if len(differences) < 2:
        return float("nan")
    if _constant(differences):
        return 0.0  # every pair differs by the same amount: t is infinite
    return float(ttest_1samp(differences, 0.0).pvalue)


def randomisation_test(differences: Float64, seed: int = 0, n: int = RESAMPLES) -> float:
    """Two-sided p of the paired randomisation test (Fisher; Smucker, Allan and Carterette, CIKM 2007).

    Each draw flips the signs of the differences at random. p = (c + 1) / (n + 1), where c draws are at
    least as far from zero as the observed mean; when all 2^C flips are no more than n, they are enumerated
    and p is exact. It equals scipy's `permutation_test` and is about 25 times as fast.

    Cost: n C random bits and one product of them with the differences, in batches of 32 MB.
    """
    moved = differences[differences != 0]  # flipping a zero changes nothing
    if not len(moved):
        return 1.0
    n_flips = 2 ** len(moved)
    if exact := n_flips <= n:
        batches: Iterable[npt.NDArray[np.uint8]] = [_all_flips(len(moved))]
    else:
        batches = _random_flips(len(moved), n, seed)
    total = moved.sum()
    observed = abs(total) - _ROUNDING * np.abs(moved).sum()
    n_as_far = sum(int((np.abs(total - 2.0 * (flips @ moved)) >= observed).sum()) for flips in batches)
    return n_as_far / n_flips if exact else (n_as_far + 1) / (n + 1)


def _all_flips(n_values: int) -> npt.NDArray[np.uint8]:
    """uint8 (2^n, n): every choice of the values that change sign."""
    return (np.arange(2**n_values)[:, None] >> np.arange(n_values) & 1).astype(np.uint8)


def _random_flips(n_values: int, n: int, seed: int) -> Iterator[npt.NDArray[np.uint8]]:
    """n random rows of 0 (kept) and 1 (flipped) in batches (b, n_values)."""
    rng = np.random.default_rng(seed)
    n_bytes = -(-n_values // 8)
    batch = max(1, 4_000_000 // n_values)
    for start in range(0, n, batch):
        size = min(batch, n - start)
        packed = np.frombuffer(rng.bytes(size * n_bytes), np.uint8).reshape(size, n_bytes)
        yield np.unpackbits(packed, axis=1, count=n_values)


def bootstrap_interval(values: Float64, seed: int = 0, level: float = 0.95) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean, drawing clusters with replacement."""
    from scipy.stats import bootstrap

    if len(values) < 2:
        return float("nan"), float("nan")
    if _constant(values):
        return float(values[0]), float(values[0])
    result = bootstrap(
        (values,),
        np.mean,
        n_resamples=RESAMPLES,
        batch=max(1, 2_000_000 // len(values)),
        confidence_level=level,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def _constant(values: Float64) -> bool:
    return bool(np.ptp(values) <= _ROUNDING * np.abs(values).max())


def correct(family: Sequence[Comparison], correction: Correction = "holm") -> list[Comparison]:
    """Adjust the randomisation p of every comparison of a family; the family is the whole sequence."""
    raw = [c.p_randomisation for c in family]
    adjusted = holm(raw) if correction == "holm" else bonferroni(raw) if correction == "bonferroni" else raw
    return [replace(c, p_adjusted=p, correction=correction) for c, p in zip(family, adjusted, strict=True)]


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm (1979): p(i) times (m - i), made non-decreasing, at most 1; the order of input is kept."""
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for step, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - step) * p_values[place]))
        adjusted[place] = largest
    return adjusted


def bonferroni(p_values: Sequence[float]) -> list[float]:
    """Bonferroni: p times m, at most 1."""
    return [min(1.0, len(p_values) * p) for p in p_values]


def check_pairs(a: Mapping[str, Scores], b: Mapping[str, Scores]) -> None:
    """Refuse what `compare` cannot pair.

    Raises:
        DataError: subsets, questions or measures differ; the message names the first difference.
    """
    if not a or a.keys() != b.keys():
        only = sorted(a.keys() ^ b.keys())
        raise DataError(f"the two systems were not run on the same subsets; only on one side: {only}")
    measures = {s.measure for s in [*a.values(), *b.values()]}
    if len(measures) > 1:
        raise DataError(f"a comparison takes one measure, got {sorted(measures)}")
    for name in a:
        if a[name].query_ids != b[name].query_ids:
            only = sorted(set(a[name].query_ids) ^ set(b[name].query_ids))
            raise DataError(
                f"{name}: the two systems were not scored on the same questions "
                f"({len(only)} on one side only, such as {only[:3]})"
            )
        if not a[name].query_ids:
            raise DataError(f"{name}: no questions to compare")
