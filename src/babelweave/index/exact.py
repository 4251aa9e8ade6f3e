"""Exact inner-product search with numpy: the oracle every other index is held to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from babelweave.errors import DataError
from babelweave.index.scoring import Rows, rounding_margin
from babelweave.ranking import top_pairs
from babelweave.records import Bool, Float32, Hits, Int64

_ROWS_AT_ONCE = 16_384
_QUERIES_AT_ONCE = 256  # 256 x 16,384 float32 scores are 16 MiB


class ExactIndex:
    """All rows, compared by a blocked matrix product, then re-scored pair by pair.

    Hits, scores and ties are the same to the bit however questions are batched and rows are blocked
    (see `scoring`). Memory: one float32 block of rows and one of scores; memory-mapped rows stay on disk.

    Args:
        dimension: d.
        keys: tie keys (n,) from `ranking.tie_keys`; without, the higher row wins a tie.
        cosine: compare by cosine (`EncoderSignature.by_cosine`).
    Cost: O(q n d) per search, at the speed of a matrix product.
    """

    def __init__(self, dimension: int, *, keys: Int64 | None = None, cosine: bool = False) -> None:
        self.rows = Rows(dimension, cosine=cosine)
        self._keys = keys

    @property
    def n_rows(self) -> int:
        return len(self.rows)

    def add(self, vectors: Any) -> None:
        """Append float32 or float16 (n, d), kept by reference."""
        self.rows.append(vectors)

    def search(self, queries: Any, k: int) -> Hits:
        """(q, d) -> k hits each in our order, exact at the k-th place; beyond the rows row -1, -inf.

        Raises:
            UsageError: questions of another dimension.
            DataError: NaN or infinite values in questions or rows.
        """
        vectors = self.rows.check_queries(queries)
        keys = np.arange(self.n_rows) if self._keys is None else self._keys
        best = top_pairs(*_nothing(), len(vectors), k, keys)
        if k == 0:
            return best
        for first, block in self.rows.blocks(_ROWS_AT_ONCE):
            longest = self.rows.longest(first, block)
            for start in range(0, len(vectors), _QUERIES_AT_ONCE):
                part = slice(start, start + _QUERIES_AT_ONCE)
                known = Hits(best.rows[part], best.scores[part])
                found = self._search_block(vectors[part], first, block, longest, known, keys)
                best.rows[part], best.scores[part] = found
        return best

    def _search_block(
        self, queries: Float32, first: int, block: Float32, longest: float, best: Hits, keys: Int64
    ) -> Hits:
        """The best hits so far, joined by those of one block of rows."""
        k = best.rows.shape[1]
        products = queries @ block.T
        if not np.isfinite(products).all():
            row = first + int(np.flatnonzero(~np.isfinite(products).all(axis=0))[0])
            raise DataError(
                f"row {row} of the index gives scores that are not finite; encode the passages again"
            )
        margin = rounding_margin(queries, longest)
        wanted = _may_enter(products, k, best.scores[:, -1], margin)
        query_of, column = np.divmod(np.flatnonzero(wanted), len(block))
        scores = self.rows.score(queries, query_of, first + column)
        old, place = np.nonzero(best.rows >= 0)
        return top_pairs(
            np.concatenate([old, query_of]),
            np.concatenate([best.rows[old, place], first + column]),
            np.concatenate([best.scores[old, place], scores]),
            len(queries),
            k,
            keys,
        )

    def save(self, folder: Path) -> None:
        """Nothing: rows are all an exact index has, and an index folder keeps them as a store."""


def _may_enter(products: Float32, k: int, kth_so_far: Float32, margin: Float32) -> Bool:
    """(q, n): which rows of a block can be among the k best, given that products err by `margin`."""
    wanted: Bool = products >= (kth_so_far - margin)[:, None]
    n_queries, n = products.shape
    if k < n and np.count_nonzero(wanted) > 2 * k * n_queries:
        # The k-th best score of the block is at least its k-th product less the margin; a row that
        # reaches it has a product no more than another margin below.
        kth = np.partition(products, n - k, axis=1)[:, n - k]
        wanted &= products >= (kth - 2 * margin)[:, None]
    return wanted


def _nothing() -> tuple[Int64, Int64, Float32]:
    return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)
