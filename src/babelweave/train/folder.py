"""The folder of a training run: a model when it is done, checkpoints and a log on the way there.

    plan.json        the recipe's settings and the data's digests, while the run is unfinished
    checkpoints/     checkpoint-N/, each complete once it holds `complete.json`
    log.jsonl        one line per log step and per evaluation
    manifest.json    last of all, over the model's files

Under torchrun only the first process writes here.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError

from babelweave.artifact import (
    MANIFEST,
    PLAN,
    Claim,
    Manifest,
    describe_files,
    digest_file,
    read_json,
    read_manifest,
    storing,
    write_json,
    write_manifest,
    write_text,
)
from babelweave.errors import DataError, StorageError
from babelweave.recipe import Recipe, Trained, dump_recipe

KIND = "model"
LOG = "log.jsonl"
RECIPE = "recipe.toml"
CHECKPOINTS = "checkpoints"
MARKER = "complete.json"
_CHECKPOINT = re.compile(r"checkpoint-(\d+)")


class Checkpoint(NamedTuple):
    """A complete checkpoint."""

    step: int
    path: Path
    notes: Mapping[str, Any]
    """What `mark` was given."""


class Outcome(NamedTuple):
    """How a run ended; the model holds the weights of the best step, else of the last."""

    n_steps: int
    best_step: int | None
    """None without dev data."""
    best: float | None


class TrainingFolder:
    """Claim a folder for a run, or go on with the one that was interrupted there.

    Args:
        folder: where.
        recipe: its settings and `inputs` decide the run; going on with others is refused, naming the keys,
            once there is a checkpoint.
        inputs: name -> digest of the data read.
        overwrite: discard what is there.
    Raises:
        UsageError: as `artifact.Claim`.
    """

    def __init__(
        self, folder: Path, recipe: Recipe, inputs: Mapping[str, str], *, overwrite: bool = False
    ) -> None:
        self.path, self.recipe, self.inputs = folder, recipe, dict(inputs)
        self.checkpoints, self.log = folder / CHECKPOINTS, folder / LOG
        self._claim: Claim | None = None
        if is_first_process():
            settings = {
                **recipe.settings(),
                **{f"inputs.{name}": digest for name, digest in inputs.items()},
                "processes": n_processes(),
            }
            begun = (folder / PLAN).is_file() and not (folder / MANIFEST).is_file()
            nothing_to_lose = begun and not self.complete()
            self._claim = Claim(folder, KIND, settings, overwrite=overwrite or nothing_to_lose)

    def complete(self) -> list[Checkpoint]:
        """Every complete checkpoint, oldest first; `verify` reads their files."""
        return [
            Checkpoint(step, path, read_json(path / MARKER)["notes"])
            for step, path in _numbered(self.checkpoints)
            if (path / MARKER).is_file()
        ]

    def mark(self, step: int, notes: Mapping[str, Any]) -> Checkpoint:
        """Declare a checkpoint complete: its files are flushed, and listed with their checksums."""
        path = self.checkpoint(step)
        names = [file.name for file in path.iterdir() if file.name != MARKER]
        with whole_or_none(path):
            for name in names:
                with (path / name).open("rb+") as file:
                    os.fsync(file.fileno())
            write_json(path / MARKER, {"files": describe_files(path, names), "notes": dict(notes)})
        return Checkpoint(step, path, notes)

    def verify(self, checkpoint: Checkpoint) -> None:
        """Compare every file with its checksum; a trainer would go on without a missing one.

        Raises:
            DataError: a file is missing or changed.
        """
        for name, entry in read_json(checkpoint.path / MARKER)["files"].items():
            file = checkpoint.path / name
            if not file.is_file() or digest_file(file) != entry["sha256"]:
                raise DataError(
                    f"{file}: missing or changed since the checkpoint was written; delete {checkpoint.path} "
                    "to go on from the one before, or pass --overwrite"
                )

    def checkpoint(self, step: int) -> Path:
        """Where the checkpoint of a step lies, or would."""
        return self.checkpoints / f"checkpoint-{step}"

    def keep(self, n_newest: int, best: int | None) -> None:
        """Delete checkpoints but the newest complete ones and the best; unfinished ones too."""
        kept = {c.step for c in self.complete()[-n_newest:]} | {best}
        for step, path in _numbered(self.checkpoints):
            if step not in kept:
                shutil.rmtree(path)

    def finish(self, save: Callable[[Path], None], outcome: Outcome, counts: Mapping[str, int]) -> Trained:
        """Save the model beside the log, seal the folder, and delete the checkpoints.

        The manifest lists all but the log, which depends on the clock.

        Args:
            save: writes the model's files into the folder it is given.
            outcome: what `run_trainer` returned.
            counts: examples and the like, for the manifest.
        """
        if self._claim is None:
            barrier()
            return Trained(*outcome, read_manifest(self.path, KIND))
        with storing(self.path):
            save(self.path)
        write_text(self.path / RECIPE, dump_recipe(self.recipe))
        aside = {self.path / PLAN, self.path / MANIFEST, self.log, *self.checkpoints.rglob("*")}
        names = [
            p.relative_to(self.path).as_posix()
            for p in self.path.rglob("*")
            if p.is_file() and p not in aside
        ]
        counted = {**counts, "steps": outcome.n_steps}
        if outcome.best_step is not None:
            counted["best_step"] = outcome.best_step
        files = describe_files(self.path, names)
        manifest = write_manifest(
            self.path, Manifest(KIND, self._claim.settings, self.inputs, counted, files)
        )
        shutil.rmtree(self.checkpoints, ignore_errors=True)
        self._claim.release()
        barrier()
        return Trained(*outcome, manifest)


def standing(checkpoints: Path) -> str:
    """What a failed run leaves to go on from, as the end of a message."""
    steps = [step for step, path in _numbered(checkpoints) if (path / MARKER).is_file()]
    return f"the checkpoint of step {steps[-1]} stands" if steps else "there is no checkpoint yet"


@contextlib.contextmanager
def whole_or_none(checkpoint: Path) -> Iterator[None]:
    """Write a checkpoint; one that fails is removed.

    Raises:
        StorageError: the disk is full or refuses, in whatever words torch and safetensors put it.
    """
    try:
        yield
    except BaseException as error:
        if is_first_process():
            shutil.rmtree(checkpoint, ignore_errors=True)
        words = r"PytorchStreamWriter|file write failed|I/O error|os error"
        lost = isinstance(error, (RuntimeError, SafetensorError)) and re.search(words, str(error))
        if not lost and not isinstance(error, OSError):
            raise
        reason = str(error.__cause__ or error).splitlines()[0]
        raise StorageError(
            f"{checkpoint}: the disk is full or refuses ({reason}); free some space and run the same command "
            f"again ({standing(checkpoint.parent)})"
        ) from error


def _numbered(checkpoints: Path) -> list[tuple[int, Path]]:
    """Every checkpoint folder, complete or not, by its step."""
    named = ((_CHECKPOINT.fullmatch(path.name), path) for path in checkpoints.glob("checkpoint-*"))
    return sorted((int(name[1]), path) for name, path in named if name)


def is_first_process() -> bool:
    """Whether this process writes: the only one, or torchrun's first."""
    return int(os.environ.get("RANK", 0)) == 0


def n_processes() -> int:
    """Processes that train together under torchrun; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", 1))


def barrier() -> None:
    """Wait for the other processes."""
    import torch.distributed as dist

    if dist.is_available() and dist.is_initialized():
        dist.barrier()
