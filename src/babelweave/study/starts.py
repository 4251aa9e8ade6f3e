"""Starts that a recipe makes: the recipe as it is packaged or written, changed, and without a language."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from babelweave import registry
from babelweave.errors import UsageError, nearest
from babelweave.recipe import KIND, STUDY, Recipe, Source, checked, data_path, read_source
from babelweave.shift.splits import leave_language_out
from babelweave.study.recipe import merged
from babelweave.study.sections import Start


class Made(NamedTuple):
    """The recipe of a start, and what the language it leaves out took from it (`LeftOut.dropped`)."""

    recipe: Recipe
    dropped: tuple[str, ...]


def read_start(start: Start, root: str | None) -> Made:
    """The recipe that makes a start.

    Args:
        root: where its relative paths begin; None for its own root.
    Raises:
        UsageError: no such recipe, faults in it, a set that `set` names and the recipe lacks, or a language
            that nothing in it is in.
        MissingExtraError: its kind needs a library that is not installed.
    """
    assert start.recipe is not None
    source = start.recipe
    if source.endswith(".toml"):
        source = str(data_path(source, root))
    overrides = [] if root is None else [f"data.root={json.dumps(root)}"]
    found = read_source(source, overrides)
    where = f"start {start.name}: {found.name}"
    kind = found.data.get("kind")
    if kind == STUDY or not isinstance(kind, str):
        raise UsageError(f"{where}: kind is {kind!r}; {nearest('', registry.names(KIND))}")
    tables = changed(found.data, start.set or {}, where)
    dropped: tuple[str, ...] = ()
    if start.without is not None:
        try:
            left = leave_language_out(tables, start.without)
        except UsageError as error:
            raise UsageError(f"{where}: {error}") from error
        tables, dropped = left.recipe, left.dropped
    model: type[Recipe] = registry.load(KIND, kind)
    return Made(checked(model, Source(where, found.text, tables, found.overridden)), dropped)


def changed(tables: Mapping[str, Any], change: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Tables over tables, key by key; a table over a list of named ones changes those it names.

    Raises:
        UsageError: a name that none of the list has, with `where`.
    """
    found = merged(tables, {})
    for key, value in change.items():
        old = found.get(key)
        if isinstance(old, list) and isinstance(value, Mapping):
            named = {part["name"]: part for part in old if isinstance(part, dict) and "name" in part}
            if unknown := sorted(value.keys() - named.keys()):
                hint = nearest(unknown[0], named)
                raise UsageError(f"{where}: set: no part of {key} is called {unknown[0]!r}; {hint}")
            found[key] = [changed(part, value.get(part.get("name"), {}), where) for part in old]
        elif isinstance(old, dict) and isinstance(value, Mapping):
            found[key] = changed(old, value, where)
        else:
            found[key] = merged({key: value}, {})[key]
    return found
