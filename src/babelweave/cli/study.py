"""`babelweave study`: arms times shifts times seeds."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from babelweave.cli.console import DryRun, Json, Live, Out, Overwrite, emit, say
from babelweave.errors import MissingExtraError

PAGE = "report.html"


def run(
    recipe: Annotated[str, typer.Argument(help="A TOML file, or the name of a packaged study.")],
    out: Out,
    profile: Annotated[str, typer.Option(help="full, or one of the recipe's profiles.")] = "full",
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", help="section.key=value in TOML, over the recipe's; repeatable."),
    ] = None,
    reuse: Annotated[
        list[Path] | None,
        typer.Option(help="Another study, whose models and cells of the same keys are taken; repeatable."),
    ] = None,
    dry_run: DryRun = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Train arms, weave their indexes, and measure them clean and under shift, with tests.

    What arms and shifts share is computed once, and everything is kept: killed, the same command goes on, and
    --reuse takes over what another study has, a part run elsewhere or one with fewer arms. The folder gets
    `cells.parquet`, `per_query.parquet`, `results.json`, the resolved recipe and a page, `report.html`.
    Relative sources lie under BABELWEAVE_DATA, or under --set root=FOLDER.

    \b
    Example: babelweave study robustness --profile quick --set start=minilm --out study/
    """
    from babelweave.artifact import read_json
    from babelweave.recipe import dump_recipe
    from babelweave.report.study import study_tables
    from babelweave.report.tables import render
    from babelweave.study.cells import plan_study
    from babelweave.study.recipe import load_study
    from babelweave.study.reuse import check_reusable
    from babelweave.study.run import run_study

    found = load_study(recipe, overrides or (), profile=profile)
    check_reusable(reuse or (), out)
    plan = plan_study(found, say)
    if dry_run:
        work = plan.work(out, plan.pace(out), reuse or ())
        resolved = dump_recipe(found)
        say(resolved)
        result = {
            **work._asdict(),
            "arms": [arm.label for arm in found.rows],
            "conditions": [posed.condition.label for posed in plan.conditions.posed],
            "seeds": found.seeds,
            "passages": len(plan.conditions.passages),
            "recipe": resolved,
        }
        emit(result, as_json=as_json, text=lambda: f"{work.told()}; writes {out}")
        return
    run_study(plan, out, overwrite=overwrite, reuse=reuse or (), say=say, progress=Live())
    _page(out)
    emit(
        {"study": out, **read_json(out / "results.json")},
        as_json=as_json,
        text=lambda: render(study_tables(out), "text"),
    )


def _page(folder: Path) -> None:
    from babelweave.report.page import write_page
    from babelweave.report.study import read_report

    try:
        report = read_report(folder)
    except MissingExtraError as error:
        say(f"no page: {error}; then: babelweave report {folder} --out page.html")
        return
    command = shlex.join(["babelweave", *sys.argv[1:]])
    title = f"babelweave: {folder.resolve().name}"
    page = folder / PAGE
    write_page(page, title, report.sections, signature=report.signature, command=command, overwrite=True)
    say(f"wrote {page}")
