"""Word embeddings of BERT, XLM-R, T5 and kin, seen and moved by a hook while a loss encodes.

A hook keeps `input_ids` as they are, so positions, attention masks and pooling are those of the text. It is
put on the embedding that holds the input weights, which in a T5 encoder is not what `get_input_embeddings`
gives back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

import torch
from sentence_transformers.base.losses.gradcache import RandContext
from sentence_transformers.base.losses.merged_forward import embed_columns
from torch import Tensor, nn

from babelweave.errors import UsageError
from babelweave.train.adversaries.surface import Place, Role

Columns = Sequence[dict[str, Any]]

_SPECIAL = ("pad", "cls", "sep", "bos", "eos", "mask")
"""Tokens that stand for no part of the text; an unknown word does."""


class WordEmbeddings:
    """A context in which a model's columns are encoded, and encoded again with other word embeddings.

    Example::

        with WordEmbeddings(model) as words:
            (questions,) = words.encode("query", [column])
            (moved,) = words.again("query", [delta])  # delta like words.places[0].embeddings

    Args:
        model: a SentenceTransformer over a transformer, wrapped or not.
    Attributes:
        places: of every forward pass of `encode`, in order.
    Raises:
        UsageError: the model has no word embeddings that can be found.
    """

    def __init__(self, model: Any) -> None:
        self.places: list[Place] = []
        self._model = model
        inner = getattr(model, "module", model)  # below DistributedDataParallel
        self._first = inner[0]
        network = getattr(self._first, "auto_model", self._first)
        self._tables = _tables(network)
        tokenizer = getattr(self._first, "tokenizer", None)
        names = (getattr(tokenizer, f"{name}_token_id", None) for name in _SPECIAL)
        self._special = torch.tensor(sorted({i for i in names if i is not None}), dtype=torch.int64)
        self._encoded: dict[Role, tuple[Columns, RandContext]] = {}
        self._role: Role | None = None
        self._moves: list[Tensor] | None = None
        self._attention: Tensor | None = None
        self._hooks: list[Any] = []

    def __enter__(self) -> Self:
        self._hooks = [
            self._first.register_forward_pre_hook(self._before),
            *(table.register_forward_hook(self._after) for table in self._tables),
        ]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for hook in self._hooks:
            hook.remove()

    def encode(self, role: Role, columns: Columns, *, seen: bool = True) -> list[Tensor]:
        """The vectors of each column (B, D), as the plain loss computes them; `again` repeats it.

        Args:
            seen: record the places, which can then be moved.
        """
        kept = [untouched(column) for column in columns]
        self._encoded[role] = kept, RandContext(*(v for c in kept for v in c.values()))
        self._role = role if seen else None
        try:
            return self._columns(kept)
        finally:
            self._role = None

    def again(self, role: Role, moves: Sequence[Tensor]) -> list[Tensor]:
        columns, randomness = self._encoded[role]
        self._moves = list(moves)
        try:
            with randomness:
                return self._columns(columns)
        finally:
            self._moves = None

    def _columns(self, columns: Columns) -> list[Tensor]:
        columns = [untouched(column) for column in columns]
        vectors: list[Tensor] = embed_columns(self._model, columns, separate_first=False)
        return vectors

    def _before(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        self._attention = args[0]["attention_mask"].bool()

    def _after(self, module: nn.Module, args: tuple[Any, ...], out: Tensor) -> Tensor:
        if self._moves is not None:
            return out + self._moves.pop(0)
        if self._role is not None:
            if not out.requires_grad:  # adapters: the embeddings themselves are not trained
                out = out.detach().requires_grad_()
            free = ~torch.isin(args[0], self._special.to(args[0].device))
            if self._attention is not None:
                free &= self._attention
            self.places.append(Place(self._role, out, free))
        return out


def untouched(column: dict[str, Any]) -> dict[str, Any]:
    """A copy that a model may write its outputs into, and whose attention mask it may change."""
    return {key: value.clone() if key == "attention_mask" else value for key, value in column.items()}


def _tables(network: Any) -> list[nn.Module]:
    """The modules that look word embeddings up."""
    find: Callable[[], Any] = getattr(network, "get_input_embeddings", lambda: None)
    found = find()
    weight = getattr(found, "weight", None)
    tables: list[nn.Module] = [
        m for m in network.modules() if isinstance(m, nn.Embedding) and m.weight is weight
    ]
    if not tables:
        raise UsageError(
            f"{type(network).__name__} has no word embeddings that an adversary could move; take one that "
            "moves vectors (output_space, worst_mixture), or another base"
        )
    return tables
