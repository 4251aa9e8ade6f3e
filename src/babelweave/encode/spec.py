"""Encoder SPECs, the way from a name on the command line to an encoder."""

from __future__ import annotations

from pathlib import Path

from babelweave import registry
from babelweave.errors import UsageError
from babelweave.protocols import Encoder
from babelweave.spec import parse_spec, read_options
from babelweave.weights import is_onnx


def open_encoder(spec: str) -> Encoder:
    """Open the encoder a SPEC names: a registry name first, then a folder, then the Hugging Face Hub.

    A registered encoder is a class, made with what follows `name:`, or a function that gives the model
    folder of an installed package. A folder is run by onnxruntime where it holds a graph instead of weights.

    Args:
        spec: for instance "minilm", "models/mine?precision=float32&max_tokens_passage=128",
            "intfloat/multilingual-e5-small?revision=main", "openai:text-embedding-3-small?dimensions=512".
    Raises:
        UsageError: malformed, or an unknown option.
        DataError: no model there, or it cannot be opened.
        MissingExtraError: it needs an extra that is not installed.
    """
    target, given = parse_spec(spec)
    name, _, argument = target.partition(":")
    label: str | None = None
    if name in registry.names("encoder") and not Path(target).is_dir():
        found = registry.load("encoder", name)
        if isinstance(found, type):
            encoder: Encoder = found(argument, **read_options(given, found, name))
            return encoder
        if argument:
            raise UsageError(f"{spec!r}: encoder {name} takes nothing after a colon")
        target, label = str(found()), name
    part = _reader_of(Path(target).expanduser())
    opened: Encoder = part(target, name=label, **read_options(given, part, label or target))
    return opened


def _reader_of(folder: Path) -> type:
    """The class that opens a folder, or a Hub id."""
    if is_onnx(folder):
        found: type = registry.load("encoder", "onnx")
        return found
    from babelweave.encode.transformer import TransformerEncoder

    return TransformerEncoder
