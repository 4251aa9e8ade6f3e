"""Self-teaching: a question and its variants rank the passages of the batch alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor

from babelweave.train.adversaries.steps import check_range, divergence
from babelweave.train.adversaries.surface import Surface
from babelweave.train.variants import (
    GENERATED,
    Variant,
    change_characters,
    check_source,
    code_switching,
    registered,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Consistency:
    """(1 - back) KL(P(q) || P(q')) + back KL(P'(q) || P'(q')), the clean side a constant; a mean over the
    variants q' of each question.

    P is the softmax of a question over the passages of the batch, P' that of each positive over the questions
    of the batch, with all questions replaced by variants.

    Source: back 0 is Self-Teaching (Zhuang and Zuccon 2022, arXiv 2204.00716), beside the contrastive loss at
    weight 1. back 0.2 is that of DST (Tasawong et al. 2023, doi:10.18653/v1/2023.acl-short.95), whose
    contrast goes both ways too (`loss.symmetric`), half of the loss each, with 40 variants of a question.

    Args:
        variants: where they come from: "characters", "code_switch", "generated", or a SPEC of a
            registered perturbation.
        n: variants of a question, from 1.
        back: part of the direction from passages to questions, from 0 to 1.
        p: of a word to be changed, for characters and code switching, above 0 to 1. Ours.
        severity: of a registered perturbation, from 1 to 5.
        languages: that code switching takes words from.
        lexicon: its file; the packaged or found one by default.
    Raises:
        UsageError: an option out of range, or unknown variants.
    Cost: n passes of the encoder over the questions, forward and back.
    """

    variants: str = "characters"
    n: int = 1
    back: float = 0.0
    p: float = 0.2
    severity: int = 1
    languages: tuple[str, ...] = ()
    lexicon: str | None = None
    name: ClassVar[str] = "consistency"

    def __post_init__(self) -> None:
        check_range(self.name, "n", self.n, 1, 1000)
        check_range(self.name, "back", self.back, 0, 1)
        check_range(self.name, "p", self.p, 0, 1, above=True)
        check_range(self.name, "severity", self.severity, 1, 5)
        check_source(self.variants, self.languages)

    @property
    def settings(self) -> Mapping[str, Any]:
        return {"name": self.name, **asdict(self)}

    def source(self) -> Variant | None:
        """What makes the variants; None for generated queries, which belong to passages.

        Raises:
            UsageError: a language the lexicon lacks, or an option the perturbation does not take.
            DataError: no lexicon can be read.
        """
        if self.variants == GENERATED:
            return None
        if self.variants == "characters":
            return partial(change_characters, p=self.p)
        if self.variants == "code_switch":
            return code_switching(self.lexicon, self.languages, p=self.p)
        return registered(self.variants, severity=self.severity)

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
