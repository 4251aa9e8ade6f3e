"""`babelweave inspect`: generated queries to a table of what they are like, and a card."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from babelweave.cli.console import DryRun, Encoder, Json, Out, Overwrite, Seed, emit, progress, say
from babelweave.registry import DEFAULT_ENCODER

if TYPE_CHECKING:
    from babelweave.generate.identify import Identifier


def run(
    queries: Annotated[
        Path,
        typer.Argument(
            help="Folder made by `generate`, a .parquet file, or docid -> queries as .json or .jsonl."
        ),
    ],
    collection: Annotated[
        Path, typer.Option(help="Collection folder the queries were made for (corpus, queries, qrels/).")
    ],
    out: Out,
    index: Annotated[
        str | None,
        typer.Option(help="Index over the collection: do queries find their passages? IDX?nprobe=64 works."),
    ] = None,
    encoder: Encoder = DEFAULT_ENCODER,
    rerank: Annotated[
        str | None,
        typer.Option(
            help="Cross-encoder that says how relevant passages are: MODEL?precision=..&max_tokens=.."
        ),
    ] = None,
    depth: Annotated[int, typer.Option(min=1, help="Hits of --index looked through for the passage.")] = 100,
    language_id: Annotated[
        bool, typer.Option("--language-id/--no-language-id", help="Identify languages (extra langid).")
    ] = True,
    candidates: Annotated[
        str | None,
        typer.Option(help="Languages that compete; if not given those of queries and passages, and English."),
    ] = None,
    lang: Annotated[str | None, typer.Option(help="Language of texts that name none.")] = None,
    seed: Seed = 0,
    dry_run: DryRun = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Measure every generated query: its language and script, length, what it copies, what it finds.

    Writes one row per query, and a card (card.md, card.json) with figures and samples per language. Decide
    by it with `filter`. Killed, the same command goes on where it stopped.

    \b
    Example: babelweave inspect queries/ --collection beir/ --index dense/ --out inspected/
    """
    from babelweave.data.collection import Collection
    from babelweave.encode.spec import open_encoder
    from babelweave.generate.card import as_markdown
    from babelweave.generate.inspect import inspect_queries, plan_inspection
    from babelweave.generate.queries import GeneratedQueries
    from babelweave.search.judge import open_judges

    source = Collection.open(collection, lang)
    generated = GeneratedQueries.open(queries)
    plan = plan_inspection(source.passages(), generated)
    say(
        f"{plan.n_passages} passages, {generated.n_queries} queries; "
        f"{plan.n_unmatched_documents} of their documents not in the collection"
    )
    if dry_run:
        files = [f"{out}/{name}" for name in ("inspected-*.parquet", "card.md", "card.json", "manifest.json")]
        result = {**plan._asdict(), "queries": generated.n_queries, "files": files}
        emit(result, as_json=as_json, text=lambda: "\n".join(files))
        return
    competing = candidates.split(",") if candidates else {*generated.languages, *plan.languages, "en"}
    manifest, card = inspect_queries(
        generated,
        source.passages(),
        out,
        identifier=_identifier(competing, generated.languages) if language_id else None,
        judges=open_judges(index, lambda: open_encoder(encoder), rerank, depth=depth),
        seed=seed,
        overwrite=overwrite,
        progress=lambda items, label, _: progress(items, label, plan.n_passages),
    )
    emit(
        {"inspected": out, "counts": manifest.counts, "card": card.to_dict()},
        as_json=as_json,
        text=lambda: as_markdown(card),
    )


def _identifier(candidates: list[str] | set[str], asked: tuple[str, ...]) -> Identifier:
    from babelweave.generate.identify import Identifier

    identifier = Identifier(candidates)
    if unknown := [lang for lang in asked if not identifier.knows(lang)]:
        say(f"not identified, their script alone is looked at: {', '.join(unknown)}")
    return identifier
