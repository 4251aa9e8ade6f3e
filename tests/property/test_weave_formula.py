"""The fusers against the formula of the paper, written out in float64."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from babelweave.weave.fusers.mean import MeanFuser, alpha_mean
from babelweave.weave.fusers.sum import SumFuser

ALPHAS = st.floats(0, 1)
SIZES = st.integers(0, 40)
SEEDS = st.integers(0, 2**32 - 1)


def vectors(seed: int, g: int, n: int = 5, d: int = 8) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    passages = draw.standard_normal((n, d), dtype=np.float32)
    generated = draw.standard_normal((n, g, d), dtype=np.float32)
    return passages, generated, draw.random((n, g)) < 0.8


@given(SEEDS, SIZES, ALPHAS)
def test_sum_is_the_official_formula(seed: int, g: int, alpha: float) -> None:
    passages, generated, mask = vectors(seed, g)
    woven = SumFuser(alpha=alpha).fuse(passages, generated, mask, ["de"] * g)[:, 0]
    for i, p in enumerate(passages.astype(np.float64)):
        expected = (1 - alpha) * p
        for k in range(g):
            if mask[i, k]:
                expected = expected + alpha * generated[i, k].astype(np.float64)
        np.testing.assert_allclose(woven[i], expected, rtol=1e-5, atol=2e-5)


@given(SEEDS, SIZES, ALPHAS, st.floats(0, 5))
def test_mean_is_the_weighted_mean(seed: int, g: int, alpha: float, weight: float) -> None:
    passages, generated, mask = vectors(seed, g)
    languages = ["ar" if k % 2 else "de" for k in range(g)]
    woven = MeanFuser(alpha=alpha, language_weights={"ar": weight}).fuse(passages, generated, mask, languages)
    for i, p in enumerate(passages.astype(np.float64)):
        weights = [(weight if lang == "ar" else 1.0) * mask[i, k] for k, lang in enumerate(languages)]
        if sum(weights) > 1e-6:
            mean = np.average(generated[i].astype(np.float64), axis=0, weights=weights)
            np.testing.assert_allclose(woven[i, 0], (1 - alpha) * p + alpha * mean, rtol=1e-4, atol=2e-5)
        elif sum(weights) == 0:
            assert np.array_equal(woven[i, 0], passages[i])


@given(SEEDS, st.integers(1, 40), st.floats(0.001, 0.5))
def test_sum_and_mean_rank_alike_at_the_converted_alpha(seed: int, n_queries: int, alpha: float) -> None:
    passages, generated, _ = vectors(seed, n_queries)
    mask = np.ones(generated.shape[:2], bool)
    languages = ["de"] * n_queries
    summed = SumFuser(alpha=alpha).fuse(passages, generated, mask, languages)[:, 0]
    meant = MeanFuser(alpha=alpha_mean(alpha, n_queries)).fuse(passages, generated, mask, languages)[:, 0]
    # the same vectors but for one positive constant, so every ranking is the same
    np.testing.assert_allclose(summed, meant * (1 - alpha + alpha * n_queries), rtol=1e-3, atol=1e-3)


@given(SEEDS, st.integers(1, 12), ALPHAS)
def test_a_row_may_stand_for_the_mean_of_many(seed: int, g: int, alpha: float) -> None:
    passages, generated, mask = vectors(seed, g)
    counts = mask.sum(axis=1)[:, None]
    means = (generated * mask[..., None]).sum(axis=1, keepdims=True) / np.maximum(counts, 1)[..., None]
    for fuser in (SumFuser(alpha=alpha), MeanFuser(alpha=alpha)):
        one_by_one = fuser.fuse(passages, generated, mask, ["de"] * g)
        np.testing.assert_allclose(fuser.fuse(passages, means, counts, ["de"]), one_by_one, atol=1e-4)


def test_the_papers_setting() -> None:
    assert alpha_mean(0.01, 35) == pytest.approx(0.35 / 1.34)
    assert MeanFuser().alpha == pytest.approx(alpha_mean(0.01, 35), abs=0.005)
