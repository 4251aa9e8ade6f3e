"""Generated queries on disk: written in shards, read back by doc_id in bounded memory.

    generated/
      queries-00000.parquet   doc_id, lang, rank, query, score (float32, may be null); one row group
      manifest.json           generator signature, seed, languages, counts asked and kept

A shard holds whole passages in the order of the collection. Also read: one bare `.parquet` file with
these columns (`rank` and `score` may be missing), and the layout of the xQG reference data, as JSON lines
(`{"docid": .., "generated_queries": {lang: [..]}}`, `.gz` too) or as one JSON object
(`{docid: {lang: [..]}}`).
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from babelweave.artifact import digest_file, inside, read_json, read_manifest, reading
from babelweave.data.languages import canonical
from babelweave.data.lines import file_objects
from babelweave.errors import DataError, UsageError, nearest
from babelweave.records import Bool, GeneratedQuery, Int64

KIND = "generated"
SCHEMA = pa.schema(
    [
        pa.field("doc_id", pa.string(), nullable=False),
        pa.field("lang", pa.string(), nullable=False),
        pa.field("rank", pa.int32(), nullable=False),
        pa.field("query", pa.string(), nullable=False),
        pa.field("score", pa.float32()),
    ]
)
_COLUMNS = ("doc_id", "lang", "rank", "query")
_SCAN_ROWS = 65_536
_KEPT_GROUPS = 4  # decoded row groups held: a block of passages seldom spans more when orders agree


def write_queries(path: Path, queries: Sequence[GeneratedQuery]) -> None:
    """One Parquet file of one row group; the same queries give the same bytes."""
    columns = zip(*queries, strict=True) if queries else ([] for _ in SCHEMA)
    table = pa.table([pa.array(c, f.type) for c, f in zip(columns, SCHEMA, strict=True)], schema=SCHEMA)
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", row_group_size=max(1, table.num_rows))
    path.write_bytes(sink.getvalue())


@dataclass(frozen=True, slots=True)
class _Groups:
    """Row groups by number, from files or from memory."""

    n: int
    load: Callable[[int, tuple[str, ...]], pa.Table]
    """Number and columns to a table; only scores may be empty."""


class GeneratedQueries:
    """Queries of any layout above, looked up by doc_id.

    Opening reads the ids once and keeps 12 bytes for each passage of a row group; a lookup then decodes
    only the row groups it needs. In the order of the collection each is decoded about once; in another
    order it is slower by as many row groups as a block of passages is scattered over, never wrong.

    Attributes:
        path: what was opened.
        languages: present in it, sorted.
        n_queries, n_documents: rows, and distinct passages.
        digest: sha256 of its content.
        signature: of the generator where a manifest tells it, else {}.
        gates: that queries were filtered by where a manifest tells them, else {}.
        in_memory: the layout (JSON) cannot be read in part and is held whole.
    """

    def __init__(self, path: Path, groups: _Groups, digest: str, settings: dict[str, Any]) -> None:
        self.path, self.digest = path, digest
        self.signature: dict[str, Any] = settings.get("generator", {})
        self.gates: dict[str, Any] = settings.get("gates", {})
        self.in_memory = False
        self._groups = groups
        self._load = functools.lru_cache(maxsize=_KEPT_GROUPS)(groups.load)
        languages: set[str] = set()
        keys: list[Int64] = []
        self.n_queries = 0
        for number in range(groups.n):
            found = np.zeros(0, dtype=np.int64)
            for ids, codes in _scan(groups, number):
                self.n_queries += len(ids)
                found = np.union1d(found, np.fromiter(map(hash, ids), np.int64))
                try:
                    languages.update(map(canonical, codes))
                except UsageError as error:
                    raise DataError(f"{path}: {error}") from error
            keys.append(found)
        if not self.n_queries:
            raise DataError(f"{path}: holds no generated queries")
        self.languages = tuple(sorted(languages))
        flat = np.concatenate(keys)
        self.n_documents = len(np.unique(flat))
        order = np.argsort(flat, kind="stable")
        self._keys: Int64 = flat[order]
        self._group_of = np.repeat(np.arange(groups.n, dtype=np.int32), [len(k) for k in keys])[order]

    @classmethod
    def open(cls, path: Path) -> GeneratedQueries:
        """Open a folder written by `generate`, a bare Parquet file, or the reference layout as JSON.

        Raises:
            DataError: missing, unfinished, cut, empty, without the columns or fields above, or with an
                unknown language.
        """
        if path.is_dir():
            manifest = read_manifest(path, KIND)
            files = [inside(path, name) for name in sorted(manifest.files) if name.endswith(".parquet")]
            return cls(path, _parquet_groups(files), manifest.digest(), dict(manifest.settings))
        if path.suffix == ".parquet":
            return cls(path, _parquet_groups([path]), digest_file(path), {})
        if path.name.endswith((".json", ".jsonl", ".jsonl.gz")):
            with reading(path):
                table = _table(_reference_rows(path))
            groups = _Groups(1, lambda _, columns: _typed(table, columns, path, 0))
            opened = cls(path, groups, digest_file(path), {})
            opened.in_memory = True
            return opened
        raise DataError(
            f"{path}: not generated queries; expected a folder made by `babelweave generate`, a .parquet "
            "file, or the reference layout as .jsonl, .jsonl.gz or .json"
            if path.exists()
            else f"{path}: no such file or folder"
        )

    def check_languages(self, languages: Iterable[str]) -> tuple[str, ...]:
        """Canonical codes of the languages asked for, in that order.

        Raises:
            UsageError: one that is not in the file, or none at all.
        """
        wanted = tuple(dict.fromkeys(map(canonical, languages)))
        for lang in wanted:
            if lang not in self.languages:
                raise UsageError(f"{self.path} has no queries in {lang!r}; {nearest(lang, self.languages)}")
        if not wanted:
            raise UsageError(f"no languages asked for; {self.path} has {', '.join(self.languages)}")
        return wanted

    def contains(self, doc_ids: Sequence[str]) -> Bool:
        """bool (len(doc_ids),): whether there is any query of each; equal hashes (2^-64) count as equal."""
        wanted = np.fromiter(map(hash, doc_ids), np.int64, count=len(doc_ids))
        places = np.minimum(np.searchsorted(self._keys, wanted), len(self._keys) - 1)
        return np.asarray(self._keys[places] == wanted, dtype=np.bool_)

    def numbers(self, languages: Iterable[str], per_language: int | None = None) -> tuple[int, int]:
        """The fewest and the most queries that a passage of the file has in some languages.

        A passage that lies in several row groups, as it may in a bare file, is cut at `per_language` in
        each. Cost: doc_id and lang of every row are read.
        """
        wanted = frozenset(languages)
        parts = [self._numbers(number, wanted, per_language) for number in range(self._groups.n)]
        _, place = np.unique(np.concatenate([keys for keys, _ in parts]), return_inverse=True)
        totals = np.bincount(place, weights=np.concatenate([counts for _, counts in parts]))
        return int(totals.min()), int(totals.max())

    def _numbers(self, number: int, wanted: frozenset[str], per_language: int | None) -> tuple[Int64, Int64]:
        """Hash and number of queries of each passage of a row group."""
        table = self._groups.load(number, ("doc_id", "lang"))
        counts: Counter[tuple[str, str]] = Counter(zip(*(c.to_pylist() for c in table.columns), strict=True))
        totals: Counter[str] = Counter()
        for (doc_id, lang), n in counts.items():
            n_kept = n if per_language is None else min(n, per_language)
            totals[doc_id] += n_kept if canonical(lang) in wanted else 0
        keys = np.fromiter(map(hash, totals), np.int64, count=len(totals))
        return keys, np.fromiter(totals.values(), np.int64, count=len(totals))

    def lookup(self, doc_ids: Sequence[str]) -> dict[str, dict[str, list[str]]]:
        """doc_id -> language -> queries, best first; passages without queries are absent.

        Raises:
            DataError: a file was cut or changed since it was opened.
        """
        found: dict[str, dict[str, list[tuple[int, str]]]] = {}
        for doc_id, lang, rank, query in self._matching(doc_ids, _COLUMNS):
            found.setdefault(doc_id, {}).setdefault(canonical(lang), []).append((rank, query))
        return {
            doc_id: {lang: [q for _, q in sorted(ranked, key=_rank)] for lang, ranked in by_lang.items()}
            for doc_id, by_lang in found.items()
        }

    def rows(self, doc_ids: Sequence[str]) -> list[GeneratedQuery]:
        """The queries of some passages with all that is known of them: by passage, language, then rank."""
        place = {doc_id: i for i, doc_id in enumerate(doc_ids)}
        found = [
            GeneratedQuery(doc_id, canonical(lang), rank, query, score)
            for doc_id, lang, rank, query, score in self._matching(doc_ids, tuple(SCHEMA.names))
        ]
        return sorted(found, key=lambda q: (place[q.doc_id], q.lang, q.rank))

    def _matching(self, doc_ids: Sequence[str], columns: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
        """The rows of some passages as they lie; only row groups that hold one are decoded."""
        wanted = np.fromiter(map(hash, doc_ids), np.int64, count=len(doc_ids))
        low = np.searchsorted(self._keys, wanted, side="left")
        high = np.searchsorted(self._keys, wanted, side="right")
        numbers = {int(g) for a, b in zip(low, high, strict=True) for g in self._group_of[a:b]}
        value_set = pa.array(list(dict.fromkeys(doc_ids)), pa.string())
        for number in sorted(numbers):
            table = self._load(number, columns)
            table = table.filter(pc.is_in(table["doc_id"], value_set=value_set))
            yield from zip(*(table[c].to_pylist() for c in columns), strict=True)


def _rank(ranked: tuple[int, str]) -> int:
    return ranked[0]


def _scan(groups: _Groups, number: int) -> Iterator[tuple[list[str], list[str]]]:
    """(doc_ids, language codes as they stand) of a row group, in batches."""
    for batch in groups.load(number, ("doc_id", "lang")).to_batches(max_chunksize=_SCAN_ROWS):
        yield batch["doc_id"].to_pylist(), pc.unique(batch["lang"]).to_pylist()


def _parquet_groups(files: Sequence[Path]) -> _Groups:
    places: list[tuple[Path, int, int]] = []  # file, row group, rows before it
    n_rows = 0
    for path in files:
        with reading(path):
            try:
                opened = pq.ParquetFile(path)
            except pa.ArrowException as error:
                raise DataError(f"{path}: not a Parquet file, or cut ({error})") from error
        with opened:
            present = opened.schema_arrow.names
            missing = [c for c in ("doc_id", "lang", "query") if c not in present]
            if missing:
                raise DataError(
                    f"{path}: no column {', '.join(missing)}; expected doc_id, lang, rank, query, score, "
                    f"found {', '.join(present)}"
                )
            for group in range(opened.num_row_groups):
                places.append((path, group, n_rows))
                n_rows += opened.metadata.row_group(group).num_rows

    def load(number: int, columns: tuple[str, ...]) -> pa.Table:
        path, group, before = places[number]
        with reading(path):
            try:
                with pq.ParquetFile(path) as opened:
                    present = [c for c in columns if c in opened.schema_arrow.names]
                    return _typed(opened.read_row_group(group, columns=present), columns, path, before)
            except pa.ArrowException as error:
                raise DataError(f"{path}: row group {group} cannot be read ({error})") from error

    return _Groups(len(places), load)


def _typed(table: pa.Table, columns: tuple[str, ...], path: Path, before: int) -> pa.Table:
    """The columns in our types; without ranks, rows rank as they lie in the file, after `before` others."""
    if "rank" in columns and "rank" not in table.column_names:
        table = table.append_column("rank", pa.array(range(before, before + table.num_rows), pa.int64()))
    if "score" in columns and "score" not in table.column_names:
        table = table.append_column("score", pa.nulls(table.num_rows, pa.float32()))
    for name in columns:
        if name != "score" and table[name].null_count:
            raise DataError(f"{path}: column {name!r} has empty cells; every query needs it")
    schema = pa.schema([SCHEMA.field(name).with_nullable(True) for name in columns])
    try:
        return table.select(columns).cast(schema)
    except pa.ArrowException as error:
        raise DataError(f"{path}: a column has the wrong type ({error}); expected {schema}") from error


def _reference_rows(path: Path) -> Iterator[tuple[str, str, int, str]]:
    """(doc_id, lang, rank, query) of the reference layout."""
    if path.name.endswith(".json"):
        data = read_json(path)
        if not isinstance(data, dict):
            raise DataError(f"{path}: a JSON {type(data).__name__}, expected {{docid: {{lang: [queries]}}}}")
        records: Iterable[tuple[str, Any, Any]] = ((str(path), k, v) for k, v in data.items())
    else:
        records = ((at, r.get("docid"), r.get("generated_queries")) for at, r in file_objects(path))
    for where, doc_id, by_lang in records:
        if isinstance(doc_id, int) and not isinstance(doc_id, bool):
            doc_id = str(doc_id)
        if not isinstance(doc_id, str) or not isinstance(by_lang, dict):
            raise DataError(f'{where}: expected a "docid" and "generated_queries" {{lang: [queries]}}')
        for lang, queries in by_lang.items():
            if not isinstance(queries, list) or not all(isinstance(q, str) for q in queries):
                raise DataError(f"{where}: the queries of {doc_id!r} in {lang!r} are not a list of texts")
            yield from ((doc_id, lang, rank, query) for rank, query in enumerate(queries))


def _table(rows: Iterator[tuple[str, str, int, str]]) -> pa.Table:
    """Rows to a table, batch by batch, so that few are Python objects at a time."""
    schema = pa.schema([SCHEMA.field(name) for name in _COLUMNS])
    batches = []
    held: list[tuple[str, str, int, str]] = []
    for row in rows:
        held.append(row)
        if len(held) == _SCAN_ROWS:
            batches.append(_batch(held, schema))
            held = []
    if held:
        batches.append(_batch(held, schema))
    return pa.Table.from_batches(batches, schema)


def _batch(rows: list[tuple[str, str, int, str]], schema: pa.Schema) -> pa.RecordBatch:
    columns = [pa.array(c, f.type) for c, f in zip(zip(*rows, strict=True), schema, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=schema)
