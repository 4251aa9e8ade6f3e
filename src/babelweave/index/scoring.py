"""What the score of a question and a row is, to the last bit.

The score is the inner product of the two vectors as stored. The one exception: where the encoder's
signature says that it compares by cosine and that its vectors are not of unit length, both sides are
divided by their length first (`EncoderSignature.by_cosine`). An encoder that gives unit vectors is
compared by inner product, woven rows too: weaving moves a row's length on purpose, and `weave --normalise`
is the place to undo that.

Two ways to compute it. A matrix product is fast, but BLAS takes other kernels at the edges of a matrix,
so its last bits depend on where a row stands and on how many questions are asked at once; equal
passages would not tie. `inner_products` goes pair by pair and depends on the pair alone. Every index
finds candidates by the fast way and reports scores computed by the other; `rounding_margin` bounds how
far apart the two can be, so that no candidate is lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from babelweave.errors import DataError, UsageError
from babelweave.records import Float32, Float64, Int64

_PAIRS_AT_ONCE = 16_384  # pairs gathered at once: 16,384 x 1,024 dimensions are 64 MiB a side


def lengths(vectors: Float32) -> Float64:
    """Euclidean norms (n,) of rows (n, d), in float64."""
    squares: Float64 = np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64)
    return np.sqrt(squares)


def unit(vectors: Float32) -> Float32:
    """Rows divided by their length; a row of zeros stays as it is."""
    length = lengths(vectors)
    return np.divide(
        vectors, np.where(length > 0, length, 1.0)[:, None], dtype=np.float32, casting="same_kind"
    )


def inner_products(queries: Float32, rows: Float32) -> Float32:
    """(m, d) and (m, d) to (m,), pair by pair; the bits of one depend on its two vectors alone."""
    scores: Float32 = np.vecdot(queries, rows)
    return scores


def rounding_margin(queries: Float32, longest: float) -> Float32:
    """(q,): the most by which a float32 matrix product can differ from `inner_products`.

    Both err by at most d u / (1 - d u) |q| |p| with u = 2^-24, whatever the order of summation
    (Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 3.1); `longest` bounds |p|.
    """
    terms = queries.shape[1] + 2  # two more for the second-order term and the lengths' own rounding
    margin: Float32 = (terms * 2.0**-23 * longest * lengths(queries)).astype(np.float32)
    return margin


class Rows:
    """Blocks of float16 or float32 vectors, kept as given (memory-mapped ones stay on disk).

    Args:
        dimension: d of every block.
        cosine: give rows of unit length.
    """

    def __init__(self, dimension: int, *, cosine: bool = False) -> None:
        self.dimension, self.cosine = dimension, cosine
        self._blocks: list[Any] = []
        self._starts: list[int] = [0]
        self._longest: dict[tuple[int, int], float] = {}

    def __len__(self) -> int:
        return self._starts[-1]

    def append(self, vectors: Any) -> None:
        """Keep a block (n, d) by reference.

        Raises:
            UsageError: another dimension or dtype.
        """
        if vectors.ndim != 2 or vectors.shape[1] != self.dimension:
            raise UsageError(f"vectors of shape {vectors.shape} do not fit an index of (n, {self.dimension})")
        if vectors.dtype not in (np.float32, np.float16):
            raise UsageError(f"vectors are {vectors.dtype}; an index takes float32 or float16")
        if len(vectors):
            self._blocks.append(vectors)
            self._starts.append(len(self) + len(vectors))

    def blocks(self, n_rows: int) -> Iterator[tuple[int, Float32]]:
        """(first row, float32 block of at most `n_rows`), in order; one block in memory at a time."""
        for start, block in zip(self._starts, self._blocks, strict=False):
            for offset in range(0, len(block), n_rows):
                yield start + offset, self._scored(block[offset : offset + n_rows])

    def longest(self, first: int, block: Float32) -> float:
        """The greatest length in a block that `blocks` gave; computed once."""
        span = (first, len(block))
        if span not in self._longest:
            self._longest[span] = float(lengths(block).max())
        return self._longest[span]

    def gather(self, indices: Int64) -> Float32:
        """float32 (m, d): the rows of `indices` (m,), in that order."""
        gathered = np.empty((len(indices), self.dimension), dtype=np.float32)
        block_of = np.searchsorted(self._starts, indices, side="right") - 1
        for b in np.unique(block_of):
            at = np.flatnonzero(block_of == b)
            gathered[at] = self._blocks[b][indices[at] - self._starts[b]]
        return unit(gathered) if self.cosine else gathered

    def _scored(self, block: Any) -> Float32:
        rows = np.asarray(block, dtype=np.float32)
        return unit(rows) if self.cosine else rows

    def score(self, queries: Float32, query_of: Int64, indices: Int64) -> Float32:
        """(m,): the scores of pairs (queries[query_of[i]], row indices[i])."""
        scores = np.empty(len(indices), dtype=np.float32)
        for start in range(0, len(indices), _PAIRS_AT_ONCE):
            part = slice(start, start + _PAIRS_AT_ONCE)
            distinct, place = np.unique(indices[part], return_inverse=True)
            scores[part] = inner_products(queries[query_of[part]], self.gather(distinct)[place])
        if not np.isfinite(scores).all():
            row = int(indices[np.flatnonzero(~np.isfinite(scores))[0]])
            raise DataError(
                f"row {row} of the index has a score that is not finite; encode the passages again"
            )
        return scores

    def check_queries(self, queries: Any) -> Float32:
        """Question vectors (q, d) as scored: float32, contiguous, of unit length where rows are.

        Raises:
            UsageError: another dimension.
            DataError: NaN or infinite values.
        """
        vectors = np.ascontiguousarray(queries, dtype=np.float32)
        if vectors.ndim != 2 or vectors.shape[1] != self.dimension:
            raise UsageError(
                f"question vectors of shape {vectors.shape}; the index wants (q, {self.dimension})"
            )
        if not np.isfinite(vectors).all():
            number = int(np.flatnonzero(~np.isfinite(vectors).all(axis=1))[0])
            raise DataError(f"the vector of question number {number} (from 0) holds NaN or infinite values")
        return unit(vectors) if self.cosine else vectors
