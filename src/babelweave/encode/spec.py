"""Encoder SPECs: `name`, `name:argument`, a folder or a Hub id, then `?key=value&key=value`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_type_hints
from urllib.parse import unquote

from babelweave import registry
from babelweave.errors import UsageError, nearest
from babelweave.protocols import Encoder


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


def options_of(encoder: type) -> dict[str, type]:
    """The options a SPEC may give: keyword-only arguments (`name` excepted) and their types."""
    hints = get_type_hints(encoder.__init__)  # type: ignore[misc]
    options = {}
    for parameter in inspect.signature(encoder).parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.name != "name":
            kinds = (hints[parameter.name], *get_args(hints[parameter.name]))
            options[parameter.name] = next((kind for kind in _READERS if kind in kinds), str)
    return options


def read_options(given: Mapping[str, str], encoder: type, subject: str) -> dict[str, Any]:
    """Option texts to the values the encoder's constructor takes.

    Raises:
        UsageError: an unknown key (with the nearest), or a value of the wrong type.
    """
    known = options_of(encoder)
    values: dict[str, Any] = {}
    for key, text in given.items():
        if key not in known:
            raise UsageError(f"encoder {subject} has no option {key!r}; {nearest(key, known)}")
        read, wanted = _READERS[known[key]]
        try:
            values[key] = read(text)
        except ValueError:
            raise UsageError(f"encoder {subject}: {key}={text!r} is not {wanted}") from None
    return values


def open_encoder(spec: str) -> Encoder:
    """Open the encoder a SPEC names: a registry name first, then a folder, then the Hugging Face Hub.

    A registered encoder is a class, made with what follows `name:`, or a function that gives the model
    folder of an installed package.

    Args:
        spec: for instance "minilm", "models/mine?precision=float32&max_tokens_passage=128",
            "intfloat/multilingual-e5-small?revision=main", "openai:text-embedding-3-small?dimensions=512".
    Raises:
        UsageError: malformed, or an unknown option.
        DataError: no model there, or it cannot be opened.
        MissingExtraError: it needs an extra that is not installed.
    """
    target, given = parse_spec(spec)
    name, _, argument = target.partition(":")
    label: str | None = None
    if name in registry.names("encoder") and not Path(target).is_dir():
        found = registry.load("encoder", name)
        if isinstance(found, type):
            encoder: Encoder = found(argument, **read_options(given, found, name))
            return encoder
        if argument:
            raise UsageError(f"{spec!r}: encoder {name} takes nothing after a colon")
        target, label = str(found()), name
    from babelweave.encode.transformer import TransformerEncoder

    options = read_options(given, TransformerEncoder, label or target)
    return TransformerEncoder(target, name=label, **options)
