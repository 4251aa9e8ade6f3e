"""`babelweave convert`: a generator to the format of CTranslate2."""

from __future__ import annotations

from typing import Annotated

import typer

from babelweave.cli.console import DryRun, Json, Out, Overwrite, emit


def run(
    model: Annotated[str, typer.Argument(help="Folder or Hub id of a T5, mT5, umT5 or mBART generator.")],
    out: Out,
    quantization: Annotated[
        str, typer.Option(help="Of the weights: int8, float32, int8_float16, float16, bfloat16, ...")
    ] = "int8",
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit on the Hub.")] = None,
    dry_run: DryRun = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Convert a generator for CTranslate2: int8 needs a quarter of the memory and is the fastest on a CPU.

    The folder holds the tokenizer, the prompt and the lengths too, and is a generator of `generate`.

    \b
    Example: babelweave convert models/my-qg/ --out models/my-qg-int8/
    """
    from babelweave import registry

    registry.load("generator", "ctranslate2")  # tells what to install where it is missing
    from babelweave.generate.convert import convert_generator, plan_conversion

    if dry_run:
        n_bytes = plan_conversion(model, quantization, revision=revision)
        text = f"{out}: about {n_bytes / 1e6:,.1f} MB"
        emit({"converted": out, "bytes": n_bytes}, as_json=as_json, text=lambda: text)
        return
    manifest = convert_generator(
        model,
        out,
        quantization=quantization,  # type: ignore[arg-type]
        revision=revision,
        overwrite=overwrite,
    )
    n_bytes = sum(entry["bytes"] for entry in manifest.files.values())
    emit(
        {"converted": out, "settings": manifest.settings, "bytes": n_bytes},
        as_json=as_json,
        text=lambda: f"{out}: {manifest.settings['family']} in {quantization}, {n_bytes / 1e6:,.1f} MB",
    )
