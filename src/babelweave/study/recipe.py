"""The recipe of a study: which models, woven how, are measured under which shifts, with which seeds.

An arm is a way to train and to weave. It is run from every start, and its row in a table is called

    [START/]ARM[+WEAVE][~ADJUSTMENT]      the start where there are several, the others where there is one
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, PositiveInt

from babelweave import registry
from babelweave.errors import UsageError, nearest
from babelweave.recipe import STUDY, Source, checked, override, read_source
from babelweave.shift.splits import LeftOut, leave_language_out
from babelweave.study.sections import (
    NONE,
    Adjust,
    ArmSection,
    Benchmark,
    Profile,
    Queries,
    Shift,
    Start,
    Weave,
)
from babelweave.train.settings import Checked, Precision

FULL = "full"
"""The profile of a recipe as it stands."""


class Study(Checked):
    """Arms times shifts times seeds."""

    kind: Literal["study"]
    start: str = registry.DEFAULT_ENCODER
    """SPEC of the encoder that starts begin with where they name none."""
    root: str | None = None
    """Where relative paths begin; BABELWEAVE_DATA by default."""
    precision: Precision = "auto"
    """Of encoding, where models are measured."""
    max_tokens_passage: PositiveInt | None = None
    """Read of a passage where models are measured; what each states by default. Training may read fewer."""
    seeds: Annotated[tuple[Annotated[int, Field(ge=0, lt=2**32)], ...], Field(min_length=1)] = (0,)
    """Of training and of perturbation; figures are averaged over them before anything is tested."""
    measures: Annotated[tuple[str, ...], Field(min_length=1)] = ("RR@10", "R@100")
    """ir_measures names."""
    depth: PositiveInt = 100
    """Passages ranked per question."""
    reference: str
    """Arm that all others of its start are tested against; as START/ARM, that those of all starts are."""
    benchmark: Benchmark
    training: dict[str, Any] = Field(default_factory=dict)
    """What trainings have in common: the tables of a recipe of kind "retriever", without model.base."""
    queries: Queries = Queries()
    starts: Annotated[tuple[Start, ...], Field(min_length=1)]
    weaves: tuple[Weave, ...] = ()
    adjustments: tuple[Adjust, ...] | None = None
    arms: Annotated[tuple[ArmSection, ...], Field(min_length=1)]
    shifts: Annotated[tuple[Shift, ...], Field(min_length=1)]
    profiles: dict[str, Profile] = Field(default_factory=dict)

    def _contradictions(self) -> Iterator[str]:
        from babelweave.evaluate.measures import check_measures

        for what in ("starts", "weaves", "adjustments", "arms", "shifts"):
            listed = Counter(part.name for part in getattr(self, what) or ())
            yield from (f"{n} {what} are called {name!r}" for name, n in listed.items() if n > 1)
        if len(set(self.seeds)) < len(self.seeds):
            yield f"seeds {list(self.seeds)}: one stands twice"
        yield from self._unknown()
        yield from self._same()
        try:
            check_measures(list(self.measures), self.depth)
        except UsageError as error:
            yield str(error)

    def _unknown(self) -> Iterator[str]:
        """Names that nothing bears."""
        starts, weaves = [s.name for s in self.starts], [NONE, *(w.name for w in self.weaves)]
        asked = [(f"arm {a.name}", "start", n, starts) for a in self.arms for n in a.starts]
        asked += [(f"arm {a.name}", "weave", n, weaves) for a in self.arms for n in a.weave]
        adjusts = [NONE, *(a.name for a in self.adjustments or ())]
        asked += [(f"arm {a.name}", "adjustment", n, adjusts) for a in self.arms for n in a.adjusts]
        for name, profile in self.profiles.items():
            for what in ("starts", "arms", "shifts"):
                known = [part.name for part in getattr(self, what)]
                asked += [(f"profile {name}", what[:-1], n, known) for n in getattr(profile, what)]
        single = [s.name for s in self.shifts if len(s.degrees) == 1]
        asked += [
            (f"shift {s.name}", "shift of one degree", s.of, [n for n in single if n != s.name])
            for s in self.shifts
            if s.of is not None
        ]
        for where, what, name, known in asked:
            if name not in known:
                yield f"{where}: unknown {what} {name!r}; {nearest(name, known)}"
        names = [(arm_name(a, w, adjust), a) for a in self.arms for w in a.weave for adjust in a.adjusts]
        whole = [f"{s}/{name}" for name, arm in names for s in arm.starts or starts]
        known = whole if "/" in self.reference else [name for name, _ in names]
        if self.reference not in known:
            yield f"reference: unknown arm {self.reference!r}; {nearest(self.reference, known)}"

    def _same(self) -> Iterator[str]:
        """Arms that differ in nothing but their names."""
        seen: dict[str, str] = {}
        for arm in self.arms:
            ways = [sorted(arm.weave), sorted(arm.adjusts), sorted(arm.starts)]
            what = json.dumps([arm.train, *ways], sort_keys=True)
            if (other := seen.setdefault(what, arm.name)) != arm.name:
                yield f"arms {other!r} and {arm.name!r} are the same"

    @property
    def rows(self) -> list[Arm]:
        """Every arm, start by start."""
        weaves: dict[str, Weave | None] = {NONE: None, **{w.name: w for w in self.weaves}}
        adjusts: dict[str, Adjust | None] = {NONE: None, **{a.name: a for a in self.adjustments or ()}}
        found = []
        for start in self.starts:
            for section in self.arms:
                if not section.starts or start.name in section.starts:
                    for weave, adjust in product(section.weave, section.adjusts):
                        name = arm_name(section, weave, adjust)
                        label = f"{start.name}/{name}" if len(self.starts) > 1 else name
                        found.append(Arm(label, name, start, section, weaves[weave], adjusts[adjust]))
        return found

    @property
    def references(self) -> dict[str, str]:
        """Label of every arm that is tested -> of the one it is tested against."""
        if found := next((a.label for a in self.rows if a.whole == self.reference), None):
            return {arm.label: found for arm in self.rows}
        of_start = {a.start.name: a.label for a in self.rows if a.name == self.reference}
        return {a.label: of_start[a.start.name] for a in self.rows if a.start.name in of_start}

    def tables(self, arm: Arm) -> dict[str, Any]:
        """The tables of an arm's training, without base, seed and queries.

        Raises:
            UsageError: without the language its start leaves out there is nothing to train on.
        """
        return self.left(arm).recipe

    def left(self, arm: Arm) -> LeftOut:
        """The same tables, and what the language that its start leaves out took from them."""
        tables = merged(self.training, arm.start.train, arm.section.train or {})
        if arm.start.without is None:
            return LeftOut(tables, ())
        try:
            return leave_language_out(tables, arm.start.without, must_drop=False)
        except UsageError as error:
            raise UsageError(f"arm {arm.label}: {error}") from error


class Arm(NamedTuple):
    """A row of the tables."""

    label: str
    name: str
    """The label without the start."""
    start: Start
    section: ArmSection
    weave: Weave | None
    adjust: Adjust | None

    @property
    def whole(self) -> str:
        """With the start, even where there is one alone."""
        return f"{self.start.name}/{self.name}"

    @property
    def training(self) -> str:
        """The label of its training, which arms share that differ in weave and adjustment alone."""
        return self.label.removesuffix(self.name) + self.section.name


def arm_name(section: ArmSection, weave: str, adjust: str) -> str:
    woven = section.name if weave == NONE else f"{section.name}+{weave}"
    return woven if adjust == NONE else f"{woven}~{adjust}"


def load_study(source: str | Path, overrides: Sequence[str] = (), *, profile: str = FULL) -> Study:
    """Read and check the recipe of a study.

    Args:
        source: a TOML file, or the name of a packaged study.
        overrides: `section.key=value`, over the profile's.
        profile: which of its `profiles`; "full" is the recipe as it stands.
    Raises:
        UsageError: no such recipe or profile, faults in it, or in the trainings of its arms.
    """
    found = read_source(source)
    if found.data.get("kind") != STUDY:
        raise UsageError(f'{found.name}: kind is {found.data.get("kind")!r}, expected "study"')
    own = found.data.get("profiles")
    known = own if isinstance(own, dict) else {}
    if profile != FULL and profile not in known:
        raise UsageError(f"{found.name}: no profile {profile!r}; {nearest(profile, [FULL, *known])}")
    change = known[profile].get("set", {}) if profile in known and isinstance(known[profile], dict) else {}
    data = merged(found.data, change if isinstance(change, dict) else {})
    given = [override(data, item) for item in overrides]
    # Overrides may have taken away what another profile names.
    data["profiles"] = {name: table for name, table in known.items() if name == profile}
    study = checked(Study, Source(found.name, found.text, data, given))
    if profile in study.profiles:
        study = _selected(found.name, study, study.profiles[profile])
    study = study.model_copy(update={"profiles": {}})
    for arm in study.rows:
        if arm.section.train is not None:
            check_training(found.name, study, arm)
    return study


def _selected(name: str, study: Study, profile: Profile) -> Study:
    kept: dict[str, Any] = {}
    for what in ("starts", "arms", "shifts"):
        wanted = getattr(profile, what)
        parts = getattr(study, what)
        kept[what] = tuple(part for part in parts if part.name in wanted) if wanted else parts
    names = {start.name for start in kept["starts"]}
    kept["arms"] = tuple(a for a in kept["arms"] if not a.starts or names & set(a.starts))
    found = study.model_copy(update=kept)
    if not found.references:
        raise UsageError(f"{name}: the profile leaves out the reference arm {study.reference!r}")
    return found


def check_training(name: str, study: Study, arm: Arm) -> None:
    """Refuse an arm whose training a retriever's recipe would refuse.

    Raises:
        UsageError: with the arm and every fault.
    """
    data = training_tables(study, arm, base="start", seed=0, generated="queries")
    checked(registry.load("training", "retriever"), Source(f"{name}: arm {arm.label}", "", data, []))


def training_tables(study: Study, arm: Arm, *, base: str, seed: int, generated: str | None) -> dict[str, Any]:
    """The recipe of an arm's training, as TOML would give it.

    Args:
        base: of `model.base`.
        generated: file of queries, under ids of the texts, for a `weaving` that names none.
    """
    data = merged(
        {"kind": "retriever", **({"data": {"root": study.root}} if study.root else {})},
        study.tables(arm),
        {"model": {"base": base}, "optimisation": {"seed": seed}},
    )
    if needs_queries(data):
        data["weaving"] = {"missing": "plain", **data["weaving"], "generated": generated, "ids": "text"}
    return data


def needs_queries(tables: Mapping[str, Any]) -> bool:
    """Whether a training weaves with queries that the study makes."""
    weaving = tables.get("weaving")
    return isinstance(weaving, dict) and "generated" not in weaving


def merged(*tables: Mapping[str, Any]) -> dict[str, Any]:
    """Tables over tables, key by key; a list replaces a list."""
    found: dict[str, Any] = {}
    for table in tables:
        for key, value in table.items():
            old = found.get(key)
            both = isinstance(old, dict) and isinstance(value, Mapping)
            found[key] = merged(old, value) if both and old is not None else deepcopy(value)
    return found
