"""Perturbation SPECs, the way from a name on the command line to a perturbation."""

from __future__ import annotations

from typing import Any

from babelweave import registry
from babelweave.protocols import Perturbation
from babelweave.spec import parse_spec, read_options


def open_perturbation(spec: str) -> Perturbation:
    """The perturbation a SPEC names: "transpose", "truncate?end=head", "code_switch?lexicon=FILE&to=en,es".

    Raises:
        UsageError: malformed, an unknown name or option, or a value out of range.
        DataError: a table or lexicon that is missing or broken.
        MissingExtraError: it needs an extra that is not installed.
    """
    made, options = _read(spec)
    perturbation: Perturbation = made(**options)
    return perturbation


def check_perturbation(spec: str) -> None:
    """Refuse a SPEC that names no perturbation or option; no table or lexicon is read.

    Raises:
        UsageError: malformed, or an unknown name or option.
        MissingExtraError: as `open_perturbation`.
    """
    _read(spec)


def _read(spec: str) -> tuple[Any, dict[str, Any]]:
    """The class a SPEC names, and the options it gives."""
    name, given = parse_spec(spec)
    made = registry.load("perturbation", name)
    return made, read_options(given, made, name, "perturbation")
