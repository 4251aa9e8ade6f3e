"""The models of a study: which have to be trained, each under a key of all that decides its weights.

Two arms whose trainings come to the same recipe share the model. A key is a digest of the resolved recipe, of
the data, of the start's weights and of what its queries are generated with; paths are no part of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from babelweave import registry
from babelweave.artifact import MANIFEST, digest_texts, write_aside
from babelweave.data.squad import text_id
from babelweave.encode.spec import open_encoder
from babelweave.errors import UsageError
from babelweave.generate.queries import GeneratedQueries, write_queries
from babelweave.generate.run import check_languages
from babelweave.generate.spec import open_generator
from babelweave.protocols import Encoder, Generator
from babelweave.recipe import Progress, Recipe, Source, checked, data_path
from babelweave.records import GeneratedQuery, Passage
from babelweave.study.recipe import Arm, Study, needs_queries, training_tables
from babelweave.study.sections import Queries, Start
from babelweave.study.starts import read_start
from babelweave.train.log import read_log
from babelweave.train.sources import digests, read_data

MODELS, GENERATED = "models", "generated"
LENGTH = 16
"""Digits of a key that name a folder."""
BLOCK = 1024
"""Passages that queries are written for in all languages before the next are read."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Model:
    """A model that cells are measured with.

    Attributes:
        key: of all that decides its vectors, but the study's precision and length of passages.
        label: of the first arm that needs it, and the seed.
        spec: of the encoder, where it is not trained here.
        start: the model it is trained from; None with `spec`, and for a recipe that brings its own base.
        recipe: given the base and the file of queries, the training; None with `spec`.
        queries: key of the queries that its training weaves and the study generates; None without.
        n_examples: it is trained on.
    """

    key: str
    label: str
    spec: str | None = None
    start: Model | None = None
    recipe: Callable[[str, str | None], Recipe] | None = field(default=None, compare=False)
    queries: str | None = None
    n_examples: int = 0

    def folder(self, root: Path) -> Path:
        return root / MODELS / self.key[:LENGTH]

    def is_ready(self, root: Path) -> bool:
        return self.recipe is None or (self.folder(root) / MANIFEST).is_file()

    def where(self, root: Path) -> str:
        """SPEC of the encoder."""
        return self.spec if self.spec is not None else str(self.folder(root))

    def with_ancestors(self) -> list[Model]:
        """It comes last."""
        return [*(self.start.with_ancestors() if self.start else []), self]

    def lineage(self) -> list[Model]:
        """Those of them that are trained, in order."""
        return [model for model in self.with_ancestors() if model.recipe is not None]


class Written(NamedTuple):
    """Queries to be generated for the passages of a training."""

    passages: Sequence[Passage]
    """Under ids of their texts."""
    settings: Queries
    languages: Sequence[str]


class _Data(NamedTuple):
    """What a training reads."""

    digest: str
    n_examples: int
    passages: Mapping[str, Passage]
    """By the id of their text, which is their own here."""


