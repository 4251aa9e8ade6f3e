"""Recipes: TOML files that say all a training run depends on, checked in full before anything starts.

    kind = "retriever"            which registered kind of training reads the rest
    [optimisation]                every section is a strict model: unknown keys are refused
    learning_rate = 1e-5

A relative `source` in a recipe lies under the data root: `[data] root`, else BABELWEAVE_DATA.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from babelweave import registry
from babelweave.artifact import Manifest, reading
from babelweave.errors import UsageError, nearest

KIND = "training"
"""Registry kind of what `kind` names."""
STUDY = "study"
"""`kind` of a recipe that trains and measures many models, which `babelweave study` reads."""
PACKAGED = files("babelweave") / "recipes"
"""Recipes that come with the installation and are opened by their bare name."""
ROOT = "BABELWEAVE_DATA"

ModelT = TypeVar("ModelT", bound=BaseModel)


class Strict(BaseModel):
    """A section of a recipe: frozen, unknown keys refused, no value turned into another type."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class TrainingPlan(NamedTuple):
    """What a run will do, known before it starts."""

    n_examples: int
    n_steps: int
    """Optimiser steps."""
    n_tokens: int
    """Read over all steps, padding included; estimated from a sample."""


class Status(NamedTuple):
    """How far a run is; what a progress hook is given after every step."""

    step: int
    n_steps: int
    loss: float
    """Mean since the last line of the log."""
    examples_per_second: float
    """Since this process began."""
    seconds_left: float


Progress = Callable[[Status], None]


class Trained(NamedTuple):
    """What a run made."""

    n_steps: int
    best_step: int | None
    """Whose weights were saved; None without dev data: the last."""
    best: float | None
    """The dev measure at that step."""
    manifest: Manifest


class Recipe(Strict, ABC):
    """What every kind of training has in common; the registered classes add their sections."""

    kind: str

    @abstractmethod
    def plan(self) -> TrainingPlan:
        """What `train` would do; reads the data, writes nothing."""

    @abstractmethod
    def train(self, folder: Path, *, overwrite: bool = False, progress: Progress | None = None) -> Trained:
        """Write the trained model to `folder`; killed, the same call goes on.

        Raises:
            UsageError: `folder` holds something else, or a run of another recipe or other data.
            DataError: data that is missing, broken or without examples.
            BabelweaveError: the loss is not finite.
        """

    def settings(self) -> dict[str, Any]:
        """Dotted key -> JSON value of all that decides the result; where the data lies does not."""
        flat = dict(_flat(self.model_dump(mode="json", exclude_none=True)))
        return {key: value for key, value in flat.items() if key != "data.root"}


class Source(NamedTuple):
    """A recipe as it was written, with what is changed in it."""

    name: str
    text: str
    data: dict[str, Any]
    """The tables; `override` changes them."""
    overridden: list[str]
    """Dotted keys that `--set` gave."""


