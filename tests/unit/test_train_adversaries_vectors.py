"""Adversaries of vectors against figures worked by hand: directions, mixtures, divergences, languages."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from babelweave.errors import UsageError
from babelweave.shift.spec import open_perturbation
from babelweave.train.adversaries.consistency import Consistency
from babelweave.train.adversaries.language_confusion import LanguageConfusion
from babelweave.train.adversaries.output_space import OutputSpace
from babelweave.train.adversaries.worst_mixture import WorstMixture
from tiny_adversaries import woven_surface

B, G, D, QUERIES = 3, 2, 4, 5


def batch(seed: int = 0) -> tuple[Tensor, list[Tensor], Tensor, Tensor]:
    """Questions, passages by column, generated queries, and which are there: few for some, none for one."""
    rng = torch.Generator().manual_seed(seed)
    drawn = [torch.randn(n, D, generator=rng, dtype=torch.float64) for n in (B, B, B, B * G * QUERIES)]
    present = torch.rand(B * G, QUERIES, generator=rng) < 0.7
    present[1] = False
    present[0] = True
    return (
        drawn[0].requires_grad_(),
        [drawn[1].requires_grad_(), drawn[2].requires_grad_()],
        drawn[3].reshape(B * G, QUERIES, D).requires_grad_(),
        present,
    )


LANGUAGES = [0, 0, 1, 1, 2]


def surface(seed: int = 0, **options: Any) -> Any:
    return woven_surface(*batch(seed), LANGUAGES, **options)


def softmax(scores: Any) -> Any:
    e = np.exp(scores - scores.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def cross_entropy(questions: Any, passages: Any) -> float:
    return float(-np.log(np.diag(softmax(questions @ passages.T))).mean())


@pytest.mark.parametrize("moves", ["passage", "query", "both"])
def test_output_space_by_the_formula(moves: Any) -> None:
    shown = surface(scale=2.0)
    q = shown.questions.detach().numpy()
    p = torch.cat(shown.passages).detach().numpy()
    right = np.eye(B, B * G)
    wrong = (softmax(2.0 * q @ p.T) - right) / B
    along_p, along_q = 2.0 * wrong.T @ q, 2.0 * wrong @ p
    length = 0.1 * np.linalg.norm(p, axis=1).mean()
    moved_p = p + length * along_p / np.linalg.norm(along_p, axis=1, keepdims=True)
    length = 0.1 * np.linalg.norm(q, axis=1).mean()
    moved_q = q + length * along_q / np.linalg.norm(along_q, axis=1, keepdims=True)
    expected = cross_entropy(2.0 * (q if moves == "passage" else moved_q), p if moves == "query" else moved_p)
    found = OutputSpace(epsilon=0.1, moves=moves).loss(shown)
    assert float(found.detach()) == pytest.approx(expected, rel=1e-12)
    assert found > shown.contrast(shown.questions, shown.passages)


def test_output_space_rises_by_what_the_gradient_predicts() -> None:
    shown = surface(similarity="cosine", scale=5.0, symmetric=True)
    clean = shown.contrast(shown.questions, shown.passages)
    gradients = torch.autograd.grad(clean, shown.passages, retain_graph=True)
    size = torch.cat(shown.passages).norm(dim=1).mean()
    rise = 1e-6 * size * torch.cat(gradients).norm(dim=1).sum()
    found = OutputSpace(epsilon=1e-6).loss(shown)
    assert (found - clean).item() == pytest.approx(rise.item(), rel=1e-4)
    found.backward()  # gradients reach the generated queries too
    assert shown.generated.vectors.grad.abs().sum() > 0


@pytest.mark.parametrize("fuser", ["mean", "sum"])
@pytest.mark.parametrize("over", ["queries", "languages"])
def test_the_worst_mixture_is_a_mixture_and_worse_than_the_even_one(over: Any, fuser: str) -> None:
    for seed in range(8):
        shown = surface(seed, fuser=fuser)
        adversary = WorstMixture(over=over, n_steps=4)
        counts = adversary.counts(shown)
        present = shown.generated.slots.present
        assert (counts >= 0).all()
        assert (counts[~present] == 0).all()
        torch.testing.assert_close(counts.sum(1), present.sum(1).double())
        even = shown.contrast(shown.questions, shown.passages)
        found = adversary.loss(shown)
        assert found >= even
        if over == "languages":  # one weight a language: the same ratios in passages that have all of them
            full = counts[present.all(1)] / present.sum(1)[present.all(1), None]
            torch.testing.assert_close(full, full[:1].expand_as(full))
            torch.testing.assert_close(full[:, 0], full[:, 1])


def test_the_worst_mixture_nears_the_worst_vertex() -> None:
    """One passage of two queries: the loss is convex in the mixture, so its maximum is one query alone."""
    questions, passages, generated, _ = batch(2)
    present = torch.zeros(B * G, QUERIES, dtype=torch.bool)
    present[0, :2] = True
    shown = woven_surface(questions, passages, generated, present, LANGUAGES)
    losses = []
    for one, other in ((2.0, 0.0), (0.0, 2.0)):
        counts = torch.zeros(B * G, QUERIES, dtype=torch.float64)
        counts[0, 0], counts[0, 1] = one, other
        losses.append(shown.contrast(questions, shown.weave(passages, counts)).item())
    found = WorstMixture(n_steps=30, rate=2.0).loss(shown)
    assert found.item() == pytest.approx(max(losses), rel=1e-6)


def test_the_first_ascent_by_hand() -> None:
    """w_j = exp(h_j / max |h|) / SUM, h the gradient at the even mixture."""
    shown = surface(3)
    present = shown.generated.slots.present
    n = present.sum(1, keepdim=True).double()
    weights = (present / n.clamp(min=1)).requires_grad_()
    loss = shown.contrast(shown.questions, shown.weave(shown.plain, weights * n))
    (h,) = torch.autograd.grad(loss, weights)
    h = h - (h * present).sum(1, keepdim=True) / n.clamp(min=1)  # along the simplex
    expected = torch.exp(h / h.abs().amax(1, keepdim=True).clamp(min=1e-30)) * present
    found = WorstMixture(n_steps=1).counts(shown) / n.clamp(min=1)
    # the ascent's own scale differs from this one's, the order of its weights does not
    for row in range(B * G):
        order = expected[row][present[row]].argsort().tolist()
        assert found[row][present[row]].argsort().tolist() == order


def test_consistency_by_hand() -> None:
    shown = surface()
    variants = torch.randn(B, 2, D, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    shown.variants = variants.requires_grad_()
    q, v = shown.questions.detach().numpy(), variants.detach().numpy()
    p = torch.cat(shown.passages).detach().numpy()

    def kl(one: Any, other: Any) -> float:
        return float((one * np.log(one / other)).sum(1).mean())

    forth = [kl(softmax(q @ p.T), softmax(v[:, k] @ p.T)) for k in range(2)]
    back = [kl(softmax(p[:B] @ q.T), softmax(p[:B] @ v[:, k].T)) for k in range(2)]
    for part in (0.0, 0.2, 1.0):
        expected = (1 - part) * np.mean(forth) + part * np.mean(back)
        found = Consistency(n=2, back=part).loss(shown)
        assert float(found.detach()) == pytest.approx(expected, rel=1e-12)
    # the clean side is a constant: no gradient to the questions, one to the variants
    gradients = torch.autograd.grad(found, [shown.questions, shown.variants], allow_unused=True)
    assert gradients[0] is None
    assert gradients[1] is not None


def test_what_the_loss_leaves_out_stays_out_of_divergences() -> None:
    shown = surface(mask_margin=0.0)  # whatever beats the positive is left out
    shown.variants = -shown.questions[:, None]
    left_out = shown.clean_scores() < -1e8
    assert left_out.any()
    found = Consistency().loss(shown)
    assert torch.isfinite(found)
    torch.testing.assert_close(shown.scores(-shown.questions, shown.passages) < -1e8, left_out)


def test_language_confusion_by_hand() -> None:
    shown = surface()
    shown.languages = torch.tensor([[0, 1, 1], [1, 1, 1], [0, 1, 0]])
    classifier = torch.randn(2, D, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    shown.learned = torch.nn.Parameter(3 * classifier)
    columns = [shown.questions, *shown.passages]
    x = torch.cat(columns).detach().numpy()
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    p = softmax(np.clip(x @ shown.learned.detach().numpy().T, -5, 5))
    languages = np.array([0, 1, 0, 1, 1, 1, 1, 1, 0])
    told = -np.log(p[np.arange(9), languages]).mean()
    confused = -np.log(p).mean(1).mean()
    found = LanguageConfusion().loss(shown)
    assert float(found.detach()) == pytest.approx(told + confused, rel=1e-12)
    found.backward()
    assert shown.learned.grad.abs().sum() > 0
    only = LanguageConfusion(vectors="query").loss(surface_with(shown))
    assert float(only.detach()) == pytest.approx(
        (-np.log(p[np.arange(3), languages[:3]]) - np.log(p[:3]).mean(1)).mean(), rel=1e-12
    )


def surface_with(shown: Any) -> Any:
    again = surface()
    again.languages, again.learned = shown.languages, shown.learned
    return again


def test_a_classifier_at_0_moves_no_vector() -> None:
    shown = surface()
    shown.learned = torch.nn.Parameter(torch.zeros(2, D, dtype=torch.float64))
    found = LanguageConfusion().loss(shown)
    gradients = torch.autograd.grad(found, [shown.questions, shown.learned])
    assert (gradients[0] == 0).all()
    assert gradients[1].abs().sum() > 0


def test_a_trained_classifier_is_confused() -> None:
    """Gradient steps on vectors and classifier: languages far apart at first cannot be told in the end."""
    vectors = torch.randn(40, D, generator=torch.Generator().manual_seed(1))
    languages = torch.arange(40) % 2
    vectors[:, 0] += 4.0 * languages - 2.0
    vectors.requires_grad_()
    classifier = torch.nn.Parameter(torch.zeros(2, D))
    optimizer = torch.optim.Adam([{"params": [vectors], "lr": 0.02}, {"params": [classifier], "lr": 0.2}])
    for _ in range(300):
        shown = woven_surface(vectors, [vectors.detach()], torch.zeros(40, 0, D), torch.zeros(40, 0) > 0, [])
        shown.learned, shown.languages = classifier, torch.stack([languages, languages], dim=1)
        optimizer.zero_grad()
        LanguageConfusion(vectors="query").loss(shown).backward()
        optimizer.step()
    unit = torch.nn.functional.normalize(vectors.detach(), dim=1)
    apart = (unit[languages == 0].mean(0) - unit[languages == 1].mean(0)).norm()
    assert apart < 0.5  # about 1.5 at first


class TestVariants:
    def test_perturbations_make_them(self) -> None:
        source = Consistency(variants="truncate?end=head", n=2, severity=3).source()
        assert (source.n, source.severity) == (2, 3)
        assert source.perturbation is not None
        own = open_perturbation("truncate?end=head")
        text = "Welche Stadt ist die Hauptstadt von Österreich?"
        assert source.perturbation.perturb(text, "de", 3, 1) == own.perturb(text, "de", 3, 1) != text

    def test_generated_queries_are_none(self) -> None:
        assert Consistency(variants="generated").source().perturbation is None

    @pytest.mark.parametrize(
        ("spec", "told"),
        [
            ("keybord", "did you mean 'keyboard'"),
            ("generate", "did you mean 'generated'"),
            ("truncate?ends=head", "did you mean 'end'"),
        ],
    )
    def test_sources_are_checked(self, spec: str, told: str) -> None:
        with pytest.raises(UsageError, match=told):
            Consistency(variants=spec)


def test_options_out_of_range() -> None:
    faults: list[Any] = [
        lambda: OutputSpace(epsilon=2.0),
        lambda: OutputSpace(moves="words"),  # type: ignore[arg-type]
        lambda: WorstMixture(over="passages"),  # type: ignore[arg-type]
        lambda: WorstMixture(rate=0.0),
        lambda: WorstMixture(n_steps=0),
        lambda: Consistency(back=1.5),
        lambda: Consistency(n=0),
        lambda: Consistency(severity=6),
        lambda: LanguageConfusion(vectors="passage"),  # type: ignore[arg-type]
    ]
    for fault in faults:
        with pytest.raises(UsageError, match="adversary"):
            fault()


def test_the_fuser_weaves_in_training_as_in_numpy() -> None:
    from babelweave.weave.fusers.spec import open_fuser

    for fuser, alpha in itertools.product(("mean", "sum"), (0.0, 0.3, 1.0)):
        questions, passages, generated, present = batch(5)
        shown = woven_surface(questions, passages, generated, present, LANGUAGES, fuser=fuser, alpha=alpha)
        plain = torch.cat(passages).detach().numpy()
        names = ["ar", "ar", "de", "de", "es"]
        woven = open_fuser(fuser, alpha=alpha).fuse(plain, generated.detach().numpy(), present.numpy(), names)
        np.testing.assert_allclose(torch.cat(shown.passages).detach().numpy(), woven[:, 0], rtol=1e-12)
        expected = cross_entropy(questions.detach().numpy(), woven[:, 0])
        found = shown.contrast(questions, shown.passages)
        assert found.item() == pytest.approx(expected, rel=1e-12)
