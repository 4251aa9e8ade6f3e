"""`babelweave weave`: a collection and its generated queries to a woven vector store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from babelweave.cli.console import DryRun, Encoder, Json, Out, Overwrite, emit, progress, say
from babelweave.registry import DEFAULT_ENCODER

Generated = Annotated[
    Path,
    typer.Option(help="Folder made by `generate`, a .parquet file, or docid -> queries as .json or .jsonl."),
]
Fuser = Annotated[
    str,
    typer.Option(
        help="mean; sum as in xQG; max?centroids=3&by=cluster|language keeps several rows, the best counts."
    ),
]
Weights = Annotated[
    str | None, typer.Option(help="Weight of the queries of a language, 1 where absent: ar=2,de=0.5.")
]
Normalise = Annotated[bool, typer.Option("--normalise", help="Scale woven vectors to length 1.")]


def run(
    collection: Annotated[Path, typer.Argument(help="Collection folder (corpus, queries, qrels/).")],
    generated: Generated,
    out: Out,
    encoder: Encoder = DEFAULT_ENCODER,
    fuser: Fuser = "mean",
    alpha: Annotated[
        float | None,
        typer.Option(
            help="Share of the queries, 0 to 1; if not given 0.26 for mean, 0.01 for sum, 0.5 for max."
        ),
    ] = None,
    normalise: Normalise = False,
    language_weights: Weights = None,
    languages: Annotated[
        str | None, typer.Option(help="Languages to weave, separated by commas; all if not given.")
    ] = None,
    per_language: Annotated[
        int | None, typer.Option(min=1, help="At most so many per passage and language; all if not given.")
    ] = None,
    store: Annotated[
        Path | None,
        typer.Option(help="Plain store of the collection, made by `encode`; passages are not encoded again."),
    ] = None,
    lang: Annotated[str | None, typer.Option(help="Language of texts that name none.")] = None,
    dry_run: DryRun = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Encode passages and their queries and write the fused vectors; killed, the same command goes on.

    \b
    Example: babelweave weave beir/ --generated queries/ --fuser sum --alpha 0.01 --out woven/
    """
    from babelweave.data.collection import Collection
    from babelweave.encode.spec import open_encoder
    from babelweave.encode.store import VectorStore, plan_store
    from babelweave.generate.queries import GeneratedQueries
    from babelweave.weave.fusers.spec import idle_weights, open_fuser, parse_weights, vectors_per_passage
    from babelweave.weave.stream import plan_weave, uneven_numbers, weave_collection

    source = Collection.open(collection, lang)
    how = open_fuser(
        fuser, alpha=alpha, language_weights=parse_weights(language_weights), normalise=normalise
    )
    queries = GeneratedQueries.open(generated)
    wanted = queries.check_languages(queries.languages if languages is None else languages.split(","))
    if idle := idle_weights(how, wanted):
        say(idle)
    if uneven := uneven_numbers(how, queries, wanted, per_language):
        say(f"warning: {uneven}")
    plan = plan_weave(source.passages(), queries)
    opened = open_encoder(encoder)
    v = vectors_per_passage(how, wanted)
    size = plan_store(source.passages(), opened.signature.dimension, vectors_per_passage=v)
    held = "held in memory" if queries.in_memory else "read as a stream"
    say(
        f"{plan.n_passages} passages, {plan.n_without_queries} without queries; {queries.n_queries} queries "
        f"{held}, {plan.n_unmatched_documents} of their documents not in the collection; "
        f"{v} vectors per passage, about {size.disk_bytes / 1e6:,.1f} MB on disk"
    )
    if dry_run:
        files = [f"{out}/{s}" for s in ("vectors-*.npy", "ids-*.parquet", "manifest.json")]
        result = {
            **plan._asdict(),
            "vectors_per_passage": v,
            "disk_bytes": size.disk_bytes,
            "languages": wanted,
            "files": files,
        }
        emit(result, as_json=as_json, text=lambda: "\n".join(files))
        return
    manifest = weave_collection(
        source.passages,
        queries,
        opened,
        how,
        out,
        languages=wanted,
        per_language=per_language,
        store=VectorStore.open(store) if store else None,
        overwrite=overwrite,
        progress=lambda items, label, _: progress(items, label, plan.n_passages),
    )
    emit(
        {"store": out, "counts": manifest.counts, "settings": manifest.settings},
        as_json=as_json,
        text=lambda: "\n".join(
            [f"{out}: woven with {how.name}"] + [f"  {k}: {v}" for k, v in manifest.counts.items()]
        ),
    )
