"""Weaving inside a loss: the index's fusers on torch, with an alpha that is fixed, scheduled or learned."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from babelweave.protocols import Fuser


class Weaver(nn.Module):
    """Woven vectors of passages, at the alpha of a step.

    At every step the fuser is opened with that step's alpha: what is trained is what `babelweave weave`
    computes.

    Args:
        open_at: an alpha (None: the default) to a fuser that gives one vector per passage.
        alpha: of the first step; None takes the fuser's own default.
        alpha_end, alpha_steps: where it moves to in a line, and in how many steps; None stays.
        learn: alpha is the sigmoid of the parameter `alpha_logit`.
    """

    def __init__(
        self,
        open_at: Callable[[Any], Fuser],
        *,
        alpha: float | None = None,
        alpha_end: float | None = None,
        alpha_steps: int | None = None,
        learn: bool = False,
    ) -> None:
        super().__init__()
        fuser = open_at(alpha)
        self._open_at = open_at
        self.begin: float = fuser.settings["alpha"]
        self.end, self.n_steps = alpha_end, alpha_steps
        logit = math.log(self.begin / (1 - self.begin)) if learn else 0.0
        self.alpha_logit = nn.Parameter(torch.tensor(logit)) if learn else None

    def alpha(self, step: int) -> Any:
        """At a step counted from 0: a number, or a tensor () with a gradient where it is learned."""
        if self.alpha_logit is not None:
            return self.alpha_logit.sigmoid()
        if self.end is None or self.n_steps is None:
            return self.begin
        return self.begin + (self.end - self.begin) * min(step / self.n_steps, 1.0)

    def weave(
        self, passages: Tensor, generated: Tensor, mask: Tensor, languages: Sequence[str], step: int
    ) -> Tensor:
        """(n, d), (n, g, d), bool or numbers (n, g), (g,) -> (n, d), as `protocols.Fuser` says."""
        fuser = self._open_at(self.alpha(step))
        with torch.autocast(passages.device.type, enabled=False):
            woven: Tensor = fuser.fuse(passages, generated, mask, languages)
        return woven[:, 0]