class Models:
    """The models of the arms of a study. A start made by a recipe has a key of its settings alone.

    Args:
        asked_in: languages of the benchmark's questions.
    Attributes:
        left_out: training -> what the language that its start leaves out took from it, as dotted keys.
    Raises:
        UsageError: no such start, or a training that cannot begin there.
        DataError: training data that is missing or broken.
    Cost: training data is read, once for each distinct choice of it.
    """

    def __init__(self, study: Study, asked_in: Sequence[str]) -> None:
        self._study, self._asked_in = study, asked_in
        self.written: dict[str, Written] = {}
        self.left_out: dict[str, tuple[str, ...]] = {}
        self._pools: dict[str, _Data] = {}
        self._known: dict[str, Model] = {}
        self._starts: dict[str, Model] = {}
        self._generator = cache(open_generator)

    def of(self, arm: Arm, seed: int) -> Model:
        """The model of an arm; the same object for the same key."""
        start = self._start(arm.start)
        if arm.section.train is None:
            return start
        if arm.start.without is not None:
            self.left_out[f"arm {arm.training}"] = self._study.left(arm).dropped
        if start.spec is not None and "?" in start.spec:
            raise UsageError(
                f"arm {arm.label} is trained from {start.spec!r}; put the options of the start into the "
                "recipe's training.model"
            )

        def recipe(base: str, generated: str | None) -> Recipe:
            tables = training_tables(self._study, arm, base=base, seed=seed, generated=generated)
            kind: type[Recipe] = registry.load("training", "retriever")
            return checked(kind, Source(f"arm {arm.label}", "", tables, []))

        resolved = recipe("start", "queries")
        settings = {
            k: v for k, v in resolved.settings().items() if k not in ("model.base", "weaving.generated")
        }
        data = self._data(resolved)
        parts = [start.key, json.dumps(settings, sort_keys=True), data.digest]
        weaving: Any = getattr(resolved, "weaving", None)
        queries = None
        if needs_queries(self._study.tables(arm)):
            queries = self._queries(arm, data, tuple(weaving.languages))
            parts.append(queries)
        elif weaving is not None:
            root = getattr(resolved, "data").root  # noqa: B009
            generated = GeneratedQueries.open(data_path(weaving.generated, root))
            if arm.start.without in (weaving.languages or generated.languages):
                raise UsageError(
                    f"arm {arm.label} weaves queries in {arm.start.without!r}, which its start leaves out; "
                    "name the others in train.weaving.languages"
                )
            parts.append(generated.digest)
        key = digest_texts(parts)
        label = f"{arm.label}, seed {seed}"
        return self._known.setdefault(key, Model(key, label, None, start, recipe, queries, data.n_examples))

    def _start(self, start: Start) -> Model:
        if start.name not in self._starts:
            self._starts[start.name] = self._made(start)
        return self._starts[start.name]

    def _made(self, start: Start) -> Model:
        if start.recipe is None:
            spec = start.model or self._study.start
            return Model(open_encoder(spec).signature.digest, f"start {start.name}", spec)
        recipe, dropped = read_start(start, self._study.root)
        if start.without is not None:
            self.left_out[f"start {start.name}"] = dropped
        key = digest_texts([json.dumps(recipe.settings(), sort_keys=True)])
        return Model(key, f"start {start.name}", None, None, lambda base, generated: recipe)

    def _data(self, recipe: Any) -> _Data:
        """What is trained on, read once for each distinct choice of data."""
        key = json.dumps(recipe.data.model_dump(mode="json"), sort_keys=True)
        if key not in self._pools:
            pool = read_data(recipe.data)
            found = {text_id(p.text): p._replace(doc_id=text_id(p.text)) for p in pool.passages}
            n = sum(map(len, pool.questions.values()))
            self._pools[key] = _Data(digest_texts([json.dumps(digests(pool))]), n, found)
        return self._pools[key]

    def _queries(self, arm: Arm, data: _Data, languages: Sequence[str]) -> str:
        """Note what is to be generated for the passages of a training, and give its key."""
        settings = self._study.queries
        generator = self._generator(settings.generator)
        wanted = list(settings.languages or languages)
        if not wanted:
            wanted = [lang for lang in self._asked_in if lang != "en" and lang in generator.languages]
        if (without := arm.start.without) in wanted:
            wanted.remove(without)
            self.left_out[f"arm {arm.training}"] += (f"queries.languages.{without}",)
            if not wanted:
                raise UsageError(f"arm {arm.label}: without {without!r} there is no language to weave in")
        check_languages(generator, wanted)
        asked = json.dumps([wanted, settings.per_language, settings.seed])
        key = digest_texts([json.dumps(dict(generator.signature), sort_keys=True), asked, data.digest])
        self.written[key] = Written(list(data.passages.values()), settings, wanted)
        return key

    def generate(self, key: str, folder: Path) -> Path:
        """The file of the queries under a key, written where it is not there."""
        path = generated_file(folder, key)
        if not path.is_file():
            passages, settings, languages = self.written[key]
            generator = self._generator(settings.generator)
            write_generated(path, passages, generator, languages, settings.per_language, settings.seed)
        return path


def generated_file(folder: Path, key: str) -> Path:
    """Where queries lie, those of trainings and of pools."""
    return folder / GENERATED / f"{key[:LENGTH]}.parquet"


def write_generated(
    path: Path,
    passages: Sequence[Passage],
    generator: Generator,
    languages: Sequence[str],
    per_language: int,
    seed: int,
) -> None:
    """Queries for passages, in a file that appears whole or not at all."""
    written: dict[str, list[list[str]]] = {lang: [] for lang in languages}
    for begin in range(0, len(passages), BLOCK):  # a generator keeps what it has read of a block
        block = passages[begin : begin + BLOCK]
        for lang in languages:
            written[lang] += generator.generate(block, lang, per_language, seed)
    queries = [
        GeneratedQuery(passage.doc_id, lang, rank, text)
        for lang in languages
        for passage, texts in zip(passages, written[lang], strict=True)
        for rank, text in enumerate(texts)
    ]
    with write_aside(path) as aside:
        write_queries(aside, queries)


def train(model: Model, models: Models, folder: Path, *, progress: Progress | None = None) -> None:
    """Train a model where it is not ready; killed, the same call goes on from its last checkpoint."""
    if model.recipe is None or model.is_ready(folder):
        return
    folder = folder.resolve()  # a recipe's paths begin elsewhere
    generated = None if model.queries is None else str(models.generate(model.queries, folder))
    base = "" if model.start is None else model.start.where(folder)
    model.recipe(base, generated).train(model.folder(folder), progress=progress)


def encoder_of(model: Model, study: Study, folder: Path) -> Encoder:
    """The model, opened at the study's precision and length of passages."""
    spec = model.where(folder)
    options: dict[str, object] = {} if study.precision == "auto" else {"precision": study.precision}
    if study.max_tokens_passage is not None:
        options["max_tokens_passage"] = study.max_tokens_passage
    for option, value in options.items():
        spec += f"{'&' if '?' in spec else '?'}{option}={value}"
    return open_encoder(spec)


def seconds_per_step(model: Model, folder: Path) -> float | None:
    """Of a training, by its log, what comes before its first line left out; None where nothing was trained.

    A training that logs once is told whole.
    """
    if model.recipe is None:
        return None
    lines = [line for line in read_log(model.folder(folder) / "log.jsonl") if "loss" in line]
    if not lines:
        return None
    first, last = lines[0], lines[-1]
    if last["step"] == first["step"]:
        return float(last["elapsed"] / last["step"])
    return float((last["elapsed"] - first["elapsed"]) / (last["step"] - first["step"]))
