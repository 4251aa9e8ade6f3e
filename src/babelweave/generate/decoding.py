"""How a model's probabilities become questions: sampling as the reference does it, greedy search, beams."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from babelweave.errors import UsageError, nearest

Mode = Literal["sample", "greedy", "beam"]

TOP_K = 10
"""The reference samples from the ten likeliest tokens (ArvinZhuang/DSI-QG, the code behind xQG)."""


@dataclass(frozen=True, slots=True)
class Decoding:
    """Attributes:
    mode: "sample" draws each token, "greedy" takes the likeliest, "beam" searches the likeliest question.
    top_k: draw from the k likeliest tokens; 0 from all.
    top_p: and of those from the likeliest whose probabilities reach this sum (nucleus sampling).
    temperature: what logits are divided by first.
    beams: of beam search.
    """

    mode: Mode
    top_k: int
    top_p: float
    temperature: float
    beams: int

    @classmethod
    def of(
        cls,
        mode: str | None,
        top_k: int | None,
        top_p: float | None,
        temperature: float | None,
        beams: int | None,
    ) -> Decoding:
        """From the options of a SPEC; None is one that was not given.

        Raises:
            UsageError: an unknown mode, a number out of range, or one without effect in this mode.
        """
        mode = "sample" if mode is None else mode
        if mode not in get_args(Mode):
            raise UsageError(f"unknown decoding {mode!r}; {nearest(mode, get_args(Mode))}")
        draws = {"top_k": top_k, "top_p": top_p, "temperature": temperature}
        idle = {"beams": beams} if mode == "sample" else draws | ({} if mode == "beam" else {"beams": beams})
        if given := [name for name, value in idle.items() if value is not None]:
            raise UsageError(f"{', '.join(given)}: without effect where decoding={mode}")
        made = cls(
            mode,  # type: ignore[arg-type]
            TOP_K if top_k is None else top_k,
            1.0 if top_p is None else top_p,
            1.0 if temperature is None else temperature,
            4 if beams is None else beams,
        )
        if not (made.top_k >= 0 and 0 < made.top_p <= 1 and 0 < made.temperature < 100 and made.beams >= 1):
            given_now = f"top_k={top_k}, top_p={top_p}, temperature={temperature}, beams={beams}"
            raise UsageError(
                f"{given_now}: expected top_k >= 0, 0 < top_p <= 1, 0 < temperature < 100, beams >= 1"
            )
        return made

    @property
    def signature(self) -> Mapping[str, Any]:
        """What has an effect in this mode."""
        used = {"sample": ("top_k", "top_p", "temperature"), "greedy": (), "beam": ("beams",)}[self.mode]
        return {"mode": self.mode} | {name: getattr(self, name) for name in used}

    def check_n(self, n: int) -> None:
        """Raises UsageError when more questions are asked for than beams search for."""
        if self.mode == "beam" and n > self.beams:
            raise UsageError(
                f"{n} queries need as many beams, decoding=beam&beams={n}; there are {self.beams}"
            )


def distinct(texts: Iterable[str]) -> list[str]:
    """Each text once, in the order given; runs of blanks are one blank, and blank texts are left out."""
    return list(dict.fromkeys(tidy for text in texts if (tidy := " ".join(text.split()))))
