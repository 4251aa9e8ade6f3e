"""`babelweave report`: a result folder as one page."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from babelweave.cli.console import DryRun, Json, Overwrite, Seed, emit
from babelweave.errors import UsageError


def run(
    folder: Annotated[Path, typer.Argument(help="Folder written by benchmark or tune.")],
    out: Annotated[Path, typer.Option("--out", help="HTML file to write.")],
    baseline: Annotated[
        Path | None,
        typer.Option("--baseline", help="Benchmark folder to compare with, question by question."),
    ] = None,
    title: Annotated[str | None, typer.Option("--title", help="Heading of the page.")] = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Turn a result folder into one HTML file with tables and figures; nothing else is needed to read it.

    Example: babelweave report woven/ --baseline plain/ --out page.html
    """
    from babelweave.report.benchmark import read_result, result_sections
    from babelweave.report.page import check_target, write_page
    from babelweave.report.tuning import read_tuning

    check_target(out, overwrite=overwrite)
    if (folder / "tuning.json").is_file():
        if baseline is not None:
            raise UsageError(
                "--baseline goes with a benchmark folder; a tuning is compared with alpha 0 already"
            )
        tuning = read_tuning(folder)
        signature, sections = tuning.signature, list(tuning.sections)
    else:
        result = read_result(folder)
        against = read_result(baseline) if baseline is not None else None
        signature, sections = result.signature, result_sections(result, against, seed=seed)
    if not dry_run:
        command = shlex.join(["babelweave", *sys.argv[1:]])
        heading = title or f"babelweave: {folder.resolve().name}"
        write_page(out, heading, sections, signature=signature, command=command, overwrite=overwrite)
    emit(
        {"page": out, "sections": [s.heading for s in sections], "written": not dry_run},
        as_json=as_json,
        text=lambda: (
            f"{'would write' if dry_run else 'wrote'} {out}: {', '.join(s.heading for s in sections)}"
        ),
    )
