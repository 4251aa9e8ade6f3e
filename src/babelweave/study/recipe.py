"""The recipe of a study: which models, woven how, are measured under which shifts, with which seeds.

An arm is a way to train and to weave. It is run from every start, and its row in a table is called

    [START/]ARM[+WEAVE]      the start where there are several, the weave where there is one
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, Field, PositiveInt

from babelweave import registry
from babelweave.errors import MissingExtraError, UsageError, nearest
from babelweave.recipe import STUDY, Source, Strict, checked, override, read_source
from babelweave.shift.edits import check_severity
from babelweave.shift.spec import check_perturbation
from babelweave.train.sections import Language
from babelweave.train.settings import Checked, Precision

CLEAN = "clean"
"""The name of the benchmark without a shift."""
NONE = "none"
"""The name of an index that is not woven."""
FULL = "full"
"""The profile of a recipe as it stands."""


def _name(name: str) -> str:
    if not name or set(name) & set("/+"):
        raise ValueError("a name has letters and no / or +, which join names")
    return name


Name = Annotated[str, AfterValidator(_name)]
Names = Annotated[tuple[Name, ...], Field(min_length=1)]


class Benchmark(Checked):
    """What is asked and searched."""

    name: Literal["mlqa", "xquad-r"] = "mlqa"
    """A benchmark of subsets with judgements."""
    source: str
    """The publisher's zip or folder."""
    split: Literal["dev", "test"] = "dev"
    """Of MLQA: dev to choose on, test to report on."""
    half: Literal["tune", "report"] | None = None
    """Of MLQA's dev questions."""
    subsets: str = "all"
    """Passage language, question language, separated by commas: en-de,es-zh."""
    questions: PositiveInt | None = None
    """At most so many of each subset, drawn by their ids, so that a question stays in all its languages.
    Pools stay whole."""

    def _contradictions(self) -> Iterator[str]:
        if self.name != "mlqa" and self.model_fields_set & {"split", "half"}:
            yield f"split and half go with mlqa; {self.name} has one part"


class Start(Checked):
    """A model that arms begin with."""

    name: Name
    model: str | None = None
    """SPEC of an encoder; the study's `start` by default."""
    recipe: str | None = None
    """A training recipe that makes the model instead: a file, or the name of a packaged one."""
    train: dict[str, Any] = Field(default_factory=dict)
    """Over `training`, for all arms of this start: its data, for instance."""

    def _contradictions(self) -> Iterator[str]:
        if self.model is not None and self.recipe is not None:
            yield "give model or recipe, not both"


class Weave(Checked):
    """A way to weave an index."""

    name: Name
    generator: str | None = None
    """SPEC of a generator that is run over the pools. This or `generated`."""
    generated: str | None = None
    """Queries on disk."""
    languages: tuple[Language, ...] = ()
    """Of the queries; by default all the benchmark asks in, but English."""
    per_language: PositiveInt | None = None
    """Queries per passage and language; 2 of a generator, all of `generated` by default."""
    fuser: str = "mean"
    """SPEC, as `babelweave weave --fuser`."""
    alpha: Annotated[float, Field(ge=0, le=1)] | None = None
    """Share of the queries; the fuser's own by default."""
    normalise: bool = False
    """Scale woven vectors to length 1."""

    def _contradictions(self) -> Iterator[str]:
        if (self.generator is None) == (self.generated is None):
            yield "give generator or generated"
        if self.name in (NONE, CLEAN):
            yield f"{self.name!r} is taken"


class ArmSection(Checked):
    """A way to train a start and to weave its index."""

    name: Name
    starts: tuple[str, ...] = ()
    """Which it is run from; all by default."""
    train: dict[str, Any] | None = None
    """Over `training` and the start's own; {} trains by those alone, without it the start stays as it is."""
    weave: Names = (NONE,)
    """Ways to weave the index, an arm each; "none" leaves it plain."""

    def _contradictions(self) -> Iterator[str]:
        for table, key, decides in (("model", "base", "the start"), ("optimisation", "seed", "seeds")):
            if key in (self.train or {}).get(table, {}):
                yield f"train.{table}.{key} contradicts the study: {decides} decides it"
        if len(set(self.weave)) < len(self.weave):
            yield "a weave stands twice"


