"""Encoders behind an OpenAI-compatible `/v1/embeddings` endpoint: OpenAI, vLLM, TEI, llama.cpp, Ollama."""

from __future__ import annotations

import base64
import binascii
import json
import logging
import time
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal

import httpx
import numpy as np

from babelweave.encode.checks import check_finite, check_role, check_unicode
from babelweave.endpoint import FIRST_WAIT_S, LONGEST_WAIT_S, RETRIED, Endpoint
from babelweave.errors import BabelweaveError, DataError, UsageError
from babelweave.records import Encoded, EncoderSignature, Float32, Role

logger = logging.getLogger(__name__)

_REPLY_BYTES = 2**20
_REPLY_BYTES_PER_TEXT = 2**19
"""A reply may hold this much for each text, room for 16,384 numbers of 32 characters."""


class RemoteEncoder:
    """A model behind `POST {url}/embeddings`.

    The server decides tokenisation and maximum length: the signature says 0 tokens, and truncated texts
    cannot be counted. It does not tell its weights either, so the model's name stands for their digest.

    Args:
        model: as the server calls it.
        url: base address, up to and including `/v1`.
        dimensions: asked of the server where the model can shorten its vectors; else its own.
        key_env: environment variable that holds the key; OPENAI_API_KEY is used if it is set.
        prompt_query, prompt_passage: put before each text of that role.
        normalise: scale vectors to unit length; False keeps them as sent and ranks by dot product.
        encoding: how numbers are asked for; both kinds of reply are read.
        batch_size: texts of one request.
        timeout: seconds without an answer before a request counts as failed.
        retries: further tries after 408, 425, 429, 5xx, a timeout or a lost connection; waits double from
            0.5 s, or follow Retry-After up to 60 s.
    Raises:
        UsageError: no model name, an address that is not http(s), or a key that is not set or no header.
    """

    def __init__(
        self,
        model: str,
        *,
        url: str = "https://api.openai.com/v1",
        dimensions: int | None = None,
        key_env: str | None = None,
        prompt_query: str = "",
        prompt_passage: str = "",
        normalise: bool = True,
        encoding: Literal["float", "base64"] = "float",
        batch_size: int = 64,
        timeout: float = 60.0,
        retries: int = 5,
    ) -> None:
        if not model:
            raise UsageError("a remote encoder needs a model name: openai:MODEL?url=http://host/v1")
        if encoding not in ("float", "base64"):
            raise UsageError(f"unknown encoding {encoding!r}; known: base64, float")
        if batch_size < 1 or retries < 0 or timeout <= 0 or (dimensions is not None and dimensions < 1):
            raise UsageError("batch_size, timeout and dimensions must be positive, retries at least 0")
        self._model, self._dimensions, self._encoding = model, dimensions, encoding
        self._prompts = {"query": prompt_query, "passage": prompt_passage}
        self._normalise, self._batch_size, self._retries = normalise, batch_size, retries
        self._endpoint = Endpoint(url, "/embeddings", model, key_env)
        self._client = httpx.Client(headers=self._endpoint.headers, timeout=timeout)
        logger.warning("%s: truncation is decided by the server and cannot be counted", model)

    @cached_property
    def signature(self) -> EncoderSignature:
        """Asks for one vector where no `dimensions` were given."""
        dimension = self._dimensions or self._request(["dimension"]).shape[1]
        return EncoderSignature(
            name=f"openai:{self._model}",
            digest=f"openai:{self._model}",
            dimension=dimension,
            pooling="remote",
            normalised=self._normalise,
            similarity="dot",
            prompt_query=self._prompts["query"],
            prompt_passage=self._prompts["passage"],
            max_tokens_query=0,
            max_tokens_passage=0,
            precision="remote",
        )

    def encode(self, texts: Sequence[str], role: Role) -> Encoded:
        """float32 (n, d) in the order given; the count of truncated texts is always 0, see the class.

        Raises:
            UsageError: the key, the model or the address is refused.
            DataError: the answer is not one vector per text, finite and of the same dimension.
            BabelweaveError: the server kept failing.
        """
        check_role(role)
        check_unicode(texts)
        vectors = np.empty((len(texts), self.signature.dimension), dtype=np.float32)
        for start in range(0, len(texts), self._batch_size):
            batch = [self._prompts[role] + text for text in texts[start : start + self._batch_size]]
            found = self._request(batch)
            if found.shape[1] != vectors.shape[1]:
                raise DataError(
                    f"{self._endpoint} gave {found.shape[1]} dimensions, expected {vectors.shape[1]}"
                )
            vectors[start : start + len(batch)] = found
        check_finite(vectors)
        if self._normalise:
            lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
            if (lengths == 0).any():
                raise DataError(f"{self._endpoint} gave a vector of zeros, which has no unit length")
            vectors /= lengths
        return Encoded(vectors, 0)

    def _request(self, texts: list[str]) -> Float32:
        """One batch to float32 (n, d), trying again where that can help."""
        question: dict[str, Any] = {"model": self._model, "input": texts, "encoding_format": self._encoding}
        if self._dimensions is not None:
            question["dimensions"] = self._dimensions
        failure = ""
        for attempt in range(self._retries + 1):
            wait = min(FIRST_WAIT_S * 2**attempt, LONGEST_WAIT_S)
            try:
                status, headers, body = self._post(question, len(texts))
            except httpx.DecodingError as error:
                raise DataError(f"{self._endpoint}: the answer cannot be decompressed ({error})") from error
            except httpx.TransportError as error:
                failure = f"{type(error).__name__} {error}".strip()
            else:
                if status == 200:
                    return read_reply(body, len(texts), self._endpoint.address)
                failure = f"status {status}: {self._endpoint.excerpt(body)}"
                if status not in RETRIED:
                    raise self._endpoint.refusal(status, failure)
                asked = self._endpoint.asked_wait(headers)
                wait = wait if asked is None else asked
            if attempt < self._retries:
                logger.info("%s: %s; trying again in %.1f s", self._endpoint, failure, wait)
                time.sleep(wait)
        raise BabelweaveError(
            f"{self._endpoint} failed {self._retries + 1} times, last with {failure}; "
            "run the same command again later, finished parts are kept"
        )

    def _post(self, question: dict[str, Any], n_texts: int) -> tuple[int, httpx.Headers, bytes]:
        limit = _REPLY_BYTES + n_texts * _REPLY_BYTES_PER_TEXT
        body = bytearray()
        with self._client.stream("POST", self._endpoint.address, json=question) as reply:
            for chunk in reply.iter_bytes():
                body += chunk
                if len(body) > limit:
                    raise DataError(f"{self._endpoint}: the answer is larger than {limit} bytes; refused")
            return reply.status_code, reply.headers, bytes(body)


