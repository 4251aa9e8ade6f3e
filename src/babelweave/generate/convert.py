"""A Hugging Face generator to a CTranslate2 folder that `CTranslate2Generator` opens."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args

from ctranslate2.converters import transformers as loaders
from ctranslate2.converters.transformers import MBartLoader, MT5Loader, T5Loader, TransformersConverter
from safetensors import safe_open

from babelweave.artifact import Manifest, seal, write_folder
from babelweave.errors import DataError, UsageError, nearest
from babelweave.generate.models import model_folder, read_config, silent
from babelweave.generate.settings import read_settings, write_settings
from babelweave.generate.tokens import PromptTokenizer
from babelweave.weights import first_line, model_digest

KIND = "ctranslate2"

Quantization = Literal[
    "int8", "int8_float32", "int8_float16", "int8_bfloat16", "int16", "float16", "bfloat16", "float32"
]

_WEIGHT_BYTES = {"int8": 1, "int16": 2, "float16": 2, "bfloat16": 2, "float32": 4}


def plan_conversion(target: str, quantization: str = "int8", *, revision: str | None = None) -> int:
    """About how many bytes `convert_generator` would write; see there for the errors."""
    source, _ = _source(target, quantization, revision)
    n_weights = 0
    for path in source.glob("*.safetensors"):
        with safe_open(path, "np") as weights:
            n_weights += sum(math.prod(weights.get_slice(name).get_shape()) for name in weights.keys())  # noqa: SIM118
    for path in [] if n_weights else source.glob("pytorch_model*.bin"):
        n_weights += path.stat().st_size // 4
    return n_weights * _WEIGHT_BYTES[quantization.partition("_")[0]]


def convert_generator(
    target: str,
    out: Path,
    *,
    quantization: Quantization = "int8",
    revision: str | None = None,
    overwrite: bool = False,
) -> Manifest:
    """Write the model, its tokenizer and its generator settings to `out`.

    Args:
        target: a folder or Hub id of a T5, mT5, umT5 or mBART model.
        quantization: of the stored weights. int8 needs a quarter of the memory of float32 and is the
            fastest on CPUs; greedy questions mostly stay the same.
        revision: branch, tag or commit on the Hub.
    Raises:
        DataError: no generator there, of another family, or not one that CTranslate2 converts.
        UsageError: an unknown quantization, or `out` holds something else.
        StorageError: the disk is full or refuses.
    """
    source, config = _source(target, quantization, revision)
    settings = read_settings(source)
    tokenizer = PromptTokenizer.open(source, settings).tokenizer
    ids = sorted(tokenizer.get_vocab().values())
    if ids != list(range(len(ids))):  # CTranslate2 would number the tokens anew
        raise DataError(
            f"{target}: the ids of the tokenizer have gaps or repeat; CTranslate2 cannot convert it"
        )
    with write_folder(out, KIND, overwrite=overwrite) as folder:
        try:
            with _mended_loaders(), silent():
                TransformersConverter(str(source)).convert(
                    str(folder / "model"), quantization=quantization, force=True
                )
        except (ValueError, RuntimeError, NotImplementedError, AttributeError, KeyError) as error:
            raise DataError(f"{target}: CTranslate2 cannot convert it ({first_line(error)})") from error
        for path in (folder / "model").iterdir():
            path.rename(folder / path.name)
        (folder / "model").rmdir()
        tokenizer.save_pretrained(folder)
        write_settings(folder, settings)
        made_from = {"source": model_digest(source)}
        return seal(
            folder, KIND, {"family": config.model_type, "quantization": quantization}, inputs=made_from
        )


def _source(target: str, quantization: str, revision: str | None) -> tuple[Path, Any]:
    """The folder of the model and its config."""
    known = get_args(Quantization)
    if quantization not in known:
        raise UsageError(f"unknown quantization {quantization!r}; {nearest(quantization, known)}")
    source = model_folder(target, revision)
    return source, read_config(source)


class _MendedT5(T5Loader):  # type: ignore[misc]
    """Scales the output exactly where transformers does.

    CTranslate2 4.8.5 asks `tie_word_embeddings`, which transformers 5 always answers with True for this
    family; it would multiply the logits of mT5 and T5 v1.1 by d_model ** -0.5: the likeliest token stays,
    what is sampled does not.
    """

    def get_model_spec(self, model: Any) -> Any:
        model.config.tie_word_embeddings = getattr(model.config, "scale_decoder_outputs", False)
        return super().get_model_spec(model)


class _MendedMT5(_MendedT5):
    architecture_name = MT5Loader.architecture_name


class _MendedMBart(MBartLoader):  # type: ignore[misc]
    """Normalises and starts the decoder as transformers does.

    CTranslate2 asks for things that only the first published folders hold: that mBART
    normalises before each layer, as it always does, and its tokenizer's class, without which mBART-50 would
    start with the language where it was trained to start with the end token.
    """

    def get_model_spec(self, model: Any) -> Any:
        model.config.normalize_before = True
        return super().get_model_spec(model)

    def set_config(self, config: Any, model: Any, tokenizer: Any) -> None:
        super().set_config(config, model, tokenizer)
        config.bos_token = tokenizer.cls_token  # the tokenizer of mBART-50 has no bos_token
        at_end = model.generation_config.decoder_start_token_id == tokenizer.eos_token_id
        config.decoder_start_token = tokenizer.eos_token if at_end else None


@contextlib.contextmanager
def _mended_loaders() -> Iterator[None]:
    """CTranslate2's table of loaders with ours, restored behind us."""
    ours = {"T5Config": _MendedT5(), "MT5Config": _MendedMT5(), "MBartConfig": _MendedMBart()}
    before = dict(loaders._MODEL_LOADERS)
    loaders._MODEL_LOADERS.update(ours)
    try:
        yield
    finally:
        loaders._MODEL_LOADERS.clear()
        loaders._MODEL_LOADERS.update(before)
