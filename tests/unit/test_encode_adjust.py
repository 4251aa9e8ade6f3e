"""Vectors adjusted for language: means by hand, erasure against its authors' library and a linear probe."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from concept_erasure import LeaceEraser

from babelweave.encode.adjust import Centring, Erasure, check_erasure, fit, fit_centring, fit_erasure
from babelweave.errors import DataError, MissingExtraError, UsageError
from babelweave.records import Float32

LANGUAGES = ("en", "en", "de", "de")


def rows(*values: tuple[float, ...]) -> Float32:
    return np.array(values, dtype=np.float32)


def spoken(n: int, d: int = 12, seed: int = 0) -> tuple[Float32, list[str]]:
    """n texts in three languages each: what a text says, and an offset of its language."""
    rng = np.random.default_rng(seed)
    meaning, offsets = rng.normal(size=(n, d)), rng.normal(size=(3, d)) * 2
    vectors = np.concatenate([meaning + rng.normal(size=(n, d)) * 0.3 + offset for offset in offsets])
    return vectors.astype(np.float32), [lang for lang in ("ar", "de", "en") for _ in range(n)]


def probe(vectors: Float32, told: list[str]) -> float:
    """Squared error of the best linear probe for one-hot languages, on the very rows it is fitted on.

    That of always saying 1/3 is (2/3)^2 / 3 + (1/3)^2 * 2/3 = 2/9. Directions in which nothing is
    left but the rounding of float32 are not looked into.
    """
    labels = np.array([[lang == known for known in ("ar", "de", "en")] for lang in told], dtype=np.float64)
    given = np.hstack([vectors, np.ones((len(vectors), 1))])
    weights = np.linalg.lstsq(given, labels, rcond=1e-5)[0]
    return float(np.mean((given @ weights - labels) ** 2))


class TestCentring:
    VECTORS = rows((1, 0), (3, 2), (0, 4), (2, 0))  # means (2, 1) of English and (1, 2) of German

    def test_four_vectors_by_hand(self) -> None:
        fitted = fit_centring(self.VECTORS, LANGUAGES, unit=False)
        np.testing.assert_array_equal(fitted.means["en"], [2, 1])
        np.testing.assert_array_equal(fitted.means["de"], [1, 2])
        given = rows((2, 1), (5, 5), (1, 5))
        moved = fitted.apply(given, ["de", "en", "de"])
        np.testing.assert_array_equal(moved, rows((1, -1), (3, 4), (0, 3)))
        np.testing.assert_array_equal(given, rows((2, 1), (5, 5), (1, 5)))
        assert moved.dtype == np.float32

    def test_unit_length_and_nothing_left(self) -> None:
        fitted = fit_centring(self.VECTORS, LANGUAGES, unit=True)
        moved = fitted.apply(rows((5, 5), (2, 1)), ["en", "en"])
        np.testing.assert_allclose(moved, rows((0.6, 0.8), (0, 0)), rtol=1e-6)  # (3, 4) is 5 long

    def test_a_language_without_a_mean(self) -> None:
        fitted = fit_centring(self.VECTORS, LANGUAGES, unit=True)
        with pytest.raises(UsageError, match=r"no mean of 'fi' was fitted.*known: de, en"):
            fitted.apply(self.VECTORS, ["en", "en", "fi", "de"])


@pytest.fixture(scope="module")
def fitted() -> Erasure:
    return fit_erasure(*spoken(400), unit=False)


class TestErasure:
    def test_it_is_the_map_of_the_library(self, fitted: Erasure) -> None:
        vectors, told = spoken(400)
        concept = torch.tensor(
            [[lang == k for k in ("ar", "de", "en")] for lang in told], dtype=torch.float64
        )
        theirs = LeaceEraser.fit(torch.from_numpy(vectors).double(), concept)
        given = np.random.default_rng(1).normal(size=(5, 12)).astype(np.float32)
        expected = theirs(torch.from_numpy(given).double()).numpy()
        np.testing.assert_allclose(fitted.apply(given, [""] * 5), expected, atol=1e-5)

    def test_no_linear_probe_tells_languages_apart(self, fitted: Erasure) -> None:
        vectors, told = spoken(400)
        assert probe(vectors, told) < 0.1
        erased = fitted.apply(vectors, told)
        assert probe(erased, told) == pytest.approx(2 / 9, rel=1e-4)
        means = [erased[np.array(told) == lang].mean(axis=0) for lang in ("ar", "de", "en")]
        np.testing.assert_allclose(means[1:], [means[0]] * 2, atol=1e-4)
        np.testing.assert_allclose(erased.mean(axis=0), vectors.mean(axis=0), atol=1e-4)

    def test_what_texts_say_stays(self, fitted: Erasure) -> None:
        """The two directions in which three languages differ are gone, the other ten are not."""
        moved = np.linalg.matrix_rank(np.eye(12) - fitted.left @ fitted.right, tol=1e-4)
        assert moved == 10

    def test_unit_length(self) -> None:
        vectors, told = spoken(50)
        moved = fit("erase", vectors, told, unit=True).apply(vectors, told)
        np.testing.assert_allclose(np.linalg.norm(moved, axis=1), 1, rtol=1e-5)

    def test_without_the_library(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "concept_erasure", None)
        with pytest.raises(MissingExtraError, match=r"babelweave\[erase\]"):
            check_erasure()


@pytest.mark.parametrize("kind", ["centre", "erase"])
def test_one_language_is_no_language(kind: str) -> None:
    with pytest.raises(DataError, match="fitted on 1 language, en; two are needed"):
        fit(kind, rows((1, 0), (0, 1)), ["en", "en"], unit=True)  # type: ignore[arg-type]
    assert isinstance(fit("centre", rows((1, 0), (0, 1)), ["en", "de"], unit=True), Centring)
