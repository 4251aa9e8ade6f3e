"""Self-teaching: a question and its variants rank the passages of the batch alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from babelweave import registry
from babelweave.errors import UsageError, nearest
from babelweave.shift.spec import check_perturbation, open_perturbation
from babelweave.train.adversaries.steps import check_range, divergence
from babelweave.train.adversaries.surface import Surface
from babelweave.train.augmented import GENERATED, Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Consistency:
    """(1 - back) KL(P(q) || P(q')) + back KL(P'(q) || P'(q')), the clean side a constant; a mean over the
    variants q' of each question.

    P is the softmax of a question over the passages of the batch, P' that of each positive over the questions
    of the batch, with all questions replaced by variants.

    Source: back 0 is Self-Teaching (Zhuang and Zuccon 2022, arXiv 2204.00716), beside the contrastive loss at
    weight 1. back 0.2 is that of DST (Tasawong et al. 2023, arXiv 2306.10348), whose
    contrast goes both ways too (`loss.symmetric`), half of the loss each, with 40 variants of a question.

    Args:
        variants: where they come from: "generated", or the SPEC of a perturbation, such as "transpose" or
            "code_switch?to=de,es". Keyboard slips are the nearest to Self-Teaching's; questions in
            languages it does not claim are their own variants.
        n: variants of a question, from 1.
        back: part of the direction from passages to questions, from 0 to 1.
        severity: of the perturbation, from 1 to 5. Ours.
    Raises:
        UsageError: an option out of range, or unknown variants.
    Cost: n passes of the encoder over the questions, forward and back.
    """

    variants: str = "keyboard"
    n: int = 1
    back: float = 0.0
    severity: int = 1
    name: ClassVar[str] = "consistency"

    def __post_init__(self) -> None:
        check_range(self.name, "n", self.n, 1, 1000)
        check_range(self.name, "back", self.back, 0, 1)
        check_range(self.name, "severity", self.severity, 1, 5)
        if self.variants != GENERATED:
            name, known = self.variants.partition("?")[0], registry.names("perturbation")
            if name not in known:
                raise UsageError(
                    f"adversary {self.name}: no variants {name!r}; {nearest(name, [GENERATED, *known])}"
                )
            check_perturbation(self.variants)

    @property
    def settings(self) -> Mapping[str, Any]:
        return {"name": self.name, **asdict(self)}

    def source(self) -> Source:
        """What makes the variants.

        Raises:
            UsageError, DataError, MissingExtraError: as `open_perturbation`.
        """
        made = None if self.variants == GENERATED else open_perturbation(self.variants)
        return Source(made, self.n, self.severity)

    def loss(self, surface: Surface) -> Tensor:
        assert surface.variants is not None
        parts = [(False, 1 - self.back), (True, self.back)]
        losses = []
        for back, part in parts:
            if part:
                clean = surface.clean_scores(back=back)
                losses += [
                    part * divergence(clean, surface.scores(variant, surface.passages, back=back))
                    for variant in surface.variants.unbind(dim=1)
                ]
        return torch.stack(losses).sum() / self.n
