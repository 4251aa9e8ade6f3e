"""What every adversary of the registry promises."""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from babelweave import registry
from babelweave.protocols import Adversary
from babelweave.train.adversaries.spec import open_adversary
from babelweave.train.adversaries.surface import Generated, Surface
from babelweave.train.augmented import Slots
from babelweave.weave.fusers.spec import open_fuser
from tiny_adversaries import model, surface_of, table

NAMES = registry.names("adversary")


@pytest.fixture(params=NAMES)
def adversary(request: pytest.FixtureRequest) -> Any:
    return open_adversary(request.param, {})


@contextlib.contextmanager
def batch(adversary: Any, dropout: float = 0.2) -> Iterator[tuple[Any, Surface]]:
    """A model and its surface with everything an adversary may ask for."""
    network = model(table(), bent=True, dropout=dropout)
    torch.manual_seed(3)
    with surface_of(network) as (shown, _):
        rng = torch.Generator().manual_seed(1)
        generated = torch.randn(6, 3, 4, generator=rng, dtype=torch.float64).requires_grad_()
        fuser = open_fuser("mean", alpha=0.3)
        languages = torch.tensor([0, 1, 1])

        def weave(plain: Any, vectors: Any, counts: Any) -> Any:
            return list(
                fuser.fuse(torch.cat(list(plain)), vectors, counts, ["ar", "de", "de"])[:, 0].chunk(2)
            )

        shown.generated = Generated(generated, Slots(languages, torch.ones(6, 3, dtype=torch.bool)), weave)
        shown.passages = shown.weave(shown.plain)
        shown.variants = (1.3 * shown.questions + 0.1)[:, None]
        if hasattr(adversary, "learns"):
            shown.learned = torch.nn.Parameter(
                0.1 * torch.ones(adversary.learns(4, 2), dtype=torch.float64).cumsum(0)
            )
        yield network, shown


def test_it_is_one_and_says_what_decides_it(adversary: Any) -> None:
    assert isinstance(adversary, Adversary)
    settings = dict(adversary.settings)
    assert settings["name"] == adversary.name
    again = open_adversary(settings.pop("name"), json.loads(json.dumps(settings)))
    assert again == adversary


def test_its_loss_is_a_finite_scalar_whose_gradient_reaches_the_encoder(adversary: Any) -> None:
    with batch(adversary) as (network, shown):
        loss = adversary.loss(shown)
        assert loss.shape == ()
        assert torch.isfinite(loss)
        loss.backward()
    gradient = network[0].auto_model.words.weight.grad
    assert torch.isfinite(gradient).all()
    assert gradient.abs().sum() > 0


def test_it_fills_no_gradient_by_itself(adversary: Any) -> None:
    """Searches take gradients; none may be left for the optimiser."""
    with batch(adversary) as (network, shown):
        adversary.loss(shown)
        assert all(parameter.grad is None for parameter in network.parameters())
        assert shown.learned is None or shown.learned.grad is None


def test_the_clean_loss_can_still_be_differentiated(adversary: Any) -> None:
    with batch(adversary) as (network, shown):
        clean = shown.contrast(shown.questions, shown.passages)
        (clean + adversary.loss(shown)).backward()
    with batch(adversary) as (alone, shown):
        shown.contrast(shown.questions, shown.passages).backward()
        expected = alone[0].auto_model.words.weight.grad
    with batch(adversary) as (other, shown):
        adversary.loss(shown).backward()
        expected = expected + other[0].auto_model.words.weight.grad
    torch.testing.assert_close(network[0].auto_model.words.weight.grad, expected)


def test_the_same_generator_gives_the_same_loss_and_global_states_stay(adversary: Any) -> None:
    found = []
    for _ in range(2):
        with batch(adversary) as (_, shown):
            states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
            found.append(adversary.loss(shown).detach())
            assert torch.equal(torch.get_rng_state(), states[0])
            assert (np.random.get_state()[1] == states[1]).all()  # noqa: NPY002
            assert random.getstate() == states[2]
    assert torch.equal(*found)


@pytest.mark.parametrize("name", [name for name in NAMES if "epsilon" in open_adversary(name, {}).settings])
def test_a_vanishing_epsilon_is_the_clean_loss(name: str) -> None:
    """Or a divergence of 0."""
    adversary = open_adversary(name, {"epsilon": 1e-9})
    with batch(adversary) as (_, shown):
        clean = shown.contrast(shown.questions, shown.passages).item()
        found = adversary.loss(shown).item()
    assert found == pytest.approx(0.0 if name in ("vat", "smart") else clean, abs=1e-7)


class TestTheTest:
    """A wrong adversary is noticed."""

    def test_one_that_moves_the_global_state(self) -> None:
        class Noisy:
            name = "noisy"
            settings = {"name": "noisy"}  # noqa: RUF012

            def loss(self, shown: Any) -> Any:
                noise = 0.1 * torch.randn_like(shown.questions)
                return shown.contrast(shown.questions + noise, shown.passages)

        with pytest.raises(AssertionError):
            test_the_same_generator_gives_the_same_loss_and_global_states_stay(Noisy())

    def test_one_whose_gradient_stays_behind(self) -> None:
        class Detached:
            name = "detached"
            settings = {"name": "detached"}  # noqa: RUF012

            def loss(self, shown: Any) -> Any:
                return shown.contrast(
                    shown.questions.detach().requires_grad_(), [p.detach() for p in shown.passages]
                )

        with pytest.raises((AssertionError, TypeError, AttributeError)):
            test_its_loss_is_a_finite_scalar_whose_gradient_reaches_the_encoder(Detached())
