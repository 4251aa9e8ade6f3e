"""`babelweave data`: list what can be read, prepare a collection, describe it, validate it, find leaks."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from babelweave.cli.console import DryRun, Json, Out, Overwrite, emit, progress, say
from babelweave.errors import DataError, UsageError

if TYPE_CHECKING:
    from babelweave.data.leaks import LeakReport

app = typer.Typer(
    name="data",
    help="Collections: list the data sets that can be read, prepare, describe and validate a folder; "
    "find evaluation texts in training data.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


class FormatName(StrEnum):
    jsonl = "jsonl"
    gz = "jsonl.gz"
    parquet = "parquet"


class HalfName(StrEnum):
    tune = "tune"
    report = "report"


class UnitName(StrEnum):
    passage = "passage"
    sentence = "sentence"


Folder = Annotated[Path, typer.Argument(help="Collection folder (corpus, queries, qrels/).")]
Lang = Annotated[str | None, typer.Option("--lang", help="Language of texts that name none.")]


@app.command("list")
def list_datasets(as_json: Json = False) -> None:
    """Every data set that can be prepared: licence, languages, and the layout expected at --source."""
    from babelweave.data.prepare import catalogue

    rows = catalogue()
    emit(rows, as_json=as_json, text=lambda: "\n".join(_entry(row) for row in rows))


@app.command("prepare")
def prepare_dataset(
    name: Annotated[str, typer.Argument(help="A name of `babelweave data list`.")],
    source: Annotated[Path, typer.Option(help="The publisher's zip, folder or file; for hub owner/name.")],
    out: Out,
    split: Annotated[str | None, typer.Option(help="dev, test, train ...; each has its default.")] = None,
    subset: Annotated[
        str | None, typer.Option(help="Passage language - question language (en-de), or pooled (xquad).")
    ] = None,
    half: Annotated[
        HalfName | None, typer.Option(help="Half of MLQA's question ids: to choose on, or to report.")
    ] = None,
    lang: Annotated[str | None, typer.Option(help="One language, or that of texts which name none.")] = None,
    query_lang: Annotated[
        str | None, typer.Option(help="Language of questions which name none, where it differs.")
    ] = None,
    corpus: Annotated[
        Path | None, typer.Option(help="Collection to search, for questions that come without passages.")
    ] = None,
    unit: Annotated[UnitName | None, typer.Option(help="What XQuAD-R retrieves.")] = None,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit on the Hub.")] = None,
    drop_unanswerable: Annotated[
        bool, typer.Option("--drop-unanswerable", help="Leave out SQuAD v2's, instead of judging them 0.")
    ] = False,
    keep_leaks: Annotated[
        bool, typer.Option("--keep-leaks", help="Keep pool passages close to evaluation sets.")
    ] = False,
    file_format: Annotated[FormatName, typer.Option("--format", help="Of texts.")] = FormatName.jsonl,
    dry_run: DryRun = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Write a data set as a collection folder: BEIR's form, with a language on every text."""
    from babelweave.data import prepare as library
    from babelweave.data.dataset import Request

    request = Request(
        source=source,
        split=split,
        subset=subset,
        half=half.value if half else None,
        lang=lang,
        query_lang=query_lang,
        corpus=corpus,
        unit=unit.value if unit else None,
        revision=revision,
        drop_unanswerable=drop_unanswerable,
        keep_leaks=keep_leaks,
    )
    if dry_run:
        plan = library.plan(name, request)
        suffix = file_format.value
        splits = [f"{out}/{key}.tsv" for key in plan.counts if key.startswith("qrels/")]
        files = [f"{out}/corpus.{suffix}", f"{out}/queries.{suffix}", *splits, f"{out}/manifest.json"]
        result = {"counts": plan.counts, "notes": plan.notes, "text_bytes": plan.text_bytes, "files": files}
        counted = _counts({**plan.counts, **plan.notes})
        emit(
            result,
            as_json=as_json,
            text=lambda: "\n".join([counted, f"{plan.text_bytes} bytes of text before packing", *files]),
        )
        return
    manifest = library.prepare(name, request, out, file_format=file_format.value, overwrite=overwrite)
    notes = manifest.settings["notes"]
    if notes:
        say(_counts(notes))
    result = {"collection": out, "counts": manifest.counts, "notes": notes, "files": manifest.files}
    emit(result, as_json=as_json, text=lambda: f"{out}: {_counts(manifest.counts)}")


@app.command("describe")
def describe_collection(folder: Folder, lang: Lang = None, as_json: Json = False) -> None:
    """The figures of a collection: texts and lengths by language, judgements and coverage by split."""
    from babelweave.data.describe import describe

    figures = describe(folder, lang)
    emit(figures, as_json=as_json, text=lambda: _figures(figures))


