"""Adversaries of word embeddings against figures worked by hand: moves, masks, norms, and what they do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from sentence_transformers import SentenceTransformer
from torch import Tensor

import tiny_encoders
from babelweave.errors import UsageError
from babelweave.train.adversaries.embeddings import WordEmbeddings
from babelweave.train.adversaries.fgm import Fgm
from babelweave.train.adversaries.freelb import FreeLb
from babelweave.train.adversaries.pgd import Pgd
from babelweave.train.adversaries.smart import Smart
from babelweave.train.adversaries.vat import Vat
from babelweave.train.lora import add_lora
from babelweave.train.settings import Lora
from tiny_adversaries import CLS, NEGATIVES, PASSAGES, QUESTIONS, column, model, surface_of, table

LENGTHS = [3, 1, 2]
"""Tokens of each question that may move."""


def vectors(rows: Tensor, texts: dict[str, Tensor], moved: Tensor | None = None) -> Tensor:
    """The means of word embeddings, by hand."""
    words = rows[texts["input_ids"]] + (0 if moved is None else moved)
    mask = texts["attention_mask"]
    return (words * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)


def cross_entropy(questions: Tensor, passages: Tensor) -> Tensor:
    scores = questions @ passages.T
    return (scores.logsumexp(1) - scores.diagonal()).mean()


def mean_norm(rows: Tensor) -> float:
    """Of the six words of the questions."""
    return float(rows[[2, 3, 4, 5, 6, 7]].norm(dim=1).mean().detach())


def divergence(p: Tensor, q: Tensor) -> Tensor:
    """Mean over rows of SUM_j p_j log(p_j / q_j)."""
    return (p * (p / q).log()).sum(1).mean()


ADVERSARIES = [Fgm, Pgd, FreeLb, Vat, Smart]


def test_fgm_by_hand() -> None:
    rows = table()
    passages = torch.cat([vectors(rows, PASSAGES), vectors(rows, NEGATIVES)])
    questions = vectors(rows, QUESTIONS)
    probabilities = torch.softmax(questions @ passages.T, dim=1)
    along = (probabilities @ passages - passages[:3]) / 3  # dL/dq of the batch's mean
    moved = torch.zeros(3, 4, 4, dtype=torch.float64)
    for i, n in enumerate(LENGTHS):  # a mean: each of the n words has the same gradient, [CLS] stays
        moved[i, 1 : 1 + n] = 0.1 * mean_norm(rows) * along[i] / along[i].norm() / n**0.5
    with surface_of(model(rows)) as (surface, words):
        found = Fgm(epsilon=0.1).loss(surface)
    torch.testing.assert_close(words.moves[0][1][0], moved)
    torch.testing.assert_close(found, cross_entropy(vectors(rows, QUESTIONS, moved), passages))
    assert [role for role, _ in words.moves] == ["query"]  # passages are not encoded again


@pytest.mark.parametrize("kind", ["bert", "xlmr", "mt5"])
@pytest.mark.parametrize("side", ["query", "both"])
def test_the_loss_rises_by_what_the_gradient_predicts(tmp_path: Path, kind: str, side: Any) -> None:
    """L(e + d) - L(e) = SUM_i epsilon |e| |g_i| for a small epsilon, dropout on, in float64."""
    network = open_double(tmp_path, kind)
    texts = [features(network, tiny_encoders.SENTENCES[i : i + 3]) for i in (0, 3, 6)]
    with surface_of(network, questions=texts[0], passages=texts[1:], scale=3.0, similarity="cosine") as (
        surface,
        _,
    ):
        clean = surface.contrast(surface.questions, surface.passages)
        places = surface.places(side)
        assert len(places) == {"query": 1, "both": 2}[side]
        gradients = torch.autograd.grad(clean, [p.embeddings for p in places], retain_graph=True)
        rise, epsilon = 0.0, 1e-4 if kind == "mt5" else 1e-6  # T5's norms are float32 whatever the model
        for place, gradient in zip(places, gradients, strict=True):
            lengths = (gradient * place.free[..., None]).flatten(1).norm(dim=1)
            norms = place.embeddings.norm(dim=2)[place.free]
            rise += float((epsilon * norms.mean() * lengths.sum()).detach())
        found = Fgm(epsilon=epsilon, side=side).loss(surface)
    assert float((found - clean).detach()) == pytest.approx(rise, rel=5e-3 if kind == "mt5" else 1e-3)


def open_double(folder: Path, kind: str) -> Any:
    built = tiny_encoders.build(kind, folder / kind)
    return SentenceTransformer(str(built), device="cpu").double().train()


def features(network: Any, texts: list[str]) -> dict[str, Tensor]:
    found = network.preprocess(texts)
    return {name: found[name] for name in ("input_ids", "attention_mask")}


@pytest.mark.parametrize("kind", ["bert", "xlmr", "mt5"])
def test_an_encoding_repeated_is_the_same_to_the_bit(tmp_path: Path, kind: str) -> None:
    network = open_double(tmp_path, kind)
    texts = features(network, tiny_encoders.SENTENCES[:4])
    torch.manual_seed(5)
    with WordEmbeddings(network) as words:
        (clean,) = words.encode("query", [texts])
        (place,) = words.places
        noise = torch.randn_like(place.embeddings)
        state = torch.get_rng_state()
        (again,) = words.again("query", [torch.zeros_like(place.embeddings)])
        (moved,) = words.again("query", [noise])
        assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(clean, again)
    assert not torch.allclose(clean, moved, atol=1e-3)
    special = set(network.tokenizer.all_special_ids) - {network.tokenizer.unk_token_id}
    assert place.free.tolist() == [[i not in special for i in row] for row in texts["input_ids"].tolist()]
    assert not place.free[texts["attention_mask"] == 0].any()
    (plain,) = (network(dict(texts))["sentence_embedding"],)  # no hook is left
    assert plain.shape == clean.shape
    assert len(words.places) == 1


def test_frozen_embeddings_under_adapters_move_too(tmp_path: Path) -> None:
    network = open_double(tmp_path, "bert")
    network[0].model = add_lora(network[0].model, Lora(r=2, target_modules=("query",)))
    texts = [features(network, tiny_encoders.SENTENCES[i : i + 3]) for i in (0, 3)]
    with surface_of(network, questions=texts[0], passages=texts[1:]) as (surface, _):
        clean = surface.contrast(surface.questions, surface.passages)
        assert Fgm(epsilon=0.01).loss(surface) > clean


def test_a_model_without_word_embeddings_is_refused() -> None:
    from torch import nn

    with pytest.raises(UsageError, match="has no word embeddings that an adversary could move"):
        WordEmbeddings(nn.Sequential(nn.Linear(2, 2)))


@pytest.mark.parametrize("made", ADVERSARIES)
def test_nothing_moves_on_padding_and_special_tokens(made: Callable[..., Any]) -> None:
    with surface_of(model(table(), bent=True)) as (surface, words):
        made(epsilon=0.3, side="both").loss(surface)
    texts = {"query": [QUESTIONS], "passage": [PASSAGES, NEGATIVES]}
    assert {role for role, _ in words.moves} == {"query", "passage"}
    for role, moves in words.moves:
        listed = [row for t in texts[role] for row in t["input_ids"]]  # the columns of passages are one pass
        ids = torch.nn.utils.rnn.pad_sequence(listed, batch_first=True)
        (move,) = moves
        assert (move[ids <= CLS] == 0).all()
        assert (move[ids > CLS] != 0).all()


def test_pgd_steps_and_stays_in_its_ball() -> None:
    rows = table()
    radius = 0.1 * mean_norm(rows)
    with surface_of(model(rows, bent=True)) as (surface, words):
        losses = [float(Pgd(epsilon=0.1, step=0.4, n_steps=n).loss(surface).detach()) for n in (1, 2, 3, 6)]
        clean = float(surface.contrast(surface.questions, surface.passages).detach())
    assert losses == sorted(losses)
    assert clean < losses[0]
    norms = [move.flatten(1).norm(dim=1) for _, (move,) in words.moves]
    first, *_ = norms
    torch.testing.assert_close(first, torch.full((3,), 0.4 * radius, dtype=torch.float64))
    for found in norms:
        assert (found <= radius * (1 + 1e-12)).all()
    torch.testing.assert_close(norms[-1], torch.full((3,), radius, dtype=torch.float64))
    # one step as long as the ball is FGM
    with surface_of(model(rows, bent=True)) as (surface, _):
        one = Pgd(epsilon=0.1, step=1.0, n_steps=1).loss(surface)
        torch.testing.assert_close(one, Fgm(epsilon=0.1).loss(surface))


def test_freelb_averages_the_gradients_of_all_its_passes() -> None:
    rows = table()
    network = model(rows, bent=True, dropout=0.3)
    with surface_of(network) as (surface, words):
        found = FreeLb(epsilon=0.2, n_steps=3, step=0.5, initial=0.5).loss(surface)
        (gradient,) = torch.autograd.grad(found, network[0].auto_model.words.weight, retain_graph=True)
        moves = [move for _, (move,) in words.moves]
        assert len(moves) == 3
        parts = []
        for move in moves:
            loss = surface.contrast(*surface.encode("query", [move]))
            parts.append(torch.autograd.grad(loss, network[0].auto_model.words.weight, retain_graph=True)[0])
        torch.testing.assert_close(gradient, sum(parts) / 3)
        # the second move is the first, a step along its gradient, drawn back to the ball
        start = moves[0].clone().requires_grad_()
        questions, passages = surface.encode("query", [start])
        loss = surface.contrast(questions, [p.detach() for p in passages])
        (along,) = torch.autograd.grad(loss, start)
    radius = 0.2 * mean_norm(rows)
    free = (QUESTIONS["input_ids"] > CLS)[..., None]
    along = along * free / (along * free).flatten(1).norm(dim=1)[:, None, None]
    ahead = moves[0] + 0.5 * radius * along
    length = ahead.flatten(1).norm(dim=1)[:, None, None]
    torch.testing.assert_close(moves[1], ahead * (radius / length).clamp(max=1))
    for i, n in enumerate(LENGTHS):  # uniform in [-1, 1] times initial epsilon |e| / sqrt(T E)
        assert moves[0][i].abs().max() <= 0.5 * radius / (n * 4) ** 0.5
    for move in moves:
        assert (move.flatten(1).norm(dim=1) <= radius * (1 + 1e-12)).all()


def test_smart_is_a_symmetric_divergence_by_hand_in_its_box() -> None:
    rows = table()
    passages = torch.cat([vectors(rows, PASSAGES), vectors(rows, NEGATIVES)])
    with surface_of(model(rows)) as (surface, words):
        found = Smart(epsilon=0.2, step=0.5, n_steps=2).loss(surface)
    (_, (last,)) = words.moves[-1]
    bound = 0.2 * mean_norm(rows) / 4**0.5
    p = torch.softmax(vectors(rows, QUESTIONS) @ passages.T, dim=1)
    q = torch.softmax(vectors(rows, QUESTIONS, last) @ passages.T, dim=1)
    torch.testing.assert_close(found, divergence(p, q) + divergence(q, p))
    assert len(words.moves) == 3  # one start, one step, the end
    for _, (move,) in words.moves:
        assert move.abs().max() <= bound * (1 + 1e-12)
    step = words.moves[1][1][0] - words.moves[0][1][0]
    torch.testing.assert_close(
        step.flatten(1).abs().amax(1), torch.full((3,), 0.5 * bound, dtype=torch.float64)
    )


def test_smart_s_gradient_reaches_both_outputs() -> None:
    """d/dz of KL(P || Q) + KL(Q || P), first arguments constant: Q - P on one side, P - Q on the other."""
    from babelweave.train.adversaries.smart import symmetric_divergence

    one = torch.tensor([[0.3, 1.0, -0.5]], dtype=torch.float64, requires_grad=True)
    other = torch.tensor([[0.1, 0.4, 0.2]], dtype=torch.float64, requires_grad=True)
    symmetric_divergence(one, other).backward()
    p, q = one.detach().softmax(1), other.detach().softmax(1)
    torch.testing.assert_close(other.grad, q - p)
    torch.testing.assert_close(one.grad, p - q)


def test_vat_finds_the_direction_of_the_numeric_hessian() -> None:
    """One question of one word: the Hessian of KL at 0 by differences, its powers applied to the start."""
    rows = table(d=3, seed=3)
    question = column([5])
    passages = torch.cat(
        [vectors(rows, column([8])), vectors(rows, column([9, 2])), vectors(rows, column([3]))]
    )
    columns = [column([8]), column([9, 2]), column([3])]
    p = torch.softmax(vectors(rows, question) @ passages.T, dim=1)

    def kl(move: Tensor) -> Tensor:
        moved = torch.zeros(1, 2, 3, dtype=torch.float64)
        moved[0, 1] = move
        return divergence(p, torch.softmax(vectors(rows, question, moved) @ passages.T, dim=1))

    h, eye = 1e-4, torch.eye(3, dtype=torch.float64)
    hessian = torch.tensor(
        [
            [
                (kl(h * (a + b)) - kl(h * (a - b)) - kl(h * (b - a)) + kl(-h * (a + b))) / (4 * h * h)
                for b in eye
            ]
            for a in eye
        ],
        dtype=torch.float64,
    )
    start = torch.randn(1, 2, 3, generator=torch.Generator().manual_seed(7))[0, 1].double()
    norm = rows[5].norm()
    for iterations in (1, 2, 30):
        expected = start
        for _ in range(iterations):
            expected = hessian @ expected
            expected = expected / expected.norm()
        adversary = Vat(epsilon=0.1, xi=1e-4, iterations=iterations)
        with surface_of(model(rows), questions=question, passages=columns) as (surface, words):
            found = adversary.loss(surface)
        move = words.moves[-1][1][0][0, 1]
        torch.testing.assert_close(move, 0.1 * norm * expected, atol=1e-4, rtol=1e-3)
        torch.testing.assert_close(found, kl(move))
    top = torch.linalg.eigh(hessian).eigenvectors[:, -1]
    assert abs(float(move @ top)) == pytest.approx(float(0.1 * norm), rel=1e-4)
    assert found >= kl(0.1 * norm * start / start.norm())


def test_vat_needs_no_labels_and_holds_its_target_still() -> None:
    rows = table()
    with surface_of(model(rows, bent=True)) as (surface, words):
        found = Vat(epsilon=0.2).loss(surface)
        assert found > 0
        clean = surface.scores(surface.questions, surface.passages).detach().softmax(1)
        moved = surface.scores(*surface.encode("query", words.moves[-1][1]))
        torch.testing.assert_close(found, divergence(clean, moved.softmax(1)))
        turned = surface.passages[::-1]  # other positives: another contrast, the same divergence
        surface.passages = turned
        surface._left_out.clear()
        surface.generator.manual_seed(7)
        torch.testing.assert_close(Vat(epsilon=0.2).loss(surface), found)


@pytest.mark.parametrize("made", ADVERSARIES)
@pytest.mark.parametrize("epsilon", [0.0, -0.1, 1.1, float("nan")])
def test_epsilon_out_of_range(made: Callable[..., Any], epsilon: float) -> None:
    with pytest.raises(UsageError, match=r"epsilon is .*, expected above 0 to 1"):
        made(epsilon=epsilon)
    with pytest.raises(UsageError, match="no side 'passage'"):
        made(side="passage")
