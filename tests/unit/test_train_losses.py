"""The contrastive loss against figures worked by hand, sentence-transformers, and itself in other batches."""

from __future__ import annotations

import math
import os
import socket
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.multiprocessing as multiprocessing
from sentence_transformers.sentence_transformer.losses import (
    CachedMultipleNegativesRankingLoss,
    MultipleNegativesRankingLoss,
)
from sentence_transformers.util import cos_sim, dot_score
from torch import Tensor, nn

from babelweave.train.losses import NO_PASSAGE, ContrastiveLoss, answered, info_nce


class Table(nn.Sequential):
    """A model whose text is one token and whose vector is that token's row."""

    def __init__(self, rows: Tensor) -> None:
        super().__init__(nn.Embedding.from_pretrained(rows.clone(), freeze=False))

    @property
    def table(self) -> Any:
        return self[0]

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        return {**features, "sentence_embedding": self.table(features["input_ids"][:, 0])}


def columns(*tokens: list[int]) -> list[dict[str, Tensor]]:
    ids = [torch.tensor(column)[:, None] for column in tokens]
    return [{"input_ids": i, "attention_mask": torch.ones_like(i)} for i in ids]


def loss_of(rows: Tensor, features: list[dict[str, Tensor]], labels: Any = None, **settings: Any) -> Tensor:
    settings = {"scale": 1.0, "similarity": "dot", **settings}
    return ContrastiveLoss(Table(rows), **settings)(features, labels)


AXES = torch.tensor([[1.0, 0.0], [0.0, 1.0]])


def test_two_questions_by_hand() -> None:
    # each question scores 1 with its own passage and 0 with the other: log(1 + e^-1)
    assert loss_of(AXES, columns([0, 1], [0, 1])).item() == pytest.approx(math.log1p(math.exp(-1)))
    # scale 3: log(1 + e^-3)
    assert loss_of(AXES, columns([0, 1], [0, 1]), scale=3.0).item() == pytest.approx(math.log1p(math.exp(-3)))


def test_a_negative_of_one_row_is_a_candidate_of_all() -> None:
    # candidates: positives e1 e2, negatives e2 e2. Question e1: 1 0 0 0; question e2: 0 1 1 1.
    first = math.log(math.e + 3) - 1
    second = math.log(3 * math.e + 1) - 1
    assert loss_of(AXES, columns([0, 1], [0, 1], [1, 1])).item() == pytest.approx((first + second) / 2)


def test_cosine_knows_no_length() -> None:
    rows = torch.tensor([[5.0, 0.0], [0.0, 0.2]])
    found = loss_of(rows, columns([0, 1], [0, 1]), similarity="cosine", scale=2.0)
    assert found.item() == pytest.approx(math.log1p(math.exp(-2)))


def test_gradient_is_expected_minus_own() -> None:
    # dL/dq_i = scale / B * (sum_j P_ij p_j - p_i)
    torch.manual_seed(0)
    questions, passages = torch.randn(3, 4), torch.randn(6, 4)
    model = Table(torch.cat([questions, passages]))
    ContrastiveLoss(model, scale=2.0, similarity="dot")(columns([0, 1, 2], [3, 4, 5], [6, 7, 8])).backward()
    probabilities = torch.softmax(2.0 * questions @ passages.T, dim=1)
    expected = 2.0 / 3 * (probabilities @ passages - passages[:3])
    assert model.table.weight.grad is not None
    torch.testing.assert_close(model.table.weight.grad[:3], expected)


def test_the_same_passage_of_another_row_is_no_negative() -> None:
    # both questions have passage 7 as their positive: nothing is left to be wrong about
    same = torch.tensor([[7, 7], [7, 7]])
    rows = torch.tensor([[1.0, 0.0], [0.5, 1.0]])
    assert loss_of(rows, columns([0, 1], [0, 0]), same).item() == 0.0
    assert loss_of(rows, columns([0, 1], [0, 0]), same, mask_known=False).item() == pytest.approx(math.log(2))


