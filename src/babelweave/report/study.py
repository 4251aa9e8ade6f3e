"""A study, told as figures of every arm, what shifts cost it, and tests against a reference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from babelweave.evaluate.compare import Comparison
from babelweave.report.figures import Series, forest, grouped_bars
from babelweave.report.page import Block, Figure, Section
from babelweave.report.summaries import INTERVAL, PERCENT, SIGNIFICANCE, comparison_table, significant
from babelweave.report.tables import Cell, Column, Table, write
from babelweave.study.results import read_comparisons, read_costs, read_study
from babelweave.study.sections import CLEAN
from babelweave.study.summary import SHIFTED, Measured, drop, worst_language, worst_shift

_SEEDS = "Figures are averaged over seeds question by question before anything else is done with them."
_SHIFTED = "Shifted: mean over the subsets of all conditions but clean, each counting once."
_DROP = "Drop: clean less shifted. Worst: lowest under shift."


@dataclass(frozen=True, slots=True)
class StudyReport:
    signature: Mapping[str, Any]
    sections: Sequence[Section]


@dataclass(frozen=True, slots=True)
class _Told:
    measured: Measured
    found: Mapping[str, Any]
    costs: Mapping[str, float]


def read_report(folder: Path) -> StudyReport:
    """Read a study folder and tell it.

    Raises:
        DataError: unfinished, cut, or of another shape.
    """
    told = _read(folder)
    sections = [Section("Overview", (_overview(told), *_differences(told), _costs(told)))]
    for measure in told.found["measures"]:
        sections.append(Section(f"{measure}: clean and shifted", tuple(_figures(told, measure))))
        sections.append(Section(f"{measure}: tests", tuple(_tests(told, measure))))
    return StudyReport(told.found["signature"], sections)


def study_tables(folder: Path) -> list[Table]:
    """What the verb prints: figures on each measure, and gains over the reference."""
    told = _read(folder)
    tables = []
    for measure in told.found["measures"]:
        tables.append(_arms(told, measure))
        tables += _gains(told, measure)
    return tables


def _read(folder: Path) -> _Told:
    measured, found = read_study(folder)
    return _Told(measured, found, read_costs(folder))


def _overview(told: _Told) -> str:
    measured, settings = told.measured, told.found["signature"]
    seeds = ", ".join(map(str, settings["seeds"]))
    ids = {
        query_id
        for row in measured.rows[:1]
        for scores in measured.under(row.label, CLEAN, told.found["measures"][0]).values()
        for query_id in scores.query_ids
    }
    return (
        f"{len(measured.rows)} arms under {len(measured.conditions)} conditions, seeds {seeds}; "
        f"{len(ids):,} questions of {settings['benchmark']['name']}. {_SEEDS}"
    )


def _differences(told: _Told) -> Iterator[Block]:
    """What vectors are adjusted by, what a benchmark cannot ask, and what trainings leave out."""
    for name, fitted in told.found.get("adjustments", {}).items():
        yield (
            f"{name} ({fitted['kind']}): fitted for every model on {fitted['texts_per_language']:,} texts of "
            f"{', '.join(fitted['parallel'])} in each of {', '.join(fitted['languages'])}."
        )
    for label, counts in told.found.get("unasked", {}).items():
        why = "; ".join(f"{n:,} where {reason}" for reason, n in counts.items())
        yield f"{label}: judged by answers that stand in passages word for word. Questions not asked: {why}."
    if left := told.found.get("left_out"):
        yield Table(
            "What is left out of trainings",
            (Column("training"), Column("taken out")),
            tuple((training, ", ".join(dropped) or None) for training, dropped in left.items()),
            ("Keys of the recipes, a set by its name; a dash where nothing was in the language.",),
        )


def _costs(told: _Told) -> Table:
    """Seconds per step against the reference."""
    rows: list[tuple[Cell, ...]] = []
    for row in told.measured.rows:
        own, base = told.costs.get(row.label), told.costs.get(row.reference or "")
        factor = None if own is None or not base else f"{own / base:.2f}"
        rows.append((row.label, None if own is None else f"{own:.3f}", factor))
    return Table(
        "What training costs",
        (Column("arm"), Column("seconds per step", "count"), Column("times the reference", "count")),
        tuple(rows),
        ("Measured while training, mean over seeds; a dash where nothing is trained.",),
    )


def _figures(told: _Told, measure: str) -> Iterator[Block]:
    measured = told.measured
    together: dict[str, list[str]] = {}
    for row in measured.rows:
        arm, _, adjust = row.label.partition("~")
        _, plus, weave = arm.partition("+")
        index = f"index {weave}" if plus else "plain index"
        together.setdefault(", ".join(filter(None, [row.start, index, adjust])), []).append(row.label)
    for name, labels in together.items():
        series = [
            Series(over, [measured.estimate(label, over, measure) for label in labels])
            for over in (CLEAN, SHIFTED)
        ]
        drawing = grouped_bars(f"{measure}, {name}", labels, series, label=f"{measure} (per cent)")
        yield Figure(drawing, f"{measure} from the start {name}, with 95 % intervals. {_SHIFTED}")
    yield _arms(told, measure)
    yield _conditions(told, measure)
    yield _drops(told, measure)


def _arms(told: _Told, measure: str) -> Table:
    """Clean, shifted, drop, and the worst of both kinds."""
    measured = told.measured
    rows: list[tuple[Cell, ...]] = []
    for row in measured.rows:
        cells: list[Cell] = [row.label]
        for over in (CLEAN, SHIFTED):
            mean, low, high = measured.estimate(row.label, over, measure)
            cells += [mean, (low, high)]
        cells.append(drop(measured, row.label, measure))
        for name, mean in (
            worst_language(measured, row.label, measure),
            worst_shift(measured, row.label, measure),
        ):
            cells += [name, mean]
        rows.append(tuple(cells))
    columns = (
        Column("arm"),
        Column("clean", "percent"),
        Column("95 %", "percent"),
        Column("shifted", "percent"),
        Column("95 %", "percent"),
        Column("drop", "percent"),
        Column("worst language"),
        Column("there", "percent"),
        Column("worst shift"),
        Column("there", "percent"),
    )
    return Table(f"{measure} of every arm", columns, tuple(rows), (PERCENT, _SHIFTED, _DROP, INTERVAL))


def _conditions(told: _Told, measure: str) -> Table:
    measured = told.measured
    columns = measured.columns
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (row.label, *(measured.mean(row.label, over, measure) for over in columns)) for row in measured.rows
    )
    return Table(
        f"{measure} under every condition",
        (Column("arm"), *(Column(over, "percent") for over in columns)),
        rows,
        (PERCENT, *_untouched(told)),
    )


def _drops(told: _Told, measure: str) -> Table:
    """What every condition costs every arm."""
    measured = told.measured
    columns = [over for over in measured.columns if over != CLEAN]
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (
            row.label,
            *(
                measured.mean(row.label, measured.before.get(over, CLEAN), measure)
                - measured.mean(row.label, over, measure)
                for over in columns
            ),
        )
        for row in measured.rows
    )
    return Table(
        f"{measure}: drop from clean",
        (Column("arm"), *(Column(over, "percent") for over in columns)),
        rows,
        (
            "In points; below 0 where a condition is easier, as other subsets or another benchmark may be.",
            *_before(told),
        ),
    )


def _before(told: _Told) -> Iterator[str]:
    """Conditions that are shifts of another than clean."""
    for over, before in told.measured.before.items():
        yield f"{over} is told from {before}, not from clean."


def _untouched(told: _Told) -> Iterator[str]:
    """Languages that a perturbation left as they were."""
    for label, counts in told.found["perturbed"].items():
        if langs := [lang for lang, n in counts.items() if n["not_claimed"]]:
            yield f"{label} leaves questions in {', '.join(langs)} as they are."


def _by_arm(told: _Told, measure: str, of: str = "comparisons") -> dict[str, list[Comparison]]:
    found: dict[str, list[Comparison]] = {}
    for arm, comparison in read_comparisons(told.found, measure, of):
        found.setdefault(arm, []).append(comparison)
    return found


def _tests(told: _Told, measure: str) -> Iterator[Block]:
    by_arm = _by_arm(told, measure)
    if not by_arm:
        yield "No arm but the reference."
        return
    shifted = [replace(c, family=arm) for arm, rows in by_arm.items() for c in rows if c.family == SHIFTED]
    drawing = forest(
        f"{measure}, shifted, against the reference", shifted, label="difference from the reference (points)"
    )
    yield Figure(
        drawing,
        f"Difference in {measure} under shift from {told.found['reference']}, with 95 % intervals; "
        "filled where significant after Holm's correction.",
    )
    yield from _gains(told, measure)
    for row in told.measured.rows:
        if row.label in by_arm:
            yield comparison_table(
                by_arm[row.label],
                f"{row.label} against {row.reference}",
                name_a="reference",
                name_b="arm",
                family=f"all arms and conditions on {measure}",
            )


def _gains(told: _Told, measure: str) -> list[Table]:
    """Differences from the reference, and what shifts leave of them."""
    by_arm = _by_arm(told, measure)
    if not by_arm:
        return []
    reference = told.found["reference"]
    tables = [_marked(f"{measure}: gain over {reference}, points", by_arm, told.measured.columns)]
    if "spared" in told.found:  # studies of earlier versions lack it
        less = (
            f"Gain over {reference} under a condition less the gain clean: above 0 an arm loses less to the "
            "shift than the reference, however good it is.",
            *_before(told),
        )
        columns = [over for over in told.measured.columns if over != CLEAN]
        title = f"{measure}: spared by shifts beside {reference}, points"
        tables.append(_marked(title, _by_arm(told, measure, "spared"), columns, less))
    return tables


def _marked(
    title: str, by_arm: Mapping[str, list[Comparison]], columns: Sequence[str], notes: tuple[str, ...] = ()
) -> Table:
    """Differences, a row an arm, starred where significant."""
    rows: list[tuple[Cell, ...]] = []
    for arm, found in by_arm.items():
        over = {c.family: c for c in found}
        marked = [
            write(over[name].difference, "points") + (" *" if significant(over[name]) else "")
            for name in columns
        ]
        rows.append((arm, *marked))
    star = (
        f"* p below {SIGNIFICANCE} by Holm over all cells of this table: sign-flip randomisation test, "
        "two-sided, questions as clusters; better or worse."
    )
    heads = (Column("arm"), *(Column(name, "points") for name in columns))
    return Table(title, heads, tuple(rows), (*notes, star))
