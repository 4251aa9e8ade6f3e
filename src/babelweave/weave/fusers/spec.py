"""From SPECs and flags to a fuser."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from babelweave import registry
from babelweave.errors import UsageError, nearest
from babelweave.protocols import Fuser
from babelweave.spec import options_of, parse_spec, read_options

_FLAGS = {"alpha": "--alpha", "language_weights": "--language-weights", "normalise": "--normalise"}


def open_fuser(
    spec: str,
    *,
    alpha: float | None = None,
    language_weights: Mapping[str, float] | None = None,
    normalise: bool = False,
) -> Fuser:
    """The fuser a SPEC names: `mean`, `sum`, `max?centroids=4&by=language`.

    Args:
        alpha: None takes the fuser's own default.
    Raises:
        UsageError: an unknown name or option, alpha or a weight out of range, an unknown language.
    """
    name, given = parse_spec(spec)
    made = registry.load("fuser", name)
    for option in given:
        if option in _FLAGS:
            raise UsageError(f"fuser {spec!r}: {option} is given by {_FLAGS[option]}")
        if option not in (own := options_of(made).keys() - _FLAGS.keys()):
            raise UsageError(f"fuser {name} has no option {option!r}; {nearest(option, own)}")
    share = {} if alpha is None else {"alpha": alpha}
    options = read_options(given, made, name, "fuser")
    fuser: Fuser = made(language_weights=language_weights or {}, normalise=normalise, **share, **options)
    return fuser


def vectors_per_passage(fuser: Fuser, languages: Sequence[str]) -> int:
    """v, found by fusing one passage of one dimension without queries."""
    passage, queries = np.zeros((1, 1), np.float32), np.zeros((1, len(languages), 1), np.float32)
    return int(fuser.fuse(passage, queries, queries[..., 0] > 0, languages).shape[1])


def is_linear(spec: str) -> bool:
    """Whether a fuser is linear in the vectors and needs the queries' means alone (its `linear`)."""
    return bool(getattr(open_fuser(spec), "linear", False))


def idle_weights(fuser: Fuser, languages: Collection[str]) -> str:
    """One line that names weighted languages which are not woven: their weights do nothing. Else ""."""
    idle = [lang for lang in fuser.settings.get("language_weights", {}) if lang not in languages]
    return f"weights without effect, their queries are not woven: {', '.join(idle)}" if idle else ""


def parse_weights(text: str | None) -> dict[str, float]:
    """ "ar=2,de=0.5" to numbers; codes are checked by the fuser.

    Raises:
        UsageError: not of that form, or a language twice.
    """
    weights: dict[str, float] = {}
    for pair in filter(None, (text or "").split(",")):
        lang, equals, number = pair.partition("=")
        try:
            weight = float(number)
        except ValueError:
            equals = ""
        if not equals or lang in weights:
            raise UsageError(
                f"language weights {text!r}: expected lang=number, each language once, not {pair!r}"
            )
        weights[lang] = weight
    return weights
