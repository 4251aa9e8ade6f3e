"""What a model can be exported to: a record per format, and the one that needs no other library."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from babelweave.encode.transformer import TransformerEncoder
from babelweave.protocols import Encoder
from babelweave.train.folder import KIND
from babelweave.train.saved import reading, write_model


@dataclass(frozen=True, slots=True)
class Format:
    """One way to store a model.

    Attributes:
        kind: of the manifest.
        bytes_per_weight: about, for an estimate.
        floor: mean cosine to the original below which something is wrong, not merely coarse.
        write: fill a folder; gives back the settings of its manifest. The encoder is used up.
        open: the folder, once it has its manifest, as an encoder in float32.
    """

    kind: str
    bytes_per_weight: int
    floor: float
    write: Callable[[TransformerEncoder, Path], dict[str, Any]]
    open: Callable[[str], Encoder]


def _write_half(encoder: TransformerEncoder, folder: Path) -> dict[str, Any]:
    write_model(encoder.model, folder, weights="float16", **reading(encoder.signature))
    return {"format": "fp16"}


FP16 = Format(
    kind=KIND,
    bytes_per_weight=2,
    floor=0.999,
    write=_write_half,
    open=lambda folder: TransformerEncoder(folder, precision="float32"),
)
