"""Save an encoder so that old and new tools of the field open it, and so that it says how it reads.

sentence-transformers writes new class paths and names since 5.4, and transformers 5 a new tokenizer class.
Their earlier releases, Text Embeddings Inference and vLLM do not know these; the newest releases still read
the older form, so that is what is written here.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from sentence_transformers.base.modules import Dense, Normalize, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling

from babelweave.artifact import (
    Manifest,
    describe_files,
    read_json,
    read_manifest,
    source_commit,
    write_folder,
    write_json,
    write_manifest,
    write_text,
)
from babelweave.encode.model import LIMITS, OWN_SETTINGS, SETTINGS, input_kind, token_limit
from babelweave.encode.transformer import TransformerEncoder
from babelweave.errors import DataError, UsageError
from babelweave.records import EncoderSignature
from babelweave.train.card import Card, model_card
from babelweave.train.folder import KIND
from babelweave.weights import quiet

Weights = Literal["float32", "float16"]

CARD = "README.md"
_POOLINGS = {
    "cls": "pooling_mode_cls_token",
    "mean": "pooling_mode_mean_tokens",
    "max": "pooling_mode_max_tokens",
    "mean_sqrt_len_tokens": "pooling_mode_mean_sqrt_len_tokens",
    "weightedmean": "pooling_mode_weightedmean_tokens",
    "lasttoken": "pooling_mode_lasttoken",
}
"""sentence-transformers' pooling modes: since 5.4, and before."""
_NEW_TOKENIZER = "TokenizersBackend"
_LOCAL_KEYS = ("backend", "is_local", "local_files_only")
"""What transformers 5 notes of the machine and the call that loaded a tokenizer."""


def save_model(
    model: Any,
    folder: Path,
    *,
    settings: Mapping[str, Any],
    inputs: Mapping[str, str] | None = None,
    counts: Mapping[str, int] | None = None,
    card: Card | None = None,
    max_tokens_query: int | None = None,
    max_tokens_passage: int | None = None,
    prompt_query: str = "",
    prompt_passage: str = "",
    weights: Weights = "float32",
    overwrite: bool = False,
) -> Manifest:
    """Write a model folder that is whole or absent, with card and manifest; equal calls give equal bytes.

    The folder is opened as an encoder before it gets its name. The manifest lists every file but the card,
    which people edit.

    Args:
        model: a SentenceTransformer of stock modules.
        settings: all that decided the weights, for the manifest: the recipe's `settings()`.
        inputs: name -> digest of what was read.
        counts: examples and the like.
        card: what only its maker knows of the model; without it no README.md is written.
        max_tokens_query, max_tokens_passage, prompt_query, prompt_passage, weights: as `write_model`.
        overwrite: replace the model `folder` holds.
    Raises:
        DataError: the model does not fit the layout (see `write_model`).
        UsageError: `folder` holds something else, or a maximum length the model cannot read.
        StorageError: the disk is full or refuses.
    Cost: the weights are read back once.
    """
    with write_folder(folder, KIND, overwrite=overwrite) as aside:
        write_model(
            model,
            aside,
            max_tokens_query=max_tokens_query,
            max_tokens_passage=max_tokens_passage,
            prompt_query=prompt_query,
            prompt_passage=prompt_passage,
            weights=weights,
        )
        encoder = TransformerEncoder(str(aside), name=folder.resolve().name)
        files = describe_files(aside, _files(aside))
        if card is not None:
            _write_card(encoder, card, source_commit())
        return write_manifest(aside, Manifest(KIND, settings, inputs or {}, counts or {}, files))


def write_card(folder: Path, card: Card) -> None:
    """Write README.md of a model that lies there, for instance when its results are known.

    Raises:
        DataError: no model babelweave saved.
    """
    commit = read_manifest(folder, KIND).commit
    _write_card(TransformerEncoder(str(folder)), card, commit)


def _write_card(encoder: TransformerEncoder, card: Card, commit: str | None) -> None:
    weights = read_json(encoder.folder / "config.json")["dtype"]
    write_text(encoder.folder / CARD, model_card(card, encoder.signature, weights=weights, commit=commit))


def reading(signature: EncoderSignature) -> dict[str, Any]:
    """How an encoder reads texts, as arguments of `write_model` and `save_model`."""
    names = ("max_tokens_query", "max_tokens_passage", "prompt_query", "prompt_passage")
    return {name: getattr(signature, name) for name in names}