def test_another_positive_of_the_question_is_no_negative() -> None:
    # question 0 is also answered by passage 20, the positive of question 1
    labels = torch.tensor([[10, 10, 20], [20, 20, NO_PASSAGE]])
    loss = ContrastiveLoss(Table(AXES), scale=1.0, similarity="dot")
    found = loss(columns([0, 1], [0, 1]), labels)
    assert found.item() == pytest.approx((0 + math.log1p(math.exp(-1))) / 2)
    assert (loss.n_masked, loss.n_candidates) == (1, 2)


def test_a_known_positive_among_anothers_negatives_is_left_out() -> None:
    # the negative of row 1 is passage 11, which answers question 0
    labels = torch.tensor([[10, 30, 10, 11], [20, 11, 20, NO_PASSAGE]])
    found = loss_of(AXES, columns([0, 1], [0, 1], [1, 0]), labels)
    first = math.log(math.e + 1 + 1) - 1  # own 1; 0 of the other positive; 0 of its negative; 11 masked
    second = math.log(math.e + 1 + math.e + 1) - 1
    assert found.item() == pytest.approx((first + second) / 2)


def test_symmetric_averages_both_directions_and_masks_questions_too() -> None:
    rows = torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 1.0], [0.0, 3.0]])
    features = columns([0, 1], [2, 3])  # scores: q0 2 0, q1 1 3
    forth = (math.log(math.exp(2) + 1) - 2 + math.log(math.exp(1) + math.exp(3)) - 3) / 2
    back = (math.log(math.exp(2) + math.exp(1)) - 2 + math.log(1 + math.exp(3)) - 3) / 2
    assert loss_of(rows, features, symmetric=True).item() == pytest.approx((forth + back) / 2)
    # passage 10 answers question 1 too: out as q1's candidate, and q1 out as passage 10's
    labels = torch.tensor([[10, 10, NO_PASSAGE], [20, 20, 10]])
    forth = (math.log(math.exp(2) + 1) - 2 + 0) / 2
    back = (0 + math.log(1 + math.exp(3)) - 3) / 2
    assert loss_of(rows, features, labels, symmetric=True).item() == pytest.approx((forth + back) / 2)


def test_margin_leaves_out_what_scores_far_above_the_positive() -> None:
    rows = torch.tensor([[1.0, 0.0], [0.5, 0.0], [0.7, 0.0], [0.55, 0.0]])
    features = columns([0, 0], [1, 1], [2, 3])  # positives 0.5; candidates 0.5 0.5 0.7 0.55
    left = [0.5, 0.5, 0.55]
    expected = math.log(sum(map(math.exp, left))) - 0.5
    assert loss_of(rows, features, mask_margin=0.1).item() == pytest.approx(expected)


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("similarity", ["dot", "cosine"])
def test_equals_sentence_transformers(similarity: str, symmetric: bool) -> None:
    torch.manual_seed(1)
    rows = torch.randn(40, 8)
    features = columns(*torch.randperm(40)[:32].reshape(4, 8).tolist())
    ours, theirs = Table(rows), Table(rows)
    found = ContrastiveLoss(ours, scale=5.0, similarity=similarity, symmetric=symmetric)(features)
    reference = MultipleNegativesRankingLoss(
        theirs,
        scale=5.0,
        similarity_fct=cos_sim if similarity == "cosine" else dot_score,
        directions=("query_to_doc", "doc_to_query") if symmetric else ("query_to_doc",),
        partition_mode="per_direction",
    )
    expected = reference(features, None)
    torch.testing.assert_close(found, expected)
    found.backward()
    expected.backward()
    torch.testing.assert_close(ours.table.weight.grad, theirs.table.weight.grad)