def read_reply(body: bytes, n: int, source: str) -> Float32:
    """float32 (n, d) from an embeddings answer, rows placed by `index`.

    Raises:
        DataError: not JSON, not one vector for each text, or vectors of several dimensions.
    """
    try:
        items = json.loads(body)["data"]
        rows: list[Float32 | None] = [None] * n
        for item in items:
            index = item["index"]
            if type(index) is not int or not 0 <= index < n or rows[index] is not None:
                raise ValueError(f"index {index!r} is unexpected")
            rows[index] = _numbers(item["embedding"])
    except (ValueError, KeyError, TypeError, binascii.Error, RecursionError) as error:
        shown = " ".join(body[:80].decode("utf-8", "replace").split())
        raise DataError(f"{source}: not an embeddings answer ({error!r}), it begins {shown!r}") from error
    found = [row for row in rows if row is not None]
    if len(found) != n:
        raise DataError(f"{source} gave {len(found)} vectors for {n} texts")
    sizes = {row.shape for row in found}
    if len(sizes) != 1 or len(shape := sizes.pop()) != 1 or not shape[0]:
        raise DataError(f"{source} gave vectors of several shapes, or empty ones")
    return np.stack(found)


def _numbers(embedding: Any) -> Float32:
    if isinstance(embedding, str):
        return np.frombuffer(base64.b64decode(embedding, validate=True), dtype="<f4").astype(np.float32)
    if not isinstance(embedding, list):
        raise TypeError("an embedding is neither a list nor base64")
    with np.errstate(over="ignore"):
        return np.array(embedding, dtype=np.float64).astype(np.float32)
