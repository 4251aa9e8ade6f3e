"""A sweep over alpha (`tuning.json`), told as a curve and a table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from babelweave.artifact import read_manifest
from babelweave.errors import DataError
from babelweave.evaluate.compare import Estimate
from babelweave.report.benchmark import validated
from babelweave.report.figures import Series, curve
from babelweave.report.page import Figure, Section
from babelweave.report.summaries import PERCENT
from babelweave.report.tables import Column, Table


class _Row(BaseModel):
    alpha: float
    language_weights: dict[str, float]
    values: dict[str, dict[str, float]]


class _Tuning(BaseModel):
    fuser: str
    normalise: bool
    measures: list[str]
    languages: list[str]
    rows: list[_Row]
    best: _Row


@dataclass(frozen=True, slots=True)
class TuningReport:
    signature: Mapping[str, Any]
    sections: Sequence[Section]


def read_tuning(folder: Path) -> TuningReport:
    """Read a tuning folder and tell it.

    Raises:
        DataError: unfinished, cut, or of another shape.
    """
    manifest = read_manifest(folder, "tuning")
    path = folder / "tuning.json"
    found = validated(path, _Tuning)
    lacking = [
        f"alpha {row.alpha:g}, {measure}, {lang}"
        for row in [*found.rows, found.best]
        for measure in found.measures
        for lang in [*found.languages, "mean"]
        if lang not in row.values.get(measure, {})
    ]
    if lacking or not found.rows:
        raise DataError(f"{path}: no value for {lacking[0] if lacking else 'any alpha'}; run tune again")
    sections = [_measure_section(found, measure) for measure in found.measures]
    return TuningReport(manifest.settings, sections)


def _measure_section(found: _Tuning, measure: str) -> Section:
    names = [*found.languages, "mean"]
    swept = [row for row in found.rows if row.language_weights == found.rows[0].language_weights]
    series = [
        Series(name, [Estimate(row.values[measure][name], math.nan, math.nan) for row in swept])
        for name in names
    ]
    svg = curve(
        f"{measure} over alpha", [row.alpha for row in swept], series, x_label="alpha", label=f"{measure} (%)"
    )
    plain = found.rows[0].values[measure]
    columns = [
        Column("alpha"),
        Column("weights"),
        *(Column(name, "points") for name in names),
        Column("chosen"),
    ]
    rows = [
        (
            f"{row.alpha:g}",
            " ".join(f"{lang}={weight:g}" for lang, weight in row.language_weights.items()),
            *(row.values[measure][name] - plain[name] for name in names),
            "*" if row == found.best else "",
        )
        for row in found.rows
    ]
    notes = (
        "In points against alpha 0, the plain passages, which score "
        + ", ".join(f"{name} {100 * plain[name]:.2f}" for name in names)
        + f". {PERCENT}",
        f"Fuser {found.fuser}, {'unit norm' if found.normalise else 'no normalisation'}. "
        "* chosen by the mean of the first measure.",
    )
    table = Table(f"{measure}: gain over plain", tuple(columns), tuple(rows), notes)
    return Section(measure, (Figure(svg, f"{measure} per question language over alpha."), table))
