"""An ablation (`ablation.json`, `cells.parquet`), told as curves of gains and tables of tests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel

from babelweave.artifact import read_manifest
from babelweave.errors import DataError
from babelweave.evaluate.compare import Comparison, Estimate
from babelweave.report.benchmark import validated
from babelweave.report.figures import Series, curve
from babelweave.report.page import Block, Figure, Section
from babelweave.report.summaries import SIGNIFICANCE, comparison_table, significant
from babelweave.report.tables import Cell as TableCell
from babelweave.report.tables import Column, Table, write

_PLAIN = Estimate(0.0, 0.0, 0.0)


class _Point(BaseModel):
    x: float
    arm: int


class _Curve(BaseModel):
    name: str
    points: list[_Point]


class _Axis(BaseModel):
    name: str
    label: str
    curves: list[_Curve]


class _Arm(BaseModel):
    per_language: int
    fuser: str
    alpha: float
    woven: str
    normalise: bool
    language_weights: dict[str, float]
    queries_per_passage: float


class _Ablation(BaseModel):
    signature: dict[str, Any]
    measures: list[str]
    groups: list[str]
    left_out: list[int]
    arms: list[_Arm]
    axes: list[_Axis]


@dataclass(frozen=True, slots=True)
class AblationReport:
    signature: Mapping[str, Any]
    sections: Sequence[Section]


Key = tuple[str, str, float, str, str]
"""axis, curve, x, measure, group."""


@dataclass(frozen=True, slots=True)
class _Told:
    found: _Ablation
    cells: Mapping[Key, Comparison]


def read_ablation(folder: Path) -> AblationReport:
    """Read an ablation folder and tell it.

    Raises:
        DataError: unfinished, cut, or of another shape.
    """
    told = _read(folder)
    sections = [
        Section(f"{axis.name}: {measure}", tuple(_blocks(told, axis, measure)))
        for axis in told.found.axes
        for measure in told.found.measures
    ]
    return AblationReport(told.found.signature, sections)


def ablation_tables(folder: Path) -> list[Table]:
    """What the verb prints: the tests of every axis on the first measure, over the first group."""
    told = _read(folder)
    return [_tests(told, axis, told.found.measures[0]) for axis in told.found.axes]


def _read(folder: Path) -> _Told:
    read_manifest(folder, "ablation")
    found = validated(folder / "ablation.json", _Ablation)
    path = folder / "cells.parquet"
    try:
        rows = pq.read_table(path).to_pylist()
        cells = {
            (r.pop("axis"), r.pop("curve"), r.pop("x"), r["measure"], r["group"]): _comparison(r)
            for r in rows
        }
    except (pa.ArrowException, KeyError, TypeError) as error:
        raise DataError(f"{path}: not the cells of an ablation ({error}); run it again") from error
    for axis in found.axes:
        for line in axis.curves:
            for point in line.points:
                key = (axis.name, line.name, point.x, found.measures[0], found.groups[0])
                if key not in cells and not _is_plain(found, point):
                    raise DataError(f"{path}: lacks {', '.join(map(str, key))}; run the ablation again")
    return _Told(found, cells)


def _comparison(row: dict[str, Any]) -> Comparison:
    del row["arm"]
    return Comparison(family=row.pop("group"), **row)


def _is_plain(found: _Ablation, point: _Point) -> bool:
    return point.arm == 0


def _blocks(told: _Told, axis: _Axis, measure: str) -> Iterator[Block]:
    first, *others = told.found.groups
    series = [
        Series(line.name, [_gain(told, axis, line, x, measure, first) for x in _places(axis)])
        for line in axis.curves
    ]
    yield Figure(
        _drawn(f"{axis.name}, {measure}, {first}", axis, series, measure),
        f"Gain in {measure} over plain passages ({first}), in points, with its 95 % interval.",
    )
    yield _tests(told, axis, measure)
    if others:
        line = axis.curves[0]
        by_group = [
            Series(
                group.removeprefix("asked in "),
                [_gain(told, axis, line, x, measure, group) for x in _places(axis)],
            )
            for group in others
        ]
        if axis.name != "weights":
            yield Figure(
                _drawn(f"{axis.name}, {measure}, {line.name}", axis, by_group, measure),
                f"The same by question language and group of subsets, {line.name}.",
            )
        yield _by_group(told, axis, measure, others)


def _places(axis: _Axis) -> list[float]:
    return sorted({point.x for line in axis.curves for point in line.points})


def _gain(told: _Told, axis: _Axis, line: _Curve, x: float, measure: str, group: str) -> Estimate | None:
    """Of one point over plain; None where the curve has none there."""
    point = next((p for p in line.points if p.x == x), None)
    if point is None:
        return None
    if _is_plain(told.found, point):
        return _PLAIN
    c = told.cells[axis.name, line.name, x, measure, group]
    return Estimate(c.difference, c.low, c.high)


def _drawn(title: str, axis: _Axis, series: Sequence[Series], measure: str) -> str:
    return curve(title, _places(axis), series, x_label=axis.label, label=f"{measure}, gain (points)")


def _rows(told: _Told, axis: _Axis) -> Iterator[tuple[str, _Curve, _Point]]:
    """(name of the row, curve, point) of every point that is not plain."""
    for line in axis.curves:
        for point in line.points:
            if not _is_plain(told.found, point):
                yield f"{line.name}, {point.x:g}", line, point


def _tests(told: _Told, axis: _Axis, measure: str) -> Table:
    first = told.found.groups[0]
    rows = [
        Comparison(**{**_fields(told.cells[axis.name, line.name, point.x, measure, first]), "family": name})
        for name, line, point in _rows(told, axis)
    ]
    return comparison_table(
        rows,
        f"{axis.name}: against plain passages, {first}",
        name_a="plain",
        name_b="woven",
        family="the rows of this table",
        notes=(f"Rows: curve, {axis.label}.", *_left_out(told, axis)),
    )


def _fields(comparison: Comparison) -> dict[str, Any]:
    return {name: getattr(comparison, name) for name in Comparison.__dataclass_fields__}


def _left_out(told: _Told, axis: _Axis) -> tuple[str, ...]:
    if axis.name != "queries" or not told.found.left_out:
        return ()
    return (f"Not there to be woven: {', '.join(map(str, told.found.left_out))} per language.",)


def _by_group(told: _Told, axis: _Axis, measure: str, groups: Sequence[str]) -> Table:
    rows: list[tuple[TableCell, ...]] = []
    for name, line, point in _rows(told, axis):
        cells = [told.cells[axis.name, line.name, point.x, measure, group] for group in groups]
        gains = [write(c.difference, "points") + (" *" if significant(c) else "") for c in cells]
        rows.append((name, f"{told.found.arms[point.arm].queries_per_passage:.1f}", *gains))
    columns = (Column(axis.name), Column("queries per passage", "count"))
    return Table(
        f"{axis.name}: gain in {measure} by group, points",
        (*columns, *(Column(group, "points") for group in groups)),
        tuple(rows),
        (f"* p below {SIGNIFICANCE} by Holm over all cells of this table, better or worse.",),
    )
