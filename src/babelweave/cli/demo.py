"""`babelweave demo`: the whole way on packaged data, ending in a table with tests."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from babelweave.cli.console import Encoder, Json, Overwrite, emit, say
from babelweave.registry import DEFAULT_ENCODER


def run(
    out: Annotated[Path | None, typer.Option(help="Keep the artefacts in this folder.")] = None,
    encoder: Encoder = DEFAULT_ENCODER,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Encode, generate, weave, index, search and compare on a packaged collection; needs no network.

    256 English passages, and a question about each in Arabic, Chinese, English, German, Hindi, Spanish and
    Vietnamese. The table compares the plain index with the woven one.
    """
    from babelweave.artifact import seal, write_folder
    from babelweave.demo.run import run_demo
    from babelweave.report.summaries import comparison_table
    from babelweave.report.tables import render

    if out is None:
        with TemporaryDirectory(prefix="babelweave-demo-") as folder:
            demo = run_demo(Path(folder), encoder, say)
    else:
        with write_folder(out, "demo", overwrite=overwrite) as aside:
            demo = run_demo(aside, encoder, say)
            seal(aside, "demo", {"encoder": encoder})
    table = comparison_table(
        demo.comparisons,
        f"{demo.n_questions:,} questions, {demo.n_passages} passages, "
        f"{demo.n_generated:,} generated questions; {demo.seconds:.1f} seconds",
        name_a="plain",
        name_b="woven",
        family="the rows of one measure",
    )
    emit(demo.to_dict(), as_json=as_json, text=lambda: render([table], "text"))
