"""Models and batches small enough for adversaries to be worked by hand, in float64."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from babelweave.train.adversaries.embeddings import WordEmbeddings
from babelweave.train.adversaries.surface import Generated, Role, Surface
from babelweave.train.augmented import Slots
from babelweave.train.losses import ContrastiveLoss
from babelweave.weave.fusers.spec import open_fuser

PAD, CLS = 0, 1


class Bag(nn.Module):
    """The mean of the word embeddings of a text, [CLS] included; bent, and with dropout, where asked."""

    def __init__(self, table: Tensor, *, bent: bool = False, dropout: float = 0.0) -> None:
        super().__init__()
        self.words = nn.Embedding.from_pretrained(table.clone(), freeze=False)
        self.bent, self.dropout = bent, nn.Dropout(dropout)

    def get_input_embeddings(self) -> nn.Module:
        return self.words

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        found = self.dropout(self.words(ids))
        found = torch.tanh(found) if self.bent else found
        return (found * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)


class First(nn.Module):
    def __init__(self, network: Bag) -> None:
        super().__init__()
        self.auto_model = network
        self.tokenizer = SimpleNamespace(pad_token_id=PAD, cls_token_id=CLS)

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        vectors = self.auto_model(features["input_ids"], features["attention_mask"])
        return {**features, "sentence_embedding": vectors}


def model(table: Tensor, **options: Any) -> nn.Sequential:
    return nn.Sequential(First(Bag(table, **options)))


def column(*texts: Sequence[int]) -> dict[str, Tensor]:
    """Texts of token numbers, [CLS] put before and padding behind."""
    width = 1 + max(map(len, texts))
    ids = torch.tensor([[CLS, *text, *[PAD] * (width - 1 - len(text))] for text in texts])
    return {"input_ids": ids, "attention_mask": (ids != PAD).long()}


def table(n: int = 12, d: int = 4, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


QUESTIONS = column([2, 3, 4], [5], [6, 7])
PASSAGES = column([8, 9], [10, 2, 11], [3, 9])
NEGATIVES = column([4, 11], [7], [8, 10])


class Spy(WordEmbeddings):
    """Remembers every move of word embeddings."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.moves: list[tuple[Role, list[Tensor]]] = []

    def again(self, role: Role, moves: Sequence[Tensor]) -> list[Tensor]:
        self.moves.append((role, [move.detach().clone() for move in moves]))
        return super().again(role, moves)


def contrastive(of: nn.Module, **options: Any) -> ContrastiveLoss:
    return ContrastiveLoss(of, **{"scale": 1.0, "similarity": "dot", "mask_known": False, **options})


@contextlib.contextmanager
def surface_of(
    of: Any,
    *,
    passages: Sequence[dict[str, Tensor]] = (PASSAGES, NEGATIVES),
    questions: dict[str, Tensor] = QUESTIONS,
    seed: int = 7,
    **options: Any,
) -> Iterator[tuple[Surface, Spy]]:
    """The surface of a batch, and what spies on the moves of its words."""
    with Spy(of) as words:
        (vectors,) = words.encode("query", [questions])
        columns = words.encode("passage", list(passages))
        languages = torch.arange(len(vectors))[:, None].expand(-1, 1 + len(columns)) % 2
        surface = Surface(
            contrastive(of, **options), None, vectors, columns, languages=languages, encodings=words
        )
        surface.generator = torch.Generator().manual_seed(seed)
        yield surface, words


def woven_surface(
    questions: Tensor,
    passages: Sequence[Tensor],
    generated: Tensor,
    present: Tensor,
    languages: Sequence[int],
    *,
    fuser: str = "mean",
    alpha: float = 0.5,
    **options: Any,
) -> Surface:
    """A surface of vectors alone, every passage woven."""
    opened = open_fuser(fuser, alpha=alpha)
    names = [("ar", "de", "es")[number] for number in languages]

    def weave(plain: Sequence[Tensor], vectors: Tensor, counts: Tensor) -> list[Tensor]:
        woven = opened.fuse(torch.cat(list(plain)), vectors, counts, names)[:, 0]
        return list(woven.chunk(len(plain)))

    return Surface(
        contrastive(nn.Identity(), **options),
        None,
        questions,
        passages,
        languages=torch.zeros(len(questions), 1 + len(passages), dtype=torch.int64),
        generated=Generated(generated, Slots(torch.tensor(languages), present), weave),
    )
