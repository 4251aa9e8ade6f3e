"""The affine map behind a model: by hand, by its properties, and as a layer that other tools apply."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sentence_transformers.base.modules import Dense

from babelweave.encode.transformer import TransformerEncoder
from babelweave.errors import DataError
from babelweave.train.whitening import append_whitening, fit_whitening, remove_whitening
from tiny_models import write_word_encoder

CROSS = np.array([[3, 1], [-1, 1], [1, 2], [1, 0]], dtype=np.float32)
"""Mean (1, 1), variances 8/3 and 2/3, no covariance."""


def test_by_hand() -> None:
    """Mean variance 5/3: in units of it 1.6 and 0.4, of which strength 1 takes the square root."""
    weight, bias = fit_whitening(CROSS, 1.0, 1e-12)
    assert weight == pytest.approx(np.diag([1.6**-0.5, 0.4**-0.5]))
    assert bias == pytest.approx([-(1.6**-0.5), -(0.4**-0.5)])


def test_in_part_and_shrunk_by_hand() -> None:
    weight, _ = fit_whitening(CROSS, 0.5, 0.1)
    assert weight == pytest.approx(np.diag([1.7**-0.25, 0.5**-0.25]))


@given(st.integers(0, 1000), st.floats(0, 1))
def test_what_is_left_of_the_covariance(seed: int, strength: float) -> None:
    """Every variance becomes its power 1 - strength, whatever the directions."""
    rng = np.random.default_rng(seed)
    vectors = (rng.normal(size=(50, 4)) @ rng.normal(size=(4, 4))).astype(np.float32)
    weight, bias = fit_whitening(vectors, strength, 1e-12)
    moved = vectors.astype(np.float64) @ weight.T + bias
    assert moved.mean(axis=0) == pytest.approx(np.zeros(4), abs=1e-5)
    before = np.linalg.eigvalsh(np.cov(vectors.astype(np.float64), rowvar=False))
    after = np.linalg.eigvalsh(np.cov(moved, rowvar=False))
    mean = before.mean()
    assert np.sort(after) == pytest.approx(np.sort(mean * (before / mean) ** (1 - strength)), rel=1e-3)


def test_a_direction_without_variance_stays_finite() -> None:
    flat = np.hstack([np.random.default_rng(0).normal(size=(20, 2)), np.ones((20, 1))]).astype(np.float32)
    weight, bias = fit_whitening(flat, 1.0, 1e-3)
    assert np.isfinite(weight).all()
    assert weight[2, 2] == pytest.approx(1e-3**-0.5)
    assert np.isfinite(bias).all()


def test_too_few_or_equal_vectors() -> None:
    with pytest.raises(DataError, match="2 texts for 2 dimensions; give more than 2"):
        fit_whitening(CROSS[:2], 0.3, 1e-3)
    with pytest.raises(DataError, match="all texts have the same vector"):
        fit_whitening(np.ones((9, 3), dtype=np.float32), 0.3, 1e-3)


def test_as_a_layer_and_taken_away_again(tmp_path: Path) -> None:
    words = [f"w{n}" for n in range(90)]
    model = TransformerEncoder(
        str(write_word_encoder(tmp_path / "tiny", words, dimension=16)), normalise=True
    ).model
    texts = [f"{a} {b}" for a, b in pairwise(words)]
    plain = model.encode(texts)
    affine = fit_whitening(plain, 0.5, 1e-2)
    append_whitening(model, affine)
    moved = plain @ affine.weight.T + affine.bias
    expected = moved / np.linalg.norm(moved, axis=1, keepdims=True)
    assert model.encode(texts) == pytest.approx(expected, abs=1e-5)
    remove_whitening(model)
    assert not any(isinstance(module, Dense) for module in model)
    assert np.array_equal(model.encode(texts), plain)
    remove_whitening(model)
    assert len(model) == 3
