"""How a benchmark ranks its pools: by vectors, plain or woven, or by BM25.

A ranker is prepared once with all subsets, so that a passage or a question that stands in several of them
is encoded once; then it ranks one subset at a time. All vectors are held in memory, 4 d bytes per
distinct text: for pools beyond that there are the verbs (`encode`, `weave`, `index`, `search`, `evaluate`).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from babelweave.encode.adjust import Adjustment
from babelweave.errors import UsageError
from babelweave.generate.queries import GeneratedQueries
from babelweave.generate.run import check_languages
from babelweave.index.bm25 import fit_bm25
from babelweave.index.dense import search_passages
from babelweave.index.exact import ExactIndex
from babelweave.protocols import Encoder, Fuser, Generator
from babelweave.ranking import tie_keys, to_run
from babelweave.records import Float32, Passage, Role, Run, Subset
from babelweave.weave.blocks import Lookup
from babelweave.weave.stream import check_request, weave_vectors


@dataclass(slots=True)
class Stopwatch:
    """Wall-clock seconds per stage, added up."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


class Ranker(Protocol):
    """A system under test."""

    @property
    def signature(self) -> Mapping[str, Any]: ...

    @property
    def counts(self) -> Mapping[str, int]:
        """What was truncated or left without queries; filled by `prepare`."""
        ...

    def prepare(self, subsets: Sequence[Subset], watch: Stopwatch) -> None: ...

    def rank(self, subset: Subset, depth: int) -> Run: ...


@dataclass(frozen=True, slots=True)
class Weaving:
    """What is woven into the passages before they are searched.

    Attributes:
        source: queries on disk, or a generator that is run over the pools in memory.
        languages: of the queries; each passage gets all of them, as one index serves all questions.
        per_language: queries per passage and language; None for all of those on disk.
    """

    source: GeneratedQueries | Generator
    fuser: Fuser
    languages: Sequence[str]
    per_language: int | None
    seed: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.source, GeneratedQueries):
            check_request(self.source, self.languages, self.per_language)
        else:
            check_languages(self.source, self.languages)
            if self.per_language is None:
                raise UsageError("a generator has to be told how many queries to write (per_language)")

    @property
    def signature(self) -> dict[str, Any]:
        stored = self.source if isinstance(self.source, GeneratedQueries) else None
        return {
            "generator": dict(self.source.signature),
            "generated": stored.digest if stored else None,
            "fuser": dict(self.fuser.settings),
            "languages": list(self.languages),
            "per_language": self.per_language,
            "seed": None if stored else self.seed,
        }

    def lookup(self, passages: Sequence[Passage]) -> Lookup:
        """The queries of these passages: read when asked for, or generated now."""
        if isinstance(self.source, GeneratedQueries):
            return self.source.lookup
        assert self.per_language is not None
        queries: dict[str, dict[str, list[str]]] = {p.doc_id: {} for p in passages}
        for lang in self.languages:
            generated = self.source.generate(passages, lang, self.per_language, self.seed)
            for passage, found in zip(passages, generated, strict=True):
                queries[passage.doc_id][lang] = found
        return lambda _: queries


def distinct_passages(subsets: Sequence[Subset]) -> list[Passage]:
    """Those of all subsets, each once, in the order they come."""
    return list(dict.fromkeys(p for s in subsets for p in s.passages))


