"""`babelweave compare`: is the second system better than the first?"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from babelweave.cli.console import Json, Seed, emit, say
from babelweave.cli.evaluate import (
    DEFAULT_MEASURES,
    ByLanguage,
    CollectionFolder,
    Form,
    Judgements,
    Measures,
    Split,
)
from babelweave.errors import DataError, UsageError


class Correction(StrEnum):
    """Names of `evaluate.compare.Correction`, as typer wants them."""

    HOLM = "holm"
    BONFERRONI = "bonferroni"
    NONE = "none"


def run(
    a: Annotated[Path, typer.Argument(metavar="A", help="TREC run, or result folder of a benchmark.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="The same of the system to compare with A.")],
    qrels: Judgements = None,
    collection: CollectionFolder = None,
    split: Split = "test",
    measures: Measures = DEFAULT_MEASURES,
    by_language: ByLanguage = False,
    correction: Annotated[
        Correction, typer.Option("--correction", help="Of p, over the rows tested together.")
    ] = Correction.HOLM,
    form: Form = "text",
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Test B against A, paired by question: t-test, randomisation test, bootstrap interval, correction.

    Two runs need --qrels or --collection, and all rows are one family. Two result folders are compared by
    their stored scores: the means over subsets and every question language, one family per measure.

    \b
    Example: babelweave compare plain.trec woven.trec --qrels collection/ --by-language
    Example: babelweave compare plain/ woven/ --format latex
    """
    from babelweave.report.summaries import comparison_table, coverage_notes
    from babelweave.report.tables import check_form, render

    check_form(form)
    for path in (a, b):
        if not path.exists():
            raise DataError(f"{path}: no such file or folder")
    if a.is_dir() != b.is_dir():
        raise UsageError(
            f"{a} and {b}: one is a folder and one a file; compare two runs or two result folders"
        )
    if a.is_dir():
        from babelweave.evaluate.results import compare_results, read_per_query

        family = "the rows of one measure"
        notes: tuple[str, ...] = ()
        rows = compare_results(read_per_query(a), read_per_query(b), correction=correction.value, seed=seed)
    else:
        from babelweave.data.trec import read_run
        from babelweave.evaluate.measures import parse_names
        from babelweave.evaluate.scorecard import compare_cards, open_task, score_run

        family = "all rows"
        task, names = open_task(qrels, collection, split), parse_names(measures)
        cards = [score_run(task, read_run(path, say=say), names) for path in (a, b)]
        notes = tuple(
            f"{name}: {note}" for name, card in zip("AB", cards, strict=True) for note in coverage_notes(card)
        )
        rows = compare_cards(*cards, by_language=by_language, correction=correction.value, seed=seed)
    table = comparison_table(rows, f"A: {a}, B: {b}", family=family, notes=notes)
    emit(
        {
            "a": a,
            "b": b,
            "family": family,
            "comparisons": [row.to_dict() for row in rows],
            "notes": table.notes,
        },
        as_json=as_json,
        text=lambda: render([table], form),
    )
