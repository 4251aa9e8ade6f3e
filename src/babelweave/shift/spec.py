"""Perturbation SPECs, the way from a name on the command line to a perturbation."""

from __future__ import annotations

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
    name, given = parse_spec(spec)
    made = registry.load("perturbation", name)
    perturbation: Perturbation = made(**read_options(given, made, name, "perturbation"))
    return perturbation
