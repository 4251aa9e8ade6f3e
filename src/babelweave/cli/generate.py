"""`babelweave generate`: a collection to generated queries."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from babelweave.cli.console import DryRun, Json, Out, Overwrite, Seed, emit, progress, say


def run(
    collection: Annotated[Path, typer.Argument(help="Collection folder (corpus, queries, qrels/).")],
    out: Out,
    languages: Annotated[str, typer.Option(help="Languages to write, separated by commas: ar,de,zh.")],
    generator: Annotated[str, typer.Option(help="Registry name with ?key=value&... options.")] = "lexical",
    per_language: Annotated[
        int, typer.Option(min=1, help="At most so many queries per passage and language.")
    ] = 5,
    seed: Seed = 0,
    lang: Annotated[str | None, typer.Option(help="Language of texts that name none.")] = None,
    dry_run: DryRun = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Write queries for every passage of a collection; killed, the same command goes on where it stopped.

    \b
    SPEC of --generator:
      lexical   salient terms, translated with a lexicon; options
                lexicon   TSV or TSV.gz: lang, synset, lemma|lemma, or term, lang, translation|translation
                form      question or keywords
                terms     at most so many terms in a query
                topic     how many of the passage's main terms stand in every query

    \b
    Example: babelweave generate beir/ --generator "lexical?form=keywords" --languages ar,de --out queries/
    """
    from babelweave.data.collection import Collection
    from babelweave.generate.run import generate_queries, plan_generation
    from babelweave.generate.spec import open_generator

    source = Collection.open(collection, lang)
    opened = open_generator(generator)
    wanted = languages.split(",")
    plan = plan_generation(source.passages(), opened, wanted, per_language)
    say(
        f"{plan.n_passages} passages, at most {plan.n_queries} queries, "
        f"about {plan.disk_bytes / 1e6:,.1f} MB in {plan.n_shards} shards"
    )
    if dry_run:
        files = [f"{out}/queries-*.parquet", f"{out}/manifest.json"]
        emit({**plan._asdict(), "files": files}, as_json=as_json, text=lambda: "\n".join(files))
        return
    manifest = generate_queries(
        source.passages(),
        opened,
        wanted,
        per_language,
        out,
        seed=seed,
        overwrite=overwrite,
        progress=lambda items, label, _: progress(items, label, plan.n_passages),
    )
    emit(
        {"generated": out, "settings": manifest.settings, "counts": manifest.counts},
        as_json=as_json,
        text=lambda: "\n".join(
            [f"{out}: queries for {manifest.counts['passages']} passages"]
            + [f"  {name}: {number}" for name, number in manifest.counts.items() if "." in name]
        ),
    )
