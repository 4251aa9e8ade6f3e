"""Model folders of the field: their digest, opening them quietly, and what the hardware multiplies."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from babelweave.artifact import digest_file, digest_texts
from babelweave.errors import DataError

_TOKENIZER_FILES = ("tokenizer.json", "vocab.txt", "vocab.json", "merges.txt", "*.model", "*.tiktoken")
_WEIGHT_FILES = ("*.safetensors", "pytorch_model*.bin")
ONNX_GRAPH = "onnx/model.onnx"
"""Where the field keeps a graph in a model folder."""


def model_digest(folder: Path) -> str:
    """sha256 over the weights and tokenizer files of a model folder and its module folders.

    Settings (pooling, prompts, lengths) are left out, so a model that was saved anew in another layout
    keeps its digest.

    Raises:
        DataError: there are no weights.
    """
    files: list[Path] = []
    for place in sorted({folder, *(p for p in folder.iterdir() if p.is_dir())}):
        weights = next((found for glob in _WEIGHT_FILES if (found := sorted(place.glob(glob)))), [])
        files += weights if place == folder or (place / "config.json").is_file() else []
        files += tokenizer_files(place) if place == folder else []
    if not any(path.suffix in (".safetensors", ".bin") for path in files):
        raise DataError(f"{folder}: no weights (*.safetensors) found")
    return digest_files(folder, files)


def is_onnx(folder: Path) -> bool:
    """Whether a folder holds a graph for onnxruntime in place of weights; with both, the weights count."""
    return (folder / ONNX_GRAPH).is_file() and not any(
        path for glob in _WEIGHT_FILES for path in folder.glob(glob)
    )


def tokenizer_files(folder: Path) -> list[Path]:
    """`tokenizer.json`, or where there is none the vocabulary files it would be made from."""
    first, *others = (sorted(folder.glob(glob)) for glob in _TOKENIZER_FILES)
    return first or [path for found in others for path in found]


def digest_files(folder: Path, files: Iterable[Path]) -> str:
    """sha256 over names and bytes of files below `folder`; large files are read once per process."""
    stats = ((path, path.stat()) for path in files)
    return _digest(folder, tuple((path, s.st_size, s.st_mtime_ns) for path, s in stats))


@functools.lru_cache(maxsize=32)
def _digest(folder: Path, files: tuple[tuple[Path, int, int], ...]) -> str:
    """The digest of `files`; their sizes and times are there so that a changed file is read again."""
    lines = (f"{path.relative_to(folder).as_posix()} {digest_file(path)}" for path, _, _ in files)
    return digest_texts(lines)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the progress bar that transformers draws while it reads weights."""
    from transformers.utils import logging as transformers_logging

    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()


def first_line(error: Exception) -> str:
    """What an error of another library says, without its advice."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def has_bfloat16(device: Any) -> bool:
    """Whether bfloat16 is faster than float32 on the hardware behind a torch device.

    Of CPUs that holds for those with AMX. AVX512_BF16 alone has instructions for it too, but an encoder
    takes 1.6 times as long as in float32 (docs/adr/0004).
    """
    import torch

    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    return bool(getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)())
