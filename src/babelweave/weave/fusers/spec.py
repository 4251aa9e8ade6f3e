"""From names and flags to a fuser."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from babelweave import registry
from babelweave.errors import UsageError
from babelweave.protocols import Fuser


def open_fuser(
    name: str,
    *,
    alpha: float | None = None,
    language_weights: Mapping[str, float] | None = None,
    normalise: bool = False,
) -> Fuser:
    """The registered fuser of that name; `alpha=None` takes its own default.

    Raises:
        UsageError: an unknown name, alpha or a weight out of range, an unknown language.
    """
    made = registry.load("fuser", name)
    share = {} if alpha is None else {"alpha": alpha}
    fuser: Fuser = made(language_weights=language_weights or {}, normalise=normalise, **share)
    return fuser


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
