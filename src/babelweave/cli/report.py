"""`babelweave report`: a result folder as one page."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from babelweave.cli.console import DryRun, Json, Overwrite, Seed, emit
from babelweave.errors import UsageError

if TYPE_CHECKING:
    from babelweave.report.ablation import AblationReport
    from babelweave.report.study import StudyReport
    from babelweave.report.tuning import TuningReport


def run(
    folder: Annotated[Path, typer.Argument(help="Folder written by benchmark, tune, ablate or study.")],
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
    from babelweave.report.ablation import read_ablation
    from babelweave.report.benchmark import read_result, result_sections
    from babelweave.report.page import check_target, write_page
    from babelweave.report.study import read_report
    from babelweave.report.tuning import read_tuning

    check_target(out, overwrite=overwrite)
    told: dict[str, Callable[[Path], TuningReport | AblationReport | StudyReport]] = {
        "tuning.json": read_tuning,
        "ablation.json": read_ablation,
        "costs.json": read_report,
    }
    if read := next((told[name] for name in told if (folder / name).is_file()), None):
        if baseline is not None:
            raise UsageError("--baseline goes with a benchmark folder; others hold their comparisons already")
        page = read(folder)
        signature, sections = page.signature, list(page.sections)
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
