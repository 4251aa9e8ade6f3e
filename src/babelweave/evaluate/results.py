"""A benchmark's result folder: what is in it, its means, and two of them compared.

results.json         signature, figures per subset, means, missing subsets
per_query.parquet    subset, query_id, measure, value
runs/<subset>.trec   what was retrieved
comparison.json      paired tests against a baseline, when one was given
manifest.json        checksums; written last
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from babelweave.artifact import read_manifest, seal, write_aside, write_folder, write_json
from babelweave.data.trec import write_run
from babelweave.data.xquad import POOLED, pooled_language, pooled_question
from babelweave.errors import DataError
from babelweave.evaluate.compare import Comparison, Correction, check_pairs, compare, correct
from babelweave.records import Run, Scores

KIND = "result"

Table = Mapping[str, Mapping[str, Scores]]
"""measure -> subset -> scores."""


@dataclass(frozen=True, slots=True)
class BenchmarkResult:
    """What a benchmark found.

    Attributes:
        summary: the content of `results.json`.
        scores: measure -> subset -> per-question scores.
        runs: subset -> run.
        comparisons: against the baseline; empty without one.
        seconds: stage -> wall-clock seconds. Not part of any file: files do not depend on the clock.
    """

    summary: dict[str, Any]
    scores: Table
    runs: Mapping[str, Run]
    comparisons: Sequence[Comparison]
    seconds: Mapping[str, float]


def groups(subsets: Iterable[str]) -> dict[str, list[str]]:
    """The named means over `passage language - question language` subsets; empty groups are left out.

    `all` is every subset; `x-en` English passages with other questions; `cross` languages that differ.
    """
    pairs = {name: _split(name) for name in subsets}
    found = {
        "all": list(pairs),
        "x-en": [n for n, (p, q) in pairs.items() if p == "en" and q != "en"],
        "cross": [n for n, (p, q) in pairs.items() if p != q],
    }
    return {name: members for name, members in found.items() if members}


def question_language(subset: str) -> str:
    """The language asked in: the second half of a subset's name."""
    return _split(subset)[1]


def means_by_language(subset: str, scores: Scores) -> dict[str, float]:
    """Language asked in -> mean; `pooled` is asked in several."""
    if subset != POOLED:
        return {question_language(subset): scores.mean}
    asked = np.array([pooled_language(i) for i in scores.query_ids])
    return {str(lang): float(scores.values[asked == lang].mean()) for lang in np.unique(asked)}


def _split(subset: str) -> tuple[str, str]:
    """`zh-Hant-en` -> (`zh-Hant`, `en`): script subtags have four letters and start with a capital."""
    parts: list[str] = []
    for part in subset.split("-"):
        if parts and len(part) == 4 and part[:1].isupper():
            parts[-1] += f"-{part}"
        else:
            parts.append(part)
    if len(parts) != 2:
        return subset, subset  # not a pair of languages, such as `pooled`
    return parts[0], parts[1]


def means(scores: Table) -> dict[str, dict[str, float]]:
    """Group -> measure -> mean over the group's subsets, each counting once."""
    subsets = list(next(iter(scores.values())))
    return {
        group: {m: float(np.mean([scores[m][s].mean for s in members])) for m in scores}
        for group, members in groups(subsets).items()
    }


def compare_results(
    a: Table, b: Table, *, correction: Correction = "holm", seed: int = 0
) -> list[Comparison]:
    """Paired tests of b against a: each named mean, and each question language.

    One measure's rows are one family for the correction. A question language's row is the mean over the
    subsets in other languages than the question's, or over all its subsets where there is no such subset.

    Raises:
        DataError: no measure is shared, or `a` lacks a subset of `b` or was scored on other questions.
    """
    rows: list[Comparison] = []
    for measure in _shared(a, b):
        family = [
            compare(
                by_question(a[measure], subsets), by_question(b[measure], subsets), family=name, seed=seed
            )
            for name, subsets in families(b[measure]).items()
        ]
        rows += correct(family, correction)
    return rows


def check_baseline(baseline: Table, questions: Mapping[str, Sequence[str]], measures: Iterable[str]) -> None:
    """Refuse, before any work, a baseline that `compare_results` would refuse after it.

    Args:
        questions: subset -> the query_ids that are going to be scored, sorted.

    Raises:
        DataError: measures, subsets or questions differ.
    """
    for measure in _shared(baseline, measures):
        planned = {s: Scores(measure, tuple(ids), np.zeros(len(ids))) for s, ids in questions.items()}
        check_pairs(by_question(baseline[measure], list(planned)), by_question(planned, list(planned)))


