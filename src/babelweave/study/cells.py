"""What a study computes: cells, each under a key, so that what two arms or seeds share is computed once."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from babelweave.artifact import digest_texts
from babelweave.errors import UsageError
from babelweave.evaluate.benchmarks.rankers import Weaving
from babelweave.evaluate.benchmarks.system import System
from babelweave.generate.queries import GeneratedQueries
from babelweave.recipe import data_path
from babelweave.records import Role
from babelweave.study.adjusting import Fitting, read_fitting
from babelweave.study.models import Model, Models, Say, encoder_of
from babelweave.study.recipe import Arm, Study
from babelweave.study.sections import Adjust, Weave
from babelweave.study.shifts import Conditions, Posed, read_conditions, unasked

logger = logging.getLogger(__name__)

_SAMPLE = 32
"""Texts of a role that are encoded to measure a pace."""
_BACKWARD = 3
"""A training step against its forward pass: the backward pass costs about twice as much again."""


class Cell(NamedTuple):
    """One arm under one condition with one seed."""

    arm: Arm
    posed: Posed
    seed: int
    model: Model
    key: str


class Pace(NamedTuple):
    """Seconds per text."""

    question: float
    passage: float


class Work(NamedTuple):
    """What is left to do; seconds are an estimate."""

    cells: int
    trainings: int
    texts: int
    """To encode outside of training."""
    seconds: float
    """From the measured pace of encoding; what adversaries cost is not in it."""

    def told(self) -> str:
        return (
            f"{self.trainings} trainings, {self.cells:,} cells to measure, {self.texts:,} texts to encode: "
            f"about {duration(self.seconds)}, adversaries not counted"
        )


def duration(seconds: float) -> str:
    """Seconds up to two minutes, then minutes, then hours."""
    if math.isnan(seconds):
        return "an unknown time"
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{minutes} min"


@dataclass(frozen=True, slots=True)
class StudyPlan:
    """A study, read and checked.

    Attributes:
        weavings: weave -> what is woven into the pools.
        fittings: adjustment -> what it is fitted on.
        cells: arm by arm; those of the same key have the same figures.
    """

    study: Study
    conditions: Conditions
    models: Models
    weavings: Mapping[str, Weaving]
    fittings: Mapping[str, Fitting]
    cells: Sequence[Cell]

    @property
    def settings(self) -> dict[str, Any]:
        """All that decides the figures, by key of the recipe; where things lie does not."""
        settings = self.study.model_dump(mode="json", exclude_none=True, exclude={"root", "profiles"})
        return {**settings, "inputs": digest_texts(cell.key for cell in self.cells)}

    def fitting(self, arm: Arm) -> Fitting | None:
        """What the vectors of an arm are adjusted by; None where they stay."""
        return self.fittings[arm.adjust.name] if arm.adjust else None

    @property
    def trainings(self) -> list[Model]:
        """Every model to be trained, those others begin with first."""
        return list({m.key: m for cell in self.cells for m in cell.model.lineage()}.values())

    @property
    def generated(self) -> list[str]:
        """The weaves whose queries are generated for the pools."""
        return [n for n, weaving in self.weavings.items() if not isinstance(weaving.source, GeneratedQueries)]

    def pool_key(self, weave: str) -> str:
        """Of the queries that are generated for the pools."""
        texts = [f"{p.doc_id} {p.content}" for p in self.conditions.distinct]
        return digest_texts([*texts, str(self.weavings[weave].signature)])

    def work(self, folder: Path, pace: Pace, reuse: Sequence[Path] = ()) -> Work:
        """What a folder lacks, and the studies that are reused lack too."""
        roots = (folder, *reuse)
        missing = {c.key: c for c in self.cells if not any(cell_file(r, c).is_file() for r in roots)}
        needed = {m.key for c in missing.values() for m in c.model.lineage()}
        ready = {m.key for m in self.trainings if any(m.is_ready(r) for r in roots)}
        trainings = [m for m in self.trainings if m.key in needed - ready]
        n_pool = len(self.conditions.passages)
        n_passages = n_pool * len({c.model.key for c in missing.values()})
        asked = {posed.condition: posed.n_questions for posed in self.conditions.posed}
        # Adjusting encodes nothing again: neither questions nor what is woven.
        posed = {
            (c.model.key, c.arm.weave, c.posed.condition, c.seed if c.posed.perturbation else 0)
            for c in missing.values()
        }
        n_questions = sum(asked[condition] for _, _, condition, _ in posed)
        fitted = {(c.model.key, f.digest): f.n_texts for c in missing.values() if (f := self.fitting(c.arm))}
        n_questions += sum(fitted.values())
        woven = {(c.model.key, c.arm.weave.name) for c in missing.values() if c.arm.weave}
        for _, name in woven:
            weaving = self.weavings[name]
            n_questions += n_pool * len(weaving.languages) * (weaving.per_language or 1)
        seconds = n_passages * pace.passage + n_questions * pace.question
        seconds += sum(self._training_seconds(model, pace) for model in trainings)
        return Work(len(missing), len(trainings), n_passages + n_questions, seconds)

    def pace(self, folder: Path) -> Pace:
        """How fast the first encoder that is there encodes. Cost: that of a few texts."""
        models = [model for cell in self.cells for model in cell.model.with_ancestors()]
        ready = next((model for model in models if model.is_ready(folder)), None)
        if ready is None:
            return Pace(math.nan, math.nan)
        encoder = encoder_of(ready, self.study, folder)
        questions = [q.text for s in self.conditions.clean.subsets for q in s.queries][:_SAMPLE]
        passages = [p.content for p in self.conditions.passages[:_SAMPLE]]

        def seconds(texts: Sequence[str], role: Role) -> float:
            began = time.perf_counter()
            encoder.encode(texts, role)
            return (time.perf_counter() - began) / len(texts)

        # The faster of two: the first run of a size is slow but once, and other work comes and goes.
        return Pace(
            min(seconds(questions, "query") for _ in range(2)),
            min(seconds(passages, "passage") for _ in range(2)),
        )

    def _training_seconds(self, model: Model, pace: Pace) -> float:
        assert model.recipe is not None
        recipe: Any = model.recipe("start", "queries")
        optimisation = getattr(recipe, "optimisation", None)
        if optimisation is None:
            return math.nan
        n_examples = model.n_examples or optimisation.batch_size
        n_steps = optimisation.n_steps(max(1, n_examples // optimisation.batch_size))
        weaving = getattr(recipe, "weaving", None)
        passage, limit = pace.passage, self.study.max_tokens_passage
        cut = getattr(getattr(recipe, "model", None), "max_tokens_passage", None)
        if limit and cut:
            passage *= min(1.0, cut / limit)
        per_example = pace.question * (1 + (weaving.per_step if weaving else 0)) + passage
        return float(_BACKWARD * n_steps * optimisation.batch_size * per_example)


def plan_study(study: Study, say: Say = logger.info) -> StudyPlan:
    """Read all data and resolve every training; nothing is written.

    Args:
        say: gets a line where queries cannot be woven in a language, where a benchmark cannot ask all of its
            questions, and for each training that a language is left out of.
    Raises:
        UsageError: an unknown name, or an arm that cannot be trained or woven.
        DataError: data that is missing or broken.
    """
    conditions = read_conditions(study)
    asked_in = conditions.clean.languages
    models = Models(study, asked_in)
    used = {arm.weave.name: arm.weave for arm in study.rows if arm.weave}
    weavings = {name: _weaving(study, weave, asked_in, say) for name, weave in used.items()}
    fittings = _fittings(study, conditions, weavings)
    shifts = {(i, seed): p.digest(seed) for i, p in enumerate(conditions.posed) for seed in study.seeds}
    length = [] if study.max_tokens_passage is None else [study.max_tokens_passage]
    common = json.dumps([list(study.measures), study.depth, study.precision, *length])
    cells = []
    for arm in study.rows:
        woven = json.dumps(weavings[arm.weave.name].signature, sort_keys=True) if arm.weave else ""
        adjusted = [fittings[arm.adjust.name].key] if arm.adjust else []
        for seed in study.seeds:
            model = models.of(arm, seed)
            for i, posed in enumerate(conditions.posed):
                key = digest_texts([model.key, woven, shifts[i, seed], common, *adjusted])
                cells.append(Cell(arm, posed, seed, model, key))
    for label, counts in unasked(conditions).items():
        told = "; ".join(f"{n:,} where {why}" for why, n in counts.items())
        say(f"{label}: questions not asked: {told}")
    for training, dropped in models.left_out.items():
        say(f"{training} leaves out {', '.join(dropped) or 'nothing: none of its data is in the language'}")
    return StudyPlan(study, conditions, models, weavings, fittings, cells)


def _fittings(study: Study, conditions: Conditions, weavings: Mapping[str, Weaving]) -> dict[str, Fitting]:
    """What the adjustments that arms use are fitted on; the languages met are those of all arms alike."""
    used: dict[str, Adjust] = {arm.adjust.name: arm.adjust for arm in study.rows if arm.adjust}
    met = {passage.lang for passage in conditions.passages}
    met |= {lang for posed in conditions.posed for lang in posed.tasks.languages}
    met |= {lang for weaving in weavings.values() for lang in weaving.languages}
    return {name: read_fitting(adjust, study.root, met) for name, adjust in used.items()}


def _weaving(study: Study, weave: Weave, asked_in: Sequence[str], say: Say) -> Weaving:
    system = System(
        encoder=study.start,
        generator=weave.generator,
        generated=None if weave.generated is None else data_path(weave.generated, study.root),
        languages=weave.languages or None,
        per_language=weave.per_language,
        fuser=weave.fuser,
        alpha=weave.alpha,
        normalise=weave.normalise,
    )
    try:
        return system.weaving(asked_in, say)
    except UsageError as error:
        raise UsageError(f"weave {weave.name}: {error}") from error


def cell_file(folder: Path, cell: Cell) -> Path:
    """Where the scores of a cell lie."""
    return folder / "cells" / f"{cell.key}.parquet"
