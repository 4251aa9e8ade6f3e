"""A benchmark whose questions come perturbed: one step between reading it and running it."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain

from babelweave.evaluate.benchmarks.subsets import Tasks
from babelweave.protocols import Perturbation
from babelweave.records import Query
from babelweave.shift.perturb import perturb_queries


def perturb_tasks(tasks: Tasks, perturbation: Perturbation, severity: int, seed: int = 0) -> Tasks:
    """The same subsets with their questions perturbed; passages, ids, judgements and answers stay.

    `signature["perturbation"]` holds what was done and, for each language, how many of its distinct
    questions changed, did not, or were left because the language is not claimed. The digest of the questions
    stays that of the questions as they were read, which tells that two results asked the same.

    Raises:
        UsageError: severity is not a whole number from 0 to 5.
    """
    every = list(chain.from_iterable(s.queries for s in tasks.subsets))
    distinct = dict.fromkeys(Query("", query.text, query.lang) for query in every)
    with tasks.watch.stage("perturb"):
        perturbed = perturb_queries(distinct, perturbation, severity, seed)
    texts = dict(zip(distinct, (query.text for query in perturbed.queries), strict=True))
    subsets = [
        replace(s, queries=[q._replace(text=texts[Query("", q.text, q.lang)]) for q in s.queries])
        for s in tasks.subsets
    ]
    done = {
        **perturbation.signature,
        "severity": severity,
        "seed": seed,
        "counts": {lang: counts._asdict() for lang, counts in perturbed.counts.items()},
    }
    return replace(tasks, subsets=subsets, signature={**tasks.signature, "perturbation": done})
