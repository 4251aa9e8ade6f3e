"""The frozen records that cross the seams between stages.

Axis letters used in every docstring: q queries, n passages (rows of a store), d dimensions, k hits,
g generated queries of one passage, v vectors kept per passage.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]

Role = Literal["query", "passage"]
Qrels = Mapping[str, Mapping[str, int]]
"""query_id -> doc_id -> relevance; 0 is judged and not relevant."""


class Passage(NamedTuple):
    """One text of a collection; `lang` is a BCP-47 code in its shortest form (`data.languages`)."""

    doc_id: str
    text: str
    lang: str
    title: str = ""

    @property
    def content(self) -> str:
        """What an encoder reads: title and text joined by one space, as Tevatron and BEIR do."""
        return f"{self.title} {self.text}" if self.title else self.text


class Query(NamedTuple):
    """One question. `answers` are the gold strings of answer-based measures (R@2kt), else empty."""

    query_id: str
    text: str
    lang: str
    answers: tuple[str, ...] = ()


class GeneratedQuery(NamedTuple):
    """A question made for a passage. `rank` counts from 0 within (doc_id, lang); `score` may be absent."""

    doc_id: str
    lang: str
    rank: int
    query: str
    score: float | None = None


class Encoded(NamedTuple):
    """What an encoder gives back: float32 (n, d), and how many texts were longer than it reads."""

    vectors: Float32
    n_truncated: int


class Hits(NamedTuple):
    """Rows int64 (q, k) and scores float32 (q, k), best first; a missing hit is row -1, score -inf."""

    rows: Int64
    scores: Float32


@dataclass(frozen=True, slots=True)
class EncoderSignature:
    """All that decides which vector a text gets.

    A store and an index keep the signature of the encoder that made them. Two signatures are
    compatible when every field but the recorded ones (`name`, `precision`) is equal: a model may lie
    in another folder, and bf16 against fp32 moves a cosine by about 1e-3, which is reported, not refused.
    """

    name: str
    digest: str
    dimension: int
    pooling: str
    normalised: bool
    similarity: Literal["dot", "cosine"]
    prompt_query: str
    prompt_passage: str
    max_tokens_query: int
    max_tokens_passage: int
    precision: str = field(default="float32")

    @property
    def by_cosine(self) -> bool:
        """Whether rows and questions are brought to unit length before their inner product is the score."""
        return self.similarity == "cosine" and not self.normalised

    def differences(self, other: EncoderSignature) -> list[str]:
        """One line for each field that forbids comparing vectors of the two; empty when compatible."""
        return [
            f"{f.name}: {getattr(self, f.name)!r} against {getattr(other, f.name)!r}"
            for f in fields(self)
            if f.name not in ("name", "precision") and getattr(self, f.name) != getattr(other, f.name)
        ]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> EncoderSignature:
        return cls(**data)


@dataclass(frozen=True, slots=True)
class Run:
    """Ranked doc_ids per query, best first (score descending, then doc_id descending).

    `doc_ids[i]` and `scores[i]` belong to `query_ids[i]`; a query may have no hits.
    """

    query_ids: tuple[str, ...]
    doc_ids: tuple[tuple[str, ...], ...]
    scores: tuple[tuple[float, ...], ...]

    def __iter__(self) -> Iterator[tuple[str, tuple[str, ...], tuple[float, ...]]]:
        return zip(self.query_ids, self.doc_ids, self.scores, strict=True)

    def __len__(self) -> int:
        return len(self.query_ids)


@dataclass(frozen=True, slots=True)
class Scores:
    """One measure, one float64 per query; `signature` names all that can move the figure."""

    measure: str
    query_ids: tuple[str, ...]
    values: Float64
    signature: str = ""

    @property
    def mean(self) -> float:
        return float(self.values.mean()) if len(self.values) else float("nan")


@dataclass(frozen=True, slots=True)
class Subset:
    """One retrieval task held in memory: a pool, its questions, and which passage answers which."""

    name: str
    passage_lang: str
    query_lang: str
    passages: Sequence[Passage]
    queries: Sequence[Query]
    qrels: Qrels
