"""The vector store: `.npy` shards, Parquet ids, a manifest; written in a stream, read memory-mapped.

    store/
      vectors-00000.npy    float16 or float32 (rows, d)
      ids-00000.parquet    the doc_id of each row
      manifest.json        encoder signature, settings, counts, checksums

A passage has one row, or v rows where a fuser keeps several vectors of it; then its id repeats.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from babelweave.artifact import Manifest, ShardWriter, digest_texts, inside, read_json, read_manifest, reading
from babelweave.errors import DataError, SignatureError, UsageError
from babelweave.protocols import Encoder
from babelweave.records import Encoded, EncoderSignature, Float32, Int64, Passage, Query, Role

KIND = "store"
SHARD_SIZE = 8192
"""Passages of a shard: encoded in one call, held in memory together, and lost at most by a kill."""

DType = Literal["float32", "float16"]
Vectors = npt.NDArray[np.float32] | npt.NDArray[np.float16]
Progress = Callable[[Iterable[Passage], str, int | None], Iterable[Passage]]

_NPY_HEADER_BYTES = 128


class Counted(NamedTuple):
    """The vectors of a shard, and what was counted in making them beside truncated texts."""

    vectors: Float32
    n_truncated: int
    counts: Mapping[str, int]


def build_store(
    folder: Path,
    passages: Iterable[Passage],
    vectors_of: Callable[[Sequence[Passage]], Encoded | Counted],
    *,
    settings: Mapping[str, Any],
    signature: EncoderSignature,
    shard_size: int = SHARD_SIZE,
    dtype: DType = "float32",
    inputs: Mapping[str, str] | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Manifest:
    """Write a store shard by shard; killed, it resumes when called again and ends with the same bytes.

    Args:
        folder: where; absent, empty, or holding the unfinished store of the same call.
        passages: streamed once; doc_ids must be distinct.
        vectors_of: the passages of one shard to float32 (n * v, d), the v rows of a passage together.
            It must depend on them alone.
        settings: whatever else decides the vectors (role, fuser, generated queries, ...).
        signature: of the encoder behind `vectors_of`.
        shard_size: passages of a shard; memory grows with it and not with the collection.
        dtype: of the stored vectors; float16 halves the disk and moves a component by 5e-4 of itself.
        inputs: name -> digest of what was read, for the manifest.
        overwrite: discard what the folder holds.
        progress: wraps the passages, for a bar.
    Returns:
        The manifest, with counts `passages`, `rows`, `truncated` and those of `Counted`.
    Raises:
        DataError: no passages, a doc_id twice, a vector that is not finite or has another shape, or (on
            resume) passages other than those that were encoded.
        UsageError: the folder is finished, or was begun with other settings.
        StorageError: the disk is full or refuses.
    Cost: beside one shard and its vectors, 8 bytes a passage to tell repeated ids.
    """
    if dtype not in ("float32", "float16"):
        raise UsageError(f"unknown dtype {dtype!r}; known: float16, float32")
    shards = _shards(passages if progress is None else progress(passages, "encoding", None), shard_size)
    first = next(shards, None)
    if first is None:
        raise DataError(f"{folder}: nothing to write, the source holds no passages")
    writer = ShardWriter(
        folder,
        KIND,
        {**settings, "encoder": signature.to_dict(), "dtype": dtype, "shard_size": shard_size},
        overwrite=overwrite,
    )
    ids = _DistinctIds(folder)
    for number, shard in enumerate(chain([first], shards)):
        ids.add([p.doc_id for p in shard])
        source = _digest(shard)
        if writer.done(number, source):
            continue
        encoded = vectors_of(shard)
        vectors = _storable(encoded.vectors, shard, signature.dimension, dtype)
        repeats = len(vectors) // len(shard)
        row_ids = [p.doc_id for p in shard for _ in range(repeats)]
        writer.write(
            number,
            source,
            {
                "vectors.npy": partial(_write_vectors, vectors=vectors),
                "ids.parquet": partial(_write_ids, doc_ids=row_ids),
            },
            {
                **(encoded.counts if isinstance(encoded, Counted) else {}),
                "passages": len(shard),
                "rows": len(vectors),
                "truncated": encoded.n_truncated,
            },
        )
    return writer.finish(inputs)


def encode_collection(
    passages: Iterable[Passage],
    encoder: Encoder,
    folder: Path,
    *,
    role: Role = "passage",
    shard_size: int = SHARD_SIZE,
    dtype: DType = "float32",
    inputs: Mapping[str, str] | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Manifest:
    """Encode passages (title and text) into a store; see `build_store` for the arguments and errors."""
    return build_store(
        folder,
        passages,
        lambda shard: encoder.encode([p.content for p in shard], role),
        settings={"role": role},
        signature=encoder.signature,
        shard_size=shard_size,
        dtype=dtype,
        inputs=inputs,
        overwrite=overwrite,
        progress=progress,
    )


class StoredVectors:
    """The vectors of a collection's passages, read back from its plain store instead of encoded again.

    Args:
        store: what `encode_collection` wrote for these passages.
        passages: the collection, read once to be sure that it has not changed since.
        signature: of the encoder that would encode them.
    Raises:
        SignatureError: the store is of another encoder.
        DataError: it is no store of plain passages, or one of other passages than these.
    """

    def __init__(self, store: VectorStore, passages: Iterable[Passage], signature: EncoderSignature) -> None:
        settings = store.manifest.settings
        if differences := store.signature.differences(signature):
            raise SignatureError(f"{store.folder} was made by another encoder: {'; '.join(differences)}")
        if settings.get("role") != "passage" or "fuser" in settings:
            raise DataError(f"{store.folder}: not a store of plain passages, as `babelweave encode` makes it")
        shards = _shards(passages, int(settings["shard_size"]))
        if digest_texts(map(_digest, shards)) != store.manifest.inputs["source"]:
            raise DataError(f"{store.folder}: the collection has changed since; encode it again")
        self.digest = store.manifest.digest()
        self._store, self._row = store, 0

    def encode(self, shard: Sequence[Passage]) -> Encoded:
        """The vectors of passages that follow, in the order of the collection, those of earlier calls.

        Truncated texts are those of the whole store, counted with its first passage.
        """
        self._row = self._store.doc_ids.index(shard[0].doc_id, self._row)
        rows = self._store.rows(np.arange(self._row, self._row + len(shard)))
        return Encoded(rows, self._store.manifest.counts["truncated"] if self._row == 0 else 0)


def _digest(shard: Sequence[Passage]) -> str:
    return digest_texts(text for p in shard for text in (p.doc_id, p.content))


def query_texts(queries: Iterable[Query]) -> Iterator[Passage]:
    """Questions as the texts of a store: the query_id stands where a doc_id would."""
    return (Passage(q.query_id, q.text, q.lang) for q in queries)


class StorePlan(NamedTuple):
    """What a store will take, known before any text is encoded."""

    n_passages: int
    n_shards: int
    disk_bytes: int
    """Vectors exactly, ids nearly: Parquet may pack them smaller."""
    memory_bytes: int
    """Texts, tokens and vectors of the largest shard; the model comes on top."""


def plan_store(
    passages: Iterable[Passage],
    dimension: int,
    *,
    shard_size: int = SHARD_SIZE,
    dtype: DType = "float32",
    vectors_per_passage: int = 1,
) -> StorePlan:
    """Count the passages and work out the bytes of the store `build_store` would write from them."""
    item_bytes = np.dtype(dtype).itemsize
    n_passages = n_shards = id_bytes = most = 0
    for shard in _shards(passages, shard_size):
        n_passages, n_shards = n_passages + len(shard), n_shards + 1
        id_bytes += sum(len(p.doc_id.encode()) + 4 for p in shard) * vectors_per_passage
        text_bytes = sum(len(p.content.encode("utf-8", "surrogatepass")) for p in shard)
        vector_bytes = len(shard) * vectors_per_passage * dimension * (4 + item_bytes)
        most = max(most, vector_bytes + 4 * text_bytes)  # text as read, as str, and about 8 bytes a token
    rows_bytes = n_passages * vectors_per_passage * dimension * item_bytes
    return StorePlan(n_passages, n_shards, rows_bytes + n_shards * _NPY_HEADER_BYTES + id_bytes, most)


def passages_kept(folder: Path) -> int:
    """Passages of the finished shards that an interrupted run left, which a resumed one does not encode."""
    return sum(int(read_json(path)["counts"]["passages"]) for path in folder.glob("shard-*.json"))


def _shards(passages: Iterable[Passage], size: int) -> Iterator[list[Passage]]:
    if size < 1:
        raise UsageError(f"shard size {size}: must be at least 1")
    stream = iter(passages)
    while shard := list(islice(stream, size)):
        yield shard


def _storable(vectors: Float32, shard: Sequence[Passage], dimension: int, dtype: DType) -> Vectors:
    """The vectors in the dtype of the store, after checking what came."""
    if vectors.ndim != 2 or vectors.shape[1] != dimension or len(vectors) % len(shard) or not len(vectors):
        raise DataError(
            f"{len(shard)} passages gave vectors of shape {vectors.shape}, expected a multiple of "
            f"{len(shard)} rows of {dimension} dimensions"
        )
    with np.errstate(over="ignore"):
        stored: Vectors = np.ascontiguousarray(vectors, dtype=dtype)
    bad = np.flatnonzero(~np.isfinite(stored).all(axis=1))
    if len(bad):
        doc_id = shard[int(bad[0]) // (len(vectors) // len(shard))].doc_id
        beyond = dtype == "float16" and bool(np.isfinite(vectors).all())
        why = "beyond the range of float16; store float32" if beyond else "not finite (NaN or infinite)"
        raise DataError(f"the vector of passage {doc_id!r} is {why}; {len(bad)} such rows in its shard")
    return stored


def _write_vectors(path: Path, vectors: Vectors) -> None:
    """`np.save` by hand: its own write loses the error number that tells a full disk."""
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(vectors))
        file.write(vectors.data)


def _write_ids(path: Path, doc_ids: list[str]) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"doc_id": pa.array(doc_ids, pa.string())}), sink)
    path.write_bytes(sink.getvalue())


class _DistinctIds:
    """Tells a doc_id that came before at 8 bytes each: hashes in sorted runs, a hit looked up on disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._runs: list[Int64] = []

    def add(self, doc_ids: list[str]) -> None:
        """Take in the ids of the next shard; those of earlier shards must be on disk.

        Raises:
            DataError: an id came before.
        """
        if len(set(doc_ids)) < len(doc_ids):
            twice = next(d for i, d in enumerate(doc_ids) if d in doc_ids[:i])
            raise DataError(f"doc_id {twice!r} stands twice in the source; ids must be distinct")
        keys = np.sort(np.fromiter(map(hash, doc_ids), dtype=np.int64, count=len(doc_ids)))
        seen = {key for run in self._runs for key in _common(keys, run)}
        for doc_id in doc_ids if seen else ():
            if hash(doc_id) in seen and (shard := self._shard_of(doc_id)):
                raise DataError(f"doc_id {doc_id!r} stands twice in the source (first in {shard})")
        self._runs.append(keys)
        while len(self._runs) > 1 and len(self._runs[-2]) <= len(self._runs[-1]):
            self._runs.append(np.sort(np.concatenate([self._runs.pop(), self._runs.pop()])))

    def _shard_of(self, doc_id: str) -> str | None:
        paths = sorted(self._folder.glob("ids-*.parquet"))
        return next((p.name for p in paths if doc_id in _read_ids(p)), None)


