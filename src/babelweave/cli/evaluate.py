"""`babelweave evaluate`: a run and its judgements to figures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from babelweave.cli.console import DryRun, Json, Overwrite, Seed, emit, say
from babelweave.errors import UsageError
from babelweave.evaluate.measures import DEFAULT

Judgements = Annotated[
    Path | None,
    typer.Option("--qrels", help="Judgements (TREC or BEIR, plain or .gz), or a collection folder."),
]
CollectionFolder = Annotated[
    Path | None,
    typer.Option("--collection", help="Collection with languages, answers and texts, if not --qrels itself."),
]
Split = Annotated[str, typer.Option("--split", help="Which judgements of a collection.")]
Measures = Annotated[
    str, typer.Option("--measures", help="ir_measures names, and R@2kt, R@5kt where queries have answers.")
]
ByLanguage = Annotated[bool, typer.Option("--by-language", help="Also one row per question language.")]
Form = Annotated[str, typer.Option("--format", help="text, markdown, latex or json (the table).")]
DEFAULT_MEASURES = ",".join(DEFAULT)


def run(
    run_file: Annotated[Path, typer.Argument(metavar="RUN", help="TREC run, plain or .gz.")],
    qrels: Judgements = None,
    collection: CollectionFolder = None,
    split: Split = "test",
    measures: Measures = DEFAULT_MEASURES,
    by_language: ByLanguage = False,
    out: Annotated[
        Path | None, typer.Option("--out", help="Parquet file to write: subset, query_id, measure, value.")
    ] = None,
    form: Form = "text",
    seed: Seed = 0,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Score a run: means with 95 % intervals, what was not scored, and languages when asked.

    \b
    Example: babelweave evaluate run.trec --qrels collection/ --by-language
    Example: babelweave evaluate run.trec --collection xor/ --measures R@2kt,R@5kt
    """
    from babelweave.data.trec import read_run
    from babelweave.evaluate.measures import parse_names
    from babelweave.evaluate.results import write_per_query
    from babelweave.evaluate.scorecard import open_task, score_run
    from babelweave.report.summaries import scorecard_table
    from babelweave.report.tables import check_form, render

    check_form(form)
    if out is not None and out.exists() and not overwrite:
        raise UsageError(f"{out} exists; choose another --out or pass --overwrite")
    task = open_task(qrels, collection, split)
    card = score_run(task, read_run(run_file, say=say), parse_names(measures))
    figures = card.figures(by_language=by_language, seed=seed)
    if out is not None and not dry_run:
        write_per_query(out, card.per_subset())
    emit(
        {"run": run_file, **card.to_dict(figures), "out": None if dry_run else out},
        as_json=as_json,
        text=lambda: render([scorecard_table(card, figures, str(run_file))], form),
    )
