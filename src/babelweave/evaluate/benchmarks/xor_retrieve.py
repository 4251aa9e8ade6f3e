"""XOR-Retrieve: questions in seven languages, English passages, answers as strings.

The official pool is 18 million passages of English Wikipedia. Over any smaller pool the figures are bounded
by its answer ceiling, the share of questions with an answer string in some passage, which is reported
beside them. One language's questions are one subset, so the macro mean and its tests are those of
`evaluate.results`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from babelweave.artifact import digest_texts
from babelweave.data import xor
from babelweave.data.answers import AnswerIndex
from babelweave.errors import DataError
from babelweave.evaluate.benchmarks.rankers import Ranker, Stopwatch
from babelweave.evaluate.benchmarks.subsets import Settings, Tasks, choose, with_distractors
from babelweave.evaluate.results import BenchmarkResult, check_baseline, compare_results, read_per_query
from babelweave.evaluate.token_recall import (
    LIMITS,
    PassageTokens,
    TokenRecall,
    answer_ceiling,
    span_answers,
    token_recall,
)
from babelweave.records import Passage, Query, Scores, Subset

MOST = 10
"""Passages that may hold a question's answers where it is judged by them. Ours: of a year or a country that
stands in hundreds, hardly any is about the question."""


def read(source: Path, pool: Sequence[Passage], *, split: str = "dev") -> Tasks:
    """Read XOR-Retrieve: one subset, all questions against the pool.

    Args:
        source: the folder of the release, or its one JSONL file.
        pool: English passages; answers are looked for in their texts, not in their titles.
        split: "dev"; train is for training.

    Raises:
        UsageError: no such split.
        DataError: a broken source, or a pool without passages.
    """
    if not pool:
        raise DataError("the pool holds no passages")
    watch = Stopwatch()
    with watch.stage("read"):
        questions = xor.read_questions(source, split)
    signature = {
        "benchmark": "xor-retrieve",
        "split": split,
        "questions": digest_texts(f"{q.query_id} {q.text}" for q in questions),
        "passages": digest_texts(p.doc_id for p in pool),
    }
    return Tasks([Subset("xor-retrieve", "en", "mul", pool, questions, {})], [], signature, watch)


def read_judged(
    source: Path,
    pool: Sequence[Passage],
    *,
    subsets: str = "all",
    distractors: Sequence[Passage] = (),
    split: str = "dev",
) -> Tasks:
    """Read XOR-Retrieve for measures that want judgements, a subset for each language.

    A passage is taken as relevant where one of the question's answers stands in its text word for word, in
    any case; no one has judged whether it answers the question. Questions to be answered by yes or no, and
    those whose answers no passage holds or more than `MOST` do, are not asked; `signature["unasked"]` counts
    them.

    Args:
        source: the folder of the release, or its one JSONL file.
        pool: English passages in which answers are looked for. Those that hold one of a question that is
            asked are searched, in every language the same.
        subsets: "all" for the seven languages, or names separated by commas, for instance `en-ja`.
        distractors: searched beside them; of `pool`, or none of them can be told to hold no answer.
        split: "dev"; train is for training.

    Raises:
        UsageError: no such split or subset.
        DataError: a broken source, or no question that could be asked.
    Cost: as `AnswerIndex`, for the whole pool.
    """
    watch = Stopwatch()
    with watch.stage("read"):
        questions = xor.read_questions(source, split)
        known = [f"en-{lang}" for lang in xor.LANGUAGES]
        names, missing = choose(subsets, [n for n in known if n[3:] in {q.lang for q in questions}], known)
        index = AnswerIndex(passage.text for passage in pool)
        asked: dict[str, list[Query]] = {name: [] for name in names}
        qrels: dict[str, dict[str, int]] = {}
        held: set[int] = set()
        unasked: Counter[str] = Counter()
        for question in questions:
            if (name := f"en-{question.lang}") not in asked:
                continue
            rows = index.holding(question.answers).tolist()
            if not span_answers(question.answers):
                unasked["the answer is yes or no"] += 1
            elif not rows:
                unasked["no passage holds an answer"] += 1
            elif len(rows) > MOST:
                unasked[f"more than {MOST} passages hold an answer"] += 1
            else:
                asked[name].append(question)
                qrels[question.query_id] = {pool[row].doc_id: 1 for row in rows}
                held.update(rows)
        if not held:
            raise DataError(
                f"{source}: no question of {', '.join(names)} has answers that stand in 1 to {MOST} of the "
                f"{len(pool):,} passages"
            )
        passages = [pool[row] for row in sorted(held)]
        found = [
            Subset(name, "en", name[3:], passages, own, {q.query_id: qrels[q.query_id] for q in own})
            for name, own in asked.items()
        ]
        found = [with_distractors(subset, distractors) for subset in found]
    signature = {
        "benchmark": "xor-retrieve",
        "split": split,
        "judged": f"by answers in at most {MOST} passages",
        "distractors": len(distractors),
        "unasked": dict(unasked),
        "questions": digest_texts(f"{q.query_id} {q.text}" for s in found for q in s.queries),
        "passages": digest_texts(p.doc_id for p in found[0].passages),
        "judgements": digest_texts(f"{q} {d}" for q in sorted(qrels) for d in sorted(qrels[q])),
    }
    return Tasks(found, missing, signature, watch)


def run(tasks: Tasks, ranker: Ranker, settings: Settings) -> BenchmarkResult:
    """Rank the pool for every question, and score R@2kt and R@5kt.

    Args:
        settings: `measures` is ignored.

    Raises:
        DataError: the baseline was made on other questions.
    """
    (task,), watch = tasks.subsets, tasks.watch
    questions, pool = task.queries, task.passages
    baseline = read_per_query(settings.baseline) if settings.baseline else None
    if baseline:
        check_baseline(baseline, _scored(questions), LIMITS)
    ranker.prepare([task], watch)
    with watch.stage("search"):
        run = ranker.rank(task, settings.depth)
    texts = PassageTokens({p.doc_id: p.text for p in pool})
    with watch.stage("score"):
        found = {m: token_recall(questions, run, texts, m) for m in LIMITS}
    with watch.stage("ceiling"):
        ceiling = answer_ceiling(questions, texts)
    scores = {m: _by_language(result.scores, questions) for m, result in found.items()}
    comparisons = []
    if baseline:
        with watch.stage("compare"):
            comparisons = compare_results(baseline, scores, seed=settings.seed)
    first = next(iter(found.values()))
    summary = {
        "signature": {
            **tasks.signature,
            **ranker.signature,
            "depth": settings.depth,
            "measures": first.scores.signature,
            "counts": {**ranker.counts, "questions without a span answer": first.n_unscored}
            | {f"{m}: questions with fewer tokens": r.n_short for m, r in found.items()},
        },
        "languages": {lang: _figures(found, lang) for lang in first.languages},
        "macro": {m: result.macro for m, result in found.items()},
        "ceiling": {**ceiling, "macro": float(np.mean(list(ceiling.values())))},
        "n_passages": len(pool),
    }
    return BenchmarkResult(summary, scores, {"xor-retrieve": run}, comparisons, watch.seconds)


def _figures(found: dict[str, TokenRecall], lang: str) -> dict[str, float]:
    first = next(iter(found.values()))
    return {**{m: r.languages[lang] for m, r in found.items()}, "n_queries": first.n_questions[lang]}


def _scored(questions: Sequence[Query]) -> dict[str, list[str]]:
    """The questions that will be scored, under the names and in the order of `_by_language`."""
    found: dict[str, list[str]] = {}
    for question in sorted(questions, key=lambda q: (q.lang, q.query_id)):
        if span_answers(question.answers):
            found.setdefault(f"en-{question.lang}", []).append(question.query_id)
    return found


def _by_language(scores: Scores, questions: Sequence[Query]) -> dict[str, Scores]:
    """One `Scores` per language, named like a subset: English passages, questions of that language."""
    lang_of = {q.query_id: q.lang for q in questions}
    langs = np.array([lang_of[q] for q in scores.query_ids])
    ids = np.array(scores.query_ids)
    return {
        f"en-{lang}": Scores(scores.measure, tuple(ids[langs == lang].tolist()), scores.values[langs == lang])
        for lang in sorted(set(langs.tolist()))
    }