@app.command("validate")
def validate_collection(folder: Folder, lang: Lang = None, as_json: Json = False) -> None:
    """Read all of a collection and list every kind of problem; exit code 3 when there is one."""
    from babelweave.data.validate import validate

    found = validate(folder, lang)
    result = {"folder": folder, **asdict(found), "n_problems": found.n_problems}
    emit(result, as_json=as_json, text=lambda: _problems(result))
    if found.n_problems:
        raise DataError(f"{folder}: {found.n_problems} problems")


@app.command("leaks")
def check_leaks(
    training: Annotated[
        list[str],
        typer.Argument(help="Sources of `parallel` or `relevance` by name, or collection folders."),
    ],
    against: Annotated[
        list[str] | None,
        typer.Option(help="Evaluation sets by name, or collection folders; repeat it. Default: all by name."),
    ] = None,
    root: Annotated[
        Path | None, typer.Option(envvar="BABELWEAVE_DATA", help="Folder that the named sources lie in.")
    ] = None,
    threshold: Annotated[float, typer.Option(help="Overlap of 8-grams that makes a leak.")] = 0.2,
    excepted: Annotated[
        list[Path] | None,
        typer.Option("--except", help="Exclusion list: its texts are let pass, and shown; repeat it."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write what is found as an exclusion list (.jsonl).")
    ] = None,
    dry_run: DryRun = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Look for evaluation questions and passages in training data; exit code 3 when there are some.

    Every text of a training source is compared: with the questions as they stand, with the passages by
    8-grams (16 letters of Chinese and Japanese, 32 of Thai, Lao, Khmer, Burmese), as a fraction of the
    shorter text. Evaluation sets by name: mlqa-dev, mlqa-test, squad-dev, xor-dev, xquad-r.

    Example: babelweave data leaks squad tydi tatoeba --against mlqa-dev --against xquad-r
    """
    from babelweave.data.exclusions import read_exclusions
    from babelweave.data.leaks import check_recipe_leaks, write_exclusions

    if out is not None and out.exists() and not overwrite:
        raise UsageError(f"{out} exists; choose another --out or pass --overwrite")
    listed = {sha1 for path in excepted or () for sha1 in read_exclusions(path)}
    report = check_recipe_leaks(
        training, root, against, threshold=threshold, exceptions=listed, progress=progress
    )
    written = 0
    if out is not None and not dry_run:
        written = write_exclusions(out, report.leaks)
    result = {
        "checked": {name: checked._asdict() for name, checked in report.checked.items()},
        "leaks": [leak._asdict() for leak in report.leaks],
        "excepted": [leak._asdict() for leak in report.excepted],
        "exclusion_list": {"file": out, "rows": written} if out is not None else None,
    }
    emit(result, as_json=as_json, text=lambda: _leaks(report))
    if report.leaks:
        raise DataError(f"{len(report.exclusions)} training texts hold evaluation texts")


def _leaks(report: LeakReport) -> str:
    lines = [
        f"{name}: {checked.n_texts} texts, {checked.n_short} of them too short for 8-grams"
        for name, checked in report.checked.items()
    ]
    lines += [f"leak: {leak}" for leak in report.leaks]
    lines += [f"excepted: {leak}" for leak in report.excepted]
    return "\n".join([*lines, f"{len(report.leaks)} leaks, {len(report.excepted)} excepted"])


def _entry(row: dict[str, Any]) -> str:
    lines = [f"{row['name']}: {row['help']}"]
    lines += [
        f"    {key:<10} {row[key]}"
        for key in ("source", "languages", "options", "licence", "extra")
        if row[key]
    ]
    return "\n".join(lines)


def _counts(counts: Any) -> str:
    return ", ".join(f"{value} {key}" for key, value in counts.items())


def _figures(figures: dict[str, Any]) -> str:
    lines = [f"{figures['folder']}: {figures['bytes']:,} bytes"]
    for kind in ("passages", "queries"):
        lines.append(f"{kind:<10} {'count':>10} {'min':>8} {'median':>8} {'mean':>10} {'max':>8}  characters")
        for code, row in figures[kind].items():
            length = row["characters"]
            lines.append(
                f"  {code:<8} {row['count']:>10} {length['min']:>8} {length['median']:>8} "
                f"{length['mean']:>10} {length['max']:>8}"
            )
    lines.append(f"passages with a title: {figures['titles']}; queries with answers: {figures['answers']}")
    for split, row in figures["splits"].items():
        lines.append(
            f"qrels {split}: {row['judgements']} judgements ({row['relevant']} relevant) of {row['queries']} "
            f"queries, {row['coverage']:.1%} of all"
        )
    return "\n".join(lines)


def _problems(result: dict[str, Any]) -> str:
    lines = [f"{result['folder']}: {_counts(result['counts'])}, {result['n_problems']} problems"]
    for kind, found in result["problems"].items():
        lines.append(f"{kind}: {found['count']}")
        lines += [f"    {where}: {detail}" for _, where, detail in found["examples"]]
    return "\n".join(lines)
