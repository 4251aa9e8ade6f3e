"""The arithmetic of a study's tables, on scores that are averaged over seeds already.

clean, a condition   mean over its subsets, each counting once
shifted              mean over the subsets of all conditions but clean, each counting once
drop                 clean - shifted; a shift that asks other questions is in it like any other
worst language       of those asked in, the one of the lowest mean over shifted subsets
worst shift          the condition of the lowest mean
spared               gain over the reference under a condition, less the gain before it: clean, or in what
                     the shift names as `of`
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from babelweave.evaluate.compare import Comparison, Estimate, compare, compare_gains, correct, estimate
from babelweave.evaluate.results import by_question, means_by_language
from babelweave.records import Scores
from babelweave.study.sections import CLEAN
from babelweave.study.shifts import Condition

SHIFTED = "shifted"
"""The mean over all conditions but clean."""


class Row(NamedTuple):
    """An arm as tables name it."""

    label: str
    start: str
    reference: str | None
    """Label of the arm it is tested against; its own for a reference, None without one."""


class Tested(NamedTuple):
    """An arm against its reference; `comparison.family` is the condition, or `SHIFTED`."""

    arm: str
    comparison: Comparison


@dataclass(frozen=True, slots=True)
class Measured:
    """All scores of a study.

    Attributes:
        conditions: clean first.
        scores: (arm, condition, measure) -> subset -> scores.
        before: condition -> the one it is a shift of, where that is not clean.
    """

    rows: Sequence[Row]
    conditions: Sequence[Condition]
    scores: Mapping[tuple[str, Condition, str], Mapping[str, Scores]]
    before: Mapping[str, str] = field(default_factory=dict)

    def under(self, arm: str, over: str, measure: str) -> dict[str, Scores]:
        """The scores of a condition, or of all the shifted ones together, by question."""
        if over != SHIFTED:
            condition = next(c for c in self.conditions if c.label == over)
            found = self.scores[arm, condition, measure]
            return by_question(found, list(found))
        return {
            f"{condition.label}: {name}": scores
            for condition in self.conditions
            if condition.shift != CLEAN
            for name, scores in self.under(arm, condition.label, measure).items()
        }

    @property
    def columns(self) -> list[str]:
        """What figures are given over: clean, the mean of the shifted conditions, each of them."""
        return [CLEAN, SHIFTED, *(c.label for c in self.conditions if c.shift != CLEAN)]

    def estimate(self, arm: str, over: str, measure: str, seed: int = 0) -> Estimate:
        """Mean and 95 % interval."""
        return estimate(self.under(arm, over, measure), seed)

    def mean(self, arm: str, over: str, measure: str) -> float:
        return float(np.mean([scores.mean for scores in self.under(arm, over, measure).values()]))


def drop(measured: Measured, arm: str, measure: str) -> float:
    """What shifts cost: clean less shifted, a fraction."""
    return measured.mean(arm, CLEAN, measure) - measured.mean(arm, SHIFTED, measure)


def worst_language(measured: Measured, arm: str, measure: str) -> tuple[str, float]:
    """The language asked in of the lowest mean under shift, and that mean."""
    by_language: dict[str, list[float]] = {}
    for condition in measured.conditions:
        if condition.shift != CLEAN:
            for subset, scores in measured.scores[arm, condition, measure].items():
                for lang, mean in means_by_language(subset, scores).items():
                    by_language.setdefault(lang, []).append(mean)
    means = {lang: float(np.mean(found)) for lang, found in by_language.items()}
    worst = min(sorted(means), key=lambda lang: means[lang])
    return worst, means[worst]


def worst_shift(measured: Measured, arm: str, measure: str) -> tuple[str, float]:
    """The condition of the lowest mean, and that mean."""
    means = {c.label: measured.mean(arm, c.label, measure) for c in measured.conditions if c.shift != CLEAN}
    worst = min(means, key=lambda label: means[label])
    return worst, means[worst]


def figures(measured: Measured, arm: str, measure: str) -> dict[str, Any]:
    """JSON values of an arm on a measure."""
    language, in_language = worst_language(measured, arm, measure)
    shift, under_shift = worst_shift(measured, arm, measure)
    return {
        "means": {over: measured.mean(arm, over, measure) for over in measured.columns},
        "drop": drop(measured, arm, measure),
        "worst_language": {"name": language, "mean": in_language},
        "worst_shift": {"name": shift, "mean": under_shift},
    }


def compared(measured: Measured, measure: str, *, seed: int = 0) -> list[Tested]:
    """Every arm against its reference, clean, shifted and under each condition.

    Questions are the clusters, in whatever subsets and conditions they stand; p is adjusted by Holm over
    all rows together.
    """
    rows = [
        Tested(
            row.label,
            compare(
                measured.under(row.reference, over, measure),
                measured.under(row.label, over, measure),
                family=over,
                seed=seed,
            ),
        )
        for row in measured.rows
        if row.reference is not None and row.reference != row.label
        for over in measured.columns
    ]
    return _corrected(rows)


def spared(measured: Measured, measure: str, *, seed: int = 0) -> list[Tested]:
    """Does an arm lose less than its reference, shifted and under each condition?

    An arm may be better under a shift because it is better everywhere; this is what it gains there beyond
    what it gains before the shift. Clusters as in `compared`, Holm over all rows together.
    """
    rows = []
    for row in measured.rows:
        if row.reference is None or row.reference == row.label:
            continue
        for over in measured.columns:
            if over != CLEAN:
                before, after = (
                    (measured.under(row.reference, name, measure), measured.under(row.label, name, measure))
                    for name in (measured.before.get(over, CLEAN), over)
                )
                rows.append(Tested(row.label, compare_gains(before, after, family=over, seed=seed)))
    return _corrected(rows)


def _corrected(rows: Sequence[Tested]) -> list[Tested]:
    corrected = correct([row.comparison for row in rows])
    return [Tested(row.arm, c) for row, c in zip(rows, corrected, strict=True)]
