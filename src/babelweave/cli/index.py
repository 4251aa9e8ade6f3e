"""`babelweave index`: a vector store, or the texts of a collection, to an index."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from babelweave.cli.console import DryRun, Json, Out, Overwrite, emit, progress


def run(
    source: Annotated[
        Path, typer.Argument(help="Vector store of `encode` or `weave`; for bm25 a collection folder.")
    ],
    out: Out,
    spec: Annotated[str, typer.Option(help="Kind of index, with options; see below.")] = "exact",
    lang: Annotated[str | None, typer.Option(help="bm25: language of texts that name none.")] = None,
    dry_run: DryRun = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Index a vector store (or texts, with bm25) for `search`.

    \b
    --spec NAME, or NAME?key=value&key=value
      exact          every row compared, with numpy
      flat           every row compared, with FAISS
      ivf, ivf1024   FAISS inverted lists; nprobe: lists visited, default an eighth (at least 16)
      hnsw, hnsw32   FAISS graph; efSearch: width of the search, default 64
      IVF256,PQ32    any FAISS index factory string
      bm25           terms of any script; k1=1.5, b=0.75
      Options of FAISS indexes beside these: refine (candidates scored exactly per hit, default 4),
      seed (of the training sample, default 0); of graphs: threads (default 1; with more the build is
      faster, and another each time).

    \b
    Scores are exact inner products whatever the kind of index; the vectors are linked into the
    index folder (copied across file systems), which then needs nothing else.
    Example: babelweave index store/ --spec "hnsw?efSearch=128" --out index/
    """
    from babelweave.data.collection import Collection
    from babelweave.encode.store import VectorStore
    from babelweave.index.bm25 import build_bm25
    from babelweave.index.dense import build_index, plan_index

    over_texts = spec.partition("?")[0].strip() == "bm25"
    if dry_run:
        result = (
            {"passages": sum(1 for _ in Collection.open(source, lang).passages())}
            if over_texts
            else plan_index(VectorStore.open(source), spec)
        )
        emit(
            {"index": out, "spec": spec, **result},
            as_json=as_json,
            text=lambda: "\n".join(f"{name}: {value}" for name, value in result.items()),
        )
        return
    start = time.perf_counter()
    if over_texts:
        passages = progress(Collection.open(source, lang).passages(), "reading")
        manifest = build_bm25(passages, out, spec, overwrite=overwrite)
    else:
        manifest = build_index(VectorStore.open(source), spec, out, overwrite=overwrite)
    seconds = time.perf_counter() - start
    n_bytes = sum(int(entry["bytes"]) for entry in manifest.files.values())
    kind = manifest.settings.get("factory", manifest.settings["spec"])
    result = {
        "index": out,
        "spec": manifest.settings["spec"],
        "kind": kind,
        "counts": manifest.counts,
        "bytes": n_bytes,
        "seconds": seconds,
    }
    emit(
        result,
        as_json=as_json,
        text=lambda: (
            f"{out}: {kind} over {manifest.counts['passages']} passages, "
            f"{n_bytes / 1e6:,.1f} MB, {seconds:.1f} s"
        ),
    )
