"""The max fuser: clusters and rows worked by hand, and one row count for every passage."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from babelweave.errors import UsageError
from babelweave.weave.fusers.max import MaxFuser
from babelweave.weave.fusers.spec import is_linear, open_fuser, vectors_per_passage

PASSAGES = np.array([[1, 0], [0, 2]], np.float32)
LANGUAGES = ("ar", "ar", "de", "de")
# Two clusters: around (0, 8) and around (8, 0); the second passage has one query only.
GENERATED = np.array([[[0, 6], [8, 1], [0, 10], [8, -1]], [[4, 0], [9, 9], [9, 9], [9, 9]]], np.float32)
MASK = np.array([[True] * 4, [True, False, False, False]])


def test_clusters_by_hand() -> None:
    woven = MaxFuser(alpha=0.25, centroids=2).fuse(PASSAGES, GENERATED, MASK, LANGUAGES)
    assert woven.tolist() == [
        [[1, 0], [0.75, 2], [2.75, 0]],
        [[0, 2], [1, 1.5], [0, 2]],
    ], "the passage, then its clusters; where there is no second cluster, the passage again"


def test_languages_by_hand() -> None:
    woven = MaxFuser(alpha=0.25, by="language").fuse(PASSAGES, GENERATED, MASK, LANGUAGES)
    assert woven.tolist() == [
        [[1, 0], [1.75, 0.875], [1.75, 1.125]],
        [[0, 2], [1, 1.5], [0, 2]],
    ]


def test_a_language_of_weight_zero_is_left_out_and_others_weigh() -> None:
    fuser = MaxFuser(alpha=1.0, centroids=1, language_weights={"ar": 0})
    assert fuser.fuse(PASSAGES, GENERATED, MASK, LANGUAGES)[:, 1].tolist() == [[4, 4.5], [0, 2]]
    heavy = MaxFuser(alpha=1.0, centroids=1, language_weights={"ar": 3})
    assert heavy.fuse(PASSAGES, GENERATED, MASK, LANGUAGES)[0, 1].tolist() == [4, 3.75]


def test_every_row_at_unit_length() -> None:
    woven = MaxFuser(normalise=True).fuse(PASSAGES, GENERATED, MASK, LANGUAGES)
    np.testing.assert_allclose(np.linalg.norm(woven, axis=-1), 1, rtol=1e-6)


def test_as_many_centroids_as_queries_keep_the_queries() -> None:
    draw = np.random.default_rng(1)
    queries = draw.standard_normal((3, 5, 8), dtype=np.float32)
    woven = MaxFuser(alpha=1.0, centroids=5).fuse(
        np.zeros((3, 8), np.float32), queries, np.ones((3, 5), bool), ["de"] * 5
    )
    for kept, given in zip(woven[:, 1:], queries, strict=True):
        assert sorted(kept.tolist()) == sorted(given.tolist())


def test_two_clusters_are_as_tight_as_any_partition_of_separated_points() -> None:
    draw = np.random.default_rng(2)
    for _ in range(20):
        centres = draw.standard_normal((2, 6)) * 10
        points = (centres[draw.permutation([0, 0, 0, 1, 1, 1])] + draw.standard_normal((6, 6))).astype("f4")
        rows = MaxFuser(alpha=1.0, centroids=2).fuse(
            np.zeros((1, 6), np.float32), points[None], np.ones((1, 6), bool), ["de"] * 6
        )[0, 1:]
        tight = min(
            sum(((part - part.mean(0)) ** 2).sum() for part in (points[list(c)], np.delete(points, c, 0)))
            for size in (1, 2, 3)
            for c in itertools.combinations(range(6), size)
        )
        found = ((points[:, None] - rows[None]) ** 2).sum(-1).min(1).sum()
        assert found == pytest.approx(tight, rel=1e-4)


def test_repeated_queries_are_one_point_in_numpy_and_torch() -> None:
    query = np.random.default_rng(0).standard_normal((1, 1, 7), dtype=np.float32)
    queries = np.concatenate([query, query, query], axis=1)
    passage = np.ones((1, 7), np.float32)
    mask = np.ones((1, 3), bool)
    woven = MaxFuser(alpha=1.0).fuse(passage, queries, mask, ["de"] * 3)
    np.testing.assert_allclose(woven[0, 1], query[0, 0], rtol=1e-6)
    assert np.array_equal(woven[0, 2:], np.ones((2, 7)))
    tensors = [torch.from_numpy(a) for a in (passage, queries, mask)]
    np.testing.assert_allclose(MaxFuser(alpha=1.0).fuse(*tensors, ["de"] * 3), woven, rtol=1e-6)


def test_rows_of_a_passage_do_not_depend_on_its_queries() -> None:
    assert vectors_per_passage(open_fuser("max?centroids=4"), ["de", "es"]) == 5
    assert vectors_per_passage(open_fuser("max?by=language"), ["de", "es"]) == 3
    assert vectors_per_passage(open_fuser("mean"), []) == 1
    assert [is_linear(name) for name in ("mean", "sum", "max")] == [True, True, False]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("max?centroid=3", "did you mean 'centroids'"),
        ("max?centroids=three", "not a whole number"),
        ("max?centroids=0", "at least 1"),
        ("max?by=cluter", "did you mean 'cluster'"),
        ("max?alpha=0.3", "given by --alpha"),
        ("mean?centroids=3", "no option 'centroids'"),
        ("mx", "did you mean 'max'"),
    ],
)
def test_specs_that_are_refused(spec: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        open_fuser(spec)