@pytest.mark.parametrize("mini_batch_size", [1, 3, 8, 100])
def test_gradcache_changes_memory_and_nothing_else(mini_batch_size: int) -> None:
    torch.manual_seed(2)
    rows = torch.randn(40, 8)
    features = columns(*torch.randperm(40)[:24].reshape(3, 8).tolist())
    passages = torch.arange(16).reshape(2, 8).T
    known = torch.stack([passages[:, 0], passages[:, 0].roll(1)], dim=1)
    labels = torch.cat([passages, known], dim=1)
    gradients, losses = [], []
    for size in (None, mini_batch_size):
        model = Table(rows)
        loss = ContrastiveLoss(
            model, scale=3.0, similarity="dot", symmetric=True, mask_margin=0.5, mini_batch_size=size
        )
        found = loss(features, labels)
        (2 * found).backward()  # a factor from outside, as of gradient accumulation, reaches every mini-batch
        gradients.append(model.table.weight.grad)
        losses.append(found.detach())
    torch.testing.assert_close(losses[1], losses[0])
    torch.testing.assert_close(gradients[1], gradients[0])


def test_gradcache_equals_that_of_sentence_transformers() -> None:
    torch.manual_seed(3)
    rows = torch.randn(30, 8)
    features = columns(*torch.randperm(30)[:24].reshape(3, 8).tolist())
    ours, theirs = Table(rows), Table(rows)
    found = ContrastiveLoss(ours, scale=20.0, similarity="cosine", mini_batch_size=3)(features)
    expected = CachedMultipleNegativesRankingLoss(theirs, mini_batch_size=3)(features, None)
    torch.testing.assert_close(found, expected)
    found.backward()
    expected.backward()
    torch.testing.assert_close(ours.table.weight.grad, theirs.table.weight.grad)


def test_answered_by_definition() -> None:
    generator = torch.Generator().manual_seed(4)
    known = torch.randint(-1, 9, (5, 3), generator=generator)
    passages = torch.randint(0, 9, (12,), generator=generator)
    expected = [[int(p) in row.tolist() for p in passages] for row in known]
    assert answered(known, passages).tolist() == expected


def test_a_masked_column_gets_no_gradient() -> None:
    scores = torch.tensor([[1.0, 2.0, 3.0]], requires_grad=True)
    info_nce(scores, torch.tensor([0]), torch.tensor([[False, True, False]])).sum().backward()
    assert scores.grad is not None
    assert scores.grad[0, 1] == 0
    assert scores.grad[0, 2] > 0


def _process(rank: int, port: int, out: Path) -> None:
    torch.set_num_threads(1)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.distributed.init_process_group("gloo", rank=rank, world_size=2)
    rows, features, labels = _shared_batch()
    half = slice(rank * 4, rank * 4 + 4)
    model = Table(rows)
    loss = ContrastiveLoss(model, scale=4.0, similarity="cosine", symmetric=True, gather=True)
    found = loss([{k: v[half] for k, v in column.items()} for column in features], labels[half])
    found.backward()
    torch.save({"loss": found.detach(), "grad": model.table.weight.grad}, out / f"{rank}.pt")
    torch.distributed.destroy_process_group()


def _shared_batch() -> tuple[Tensor, list[dict[str, Tensor]], Tensor]:
    generator = torch.Generator().manual_seed(5)
    rows = torch.randn(30, 8, generator=generator)
    features = columns(*torch.randperm(30, generator=generator)[:24].reshape(3, 8).tolist())
    passages = torch.arange(16).reshape(2, 8).T.contiguous()
    known = torch.stack([passages[:, 0], passages[:, 0].roll(3)], dim=1)  # answers across the two halves
    return rows, features, torch.cat([passages, known], dim=1)


def test_two_processes_equal_one_with_the_whole_batch(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    multiprocessing.start_processes(_process, (port, tmp_path), nprocs=2, start_method="fork")
    parts = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    rows, features, labels = _shared_batch()
    model = Table(rows)
    whole = ContrastiveLoss(model, scale=4.0, similarity="cosine", symmetric=True)(features, labels)
    whole.backward()
    torch.testing.assert_close((parts[0]["loss"] + parts[1]["loss"]) / 2, whole.detach())
    # DDP averages the gradients of its processes
    torch.testing.assert_close((parts[0]["grad"] + parts[1]["grad"]) / 2, model.table.weight.grad)
