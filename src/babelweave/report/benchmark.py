"""A benchmark's result folder, read, checked, and told in sections of a page."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from babelweave.artifact import read_json
from babelweave.errors import DataError
from babelweave.evaluate.compare import Comparison, Estimate, estimate
from babelweave.evaluate.results import (
    by_question,
    compare_results,
    families,
    groups,
    question_language,
    read_per_query,
)
from babelweave.records import Scores
from babelweave.report.figures import Series, forest, grouped_bars
from babelweave.report.page import Block, Figure, Section
from babelweave.report.summaries import INTERVAL, PERCENT, comparison_table, results_table
from babelweave.report.tables import Cell, Column, Table

PerQuery: TypeAlias = Mapping[str, Mapping[str, Scores]]
"""measure -> subset -> scores."""

ModelT = TypeVar("ModelT", bound=BaseModel)

_AGREEMENT = 1e-9  # both files hold float64 written in full


class _Results(BaseModel):
    """`results.json` of every benchmark: one of `subsets` (mlqa, xquad-r) and `languages` (xor-retrieve)."""

    signature: dict[str, Any]
    subsets: dict[str, dict[str, int | float]] = {}
    languages: dict[str, dict[str, int | float]] = {}
    ceiling: dict[str, float] = {}
    missing: list[str] = []


class _Comparisons(BaseModel):
    comparisons: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Result:
    """A result folder whose files agree with one another.

    Attributes:
        name: of the folder.
        signature: what made the figures.
        figures: subset or language -> column -> value, as `results.json` has them.
        by: "subset" or "language", what the names of `figures` are.
        ceiling: language -> what a perfect ranker would score, for answer-based benchmarks.
        missing: subsets of the benchmark that the source lacked.
        scores: measure -> subset -> per-question scores.
        comparisons: against the baseline of the run; empty without one.
    """

    name: str
    signature: Mapping[str, Any]
    figures: Mapping[str, Mapping[str, float]]
    by: str
    ceiling: Mapping[str, float]
    missing: Sequence[str]
    scores: PerQuery
    comparisons: Sequence[Comparison]


def read_result(folder: Path) -> Result:
    """Read a result folder.

    Raises:
        DataError: unfinished, cut, of another shape, or its figures are not the means of its questions.
    """
    scores = read_per_query(folder)
    path = folder / "results.json"
    found = validated(path, _Results)
    if bool(found.subsets) == bool(found.languages):
        raise DataError(f"{path}: expected figures under one of 'subsets' and 'languages'")
    by = "subset" if found.subsets else "language"
    result = Result(
        name=folder.resolve().name,
        signature=found.signature,
        figures=found.subsets or found.languages,
        by=by,
        ceiling=found.ceiling,
        missing=found.missing,
        scores=scores,
        comparisons=_comparisons(folder / "comparison.json"),
    )
    _check_agreement(result, folder)
    return result


def _comparisons(path: Path) -> list[Comparison]:
    if not path.is_file():
        return []
    rows = validated(path, _Comparisons).comparisons
    written = [{name: math.nan if v is None else v for name, v in row.items()} for row in rows]
    try:
        return TypeAdapter(list[Comparison]).validate_python(written)
    except ValidationError as error:
        raise DataError(f"{path}: not of the expected shape; comparisons.{_first(error)}") from error


def validated(path: Path, model: type[ModelT]) -> ModelT:
    """A JSON file as a model.

    Raises:
        DataError: not JSON, or of another shape; the message holds the place of the first fault.
    """
    try:
        return model.model_validate(read_json(path))
    except ValidationError as error:
        raise DataError(f"{path}: not of the expected shape; {_first(error)}") from error


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    return f"{'.'.join(map(str, first['loc'])) or 'the whole'}: {first['msg']}"


def _check_agreement(result: Result, folder: Path) -> None:
    name_of = (lambda s: s) if result.by == "subset" else question_language
    for measure, subsets in result.scores.items():
        if sorted(map(name_of, subsets)) != sorted(result.figures):
            raise DataError(f"{folder}: results.json and per_query.parquet name other {result.by}s")
        for subset, scores in subsets.items():
            stated = result.figures[name_of(subset)].get(measure, math.nan)
            if not abs(stated - scores.mean) <= _AGREEMENT:
                raise DataError(
                    f"{folder}: {measure} of {subset} is {stated} in results.json and {scores.mean} in "
                    "per_query.parquet; the files are of different runs, run the benchmark again"
                )


def result_sections(result: Result, baseline: Result | None = None, *, seed: int = 0) -> list[Section]:
    """What a reader wants to know, in that order: means, the comparison, languages, every subset.

    Args:
        baseline: compared anew; without it the comparisons that the folder holds are shown.
        seed: of intervals and tests.

    Raises:
        DataError: the baseline was run on other subsets or questions.
    """
    if baseline is not None:
        found = compare_results(baseline.scores, result.scores, seed=seed)
        result = replace(result, comparisons=found)
    sections = [Section("Means", (_overview(result), _means_table(result, seed)))]
    if result.comparisons:
        sections.append(_comparison_section(result, baseline))
    sections.append(Section("Question languages", tuple(_language_figures(result, baseline, seed))))
    sections.append(Section(f"Every {result.by}", tuple(_every(result))))
    return sections


def _overview(result: Result) -> str:
    subsets = next(iter(result.scores.values()))
    n_rows = sum(len(s.query_ids) for s in subsets.values())
    n_questions = len({q for s in by_question(subsets, list(subsets)).values() for q in s.query_ids})
    what = result.signature.get("benchmark", "A benchmark")
    text = f"{what}: {len(subsets):,} subsets, {n_questions:,} questions"
    return f"{text}, {n_rows:,} rows of a question in a subset." if n_rows != n_questions else f"{text}."


def _means_table(result: Result, seed: int) -> Table:
    first = next(iter(result.scores.values()))
    columns = [Column("mean over"), Column("subsets", "count")]
    for measure in result.scores:
        columns += [Column(measure, "percent"), Column("95 %", "percent")]
    rows = []
    for group, members in groups(first).items():
        row: list[Cell] = [group, len(members)]
        for subsets in result.scores.values():
            mean, low, high = estimate(by_question(subsets, members), seed)
            row += [mean, (low, high)]
        rows.append(tuple(row))
    notes = (f"{PERCENT} Each subset counts once.", INTERVAL)
    return Table("Means over subsets", tuple(columns), tuple(rows), notes)


def _comparison_section(result: Result, baseline: Result | None) -> Section:
    names = _names(result, baseline)
    blocks: list[Block] = [
        comparison_table(
            result.comparisons,
            f"{names[1]} against {names[0]}",
            name_a=names[0],
            name_b=names[1],
            family="the rows of one measure",
        )
    ]
    for measure in dict.fromkeys(c.measure for c in result.comparisons):
        rows = [c for c in result.comparisons if c.measure == measure]
        svg = forest(f"{measure}, {names[1]} minus {names[0]}", rows, label=f"{measure}, points")
        caption = (
            f"{measure}: {names[1]} minus {names[0]} with 95 % intervals; filled where p < 0.05 after the "
            "correction."
        )
        blocks.append(Figure(svg, caption))
    return Section("Against the baseline", tuple(blocks))


def _names(result: Result, baseline: Result | None) -> tuple[str, str]:
    """The folders' names, where they tell the systems apart."""
    if baseline is None or baseline.name == result.name:
        return "baseline", "this run"
    return baseline.name, result.name


