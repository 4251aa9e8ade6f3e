"""The sections of a study's recipe; `study.recipe` puts them together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, NonNegativeInt, PositiveInt

from babelweave.encode.adjust import Kind
from babelweave.errors import MissingExtraError, UsageError
from babelweave.recipe import Strict
from babelweave.shift.edits import check_severity
from babelweave.shift.spec import check_perturbation
from babelweave.train.sections import Data, Language, Parallel
from babelweave.train.settings import Checked

CLEAN = "clean"
"""The name of the benchmark without a shift."""
NONE = "none"
"""The name of an index that is not woven, and of vectors that are not adjusted."""


def _name(name: str) -> str:
    if not name or set(name) & set("/+~"):
        raise ValueError("a name has letters and no / or + or ~, which join names")
    return name


Name = Annotated[str, AfterValidator(_name)]
Names = Annotated[tuple[Name, ...], Field(min_length=1)]


class Benchmark(Checked):
    """What is asked and searched."""

    name: Literal["mlqa", "xquad-r", "xor-retrieve"] = "mlqa"
    """XOR-Retrieve's dev questions are judged by their answers, over passages of the English pool
    (`xor_retrieve.read_judged`)."""
    source: str
    """The publisher's zip or folder."""
    split: Literal["dev", "test"] = "dev"
    """Of MLQA: dev to choose on, test to report on."""
    half: Literal["tune", "report"] | None = None
    """Of MLQA's dev questions."""
    subsets: str = "all"
    """Passage language, question language, separated by commas: en-de,es-zh."""
    distractors: NonNegativeInt = 0
    """Passages of the English pool added to English pools. Without them xor-retrieve searches the passages
    that hold answers, alone."""
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
    set: dict[str, Any] | None = None
    """Tables over the recipe's, for instance set.optimisation.max_steps; `set.data.sets.NAME` is over the set
    of that name."""
    without: Language | None = None
    """A language taken out of the recipe's data and vocabulary, and out of what the arms of this start are
    trained on: `shift.splits.leave_language_out`."""
    train: dict[str, Any] = Field(default_factory=dict)
    """Over `training`, for all arms of this start: its data, for instance."""

    def _contradictions(self) -> Iterator[str]:
        if self.model is not None and self.recipe is not None:
            yield "give model or recipe, not both"
        if self.recipe is None and self.set is not None:
            yield "set changes a recipe; give recipe"
        if self.recipe is None and self.without is not None:
            yield (
                f"without {self.without!r} goes with recipe: a model that is there cannot be made "
                "not to have read a language"
            )


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


class Adjust(Checked):
    """A way to adjust vectors for the language of their texts (`encode.adjust`).

    It is fitted for every model anew, on texts that say the same in all the languages it will meet, encoded
    as passages and as questions. The benchmark's own texts are no part of it.
    """

    name: Name
    kind: Kind
    """"centre" takes each language's mean away; "erase" is LEACE, extra `erase`."""
    parallel: Annotated[tuple[Parallel, ...], Field(min_length=1)]
    """Registered parallel text."""
    languages: tuple[Language, ...] = ()
    """Fitted on; by default all that is asked, searched and woven."""
    limit: Annotated[int, Field(ge=2)] = 500
    """Texts of each language, taken evenly from those that stand in all of them. Ours."""

    def _contradictions(self) -> Iterator[str]:
        if self.name == NONE:
            yield f"{self.name!r} is taken"
        if len(self.languages) == 1:
            yield f"fitted on {self.languages[0]} alone; two languages are needed to tell them apart"


class ArmSection(Checked):
    """A way to train a start and to weave its index."""

    name: Name
    starts: tuple[str, ...] = ()
    """Which it is run from; all by default."""
    train: dict[str, Any] | None = None
    """Over `training` and the start's own; {} trains by those alone, without it the start stays as it is."""
    weave: Names = (NONE,)
    """Ways to weave the index, an arm each; "none" leaves it plain."""
    adjust: Names | None = None
    """Ways to adjust vectors, an arm each with every weave; "none" leaves them, and is all by default."""

    @property
    def adjusts(self) -> tuple[str, ...]:
        return self.adjust or (NONE,)

    def _contradictions(self) -> Iterator[str]:
        for table, key, decides in (("model", "base", "the start"), ("optimisation", "seed", "seeds")):
            if key in (self.train or {}).get(table, {}):
                yield f"train.{table}.{key} contradicts the study: {decides} decides it"
        if len(set(self.weave)) < len(self.weave):
            yield "a weave stands twice"
        if len(set(self.adjusts)) < len(self.adjusts):
            yield "an adjustment stands twice"


class Shift(Checked):
    """What differs from the benchmark: one of `perturb`, `subsets`, `benchmark`, `distractors`, `data`."""

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
    """Passages of the English pool added to English pools, instead of the benchmark's own `distractors`; for
    instance [1000, 10000]."""
    of: Name | None = None
    """Another shift that this one is a shift of: what an arm loses here is told from there instead of from
    clean."""
    data: Data | None = None
    """`[data]` of kind "retriever": questions that nothing is trained on (`half = "test"`), asked over all of
    its passages in a language; with `provenance` in shares that are reversed."""

    def _contradictions(self) -> Iterator[str]:
        kinds = ("perturb", "subsets", "benchmark", "distractors", "data")
        given = [kind for kind in kinds if getattr(self, kind)]
        if len(given) != 1:
            yield f"give one of {', '.join(kinds)}{', not ' + ' and '.join(given) if given else ''}"
        if self.data is not None and self.data.half == "train":
            yield 'data.half is "train", which arms are trained on; ask "test"'
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
