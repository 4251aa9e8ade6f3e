"""The mixture of generated queries, or of languages, that hurts most."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor

from babelweave.errors import UsageError, nearest
from babelweave.train.adversaries.steps import check_range
from babelweave.train.adversaries.surface import Generated, Surface
from babelweave.train.losses import LEFT_OUT

Over = Literal["queries", "languages"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorstMixture:
    """max over mixtures w of L(q, woven(p, SUM_j w_j g_j)), w on the simplex.

    Over queries every passage has its own w; over languages one w is shared by the batch, and what a language
    has in a passage is shared evenly by its queries there. From the even mixture, `n_steps` of exponentiated
    gradient ascent, w_j <- w_j exp(rate h_j) / SUM, h the gradient of the loss at w over its largest
    component; of all mixtures passed, the even one too, the worst counts. Weights are constants: the encoder
    learns to place passages well whatever the mixture. The fuser keeps the number of queries, so a sum is as
    long as before.

    Source: exponentiated gradient over groups as in Sagawa et al. (2020), arXiv 1911.08731, algorithm 1 (rate
    eta_q), which keeps weights from step to step; here they begin anew with every batch, whose queries are
    others. Defaults are ours.

    Args:
        over: what is mixed.
        rate: of an ascent, above 0 to 100.
        n_steps: of ascent, from 1.
    Raises:
        UsageError: an option out of range.
    Cost: `n_steps` + 1 times the weaving and the product of vectors; no pass of the encoder.
    """

    over: Over = "queries"
    rate: float = 1.0
    n_steps: int = 3
    name: ClassVar[str] = "worst_mixture"
    weaves: ClassVar[bool] = True
    """Needs passages woven with generated queries."""

    def __post_init__(self) -> None:
        if self.over not in get_args(Over):
            raise UsageError(f"adversary {self.name}: over; {nearest(self.over, get_args(Over))}")
        check_range(self.name, "rate", self.rate, 0, 100, above=True)
        check_range(self.name, "n_steps", self.n_steps, 1, 100)

    @property
    def settings(self) -> Mapping[str, Any]:
        return {"name": self.name, **asdict(self)}

    def loss(self, surface: Surface) -> Tensor:
        return surface.contrast(surface.questions, surface.weave(surface.plain, self.counts(surface)))

    def counts(self, surface: Surface) -> Tensor:
        """float (N, g): the worst mixture found, times the number of queries of its passage."""
        generated = surface.generated
        assert generated is not None
        plain, questions = [p.detach() for p in surface.plain], surface.questions.detach()
        logits = self._even(generated)
        worst, most = generated.slots.present.to(questions), -torch.inf
        for k in range(self.n_steps + 1):
            weights = logits.softmax(dim=-1).requires_grad_()
            counts = _counts(weights, generated)
            loss = surface.contrast(questions, surface.weave(plain, counts, constant=True))
            if loss.item() > most:
                worst, most = counts.detach(), loss.item()
            if k == self.n_steps or not loss.requires_grad:  # at alpha 0 all mixtures are alike
                break
            (gradient,) = torch.autograd.grad(loss, weights)
            largest = gradient.abs().amax(dim=-1, keepdim=True).clamp(min=1e-30)
            logits = logits + self.rate * gradient / largest
        return worst

    def _even(self, generated: Generated) -> Tensor:
        """Logits of the even mixture: (N, g) over queries, (L,) over the languages of the slots."""
        if self.over == "languages":
            return torch.zeros(len(torch.unique(generated.slots.languages))).to(generated.vectors)
        return torch.zeros_like(generated.vectors[..., 0]).masked_fill(~generated.slots.present, LEFT_OUT)


def _counts(weights: Tensor, generated: Generated) -> Tensor:
    """Mixture weights, of slots (N, g) or languages (L,), to how many queries each slot stands for (N, g)."""
    present = generated.slots.present.to(weights)
    if weights.ndim == 1:
        place = torch.unique(generated.slots.languages, return_inverse=True)[1]  # (g,)
        same = (generated.slots.languages[:, None] == generated.slots.languages).to(weights)  # (g, g)
        weights = weights[place] / (present @ same).clamp(min=1)
    shares = weights * present
    return present.sum(1, keepdim=True) * shares / shares.sum(1, keepdim=True).clamp(min=1e-30)
