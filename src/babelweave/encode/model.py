"""Open an encoder model in sentence-transformers: its modules, and the facts a signature needs."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Literal

import torch
from huggingface_hub import try_to_load_from_cache
from safetensors import SafetensorError
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Normalize, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling, StaticEmbedding

from babelweave.artifact import read_json
from babelweave.errors import DataError, UsageError, nearest
from babelweave.records import Role
from babelweave.weights import first_line, quiet

logger = logging.getLogger(__name__)

POOLINGS = {"mean": "mean", "cls": "cls", "last": "lasttoken", "max": "max"}
"""Option value -> sentence-transformers' name."""
SIMILARITIES = ("cosine", "dot")

SETTINGS = "config_sentence_transformers.json"
OWN_SETTINGS = "babelweave"
LIMITS: dict[Role, str] = {"query": "max_tokens_query", "passage": "max_tokens_passage"}
"""Tokens per role, which sentence-transformers has no place for, stand in `SETTINGS` under `OWN_SETTINGS`:
every tool that reads the file leaves unknown keys alone, and it comes along from the Hub."""
_LENGTH_WITHOUT_POSITIONS = 512
"""Tokens read by a model that states no limit and has none in its positions (T5 and relatives): the
length T5 was pre-trained with (Raffel et al. 2020, section 3.1.2)."""


def open_model(target: str, *, revision: str | None = None) -> tuple[Any, Path]:
    """Load a folder or Hub id in float32 for inference, never running code that comes with it.

    Returns:
        The SentenceTransformer and the folder its files lie in.
    Raises:
        DataError: no model there, broken files, or it needs code of its own.
    """
    folder = Path(target).expanduser()
    if folder.is_dir():
        target = str(folder)
        if not any((folder / name).is_file() for name in ("modules.json", "config.json")):
            raise DataError(f"{target}: no encoder here (neither modules.json nor config.json)")
    elif folder.exists() or target.startswith((".", "/", "~")):
        raise DataError(f"{target}: no such folder; an encoder is a registry name, a folder or a Hub id")
    try:
        with quiet():
            model = SentenceTransformer(
                target, revision=revision, trust_remote_code=False, model_kwargs={"dtype": torch.float32}
            )
    except (OSError, ValueError, LookupError, TypeError, AttributeError, ImportError) as error:
        raise DataError(_cannot_open(target, folder.is_dir(), error)) from error
    except (RuntimeError, SafetensorError) as error:
        raise DataError(f"{target}: the weights cannot be loaded ({first_line(error)})") from error
    if not folder.is_dir():
        cached = try_to_load_from_cache(target, "config.json", revision=revision) or try_to_load_from_cache(
            target, "modules.json", revision=revision
        )
        folder = Path(str(cached)).parent
    return model.float().eval(), folder


def _cannot_open(target: str, local: bool, error: Exception) -> str:
    if local:
        return f"{target}: cannot be opened as an encoder ({first_line(error)})"
    return (
        f"{target}: neither a registry name nor a folder, and the Hugging Face Hub did not give it "
        f"({first_line(error)}); without a network only models already in its cache can be named"
    )


def adapt(
    model: Any,
    folder: Path,
    name: str,
    *,
    pooling: str | None,
    normalise: bool | None,
    similarity: str | None = None,
) -> None:
    """Set pooling, normalisation and similarity where asked; say what was assumed where the model does not
    tell.

    Raises:
        UsageError: unknown pooling or similarity, or the model has no pooling to set.
    """
    if similarity is not None:
        if similarity not in SIMILARITIES:
            raise UsageError(f"unknown similarity {similarity!r}; {nearest(similarity, SIMILARITIES)}")
        model.similarity_fn_name = similarity
    places = [i for i, module in enumerate(model) if isinstance(module, Pooling)]
    if pooling is not None:
        if pooling not in POOLINGS:
            raise UsageError(f"unknown pooling {pooling!r}; {nearest(pooling, POOLINGS)}")
        if len(places) != 1:
            raise UsageError(f"pooling={pooling}: this model has no pooling to set ({pooling_name(model)})")
        model[places[0]] = Pooling(model[places[0]].embedding_dimension, POOLINGS[pooling])
    elif not (folder / "modules.json").is_file():
        logger.warning(
            "%s does not say how it pools; %s pooling is assumed (set pooling=mean|cls|last|max)",
            name,
            pooling_name(model),
        )
    if normalise is not None and normalise != is_normalised(model):
        if normalise:
            model.append(Normalize())
        else:
            del model[len(model) - 1]


