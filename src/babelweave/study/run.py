"""Run a study so that it can be killed: what has a file is not computed again.

    plan.json          the recipe and digests of what it reads, while the study is unfinished
    generated/         queries written for trainings and for pools
    models/KEY/        trained models, with their logs
    vectors/KEY.npy    vectors of a model, of passages plain, woven or adjusted and woven, and of the texts
                       that adjustments are fitted on, while the study is unfinished
    cells/KEY.parquet  scores of a cell

What a finished study holds is told by `study.results`.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np

from babelweave.artifact import Claim, digest_texts, write_aside
from babelweave.encode.adjust import Adjustment
from babelweave.evaluate.benchmarks.rankers import EncodedTasks, Stopwatch, Weaving
from babelweave.evaluate.measures import evaluate
from babelweave.evaluate.results import write_per_query
from babelweave.generate.queries import GeneratedQueries
from babelweave.protocols import Encoder
from babelweave.recipe import Progress
from babelweave.records import Float32, Scores
from babelweave.study.cells import Cell, StudyPlan, cell_file, duration
from babelweave.study.models import LENGTH, Say, encoder_of, generated_file, train, write_generated
from babelweave.study.results import KIND, write_study
from babelweave.study.reuse import check_reusable, take_over
from babelweave.study.shifts import Condition
from babelweave.weave.stream import Version, weave_versions

logger = logging.getLogger(__name__)


def run_study(
    plan: StudyPlan,
    folder: Path,
    *,
    overwrite: bool = False,
    reuse: Sequence[Path] = (),
    say: Say = logger.info,
    progress: Progress | None = None,
) -> None:
    """Train, encode, measure, and write what was found; killed, the same call goes on.

    Args:
        reuse: other studies, finished or not; what has the same key there is taken over (`study.reuse`).
        say: gets the work that is left, and a line for each model.
        progress: told of every training step.
    Raises:
        UsageError: the folder holds a finished study, one of another recipe or of other data, or
            something else; or what is to be reused is the folder itself, or no study of this version.
    Cost: memory for the vectors of all pools, 4 d bytes a passage for every way they are woven and adjusted.
    """
    check_reusable(reuse, folder)
    claim = Claim(folder, KIND, plan.settings, overwrite=overwrite)
    if reuse:
        taken = take_over(plan, folder, reuse)
        say(f"taken over: {taken.models} models, {taken.cells:,} cells")
    pace, began = plan.pace(folder), time.monotonic()
    asked = plan.work(folder, pace)
    say(f"{'going on: ' if claim.resumed else ''}{asked.told()}")
    bench = _Bench(plan, folder, say)
    by_model = [list(cells) for _, cells in groupby(_ordered(plan.cells), lambda cell: cell.model.key)]
    for number, cells in enumerate(by_model, 1):
        missing = {c.key: c for c in cells if not cell_file(folder, c).is_file()}
        if missing:
            say(f"model {number} of {len(by_model)}: {cells[0].model.label}")
            for model in cells[0].model.lineage():
                train(model, plan.models, folder, progress=progress)
            bench.measure(list(missing.values()))
            left, spent = plan.work(folder, pace).seconds, time.monotonic() - began
            if left and asked.seconds > left:  # the pace so far, instead of the one measured beforehand
                rest = left * spent / (asked.seconds - left)
                say(f"  {duration(spent)} so far, about {duration(rest)} left")
    write_study(folder, plan, claim)
    shutil.rmtree(folder / "vectors", ignore_errors=True)


def _ordered(cells: Sequence[Cell]) -> list[Cell]:
    """Cells of a model together, models in the order they come."""
    place = {key: i for i, key in enumerate(dict.fromkeys(cell.model.key for cell in cells))}
    return sorted(cells, key=lambda cell: place[cell.model.key])


class _Way(NamedTuple):
    """What an index is made of beside a model; None leaves the vectors plain, or as they are."""

    weave: str | None
    adjust: str | None


def _way(cell: Cell) -> _Way:
    arm = cell.arm
    return _Way(arm.weave.name if arm.weave else None, arm.adjust.name if arm.adjust else None)


class _Bench:
    """Measures cells; vectors of passages and queries of pools are made once and kept on disk."""

    def __init__(self, plan: StudyPlan, folder: Path, say: Say) -> None:
        self._plan, self._folder, self._say = plan, folder, say
        self._weavings: dict[str, Weaving] = {}

    def measure(self, cells: Sequence[Cell]) -> None:
        """Score cells of one model, each into its file."""
        model = cells[0].model
        encoder = encoder_of(model, self._plan.study, self._folder)
        plain = self._kept([model.key], lambda: self._encode(encoder, model.label))
        ways = list(dict.fromkeys(_way(cell) for cell in cells))
        adjustments = self._adjustments(cells, encoder)
        rows = self._rows(ways, adjustments, model.key, plain, encoder)
        known = (self._plan.conditions.passages, plain)

        def asked(cell: Cell) -> tuple[Condition, int]:
            return cell.posed.condition, cell.seed

        for _, group in groupby(sorted(cells, key=asked), asked):
            together = list(group)
            posed, seed = together[0].posed, together[0].seed
            tasks = posed.at(seed)
            encoded = EncodedTasks(tasks.subsets, encoder, Stopwatch(), known)
            for cell in together:
                way = _way(cell)
                found: dict[str, dict[str, Scores]] = {m: {} for m in self._plan.study.measures}
                for subset in tasks.subsets:
                    run = encoded.rank(subset, rows[way], self._plan.study.depth, adjustments[way.adjust])
                    for scores in evaluate(subset.qrels, run, self._plan.study.measures):
                        found[scores.measure][subset.name] = scores
                write_per_query(cell_file(self._folder, cell), found)

    def _encode(self, encoder: Encoder, label: str) -> Float32:
        passages = self._plan.conditions.passages
        vectors, n_truncated = encoder.encode([p.content for p in passages], "passage")
        if n_truncated:
            self._say(
                f"  {label}: {n_truncated:,} of {len(passages):,} passages are cut at the encoder's limit"
            )
        return vectors

    def _adjustments(self, cells: Sequence[Cell], encoder: Encoder) -> dict[str | None, Adjustment | None]:
        """Of a model; None stands for vectors as they are."""
        found: dict[str | None, Adjustment | None] = {None: None}
        for arm in {cell.arm.label: cell.arm for cell in cells}.values():
            fitting = self._plan.fitting(arm)
            if fitting is not None and fitting.settings.name not in found:
                found[fitting.settings.name] = fitting.fit(encoder, cells[0].model.key, self._kept)
        return found

    def _rows(
        self,
        ways: Sequence[_Way],
        adjustments: Mapping[str | None, Adjustment | None],
        key: str,
        plain: Float32,
        encoder: Encoder,
    ) -> dict[_Way, Float32]:
        """float32 (n, v, d): the rows of an index in each of the ways; queries are encoded once a weave."""
        languages = [p.lang for p in self._plan.conditions.passages]
        adjusted = {
            name: plain if adjustment is None else adjustment.apply(plain, languages)
            for name, adjustment in adjustments.items()
        }
        rows = {way: adjusted[way.adjust][:, None] for way in ways if way.weave is None}
        for weave in dict.fromkeys(way.weave for way in ways if way.weave is not None):
            names = [way.adjust for way in ways if way.weave == weave]
            found = self._woven(weave, [(adjusted[n], adjustments[n]) for n in names], names, key, encoder)
            rows |= {_Way(weave, name): own for name, own in zip(names, found, strict=True)}
        return rows

    def _woven(
        self,
        name: str,
        versions: Sequence[Version],
        adjusts: Sequence[str | None],
        key: str,
        encoder: Encoder,
    ) -> list[Float32]:
        """float32 (n, v, d) of each version: the rows of an index woven in one of the ways."""
        weaving = self._weaving(name)
        settings = str(sorted(self._plan.weavings[name].signature.items()))
        keys = [[key, settings, *([self._plan.fittings[a].key] if a else [])] for a in adjusts]
        missing = [i for i, parts in enumerate(keys) if not self._path(parts).is_file()]
        made: dict[int, Float32] = {}
        if missing:
            doc_ids = [p.doc_id for p in self._plan.conditions.passages]
            lookup = weaving.lookup(self._plan.conditions.passages)
            woven = weave_versions(
                [versions[i] for i in missing],
                doc_ids,
                lookup,
                encoder,
                weaving.fuser,
                weaving.languages,
                per_language=weaving.per_language,
            )
            if n := woven[0].counts["passages_without_queries"]:
                self._say(f"  {name}: {n:,} of {len(doc_ids):,} passages have no generated query")
            made = {i: found.vectors for i, found in zip(missing, woven, strict=True)}
        n_passages, d = versions[0][0].shape
        return [
            self._kept(parts, lambda i=i: made[i]).reshape(n_passages, -1, d)  # type: ignore[misc]
            for i, parts in enumerate(keys)
        ]

    def _weaving(self, name: str) -> Weaving:
        """With queries on disk, which a generator writes once for all models."""
        if name not in self._weavings:
            weaving = self._plan.weavings[name]
            if name in self._plan.generated:
                assert weaving.per_language is not None
                assert not isinstance(weaving.source, GeneratedQueries)
                path = generated_file(self._folder, self._plan.pool_key(name))
                if not path.is_file():
                    arguments = (weaving.source, weaving.languages, weaving.per_language, weaving.seed)
                    write_generated(path, self._plan.conditions.distinct, *arguments)
                weaving = replace(weaving, source=GeneratedQueries.open(path))
            self._weavings[name] = weaving
        return self._weavings[name]

    def _kept(self, key: Sequence[str], make: Callable[[], Float32]) -> Float32:
        """Vectors from their file, made where it is not there."""
        path = self._path(key)
        if not path.is_file():
            vectors = make()
            with write_aside(path) as aside, aside.open("wb") as file:
                np.save(file, vectors)
        found: Float32 = np.load(path)
        return found

    def _path(self, key: Sequence[str]) -> Path:
        return self._folder / "vectors" / f"{digest_texts(key)[:LENGTH]}.npy"