def load_recipe(source: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read and check a recipe.

    Args:
        source: a TOML file, or the bare name of a packaged recipe.
        overrides: `section.key=value`, the value in TOML; a bare word is a text.
    Raises:
        UsageError: no such recipe, not TOML, or faults in it; all of them at once, each with its key,
            its line, and the nearest known key where one is mistyped.
        MissingExtraError: the kind needs a library that is not installed.
    """
    found = read_source(source, overrides)
    kind = found.data.get("kind")
    if kind == STUDY:
        raise UsageError(f"{found.name}: a study; run it with: babelweave study {found.name}")
    if not isinstance(kind, str):
        raise UsageError(f"{found.name}: kind is missing; {nearest('', registry.names(KIND))}")
    model: type[Recipe] = registry.load(KIND, kind)
    return checked(model, found)


def read_source(source: str | Path, overrides: Sequence[str] = ()) -> Source:
    """The tables of a recipe, not yet checked; arguments as `load_recipe`.

    Raises:
        UsageError: no such recipe, not TOML, or an override that is not section.key=value.
    """
    name, text = _read(source)
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{name}: not TOML ({error})") from error
    return Source(name, text, data, [override(data, item) for item in overrides])


def checked(model: type[ModelT], source: Source) -> ModelT:
    """The tables as a model.

    Raises:
        UsageError: faults, told as by `load_recipe`.
    """
    name, text, data, overridden = source
    try:
        return model.model_validate_json(json.dumps(data, allow_nan=False))
    except (TypeError, ValueError) as error:
        if not isinstance(error, ValidationError):  # a date, or a number without end
            raise UsageError(f"{name}: {error}; numbers, texts, lists and tables are known") from error
        faults = [_fault(fault, model, text, overridden) for fault in error.errors(include_url=False)]
        listed = "\n".join(f"  {fault}" for fault in faults)
        raise UsageError(f"{name}: {len(faults)} fault{'s'[: len(faults) > 1]}\n{listed}") from None


def dump_recipe(recipe: BaseModel) -> str:
    """The recipe with every default resolved, as TOML that reads back to an equal one."""
    return "\n".join(_toml(recipe.model_dump(mode="json", exclude_none=True), ())).lstrip("\n") + "\n"


def data_path(source: str, root: str | None = None) -> Path:
    """Where a `source` of a recipe lies.

    Args:
        root: `[data] root`; None takes BABELWEAVE_DATA.
    Raises:
        UsageError: `source` is relative and there is no root.
    """
    path = Path(source).expanduser()
    if path.is_absolute():
        return path
    base = root or os.environ.get(ROOT)
    if base is None:
        raise UsageError(f"{source}: relative to no folder; set {ROOT}, or --set data.root=FOLDER")
    return Path(base).expanduser() / path


def _read(source: str | Path) -> tuple[str, str]:
    path = Path(source)
    if path.suffix != ".toml" and not path.is_file() and len(path.parts) == 1:
        packaged = {Path(f.name).stem: f for f in PACKAGED.iterdir() if f.name.endswith(".toml")}
        if str(source) not in packaged:
            raise UsageError(f"no recipe {str(source)!r}; {nearest(str(source), packaged)}, or a .toml file")
        return str(source), packaged[str(source)].read_text(encoding="utf-8")
    try:
        with reading(path):
            return str(path), path.read_text(encoding="utf-8")
    except (ValueError, OSError) as error:  # missing, a folder, or not UTF-8
        raise UsageError(f"{path}: no recipe can be read here ({error})") from error


def override(data: dict[str, Any], item: str) -> str:
    """Set one `section.key=value` in place; gives back the dotted key."""
    dotted, equals, text = item.partition("=")
    *tables, key = dotted.strip().split(".")
    if not equals or not all([*tables, key]):
        raise UsageError(f"--set {item!r} is not section.key=value")
    for depth, table in enumerate(tables):
        data = data.setdefault(table, {})
        if not isinstance(data, dict):
            raise UsageError(f"--set {item!r}: {'.'.join(tables[: depth + 1])} is no section")
    try:
        data[key] = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        data[key] = text.strip()
    return dotted.strip()


def _fault(fault: Any, model: type[BaseModel], text: str, overridden: Sequence[str]) -> str:
    """One line: where, what, and the way out."""
    place = fault["loc"]
    dotted = ".".join(map(str, place))
    message = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "extra_forbidden":
        message = f"unknown key; {nearest(str(place[-1]), _known(model, place[:-1]))}"
    elif fault["type"] == "missing":
        message = "is missing"
    elif not isinstance(fault["input"], (dict, list)):
        message += f", not {json.dumps(fault['input'], ensure_ascii=False)}"
    if dotted in overridden:
        return f"--set {dotted}: {message}"
    line = _line(text, place)
    return f"{dotted or 'recipe'}{f' (line {line})' if line else ''}: {message}"


def _known(model: type[BaseModel], place: Sequence[str | int]) -> set[str]:
    """Keys of the sections a place may stand for; an index, or the tag of a union, leads nowhere new."""
    models = {model}
    for part in place:
        inner = [m.model_fields[part].annotation for m in models if part in m.model_fields]
        models = {found for annotation in inner for found in _models(annotation)} or models
    return {name for found in models for name in found.model_fields}


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)


_TABLE = re.compile(r"^\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r"^\s*([\w.\"'-]+)\s*=")


def _line(text: str, place: tuple[str | int, ...]) -> int | None:
    """The line a key is written on, else that of the innermost section around it."""
    written = list(_written(text))
    for depth in range(len(place), 0, -1):
        for path, number in written:
            if path[:depth] == place[:depth]:
                return number
    return None


def _written(text: str) -> Iterator[tuple[tuple[str | int, ...], int]]:
    """(place, line) of every header and key of a TOML text; tomllib keeps no lines."""
    table: tuple[str | int, ...] = ()
    repeats: dict[tuple[str, ...], int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if head := _TABLE.match(line):
            names = tuple(head[2].replace('"', "").split("."))
            if head[1] == "[[":
                repeats[names] = repeats.get(names, -1) + 1
            table = (*names, repeats[names]) if head[1] == "[[" else names
            yield table, number
        elif key := _KEY.match(line):
            yield (*table, *key[1].replace('"', "").split(".")), number


def _flat(data: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in data.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _toml(table: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    """Lines of a table: its values, then its tables."""
    inner = {key: value for key, value in table.items() if isinstance(value, dict)}
    if path:
        yield f"\n[{'.'.join(map(_toml_key, path))}]"
    yield from (f"{_toml_key(key)} = {_toml_value(v)}" for key, v in table.items() if key not in inner)
    for key, value in inner.items():
        yield from _toml(value, (*path, key))


def _toml_key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _toml_value(key)


def _toml_value(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_toml_value, value))}]"
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{_toml_key(k)} = {_toml_value(v)}' for k, v in value.items())} }}"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
