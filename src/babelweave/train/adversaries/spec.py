"""`[[adversaries]]` of a recipe: a name, a weight, when it begins, and the options of the adversary."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NamedTuple

from pydantic import ConfigDict, Field, NonNegativeFloat, NonNegativeInt, TypeAdapter, model_validator

from babelweave import registry
from babelweave.errors import UsageError, nearest
from babelweave.protocols import Adversary
from babelweave.recipe import Strict
from babelweave.spec import options_of

KIND = "adversary"


class AdversarySection(Strict):
    """A loss added to the contrastive one. Beside these keys stand the options of the adversary named."""

    model_config = ConfigDict(extra="allow")

    name: str
    """A registered adversary."""
    weight: NonNegativeFloat = 1.0
    """Factor of its loss; 0 trains as without it, to the bit."""
    start_step: NonNegativeInt = 0
    """Steps before it begins, so that a model first learns what it is to keep."""

    @model_validator(mode="before")
    @classmethod
    def _resolved(cls, data: Any) -> Any:
        """The options checked, every default written out."""
        if not isinstance(data, Mapping) or not isinstance(data.get("name"), str):
            return data
        own = {key: value for key, value in data.items() if key not in cls.model_fields}
        adversary = open_adversary(data["name"], own)
        resolved = json.loads(json.dumps(dict(adversary.settings)))
        return {**data, **{key: value for key, value in resolved.items() if key != "name"}}

    def open(self) -> Adversary:
        return open_adversary(self.name, self.model_extra or {})


Adversaries = Annotated[tuple[AdversarySection, ...], Field(default=())]


def open_adversary(name: str, options: Mapping[str, Any]) -> Adversary:
    """A registered adversary with some options, the others its defaults.

    Raises:
        UsageError: an unknown name or option, with the nearest; a value of the wrong type or out of range.
    """
    made = registry.load(KIND, name)
    known = options_of(made)
    for option in options:
        if option not in known:
            raise UsageError(f"adversary {name} has no option {option!r}; {nearest(option, known)}")
    given = {key: value for key, value in options.items() if value is not None}
    try:
        adversary: Adversary = TypeAdapter(made).validate_json(json.dumps(given), strict=True)
    except ValueError as error:
        raise UsageError(_told(name, error)) from None
    return adversary


def _told(name: str, error: ValueError) -> str:
    """Every fault of the options, in our words where they are ours."""
    if not hasattr(error, "errors"):
        return str(error)
    told = []
    for fault in error.errors(include_url=False):
        message = fault["msg"].removeprefix("Value error, ")
        place = ".".join(map(str, fault["loc"]))
        told.append(f"adversary {name}: {place}: {message}, not {fault['input']!r}" if place else message)
    return "; ".join(told)


class Entry(NamedTuple):
    """An adversary of a run."""

    label: str
    """What its part of the loss is called: its name, numbered where it stands twice."""
    adversary: Adversary
    weight: float
    start_step: int


def open_entries(sections: Sequence[AdversarySection]) -> list[Entry]:
    """The adversaries of a recipe that have a weight."""
    entries: list[Entry] = []
    for section in sections:
        if section.weight:
            n = sum(entry.adversary.name == section.name for entry in entries)
            label = f"{section.name}_{n + 1}" if n else section.name
            entries.append(Entry(label, section.open(), section.weight, section.start_step))
    return entries
