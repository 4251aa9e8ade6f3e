"""The training log: one JSON object per line, the same lines whether a run was interrupted or not.

    {"step", "epoch", "loss", "parts": {name: loss}, "learning_rate", "grad_norm",
     "examples_per_second", "elapsed"}
    {"step", "epoch", "evaluation": {measure: value}, "best": true or false, "elapsed"}

`parts` is there where the loss has several.

A loss is the mean over the steps since the line before, over all processes. `elapsed` counts the seconds
of training, pauses left out; it and `examples_per_second` depend on the clock, the rest does not.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from babelweave.artifact import storing, write_text
from babelweave.errors import DataError


def read_log(path: Path) -> list[dict[str, Any]]:
    """The lines of a log; a last line cut by a kill is left out.

    Raises:
        DataError: a line that is not JSON.
    """
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")[:-1]  # what follows the last newline was cut
    try:
        return [json.loads(line) for line in lines]
    except json.JSONDecodeError as error:
        raise DataError(f"{path}: a line is not JSON ({error})") from error


class TrainingLog:
    """Append to the log of a run.

    Args:
        path: the file; lines after `step` are dropped, they will be written again.
        step: where the run goes on; 0 begins anew.
        n_examples: of one step.
    """

    def __init__(self, path: Path, step: int, n_examples: int) -> None:
        self._path, self._n_examples = path, n_examples
        kept = [line for line in read_log(path) if line["step"] <= step]
        write_text(path, "".join(map(_line, kept)))
        self._before = kept[-1]["elapsed"] if kept else 0.0
        self._begin = self._last = time.monotonic()
        self._first_step = self._last_step = step

    def losses(self, step: int, values: Mapping[str, Any]) -> None:
        """Write a line of losses."""
        now = time.monotonic()
        rate = (step - self._last_step) * self._n_examples / max(now - self._last, 1e-9)
        self._last, self._last_step = now, step
        self._write(step, {**values, "examples_per_second": round(rate, 2)})

    def evaluation(self, step: int, epoch: float, values: Mapping[str, float], *, best: bool) -> None:
        """Write a line of dev figures."""
        self._write(step, {"epoch": epoch, "evaluation": dict(values), "best": best})

    def pace(self, step: int) -> tuple[float, float]:
        """(examples per second, seconds per step) since this process began; (0, 0) before its first step."""
        n_steps, seconds = step - self._first_step, time.monotonic() - self._begin
        if n_steps == 0:
            return 0.0, 0.0
        return n_steps * self._n_examples / max(seconds, 1e-9), seconds / n_steps

    def _write(self, step: int, values: Mapping[str, Any]) -> None:
        elapsed = round(self._before + time.monotonic() - self._begin, 3)
        with storing(self._path), self._path.open("a", encoding="utf-8") as file:
            file.write(_line({"step": step, **values, "elapsed": elapsed}))


def _line(values: Mapping[str, Any]) -> str:
    """One line; a figure that is not finite is null, for which JSON has no number."""
    finite = json.loads(json.dumps(values), parse_constant=lambda _: None)
    return json.dumps(finite, ensure_ascii=False) + "\n"
