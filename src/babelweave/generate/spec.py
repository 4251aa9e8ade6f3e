"""Generator SPECs, the way from a name on the command line to a generator."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path

from babelweave import registry
from babelweave.errors import UsageError
from babelweave.generate.lexicon import FILE
from babelweave.protocols import Generator
from babelweave.spec import parse_spec, read_options


def open_generator(spec: str) -> Generator:
    """Open the generator a SPEC names: a registry name first, then a model folder, then a Hub id.

    A registered generator is a class, made with what follows `name:` if it takes that, or a function that
    gives the folder of an installed package. A folder with a lexicon is opened by the lexical generator,
    one that was converted for CTranslate2 by that, any other by Hugging Face.

    Args:
        spec: for instance "lexical?form=keywords&terms=6", "models/mine?precision=bfloat16",
            "ielabgroup/xor-tydi-docTquery-mt5-base", "chat:qwen?url=http://localhost:8000/v1".
    Raises:
        UsageError: malformed, an unknown name or option.
        DataError: what it needs is missing or broken.
        MissingExtraError: it needs an extra that is not installed.
    """
    target, given = parse_spec(spec)
    name, colon, argument = target.partition(":")
    if not Path(target).is_dir() and (name in registry.names("generator") or "/" not in target):
        found = registry.load("generator", name)
        if isinstance(found, type):
            return _make(found, spec, name, argument if colon else None, given)
        if colon:
            raise UsageError(f"{spec!r}: generator {name} takes nothing after a colon")
        target = str(found())
    if (lexicon := Path(target) / FILE).is_file():
        return _make(
            registry.load("generator", "lexical"), spec, "lexical", None, {"lexicon": str(lexicon), **given}
        )
    name = "ctranslate2" if (Path(target) / "model.bin").is_file() else "seq2seq"
    return _make(registry.load("generator", name), spec, name, target, given)


def _make(part: type, spec: str, name: str, argument: str | None, given: Mapping[str, str]) -> Generator:
    parameters = inspect.signature(part).parameters.values()
    takes = any(p.kind is p.POSITIONAL_OR_KEYWORD for p in parameters)
    if takes and not argument:
        raise UsageError(f"{spec!r}: expected {name}:{registry.entry('generator', name).help.split(':')[1]}")
    if argument is not None and not takes:
        raise UsageError(f"{spec!r}: generator {name} takes nothing after a colon")
    options = read_options(given, part, name, "generator")
    generator: Generator = part(argument, **options) if takes else part(**options)
    return generator
