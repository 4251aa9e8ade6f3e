"""Encoder-decoder folders of Hugging Face: what they are, and opening them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForSeq2SeqLM
from transformers.utils import logging as transformers_logging

from babelweave.errors import DataError, UsageError, nearest
from babelweave.weights import first_line, has_bfloat16, quiet

FAMILIES = ("t5", "mt5", "umt5", "mbart")
"""The model types of transformers that write questions here."""

_FILES = ["*.json", "*.model", "*.txt", "*.safetensors"]
_OLD_WEIGHTS = ["pytorch_model*.bin"]


def model_folder(target: str, revision: str | None = None) -> Path:
    """The folder of a model: itself, or where the Hub's files of an id were put.

    Raises:
        DataError: no such folder, or the Hub does not give it.
    """
    folder = Path(target).expanduser()
    if folder.is_dir():
        return folder
    if folder.exists() or target.startswith((".", "/", "~")):
        raise DataError(f"{target}: no such folder; a generator is a registry name, a folder or a Hub id")
    try:
        found = Path(snapshot_download(target, revision=revision, allow_patterns=_FILES))
        if not any(found.glob("*.safetensors")):
            found = Path(snapshot_download(target, revision=revision, allow_patterns=_OLD_WEIGHTS))
    except (OSError, ValueError) as error:  # the Hub's own errors are of these
        raise DataError(
            f"{target}: neither a registry name nor a folder, and the Hugging Face Hub did not give it "
            f"({first_line(error)}); without a network only models already in its cache can be named"
        ) from error
    return found


def read_config(folder: Path) -> Any:
    """The config of a model that can write questions from passages.

    Raises:
        DataError: none there, broken, or of another family.
    """
    if not (folder / "config.json").is_file():
        raise DataError(f"{folder}: no generator here (no config.json)")
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise DataError(f"{folder}: cannot be opened as a generator ({first_line(error)})") from error
    if config.model_type not in FAMILIES:
        raise DataError(f"{folder}: {_wrong_family(config)}; supported: {', '.join(FAMILIES)}")
    return config


def _wrong_family(config: Any) -> str:
    kind = f"a model of type {config.model_type!r}"
    if config.is_encoder_decoder:
        return f"{kind} is not supported"
    if any("CausalLM" in name or "LMHead" in name for name in config.architectures or ()):
        return f"{kind} has a decoder only; serve it behind an OpenAI-compatible address, as chat:MODEL"
    return f"{kind} has no decoder and cannot write"


def open_model(folder: Path, dtype: torch.dtype) -> Any:
    """The model for inference, its weights in `dtype`.

    Raises:
        DataError: missing or broken weights.
    """
    try:
        with silent():
            model, loaded = AutoModelForSeq2SeqLM.from_pretrained(
                folder, dtype=dtype, trust_remote_code=False, output_loading_info=True
            )
    except (OSError, ValueError, LookupError, TypeError, AttributeError, ImportError) as error:
        raise DataError(f"{folder}: cannot be opened as a generator ({first_line(error)})") from error
    except (RuntimeError, SafetensorError) as error:
        raise DataError(f"{folder}: the weights cannot be loaded ({first_line(error)})") from error
    if missing := sorted(loaded["missing_keys"]):  # transformers would draw them at random
        raise DataError(f"{folder}: the model has no weights for {missing[0]} and {len(missing) - 1} others")
    return model.eval()


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Without what transformers says while it reads weights.

    It warns of each published mT5, which has an output layer of its own; missing weights are told by us.
    """
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    try:
        with quiet():
            yield
    finally:
        transformers_logging.set_verbosity(verbosity)


def read_device(asked: str | None) -> torch.device:
    """The device asked for, or a GPU if there is one.

    Raises:
        UsageError: there is no such device.
    """
    try:
        device = torch.device(asked or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"device={asked}: {first_line(error)}") from None
    return device


def read_precision(precision: str, model_type: str, device: torch.device) -> torch.dtype:
    """The type of the weights; auto takes bfloat16 where it is faster, else float32.

    Raises:
        UsageError: an unknown name, or float16 where it overflows (the T5 family) or is slow (a CPU).
    """
    known = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if precision == "auto":
        return torch.bfloat16 if has_bfloat16(device) else torch.float32
    if precision not in known:
        raise UsageError(f"unknown precision {precision!r}; {nearest(precision, ['auto', *known])}")
    if precision == "float16" and (model_type.endswith("t5") or device.type == "cpu"):
        why = "overflows in models of the T5 family" if model_type.endswith("t5") else "is for GPUs"
        raise UsageError(f"precision=float16 {why}; take bfloat16 or float32")
    return known[precision]


def special_ids(model: Any, tokenizer: Any) -> tuple[int, int, int]:
    """Ids of the decoder's start, the end, and padding."""
    ends = model.generation_config.eos_token_id or tokenizer.eos_token_id
    end = int(ends[0] if isinstance(ends, list) else ends)
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else end
    start = model.generation_config.decoder_start_token_id
    return int(pad if start is None else start), end, int(pad)
