"""Many questions perturbed, and what became of them, counted by language."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from babelweave.protocols import Perturbation
from babelweave.records import Query
from babelweave.shift.edits import check_severity


class Counts(NamedTuple):
    """What became of the questions of a language."""

    changed: int = 0
    unchanged: int = 0
    """Of a claimed language, with nothing in them to change, or at severity 0."""
    not_claimed: int = 0
    """The perturbation does not know their language; left as they were."""


@dataclass(frozen=True, slots=True)
class Perturbed:
    """Perturbed questions in the order given.

    Attributes:
        counts: language -> what became of its questions, sorted by language.
    """

    queries: tuple[Query, ...]
    counts: Mapping[str, Counts]


def perturb_queries(
    queries: Iterable[Query], perturbation: Perturbation, severity: int, seed: int = 0
) -> Perturbed:
    """Perturb questions; ids, languages and answers stay.

    Raises:
        UsageError: severity is not a whole number from 0 to 5.
    """
    check_severity(severity)
    perturbed = []
    totals: dict[str, list[int]] = {}
    for query in queries:
        text = perturbation.perturb(query.text, query.lang, severity, seed)
        perturbed.append(query._replace(text=text))
        total = totals.setdefault(query.lang, [0] * len(Counts._fields))
        total[0 if text != query.text else 1 if query.lang in perturbation.languages else 2] += 1
    return Perturbed(tuple(perturbed), {lang: Counts(*totals[lang]) for lang in sorted(totals)})
