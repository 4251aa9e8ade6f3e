"""Benchmarks made of subsets with judgements: rank each, score each, average, compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from babelweave.errors import DataError, UsageError, nearest
from babelweave.evaluate.benchmarks.rankers import Ranker, Stopwatch
from babelweave.evaluate.measures import DEFAULT, check_measures, evaluate
from babelweave.evaluate.results import (
    BenchmarkResult,
    check_baseline,
    compare_results,
    means,
    read_per_query,
)
from babelweave.records import Passage, Scores, Subset


@dataclass(frozen=True, slots=True)
class Settings:
    """What may be chosen for every benchmark of this kind.

    Attributes:
        measures: ir_measures names.
        depth: passages retrieved per question; at least the deepest cutoff of the measures.
        baseline: result folder to test against.
        seed: of the randomisation test and the bootstrap.
    """

    measures: Sequence[str] = DEFAULT
    depth: int = 100
    baseline: Path | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Tasks:
    """What a benchmark asks, read and not yet ranked.

    Attributes:
        subsets: in the order of the report.
        missing: names that exist in the benchmark and not in the source; reported.
        signature: what decided the subsets (split, half, pool, digests of the texts).
        watch: already holds the seconds spent on reading.
    """

    subsets: Sequence[Subset]
    missing: Sequence[str]
    signature: Mapping[str, Any]
    watch: Stopwatch

    @property
    def languages(self) -> list[str]:
        """The languages of the questions, sorted."""
        return sorted({q.lang for s in self.subsets for q in s.queries})

    def plan(self) -> dict[str, Any]:
        """What ranking will take: sizes of the subsets, and the distinct texts to encode."""
        return {
            "subsets": {
                s.name: {"n_queries": len(s.queries), "n_passages": len(s.passages)} for s in self.subsets
            },
            "missing": list(self.missing),
            "distinct_passages": len({p.content for s in self.subsets for p in s.passages}),
            "distinct_questions": len({q.text for s in self.subsets for q in s.queries}),
        }


def run_tasks(tasks: Tasks, ranker: Ranker, settings: Settings) -> BenchmarkResult:
    """Rank and score every subset.

    Raises:
        UsageError: no measure, an unknown one, or one that looks deeper than `settings.depth`.
        DataError: the baseline was made on other subsets or questions.
    """
    check_measures(settings.measures, settings.depth)
    subsets, watch = tasks.subsets, tasks.watch
    baseline = read_per_query(settings.baseline) if settings.baseline else None
    if baseline:
        check_baseline(baseline, {s.name: sorted(s.qrels) for s in subsets}, settings.measures)
    ranker.prepare(subsets, watch)
    runs = {}
    with watch.stage("search"):
        for subset in subsets:
            runs[subset.name] = ranker.rank(subset, settings.depth)
    scores: dict[str, dict[str, Scores]] = {m: {} for m in settings.measures}
    with watch.stage("score"):
        for subset in subsets:
            for found in evaluate(subset.qrels, runs[subset.name], settings.measures):
                scores[found.measure][subset.name] = found
    comparisons = []
    if baseline:
        with watch.stage("compare"):
            comparisons = compare_results(baseline, scores, seed=settings.seed)
    measured = next(iter(scores.values()))[subsets[0].name].signature
    summary = {
        "signature": {
            **tasks.signature,
            **ranker.signature,
            "depth": settings.depth,
            "measures": measured,
            "counts": dict(ranker.counts),
        },
        "subsets": {
            s.name: {
                **{m: scores[m][s.name].mean for m in settings.measures},
                "n_queries": len(s.qrels),
                "n_passages": len(s.passages),
            }
            for s in subsets
        },
        "mean": means(scores),
        "missing": list(tasks.missing),
    }
    return BenchmarkResult(summary, scores, runs, comparisons, watch.seconds)


def choose(asked: str, present: Sequence[str], known: Sequence[str]) -> tuple[list[str], list[str]]:
    """The subsets to run and those that are missing.

    Args:
        asked: `all`, or names separated by commas.
        present: what the source holds.
        known: what the full benchmark has.

    Raises:
        UsageError: a named subset that the source lacks; all of them are listed at once.
    """
    if asked == "all":
        return list(present), [name for name in known if name not in present]
    names = list(dict.fromkeys(name.strip() for name in asked.split(",") if name.strip()))
    absent = [name for name in names if name not in present]
    if absent or not names:
        faults = "; ".join(f"{name!r}: {nearest(name, present)}" for name in absent) or "no subset named"
        raise UsageError(f"subsets that are not there: {faults}")
    return names, []


def with_distractors(subset: Subset, distractors: Sequence[Passage]) -> Subset:
    """The subset with more passages in its pool; those whose text the pool holds already are left out.

    Raises:
        DataError: a distractor has the id of a passage with another text, which no run could tell apart.
    """
    texts, ids = {p.text for p in subset.passages}, {p.doc_id for p in subset.passages}
    added = [p for p in distractors if p.text not in texts]
    if twice := next((p.doc_id for p in added if p.doc_id in ids), None):
        raise DataError(f"{subset.name}: a distractor has the id {twice!r} of another passage of the pool")
    return Subset(
        subset.name,
        subset.passage_lang,
        subset.query_lang,
        [*subset.passages, *added],
        subset.queries,
        subset.qrels,
    )
