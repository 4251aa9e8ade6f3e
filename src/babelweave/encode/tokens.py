"""Texts to token batches: tokenised in pieces, sorted by length, cut by a budget of padded tokens.

torch is imported where tensors are made; an encoder that needs none reads its tokens without it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from babelweave.records import Int64

_PIECE = 1024
"""Texts tokenised at a time: the tokenizer's own records are far larger than the ids kept of them."""

Ids = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Tokenised:
    """Token columns of a list of texts; `columns[name][i]` int32 (tokens of text i,)."""

    columns: dict[str, list[Ids]]
    lengths: Int64
    n_truncated: int


class TokenReader(Protocol):
    """How a kind of model takes text: as padded rows, or as bags."""

    max_tokens: int

    def read(self, texts: Sequence[str]) -> Tokenised: ...

    def features(self, tokens: Tokenised, batch: Int64) -> dict[str, Any]: ...


_COLUMNS = {"input_ids": "ids", "token_type_ids": "type_ids"}
"""What models call a column, and what tokenizers calls it."""


@dataclass(frozen=True, slots=True)
class InputForm:
    """How a transformer wants its rows of tokens.

    Attributes:
        columns: of `input_ids` and `token_type_ids`, those it takes.
        pad_id, pad_type_id: what fills a short row of either.
        padding_side, truncation_side: "left" or "right".
    """

    columns: tuple[str, ...]
    pad_id: int
    pad_type_id: int
    padding_side: str
    truncation_side: str

    @classmethod
    def of(cls, tokenizer: Any) -> InputForm:
        """What a tokenizer of transformers says."""
        return cls(
            tuple(name for name in _COLUMNS if name in tokenizer.model_input_names),
            tokenizer.pad_token_id or 0,
            tokenizer.pad_token_type_id,
            tokenizer.padding_side,
            tokenizer.truncation_side,
        )


class PaddedReader:
    """Rows for a transformer, cut at `max_tokens` and padded to the longest of a batch.

    Args:
        tokenizer: a `tokenizers.Tokenizer`.
        max_tokens: special tokens included.
        prompt: put before every text.
    """

    def __init__(self, tokenizer: Any, form: InputForm, max_tokens: int, prompt: str) -> None:
        self.max_tokens = max_tokens
        self._tokenizer, self._form, self._prompt = tokenizer, form, prompt
        self._prompt_tokens = self._count_prompt()

    def _count_prompt(self) -> int:
        """Tokens a pooling that leaves the prompt out has to skip: [CLS] and prompt, no closing token."""
        if not self._prompt:
            return 0
        encoded = self._encode([self._prompt])[0]
        return len(encoded.ids) - int(encoded.special_tokens_mask[-1])

    def _encode(self, texts: Sequence[str]) -> Any:
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(self.max_tokens, direction=self._form.truncation_side)
        return self._tokenizer.encode_batch(texts)

    def read(self, texts: Sequence[str]) -> Tokenised:
        columns: dict[str, list[Ids]] = {name: [] for name in self._form.columns}
        n_truncated = 0
        for start in range(0, len(texts), _PIECE):
            encoded = self._encode([self._prompt + text for text in texts[start : start + _PIECE]])
            n_truncated += sum(bool(e.overflowing) for e in encoded)
            for name, rows in columns.items():
                rows += [np.array(getattr(e, _COLUMNS[name]), dtype=np.int32) for e in encoded]
        lengths = np.array([len(row) for row in columns["input_ids"]], dtype=np.int64)
        return Tokenised(columns, lengths, n_truncated)

    def features(self, tokens: Tokenised, batch: Int64) -> dict[str, Any]:
        import torch

        lengths = tokens.lengths[batch]
        width = int(lengths.max())
        places = np.arange(width)
        left = self._form.padding_side == "left"
        mask = places >= (width - lengths)[:, None] if left else places < lengths[:, None]
        features: dict[str, Any] = {"attention_mask": torch.from_numpy(mask.astype(np.int64))}
        for name in self._form.columns:
            filler = self._form.pad_type_id if name == "token_type_ids" else self._form.pad_id
            padded = np.full(mask.shape, filler, dtype=np.int64)
            padded[mask] = np.concatenate([tokens.columns[name][i] for i in batch])
            features[name] = torch.from_numpy(padded)
        if self._prompt_tokens:
            features["prompt_length"] = self._prompt_tokens
        return features


class BagReader:
    """Bags of tokens for a static embedding model, which reads texts of any length.

    Args:
        tokenizer: a `tokenizers.Tokenizer`.
        prompt: put before every text.
    """

    max_tokens = 0

    def __init__(self, tokenizer: Any, prompt: str) -> None:
        self._tokenizer, self._prompt = tokenizer, prompt

    def read(self, texts: Sequence[str]) -> Tokenised:
        rows: list[Ids] = []
        for start in range(0, len(texts), _PIECE):
            piece = [self._prompt + text for text in texts[start : start + _PIECE]]
            encoded = self._tokenizer.encode_batch(piece, add_special_tokens=False)
            rows += [np.array(e.ids, dtype=np.int32) for e in encoded]
        return Tokenised({"input_ids": rows}, np.array([len(r) for r in rows], dtype=np.int64), 0)

    def features(self, tokens: Tokenised, batch: Int64) -> dict[str, Any]:
        import torch

        ids = np.concatenate([tokens.columns["input_ids"][i] for i in batch]).astype(np.int64)
        offsets = np.concatenate([[0], np.cumsum(tokens.lengths[batch])[:-1]])
        return {"input_ids": torch.from_numpy(ids), "offsets": torch.from_numpy(offsets)}


def token_batches(lengths: Int64, budget: int) -> Iterator[Int64]:
    """Positions by falling length, each batch at most `budget` padded tokens but at least one text.

    Equal lengths keep the order given, so the batches depend on the lengths of the call alone.
    """
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        width = max(int(lengths[order[start]]), 1)
        stop = start + max(budget // width, 1)
        yield order[start:stop]
        start = stop
