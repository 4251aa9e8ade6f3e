"""Fusers: numbers worked by hand, edge cases, refusals."""

from __future__ import annotations

import numpy as np
import pytest

from babelweave.errors import UsageError
from babelweave.weave.fusers.mean import MeanFuser, alpha_mean
from babelweave.weave.fusers.spec import idle_weights, open_fuser, parse_weights
from babelweave.weave.fusers.sum import SumFuser

PASSAGES = np.array([[1, 0], [0, 2]], np.float32)
GENERATED = np.array([[[0, 4], [4, 0], [8, 8]], [[9, 9], [9, 9], [9, 9]]], np.float32)
MASK = np.array([[True, True, False], [False, False, False]])
LANGUAGES = ("ar", "de", "de")


def test_sum_by_hand() -> None:
    woven = SumFuser(alpha=0.25).fuse(PASSAGES, GENERATED, MASK, LANGUAGES)
    assert woven.tolist() == [[[1.75, 1.0]], [[0.0, 1.5]]]


def test_mean_by_hand_leaves_a_passage_without_queries_alone() -> None:
    woven = MeanFuser(alpha=0.25).fuse(PASSAGES, GENERATED, MASK, LANGUAGES)
    assert woven.tolist() == [[[1.25, 0.5]], [[0.0, 2.0]]]


def test_language_weights_by_hand() -> None:
    weights = {"arb": 3}
    assert SumFuser(alpha=0.25, language_weights=weights).fuse(PASSAGES, GENERATED, MASK, LANGUAGES)[
        0
    ].tolist() == [[1.75, 3.0]]
    assert MeanFuser(alpha=0.25, language_weights=weights).fuse(PASSAGES, GENERATED, MASK, LANGUAGES)[
        0
    ].tolist() == [[1.0, 0.75]]


def test_weights_of_zero_leave_a_mean_alone() -> None:
    fuser = MeanFuser(alpha=0.5, language_weights={"ar": 0, "de": 0})
    assert np.array_equal(fuser.fuse(PASSAGES, GENERATED, MASK, LANGUAGES)[:, 0], PASSAGES)


def test_normalise_gives_unit_rows_and_keeps_zero() -> None:
    woven = SumFuser(alpha=1.0, normalise=True).fuse(PASSAGES, GENERATED, MASK, LANGUAGES)[:, 0]
    np.testing.assert_allclose(woven, [[0.5**0.5, 0.5**0.5], [0, 0]], rtol=1e-6)


@pytest.mark.parametrize("alpha", [-0.1, 1.1, float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["sum", "mean"])
def test_alpha_out_of_range(name: str, alpha: float) -> None:
    with pytest.raises(UsageError, match="alpha"):
        open_fuser(name, alpha=alpha)


def test_bad_weights_and_names() -> None:
    with pytest.raises(UsageError, match="weight"):
        SumFuser(language_weights={"de": -1})
    with pytest.raises(UsageError, match="klingon"):
        MeanFuser(language_weights={"klingon": 1})
    with pytest.raises(UsageError, match="two of the codes name one language"):
        SumFuser(language_weights={"zh": 2, "zh_cn": 3})
    with pytest.raises(UsageError, match="'mean'"):
        open_fuser("means")
    with pytest.raises(UsageError, match="1 query"):
        alpha_mean(0.1, 0)


def test_weights_from_the_command_line() -> None:
    assert parse_weights("ar=2,de=0.5") == {"ar": 2.0, "de": 0.5}
    assert parse_weights(None) == {}
    for text in ("ar", "ar=x", "ar=1,ar=2"):
        with pytest.raises(UsageError, match="language weights"):
            parse_weights(text)


def test_weights_of_languages_that_are_not_woven_are_named() -> None:
    fuser = open_fuser("mean", language_weights={"fr": 2.0, "de": 0.5})
    assert idle_weights(fuser, ["de", "es"]).endswith(": fr")
    assert idle_weights(fuser, ["de", "fr"]) == ""
