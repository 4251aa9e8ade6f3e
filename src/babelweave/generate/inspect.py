"""What generated queries are like: every query of a collection measured, once, into a table.

    inspected/
      inspected-00000.parquet   one row per query: `SCHEMA`
      card.json, card.md        the table summed up per language (`generate.card`)
      manifest.json             the queries, the collection and the instruments; counts

Measuring costs as much as encoding the queries; deciding by the table (`generate.filters`) costs nothing,
so thresholds can be tried. Instruments that another stage brings (an encoder, an index, a cross-encoder)
come as a `Judge`; without them their columns are empty.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from babelweave.artifact import Manifest, ShardWriter, digest_texts, inside, read_manifest, reading
from babelweave.data.scripts import script_share
from babelweave.data.words import terms
from babelweave.errors import DataError
from babelweave.generate.card import Card, describe, write_card
from babelweave.generate.identify import Identifier
from babelweave.generate.queries import SCHEMA as QUERIES
from babelweave.generate.queries import GeneratedQueries
from babelweave.generate.run import SHARD_SIZE, Progress
from babelweave.records import Float32, GeneratedQuery, Int64, Passage

KIND = "inspected"

SCHEMA = pa.schema(
    [
        *QUERIES,
        pa.field("identified", pa.string()),  # most probable language; null where it does not compete
        pa.field("script", pa.float32(), nullable=False),  # share of letters in the language's script
        pa.field("terms", pa.int32(), nullable=False),
        pa.field("copied", pa.float32(), nullable=False),  # share of terms that stand in the passage
        pa.field("place", pa.int32()),  # of the passage among the hits of the query, from 1; 0: not there
        pa.field("relevance", pa.float32()),  # of the passage to the query, by an encoder or cross-encoder
    ]
)


class Judged(NamedTuple):
    """Per query; what a judge does not say is None."""

    places: Int64 | None = None
    """(n,): of the query's own passage among its hits, from 1; 0 where it is not among the first `depth`."""
    relevance: Float32 | None = None
    """(n,): of the passage to the query, larger is better."""


class Judge(Protocol):
    """Says how well queries fit the passages they were made for."""

    @property
    def signature(self) -> Mapping[str, Any]:
        """JSON values: all that decides what it says, and `depth` (how many hits it looks at, 0 for none)
        and `relevance` (whether it says how relevant a passage is)."""
        ...

    def judge(self, queries: Sequence[str], passages: Sequence[Passage]) -> Judged:
        """Query i against passage i, the one it was made for."""
        ...


class InspectionPlan(NamedTuple):
    """What an inspection will meet, known before it starts."""

    n_passages: int
    n_unmatched_documents: int
    """Documents of the queries that are not in the collection; their queries are left out."""
    languages: tuple[str, ...]
    """Of the collection's passages."""


def plan_inspection(passages: Iterable[Passage], generated: GeneratedQueries) -> InspectionPlan:
    """Count how collection and queries fit together.

    Raises:
        DataError: no passage at all has a query.
    """
    n = n_matched = 0
    languages: set[str] = set()
    stream = iter(passages)
    while block := list(islice(stream, SHARD_SIZE)):
        n += len(block)
        n_matched += int(generated.contains([p.doc_id for p in block]).sum())
        languages.update(p.lang for p in block)
    if not n_matched:
        raise DataError(
            f"{generated.path}: none of its {generated.n_documents} doc_ids is among the {n} passages of the "
            "collection; were the queries made for another one?"
        )
    return InspectionPlan(n, generated.n_documents - n_matched, tuple(sorted(languages)))


