"""What every `Fuser` promises, over the registry, with numpy and torch."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from babelweave.protocols import Fuser
from babelweave.registry import names
from babelweave.weave.fusers.arrays import check_alpha
from babelweave.weave.fusers.spec import open_fuser, vectors_per_passage

LANGUAGES = ("ar", "ar", "de", "de", "de")


def arrays(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    passages = draw.standard_normal((6, 4), dtype=np.float32)
    generated = draw.standard_normal((6, 5, 4), dtype=np.float32)
    mask = draw.random((6, 5)) < 0.7
    mask[0] = False
    return passages, generated, mask


def check(make: Callable[..., Fuser]) -> None:
    """The whole contract; raises AssertionError where it is broken."""
    passages, generated, mask = arrays()
    for options in ({}, {"normalise": True}, {"language_weights": {"ar": 3.0, "de": 0.5}}):
        fuser = make(**options)
        assert isinstance(fuser, Fuser)
        assert json.loads(json.dumps(dict(fuser.settings)))["name"] == fuser.name
        before = [a.copy() for a in (passages, generated, mask)]
        woven = fuser.fuse(passages, generated, mask, LANGUAGES)
        assert all(np.array_equal(a, b) for a, b in zip(before, (passages, generated, mask), strict=True))
        assert woven.dtype == np.float32
        assert woven.ndim == 3
        assert woven.shape[::2] == passages.shape
        assert woven.shape[1] == vectors_per_passage(fuser, LANGUAGES), "v is the same for every passage"
        assert np.isfinite(woven).all()

        hidden = np.where(mask[..., None], generated, np.float32("nan"))
        assert np.array_equal(fuser.fuse(passages, hidden, mask, LANGUAGES), woven), (
            "masked rows must not count"
        )
        assert np.array_equal(fuser.fuse(passages[::-1], generated[::-1], mask[::-1], LANGUAGES), woven[::-1])

        tensors = [torch.from_numpy(a) for a in (passages, generated, mask)]
        np.testing.assert_allclose(fuser.fuse(*tensors, LANGUAGES).numpy(), woven, rtol=1e-5, atol=1e-6)
        half = fuser.fuse(passages.astype(np.float16), generated.astype(np.float16), mask, LANGUAGES)
        assert half.dtype == np.float32, "half precision must not accumulate"

        doubles = [t.double().requires_grad_() for t in tensors[:2]]
        assert torch.autograd.gradcheck(partial(_fuse, fuser, tensors[2]), doubles, fast_mode=True), (
            "gradients must flow"
        )

    for none in (generated[:, :0], generated):
        empty = make(alpha=0.0).fuse(
            passages, none, np.zeros(none.shape[:2], bool), LANGUAGES[: none.shape[1]]
        )
        assert np.array_equal(empty, passages[:, None].repeat(empty.shape[1], axis=1))
    plain = make(alpha=0.0).fuse(passages, generated, mask, LANGUAGES)
    assert np.array_equal(plain, passages[:, None].repeat(plain.shape[1], axis=1))
    one_by_one = [
        make().fuse(*(a[i : i + 1] for a in (passages, generated, mask)), LANGUAGES)
        for i in range(len(passages))
    ]
    np.testing.assert_allclose(
        np.concatenate(one_by_one), make().fuse(passages, generated, mask, LANGUAGES), rtol=1e-5, atol=1e-6
    )


def _fuse(fuser: Fuser, mask: Any, passages: Any, generated: Any) -> Any:
    return fuser.fuse(passages, generated, mask, LANGUAGES)


@pytest.mark.parametrize("spec", [*names("fuser"), "max?centroids=2", "max?centroids=9", "max?by=language"])
def test_contract(spec: str) -> None:
    check(lambda **options: open_fuser(spec, **options))


class IgnoresMask:
    """Wrong on purpose."""

    name = "wrong"

    def __init__(self, alpha: float = 0.1, **_: Any) -> None:
        self.alpha = check_alpha(alpha)

    @property
    def settings(self) -> dict[str, Any]:
        return {"name": self.name}

    def fuse(self, passages: Any, generated: Any, mask: Any, languages: Sequence[str]) -> Any:
        return ((1 - self.alpha) * passages + self.alpha * generated.sum(1))[:, None]


def test_the_suite_can_fail() -> None:
    with pytest.raises(AssertionError, match="masked rows"):
        check(IgnoresMask)