def _language_figures(result: Result, baseline: Result | None, seed: int) -> Iterator[Figure]:
    """One figure per measure: a group per question language, a bar per system."""
    first = next(iter(result.scores.values()))
    asked = {n: m for n, m in families(first).items() if n not in groups(first)}
    systems = [result] if baseline is None else [baseline, result]
    labels = [result.name] if baseline is None else _names(result, baseline)
    for measure in result.scores:
        if any(measure not in system.scores for system in systems):
            continue
        series = [
            Series(label, [_mean(system.scores[measure], members, seed) for members in asked.values()])
            for label, system in zip(labels, systems, strict=True)
        ]
        names = [name.removeprefix("asked in ") for name in asked]
        svg = grouped_bars(f"{measure} per question language", names, series, label=f"{measure} (%)")
        yield Figure(
            svg,
            f"{measure} per question language: mean over the passage languages that differ from it, or its "
            f"own where there is no other. {INTERVAL}",
        )


def _mean(scores: Mapping[str, Scores], subsets: Sequence[str], seed: int) -> Estimate:
    return estimate(by_question(scores, subsets), seed)


def _every(result: Result) -> Iterator[Block]:
    figures = result.figures
    if result.ceiling:
        figures = {name: {**row, "ceiling": result.ceiling[name]} for name, row in figures.items()}
        yield "The ceiling is the share of questions with an answer in the pool: no ranking can score more."
    yield results_table(f"Every {result.by}", figures, label=result.by)
    if result.missing:
        yield f"Not in the source, {len(result.missing)}: {', '.join(result.missing)}."
