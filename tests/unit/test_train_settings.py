"""The shared sections of training recipes."""

from __future__ import annotations

import math
from typing import Any

import pytest
from pydantic import ValidationError
from torch import nn
from torch.utils.data import DataLoader
from transformers import Trainer, TrainingArguments

from babelweave.train.settings import Batches, Optimisation

BASE: dict[str, Any] = {"max_steps": 10, "batch_size": 4, "learning_rate": 1e-3}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"max_steps": None}, "give epochs or max_steps, one of them"),
        ({"epochs": 1.0}, "give epochs or max_steps, not both"),
        ({"scheduler": "constant", "warmup_steps": 2}, "has no warmup"),
        ({"scheduler": "constant_with_warmup"}, "needs warmup_steps or warmup_ratio"),
        ({"patience": 2}, "patience counts evaluations"),
        ({"warmup_steps": 11}, "more than 10 max_steps"),
        ({"optimizer": "adafactor", "adam_beta1": 0.5}, "adam_beta1 has no effect"),
        ({"learning_rates": {"(": 1.0}}, "not a regular expression"),
        ({"batch_size": 0}, "greater than 0"),
        ({"learning_rate": math.inf}, "finite"),
        ({"max_steps": -1}, "greater than or equal to 0"),
        ({"warmup_ratio": 1.0}, "less than 1"),
        ({"seed": 2**32}, "less than 4294967296"),
    ],
)
def test_optimisation_refuses(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Optimisation(**{**BASE, **changed})


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"single_probability": 0.4}, "no effect on languages"),
        ({"weights": {"a": 1.0}, "exponent": 0.5}, "weights or exponent"),
        ({"weights": {"a": 0.0, "b": 0.0}}, "nothing to train on"),
        ({"language_exponent": 1.5}, "less than or equal to 1"),
    ],
)
def test_batches_refuse(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Batches(**changed)


@pytest.mark.parametrize(
    ("epochs", "n_batches", "accumulation", "expected"),
    [(1.0, 10, 1, 10), (1.0, 10, 4, 3), (2.0, 10, 4, 6), (0.5, 7, 1, 4), (0.25, 10, 3, 1), (1.0, 1, 8, 1)],
)
def test_steps_are_counted_as_the_trainer_counts_them(
    epochs: float, n_batches: int, accumulation: int, expected: int
) -> None:
    """By hand, and by the trainer's own rule."""
    o = Optimisation(batch_size=4, learning_rate=0.0, epochs=epochs, gradient_accumulation=accumulation)
    assert o.n_steps(n_batches) == expected
    made = TrainingArguments(
        num_train_epochs=epochs, gradient_accumulation_steps=accumulation, report_to="none", use_cpu=True
    )
    trainer = Trainer(nn.Linear(1, 1), made, train_dataset=[0] * n_batches)
    assert trainer.set_initial_training_values(made, DataLoader([0] * n_batches))[-1] == expected


def test_steps_asked_for() -> None:
    assert Optimisation(**BASE).n_steps(3) == 10
