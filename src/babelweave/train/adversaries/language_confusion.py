"""Vectors that do not tell their language."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from babelweave.errors import UsageError, nearest
from babelweave.train.adversaries.surface import Surface

_CLAMP = 5.0
"""Logits are cut at +-5, as in the released code of MoDIR."""

Vectors = Literal["query", "both"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguageConfusion:
    """CE(1/L, C(x)) of the vectors x, C a constant, plus CE(language, C(x)) of the classifier, x constants.

    C is linear without bias, one row per language of the recipe's data, its logits cut at +-5. It is a
    parameter of the loss, learned by the run's optimiser beside the model, so a checkpoint holds it and its
    moments. It begins at 0, where it moves nothing.

    Source: MoDIR (Xin et al. 2022, arXiv 2110.07581), section 3 and the released code, where the weight of
    the confusion is 0.5 to 1 and halves every 10,000 steps, and the classifier's rate is 5 to 6 times the
    encoder's (here optimisation.learning_rates of `language_confusion`). There the classifier sees a queue of
    a thousand steps; here it sees the batch.

    Args:
        vectors: of the questions, or of woven passages too.
    Raises:
        UsageError: unknown vectors.
    Cost: a product with (D, L); no pass of the encoder.
    """

    vectors: Vectors = "both"
    name: ClassVar[str] = "language_confusion"

    def __post_init__(self) -> None:
        if self.vectors not in get_args(Vectors):
            raise UsageError(f"adversary {self.name}: vectors; {nearest(self.vectors, get_args(Vectors))}")

    @property
    def settings(self) -> Mapping[str, Any]:
        return {"name": self.name, **asdict(self)}

    def learns(self, dimension: int, n_languages: int) -> tuple[int, ...]:
        """The shape of what it learns: (L, D)."""
        return n_languages, dimension

    def loss(self, surface: Surface) -> Tensor:
        classifier = surface.learned
        assert classifier is not None
        columns = [surface.questions, *(surface.passages if self.vectors == "both" else [])]
        languages = surface.languages[:, : len(columns)].T.flatten()
        vectors = F.normalize(torch.cat(columns).to(classifier), dim=1)
        with torch.autocast(vectors.device.type, enabled=False):
            told = _logits(vectors.detach(), classifier)
            confused = _logits(vectors, classifier.detach()).log_softmax(dim=1)
        return F.cross_entropy(told, languages) - confused.mean(dim=1).mean()


def _logits(vectors: Tensor, classifier: Tensor) -> Tensor:
    return (vectors @ classifier.T).clamp(-_CLAMP, _CLAMP)
