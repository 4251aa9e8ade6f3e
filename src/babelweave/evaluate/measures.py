"""The standard measures, computed by ir_measures in one tie order.

ir_measures takes RR@10 and AP from different providers, which break ties in opposite directions and
compare scores at different precision. So before scoring, every run is put into our order
(`babelweave.ranking`) and its scores are replaced by distinct ranks: then all measures see one ranking.

ir_measures computes a measure with the first provider that happens to be installed, so one command can
give figures of different code on two machines. Here the providers are named; all come with babelweave.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import Any

import numpy as np

from babelweave.errors import DataError, UsageError, nearest
from babelweave.ranking import rank_documents
from babelweave.records import Qrels, Run, Scores

DEFAULT = ("RR@10", "R@100", "nDCG@10")
"""What MTEB publishes for MLQARetrieval, under ir_measures' names."""

KNOWN = ("RR@10", "RR", "R@100", "nDCG@10", "AP", "P@10", "Success@10", "Judged@10")
"""Names for hints; any other cutoff and parameter of these and of trec_eval's measures works too."""

_CHUNK = 1000  # queries per call: ir_measures unrolls its input row by row, this bounds the memory


@dataclass(frozen=True, slots=True)
class Coverage:
    """How the questions of a run and of its judgements overlap."""

    n_judged: int
    n_without_hits: int
    """Judged questions the run does not answer; they score the measure's default and stay in the mean."""
    n_unjudged: int
    """Questions of the run without judgements; they cannot be scored and are left out."""


@dataclass(frozen=True, slots=True)
class IrMeasure:
    """A `Measure` by its ir_measures name, for instance `nDCG@10`.

    Raises:
        UsageError: not a measure, or a parameter such as the cutoff is missing or wrong.
    """

    name: str

    def __post_init__(self) -> None:
        _parse(self.name)

    def score(self, qrels: Qrels, run: Run) -> Scores:
        return evaluate(qrels, run, [self.name])[0]


def evaluate(qrels: Qrels, run: Run, measures: Sequence[str] = DEFAULT) -> list[Scores]:
    """Score a run: one `Scores` per measure, in the order asked, over the judged questions by id.

    A judged question without hits scores 0 and stays in the mean; a question without judgements is left
    out (`coverage` counts both).

    Args:
        qrels: query_id -> doc_id -> relevance.
        run: any order; it is ranked by score descending, then doc_id descending.
        measures: ir_measures names.

    Raises:
        UsageError: no measure, or an unknown one. All unknown names are listed at once.
        DataError: no judgements, none of them for a question of the run, or a score that is not a number.
    """
    parsed = _parse_all(measures)
    query_ids = sorted(qrels)
    _check(qrels, run)
    ranked = {q: _distinct_ranks(q, docs, scores) for q, docs, scores in run if q in qrels}
    values = {m: np.zeros(len(query_ids)) for m in parsed}
    place = {q: i for i, q in enumerate(query_ids)}
    for start in range(0, len(query_ids), _CHUNK):
        chunk = query_ids[start : start + _CHUNK]
        judged = {q: {d: int(r) for d, r in qrels[q].items()} for q in chunk}
        answered = {q: ranked[q] for q in chunk if ranked.get(q)}  # Judged@k divides by the hits
        for found in _provider().iter_calc(parsed, judged, answered):
            values[found.measure][place[found.query_id]] = found.value
    signature = (
        f"ir_measures {version('ir_measures')}, pytrec_eval-terrier {version('pytrec_eval-terrier')}; "
        "ties: score, then doc_id, descending"
    )
    return [
        Scores(name, tuple(query_ids), values[m], signature) for name, m in zip(measures, parsed, strict=True)
    ]


def coverage(qrels: Qrels, run: Run) -> Coverage:
    """Count the questions that only one side has."""
    answered = {q for q, docs, _ in run if docs}
    return Coverage(len(qrels), len(qrels.keys() - answered), len(set(run.query_ids) - qrels.keys()))


def check_measures(measures: Sequence[str], depth: int) -> None:
    """Refuse, before any work, measures that a run of some depth cannot be scored by.

    Raises:
        UsageError: no measure, an unknown one, or a cutoff deeper than `depth`.
    """
    for name, measure in zip(measures, _parse_all(measures), strict=True):
        if measure.params.get("cutoff", 0) > depth:
            raise UsageError(
                f"{name} looks at more than the {depth} passages retrieved per question; raise the depth "
                "or lower the cutoff"
            )


def parse_names(text: str) -> list[str]:
    """Measure names separated by commas, each once; commas inside brackets belong to a name."""
    names = (name.strip() for name in re.split(r",(?![^(]*\))", text))
    return list(dict.fromkeys(name for name in names if name))


def _distinct_ranks(query_id: str, doc_ids: Sequence[str], scores: Sequence[float]) -> dict[str, float]:
    given = dict(zip(doc_ids, scores, strict=True))
    if any(score != score for score in scores):
        raise DataError(f"query {query_id!r}: the run holds a score that is not a number; make the run again")
    if len(given) != len(doc_ids):
        raise DataError(f"query {query_id!r}: the run names a document twice; each may stand once per query")
    order = rank_documents(given)
    return {doc_id: float(len(order) - i) for i, (doc_id, _) in enumerate(order)}


def _check(qrels: Qrels, run: Run) -> None:
    if not qrels:
        raise DataError("there are no judgements to score against")
    if len(set(run.query_ids)) != len(run):
        raise DataError("the run answers a question twice; each query_id may stand once")
    if len(run) and not qrels.keys() & set(run.query_ids):
        raise DataError(
            f"run and judgements share no question: the run has {run.query_ids[0]!r}, ..., the judgements "
            f"{next(iter(qrels))!r}, ...; are they of the same collection and split?"
        )


@cache
def _provider() -> Any:
    """RR@k comes from MS MARCO's scorer, Judged@k from ir_measures, all else from trec_eval's code."""
    from ir_measures import providers

    return providers.FallbackProvider(
        [providers.PytrecEvalProvider(), providers.MsMarcoProvider(), providers.JudgedProvider()]
    )


def _parse(name: str) -> Any:
    import ir_measures

    try:
        measure = ir_measures.parse_measure(name)
        measure.validate_params()
        if not _provider().supports(measure):
            raise ValueError(f"{name}: no provider")
        if any(measure.params.get(key, 1) < 1 for key in ("cutoff", "rel")):
            raise ValueError(f"{name}: trec_eval's code ends the process over it")
    except (NameError, ValueError, SyntaxError, TypeError, KeyError, AssertionError) as error:
        raise UsageError(f"unknown measure {name!r}; {nearest(name, KNOWN)}, ...") from error
    return measure


def _parse_all(names: Sequence[str]) -> list[Any]:
    if not names:
        raise UsageError(f"no measure was asked for; known: {', '.join(sorted(KNOWN))}, ...")
    parsed, faults = [], []
    for name in names:
        try:
            parsed.append(_parse(name))
        except UsageError as error:
            faults.append(str(error))
    if faults:
        raise UsageError("; ".join(faults))
    return parsed
