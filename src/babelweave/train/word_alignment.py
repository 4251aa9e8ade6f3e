"""Which tokens translate which, learned from parallel text: IBM model 1 that prefers like positions.

Brown et al. (1993), model 1, with the position prior of fast_align (Dyer et al. 2013, eq. 1-3), both trained
by expectation maximisation. A new vocabulary's rows begin as their translations' rows (`vocabulary`).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from babelweave.records import Int64

P_NULL = 0.08
"""Prior of an English token to translate nothing (Dyer et al. 2013, section 2)."""
LOCALITY = 3.0
"""Precision of the position prior; 0 knows no order. Dyer et al. tune it, and begin at 4."""
ITERATIONS = 6
_MAX_TOKENS = 60
_KEPT = 0.05
"""Expected counts below this are noise of the first iterations."""

Ids = Sequence[int]


class _Links(NamedTuple):
    """Every (translated token, English token) of every pair of sentences, as columns."""

    foreign: Int64
    """0 is the null token, t + 1 is token t."""
    english: Int64
    position: Int64
    """Which English position of the whole corpus a link explains."""
    prior: npt.NDArray[np.float32]


def align(
    pairs: Sequence[tuple[Ids, Ids]],
    n_types: int,
    *,
    locality: float = LOCALITY,
    iterations: int = ITERATIONS,
) -> csr_array:
    """Expected number of times a token of the translation produced an English token.

    Args:
        pairs: token ids of (translation, English); the first 60 of each are read, empty ones are skipped.
        n_types: ids are in [0, n_types).
        locality: how strongly tokens in like parts of their sentences belong together; lower it for
            languages whose word order is unlike that of English.
    Returns:
        float64 (n_types, n_types), translation by English; row t divided by its sum is p(english | t).
        About 100 bytes a link while it works: 40,000 pairs of 15 tokens take 1 GB and 15 seconds.
    """
    pairs = [(f[:_MAX_TOKENS], e[:_MAX_TOKENS]) for f, e in pairs if len(f) and len(e)]
    if not pairs:
        return csr_array((n_types, n_types), dtype=np.float64)
    links = _links(pairs, locality)
    keys, cell = np.unique(links.foreign * n_types + links.english, return_inverse=True)
    foreign, english = keys // n_types, keys % n_types
    probability = np.full(len(keys), 1.0 / n_types)
    for _ in range(iterations):
        weight = probability[cell] * links.prior
        total = np.bincount(links.position, weight)
        weight /= np.maximum(total, np.finfo(np.float64).tiny)[links.position]
        counts = np.bincount(cell, weight, minlength=len(keys))
        probability = counts / np.maximum(np.bincount(foreign, counts), 1e-300)[foreign]
    kept = (counts > _KEPT) & (foreign > 0)
    shape = (n_types, n_types)
    return csr_array((counts[kept], (foreign[kept] - 1, english[kept])), shape=shape)


def _links(pairs: Sequence[tuple[Ids, Ids]], locality: float) -> _Links:
    foreign, english, position, prior = [], [], [], []
    begin = 0
    for f, e in pairs:
        n, m = len(f), len(e)
        places = np.abs((np.arange(n) + 0.5) / n - ((np.arange(m) + 0.5) / m)[:, None])
        near = np.exp(-locality * places)
        near *= (1 - P_NULL) / near.sum(1, keepdims=True)
        prior.append(np.concatenate([np.full((m, 1), P_NULL), near], axis=1).ravel().astype(np.float32))
        foreign.append(np.tile(np.append(-1, f) + 1, m))
        english.append(np.repeat(np.asarray(e), n + 1))
        position.append(np.repeat(np.arange(begin, begin + m), n + 1))
        begin += m
    return _Links(
        np.concatenate(foreign).astype(np.int64),
        np.concatenate(english).astype(np.int64),
        np.concatenate(position).astype(np.int64),
        np.concatenate(prior),
    )


def aligned_words(
    counts: csr_array, tokenizer: Any, lang: str, *, fewest: float = 2.0, share: float = 0.3
) -> dict[str, str]:
    """English word -> the whole word that most often produced it.

    Args:
        counts: of `align`, over the ids of `tokenizer`, whose pieces that begin a word begin with "▁".
        fewest: expected times a translation has to be seen.
        share: of the English tokens a word produced, the part that has to be this one; it keeps words that
            go with a word from standing for it.
    """
    names = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    spaceless = lang in ("zh", "ja", "th")
    produced = np.maximum(counts.sum(axis=1), 1e-300)
    table = counts.tocoo()
    kept = (table.data >= fewest) & (table.data / produced[table.row] >= share)
    order = np.argsort(table.data[kept], kind="stable")
    words: dict[str, str] = {}
    for f, e in zip(table.row[kept][order].tolist(), table.col[kept][order].tolist(), strict=True):
        whole = names[f].startswith("▁") or (spaceless and len(names[f]) > 1)
        word = names[f].removeprefix("▁")
        if whole and names[e].startswith("▁") and len(names[e]) > 2 and _is_word(word):
            words[names[e][1:]] = word  # the most frequent comes last
    return words


def _is_word(text: str) -> bool:
    """Letters and their marks only."""
    return bool(text) and all(unicodedata.category(c)[0] in "LM" for c in text)
