"""Keyboards as letter -> neighbouring letters, from rows of keys or from JSON files of that form."""

from __future__ import annotations

import tomllib
import unicodedata
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path

from babelweave.artifact import read_json
from babelweave.data.languages import canonical
from babelweave.errors import DataError
from babelweave.shift.edits import is_one_grapheme

Neighbours = Mapping[str, Sequence[str]]

PACKAGED = Path(__file__).with_name("layouts.toml")
_STARTS = (-0.5, 0.0, 0.25, 0.75)
"""Where a row begins, in widths of a key, on the keyboards of ISO/IEC 9995: each row is shifted."""


def packaged_layouts() -> dict[str, Neighbours]:
    """Language -> letter -> the letters on the keys that touch its own."""
    tables = tomllib.loads(PACKAGED.read_text(encoding="utf-8"))
    layouts: dict[str, Neighbours] = {}
    for lang, table in tables.items():
        keys = tables[table["same"]] if "same" in table else table
        layouts[lang] = neighbours(keys["rows"]) | neighbours(keys.get("shifted", ()))
    return layouts


def neighbours(rows: Sequence[str]) -> dict[str, list[str]]:
    """Letter -> the letters less than a key's width away on another row, or next to it on its own.

    Example:
        >>> neighbours(["", "q w e r", "a s d f", "z x c v"])["s"]
        ['w', 'e', 'a', 'd', 'z', 'x']
    """
    keys = [
        (key, row, start + column)
        for row, (start, written) in enumerate(zip(_STARTS, rows, strict=False))
        for column, key in enumerate(written.split())
        if key != "_"
    ]
    found: dict[str, list[str]] = {key: [] for key, _, _ in keys}
    for (key, row, x), (other, other_row, other_x) in product(keys, keys):
        away = abs(x - other_x)
        if (row == other_row and away == 1) or (abs(row - other_row) == 1 and away < 1):
            found[key].append(other)
    return found


def read_layouts(folder: Path) -> dict[str, Neighbours]:
    """Keyboards of a folder of `LANG.json` files, {key: [neighbouring keys]}, as nlpaug's are; letters only.

    Raises:
        DataError: no such folder, no file in it, or one of another form.
        UsageError: a file is named after no language.
    """
    files = sorted(folder.glob("*.json"))
    if not files:
        raise DataError(
            f"{folder}: holds no LANG.json; expected one file of keys and neighbours per language"
        )
    layouts: dict[str, Neighbours] = {}
    for path in files:
        table = read_json(path)
        if not isinstance(table, dict) or not all(
            _is_keys(keys) for key, keys in table.items() if _is_letter(key)
        ):
            raise DataError(f"{path}: expected {{key: [neighbouring keys]}}")
        layouts[canonical(path.stem)] = {
            key: [near for near in keys if _is_letter(near)] for key, keys in table.items() if _is_letter(key)
        }
    return layouts


def alike(a: str, b: str) -> bool:
    """Whether two letters can stand in each other's place: both letters, or both marks put on one."""
    return _stands_alone(a) == _stands_alone(b) and unicodedata.category(a)[0] == unicodedata.category(b)[0]


def _stands_alone(letter: str) -> bool:
    return not is_one_grapheme(f"a{letter}")


def _is_keys(keys: object) -> bool:
    return isinstance(keys, list) and all(isinstance(key, str) for key in keys)


def _is_letter(key: str) -> bool:
    return len(key) == 1 and unicodedata.category(key)[0] in "LM"
