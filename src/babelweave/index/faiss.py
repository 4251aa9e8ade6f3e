"""FAISS indexes by a SPEC: its candidates, our scores and our order.

FAISS leaves ties in any order, marks a missing hit with -3.4e38, and gives scores of compressed codes
that are not inner products. So more than k candidates are fetched and each is scored again from the
rows themselves (`scoring`): hits of every FAISS index are comparable with those of `exact`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from babelweave import registry
from babelweave.artifact import read_json, write_json
from babelweave.errors import DataError, UsageError, nearest
from babelweave.index.scoring import Rows, rounding_margin
from babelweave.index.spec import number, refuse_unknown, spec_text
from babelweave.ranking import top_pairs
from babelweave.records import Float32, Hits, Int64
from babelweave.spec import Spec

FILE = "index.faiss"
_FACTS = "faiss.json"
_ROWS_AT_ONCE = 16_384  # fixed: the graph of HNSW depends on the blocks it was built from
_QUERIES_AT_ONCE = 256
_REFINE = 4.0  # candidates fetched per hit wanted; at 4 PQ fast-scan reaches the recall of its IVF lists
_EFFORT = {"nprobe": 16.0, "efSearch": 64.0}
_TRAIN_ROWS = 65_536
_ROWS_PER_LIST = 39  # below it FAISS warns that centroids are badly trained (Clustering.h)


class FaissIndex:
    """A FAISS inner-product index, built from its rows when first searched or saved.

    Args:
        spec: `flat`, `ivf`, `ivf1024`, `hnsw`, `hnsw32` or an index factory string; options `nprobe`
            (lists visited; an eighth of them, at least 16), `efSearch` (64, and at least the candidates
            fetched), `refine` (4: candidates fetched per hit), `seed` (0: of the training sample),
            `threads` (1: that build a graph; they race for links, so with more two builds may differ).
        dimension: d.
        keys: tie keys (n,) from `ranking.tie_keys`; without, the higher row wins a tie.
        cosine: compare by cosine (`EncoderSignature.by_cosine`).
    Raises:
        UsageError: FAISS does not know the factory string, or an option is unknown.

    The build is deterministic: a seeded sample, fixed blocks, one thread for a graph unless told otherwise.
    `flat` gives the hits of `ExactIndex` to the bit.
    """

    def __init__(
        self, spec: Spec, dimension: int, *, keys: Int64 | None = None, cosine: bool = False
    ) -> None:
        self.spec = spec
        self.rows = Rows(dimension, cosine=cosine)
        self._keys = keys
        self._index: Any = None
        self._longest = 0.0
        factory = _factory(spec.target, 1)
        _create(spec, factory, dimension)
        effort = [name for name, part in (("nprobe", "IVF"), ("efSearch", "HNSW")) if part in factory]
        refuse_unknown(spec, [*effort, "refine", "seed", *(["threads"] if "HNSW" in factory else [])])
        self._graph_threads = int(number(spec, "threads", 1, at_least=1))
        self._refine = number(spec, "refine", _REFINE, at_least=1)
        self._seed = int(number(spec, "seed", 0))
        self._effort = {name: number(spec, name, _EFFORT[name], at_least=1) for name in effort}

    @property
    def n_rows(self) -> int:
        return len(self.rows)

    @property
    def factory(self) -> str:
        """The index factory string, with the size chosen where the SPEC left it open."""
        return _factory(self.spec.target, self.n_rows)

    def add(self, vectors: Any) -> None:
        """Append float32 or float16 (n, d), kept by reference; an index built before is built again."""
        self.rows.append(vectors)
        self._index = None

    def search(self, queries: Any, k: int) -> Hits:
        """(q, d) -> k hits each, scored exactly, in our order; what FAISS does not find is row -1, -inf.

        Raises:
            UsageError: questions of another dimension, or too few rows to train on.
            DataError: NaN or infinite values in questions or rows.
        """
        vectors = self.rows.check_queries(queries)
        keys = np.arange(self.n_rows) if self._keys is None else self._keys
        parts = [
            self._search_block(vectors[start : start + _QUERIES_AT_ONCE], k, keys)
            for start in range(0, len(vectors) if k and self.n_rows else 0, _QUERIES_AT_ONCE)
        ]
        if not parts:
            nothing = np.empty(0, dtype=np.int64)
            return top_pairs(nothing, nothing, np.empty(0, dtype=np.float32), len(vectors), k, keys)
        return Hits(np.concatenate([p.rows for p in parts]), np.concatenate([p.scores for p in parts]))

    def _search_block(self, queries: Float32, k: int, keys: Int64) -> Hits:
        """Fetch `refine` times k, and more where the last candidate may tie with the k-th."""
        index = self._built()
        margin = rounding_margin(queries, self._longest)
        n_fetched = min(self.n_rows, max(k + 1, int(k * self._refine)))
        pending = np.arange(len(queries))
        found: list[tuple[Int64, Int64]] = []
        while len(pending):
            self._set_effort(index, n_fetched)
            near, rows = index.search(queries[pending], n_fetched)
            last, kth = near[:, -1], near[:, min(k, n_fetched) - 1]
            settled = (rows[:, -1] < 0) | (last < kth - 2 * margin[pending]) | (n_fetched == self.n_rows)
            places, columns = np.nonzero((rows >= 0) & settled[:, None])
            found.append((pending[places], rows[places, columns].astype(np.int64)))
            pending = pending[~settled]
            n_fetched = min(self.n_rows, 2 * n_fetched)
        query_of, candidates = (np.concatenate(side) for side in zip(*found, strict=True))
        scores = self.rows.score(queries, query_of, candidates)
        return top_pairs(query_of, candidates, scores, len(queries), k, keys)

    def _set_effort(self, index: Any, n_fetched: int) -> None:
        import faiss

        needed = {
            "nprobe": 0 if "nprobe" in self.spec.options else _n_lists(self.factory) // 8,
            "efSearch": n_fetched,  # a narrower search cannot give so many
        }
        for name, value in self._effort.items():
            faiss.ParameterSpace().set_index_parameter(index, name, max(value, needed[name]))

    def _built(self) -> Any:
        if self._index is None:
            self._index = self._build()
        return self._index

    def _build(self) -> Any:
        import faiss

        index = _create(self.spec, self.factory, self.rows.dimension)
        if not index.is_trained:
            self._train(index)
        threads = faiss.omp_get_max_threads()
        if "HNSW" in self.factory:
            faiss.omp_set_num_threads(self._graph_threads)
        try:
            for first, block in self.rows.blocks(_ROWS_AT_ONCE):
                if not np.isfinite(block).all():
                    row = first + int(np.flatnonzero(~np.isfinite(block).all(axis=1))[0])
                    raise DataError(f"row {row} holds NaN or infinite values; encode the passages again")
                self._longest = max(self._longest, self.rows.longest(first, block))
                index.add(block)
        finally:
            faiss.omp_set_num_threads(threads)
        return index

    def _train(self, index: Any) -> None:
        wanted = max(_TRAIN_ROWS, 64 * _n_lists(self.factory))
        sample = np.arange(self.n_rows)
        if self.n_rows > wanted:
            generator = np.random.default_rng(self._seed)
            sample = np.sort(generator.choice(self.n_rows, wanted, replace=False))
        try:
            index.train(self.rows.gather(sample))
        except RuntimeError as error:
            needed = re.search(r"number of clusters \((\d+)\)", str(error))
            raise UsageError(
                f"index {spec_text(self.spec)}: {self.n_rows} rows are too few to train {self.factory}"
                + (f", which needs at least {needed[1]}" if needed else "")
                + "; choose a smaller one, or exact, flat or hnsw, which need no training"
            ) from error

    def save(self, folder: Path) -> None:
        """Write what FAISS built; the rows are kept as a store beside it."""
        import faiss

        faiss.write_index(self._built(), str(folder / FILE))
        write_json(folder / _FACTS, {"factory": self.factory, "longest": self._longest})

    def load(self, folder: Path) -> None:
        """Open what `save` wrote, memory-mapped where FAISS can; the rows are added before.

        Raises:
            DataError: not a FAISS file of this version, or built from other rows.
        """
        import faiss

        facts = read_json(folder / _FACTS)
        try:
            index = faiss.read_index(str(folder / FILE), faiss.IO_FLAG_MMAP_IFC)
        except RuntimeError as error:
            raise DataError(f"{folder / FILE}: FAISS cannot read it; build the index again") from error
        if (index.ntotal, index.d, facts["factory"]) != (self.n_rows, self.rows.dimension, self.factory):
            raise DataError(
                f"{folder / FILE}: {facts['factory']} over {index.ntotal} rows of {index.d} dimensions, "
                f"expected {self.factory} over {self.n_rows} of {self.rows.dimension}; build the index again"
            )
        self._index, self._longest = index, float(facts["longest"])


def _factory(name: str, n_rows: int) -> str:
    """The factory string of a SPEC's name.

    `ivf` takes about 4 sqrt(n) lists (FAISS's guidelines), fewer where a list would hold less than 39
    rows; `hnsw` takes 32 links.
    """
    short = re.fullmatch(r"(flat|ivf|hnsw)(\d*)", name)
    if short is None or (short[1] == "flat" and short[2]):
        return name
    kind, size = short.groups()
    if kind == "flat":
        return "Flat"
    if kind == "hnsw":
        return f"HNSW{size or 32}"
    return f"IVF{size or max(1, min(round(4 * n_rows**0.5), n_rows // _ROWS_PER_LIST))},Flat"


def _n_lists(factory: str) -> int:
    """Inverted lists of an IVF factory string, 0 for another."""
    lists = re.search(r"IVF(\d+)", factory)
    return int(lists[1]) if lists else 0


def _create(spec: Spec, factory: str, dimension: int) -> Any:
    import faiss

    try:
        return faiss.index_factory(dimension, factory, faiss.METRIC_INNER_PRODUCT)
    except RuntimeError as error:
        reason = str(error).rsplit(": ", 1)[-1]
        raise UsageError(
            f"index {spec_text(spec)}: FAISS refuses it as a factory string for inner products ({reason}); "
            + nearest(spec.target, registry.names("index"))
        ) from error