def write_model(
    model: Any,
    folder: Path,
    *,
    max_tokens_query: int | None = None,
    max_tokens_passage: int | None = None,
    prompt_query: str = "",
    prompt_passage: str = "",
    weights: Weights = "float32",
) -> None:
    """Write the files of a model into a folder that exists.

    Args:
        model: a SentenceTransformer: a transformer, one pooling, then any dense layers and normalisation.
        max_tokens_query, max_tokens_passage: tokens read of a text, special tokens included; what the model
            states by default. Other tools know one length, the larger.
        prompt_query, prompt_passage: put before each text of that role; other tools know them as the
            prompts "query" and "document".
        weights: how they are stored. float16 halves the file; babelweave reads it in float32.
    Raises:
        DataError: custom modules, several poolings, adapters that are not merged, weights that float16
            cannot hold.
        UsageError: a maximum length the model cannot read.
    """
    _check_stock(model)
    limits = _limits(model, folder.name, max_tokens_query, max_tokens_passage)
    backend = model[0].tokenizer.backend_tokenizer
    backend.no_truncation()  # what the last call set would be saved
    backend.no_padding()
    with quiet(), system_errors():
        model.save_pretrained(str(folder), create_model_card=False)
    if (folder / "adapter_config.json").exists():
        raise DataError("the model holds adapters; merge them (merge_and_unload) before saving")
    prompts = {"query": prompt_query, "document": prompt_passage}
    own = {key: limits[key] for key in LIMITS.values()}
    write_json(folder / SETTINGS, {**read_json(folder / SETTINGS), "prompts": prompts, OWN_SETTINGS: own})
    _write_older_form(folder, max(limits.values()))
    store_as(folder, weights)


@contextlib.contextmanager
def system_errors() -> Iterator[None]:
    """Give errors of the disk their class back, which safetensors tells in words only."""
    try:
        yield
    except SafetensorError as error:
        if (number := re.search(r"os error (\d+)", str(error))) is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1]))) from error


def _check_stock(model: Any) -> None:
    """Refuse what the older form, or a tool without our code, could not say."""
    kinds = [type(module) for module in model]
    named = ", ".join(kind.__name__ for kind in kinds)
    if kinds[0] is not Transformer or input_kind(model, "the model") != "padded":
        raise DataError(f"a saved model begins with a text transformer; this one: {named}")
    if kinds.count(Pooling) != 1 or not {*kinds[1:]} <= {Pooling, Dense, Normalize}:
        raise DataError(f"a saved model has one pooling, dense layers and normalisation; this one: {named}")
    pooling = model[kinds.index(Pooling)].pooling_mode
    if not isinstance(pooling, str):
        raise DataError(f"a saved model pools in one way, not in several at once ({', '.join(pooling)})")


def _limits(model: Any, name: str, query: int | None, passage: int | None) -> dict[str, int]:
    stated, positions = token_limit(model, name)
    limits = {"max_tokens_query": query or stated, "max_tokens_passage": passage or stated}
    for key, limit in limits.items():
        if limit > positions:
            raise UsageError(f"{key}={limit}: the model has {positions} positions")
    return limits


def _write_older_form(folder: Path, max_tokens: int) -> None:
    """Say in the words of sentence-transformers before 5.4 what its newest release has written."""
    modules = read_json(folder / "modules.json")
    for module in modules:
        name = module["type"].rpartition(".")[2]
        module["type"] = f"sentence_transformers.models.{name}"
        if name == "Pooling":
            path = folder / module["path"] / "config.json"
            write_json(path, _older_pooling(read_json(path)))
    write_json(folder / "modules.json", modules)
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": max_tokens, "do_lower_case": False})
    write_older_tokenizer(folder, max_tokens)


def write_older_tokenizer(folder: Path, max_tokens: int) -> None:
    """The settings of a tokenizer without what transformers 5 adds to them."""
    path = folder / "tokenizer_config.json"
    tokenizer = {key: value for key, value in read_json(path).items() if key not in _LOCAL_KEYS}
    tokenizer["model_max_length"] = max_tokens
    if tokenizer.get("tokenizer_class") == _NEW_TOKENIZER:
        tokenizer["tokenizer_class"] = "PreTrainedTokenizerFast"
    write_json(path, tokenizer)


def _older_pooling(config: Mapping[str, Any]) -> dict[str, Any]:
    chosen = {key: mode == config["pooling_mode"] for mode, key in _POOLINGS.items()}
    return {
        "word_embedding_dimension": config["embedding_dimension"],
        **chosen,
        "include_prompt": config["include_prompt"],
    }


def store_as(folder: Path, weights: Weights, *, computed_in: Weights | None = None) -> None:
    """Bring every floating-point tensor on disk to one type; the model in memory stays as it is.

    Args:
        computed_in: what `config.json` says; `weights` by default.
    Raises:
        DataError: weights that float16 cannot hold.
    """
    wanted = getattr(torch, weights)
    for path in sorted(folder.rglob("*.safetensors")):
        tensors = load_file(path)
        changed = {n: t for n, t in tensors.items() if t.is_floating_point() and t.dtype != wanted}
        if not changed:
            continue
        for name, tensor in changed.items():
            tensors[name] = tensor.to(wanted)
            if not torch.isfinite(tensors[name]).all():
                raise DataError(f"{name}: not all its weights are finite in {weights}; keep float32")
        with system_errors():
            save_file(tensors, path, metadata={"format": "pt"})
    config = folder / "config.json"
    write_json(config, {**read_json(config), "dtype": computed_in or weights})
    for path in folder.rglob("*.safetensors"):  # written for their owner only, whatever the umask
        path.chmod(config.stat().st_mode)


def _files(folder: Path) -> Iterator[str]:
    return (p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
