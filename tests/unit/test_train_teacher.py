"""The loss against a teacher's vectors, by hand, and the store they are kept in."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from babelweave.errors import UsageError
from babelweave.train.teacher import NO_TWIN, TeacherLoss, teach
from vector_cases import LetterEncoder

TARGETS = torch.tensor([[2.0, 0.0], [0.0, 1.0], [3.0, 4.0]])


class Given(nn.Module):
    """A student whose vectors are its parameters."""

    def __init__(self, vectors: list[list[float]]) -> None:
        super().__init__()
        self.vectors = nn.Parameter(torch.tensor(vectors))

    def forward(self, features: dict[str, Any]) -> dict[str, torch.Tensor]:
        return {"sentence_embedding": self.vectors}


def loss(student: nn.Module, *, n_candidates: int = 0, mse: float = 1.0, scores: float = 1.0) -> TeacherLoss:
    return TeacherLoss(
        student, TARGETS, mse_weight=mse, score_weight=scores, scale=2.0, n_candidates=n_candidates
    )


def test_both_terms_by_hand() -> None:
    """Student (0, 3) for target 0 = (1, 0) with twin 1 = (0, 1), scale 2."""
    found = loss(Given([[0.0, 3.0]]))([{}], torch.tensor([[0, 1]]))
    assert found["mse"].item() == pytest.approx(2.0)
    wanted = math.exp(2) / (math.exp(2) + 1)  # the teacher's share of the target
    right = -math.log(1 / (math.exp(2) + 1))  # the student scores it 0, the twin 2
    wrong = -math.log(math.exp(2) / (math.exp(2) + 1))
    assert found["scores"].item() == pytest.approx(wanted * right + (1 - wanted) * wrong)


def test_a_student_at_its_target_has_only_the_teachers_entropy() -> None:
    at = loss(Given([[5.0, 0.0], [0.0, 0.1]]))([{}], torch.tensor([[0, NO_TWIN], [1, NO_TWIN]]))
    p = math.exp(2) / (math.exp(2) + 1)
    assert at["mse"].item() == pytest.approx(0.0, abs=1e-6)
    assert at["scores"].item() == pytest.approx(-(p * math.log(p) + (1 - p) * math.log(1 - p)))


def test_one_text_twice_in_a_batch_is_one_candidate() -> None:
    once = loss(Given([[1.0, 2.0]]))([{}], torch.tensor([[0, 1]]))
    twice = loss(Given([[1.0, 2.0]] * 2))([{}], torch.tensor([[0, 1], [0, 1]]))
    assert twice["scores"].item() == pytest.approx(once["scores"].item())


def test_weights_and_descent() -> None:
    student = Given([[0.3, 1.0]])
    labels = torch.tensor([[0, NO_TWIN]])
    start = loss(student, n_candidates=3, mse=5.0)([{}], labels)
    plain = loss(student, n_candidates=3)([{}], labels)
    assert start["mse"].item() == pytest.approx(5 * plain["mse"].item())
    sum(start.values()).backward()
    with torch.no_grad():
        student.vectors -= 0.1 * student.vectors.grad
    after = loss(student, n_candidates=3, mse=5.0)([{}], labels)
    assert after["mse"].item() < start["mse"].item()


def test_candidates_are_drawn_from_the_global_generator() -> None:
    student, labels = Given([[0.3, 1.0]]), torch.tensor([[0, NO_TWIN]])
    with torch.random.fork_rng():
        torch.manual_seed(1)
        first = loss(student, n_candidates=1)([{}], labels)["scores"].item()
        torch.manual_seed(1)
        assert loss(student, n_candidates=1)([{}], labels)["scores"].item() == first


def test_vectors_are_kept_and_not_mixed_up(tmp_path: Path) -> None:
    texts = ["one", "two", "three"]
    teacher = LetterEncoder()
    store = teach(texts, teacher, tmp_path / "teacher")
    assert store.rows([0, 1, 2]) == pytest.approx(teacher.encode(texts, "passage").vectors)
    again = teach(texts, teacher, tmp_path / "teacher")
    assert again.manifest == store.manifest
    with pytest.raises(UsageError, match="teacher"):
        teach(["other", "texts", "three"], teacher, tmp_path / "teacher")
