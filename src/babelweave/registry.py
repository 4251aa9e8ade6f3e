"""Every named part: kind and name to the object, the extra it needs, and one line of help.

Adding a part is one new file and one row here; help texts, error messages and the conformance suites
read this table.
"""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple

from babelweave.errors import MissingExtraError, UsageError, nearest


class Entry(NamedTuple):
    target: str
    """`module:attribute`, imported when first asked for."""
    help: str
    extra: str | None = None
    """The `babelweave[extra]` that installs what it imports."""


TABLE: dict[str, dict[str, Entry]] = {
    "encoder": {
        "minilm": Entry(
            "babelweave.encode.packaged:minilm",
            "all-MiniLM-L6-v2, installed with babelweave: English, 384 dimensions",
        ),
        "openai": Entry(
            "babelweave.encode.remote:RemoteEncoder",
            "openai:MODEL?url=...: any OpenAI-compatible /v1/embeddings endpoint",
            "openai",
        ),
    },
    "generator": {},
    "fuser": {},
    "index": {
        "exact": Entry("babelweave.index.exact:ExactIndex", "every row compared, with numpy; the oracle"),
        "flat": Entry("babelweave.index.faiss:FaissIndex", "every row compared, with FAISS"),
        "ivf": Entry(
            "babelweave.index.faiss:FaissIndex", "FAISS inverted lists; ivf1024?nprobe=128 sets the sizes"
        ),
        "hnsw": Entry(
            "babelweave.index.faiss:FaissIndex", "FAISS graph; hnsw32?efSearch=128 sets the sizes"
        ),
        "bm25": Entry("babelweave.index.bm25:Bm25Index", "terms instead of vectors; bm25?k1=1.5&b=0.75"),
    },
    "dataset": {},
    "benchmark": {},
}


def names(kind: str) -> list[str]:
    """The names registered under a kind, sorted."""
    return sorted(TABLE[kind])


def entry(kind: str, name: str) -> Entry:
    """The row of a name.

    Raises:
        UsageError: unknown; the message holds the nearest name and the list.
    """
    try:
        return TABLE[kind][name]
    except KeyError:
        raise UsageError(f"unknown {kind} {name!r}; {nearest(name, TABLE[kind])}") from None


def load(kind: str, name: str) -> Any:
    """Import and return the object behind a name.

    Raises:
        UsageError: unknown name.
        MissingExtraError: its extra is not installed; the message is the command that installs it.
    """
    found = entry(kind, name)
    module, attribute = found.target.split(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        if found.extra is None or (error.name or "").startswith("babelweave"):
            raise
        raise MissingExtraError(
            f"{kind} {name!r} needs {error.name!r}; install it with: pip install 'babelweave[{found.extra}]'"
        ) from error
