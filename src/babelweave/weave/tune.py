"""Choosing alpha and language weights on development questions, without encoding or indexing again.

Scores are linear in the vectors: with a `linear` fuser that does not normalise, the scores of any alpha are
(1 - alpha) S_p + alpha S_g, where S_p are the scores of the plain passages and S_g those of the fuser at
alpha = 1. With another fuser, with `normalise`, and with an encoder that compares by cosine, they are not,
and every alpha is fused and scored again. Where a fuser keeps several rows of a passage, the best counts.

This module ranks; how a run is judged is the caller's `score`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from babelweave.artifact import Manifest, seal, write_folder, write_json
from babelweave.errors import DataError, UsageError
from babelweave.generate.queries import GeneratedQueries
from babelweave.protocols import Encoder, Fuser
from babelweave.ranking import tie_keys, to_run, top_k
from babelweave.records import EncoderSignature, Float32, Passage, Query, Run, Scores
from babelweave.weave.fusers.arrays import check_alpha, unit_rows
from babelweave.weave.fusers.spec import is_linear, open_fuser
from babelweave.weave.stream import QueryVectors, check_request, plan_weave, query_means, query_vectors

KIND = "tuning"

ALPHAS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.26, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Swept when nothing else is asked for; 0.26 is the paper's setting as a mean (`fusers.mean`)."""

WEIGHTS = (0.0, 0.5, 1.0, 2.0, 4.0)
"""Language weights tried, one language at a time."""

_DEPTH = 100
_CHUNK_SCORES = 2**24  # scores held at a time for each of two matrices: 64 MB each

Score = Callable[[Run], Sequence[Scores]]


@dataclass(frozen=True, slots=True)
class Row:
    """One setting: measure -> question language (and "mean", over languages) -> value in [0, 1]."""

    alpha: float
    language_weights: Mapping[str, float]
    values: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Tuning:
    """A sweep: every setting tried, and the one chosen by the first measure's mean over languages.

    A tie goes to the smaller alpha. `losers` are the question languages that lose against plain there.
    """

    fuser: str
    normalise: bool
    measures: tuple[str, ...]
    languages: tuple[str, ...]
    rows: tuple[Row, ...]
    plain: Row
    best: Row

    @property
    def losers(self) -> dict[str, float]:
        """Question language -> loss by the first measure at the chosen setting, as a positive number."""
        measure = self.measures[0]
        gains = self.gains(self.best)[measure]
        return {lang: -gains[lang] for lang in self.languages if gains[lang] < 0}

    def gains(self, row: Row) -> dict[str, dict[str, float]]:
        """Measure -> language -> value minus plain."""
        return {
            m: {lang: value - self.plain.values[m][lang] for lang, value in by_lang.items()}
            for m, by_lang in row.values.items()
        }

    def to_dict(self) -> dict[str, Any]:
        """JSON values: everything above, and the losers."""
        return {**asdict(self), "losers": self.losers}


@dataclass(frozen=True, slots=True)
class Dev:
    """What a sweep needs in memory: development questions and vectors of questions and passages."""

    queries: Sequence[Query]
    query_vectors: Float32
    """(q, d)"""
    doc_ids: Sequence[str]
    passage_vectors: Float32
    """(n, d)"""
    generated: QueryVectors
    signature: EncoderSignature
    """Of the encoder; says whether passages are ranked by inner product or by cosine."""


def encode_dev(
    passages: Sequence[Passage],
    queries: Sequence[Query],
    generated: GeneratedQueries,
    encoder: Encoder,
    languages: Sequence[str],
    *,
    per_language: int | None = None,
    whole: bool = False,
) -> Dev:
    """Encode all that a sweep needs, once: passages, questions, and the generated queries.

    Args:
        whole: keep every query, as a fuser that is not `linear` needs; else their means per language.
    Raises:
        UsageError: a language without queries, or `per_language` below 1.
        DataError: none of the generated queries belongs to a passage.
    """
    wanted = check_request(generated, languages, per_language)
    plan_weave(passages, generated)
    doc_ids = [p.doc_id for p in passages]
    gather = query_vectors if whole else query_means
    return Dev(
        queries,
        encoder.encode([q.text for q in queries], "query").vectors,
        doc_ids,
        encoder.encode([p.content for p in passages], "passage").vectors,
        gather(doc_ids, generated.lookup, encoder, wanted, per_language=per_language),
        encoder.signature,
    )


def parse_alphas(text: str) -> tuple[float, ...]:
    """ "0,0.1,0.3" to numbers.

    Raises:
        UsageError: one of them is not a number.
    """
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(f"alphas {text!r}: expected numbers separated by commas ({error})") from error


