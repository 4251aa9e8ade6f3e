"""Index folders over vector stores: build, open, and search with one hit per passage.

    index/
      store/         the vector store, hard-linked where the file system allows, else copied
      keys.npy       int64 tie key of each row
      passages.npy   int64 passage number of each row; only where ids repeat
      index.faiss    what FAISS built; absent for `exact`
      manifest.json  SPEC, encoder signature, digest of the store, counts, checksums

The folder needs nothing outside itself: a store may be moved, replaced or deleted afterwards (links
keep its bytes), and the exact scores every index reports come from rows that are always at hand.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from babelweave.artifact import (
    MANIFEST,
    Manifest,
    describe_files,
    read_manifest,
    write_folder,
    write_manifest,
)
from babelweave.encode.store import VectorStore
from babelweave.errors import DataError, SignatureError, UsageError
from babelweave.index.exact import ExactIndex
from babelweave.index.faiss import FaissIndex
from babelweave.index.spec import refuse_unknown, spec_text
from babelweave.protocols import Index
from babelweave.ranking import tie_keys
from babelweave.records import EncoderSignature, Float32, Hits, Int64
from babelweave.spec import Spec, parse_spec

KIND = "index"
_STORE, _KEYS, _PASSAGES = "store", "keys.npy", "passages.npy"


def build_index(store: VectorStore, spec: str, folder: Path, *, overwrite: bool = False) -> Manifest:
    """Index a store.

    Args:
        store: of one encoder; ids may repeat, then the best row of a passage counts.
        spec: `exact`, `flat`, `ivf`, `hnsw` or a FAISS factory string, with options (`index.spec`).
        folder: where; appears whole or not at all.
    Raises:
        UsageError: an unknown SPEC, too few rows to train, or a folder that is not empty.
        DataError: vectors that are not finite.
    Cost: every vector is read once; FAISS holds what it builds in memory; rows stay on disk.
    """
    parsed = parse_spec(spec)
    keys = tie_keys(store.doc_ids)
    index = _index(parsed, store, keys)
    passages = _passages(store.doc_ids, keys)
    n_passages = int(passages.max()) + 1 if len(passages) else 0
    with write_folder(folder, KIND, overwrite=overwrite) as aside:
        for _ in store.blocks():
            pass  # reads every vector: one that is not finite is refused here, whatever the kind of index
        _share(store.folder, aside / _STORE)
        np.save(aside / _KEYS, keys)
        if n_passages < store.n_rows:
            np.save(aside / _PASSAGES, passages)
        index.save(aside)
        own = [p.name for p in aside.iterdir() if p.is_file()]
        shared = {f"{_STORE}/{name}": entry for name, entry in store.manifest.files.items()}
        files = describe_files(aside, [*own, f"{_STORE}/{MANIFEST}"])
        settings = {"spec": spec_text(parsed), "encoder": store.signature.to_dict()}
        if isinstance(index, FaissIndex):
            settings["factory"] = index.factory
        counts = {"rows": store.n_rows, "passages": n_passages}
        return write_manifest(
            aside, Manifest(KIND, settings, {"store": store.manifest.digest()}, counts, {**files, **shared})
        )


def plan_index(store: VectorStore, spec: str) -> dict[str, Any]:
    """What `build_index` would make, without reading a vector.

    Raises:
        UsageError: an unknown SPEC or option.
    """
    index = _index(parse_spec(spec), store, np.empty(0, dtype=np.int64))
    return {
        "rows": store.n_rows,
        "dimension": store.dimension,
        "kind": index.factory if isinstance(index, FaissIndex) else spec,
        "vector_bytes": store.n_rows * store.dimension * store.dtype.itemsize,
        "key_bytes": 8 * store.n_rows,
    }


def open_index(folder: Path, options: Mapping[str, str] | None = None) -> DenseIndex:
    """Open an index folder, memory-mapped.

    Args:
        options: search options that replace those of its SPEC (`nprobe`, `efSearch`, `refine`).
    Raises:
        DataError: not a finished index over vectors, or a file is missing, cut or changed.
        UsageError: an option its kind of index does not have.
    """
    manifest = read_manifest(folder, KIND)
    if "encoder" not in manifest.settings:
        raise DataError(f"{folder}: an index over texts ({manifest.settings.get('spec')}), not over vectors")
    built = parse_spec(manifest.settings["spec"])
    spec = Spec(built.target, {**built.options, **(options or {})})
    store = VectorStore.open(folder / _STORE)
    keys = _load(folder / _KEYS, store.n_rows)
    index = _index(spec, store, keys)
    if isinstance(index, FaissIndex):
        index.load(folder)
    passages = _load(folder / _PASSAGES, store.n_rows) if _PASSAGES in manifest.files else None
    return DenseIndex(index, store.doc_ids, keys, passages, store.signature, manifest)


@dataclass(frozen=True)
class DenseIndex:
    """An index and what its rows mean.

    Attributes:
        index: rows to hits.
        doc_ids: the passage of each row; ids may repeat.
        keys: tie key of each row (`ranking.tie_keys`).
        passages: passage number of each row, None where each row is a passage of its own.
        signature: of the encoder of the rows; questions must come from the same one.
        manifest: of the folder it was opened from.
    """

    index: ExactIndex | FaissIndex
    doc_ids: Sequence[str]
    keys: Int64
    passages: Int64 | None
    signature: EncoderSignature
    manifest: Manifest

    def check(self, signature: EncoderSignature) -> None:
        """Refuse questions of an encoder that did not make the rows.

        Raises:
            SignatureError: naming each difference.
        """
        differences = self.signature.differences(signature)
        if differences:
            raise SignatureError(
                f"the index was made with {self.signature.name}, the questions come from {signature.name}: "
                f"{'; '.join(differences)}. Search with the encoder of the index, or index again"
            )

    def search(self, queries: Any, k: int) -> Hits:
        """(q, d) -> the best row of each of the k best passages, in our order."""
        return search_passages(self.index, self.passages, queries, k)

    def score(self, queries: Any, query_of: Int64, rows: Int64) -> Float32:
        """(m,): the scores of pairs (queries[query_of[i]], row rows[i]), as a search would report them."""
        return self.index.rows.score(self.index.rows.check_queries(queries), query_of, rows)


def search_passages(index: Index, passages: Int64 | None, queries: Any, k: int) -> Hits:
    """The best row of each of the k best passages, where a passage may have several rows.

    More rows than k are fetched, and twice as many again for questions that met fewer than k passages,
    so that fewer than k come back only where the index finds no more.

    Args:
        passages: int64 (n,): passage number of each row; None where each row is a passage of its own.
        queries: (q, d).
    """
    if passages is None:
        return index.search(queries, k)
    vectors = np.asarray(queries)
    hits = Hits(
        np.full((len(vectors), k), -1, dtype=np.int64),
        np.full((len(vectors), k), -np.inf, dtype=np.float32),
    )
    pending, n_fetched = np.arange(len(vectors)), min(2 * k, index.n_rows)
    while len(pending) and k:
        found = index.search(vectors[pending], n_fetched)
        unsettled = []
        for query, rows, scores in zip(pending.tolist(), *found, strict=True):
            best = _first_of_each_passage(rows, passages)[:k]
            hits.rows[query, : len(best)] = rows[best]
            hits.scores[query, : len(best)] = scores[best]
            if len(best) < k and rows[-1] >= 0 and n_fetched < index.n_rows:
                unsettled.append(query)
        pending, n_fetched = np.array(unsettled, dtype=np.int64), min(2 * n_fetched, index.n_rows)
    return hits


def _first_of_each_passage(rows: Int64, passages: Int64) -> Int64:
    """Places in `rows` (best first) where a passage comes up for the first time."""
    found = rows[rows >= 0]
    _, first = np.unique(passages[found], return_index=True)
    return np.sort(first)


def _index(spec: Spec, store: VectorStore, keys: Int64) -> ExactIndex | FaissIndex:
    """The empty kind of index a SPEC names, with the rows of the store attached."""
    if spec.target == "bm25":
        raise UsageError("bm25 indexes the texts of a collection, not the vectors of a store")
    cosine = store.signature.by_cosine
    index: ExactIndex | FaissIndex
    if spec.target == "exact":
        refuse_unknown(spec, ())
        index = ExactIndex(store.dimension, keys=keys, cosine=cosine)
    else:
        index = FaissIndex(spec, store.dimension, keys=keys, cosine=cosine)
    for shard in store.shards():
        index.add(shard)
    return index


def _passages(doc_ids: Sequence[str], keys: Int64) -> Int64:
    """int64 (n,): the same number for rows of the same id."""
    order = np.argsort(keys)
    new = [i == 0 or doc_ids[order[i]] != doc_ids[order[i - 1]] for i in range(len(order))]
    numbers = np.empty(len(order), dtype=np.int64)
    numbers[order] = np.cumsum(new, dtype=np.int64) - 1
    return numbers


def _share(source: Path, target: Path) -> None:
    """Give a finished artefact a second home: hard links, or copies across file systems.

    Links are safe because finished files are never written again: every writer renames a new file over.
    """

    def link_or_copy(old: str, new: str) -> None:
        try:
            os.link(old, new)
        except OSError:
            shutil.copyfile(old, new)

    shutil.copytree(source, target, copy_function=link_or_copy)


def _load(path: Path, n_rows: int) -> Int64:
    try:
        numbers = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise DataError(f"{path}: not a number of each row; build the index again") from error
    if numbers.shape != (n_rows,) or numbers.dtype != np.int64:
        raise DataError(
            f"{path}: {numbers.dtype} {numbers.shape}, expected int64 ({n_rows},); build the index again"
        )
    return np.asarray(numbers)
