"""The seams. An object that satisfies one of these can be used without importing babelweave.

Each contract is tested by the suite of the same name in `tests/conformance`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from babelweave.records import Encoded, EncoderSignature, Hits, Passage, Qrels, Query, Role, Run, Scores


@runtime_checkable
class Encoder(Protocol):
    """Texts to vectors."""

    @property
    def signature(self) -> EncoderSignature: ...

    def encode(self, texts: Sequence[str], role: Role) -> Encoded:
        """float32 (n, d) in the order given, finite, and the count of truncated texts. [] gives (0, d)."""
        ...


@runtime_checkable
class Generator(Protocol):
    """Passages to questions in one language."""

    @property
    def signature(self) -> Mapping[str, Any]:
        """JSON values: name, digest of its weights or lexicon, prompt or form, sampling."""
        ...

    @property
    def languages(self) -> frozenset[str]:
        """The languages it can write; asking for another is a `UsageError`."""
        ...

    def generate(self, passages: Sequence[Passage], lang: str, n: int, seed: int) -> list[list[str]]:
        """At most n distinct questions per passage, best first; fewer where it finds no more.

        The same call of the same generator gives the same questions. What a passage gets depends on
        (passage, lang, n, seed) alone, unless the generator's docstring says that the other passages of
        the call matter; a run asks for whole shards, so that even then the collection alone decides.
        """
        ...


@runtime_checkable
class Fuser(Protocol):
    """Passage vectors and the vectors of their generated queries to woven vectors."""

    name: str

    @property
    def settings(self) -> Mapping[str, Any]:
        """JSON values: the name and all that decides the result; a woven store records them."""
        ...

    def fuse(self, passages: Any, generated: Any, mask: Any, languages: Sequence[str]) -> Any:
        """(n, d), (n, g, d), bool (n, g), (g,) -> (n, v, d); pure; numpy or torch in, the same out."""
        ...


@runtime_checkable
class Adversary(Protocol):
    """A batch, as `train.adversaries.surface.Surface` shows it, to a loss that is added to the clean one.

    May also have: `encodes`, it has texts encoded again, which GradCache cannot do; `weaves`, it needs woven
    passages; `learns(dimension, n_languages)`, the shape of a parameter it learns.
    """

    name: str

    @property
    def settings(self) -> Mapping[str, Any]:
        """JSON values: the name and all that decides the loss."""
        ...

    def loss(self, surface: Any) -> Any:
        """A scalar tensor with gradients to the model; global random states stay as they were."""
        ...


@runtime_checkable
class Index(Protocol):
    """Vectors to nearest rows by inner product; larger is better.

    Hits come in our order with scores equal to `index.scoring.inner_products`, whatever finds them.
    """

    @property
    def n_rows(self) -> int: ...

    def add(self, vectors: Any) -> None:
        """Append float32 or float16 (n, d); rows are numbered in the order added."""
        ...

    def search(self, queries: Any, k: int) -> Hits:
        """(q, d) -> k hits each; k beyond the rows pads with row -1, score -inf."""
        ...

    def save(self, folder: Path) -> None:
        """Write what a search needs beside the rows, which an index folder keeps as a store."""
        ...


@runtime_checkable
class Searcher(Protocol):
    """Questions to a run; what dense search, BM25, hybrids and re-rankers have in common."""

    def search(self, queries: Sequence[Query], k: int) -> Run: ...


@runtime_checkable
class Measure(Protocol):
    """A run and its judgements to one float64 per judged query."""

    def score(self, qrels: Qrels, run: Run) -> Scores:
        """A query without hits scores the measure's default and stays in the mean."""
        ...


@runtime_checkable
class Perturbation(Protocol):
    """Questions to the same questions as they come from other users, keyboards or habits."""

    @property
    def signature(self) -> Mapping[str, Any]:
        """JSON values: the name and all that decides the result, digests of tables and lexicons included."""
        ...

    @property
    def languages(self) -> frozenset[str]:
        """The languages it claims: severity 1 changes most questions of each."""
        ...

    def perturb(self, text: str, lang: str, severity: int, seed: int) -> str:
        """A question at a severity from 0 to 5; the same arguments give the same text.

        Severity 0, or a language that is not claimed, gives the text itself; more severity never changes
        less in expectation. The result is valid Unicode: NFC where the text is, no mark cut off its
        letter, never empty where the text is not.

        Raises:
            UsageError: another severity.
        """
        ...
