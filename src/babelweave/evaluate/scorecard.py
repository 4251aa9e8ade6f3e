"""One run against one task: every measure asked for, whole and per question language.

open_task      what to score against: judgements, and a collection with languages, answers and texts
score_run      a run to a `Scorecard`
compare_cards  two scorecards of one task to paired comparisons
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from babelweave.data.collection import Collection
from babelweave.data.trec import read_qrels
from babelweave.errors import DataError, UsageError
from babelweave.evaluate.compare import Comparison, Correction, compare, correct, estimate
from babelweave.evaluate.measures import DEFAULT, Coverage, coverage, evaluate
from babelweave.evaluate.token_recall import LIMITS, PassageTokens, TokenRecall, token_recall
from babelweave.records import Qrels, Query, Run, Scores

ALL = "all questions"
MACRO = "macro mean"


@dataclass(frozen=True, slots=True)
class Task:
    """What a run is scored against.

    Attributes:
        qrels: judgements; empty when only answers decide.
        queries: the questions, with language and answers; empty without a collection.
        collection: where passage texts come from.
    Raises:
        DataError: a judged question is not among `queries`; it would be scored 0.
    """

    qrels: Qrels
    queries: Sequence[Query] = ()
    collection: Collection | None = None

    def __post_init__(self) -> None:
        unknown = sorted(self.qrels.keys() - {q.query_id for q in self.queries}) if self.queries else []
        if unknown:
            raise DataError(
                f"{len(unknown)} judged questions are not among the collection's queries, such as "
                f"{unknown[0]!r}; are judgements and collection of the same release?"
            )


class Figure(NamedTuple):
    """One mean and its 95 % interval; `over` is all questions, the macro mean, or a language."""

    measure: str
    over: str
    n_questions: int
    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Scorecard:
    """The figures of one run.

    Attributes:
        scores: measure -> per-question scores.
        languages: query_id -> language; empty when the task names none.
        coverage: judged, unanswered and unjudged questions; None when only answers decide.
        recalls: measure -> R@kt, for those asked.
    """

    scores: Mapping[str, Scores]
    languages: Mapping[str, str]
    coverage: Coverage | None
    recalls: Mapping[str, TokenRecall]

    def overall(self, measure: str) -> tuple[str, dict[str, Scores]]:
        """The published mean of a measure and its parts: R@kt weighs languages equally, others questions."""
        if measure in self.recalls:
            return MACRO, self.by_language(measure)
        return ALL, {ALL: self.scores[measure]}

    def by_language(self, measure: str) -> dict[str, Scores]:
        """Question language -> the scores of its questions, sorted by language.

        Raises:
            UsageError: the task names no languages.
        """
        scores = self.scores[measure]
        if not self.languages:
            raise UsageError("languages are not known; pass --collection with a queries file")
        langs = np.array([self.languages[q] for q in scores.query_ids])
        ids = np.array(scores.query_ids)
        return {
            lang: Scores(measure, tuple(ids[langs == lang].tolist()), scores.values[langs == lang])
            for lang in sorted(set(langs.tolist()))
        }

    def languages_beside(self, measure: str) -> dict[str, Scores]:
        """`by_language` where that says more than the overall mean: nothing when there is one language."""
        found = self.by_language(measure)
        return found if len(found) > 1 else {}

    def figures(self, *, by_language: bool = False, seed: int = 0) -> list[Figure]:
        """For each measure its published mean, then its languages when asked; `seed` is the bootstrap's."""
        rows = []
        for measure in self.scores:
            over, parts = self.overall(measure)
            named = {over: parts}
            if by_language:
                named |= {lang: {lang: scores} for lang, scores in self.languages_beside(measure).items()}
            for name, subsets in named.items():
                n = sum(len(s.query_ids) for s in subsets.values())
                rows.append(Figure(measure, name, n, *estimate(subsets, seed)))
        return rows

    def per_subset(self) -> dict[str, dict[str, Scores]]:
        """Measure -> language, or `all` where none is known -> scores."""
        return {
            m: self.by_language(m) if self.languages else {"all": scores} for m, scores in self.scores.items()
        }

    def to_dict(self, figures: Sequence[Figure]) -> dict[str, Any]:
        """JSON values: the figures, what was not scored, and what scored."""
        return {
            "figures": [figure._asdict() for figure in figures],
            "coverage": asdict(self.coverage) if self.coverage else None,
            "token_recall": {
                m: {"n_short": r.n_short, "n_unscored": r.n_unscored} for m, r in self.recalls.items()
            },
            "signatures": {m: s.signature for m, s in self.scores.items()},
        }