class Shift(Checked):
    """What is different from the benchmark: one of `perturb`, `subsets`, `benchmark`, `distractors`."""

    name: Name
    perturb: str | None = None
    """SPEC of a perturbation of the questions."""
    severities: tuple[int, ...] = (3,)
    """Of the perturbation, from 1 to 5, a column each."""
    subsets: str | None = None
    """Other subsets of the benchmark, for instance of other passage languages."""
    benchmark: Benchmark | None = None
    """Another benchmark."""
    distractors: tuple[PositiveInt, ...] = ()
    """Passages of the English pool added to English pools, for instance [1000, 10000]."""

    def _contradictions(self) -> Iterator[str]:
        kinds = ("perturb", "subsets", "benchmark", "distractors")
        given = [kind for kind in kinds if getattr(self, kind)]
        if len(given) != 1:
            yield f"give one of {', '.join(kinds)}{', not ' + ' and '.join(given) if given else ''}"
        if self.perturb is None and "severities" in self.model_fields_set:
            yield "severities go with perturb"
        if self.name == CLEAN:
            yield "'clean' is the benchmark without a shift; it is always measured"
        if not self.severities or list(self.severities) != sorted(set(self.severities)):
            yield f"severities {list(self.severities)}: expected growing numbers from 1 to 5"
        try:
            for severity in self.severities:
                check_severity(severity)
            if 0 in self.severities:
                yield "severity 0 changes nothing; 'clean' is always measured"
            if self.perturb is not None:
                check_perturbation(self.perturb)
        except (UsageError, MissingExtraError) as error:
            yield str(error)

    @property
    def degrees(self) -> tuple[int, ...]:
        """Severities, or numbers of distractors; 0 where there is no such thing."""
        return self.severities if self.perturb else self.distractors or (0,)


class Queries(Strict):
    """What is generated for the passages of a training that weaves and names no queries of its own."""

    generator: str = "lexical"
    """SPEC."""
    languages: tuple[Language, ...] = ()
    """All that the benchmark asks in, but English, by default."""
    per_language: PositiveInt = 2
    """Per passage and language."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Of the generator; the same queries for all seeds of the study."""


class Profile(Strict):
    """A smaller study of the same kind, `[profiles.NAME]`."""

    starts: tuple[str, ...] = ()
    """Which are kept; all by default."""
    arms: tuple[str, ...] = ()
    """The same of arms."""
    shifts: tuple[str, ...] = ()
    """The same of shifts."""
    set: dict[str, Any] = Field(default_factory=dict)
    """Tables over the recipe's, for instance [profiles.quick.set.training.optimisation]."""


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
    """Arm that all others of its start are tested against."""
    benchmark: Benchmark
    training: dict[str, Any] = Field(default_factory=dict)
    """What trainings have in common: the tables of a recipe of kind "retriever", without model.base."""
    queries: Queries = Queries()
    starts: Annotated[tuple[Start, ...], Field(min_length=1)]
    weaves: tuple[Weave, ...] = ()
    arms: Annotated[tuple[ArmSection, ...], Field(min_length=1)]
    shifts: Annotated[tuple[Shift, ...], Field(min_length=1)]
    profiles: dict[str, Profile] = Field(default_factory=dict)

    def _contradictions(self) -> Iterator[str]:
        from babelweave.evaluate.measures import check_measures

        for what in ("starts", "weaves", "arms", "shifts"):
            listed = Counter(part.name for part in getattr(self, what))
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
        for name, profile in self.profiles.items():
            for what in ("starts", "arms", "shifts"):
                known = [part.name for part in getattr(self, what)]
                asked += [(f"profile {name}", what[:-1], n, known) for n in getattr(profile, what)]
        for where, what, name, known in asked:
            if name not in known:
                yield f"{where}: unknown {what} {name!r}; {nearest(name, known)}"
        names = {arm_name(a, w) for a in self.arms for w in a.weave}
        if self.reference not in names:
            yield f"reference: unknown arm {self.reference!r}; {nearest(self.reference, names)}"

    def _same(self) -> Iterator[str]:
        """Arms that differ in nothing but their names."""
        seen: dict[str, str] = {}
        for arm in self.arms:
            what = json.dumps([arm.train, sorted(arm.weave), sorted(arm.starts)], sort_keys=True)
            if (other := seen.setdefault(what, arm.name)) != arm.name:
                yield f"arms {other!r} and {arm.name!r} are the same"

    @property
    def rows(self) -> list[Arm]:
        """Every arm, start by start."""
        weaves: dict[str, Weave | None] = {NONE: None, **{w.name: w for w in self.weaves}}
        found = []
        for start in self.starts:
            for section in self.arms:
                if not section.starts or start.name in section.starts:
                    for weave in section.weave:
                        name = arm_name(section, weave)
                        label = f"{start.name}/{name}" if len(self.starts) > 1 else name
                        found.append(Arm(label, name, start, section, weaves[weave]))
        return found

    def tables(self, arm: Arm) -> dict[str, Any]:
        """The tables of an arm's training, without base, seed and queries."""
        return merged(self.training, arm.start.train, arm.section.train or {})


class Arm(NamedTuple):
    """A row of the tables."""

    label: str
    name: str
    """The label without the start."""
    start: Start
    section: ArmSection
    weave: Weave | None


def arm_name(section: ArmSection, weave: str) -> str:
    return section.name if weave == NONE else f"{section.name}+{weave}"


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
    if study.reference not in {arm.name for arm in found.rows}:
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