class EncodedTasks:
    """The distinct passages and questions of some subsets, each encoded once.

    Args:
        known: passages whose vectors are at hand, those of the subsets among them, and these vectors.
    Attributes:
        passages: in the order of their vectors.
        vectors: float32 (n, d) of the passages.
        counts: truncated texts.
    """

    def __init__(
        self,
        subsets: Sequence[Subset],
        encoder: Encoder,
        watch: Stopwatch,
        known: tuple[Sequence[Passage], Float32] | None = None,
    ) -> None:
        self.passages = list(known[0]) if known else distinct_passages(subsets)
        self.cosine = encoder.signature.by_cosine
        self.counts: dict[str, int] = {}
        questions = list(dict.fromkeys(q.text for s in subsets for q in s.queries))
        self._passages = {p: i for i, p in enumerate(self.passages)}
        self._questions = {q: i for i, q in enumerate(questions)}
        with watch.stage("encode passages"):
            texts = [p.content for p in self.passages]
            self.vectors = known[1] if known else self._encode(encoder, texts, "passage")
        with watch.stage("encode questions"):
            self._question_vectors = self._encode(encoder, questions, "query")

    @property
    def doc_ids(self) -> list[str]:
        return [p.doc_id for p in self.passages]

    def _encode(self, encoder: Encoder, texts: list[str], role: Role) -> Float32:
        vectors, n_truncated = encoder.encode(texts, role)
        self.counts[f"truncated, {role}"] = n_truncated
        return vectors

    def rank(self, subset: Subset, rows: Float32, depth: int, adjustment: Adjustment | None = None) -> Run:
        """The run of a subset by exact search.

        Args:
            rows: float32 (n, v, d), the rows of every passage; the best of a passage counts.
            adjustment: of the questions, where the rows are adjusted too.
        Raises:
            UsageError: an adjustment that was not fitted on a language of the questions.
        """
        _, v, d = rows.shape
        doc_ids = [p.doc_id for p in subset.passages for _ in range(v)]
        index = ExactIndex(d, keys=tie_keys(doc_ids), cosine=self.cosine)
        index.add(rows[[self._passages[p] for p in subset.passages]].reshape(-1, d))
        questions = self._question_vectors[[self._questions[q.text] for q in subset.queries]]
        if adjustment is not None:
            questions = adjustment.apply(questions, [q.lang for q in subset.queries])
        passages = np.arange(len(doc_ids)) // v if v > 1 else None
        hits = search_passages(index, passages, questions, min(depth, len(subset.passages)))
        return to_run([q.query_id for q in subset.queries], hits, doc_ids)


class DenseRanker:
    """Exact inner-product search over plain or woven vectors.

    Args:
        encoder: of passages, questions and generated queries.
        weaving: None leaves the passages plain.
    """

    def __init__(self, encoder: Encoder, weaving: Weaving | None = None) -> None:
        self._encoder, self._weaving = encoder, weaving
        self.counts: dict[str, int] = {}
        self._tasks: EncodedTasks
        self._rows: Float32

    @property
    def signature(self) -> dict[str, Any]:
        return {
            "ranker": "dense, exact",
            "encoder": self._encoder.signature.to_dict(),
            "weave": self._weaving.signature if self._weaving else None,
        }

    def prepare(self, subsets: Sequence[Subset], watch: Stopwatch) -> None:
        """Encode every distinct passage and question of the subsets once, and weave."""
        self._tasks = EncodedTasks(subsets, self._encoder, watch)
        self._rows = self._tasks.vectors[:, None]
        self.counts.update(self._tasks.counts)
        if self._weaving:
            with watch.stage("generate"):
                lookup = self._weaving.lookup(self._tasks.passages)
            with watch.stage("weave"):
                self._weave(self._weaving, lookup)

    def _weave(self, weaving: Weaving, lookup: Lookup) -> None:
        woven = weave_vectors(
            self._tasks.vectors,
            self._tasks.doc_ids,
            lookup,
            self._encoder,
            weaving.fuser,
            weaving.languages,
            per_language=weaving.per_language,
        )
        n, d = self._tasks.vectors.shape
        self._rows = woven.vectors.reshape(n, -1, d)
        self.counts.update(woven.counts)

    def rank(self, subset: Subset, depth: int) -> Run:
        return self._tasks.rank(subset, self._rows, depth)


class Bm25Ranker:
    """BM25 over each subset's own pool, as MTEB runs its bm25s baseline."""

    def __init__(self, spec: str = "bm25") -> None:
        self._spec = spec
        self.counts: dict[str, int] = {}

    @property
    def signature(self) -> dict[str, Any]:
        return {"ranker": self._spec}

    def prepare(self, subsets: Sequence[Subset], watch: Stopwatch) -> None:
        pass

    def rank(self, subset: Subset, depth: int) -> Run:
        index = fit_bm25(subset.passages, self._spec)
        hits = index.search([q.text for q in subset.queries], min(depth, index.n_rows))
        return to_run([q.query_id for q in subset.queries], hits, index.doc_ids)
