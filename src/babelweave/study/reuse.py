"""Take over from other studies what stands there under the same key: models, queries, cells.

A key is a digest of all that decides what bears it, so nothing is trained or measured again because an arm, a
seed or a shift was added, or because a study was run in parts on several machines.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from babelweave import __version__
from babelweave.artifact import MANIFEST, PLAN, read_json, write_aside, write_folder
from babelweave.errors import UsageError
from babelweave.study.cells import StudyPlan, cell_file
from babelweave.study.models import generated_file
from babelweave.study.results import KIND
from babelweave.train.folder import KIND as MODEL


class Taken(NamedTuple):
    """How many were taken over."""

    models: int
    cells: int


def check_reusable(folders: Sequence[Path], out: Path) -> None:
    """Refuse folders that are no study of this version; another version may score otherwise.

    `out`, where the study is to go, is refused too: overwriting would delete it before it is read.

    Raises:
        UsageError: one that is not.
        DataError: its manifest or plan is broken.
    """
    for folder in folders:
        if folder.resolve() == out.resolve():
            raise UsageError(f"--reuse {folder}: that is --out itself, which goes on without it")
        described = next((folder / n for n in (MANIFEST, PLAN) if (folder / n).is_file()), None)
        found = read_json(described) if described else None
        if not isinstance(found, dict) or found.get("kind") != KIND:
            raise UsageError(f"--reuse {folder}: no study, finished or not")
        if found.get("version") != __version__:
            raise UsageError(
                f"--reuse {folder}: of version {found.get('version')}, this is {__version__}; "
                "figures may differ"
            )


def take_over(plan: StudyPlan, folder: Path, others: Sequence[Path]) -> Taken:
    """Give `folder` what it lacks and another study has, whole files and folders only.

    Hard links where the file system has them, copies elsewhere. What a model's training cost is read from its
    log, wherever it was trained.

    Raises:
        StorageError: the disk is full or refuses.
    """
    models = [m.folder(Path()) for m in plan.trainings]
    queries = {m.queries for m in plan.trainings if m.queries is not None}
    files = [generated_file(Path(), key) for key in queries]
    files += [generated_file(Path(), plan.pool_key(name)) for name in plan.generated]
    cells = list(dict.fromkeys(cell_file(Path(), cell) for cell in plan.cells))
    for name, other in _lacking(folder, others, files):
        _take_file(other / name, folder / name)
    n_models = n_cells = 0
    for name, other in _lacking(folder, others, [m / MANIFEST for m in models]):
        _take_model(other / name.parent, folder / name.parent)
        n_models += 1
    for name, other in _lacking(folder, others, cells):
        _take_file(other / name, folder / name)
        n_cells += 1
    return Taken(n_models, n_cells)


def _lacking(folder: Path, others: Sequence[Path], names: Sequence[Path]) -> Iterator[tuple[Path, Path]]:
    """(name, the first other folder that has it) of each that the folder lacks."""
    for name in names:
        if not (folder / name).is_file():
            other = next((other for other in others if (other / name).is_file()), None)
            if other is not None:
                yield name, other


def _take_file(source: Path, target: Path) -> None:
    with write_aside(target) as aside:
        _link(source, aside)


def _take_model(source: Path, target: Path) -> None:
    """In the place of one that was not trained to its end."""
    with write_folder(target, MODEL, overwrite=True) as aside:
        shutil.copytree(source, aside, copy_function=_link, dirs_exist_ok=True)


def _link(source: str | Path, target: str | Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)