def open_task(qrels: Path | None, collection: Path | None = None, split: str = "test") -> Task:
    """Read what a run is to be scored against.

    Args:
        qrels: a judgement file (TREC or BEIR), or a collection folder, which then serves as `collection` too.
        collection: a collection folder; gives languages, answers and texts.
        split: which judgements of a collection folder.

    Raises:
        UsageError: neither is given, or the folder has no such split.
        DataError: a broken file, or a judged question that the collection does not have.
    """
    if qrels is not None and qrels.is_dir():
        collection = collection or qrels
        judged: Qrels = Collection.open(qrels).qrels(split, check=False)
    elif qrels is not None:
        judged = read_qrels(qrels)
    elif collection is not None:
        judged = {}
    else:
        raise UsageError("nothing to score against; pass --qrels FILE|COLLECTION, or --collection for R@2kt")
    if collection is None:
        return Task(judged)
    opened = Collection.open(collection)
    has_queries = opened.query_file is not None
    return Task(judged, tuple(opened.queries()) if has_queries else (), opened)


def score_run(task: Task, run: Run, measures: Sequence[str] = DEFAULT) -> Scorecard:
    """Score a run.

    Standard measures need judgements; R@2kt and R@5kt need a collection whose queries carry answers, and
    score its judged questions where there are judgements, else all of them.

    Raises:
        UsageError: unknown measures, or a measure whose need the task does not meet.
        DataError: run and task do not belong together.

    Cost: for R@kt the corpus is read once; the texts the run names are held in memory.
    """
    if not measures:
        raise UsageError("no measure was asked for")
    standard = [m for m in measures if m not in LIMITS]
    answered = [m for m in measures if m in LIMITS]
    if standard and not task.qrels:
        raise UsageError(f"{', '.join(standard)} need judgements, and there are none; pass --qrels with some")
    if answered and not any(q.answers for q in task.queries):
        raise UsageError(
            f"{', '.join(answered)} need questions with answers; pass --collection with such queries"
        )
    found = {s.measure: s for s in evaluate(task.qrels, run, standard)} if standard else {}
    recalls = _recalls(task, run, answered) if answered else {}
    found |= {m: recall.scores for m, recall in recalls.items()}
    return Scorecard(
        {m: found[m] for m in measures},
        {q.query_id: q.lang for q in task.queries},
        coverage(task.qrels, run) if standard else None,
        recalls,
    )


def _recalls(task: Task, run: Run, measures: Sequence[str]) -> dict[str, TokenRecall]:
    if task.collection is None:
        raise UsageError("R@kt needs passage texts; pass --collection")
    named = {doc_id for _, docs, _ in run for doc_id in docs}
    texts = {p.doc_id: p.text for p in task.collection.passages() if p.doc_id in named}
    queries = [q for q in task.queries if not task.qrels or q.query_id in task.qrels]
    tokens = PassageTokens(texts)
    return {m: token_recall(queries, run, tokens, m) for m in measures}


def compare_cards(
    a: Scorecard, b: Scorecard, *, by_language: bool = False, correction: Correction = "holm", seed: int = 0
) -> list[Comparison]:
    """Paired tests of b against a: the published mean of every measure, then its languages.

    All rows together are one family for the correction.

    Raises:
        UsageError: `by_language` without languages.
        DataError: measures or questions differ, or a question's language is not known.
    """
    if a.scores.keys() != b.scores.keys():
        raise DataError(f"the two systems were scored by {sorted(a.scores)} and {sorted(b.scores)}")
    rows = []
    for measure in a.scores:
        label, parts = a.overall(measure)
        rows.append(compare(parts, b.overall(measure)[1], family=label, seed=seed))
        if by_language:
            theirs = b.by_language(measure)
            for lang, scores in a.languages_beside(measure).items():
                rows.append(compare({lang: scores}, {lang: theirs[lang]}, family=lang, seed=seed))
    return correct(rows, correction)
