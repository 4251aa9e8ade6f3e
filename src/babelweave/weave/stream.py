"""A collection and its generated queries to woven vectors, block by block.

The queries of a block are encoded, fused into their passages and dropped: no query vector reaches the
disk, and memory is bounded by the block. Queries that stand twice in a block are encoded once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from babelweave.artifact import Manifest
from babelweave.encode.adjust import Adjustment
from babelweave.encode.store import (
    SHARD_SIZE,
    Counted,
    DType,
    Progress,
    StoredVectors,
    VectorStore,
    build_store,
)
from babelweave.errors import DataError, UsageError
from babelweave.generate.queries import GeneratedQueries
from babelweave.protocols import Encoder, Fuser
from babelweave.records import Float32, Int64, Passage
from babelweave.weave.blocks import Lookup, adjusted, count_names, encode_block
from babelweave.weave.fusers.mean import alpha_mean
from babelweave.weave.fusers.spec import vectors_per_passage

BLOCK_SIZE = 256
"""Passages fused together: 256 with 35 queries of 384 dimensions are 14 MB of vectors."""


class Woven(NamedTuple):
    """Rows float32 (n * v, d), the v rows of a passage together, and what was counted on the way."""

    vectors: Float32
    counts: Mapping[str, int]


Version = tuple[Float32, Adjustment | None]
"""float32 (n, d) of passages, and what their queries are adjusted by before they are fused."""


class QueryVectors(NamedTuple):
    """The vectors of generated queries as a fuser takes them, encoded once for any number of fusions.

    A slot holds one query, or the mean of several (`query_means`); `counts` then goes where a mask would
    (`fusers.arrays.pool`).
    """

    languages: tuple[str, ...]
    """(g,) of each slot; those of a language lie together, best first."""
    vectors: Float32
    """(n, g, d); zero where there is no query."""
    counts: Int64
    """(n, g): queries behind each slot."""

    def first(self, languages: Sequence[str], per_language: int) -> QueryVectors:
        """The best queries of some languages: what encoding only those would have given."""
        kept = [
            slot
            for lang in languages
            for slot in [i for i, of in enumerate(self.languages) if of == lang][:per_language]
        ]
        return QueryVectors(
            tuple(self.languages[i] for i in kept), self.vectors[:, kept], self.counts[:, kept]
        )


class WeavePlan(NamedTuple):
    """What a weave will meet, known before any text is encoded."""

    n_passages: int
    n_without_queries: int
    n_unmatched_documents: int
    """Documents of the generated queries that are not in the collection."""


def weave_collection(
    passages: Callable[[], Iterable[Passage]],
    generated: GeneratedQueries,
    encoder: Encoder,
    fuser: Fuser,
    folder: Path,
    *,
    languages: Sequence[str] | None = None,
    per_language: int | None = None,
    store: VectorStore | None = None,
    shard_size: int = SHARD_SIZE,
    dtype: DType = "float32",
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Manifest:
    """Write the woven vector store of a collection; killed, it resumes and ends with the same bytes.

    Args:
        passages: gives the collection from its beginning, for instance `collection.passages`; read twice,
            first for the ids alone.
        generated: the queries; fastest when they lie in the order of the collection.
        encoder: of passages and queries alike.
        fuser: how they are fused; its settings go into the store.
        folder: where; absent, empty, or holding the unfinished store of the same call.
        languages: which to weave, all that `generated` has when None.
        per_language: at most so many per passage and language, best first; all when None.
        store: the plain vectors of these passages, which are then not encoded again.
        shard_size, dtype, overwrite, progress: as in `encode.store.build_store`.
    Returns:
        The manifest, with counts `passages`, `rows`, `truncated` (passages), `queries`,
        `truncated_queries`, `passages_without_queries`, and `queries.<lang>` for each language.
    Raises:
        UsageError: a language without queries, `per_language` below 1, filtered queries with a fuser that
            needs equal numbers of them (`uneven_numbers`), or the folder is in use.
        DataError: none of the generated queries belongs to the collection, or `store` is of other passages
            or of another encoder; and as `build_store`.
    """
    wanted = check_request(generated, languages, per_language)
    uneven_numbers(fuser, generated, wanted, per_language)
    plan_weave(passages(), generated)
    stored = None if store is None else StoredVectors(store, passages(), encoder.signature)

    def woven(shard: Sequence[Passage]) -> Counted:
        encoded = stored.encode(shard) if stored else encoder.encode([p.content for p in shard], "passage")
        rows = weave_vectors(
            encoded.vectors,
            [p.doc_id for p in shard],
            generated.lookup,
            encoder,
            fuser,
            wanted,
            per_language=per_language,
        )
        return Counted(rows.vectors, encoded.n_truncated, rows.counts)

    settings = {
        "role": "passage",
        "fuser": dict(fuser.settings),
        "vectors_per_passage": vectors_per_passage(fuser, wanted),
        "languages": list(wanted),
        "per_language": per_language,
        "generated": generated.digest,
        "generator": generated.signature,
        "store": stored.digest if stored else None,
    }
    return build_store(
        folder,
        passages(),
        woven,
        settings=settings,
        signature=encoder.signature,
        shard_size=shard_size,
        dtype=dtype,
        inputs={"generated": generated.digest} | ({"store": stored.digest} if stored else {}),
        overwrite=overwrite,
        progress=progress,
    )


def check_request(
    generated: GeneratedQueries, languages: Sequence[str] | None, per_language: int | None
) -> tuple[str, ...]:
    """The languages to weave, canonical.

    Raises:
        UsageError: a language without queries, or `per_language` below 1.
    """
    if per_language is not None and per_language < 1:
        raise UsageError(f"{per_language} queries per language: must be at least 1")
    return generated.check_languages(generated.languages if languages is None else languages)


def uneven_numbers(
    fuser: Fuser, generated: GeneratedQueries, languages: Sequence[str], per_language: int | None
) -> str:
    """One line where a fuser moves passages with more queries further and their numbers differ. Else "".

    Raises:
        UsageError: they differ because the queries were filtered: then the fuser is not what was meant.
    Cost: for such a fuser alone, ids and languages of all the queries are read.
    """
    if not getattr(fuser, "counts_queries", False):
        return ""
    fewest, most = generated.numbers(languages, per_language)
    if fewest == most:
        return ""
    same = alpha_mean(fuser.settings["alpha"], most)
    line = (
        f"passages have {fewest} to {most} queries, and fuser {fuser.name} moves those with more of them "
        f"further; the mean form moves all alike: --fuser mean --alpha {same:.2g}"
    )
    if generated.gates:
        raise UsageError(f"{generated.path} was filtered: {line}")
    return line


def plan_weave(passages: Iterable[Passage], generated: GeneratedQueries) -> WeavePlan:
    """Count how collection and queries fit together; reads ids only.

    Raises:
        DataError: no passage at all has a query.
    """
    n = n_matched = 0
    example = ""
    ids = (p.doc_id for p in passages)
    while block := list(islice(ids, SHARD_SIZE)):
        example = example or block[0]
        n += len(block)
        n_matched += int(generated.contains(block).sum())
    if n and not n_matched:
        raise DataError(
            f"{generated.path}: none of its {generated.n_documents} doc_ids is in the collection "
            f"(which has {n}, for instance {example!r}); were the queries made for another one?"
        )
    return WeavePlan(n, n - n_matched, generated.n_documents - n_matched)


def weave_vectors(
    vectors: Float32,
    doc_ids: Sequence[str],
    lookup: Lookup,
    encoder: Encoder,
    fuser: Fuser,
    languages: Sequence[str],
    *,
    per_language: int | None = None,
    block_size: int = BLOCK_SIZE,
) -> Woven:
    """Fuse the queries of passages whose vectors are at hand.

    Args:
        vectors: float32 (n, d) of the passages.
        doc_ids: (n,), in the same order.
        lookup: gives the queries of a block of doc_ids; languages not asked for are ignored.
        languages: canonical codes of those to weave.
        per_language: at most so many per passage and language, best first; all when None.
        block_size: passages fused together; memory is block_size * queries per passage * d * 4 bytes.
    Returns:
        float32 (n * v, d) and the counts `queries`, `truncated_queries`, `passages_without_queries`,
        `queries.<lang>`.
    """
    versions: list[Version] = [(vectors, None)]
    (woven,) = weave_versions(
        versions,
        doc_ids,
        lookup,
        encoder,
        fuser,
        languages,
        per_language=per_language,
        block_size=block_size,
    )
    return woven


def weave_versions(
    versions: Sequence[Version],
    doc_ids: Sequence[str],
    lookup: Lookup,
    encoder: Encoder,
    fuser: Fuser,
    languages: Sequence[str],
    *,
    per_language: int | None = None,
    block_size: int = BLOCK_SIZE,
) -> list[Woven]:
    """`weave_vectors` of several versions of the same passages, whose queries are encoded once for all.

    Args:
        versions: the vectors of the passages, adjusted already, and how their queries are to be adjusted.
    Raises:
        UsageError: an adjustment that was not fitted on a language of the queries.
    """
    rows: list[list[Float32]] = [[] for _ in versions]
    counts: Counter[str] = Counter(dict.fromkeys(count_names(languages), 0))
    for start in range(0, len(doc_ids), block_size):
        ids = doc_ids[start : start + block_size]
        block = encode_block(ids, lookup, encoder, languages, per_language)
        counts.update(block.counts)
        for (vectors, adjustment), own in zip(versions, rows, strict=True):
            generated = block.generated if adjustment is None else adjusted(block, adjustment)
            fused = fuser.fuse(vectors[start : start + len(ids)], generated, block.mask, block.languages)
            own.append(np.asarray(fused, dtype=np.float32).reshape(-1, vectors.shape[1]))
    return [
        Woven(np.concatenate(own) if own else vectors, dict(counts))
        for (vectors, _), own in zip(versions, rows, strict=True)
    ]


def query_means(
    doc_ids: Sequence[str],
    lookup: Lookup,
    encoder: Encoder,
    languages: Sequence[str],
    *,
    per_language: int | None = None,
    block_size: int = BLOCK_SIZE,
) -> QueryVectors:
    """One slot per language, the mean of its queries: enough for a fuser that is `linear`.

    Memory: n l d float32, for l languages.
    """
    n, d = len(doc_ids), encoder.signature.dimension
    means = np.zeros((n, len(languages), d), dtype=np.float32)
    counts = np.zeros((n, len(languages)), dtype=np.int64)
    for start in range(0, n, block_size):
        ids = doc_ids[start : start + block_size]
        block = encode_block(ids, lookup, encoder, languages, per_language)
        for i, lang in enumerate(languages):
            slots = [j for j, slot in enumerate(block.languages) if slot == lang]
            n_here = block.mask[:, slots].sum(axis=1)
            counts[start : start + len(ids), i] = n_here
            total = block.generated[:, slots].sum(axis=1)
            means[start : start + len(ids), i] = total / np.maximum(n_here, 1)[:, None]
    return QueryVectors(tuple(languages), means, counts)


def query_vectors(
    doc_ids: Sequence[str],
    lookup: Lookup,
    encoder: Encoder,
    languages: Sequence[str],
    *,
    per_language: int | None = None,
    block_size: int = BLOCK_SIZE,
) -> QueryVectors:
    """One slot per query, for any fuser and any smaller number of queries (`QueryVectors.first`).

    Memory: twice n g d float32 while the blocks are joined; 10,000 passages with 35 queries of 384
    dimensions are 2 x 540 MB.
    """
    blocks = [
        encode_block(doc_ids[start : start + block_size], lookup, encoder, languages, per_language)
        for start in range(0, len(doc_ids), block_size)
    ]
    width = {lang: max((b.languages.count(lang) for b in blocks), default=1) for lang in languages}
    slots = tuple(lang for lang in languages for _ in range(width[lang]))
    vectors = np.zeros((len(doc_ids), len(slots), encoder.signature.dimension), dtype=np.float32)
    counts = np.zeros(vectors.shape[:2], dtype=np.int64)
    for start, block in zip(range(0, len(doc_ids), block_size), blocks, strict=True):
        rows = slice(start, start + len(block.mask))
        for lang in languages:
            here, there = slots.index(lang), block.languages.index(lang)
            n_here = block.languages.count(lang)
            vectors[rows, here : here + n_here] = block.generated[:, there : there + n_here]
            counts[rows, here : here + n_here] = block.mask[:, there : there + n_here]
    return QueryVectors(slots, vectors, counts)
