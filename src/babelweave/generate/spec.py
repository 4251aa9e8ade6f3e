"""Generator SPECs, the way from a name on the command line to a generator."""

from __future__ import annotations

from babelweave import registry
from babelweave.errors import UsageError
from babelweave.protocols import Generator
from babelweave.spec import parse_spec, read_options


def open_generator(spec: str) -> Generator:
    """Open the generator a SPEC names: a registered class, made with the options after "?".

    Args:
        spec: for instance "lexical" or "lexical?lexicon=omw.tsv.gz&form=keywords&terms=6".
    Raises:
        UsageError: malformed, an unknown name or option.
        DataError: what it needs is missing or broken.
    """
    target, given = parse_spec(spec)
    made = registry.load("generator", target)
    if not isinstance(made, type):
        raise UsageError(f"{spec!r}: {target} cannot be opened by a SPEC")
    generator: Generator = made(**read_options(given, made, target, "generator"))
    return generator
