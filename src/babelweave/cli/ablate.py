"""`babelweave ablate`: what number, share, fuser and weights of generated queries do, on a benchmark."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from babelweave.cli.console import DryRun, Encoder, Json, Out, Overwrite, Seed, emit, say
from babelweave.cli.weave import Normalise, Weights
from babelweave.errors import UsageError
from babelweave.registry import DEFAULT_ENCODER

if TYPE_CHECKING:
    from babelweave.evaluate.ablate import Cell
    from babelweave.evaluate.benchmarks.subsets import Tasks


class Benchmark(StrEnum):
    mlqa = "mlqa"
    xquad_r = "xquad-r"


class Half(StrEnum):
    tune = "tune"
    report = "report"


def run(
    benchmark: Annotated[Benchmark, typer.Option(help="What is asked and searched.")],
    source: Annotated[Path, typer.Option(help="The publisher's files: zip or folder.")],
    out: Out,
    split: Annotated[str | None, typer.Option(help="mlqa: dev (the default) or test.")] = None,
    half: Annotated[
        Half | None, typer.Option(help="mlqa: half of dev's questions; pools stay whole.")
    ] = None,
    subsets: Annotated[
        str, typer.Option(help="all, or names such as en-de,es-zh: passage language, then question language.")
    ] = "all",
    encoder: Encoder = DEFAULT_ENCODER,
    generator: Annotated[
        str | None, typer.Option(help="SPEC of a generator; the packaged one if not given.")
    ] = None,
    generated: Annotated[
        Path | None, typer.Option(help="Queries on disk instead: folder, .parquet or JSON.")
    ] = None,
    languages: Annotated[
        str | None, typer.Option(help="Of the queries; all asked in but en if not given.")
    ] = None,
    numbers: Annotated[str, typer.Option(help="Queries per passage and language to try.")] = "0,1,2,4,5,8",
    alphas: Annotated[
        str, typer.Option(help="Alphas to try, as those of a mean.")
    ] = "0.1,0.2,0.3,0.4,0.5,0.7",
    weights: Annotated[str, typer.Option(help="Weights to try for one language at a time.")] = "0,0.5,1,2,4",
    fusers: Annotated[str, typer.Option(help="Fusers to sweep alpha with (SPECs).")] = "mean,sum,max",
    axes: Annotated[
        str, typer.Option(help="Which to run: queries, alpha, weights.")
    ] = "queries,alpha,weights",
    per_language: Annotated[
        int | None,
        typer.Option(min=1, help="Queries per language where the number is fixed; the most of --numbers."),
    ] = None,
    fuser: Annotated[str, typer.Option(help="Fuser where it is fixed.")] = "mean",
    alpha: Annotated[float | None, typer.Option(help="Alpha where it is fixed; the fuser's default.")] = None,
    normalise: Normalise = False,
    language_weights: Weights = None,
    measures: Annotated[str, typer.Option(help="ir_measures names, separated by commas.")] = "RR@10,R@100",
    depth: Annotated[int, typer.Option(min=1, help="Passages ranked per question.")] = 100,
    seed: Seed = 0,
    dry_run: DryRun = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Weave in many ways and compare each with plain passages, from one encoding of all texts.

    \b
    Three axes, each from one base setting (--fuser --alpha --per-language --language-weights):
      queries   their number; of all languages, or of the asking one alone
      alpha     for each of --fusers, at unit length, and of the asking language alone
      weights   of one language's queries at a time

    \b
    Differences are tested by question, with Holm's correction over an axis. `report` makes a page of it.
    Example: babelweave ablate --benchmark mlqa --source MLQA_V1.zip --half tune --out ablated/
    """
    from babelweave.artifact import check_target
    from babelweave.encode.spec import open_encoder
    from babelweave.evaluate.ablate import KIND, ablate, write_ablation
    from babelweave.evaluate.arms import Arm, Design, arms_of
    from babelweave.evaluate.benchmarks.system import System
    from babelweave.evaluate.measures import parse_names
    from babelweave.report.ablation import ablation_tables
    from babelweave.report.tables import render
    from babelweave.weave.fusers.spec import parse_weights

    check_target(out, KIND, overwrite=overwrite)
    tried = [int(n) for n in _numbers("--numbers", numbers, whole=True)]
    tasks = _tasks(benchmark, source, split, half, subsets)
    most = max(*tried, per_language or 1)
    weaving = System(
        encoder=encoder,
        weave=True,
        generator=generator,
        generated=generated,
        languages=None if languages is None else languages.split(","),
        per_language=most,
        fuser=fuser,
        alpha=alpha,
        normalise=normalise,
        language_weights=parse_weights(language_weights),
        seed=seed,
    ).weaving(tasks.languages, say)
    settings = weaving.fuser.settings
    design = Design(
        base=Arm(
            per_language=per_language or most,
            fuser=fuser,
            alpha=settings["alpha"],
            normalise=normalise,
            language_weights=tuple(settings["language_weights"].items()),
        ),
        numbers=tried,
        alphas=_numbers("--alphas", alphas),
        weights=_numbers("--weights", weights),
        fusers=fusers.split(","),
        axes=axes.split(","),
    )
    plan = tasks.plan()
    n_arms = len(arms_of(design.build(weaving.languages, most)))
    n_queries = plan["distinct_passages"] * most * len(weaving.languages)
    say(
        f"{n_arms} arms; to encode: {plan['distinct_passages']} passages, "
        f"{plan['distinct_questions']} questions, at most {n_queries} queries"
    )
    if dry_run:
        files = [f"{out}/{name}" for name in ("ablation.json", "cells.parquet", "per_query.parquet")]
        emit({**plan, "arms": n_arms, "files": files}, as_json=as_json, text=lambda: "\n".join(files))
        return
    found = ablate(
        tasks,
        open_encoder(encoder),
        weaving,
        design,
        measures=parse_names(measures),
        depth=depth,
        seed=seed,
        progress=lambda done, n: say(f"arm {done} of {n}") if done % 10 == 0 or done == n else None,
    )
    if found.left_out:
        say(f"not there to be woven: {', '.join(map(str, found.left_out))} queries per language")
    write_ablation(out, found, overwrite=overwrite)
    say("seconds: " + ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in found.seconds.items()))
    emit(
        {**found.to_dict(), "cells": [_cell(c) for c in found.cells], "seconds": dict(found.seconds)},
        as_json=as_json,
        text=lambda: render(ablation_tables(out), "text"),
    )


def _cell(cell: Cell) -> dict[str, Any]:
    return {"axis": cell.axis, "curve": cell.curve, "x": cell.x, "arm": cell.arm, **cell.comparison.to_dict()}


def _tasks(benchmark: Benchmark, source: Path, split: str | None, half: Half | None, subsets: str) -> Tasks:
    from babelweave.evaluate.benchmarks import mlqa, xquad_r

    if benchmark is Benchmark.mlqa:
        return mlqa.read(source, split=split or "dev", half=half.value if half else None, subsets=subsets)
    if split or half:
        raise UsageError("--split and --half go with mlqa; xquad-r has one part")
    return xquad_r.read(source, subsets=subsets)


def _numbers(option: str, text: str, *, whole: bool = False) -> list[float]:
    try:
        return [(int if whole else float)(part) for part in text.split(",")]
    except ValueError as error:
        kind = "whole numbers" if whole else "numbers"
        raise UsageError(f"{option} {text!r}: expected {kind} separated by commas ({error})") from error
