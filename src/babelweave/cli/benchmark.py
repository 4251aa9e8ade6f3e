"""`babelweave benchmark`: published tasks, plain or woven, with tests against an earlier result."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from babelweave.cli.console import DryRun, Json, Overwrite, Seed, emit, say
from babelweave.cli.evaluate import DEFAULT_MEASURES
from babelweave.cli.weave import Fuser
from babelweave.registry import DEFAULT_ENCODER

if TYPE_CHECKING:
    from babelweave.evaluate.benchmarks.subsets import Tasks
    from babelweave.evaluate.benchmarks.system import System
    from babelweave.evaluate.results import BenchmarkResult
    from babelweave.records import Passage

app = typer.Typer(
    help="Run a published task and write figures, runs and per-question scores.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)

Source = Annotated[Path, typer.Option(help="The publisher's files: zip or folder.")]
Out = Annotated[
    Path | None, typer.Option(help="Result folder to write; without it figures are only printed.")
]
Subsets = Annotated[
    str, typer.Option(help="all, or names such as en-de,es-zh: passage language, then question language.")
]
Encoder = Annotated[
    str, typer.Option(help="SPEC of an encoder (see `encode --help`), or bm25?k1=..&b=.. for BM25.")
]
Weave = Annotated[bool, typer.Option("--weave", help="Weave with the packaged generator.")]
Generator = Annotated[str | None, typer.Option(help="Weave with this generator's queries (SPEC).")]
Generated = Annotated[Path | None, typer.Option(help="Weave these queries: folder, .parquet or JSON.")]
Languages = Annotated[
    str | None,
    typer.Option(help="Of the woven queries, separated by commas; all asked in but en if not given."),
]
PerLanguage = Annotated[
    int | None,
    typer.Option(min=1, help="Woven queries per passage and language; if not given 2, of --generated all."),
]
Alpha = Annotated[float | None, typer.Option(help="Share of the queries; the fuser's default if not given.")]
Normalise = Annotated[bool, typer.Option("--normalise", help="Scale woven vectors to length 1.")]
Weights = Annotated[str | None, typer.Option(help="Weight of a language's queries: ar=2,de=0.5.")]
Measures = Annotated[str, typer.Option(help="ir_measures names, separated by commas.")]
Depth = Annotated[int, typer.Option(min=1, help="Passages retrieved per question.")]
Baseline = Annotated[Path | None, typer.Option(help="Result folder to test against, question by question.")]
Distractors = Annotated[
    Path | None, typer.Option(help="Collection folder, or corpus file, added to the pools of its languages.")
]
Perturb = Annotated[
    str | None,
    typer.Option(help="Perturb the questions first: SPEC, for instance keyboard or truncate?end=head."),
]
Severity = Annotated[
    int | None, typer.Option(help="How much, 0 (not at all) to 5; 1 if not given.", show_default=False)
]
PerturbSeed = Annotated[
    int | None, typer.Option(min=0, help="Seed of the perturbation; 0 if not given.", show_default=False)
]


class Pool(StrEnum):
    file = "file"
    language = "language"


class Unit(StrEnum):
    passage = "passage"
    sentence = "sentence"


class Half(StrEnum):
    tune = "tune"
    report = "report"


@app.command("mlqa")
def mlqa(
    source: Source,
    out: Out = None,
    split: Annotated[str, typer.Option(help="dev to choose on, test to report on.")] = "dev",
    subsets: Subsets = "all",
    half: Annotated[Half | None, typer.Option(help="Half of dev's questions; pools stay whole.")] = None,
    pool: Annotated[
        Pool, typer.Option(help="file: the passages of a subset's file, as MTEB; language: of all files.")
    ] = Pool.file,
    distractors: Distractors = None,
    encoder: Encoder = DEFAULT_ENCODER,
    weave: Weave = False,
    generator: Generator = None,
    generated: Generated = None,
    languages: Languages = None,
    per_language: PerLanguage = None,
    fuser: Fuser = "mean",
    alpha: Alpha = None,
    normalise: Normalise = False,
    language_weights: Weights = None,
    measures: Measures = DEFAULT_MEASURES,
    depth: Depth = 100,
    baseline: Baseline = None,
    perturb: Perturb = None,
    severity: Severity = None,
    perturb_seed: PerturbSeed = None,
    seed: Seed = 0,
    dry_run: DryRun = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """MLQA as passage retrieval, by MTEB's protocol: up to 49 subsets of seven languages.

    \b
    Example: babelweave benchmark mlqa --source MLQA_V1.zip --encoder minilm --out plain/
    Example: babelweave benchmark mlqa --source MLQA_V1.zip --weave --baseline plain/ --out woven/
    Example: babelweave benchmark mlqa --source MLQA_V1.zip --perturb keyboard --severity 2 --baseline plain/
    """
    from babelweave.evaluate.benchmarks import mlqa as benchmark
    from babelweave.evaluate.benchmarks.subsets import run_tasks

    _check(out, overwrite)
    system = _system(
        encoder,
        weave,
        generator,
        generated,
        languages,
        per_language,
        fuser,
        alpha,
        normalise,
        language_weights,
        seed,
    )
    tasks = benchmark.read(
        source,
        split=split,
        subsets=subsets,
        half=half.value if half else None,
        pool=pool.value,
        distractors=_passages(distractors),
    )
    tasks = _perturbed(tasks, perturb, severity, perturb_seed)
    settings = _settings(measures, depth, baseline, seed)
    if dry_run:
        _plan(tasks, as_json)
        return
    _finish(run_tasks(tasks, system.open(tasks.languages, say), settings), out, overwrite, as_json)


@app.command("xquad-r")
def xquad_r(
    source: Source,
    out: Out = None,
    subsets: Subsets = "all",
    unit: Annotated[Unit, typer.Option(help="passage: paragraphs; sentence: as LAReQA.")] = Unit.passage,
    distractors: Distractors = None,
    encoder: Encoder = DEFAULT_ENCODER,
    weave: Weave = False,
    generator: Generator = None,
    generated: Generated = None,
    languages: Languages = None,
    per_language: PerLanguage = None,
    fuser: Fuser = "mean",
    alpha: Alpha = None,
    normalise: Normalise = False,
    language_weights: Weights = None,
    measures: Measures = f"{DEFAULT_MEASURES},AP",
    depth: Depth = 100,
    baseline: Baseline = None,
    perturb: Perturb = None,
    severity: Severity = None,
    perturb_seed: PerturbSeed = None,
    seed: Seed = 0,
    dry_run: DryRun = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """XQuAD-R (LAReQA): eleven languages, all parallel; `pooled` searches all of them at once.

    AP of `pooled` counts one relevant passage per language; retrieve deeply (--depth) for its full value.

    \b
    Example: babelweave benchmark xquad-r --source xquad-r/ --subsets en-de,pooled --depth 2640 --out result/
    """
    from babelweave.evaluate.benchmarks import xquad_r as benchmark
    from babelweave.evaluate.benchmarks.subsets import run_tasks

    _check(out, overwrite)
    system = _system(
        encoder,
        weave,
        generator,
        generated,
        languages,
        per_language,
        fuser,
        alpha,
        normalise,
        language_weights,
        seed,
    )
    tasks = benchmark.read(source, subsets=subsets, unit=unit.value, distractors=_passages(distractors))
    tasks = _perturbed(tasks, perturb, severity, perturb_seed)
    settings = _settings(measures, depth, baseline, seed)
    if dry_run:
        _plan(tasks, as_json)
        return
    _finish(run_tasks(tasks, system.open(tasks.languages, say), settings), out, overwrite, as_json)


@app.command("xor-retrieve")
def xor_retrieve(
    source: Source,
    pool: Annotated[
        Path, typer.Option(help="Collection folder, or corpus file, of English passages to search.")
    ],
    out: Out = None,
    split: Annotated[str, typer.Option(help="dev or train.")] = "dev",
    encoder: Encoder = DEFAULT_ENCODER,
    weave: Weave = False,
    generator: Generator = None,
    generated: Generated = None,
    languages: Languages = None,
    per_language: PerLanguage = None,
    fuser: Fuser = "mean",
    alpha: Alpha = None,
    normalise: Normalise = False,
    language_weights: Weights = None,
    depth: Depth = 100,
    baseline: Baseline = None,
    perturb: Perturb = None,
    severity: Severity = None,
    perturb_seed: PerturbSeed = None,
    seed: Seed = 0,
    dry_run: DryRun = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """XOR-Retrieve: R@2kt and R@5kt per language, their macro mean, and the pool's answer ceiling.

    \b
    Example: babelweave benchmark xor-retrieve --source xor-tydi/ --pool english-pool/ --out result/
    """
    from babelweave.evaluate.benchmarks import xor_retrieve as benchmark

    _check(out, overwrite)
    system = _system(
        encoder,
        weave,
        generator,
        generated,
        languages,
        per_language,
        fuser,
        alpha,
        normalise,
        language_weights,
        seed,
    )
    tasks = benchmark.read(source, _passages(pool), split=split)
    tasks = _perturbed(tasks, perturb, severity, perturb_seed)
    settings = _settings("", depth, baseline, seed)
    if dry_run:
        _plan(tasks, as_json)
        return
    _finish(benchmark.run(tasks, system.open(tasks.languages, say), settings), out, overwrite, as_json)


def _system(
    encoder: str,
    weave: bool,
    generator: str | None,
    generated: Path | None,
    languages: str | None,
    per_language: int | None,
    fuser: str,
    alpha: float | None,
    normalise: bool,
    language_weights: str | None,
    seed: int,
) -> System:
    from babelweave.evaluate.benchmarks.system import System
    from babelweave.weave.fusers.spec import parse_weights

    return System(
        encoder=encoder,
        weave=weave,
        generator=generator,
        generated=generated,
        languages=None if languages is None else languages.split(","),
        per_language=per_language,
        fuser=fuser,
        alpha=alpha,
        normalise=normalise,
        language_weights=parse_weights(language_weights),
        seed=seed,
    )


def _perturbed(tasks: Tasks, spec: str | None, severity: int | None, seed: int | None) -> Tasks:
    from babelweave.errors import UsageError
    from babelweave.evaluate.benchmarks.perturbed import perturb_tasks
    from babelweave.shift.spec import open_perturbation

    if spec is None:
        if severity is not None or seed is not None:
            raise UsageError("--severity, --perturb-seed: nothing is perturbed; pass --perturb as well")
        return tasks
    return perturb_tasks(tasks, open_perturbation(spec), 1 if severity is None else severity, seed or 0)


def _settings(measures: str, depth: int, baseline: Path | None, seed: int) -> Any:
    from babelweave.evaluate.benchmarks.subsets import Settings
    from babelweave.evaluate.measures import parse_names

    names = parse_names(measures) if measures else ()
    return Settings(names, depth, baseline, seed)


def _passages(path: Path | None) -> Sequence[Passage]:
    from babelweave.data.collection import Collection

    if path is None:
        return ()
    found = Collection(path.parent, path, None) if path.is_file() else Collection.open(path)
    return list(found.passages())


def _check(out: Path | None, overwrite: bool) -> None:
    """A benchmark can take long: a folder that cannot be written is refused before it starts."""
    from babelweave.artifact import check_target
    from babelweave.evaluate.results import KIND

    if out is not None:
        check_target(out, KIND, overwrite=overwrite)


def _plan(tasks: Tasks, as_json: bool) -> None:
    plan = tasks.plan()
    lines = [
        f"{name}: {n['n_queries']} questions, {n['n_passages']} passages"
        for name, n in plan["subsets"].items()
    ]
    lines.append(f"to encode: {plan['distinct_questions']} questions, {plan['distinct_passages']} passages")
    emit(plan, as_json=as_json, text=lambda: "\n".join(lines))


def _finish(result: BenchmarkResult, out: Path | None, overwrite: bool, as_json: bool) -> None:
    from babelweave.evaluate.results import write_result
    from babelweave.report.summaries import benchmark_tables
    from babelweave.report.tables import render

    if out is not None:
        write_result(out, result, overwrite=overwrite)
        say(
            f"{out}: results.json, per_query.parquet, runs/"
            + (", comparison.json" if result.comparisons else "")
        )
    say("seconds: " + ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in result.seconds.items()))
    emit(
        {
            **result.summary,
            "comparisons": [c.to_dict() for c in result.comparisons],
            "seconds": dict(result.seconds),
        },
        as_json=as_json,
        text=lambda: render(benchmark_tables(result), "text"),
    )
