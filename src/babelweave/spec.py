"""SPECs: `name`, `name:argument`, a folder or a Hub id, then `?key=value&key=value`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, get_args, get_type_hints
from urllib.parse import unquote

from babelweave.errors import UsageError, nearest


class Spec(NamedTuple):
    """`target` before the first "?", `options` after it, percent-decoded ("+" stays a plus)."""

    target: str
    options: Mapping[str, str]


def parse_spec(spec: str) -> Spec:
    """Split a SPEC; nothing is looked up.

    Raises:
        UsageError: no target, an option without "=", or one given twice.
    """
    target, _, tail = spec.partition("?")
    if not target.strip():
        raise UsageError(f"{spec!r}: a SPEC begins with a registry name, a folder or a Hub id")
    options: dict[str, str] = {}
    for pair in filter(None, tail.split("&")):
        key, equals, value = pair.partition("=")
        if not equals:
            raise UsageError(f"{spec!r}: {pair!r} is not key=value")
        if key in options:
            raise UsageError(f"{spec!r}: {key} is given twice")
        options[key] = unquote(value)
    return Spec(target.strip(), options)


def _boolean(value: str) -> bool:
    try:
        return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[value.lower()]
    except KeyError:
        raise ValueError from None


_READERS: dict[type, tuple[Callable[[str], Any], str]] = {
    bool: (_boolean, "true or false"),
    int: (int, "a whole number"),
    float: (float, "a number"),
    str: (str, "a text"),
}


def options_of(part: type) -> dict[str, type]:
    """The options a SPEC may give: keyword-only arguments (`name` excepted) and their types."""
    hints = get_type_hints(part.__init__)  # type: ignore[misc]
    options = {}
    for parameter in inspect.signature(part).parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.name != "name":
            kinds = (hints[parameter.name], *get_args(hints[parameter.name]))
            options[parameter.name] = next((kind for kind in _READERS if kind in kinds), str)
    return options


def read_options(given: Mapping[str, str], part: type, subject: str, kind: str = "encoder") -> dict[str, Any]:
    """Option texts to the values the constructor of `part` takes.

    Raises:
        UsageError: an unknown key (with the nearest), or a value of the wrong type.
    """
    known = options_of(part)
    values: dict[str, Any] = {}
    for key, text in given.items():
        if key not in known:
            raise UsageError(f"{kind} {subject} has no option {key!r}; {nearest(key, known)}")
        read, wanted = _READERS[known[key]]
        try:
            values[key] = read(text)
        except ValueError:
            raise UsageError(f"{kind} {subject}: {key}={text!r} is not {wanted}") from None
    return values