def pooling_name(model: Any) -> str:
    """How one vector of a text is made, as the signature writes it: "mean", "cls+mean", "mean, dense"."""
    short = {long: name for name, long in POOLINGS.items()}
    parts: list[str] = []
    for module in model:
        if isinstance(module, Pooling):
            modes = [module.pooling_mode] if isinstance(module.pooling_mode, str) else module.pooling_mode
            parts.append("+".join(short.get(mode, mode) for mode in modes))
            parts += [] if module.include_prompt else ["without prompt"]
        elif isinstance(module, StaticEmbedding):
            parts.append("static mean")
        elif isinstance(module, Dense):
            parts.append("dense")
        elif not isinstance(module, (Transformer, Normalize)):
            parts.append(type(module).__name__.lower())
    return ", ".join(parts)


def is_normalised(model: Any) -> bool:
    """Whether the last module gives vectors unit length."""
    return isinstance(model[len(model) - 1], Normalize)


def similarity(model: Any, name: str) -> Literal["dot", "cosine"]:
    """The similarity the model is meant for; unit vectors need no more than the dot product.

    Raises:
        DataError: a distance (euclidean, manhattan), for which no index is built.
    """
    stated = str(model.similarity_fn_name)
    if is_normalised(model) or stated == "dot":
        return "dot"
    if stated == "cosine":
        return "cosine"
    raise DataError(f"{name} is meant for {stated} distance; only dot product and cosine can be searched")


def stated_prompt(model: Any, role: Role) -> str:
    """The prompt of a role under the names sentence-transformers gives it; "" where there is none."""
    names = ("query",) if role == "query" else ("document", "passage", "corpus")
    return next((model.prompts[name] for name in names if model.prompts.get(name)), "")


def input_kind(model: Any, name: str) -> Literal["padded", "bag"]:
    """How the first module takes text.

    Raises:
        DataError: it is neither a text transformer with a fast tokenizer nor a static embedding.
    """
    first = model[0]
    if isinstance(first, StaticEmbedding):
        return "bag"
    if not isinstance(first, Transformer):
        raise DataError(f"{name}: models that begin with {type(first).__name__} are not supported")
    if "text" not in first.modalities or "message" in first.modalities or first.query_expansion is not None:
        raise DataError(f"{name}: only encoders of plain text are supported, not of {first.modalities}")
    if not getattr(first.tokenizer, "is_fast", False):
        raise DataError(f"{name}: has no fast tokenizer (tokenizer.json); convert it with transformers first")
    return "padded"


def token_limit(model: Any, name: str) -> tuple[int, int]:
    """(tokens the model says it reads, tokens its positions allow), special tokens included."""
    tokenizer, network = model[0].tokenizer, model[0].auto_model
    positions = _positions(network)
    stated = int(min(tokenizer.model_max_length, 2**31 - 1))
    if stated > positions:
        stated = positions
    if stated == 2**31 - 1:
        stated = _LENGTH_WITHOUT_POSITIONS
        logger.warning("%s states no maximum length; %d tokens are assumed", name, stated)
    return stated, positions


def recorded_limits(folder: Path) -> dict[Role, int]:
    """Tokens read per role, where a model that babelweave saved (`train.saved`) says so.

    Raises:
        DataError: what it says is no such thing.
    """
    settings = folder / SETTINGS
    if not settings.is_file():
        return {}
    data = read_json(settings)
    try:
        own = data.get(OWN_SETTINGS, {})
        return {role: int(own[key]) for role, key in LIMITS.items() if key in own}
    except (AttributeError, TypeError, ValueError) as error:
        raise DataError(f"{settings}: {OWN_SETTINGS}: not a number of tokens ({error})") from error


def _positions(network: Any) -> int:
    """Tokens the position table holds; models of the RoBERTa family keep the first rows for padding."""
    for path, module in network.named_modules():
        if path.endswith("position_embeddings") and isinstance(module, torch.nn.Embedding):
            reserved = 0 if module.padding_idx is None else module.padding_idx + 1
            return int(module.num_embeddings) - reserved
    return int(getattr(network.config, "max_position_embeddings", None) or 2**31 - 1)
