"""`babelweave filter`: inspected queries to those that pass quality gates."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from babelweave.cli.console import DryRun, Json, Out, Overwrite, emit

if TYPE_CHECKING:
    from babelweave.report.tables import Table


def run(
    inspected: Annotated[Path, typer.Argument(help="Folder made by `inspect`.")],
    gates: Annotated[str, typer.Option(help="Gates, separated by commas; see below.")],
    out: Out,
    dry_run: DryRun = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Keep the generated queries that pass every gate, and count per language what each gate drops.

    \b
    --gates NAME or NAME=VALUE
      language       identified as its language, and in its script
      copy=0.9       at most this share of its terms stands in the passage
      length=3-30    so many terms
      round-trip=10  finds its own passage among so many hits
      score=0.3      this share of a language's remaining queries, by relevance

    \b
    They apply in this order. A passage then has as many queries as passed: weave with the fuser `mean`.
    Example: babelweave filter inspected/ --gates language,copy,round-trip=20 --out filtered/
    """
    from babelweave.generate.filters import count_kept, filter_queries, parse_gates
    from babelweave.generate.inspect import Inspected
    from babelweave.report.tables import render

    opened, wanted = Inspected.open(inspected), parse_gates(gates)
    if dry_run:
        counts = count_kept(opened, wanted)
        result: dict[str, Any] = {"gates": wanted.closed, "counts": counts}
        files = [f"{out}/{name}" for name in ("queries-*.parquet", "card.md", "card.json", "manifest.json")]
        result["files"] = files
    else:
        manifest, card = filter_queries(opened, wanted, out, overwrite=overwrite)
        counts = dict(manifest.counts)
        result = {"generated": out, "gates": wanted.closed, "counts": counts, "card": card.to_dict()}
    emit(result, as_json=as_json, text=lambda: render([_table(counts, list(wanted.closed))], "text"))


def _table(counts: dict[str, int], gates: list[str]) -> Table:
    from babelweave.report.tables import Cell, Column, Table

    names = ["asked", *(f"dropped-{gate}" for gate in gates), "kept", "passages_without"]
    shown = ["inspected", *(f"dropped: {gate}" for gate in gates), "kept", "passages left without"]
    languages = sorted(name.partition(".")[2] for name in counts if name.startswith("asked."))
    numbers = [[counts.get(f"{name}.{lang}", 0) for name in names] for lang in languages]
    rows: list[tuple[Cell, ...]] = [(lang, *row) for lang, row in zip(languages, numbers, strict=True)]
    total: tuple[Cell, ...] = ("all", *map(sum, zip(*numbers, strict=True)))
    columns = (Column("language"), *(Column(name, "count") for name in shown))
    return Table("Queries that pass", columns, (*rows, total))
