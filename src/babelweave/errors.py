"""Every error babelweave raises on purpose.

    BabelweaveError            exit 1   a fault of the run itself
    ├── StorageError           exit 1   the disk refused: full, read-only, gone        (OSError)
    ├── UsageError             exit 2   flags, recipes, unknown names                  (ValueError)
    ├── DataError              exit 3   missing, broken, hostile or inconsistent input (ValueError)
    │   └── SignatureError     exit 3   vectors of one encoder met those of another
    └── MissingExtraError      exit 4   an optional dependency is not installed        (ImportError)

A message says what happened, where, what was expected, and what to do about it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class BabelweaveError(Exception):
    """Root of the tree; `exit_code` is what the command line returns."""

    exit_code = 1


class StorageError(BabelweaveError, OSError):
    """The disk refused a write or a read; nothing half-written is left behind."""


class UsageError(BabelweaveError, ValueError):
    """What was asked for does not exist or contradicts itself."""

    exit_code = 2


class DataError(BabelweaveError, ValueError):
    """Input that is missing, broken, hostile or inconsistent."""

    exit_code = 3


class SignatureError(DataError):
    """Vectors made by one encoder were about to be compared with those of another."""


class MissingExtraError(BabelweaveError, ImportError):
    """An optional dependency is needed and not installed."""

    exit_code = 4


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint for a mistyped name: the nearest known one and the whole list, as the end of a message."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}known: {', '.join(names) or 'none'}"