def inspect_queries(
    generated: GeneratedQueries,
    passages: Iterable[Passage],
    folder: Path,
    *,
    identifier: Identifier | None = None,
    judges: Sequence[Judge] = (),
    seed: int = 0,
    shard_size: int = SHARD_SIZE,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> tuple[Manifest, Card]:
    """Measure every query of a collection; killed, the same call goes on and ends with the same bytes.

    Args:
        generated: the queries; those of documents that are not among the passages are left out, counted.
        passages: streamed once.
        folder: where; absent, empty, or holding the unfinished inspection of the same call.
        identifier: tells languages; None leaves `identified` empty.
        judges: fill `place` and `relevance`; where several say the same, the last counts.
        seed: of the card's samples.
        shard_size: passages of a shard, whose queries are judged in one call.
    Returns:
        The manifest, with counts `passages`, `passages_without_queries` and `queries`; and the card.
    Raises:
        DataError: no query belongs to a passage, or (on resume) other passages than before.
        UsageError: the folder is finished, or was begun with other settings.
    """
    settings = {
        "queries": {"digest": generated.digest, "generator": generated.signature, "gates": generated.gates},
        "identifier": identifier.signature if identifier else None,
        "judges": [dict(judge.signature) for judge in judges],
        "shard_size": shard_size,
        "seed": seed,
    }
    stream = iter(passages if progress is None else progress(passages, "inspecting", None))
    first = list(islice(stream, shard_size))
    writer = ShardWriter(folder, KIND, settings, overwrite=overwrite)
    shards = chain([first], iter(lambda: list(islice(stream, shard_size)), []))
    for number, shard in enumerate(shards):
        source = digest_texts(text for p in shard for text in (p.doc_id, p.lang, p.content))
        if writer.done(number, source):
            continue
        rows = generated.rows([p.doc_id for p in shard])
        table = _measured(shard, rows, identifier, judges)
        counts = {
            "passages": len(shard),
            "passages_without_queries": len(shard) - len({row.doc_id for row in rows}),
            "queries": len(rows),
        }
        writer.write(number, source, {"inspected.parquet": partial(_write, table=table)}, counts)
    paths = sorted(folder.glob("inspected-*.parquet"))
    card = describe(map(_read, paths), settings, seed=seed)
    if not card.languages:
        raise DataError(f"{generated.path}: none of its queries belongs to a passage; nothing to inspect")
    names = write_card(folder, card)
    return writer.finish({"generated": generated.digest}, names), card


class Inspected:
    """A finished inspection, read one shard at a time.

    Attributes:
        folder: where it lies.
        manifest: what made it.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder, self.manifest = folder, manifest
        self._paths = [inside(folder, n) for n in sorted(manifest.files) if n.endswith(".parquet")]

    @classmethod
    def open(cls, folder: Path) -> Inspected:
        """Raises DataError: not a finished inspection, or a file is missing or cut."""
        return cls(folder, read_manifest(folder, KIND))

    def shards(self) -> Iterator[pa.Table]:
        """The table of `SCHEMA`, shard by shard, whole passages together."""
        return map(_read, self._paths)


def _measured(
    shard: Sequence[Passage],
    rows: Sequence[GeneratedQuery],
    identifier: Identifier | None,
    judges: Sequence[Judge],
) -> pa.Table:
    passage_of = {p.doc_id: p for p in shard}
    words_of = {doc_id: frozenset(terms(passage_of[doc_id].content)) for doc_id in {r.doc_id for r in rows}}
    texts = [row.query for row in rows]
    words = [terms(text) for text in texts]
    judged = Judged()
    for judge in judges if rows else ():
        said = judge.judge(texts, [passage_of[row.doc_id] for row in rows])
        judged = Judged(
            judged.places if said.places is None else said.places,
            judged.relevance if said.relevance is None else said.relevance,
        )
    columns = {
        "identified": _identified(rows, identifier),
        "script": [script_share(row.query, row.lang) for row in rows],
        "terms": list(map(len, words)),
        "copied": [
            float(np.mean([term in words_of[row.doc_id] for term in found])) if found else 0.0
            for row, found in zip(rows, words, strict=True)
        ],
        "place": _nullable(judged.places, len(rows)),
        "relevance": _nullable(judged.relevance, len(rows)),
    }
    own = zip(*rows, strict=True) if rows else ([] for _ in QUERIES)
    values = [*own, *columns.values()]
    return pa.table([pa.array(v, f.type) for v, f in zip(values, SCHEMA, strict=True)], schema=SCHEMA)


def _identified(rows: Sequence[GeneratedQuery], identifier: Identifier | None) -> list[str | None]:
    """Null where the language asked for does not compete: nothing can be said of it then."""
    if identifier is None:
        return [None] * len(rows)
    named = identifier.identify([row.query for row in rows])
    return [found if identifier.knows(row.lang) else None for row, found in zip(rows, named, strict=True)]


def _nullable(values: Int64 | Float32 | None, n: int) -> Any:
    return pa.nulls(n) if values is None else values


def _write(path: Path, table: pa.Table) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", row_group_size=max(1, table.num_rows))
    path.write_bytes(sink.getvalue())


def _read(path: Path) -> pa.Table:
    with reading(path):
        try:
            return pq.read_table(path, schema=SCHEMA)
        except pa.ArrowException as error:
            raise DataError(f"{path}: not the table of an inspection ({error})") from error
