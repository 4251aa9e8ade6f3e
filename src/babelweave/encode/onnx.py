"""Encoders run by onnxruntime: the folders that `babelweave export` writes, opened without torch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

from babelweave.artifact import read_manifest
from babelweave.encode.checks import check_finite, check_role, check_unicode
from babelweave.encode.tokens import InputForm, PaddedReader, Tokenised
from babelweave.errors import DataError, UsageError
from babelweave.records import Encoded, EncoderSignature, Float32, Role
from babelweave.weights import ONNX_GRAPH, digest_files, first_line, tokenizer_files

KIND = "onnx"
OUTPUT = "sentence_embedding"


@dataclass(frozen=True, slots=True)
class OnnxSettings:
    """What the manifest of an ONNX folder says beside its provenance.

    Attributes:
        encoder: the signature when opened without options.
        form: how rows of tokens are made.
        positions: tokens the network can read at most.
    """

    encoder: EncoderSignature
    form: InputForm
    positions: int

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def read(cls, folder: Path) -> OnnxSettings:
        """Raises DataError where the folder is not one of ours, or broken."""
        settings = read_manifest(folder, KIND).settings
        try:
            form = {**settings["form"], "columns": tuple(settings["form"]["columns"])}
            encoder = EncoderSignature.from_dict(settings["encoder"])
            return cls(encoder, InputForm(**form), int(settings["positions"]))
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{folder}: not an ONNX encoder of this version ({error!r})") from error


class OnnxEncoder:
    """A transformer with its pooling as one ONNX graph, as an `Encoder`.

    Texts go through the network one at a time, several at once on several threads. Quantised activations
    share a scale across a batch: alone, the vector of a text depends on nothing but the text. It costs
    nothing: on a CPU, rows without padding make up for the missing batch (docs/adr/0014).

    Args:
        target: a folder written by `babelweave export --to int8` or `--to onnx`.
        name: what reports call it; by default the folder's name.
        max_tokens_query, max_tokens_passage: tokens read of a text, special tokens included.
        prompt_query, prompt_passage: put before each text of that role.
        threads: texts encoded at the same time; OMP_NUM_THREADS if it is set, else the CPUs of the process.
    Raises:
        DataError: no such folder, or a broken one.
        UsageError: an option has no such value.
    """

    def __init__(
        self,
        target: str,
        *,
        name: str | None = None,
        max_tokens_query: int | None = None,
        max_tokens_passage: int | None = None,
        prompt_query: str | None = None,
        prompt_passage: str | None = None,
        threads: int | None = None,
    ) -> None:
        folder = Path(target).expanduser()
        settings = OnnxSettings.read(folder)
        self._threads = _usable_threads() if threads is None else threads
        if self._threads < 1:
            raise UsageError(f"threads={threads}: must be at least 1")
        asked: dict[str, Any] = {
            "max_tokens_query": max_tokens_query,
            "max_tokens_passage": max_tokens_passage,
            "prompt_query": prompt_query,
            "prompt_passage": prompt_passage,
        }
        self._signature = replace(
            settings.encoder,
            name=name or folder.resolve().name,
            digest=digest_files(folder, [folder / ONNX_GRAPH, *tokenizer_files(folder)]),
            **{key: value for key, value in asked.items() if value is not None},
        )
        self._readers = self._make_readers(_open_tokenizer(folder), settings)
        self._session = _open_session(folder, self._signature.dimension)

    def _make_readers(self, tokenizer: Tokenizer, settings: OnnxSettings) -> dict[Role, PaddedReader]:
        signature, smallest = self._signature, tokenizer.num_special_tokens_to_add(is_pair=False) + 1
        limits: dict[Role, tuple[int, str]] = {
            "query": (signature.max_tokens_query, signature.prompt_query),
            "passage": (signature.max_tokens_passage, signature.prompt_passage),
        }
        for role, (limit, _) in limits.items():
            if not smallest <= limit <= settings.positions:
                known = f"{signature.name} reads {smallest} to {settings.positions} tokens"
                raise UsageError(f"max_tokens_{role}={limit}: {known}")
        return {role: PaddedReader(tokenizer, settings.form, *limit) for role, limit in limits.items()}

    @property
    def signature(self) -> EncoderSignature:
        return self._signature

    def encode(self, texts: Sequence[str], role: Role) -> Encoded:
        """float32 (n, d) in the order given, and how many texts were cut at the maximum length.

        A text gets the same bits in every call, whatever stands beside it and however many threads work.

        Raises:
            DataError: a text that is not valid Unicode, or a vector that is not finite.
            UsageError: unknown role.
        """
        check_role(role)
        check_unicode(texts)
        vectors = np.empty((len(texts), self.signature.dimension), dtype=np.float32)
        if not len(texts):
            return Encoded(vectors, 0)
        tokens = self._readers[role].read(texts)
        longest_first = np.argsort(-tokens.lengths, kind="stable")  # so that no thread ends long after others
        with ThreadPoolExecutor(self._threads) as pool:
            for i, vector in zip(
                longest_first, pool.map(lambda i: self._run(tokens, i), longest_first), strict=True
            ):
                vectors[i] = vector
        check_finite(vectors)
        return Encoded(vectors, tokens.n_truncated)

    def _run(self, tokens: Tokenised, i: int) -> Float32:
        row = {name: column[i][None].astype(np.int64) for name, column in tokens.columns.items()}
        row["attention_mask"] = np.ones_like(row["input_ids"])
        vector: Float32 = self._session.run([OUTPUT], row)[0][0]
        return vector


def _usable_threads() -> int:
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdecimal() and int(asked):
        return int(asked)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _open_tokenizer(folder: Path) -> Tokenizer:
    try:
        return Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception as error:  # what tokenizers raises has no class of its own
        raise DataError(f"{folder}: tokenizer.json cannot be read ({first_line(error)})") from error


def _open_session(folder: Path, dimension: int) -> Any:
    """The graph, each run of it on the thread that asks for it."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors
    try:
        session = onnxruntime.InferenceSession(
            str(folder / ONNX_GRAPH), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime's errors share no class below Exception
        raise DataError(f"{folder}: {ONNX_GRAPH} cannot be opened ({first_line(error)})") from error
    shapes = {output.name: output.shape for output in session.get_outputs()}
    if shapes.get(OUTPUT, [None])[-1] != dimension:
        raise DataError(f"{folder}: {ONNX_GRAPH} gives no {OUTPUT} of {dimension} dimensions")
    return session
