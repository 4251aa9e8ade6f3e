"""Encoders of sentence-transformers and Hugging Face, with an encode loop of our own."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from babelweave.encode import model as models
from babelweave.encode.checks import check_finite, check_role, check_unicode
from babelweave.encode.tokens import BagReader, InputForm, PaddedReader, TokenReader, token_batches
from babelweave.errors import UsageError
from babelweave.records import Encoded, EncoderSignature, Role
from babelweave.weights import has_bfloat16, model_digest

Precision = Literal["auto", "float32", "bfloat16"]

BATCH_TOKENS = {"cpu": 4096, "cuda": 16384}
"""Padded tokens of a batch per kind of device. The CPU's is a compromise, measured with MiniLM in float32
on AVX2: one thread is fastest near 2048 (20.2 passages per CPU second; 4096: 19.1, 8192: 16.3), two threads
on a busy machine near 8192 (11.5 passages per second; 4096: 10.6, 2048: 8.0). The GPU's is not measured."""


class TransformerEncoder:
    """A sentence-transformers model, or a plain Hugging Face encoder, as an `Encoder`.

    Pooling, normalisation, prompts and maximum lengths are the model's own unless an option says
    otherwise; all of them stand in the signature. Weights are kept in float32.

    Args:
        target: a model folder or a Hub id.
        name: what reports call it; by default the last part of `target`.
        precision: bfloat16 runs the transformer under autocast; auto takes it where it is
            faster (a CPU with AMX, CUDA with bf16), else float32.
        max_tokens_query, max_tokens_passage: tokens read of a text, special tokens included.
        prompt_query, prompt_passage: put before each text of that role.
        revision: branch, tag or commit on the Hub.
        pooling: mean, cls, last or max; needed for folders that do not say, where mean (last for
            decoders) is assumed with a warning.
        normalise: scale vectors to unit length.
        similarity: cosine or dot, what the vectors are compared by.
        batch_tokens: padded tokens of a batch, `BATCH_TOKENS` by default.
    Attributes:
        model: the SentenceTransformer; training moves its weights in place.
        readers: role -> how its texts are tokenised, cut and prompted.
        folder: where its files lie.
    Raises:
        DataError: no model there, or one that cannot be run.
        UsageError: an option has no such value.
    """

    def __init__(
        self,
        target: str,
        *,
        name: str | None = None,
        precision: Precision = "auto",
        max_tokens_query: int | None = None,
        max_tokens_passage: int | None = None,
        prompt_query: str | None = None,
        prompt_passage: str | None = None,
        revision: str | None = None,
        pooling: str | None = None,
        normalise: bool | None = None,
        similarity: str | None = None,
        batch_tokens: int | None = None,
    ) -> None:
        if precision not in ("auto", "float32", "bfloat16"):
            raise UsageError(f"unknown precision {precision!r}; known: auto, float32, bfloat16")
        if batch_tokens is not None and batch_tokens < 1:
            raise UsageError(f"batch_tokens={batch_tokens}: must be at least 1")
        self.model, self.folder = models.open_model(target, revision=revision)
        name = name or Path(target).expanduser().resolve().name
        models.adapt(
            self.model, self.folder, name, pooling=pooling, normalise=normalise, similarity=similarity
        )
        self._budget = batch_tokens or BATCH_TOKENS.get(self.model.device.type, BATCH_TOKENS["cuda"])
        self._bfloat16 = precision == "bfloat16" or (precision == "auto" and has_bfloat16(self.model.device))
        prompts = {"query": prompt_query, "passage": prompt_passage}
        limits: dict[Role, int | None] = {"query": max_tokens_query, "passage": max_tokens_passage}
        self._prompts = {
            role: models.stated_prompt(self.model, role) if prompts[role] is None else str(prompts[role])
            for role in ("query", "passage")
        }
        self.readers: dict[Role, TokenReader] = self._make_readers(name, limits)
        self._signature = EncoderSignature(
            name=name,
            digest=model_digest(self.folder),
            dimension=int(self.model.get_embedding_dimension()),
            pooling=models.pooling_name(self.model),
            normalised=models.is_normalised(self.model),
            similarity=models.similarity(self.model, name),
            prompt_query=self._prompts["query"],
            prompt_passage=self._prompts["passage"],
            max_tokens_query=self.readers["query"].max_tokens,
            max_tokens_passage=self.readers["passage"].max_tokens,
            precision="bfloat16" if self._bfloat16 else "float32",
        )

    def _make_readers(self, name: str, limits: dict[Role, int | None]) -> dict[Role, TokenReader]:
        if models.input_kind(self.model, name) == "bag":
            if asked := [role for role, limit in limits.items() if limit is not None]:
                raise UsageError(f"max_tokens_{asked[0]}: {name} reads texts of any length")
            return {role: BagReader(self.model[0].tokenizer, self._prompts[role]) for role in limits}
        tokenizer = self.model[0].tokenizer
        stated, positions = models.token_limit(self.model, name)
        recorded = models.recorded_limits(self.folder)
        smallest = tokenizer.num_special_tokens_to_add() + 1
        readers: dict[Role, TokenReader] = {}
        for role, asked_limit in limits.items():
            limit = recorded.get(role, stated) if asked_limit is None else asked_limit
            if not smallest <= limit <= positions:
                raise UsageError(f"max_tokens_{role}={limit}: {name} reads {smallest} to {positions} tokens")
            readers[role] = PaddedReader(
                tokenizer.backend_tokenizer, InputForm.of(tokenizer), limit, self._prompts[role]
            )
        return readers

    @property
    def signature(self) -> EncoderSignature:
        return self._signature

    def encode(self, texts: Sequence[str], role: Role) -> Encoded:
        """float32 (n, d) in the order given, and how many texts were cut at the maximum length.

        The same call gives the same bits; another selection or order of texts makes other batches and
        moves a component by about 1e-7 (float32) or 1e-2 of the vector's length at most (bfloat16).

        Raises:
            DataError: a text that is not valid Unicode, or a vector that is not finite.
            UsageError: unknown role.
        """
        check_role(role)
        check_unicode(texts)
        reader = self.readers[role]
        vectors = np.empty((len(texts), self.signature.dimension), dtype=np.float32)
        if not len(texts):
            return Encoded(vectors, 0)
        tokens = reader.read(texts)
        device = self.model.device
        with torch.inference_mode(), self._autocast(device):  # one scope: weights are cast once per call
            for batch in token_batches(tokens.lengths, self._budget):
                vectors[batch] = self._forward(reader.features(tokens, batch), device)
        check_finite(vectors)
        return Encoded(vectors, tokens.n_truncated)

    def _autocast(self, device: torch.device) -> contextlib.AbstractContextManager[Any]:
        return (
            torch.autocast(device.type, dtype=torch.bfloat16) if self._bfloat16 else contextlib.nullcontext()
        )

    def _forward(self, features: dict[str, Any], device: torch.device) -> Any:
        """Run the modules; what follows the transformer (pooling, dense, unit length) stays in float32."""
        features = {k: v.to(device) if isinstance(v, torch.Tensor) else v for k, v in features.items()}
        first, *rest = self.model
        features = first(features)
        features = {
            k: v.float() if isinstance(v, torch.Tensor) and v.dtype == torch.bfloat16 else v
            for k, v in features.items()
        }
        with torch.autocast(device.type, enabled=False):
            for module in rest:
                features = module(features)
        return features["sentence_embedding"].float().cpu().numpy()