def _common(keys: Int64, run: Int64) -> list[int]:
    """The keys that stand in a sorted run."""
    places = np.minimum(np.searchsorted(run, keys), len(run) - 1)
    common: list[int] = keys[run[places] == keys].tolist()
    return common


def _read_ids(path: Path) -> list[str]:
    with reading(path):
        try:
            ids: list[str] = pq.read_table(path, columns=["doc_id"])["doc_id"].to_pylist()
        except (pa.ArrowException, KeyError) as error:
            raise DataError(f"{path}: not the ids of a store ({error})") from error
    return ids


class VectorStore:
    """A finished store, read memory-mapped; rows are numbered through the shards in order.

    Attributes:
        folder: where it lies.
        manifest: what made it; `manifest.digest()` identifies its bytes.
        signature: of the encoder that made it.
        n_rows, dimension: shape of the whole.
        dtype: float16 or float32, as stored.
    """

    def __init__(self, folder: Path, manifest: Manifest, signature: EncoderSignature) -> None:
        self.folder, self.manifest, self.signature = folder, manifest, signature
        self._paths = sorted(inside(folder, n) for n in manifest.files if n.endswith(".npy"))
        self._id_paths = sorted(inside(folder, n) for n in manifest.files if n.endswith(".parquet"))
        if not self._paths or len(self._paths) != len(self._id_paths):
            raise DataError(f"{folder}: {len(self._paths)} vector files, {len(self._id_paths)} id files")
        shapes = [self._map(path).shape for path in self._paths]
        self.dimension = signature.dimension
        self.dtype = self._map(self._paths[0]).dtype
        self._starts = np.concatenate([[0], np.cumsum([rows for rows, _ in shapes])])
        self.n_rows = int(self._starts[-1])

    @classmethod
    def open(cls, folder: Path, *, checksums: bool = False) -> VectorStore:
        """Open a store.

        Args:
            checksums: also read every byte: compare sha256 and look for vectors that are not finite.
        Raises:
            DataError: not a finished store; a shard is missing, cut or changed; with `checksums`, damage
                anywhere.
        """
        manifest = read_manifest(folder, KIND, checksums=checksums)
        try:
            signature = EncoderSignature.from_dict(manifest.settings["encoder"])
        except (KeyError, TypeError) as error:
            raise DataError(f"{folder}: its manifest has no encoder signature ({error})") from error
        store = cls(folder, manifest, signature)
        if checksums:
            for _ in store.blocks():
                pass
        return store

    def _map(self, path: Path) -> Vectors:
        with reading(path):
            try:
                vectors: Vectors = np.load(path, mmap_mode="r", allow_pickle=False)
            except (ValueError, EOFError) as error:
                raise DataError(f"{path}: not a vector shard ({error})") from error
        if vectors.ndim != 2 or vectors.shape[1] != self.signature.dimension or vectors.dtype.kind != "f":
            raise DataError(
                f"{path}: {vectors.dtype} {vectors.shape}, expected (rows, {self.signature.dimension})"
            )
        return vectors

    @cached_property
    def doc_ids(self) -> Sequence[str]:
        """The doc_id of each row, read when first asked for; about 100 bytes each in memory."""
        ids = list(chain.from_iterable(map(_read_ids, self._id_paths)))
        if len(ids) != self.n_rows:
            raise DataError(f"{self.folder}: {len(ids)} ids for {self.n_rows} rows")
        return ids

    def shards(self) -> list[Vectors]:
        """The vectors as stored, one memory-mapped array a shard, in order; nothing is read or checked."""
        return [self._map(path) for path in self._paths]

    def blocks(self, n_rows: int = 65_536) -> Iterator[tuple[int, Vectors]]:
        """(first row, vectors as stored) in order; at most `n_rows` each, never across two shards.

        Raises:
            DataError: a vector that is not finite.
        """
        for path, start in zip(self._paths, self._starts.tolist(), strict=False):
            vectors = self._map(path)
            for begin in range(0, len(vectors), n_rows):
                block = vectors[begin : begin + n_rows]
                self._check(block, path)
                yield start + begin, block

    def rows(self, indices: npt.ArrayLike) -> Float32:
        """float32 (len(indices), d): the vectors of some rows, in the order asked for.

        Raises:
            IndexError: beyond the rows.
            DataError: a vector that is not finite.
        """
        wanted = np.asarray(indices, dtype=np.int64).reshape(-1)
        if len(wanted) and not 0 <= wanted.min() <= wanted.max() < self.n_rows:
            raise IndexError(f"rows {wanted.min()} to {wanted.max()} of a store of {self.n_rows}")
        found = np.empty((len(wanted), self.dimension), dtype=np.float32)
        shards = np.searchsorted(self._starts, wanted, side="right") - 1
        for shard in np.unique(shards).tolist():
            here = shards == shard
            found[here] = self._map(self._paths[shard])[wanted[here] - self._starts[shard]]
            self._check(found[here], self._paths[shard])
        return found

    @staticmethod
    def _check(vectors: Any, path: Path) -> None:
        if not np.isfinite(vectors).all():
            raise DataError(f"{path}: holds vectors that are not finite; make the store again")
