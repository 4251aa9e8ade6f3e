"""What every composition of batches has in common, whatever the data."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from babelweave.train.batches import Rows, allot, compose
from babelweave.train.settings import Batches

LANGUAGES = st.lists(st.integers(0, 3), min_size=1, max_size=80)
SIZES = st.integers(1, 9)
SEEDS = st.integers(0, 2**32)


def rows_of(languages: list[int], keys: list[tuple[int, int]] | None = None) -> Rows:
    return Rows(
        np.array(languages, dtype=np.int64),
        keys=None if keys is None else np.array(keys, dtype=np.int64).reshape(-1, 2),
    )


@given(LANGUAGES, SIZES, SEEDS, st.sampled_from(["mixed", "single", "hybrid"]), st.booleans())
def test_every_example_once_at_most_and_every_batch_full(
    languages: list[int], size: int, seed: int, mode: str, by_length: bool
) -> None:
    rows = rows_of(languages)
    if by_length:
        rows = rows._replace(lengths=np.arange(len(languages))[::-1] % 7)
    settings = Batches(languages=mode, distinct=False)  # type: ignore[arg-type]
    batches = compose(rows, size, settings, np.random.default_rng(seed))
    assert all(len(batch) == size for batch in batches)
    used = Counter(int(row) for batch in batches for row in batch)
    assert set(used.values()) <= {1}
    if mode != "single":
        assert len(languages) - len(used) == len(languages) % size  # only what fills no batch
    else:
        counts = Counter(languages)
        assert len(batches) == sum(count // size for count in counts.values())
        assert all(len({languages[row] for row in batch}) == 1 for batch in batches)


@given(LANGUAGES, SIZES, SEEDS, st.sampled_from(["mixed", "single", "hybrid"]))
def test_the_seed_decides(languages: list[int], size: int, seed: int, mode: str) -> None:
    settings = Batches(languages=mode, distinct=False)  # type: ignore[arg-type]
    one, two = (compose(rows_of(languages), size, settings, np.random.default_rng(seed)) for _ in range(2))
    assert [batch.tolist() for batch in one] == [batch.tolist() for batch in two]


PAIRS = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=1, max_size=80)


@given(PAIRS, SIZES, SEEDS, st.sampled_from(["mixed", "single", "hybrid"]))
def test_no_text_twice_in_a_batch(pairs: list[tuple[int, int]], size: int, seed: int, mode: str) -> None:
    settings = Batches(languages=mode)  # type: ignore[arg-type]
    rows = rows_of([i % 2 for i in range(len(pairs))], pairs)
    used: Counter[int] = Counter()
    for batch in compose(rows, size, settings, np.random.default_rng(seed)):
        texts = [text for row in batch for text in set(pairs[row]) - {0}]
        assert len(texts) == len(set(texts))
        assert len(batch) == size
        used.update(batch.tolist())
    assert set(used.values()) <= {1}


@given(st.integers(2, 9), st.integers(1, 8), SEEDS)
def test_nothing_is_lost_to_texts_that_differ(size: int, n_batches: int, seed: int) -> None:
    n = size * n_batches
    rows = rows_of([0] * n, [(2 * i + 1, 2 * i + 2) for i in range(n)])
    assert len(compose(rows, size, Batches(), np.random.default_rng(seed))) == n_batches


@given(LANGUAGES, st.floats(0, 1), SEEDS)
def test_language_exponent(languages: list[int], exponent: float, seed: int) -> None:
    """Batches of one hold the counts: n ** exponent to one example, repeated evenly within a language."""
    settings = Batches(language_exponent=exponent, distinct=False)
    batches = compose(rows_of(languages), 1, settings, np.random.default_rng(seed))
    used = Counter(int(batch[0]) for batch in batches)
    sizes = Counter(languages)
    weights = {language: n**exponent for language, n in sizes.items()}
    for language, n in sizes.items():
        drawn = sum(count for row, count in used.items() if languages[row] == language)
        assert abs(drawn - len(languages) * weights[language] / sum(weights.values())) < 1
        counts = [used[row] for row in range(len(languages)) if languages[row] == language]
        assert max(counts) - min(counts) <= 1
        assert len(counts) == n


@given(st.integers(0, 1000), st.lists(st.floats(0, 1e6), min_size=1, max_size=9))
def test_allotment_adds_up_and_is_off_by_less_than_one(total: int, weights: list[float]) -> None:
    assume(sum(weights) > 1e-9)
    shares = allot(total, weights)
    assert sum(shares) == total
    for share, weight in zip(shares, weights, strict=True):
        assert share == pytest.approx(total * weight / sum(weights), abs=1 + 1e-6)
        assert share == 0 or weight > 0
