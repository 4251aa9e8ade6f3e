"""`babelweave encode`: a collection to a vector store."""

from __future__ import annotations

import shutil
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from babelweave.cli.console import DryRun, Encoder, Json, Out, Overwrite, emit, progress, say
from babelweave.registry import DEFAULT_ENCODER


class RoleName(StrEnum):
    passage = "passage"
    query = "query"


class DTypeName(StrEnum):
    float32 = "float32"
    float16 = "float16"


def run(
    collection: Annotated[Path, typer.Argument(help="Collection folder (corpus, queries, qrels/).")],
    out: Out,
    encoder: Encoder = DEFAULT_ENCODER,
    role: Annotated[
        RoleName, typer.Option(help="passage encodes the corpus, query the questions of the collection.")
    ] = RoleName.passage,
    shard_size: Annotated[
        int | None,
        typer.Option(
            min=1, help="Passages of a shard, 8192 if not given: held in memory together, lost by a kill."
        ),
    ] = None,
    dtype: Annotated[DTypeName, typer.Option(help="Of the stored vectors.")] = DTypeName.float32,
    lang: Annotated[str | None, typer.Option(help="Language of texts that name none.")] = None,
    dry_run: DryRun = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Encode a collection into a vector store; killed, the same command goes on where it stopped.

    \b
    SPEC of --encoder: TARGET, or TARGET?key=value&key=value
      TARGET  babelweave-mini        packaged, 25 languages
              minilm                 all-MiniLM-L6-v2, installed with babelweave (English)
              path/to/folder         a sentence-transformers or Hugging Face model
              owner/name             a model of the Hugging Face Hub
              openai:MODEL           an OpenAI-compatible endpoint (pip install 'babelweave[openai]')
      Options of a model, taken from the model itself where left out:
              precision              auto, float32 or bfloat16
              max_tokens_query, max_tokens_passage
              prompt_query, prompt_passage     %26 stands for &
              pooling                mean, cls, last or max
              normalise              true or false
              similarity             dot or cosine
              revision               branch, tag or commit on the Hub
              batch_tokens           padded tokens of a batch
      Options of an endpoint:
              url                    default https://api.openai.com/v1
              dimensions, prompt_query, prompt_passage, normalise, encoding,
              batch_size, timeout, retries
              key_env                variable that holds the key, default OPENAI_API_KEY

    \b
    Example: babelweave encode beir/ --encoder "models/e5?max_tokens_passage=256" --out store/
    """
    from babelweave.data.collection import Collection
    from babelweave.encode.spec import open_encoder
    from babelweave.encode.store import (
        SHARD_SIZE,
        encode_collection,
        passages_kept,
        plan_store,
        query_texts,
    )

    source = Collection.open(collection, lang)

    def texts() -> Any:
        return source.passages() if role is RoleName.passage else query_texts(source.queries())

    size = SHARD_SIZE if shard_size is None else shard_size
    opened = open_encoder(encoder)
    plan = plan_store(texts(), opened.signature.dimension, shard_size=size, dtype=dtype.value)
    say(
        f"{plan.n_passages} texts in {plan.n_shards} shards: about {_mb(plan.disk_bytes)} on disk "
        f"({_mb(_free_bytes(out))} free), {_mb(plan.memory_bytes)} in memory beside the model"
    )
    if dry_run:
        files = [f"{out}/{s}" for s in ("vectors-*.npy", "ids-*.parquet", "manifest.json")]
        result = {**plan._asdict(), "encoder": opened.signature.to_dict(), "files": files}
        emit(result, as_json=as_json, text=lambda: "\n".join(files))
        return
    n_kept = 0 if overwrite else passages_kept(out)
    start = time.perf_counter()
    manifest = encode_collection(
        texts(),
        opened,
        out,
        role=role.value,
        shard_size=size,
        dtype=dtype.value,
        overwrite=overwrite,
        progress=lambda items, label, _: progress(items, label, plan.n_passages),
    )
    seconds = time.perf_counter() - start
    n_bytes = sum(int(entry["bytes"]) for entry in manifest.files.values())
    n_passages, n_truncated = manifest.counts["passages"], manifest.counts["truncated"]
    rate = (n_passages - n_kept) / seconds
    result = {
        "store": out,
        "counts": manifest.counts,
        "bytes": n_bytes,
        "seconds": seconds,
        "resumed": n_kept,
        "passages_per_second": rate,
        "encoder": opened.signature.to_dict(),
    }
    emit(
        result,
        as_json=as_json,
        text=lambda: (
            f"{out}: {n_passages} {role.value} vectors of {opened.signature.dimension} dimensions, "
            f"{n_truncated} texts truncated, {_mb(n_bytes)}, {seconds:.1f} s "
            f"({rate:.1f} per second{f', {n_kept} kept from an interrupted run' if n_kept else ''})"
        ),
    )


def _mb(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:,.1f} MB"


def _free_bytes(out: Path) -> int:
    """Free space where the store will lie, asked of the nearest folder that exists."""
    place = next(folder for folder in (out.absolute(), *out.absolute().parents) if folder.is_dir())
    return shutil.disk_usage(place).free
