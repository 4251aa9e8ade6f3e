"""Export a model: half the bytes as float16, a quarter as int8, and what it costs in quality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from babelweave import registry
from babelweave.artifact import (
    MANIFEST,
    Manifest,
    check_target,
    read_json,
    seal,
    write_folder,
    write_text,
)
from babelweave.encode.spec import open_encoder
from babelweave.encode.transformer import TransformerEncoder
from babelweave.errors import DataError, UsageError
from babelweave.protocols import Encoder
from babelweave.records import EncoderSignature, Float32, Role
from babelweave.train.card import Fidelity, export_card
from babelweave.train.formats import Format
from babelweave.train.saved import CARD


class ExportPlan(NamedTuple):
    """What an export will write."""

    n_weights: int
    n_bytes: int
    """About, of the weights alone."""


class Exported(NamedTuple):
    """What was written.

    Attributes:
        signature: of the exported encoder.
        n_bytes: of all files.
        fidelity: role -> how near its vectors are to those of the original.
    """

    manifest: Manifest
    signature: EncoderSignature
    n_bytes: int
    fidelity: Mapping[Role, Fidelity]


def plan_export(spec: str, to: str) -> ExportPlan:
    """What `export_model` would write; see there for the errors."""
    how: Format = registry.load("export", to)
    n_weights = sum(parameter.numel() for parameter in _open(spec).model.parameters())
    return ExportPlan(n_weights, n_weights * how.bytes_per_weight)


def export_model(
    spec: str, to: str, folder: Path, sample: Mapping[Role, Sequence[str]], *, overwrite: bool = False
) -> Exported:
    """Write a model in another format and measure how far its vectors moved.

    The folder is an encoder of every verb. It is another encoder than its source: a store made with one is
    not searched with the other.

    Args:
        spec: of a model; its options for prompts, lengths, pooling and normalisation become the export's own.
        to: "fp16", half of the weights in the layout of sentence-transformers; "int8" or "onnx", a graph
            for onnxruntime.
        sample: role -> texts both are compared on.
        overwrite: replace the export `folder` holds.
    Raises:
        UsageError: unknown format, an encoder without weights of its own, or `folder` is in the way.
        DataError: the model has no such form, or its vectors moved so far that the export must be wrong.
        MissingExtraError: onnx and onnxruntime are not installed.
        StorageError: the disk is full or refuses.
    """
    how: Format = registry.load("export", to)
    check_target(folder, how.kind, overwrite=overwrite)
    encoder = _open(spec)
    source = encoder.signature
    before = {role: encoder.encode(texts, role).vectors for role, texts in sample.items()}
    with write_folder(folder, how.kind, overwrite=overwrite) as aside:
        settings = how.write(encoder, aside) | _provenance(encoder.folder)
        manifest = seal(aside, how.kind, settings, inputs={"model": source.digest})
        after = how.open(str(aside))
        fidelity = {role: _compare(vectors, after, sample[role], role) for role, vectors in before.items()}
        for role, found in fidelity.items():
            if not found.mean >= how.floor:
                raise DataError(
                    f"{source.name} as {to}: the mean cosine of {role} vectors to the original is "
                    f"{found.mean:.3f}, below {how.floor}; this model does not survive the export"
                )
        readme = encoder.folder / CARD
        card = readme.read_text(encoding="utf-8") if readme.is_file() else None
        n_bytes = sum(path.stat().st_size for path in aside.rglob("*") if path.is_file())
        signature = replace(after.signature, name=folder.resolve().name)
        write_text(
            aside / CARD, export_card(card, source, signature, to=to, n_bytes=n_bytes, fidelity=fidelity)
        )
    return Exported(manifest, signature, n_bytes, fidelity)


def _open(spec: str) -> TransformerEncoder:
    """The model, in float32 whatever the hardware multiplies: a comparison needs an original.

    Raises:
        UsageError: an endpoint, or an export.
    """
    encoder = open_encoder(spec)
    if isinstance(encoder, TransformerEncoder) and encoder.signature.precision != "float32":
        encoder = open_encoder(f"{spec}{'&' if '?' in spec else '?'}precision=float32")
    if not isinstance(encoder, TransformerEncoder):
        raise UsageError(f"{spec}: no weights to export; name a model folder, a Hub id or a packaged model")
    return encoder


def _provenance(folder: Path) -> dict[str, Any]:
    """What the manifest of a model says of how it was made, for that of its export; {} without one."""
    path = folder / MANIFEST
    made = read_json(path) if path.is_file() else None
    if not isinstance(made, dict):
        return {}
    return {"model": {key: made[key] for key in ("settings", "inputs", "counts", "commit") if key in made}}


def _compare(before: Float32, after: Encoder, texts: Sequence[str], role: Role) -> Fidelity:
    a, b = (v.astype(np.float64) for v in (before, after.encode(texts, role).vectors))
    cosines = (a * b).sum(axis=1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
    return Fidelity(len(texts), float(cosines.mean()), float(cosines.min()), float(np.abs(a - b).max()))
