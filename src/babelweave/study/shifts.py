"""The conditions of a study: the benchmark as it is, and under each shift at each of its degrees."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from babelweave.artifact import digest_texts
from babelweave.data.english_pool import read_pool
from babelweave.data.squad import text_id
from babelweave.errors import DataError, UsageError
from babelweave.evaluate.benchmarks import mlqa, xor_retrieve, xquad_r
from babelweave.evaluate.benchmarks.perturbed import perturb_tasks
from babelweave.evaluate.benchmarks.rankers import Stopwatch, distinct_passages
from babelweave.evaluate.benchmarks.subsets import Tasks
from babelweave.protocols import Perturbation
from babelweave.recipe import data_path
from babelweave.records import Passage, Query, Subset
from babelweave.shift.spec import open_perturbation
from babelweave.shift.splits import english_tiers, pool_tiers
from babelweave.study.recipe import Study
from babelweave.study.sections import CLEAN, Benchmark
from babelweave.train.sections import Data
from babelweave.train.sources import digests, read_data


class Condition(NamedTuple):
    """A column of the tables."""

    shift: str
    severity: int
    """Of a perturbation; the number of distractors of a larger pool; else 0."""

    @property
    def label(self) -> str:
        return f"{self.shift} {self.severity:,}" if self.severity else self.shift


@dataclass(frozen=True, slots=True)
class Posed:
    """What is asked under a condition.

    Attributes:
        tasks: before anything is perturbed.
        perturbation: None leaves the questions as they are.
    """

    condition: Condition
    tasks: Tasks
    perturbation: Perturbation | None = None

    @property
    def n_questions(self) -> int:
        """Distinct ones."""
        return len({query.text for subset in self.tasks.subsets for query in subset.queries})

    def at(self, seed: int) -> Tasks:
        """The tasks as a model meets them."""
        if self.perturbation is None:
            return self.tasks
        return perturb_tasks(self.tasks, self.perturbation, self.condition.severity, seed)

    def digest(self, seed: int) -> str:
        """Of all that is asked and searched; without a perturbation the seed does not matter."""
        shift: list[Any] = []
        if self.perturbation is not None:
            shift = [dict(self.perturbation.signature), self.condition.severity, seed]
        return digest_texts([json.dumps(dict(self.tasks.signature)), json.dumps(shift)])


@dataclass(frozen=True, slots=True)
class Conditions:
    """All conditions of a study.

    Attributes:
        posed: the clean benchmark first.
        passages: distinct ones of all pools, which a model encodes once.
    """

    posed: Sequence[Posed]
    passages: Sequence[Passage]

    @property
    def clean(self) -> Tasks:
        return self.posed[0].tasks

    @property
    def distinct(self) -> list[Passage]:
        """The passages that queries are written for: one of each id, in order."""
        return list({p.doc_id: p for p in self.passages}.values())


def read_conditions(study: Study) -> Conditions:
    """Read the benchmark and the data of every shift.

    Raises:
        UsageError: an unknown subset or option of a perturbation.
        DataError: data that is missing or broken, a shift whose data is not there, a perturbation that
            claims none of the languages asked in, or one id for two passages.
    """
    clean = _tasks(study.benchmark, study.root)
    posed = [Posed(Condition(CLEAN, 0), clean)]
    for shift in study.shifts:
        conditions = [Condition(shift.name, degree) for degree in shift.degrees]
        try:
            if shift.perturb is not None:
                perturbation = _opened(shift.perturb, clean)
                posed += [Posed(condition, clean, perturbation) for condition in conditions]
            elif shift.distractors:
                tiers = english_tiers(data_path(".", study.root), shift.distractors)
                tasks = [_tasks(study.benchmark, study.root, tiers[n]) for n in shift.distractors]
                posed += [Posed(c, found) for c, found in zip(conditions, tasks, strict=True)]
            elif shift.data is not None:
                posed.append(Posed(conditions[0], _of_data(shift.data, study.root)))
            else:
                other = shift.benchmark or study.benchmark.model_copy(update={"subsets": shift.subsets})
                posed.append(Posed(conditions[0], _tasks(other, study.root)))
        except (UsageError, DataError) as error:
            raise type(error)(f"shift {shift.name}: {error}") from error
    return Conditions(posed, _pool([p.tasks for p in posed]))


def _opened(spec: str, clean: Tasks) -> Perturbation:
    perturbation = open_perturbation(spec)
    if not perturbation.languages & set(clean.languages):
        raise DataError(
            f"{spec} changes no question: it claims none of the languages asked in, "
            f"{', '.join(clean.languages)}"
        )
    return perturbation


def _tasks(benchmark: Benchmark, root: str | None, distractors: Sequence[Passage] = ()) -> Tasks:
    source: Path = data_path(benchmark.source, root)
    n = 0 if distractors else benchmark.distractors
    pool: Sequence[Passage] = ()
    if n or benchmark.name == "xor-retrieve":
        pool = list(read_pool(data_path(".", root)).passages)
    if n:
        distractors = pool_tiers(pool, (n,))[n]
    if benchmark.name == "xquad-r":
        tasks = xquad_r.read(source, subsets=benchmark.subsets, distractors=distractors)
    elif benchmark.name == "xor-retrieve":
        tasks = xor_retrieve.read_judged(source, pool, subsets=benchmark.subsets, distractors=distractors)
    else:
        tasks = mlqa.read(
            source,
            split=benchmark.split,
            half=benchmark.half,
            subsets=benchmark.subsets,
            distractors=distractors,
        )
    signature = {**tasks.signature, "asked": benchmark.questions}
    subsets = [_first(subset, benchmark.questions) for subset in tasks.subsets]
    if empty := next((s.name for s in subsets if not s.queries), None):
        raise DataError(f"{source}: subset {empty} has no question here")
    return replace(tasks, subsets=subsets, signature=signature, watch=Stopwatch())


def _of_data(data: Data, root: str | None) -> Tasks:
    """Questions of training data, a subset for each language of passages and of questions.

    A question is searched for in all the passages of the data in its passage's language, those of questions
    that were not drawn too: then the pool does not tell which ones were.
    """
    data = data.model_copy(update={"root": data.root or root})
    pool = read_data(data, whole=True)
    passages = [p._replace(doc_id=text_id(p.content)) for p in pool.passages]
    asked: dict[str, tuple[str, str, list[Query], dict[str, dict[str, int]]]] = {}
    for name, questions in pool.questions.items():
        for question in questions:
            found, lang = passages[question.positives[0]].lang, question.query.lang
            _, _, queries, qrels = asked.setdefault(f"{found}-{lang}", (found, lang, [], {}))
            query = question.query._replace(query_id=f"{name}: {question.query.query_id}")
            queries.append(query)
            qrels[query.query_id] = {passages[row].doc_id: 1 for row in question.positives}
    subsets = [
        Subset(name, found, lang, [p for p in passages if p.lang == found], queries, qrels)
        for name, (found, lang, queries, qrels) in sorted(asked.items())
    ]
    whole = digest_texts(text for p in passages for text in (p.doc_id, p.lang))
    signature = {"data": digests(pool), "passages": whole}
    return Tasks(subsets, (), signature, Stopwatch())


def _first(subset: Subset, n: int | None) -> Subset:
    """At most n questions: those whose ids have the smallest hashes."""
    if n is None or n >= len(subset.queries):
        return subset
    order = sorted(subset.queries, key=lambda q: (sha256(q.query_id.encode()).digest(), q.query_id))
    kept = {query.query_id for query in order[:n]}
    qrels = {query_id: judged for query_id, judged in subset.qrels.items() if query_id in kept}
    return replace(subset, queries=[q for q in subset.queries if q.query_id in kept], qrels=qrels)


def _pool(tasks: Sequence[Tasks]) -> list[Passage]:
    passages = distinct_passages([subset for found in tasks for subset in found.subsets])
    texts: dict[str, str] = {}
    for passage in passages:
        if texts.setdefault(passage.doc_id, passage.content) != passage.content:
            raise DataError(
                f"the pools of two benchmarks have the id {passage.doc_id!r} for different passages; "
                "queries that are woven could not be told apart"
            )
    return passages


def changes(posed: Posed, seed: int) -> Mapping[str, Any]:
    """What a perturbation did to the questions of each language; {} without one."""
    done = posed.at(seed).signature.get("perturbation", {})
    return dict(done.get("counts", {}))


def unasked(conditions: Conditions) -> dict[str, dict[str, int]]:
    """First condition of a benchmark that judges by answers -> questions it cannot ask, by the reason."""
    found: dict[str, dict[str, int]] = {}
    for posed in conditions.posed:
        if (counts := posed.tasks.signature.get("unasked")) and counts not in found.values():
            found[posed.condition.label] = counts
    return found
