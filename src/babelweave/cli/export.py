"""`babelweave export`: a model to float16, or to a graph for onnxruntime."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from random import Random
from typing import Annotated

import typer

from babelweave.cli.console import DryRun, Json, Out, Overwrite, emit, say
from babelweave.records import Role

SAMPLE = 64
"""Texts of each role compared by default."""


def run(
    model: Annotated[str, typer.Argument(help="SPEC of a model: registry name, folder or Hub id.")],
    to: Annotated[str, typer.Option(help="fp16, int8 or onnx.")],
    out: Out,
    sample: Annotated[
        Path | None,
        typer.Option(help="Collection whose passages and questions are compared; the demo's if not given."),
    ] = None,
    sample_size: Annotated[int, typer.Option(min=1, help="Texts of each role.")] = SAMPLE,
    dry_run: DryRun = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Export a model and measure how far its vectors moved; the folder is an encoder of every verb.

    \b
    fp16   half the bytes, in the layout of sentence-transformers, old and new
    int8   a quarter, a graph for onnxruntime (pip install 'babelweave[onnx]'): faster on a CPU, and opened
           without torch
    onnx   the graph in float32
    Options of MODEL (prompts, lengths, pooling, normalise) become the export's own. An export is another
    encoder than its original: encode the collection with the one that will encode the questions.

    \b
    Example: babelweave export minilm --to int8 --out minilm-int8/
    """
    from babelweave.data.collection import Collection
    from babelweave.demo.run import COLLECTION
    from babelweave.train.export import export_model, plan_export

    if dry_run:
        plan = plan_export(model, to)
        emit(
            plan._asdict(),
            as_json=as_json,
            text=lambda: f"{out}: {plan.n_weights:,} weights, about {plan.n_bytes / 1e6:,.1f} MB",
        )
        return
    source = Collection.open(sample or COLLECTION)
    texts: dict[Role, list[str]] = {
        "passage": draw((p.content for p in source.passages()), sample_size),
        "query": draw((q.text for q in source.queries()) if source.query_file else (), sample_size),
    }
    found = export_model(model, to, out, {role: t for role, t in texts.items() if t}, overwrite=overwrite)
    lines = [f"{out}: {to}, {found.n_bytes / 1e6:.1f} MB"]
    lines += [
        f"  {moved.n_texts} {role} vectors: cosine to the original {moved.mean:.4f} in the mean, "
        f"{moved.lowest:.4f} at least; components moved by {moved.largest_change:.1e} at most"
        for role, moved in found.fidelity.items()
    ]
    result = {
        "model": out,
        "bytes": found.n_bytes,
        "fidelity": {role: moved._asdict() for role, moved in found.fidelity.items()},
        "encoder": found.signature.to_dict(),
    }
    emit(result, as_json=as_json, text=lambda: "\n".join(lines))
    say(f"its cost in ranking: babelweave benchmark NAME --encoder {out} --baseline RESULTS-OF-THE-ORIGINAL")


def draw(texts: Iterable[str], n: int) -> list[str]:
    """n texts of a stream, all equally likely, the same ones in every run (Vitter 1985, algorithm R)."""
    random = Random(0)
    drawn: list[str] = []
    for seen, text in enumerate(texts):
        if seen < n:
            drawn.append(text)
        elif (place := random.randrange(seen + 1)) < n:
            drawn[place] = text
    return drawn