def _shared(a: Iterable[str], b: Iterable[str]) -> list[str]:
    known, wanted = list(a), list(b)
    shared = [measure for measure in wanted if measure in known]
    if not shared:
        raise DataError(f"the two results share no measure: {sorted(known)} and {sorted(wanted)}")
    return shared


def families(subsets: Iterable[str]) -> dict[str, list[str]]:
    """The means that are compared: name -> subsets; a group equal to one before it is left out."""
    names = list(subsets)
    if len(names) == 1:
        return {names[0]: names}
    found: dict[str, list[str]] = {}
    for group, members in groups(names).items():
        if members not in found.values():
            found[group] = members
    for lang in sorted({question_language(s) for s in names}):
        asked = [s for s in names if question_language(s) == lang]
        found[f"asked in {lang}"] = [s for s in asked if _split(s)[0] != lang] or asked
    return found


def by_question(scores: Mapping[str, Scores], subsets: Sequence[str]) -> dict[str, Scores]:
    """Some subsets' scores under the ids of the questions, the units of tests and intervals.

    In `pooled` a question stands once per language, under query ids of its own; its rows are one unit too.

    Raises:
        DataError: one of the subsets is not there.
    """
    try:
        found = {s: scores[s] for s in subsets}
    except KeyError as error:
        raise DataError(f"the baseline lacks subset {error.args[0]!r}; run it on the same subsets") from None
    if POOLED in found:
        questions = tuple(map(pooled_question, found[POOLED].query_ids))
        found[POOLED] = replace(found[POOLED], query_ids=questions)
    return found


def write_result(folder: Path, result: BenchmarkResult, *, overwrite: bool = False) -> None:
    """Write a result folder; it appears whole or not at all."""
    with write_folder(folder, KIND, overwrite=overwrite) as aside:
        write_json(aside / "results.json", result.summary)
        write_per_query(aside / "per_query.parquet", result.scores)
        for subset, run in result.runs.items():
            write_run(aside / "runs" / f"{subset}.trec", run, tag="babelweave")
        if result.comparisons:
            write_json(
                aside / "comparison.json",
                {
                    "signature": "paired t-test; sign-flip randomisation test; percentile bootstrap 95 %; "
                    "questions as clusters",
                    "comparisons": [c.to_dict() for c in result.comparisons],
                },
            )
        seal(aside, KIND, result.summary["signature"])


def read_per_query(folder: Path) -> dict[str, dict[str, Scores]]:
    """Measure -> subset -> scores of a result folder.

    Raises:
        DataError: not a finished result, or the table lacks a column, holds a value that is not a number,
            or a question twice.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    read_manifest(folder, KIND)
    path = folder / "per_query.parquet"
    try:
        table = pq.read_table(path, columns=["subset", "query_id", "measure", "value"])
    except (pa.ArrowException, OSError, KeyError) as error:
        raise DataError(f"{path}: not a table of per-query scores ({error})") from error
    keys = ("measure", "subset", "query_id")
    values = table.column("value")
    if (
        table.num_rows == 0
        or values.null_count
        or not np.isfinite(np.asarray(values, dtype=np.float64)).all()
    ):
        raise DataError(f"{path}: no rows, or a value that is not a number; run the benchmark again")
    if table.group_by(keys).aggregate([([], "count_all")]).num_rows != table.num_rows:
        raise DataError(f"{path}: a question stands twice in one subset; run the benchmark again")
    collected: dict[str, dict[str, list[tuple[str, float]]]] = {}
    for row in table.to_pylist():
        subset = collected.setdefault(row["measure"], {}).setdefault(row["subset"], [])
        subset.append((row["query_id"], row["value"]))
    return {
        measure: {
            name: Scores(measure, tuple(q for q, _ in rows), np.array([v for _, v in rows]))
            for name, rows in subsets.items()
        }
        for measure, subsets in collected.items()
    }


def write_per_query(path: Path, scores: Table) -> None:
    """Write the Parquet table `subset, query_id, measure, value`; it appears whole or not at all."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, list[Any]] = {"subset": [], "query_id": [], "measure": [], "value": []}
    for measure, subsets in scores.items():
        for name, found in subsets.items():
            n = len(found.query_ids)
            columns["subset"] += [name] * n
            columns["query_id"] += found.query_ids
            columns["measure"] += [measure] * n
            columns["value"] += found.values.tolist()
    with write_aside(path) as aside:
        pq.write_table(pa.table(columns), aside)
