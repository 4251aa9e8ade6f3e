"""What a finished study holds.

results.json         settings, what perturbations changed, figures of every arm, paired tests
cells.parquet        arm, shift, severity, seed, subset, measure, mean, n
per_query.parquet    arm, shift, severity, seed, subset, query_id, measure, value
recipe.toml          the study with every default resolved
cells/KEY.parquet    scores of a cell, for studies that reuse them (`study.reuse`)
manifest.json        checksums; written last
costs.json           seconds per training step; depends on the clock, so no checksum holds it
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from babelweave.artifact import (
    Claim,
    Manifest,
    describe_files,
    read_json,
    read_manifest,
    write_aside,
    write_json,
    write_manifest,
    write_text,
)
from babelweave.errors import DataError
from babelweave.evaluate.compare import Comparison
from babelweave.recipe import dump_recipe
from babelweave.records import Scores
from babelweave.study.cells import StudyPlan, cell_file
from babelweave.study.models import seconds_per_step
from babelweave.study.shifts import Condition, changes, unasked
from babelweave.study.summary import Measured, Row, compared, figures, spared

KIND = "study"
RESULTS, CELLS, PER_QUERY, RECIPE, COSTS = (
    "results.json",
    "cells.parquet",
    "per_query.parquet",
    "recipe.toml",
    "costs.json",
)
_COLUMNS = ("arm", "shift", "severity", "seed", "subset", "query_id", "measure", "value")


def write_study(folder: Path, plan: StudyPlan, claim: Claim) -> Manifest:
    """Gather the cells of a study into its tables, test, and seal the folder."""
    _write_tables(folder, plan)
    conditions = [p.condition for p in plan.conditions.posed]
    measured = _read_tables(folder, _rows(plan), conditions, _before(plan))
    tests = {
        name: {m: test(measured, m) for m in plan.study.measures}
        for name, test in (("comparisons", compared), ("spared", spared))
    }
    write_json(
        folder / RESULTS,
        {
            "signature": claim.settings,
            "measures": list(plan.study.measures),
            "reference": plan.study.reference,
            "conditions": [c._asdict() for c in measured.conditions],
            **({"before": measured.before} if measured.before else {}),
            "perturbed": {
                p.condition.label: found
                for p in plan.conditions.posed
                if (found := changes(p, plan.study.seeds[0]))
            },
            **_told(plan),
            "rows": [row._asdict() for row in measured.rows],
            "arms": {
                row.label: {m: figures(measured, row.label, m) for m in plan.study.measures}
                for row in measured.rows
            },
            **{
                name: {
                    m: [{"arm": c.arm, **c.comparison.to_dict()} for c in found] for m, found in own.items()
                }
                for name, own in tests.items()
            },
        },
    )
    write_text(folder / RECIPE, dump_recipe(plan.study))
    seconds: dict[str, list[float]] = {}
    for label, model in {(c.arm.label, c.model.key): (c.arm.label, c.model) for c in plan.cells}.values():
        if (pace := seconds_per_step(model, folder)) is not None:
            seconds.setdefault(label, []).append(pace)
    write_json(folder / COSTS, {"seconds_per_step": seconds})
    files = describe_files(folder, (RESULTS, CELLS, PER_QUERY, RECIPE))
    counts = {
        "cells": len(plan.cells),
        "cells computed": len({c.key for c in plan.cells}),
        "trainings": len(plan.trainings),
    }
    manifest = write_manifest(folder, Manifest(KIND, claim.settings, {}, counts, files))
    claim.release()
    return manifest


def _told(plan: StudyPlan) -> dict[str, Any]:
    """What adjustments are fitted on, what trainings leave out and benchmarks cannot ask; nothing in studies
    without them."""
    found: dict[str, dict[str, Any]] = {
        "adjustments": {name: fitting.told() for name, fitting in plan.fittings.items()},
        "left_out": {training: list(dropped) for training, dropped in plan.models.left_out.items()},
        "unasked": unasked(plan.conditions),
    }
    return {key: value for key, value in found.items() if value}


def _before(plan: StudyPlan) -> dict[str, str]:
    """Label of a condition -> of the one it is a shift of, where that is not clean."""
    labels = {p.condition.shift: p.condition.label for p in plan.conditions.posed}
    of = {shift.name: labels[shift.of] for shift in plan.study.shifts if shift.of is not None}
    found = [p.condition for p in plan.conditions.posed]
    return {c.label: of[c.shift] for c in found if c.shift in of}


def _rows(plan: StudyPlan) -> list[Row]:
    references = plan.study.references
    return [Row(a.label, a.start.name, references.get(a.label)) for a in plan.study.rows]


def _write_tables(folder: Path, plan: StudyPlan) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    parts = []
    for cell in plan.cells:
        table = pq.read_table(cell_file(folder, cell))
        condition = cell.posed.condition
        told = (cell.arm.label, condition.shift, condition.severity, cell.seed)
        for name, value in zip(_COLUMNS, told, strict=False):
            kind = pa.string() if isinstance(value, str) else pa.int64()
            table = table.append_column(name, pa.repeat(pa.scalar(value, kind), table.num_rows))
        parts.append(table.select(_COLUMNS))
    every = pa.concat_tables(parts)
    keys = ["arm", "shift", "severity", "seed", "subset", "measure"]
    cells = every.group_by(keys, use_threads=False).aggregate([("value", "mean"), ("value", "count")])
    cells = cells.rename_columns([*keys, "mean", "n"])
    for name, table in ((CELLS, cells), (PER_QUERY, every)):
        with write_aside(folder / name) as aside:
            pq.write_table(table, aside, compression="zstd")


def read_study(folder: Path) -> tuple[Measured, dict[str, Any]]:
    """The scores of a finished study, seeds averaged, and the content of `results.json`.

    Raises:
        DataError: unfinished, cut, or of another shape.
    """
    read_manifest(folder, KIND)
    path = folder / RESULTS
    found = read_json(path)
    try:
        rows = [Row(**row) for row in found["rows"]]
        conditions = [Condition(**c) for c in found["conditions"]]
        return _read_tables(folder, rows, conditions, found.get("before", {})), found
    except (KeyError, TypeError) as error:
        raise DataError(f"{path}: not the results of a study ({error}); run it again") from error


def read_comparisons(
    found: Mapping[str, Any], measure: str, of: str = "comparisons"
) -> list[tuple[str, Comparison]]:
    """(arm, test) of `results.json`, in the order of the table; of "comparisons", or what is "spared"."""
    rows = []
    for row in found[of][measure]:
        values: dict[str, Any] = {k: math.nan if v is None else v for k, v in row.items() if k != "arm"}
        rows.append((row["arm"], Comparison(**values)))
    return rows


def read_costs(folder: Path) -> dict[str, float]:
    """Arm -> seconds per training step, a mean over its seeds; arms that train nothing are absent."""
    path = folder / COSTS
    if not path.is_file():
        return {}
    return {label: float(np.mean(found)) for label, found in read_json(path)["seconds_per_step"].items()}


def _read_tables(
    folder: Path, rows: list[Row], conditions: list[Condition], before: Mapping[str, str]
) -> Measured:
    """Per question, averaged over seeds: then a question counts once, however many seeds there are."""
    import pyarrow.parquet as pq

    table = pq.read_table(folder / PER_QUERY)
    keys = ["arm", "shift", "severity", "measure", "subset", "query_id"]
    means = table.group_by(keys, use_threads=False).aggregate([("value", "mean")])
    collected: dict[tuple[str, Condition, str], dict[str, list[tuple[str, float]]]] = {}
    for row in means.to_pylist():
        key = (row["arm"], Condition(row["shift"], row["severity"]), row["measure"])
        subset = collected.setdefault(key, {}).setdefault(row["subset"], [])
        subset.append((row["query_id"], row["value_mean"]))
    scores = {
        (arm, condition, measure): {
            name: Scores(measure, tuple(q for q, _ in found), np.array([v for _, v in found]))
            for name, found in sorted((name, sorted(rows)) for name, rows in subsets.items())
        }
        for (arm, condition, measure), subsets in collected.items()
    }
    for row in rows:
        if missing := next(
            (c.label for c in conditions if (row.label, c) not in {k[:2] for k in scores}), None
        ):
            raise DataError(f"{folder / PER_QUERY}: lacks {row.label} under {missing}; run the study again")
    return Measured(rows, conditions, scores, before)