def tune(
    dev: Dev,
    score: Score,
    *,
    fuser: str = "mean",
    alphas: Sequence[float] = ALPHAS,
    normalise: bool = False,
    language_weights: Mapping[str, float] | None = None,
    search_weights: bool = False,
) -> Tuning:
    """Sweep alpha, then optionally the weight of each generated language at the chosen alpha.

    Args:
        score: a run to one `Scores` per measure; the mean over question languages of the first one decides.
        fuser: SPEC; one that is not `linear` needs a `dev` encoded with `whole`.
        alphas: in [0, 1]; 0, the plain passages, is always added.
        language_weights: of the sweep over alpha; 1 where absent.
        search_weights: then try `WEIGHTS` for one generated language after the other, keeping what helps.
            Chosen on few questions, such weights fit them by chance too: report on others.
    Raises:
        UsageError: an alpha outside [0, 1], an unknown fuser, or means where it needs single queries.
        DataError: no questions, or `score` gives nothing.
    Cost: two products (q, d) x (d, n) and a top-k per alpha; v products where scores are not linear.
        Memory beside `dev`: a bounded part of the score matrices, and the woven rows.
    """
    if not dev.queries:
        raise DataError("no development questions to tune on")
    by_means = is_linear(fuser)
    if not by_means and dev.generated.counts.max(initial=0) > 1:
        raise UsageError(f"fuser {fuser} looks at single queries, not at means; encode_dev(..., whole=True)")

    def with_weights(weights: Mapping[str, float]) -> Callable[[float], Fuser]:
        return lambda alpha: open_fuser(fuser, alpha=alpha, language_weights=weights, normalise=normalise)

    swept = sorted({0.0, *map(check_alpha, alphas)})
    weights = dict(language_weights or {})
    linear = by_means and not normalise and not dev.signature.by_cosine
    rows = list(_sweep(dev, score, with_weights(weights), swept, weights, linear=linear))
    plain, measures = rows[0], tuple(rows[0].values)
    best = max(rows, key=lambda row: (row.values[measures[0]]["mean"], -row.alpha))
    for lang in dict.fromkeys(dev.generated.languages) if search_weights and best.alpha > 0 else ():
        for weight in WEIGHTS:
            tried = {**best.language_weights, lang: weight}
            if weight == best.language_weights.get(lang, 1.0):
                continue
            found = list(_sweep(dev, score, with_weights(tried), [best.alpha], tried, linear=linear))
            rows += found
            best = max([best, *found], key=lambda row: row.values[measures[0]]["mean"])
    languages = tuple(sorted({q.lang for q in dev.queries}))
    return Tuning(fuser, normalise, measures, languages, tuple(rows), plain, best)


def write_tuning(
    tuning: Tuning,
    folder: Path,
    *,
    settings: Mapping[str, Any],
    inputs: Mapping[str, str],
    overwrite: bool = False,
) -> Manifest:
    """Write `tuning.json` and a manifest into a folder.

    Raises:
        UsageError: the folder holds something and `overwrite` is not given.
    """
    with write_folder(folder, KIND, overwrite=overwrite) as aside:
        write_json(aside / "tuning.json", tuning.to_dict())
        return seal(aside, KIND, settings, inputs=inputs)


def _sweep(
    dev: Dev,
    score: Score,
    fuser_at: Callable[[float], Fuser],
    alphas: Sequence[float],
    weights: Mapping[str, float],
    *,
    linear: bool,
) -> Iterator[Row]:
    runs: dict[float, list[Run]] = defaultdict(list)
    keys = tie_keys(dev.doc_ids)
    ends = {a: _fused(dev, fuser_at(a)) for a in ((0.0, 1.0) if linear else alphas)}
    n_rows = max(1, *(len(rows) for rows in ends.values()))
    size = max(1, _CHUNK_SCORES // n_rows)
    for start in range(0, len(dev.queries), size):
        chunk = dev.query_vectors[start : start + size]
        query_ids = [q.query_id for q in dev.queries[start : start + size]]
        parts = {a: _best_row(chunk @ rows.T, len(dev.doc_ids)) for a, rows in ends.items()}
        for alpha in alphas:
            scores = (1 - alpha) * parts[0.0] + alpha * parts[1.0] if linear else parts[alpha]
            runs[alpha].append(to_run(query_ids, top_k(scores, _DEPTH, keys), dev.doc_ids))
    for alpha in alphas:
        yield Row(alpha, dict(weights), _by_language(score(_joined(runs[alpha])), dev.queries))


def _fused(dev: Dev, fuser: Fuser) -> Float32:
    """float32 (n * v, d), the rows of a passage together."""
    languages, queries, counts = dev.generated
    fused = fuser.fuse(dev.passage_vectors, queries, counts, languages)
    rows = np.asarray(fused, dtype=np.float32).reshape(-1, dev.passage_vectors.shape[1])
    # A question's own length moves all its scores alike, so the rows are all that cosine has to divide.
    return np.asarray(unit_rows(rows)) if dev.signature.by_cosine else rows


def _best_row(scores: Float32, n_passages: int) -> Float32:
    """(q, n * v) -> (q, n): the best of the v rows of each passage."""
    if scores.shape[1] == n_passages:
        return scores
    best: Float32 = scores.reshape(len(scores), n_passages, -1).max(axis=2)
    return best


def _joined(runs: Sequence[Run]) -> Run:
    return Run(
        tuple(chain.from_iterable(r.query_ids for r in runs)),
        tuple(chain.from_iterable(r.doc_ids for r in runs)),
        tuple(chain.from_iterable(r.scores for r in runs)),
    )


def _by_language(scores: Sequence[Scores], queries: Sequence[Query]) -> dict[str, dict[str, float]]:
    """Measure -> language -> mean over its questions, and "mean" over languages."""
    lang_of = {q.query_id: q.lang for q in queries}
    table: dict[str, dict[str, float]] = {}
    for measured in scores:
        values: defaultdict[str, list[float]] = defaultdict(list)
        for query_id, value in zip(measured.query_ids, measured.values.tolist(), strict=True):
            if query_id in lang_of:
                values[lang_of[query_id]].append(value)
        by_lang = {lang: sum(found) / len(found) for lang, found in sorted(values.items())}
        if not by_lang:
            raise DataError(f"{measured.measure}: none of the development questions is judged")
        table[measured.measure] = {**by_lang, "mean": sum(by_lang.values()) / len(by_lang)}
    if not table:
        raise DataError("no measure to tune by")
    return table
