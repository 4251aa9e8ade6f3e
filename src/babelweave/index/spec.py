"""Index SPECs: a name, then `?key=value&...` options: `exact`, `hnsw?efSearch=128`, `IVF1024,PQ32?nprobe=64`.

exact                 numpy, the oracle
flat, ivf, hnsw       FAISS; ivf1024 and hnsw32 fix the size
any other name        a FAISS index factory string
bm25                  texts instead of vectors
"""

from __future__ import annotations

from collections.abc import Collection

from babelweave.errors import UsageError, nearest
from babelweave.spec import Spec


def spec_text(spec: Spec) -> str:
    """The SPEC as it is kept in a manifest."""
    options = "&".join(f"{key}={value}" for key, value in spec.options.items())
    return f"{spec.target}?{options}" if options else spec.target


def number(spec: Spec, option: str, default: float, *, at_least: float = 0.0) -> float:
    """An option as a finite number.

    Raises:
        UsageError: it is something else, or below `at_least`.
    """
    text = spec.options.get(option)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not at_least <= value < float("inf"):
        raise UsageError(f"index {spec_text(spec)}: {option}={text} is not a number of at least {at_least:g}")
    return value


def refuse_unknown(spec: Spec, known: Collection[str]) -> None:
    """Raise a `UsageError` for the first option that is not `known`."""
    for option in spec.options:
        if option not in known:
            raise UsageError(f"index {spec.target} has no option {option!r}; {nearest(option, known)}")
