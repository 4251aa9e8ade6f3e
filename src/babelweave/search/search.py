"""Searchers over one index: dense and BM25."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

from babelweave.errors import DataError
from babelweave.index.bm25 import Bm25Index
from babelweave.index.dense import DenseIndex
from babelweave.protocols import Encoder
from babelweave.ranking import to_run
from babelweave.records import Hits, Passage, Query, Run

_QUERIES_AT_ONCE = 4096

PassageLookup = Callable[[Collection[str]], Mapping[str, Passage]]
"""doc_ids to their passages; raises `DataError` where one is missing (`find_passages`)."""


class DenseSearcher:
    """Questions by the nearest passage vectors.

    Args:
        encoder: of the questions; must be the one that made the index.
        index: an opened index folder.
    Attributes:
        n_truncated: questions longer than the encoder reads, over all searches so far.
    Raises:
        SignatureError: the index was made with another encoder; the message names each difference.
    """

    def __init__(self, encoder: Encoder, index: DenseIndex) -> None:
        index.check(encoder.signature)
        self._encoder, self._index = encoder, index
        self.n_truncated = 0

    def search(self, queries: Sequence[Query], k: int) -> Run:
        """The k best passages of each question, in our order; fewer only where the index finds fewer.

        Raises:
            DataError: a question id that comes twice.
        """
        return _search(queries, lambda texts: self._hits(texts, k), self._index.doc_ids)

    def _hits(self, texts: list[str], k: int) -> Hits:
        encoded = self._encoder.encode(texts, "query")
        self.n_truncated += encoded.n_truncated
        return self._index.search(encoded.vectors, k)


class Bm25Searcher:
    """Questions by the terms they share with passages.

    Args:
        index: an opened BM25 folder.
    """

    def __init__(self, index: Bm25Index) -> None:
        self._index = index

    def search(self, queries: Sequence[Query], k: int) -> Run:
        """The k best passages of each question, in our order; only those that share a term with it.

        Raises:
            DataError: a question id that comes twice.
        """
        return _search(queries, lambda texts: self._index.search(texts, k), self._index.doc_ids)


def find_passages(passages: Iterable[Passage], doc_ids: Collection[str]) -> dict[str, Passage]:
    """The passages of some ids, read from a stream until all are found; only they are held.

    Raises:
        DataError: an id is not there, as when the index was built from another collection.
    """
    wanted = set(doc_ids)
    found: dict[str, Passage] = {}
    stream: Iterator[Passage] = iter(passages)
    while len(found) < len(wanted) and (passage := next(stream, None)) is not None:
        if passage.doc_id in wanted:
            found[passage.doc_id] = passage
    if len(found) < len(wanted):
        missing = sorted(wanted - found.keys())
        raise DataError(
            f"the collection lacks {len(missing)} of {len(wanted)} passages that were found "
            f"(first: {missing[0]!r}); name the collection the index was built from"
        )
    return found


def _search(queries: Sequence[Query], hits_of: Callable[[list[str]], Hits], doc_ids: Sequence[str]) -> Run:
    """Ask a block of questions at a time, so that vectors and hits of only one block are held."""
    query_ids = [query.query_id for query in queries]
    if len(set(query_ids)) < len(query_ids):
        twice = next(i for i, count in Counter(query_ids).items() if count > 1)
        raise DataError(f"question id {twice!r} comes twice; a run could not keep the two apart")
    runs = []
    for start in range(0, len(queries), _QUERIES_AT_ONCE):
        part = slice(start, start + _QUERIES_AT_ONCE)
        hits = hits_of([query.text for query in queries[part]])
        runs.append(to_run(query_ids[part], hits, doc_ids))
    return Run(
        tuple(query_ids),
        tuple(ids for run in runs for ids in run.doc_ids),
        tuple(scores for run in runs for scores in run.scores),
    )
