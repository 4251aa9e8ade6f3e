"""`babelweave generate`: a collection to generated queries."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from babelweave.cli.console import DryRun, Json, Out, Overwrite, Seed, emit, progress, say
from babelweave.registry import DEFAULT_GENERATOR

if TYPE_CHECKING:
    from babelweave.generate.plan import GenerationPlan


def run(
    collection: Annotated[Path, typer.Argument(help="Collection folder (corpus, queries, qrels/).")],
    out: Out,
    languages: Annotated[str, typer.Option(help="Languages to write, separated by commas: ar,de,zh.")],
    generator: Annotated[
        str, typer.Option(help="SPEC, see below; options as ?key=value&...")
    ] = DEFAULT_GENERATOR,
    per_language: Annotated[
        int, typer.Option(min=1, help="At most so many queries per passage and language.")
    ] = 5,
    seed: Seed = 0,
    lang: Annotated[str | None, typer.Option(help="Language of texts that name none.")] = None,
    workers: Annotated[
        int, typer.Option(min=1, help="Processes that generate; each holds the model in memory.")
    ] = 1,
    shard_size: Annotated[
        int | None, typer.Option(min=1, help="Passages that a worker takes at a time; a kill loses so many.")
    ] = None,
    dry_run: DryRun = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Write queries for every passage of a collection; killed, the same command goes on where it stopped.

    Before it starts, passages, bytes, hours and tokens are estimated; models are tried for two seconds,
    endpoints are not asked.

    \b
    SPEC of --generator:
      babelweave-mini-qg  the packaged one: lexical, with words of 24 languages beside English
      lexical             salient terms, translated with a lexicon; options
        lexicon           TSV or TSV.gz: lang, synset, lemma|lemma, or term, lang, translation|translation
        form              question or keywords
        terms, topic      at most so many terms in a query; so many main terms of the passage in each
      FOLDER or OWNER/ID  a T5, mT5, umT5 or mBART model; also seq2seq:FOLDER and ctranslate2:FOLDER; options
        prompt            template with {language}, {title}, {text}
        decoding          sample (top_k=10, top_p, temperature), greedy, or beam (beams=4)
        max_input_tokens  of prompt and passage; longer passages are cut and counted
        max_new_tokens    of a question
        languages         the model may write, separated by commas
        batch_size        passages that run together
        precision, device, revision        of seq2seq: auto, float32, bfloat16; cuda:1; of the Hub
        compute_type, threads, device      of ctranslate2: int8, float32
      chat:MODEL          behind url=http://host/v1, the key from OPENAI_API_KEY or key_env=NAME; options
        prompt            template with {n}, {language}, {title}, {text}
        cap_tokens, cap_cost               that one invocation may use; price_input, price_output per 1,000
        concurrency, timeout, retries      of requests
        temperature, top_p, max_new_tokens, limit_field, max_characters, languages

    \b
    Example: babelweave generate beir/ --generator "lexical?form=keywords" --languages ar,de --out queries/
    """
    from babelweave.data.collection import Collection
    from babelweave.generate.run import SHARD_SIZE, generate_queries, plan_generation
    from babelweave.generate.spec import open_generator

    source = Collection.open(collection, lang)
    opened = open_generator(generator)
    wanted, shard_size = languages.split(","), shard_size or SHARD_SIZE
    plan = plan_generation(
        source.passages(), opened, wanted, per_language, shard_size=shard_size, workers=workers
    )
    say(_describe(plan))
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
        shard_size=shard_size,
        workers=workers,
        reopen=partial(open_generator, generator),
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


def _describe(plan: GenerationPlan) -> str:
    """One line: what there is to do, and what it will take as far as that can be told."""
    parts = [
        f"{plan.n_passages} passages, at most {plan.n_queries} queries",
        f"about {plan.disk_bytes / 1e6:,.1f} MB in {plan.n_shards} shards",
    ]
    if plan.hours is not None:
        parts.append(f"{plan.hours:,.1f} h" if plan.hours >= 1 else f"{plan.hours * 60:,.1f} min")
    if plan.input_tokens is not None and plan.output_tokens is not None:
        parts.append(f"{plan.input_tokens:,} tokens read, {plan.output_tokens:,} written")
    if plan.cost is not None:
        parts.append(f"a cost of {plan.cost:,.2f}")
    return ", ".join(parts)
