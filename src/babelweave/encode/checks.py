"""What every encoder refuses, on the way in and on the way out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from babelweave.errors import DataError, UsageError
from babelweave.records import Float32


def check_role(role: str) -> None:
    """Raises UsageError for anything but query and passage."""
    if role not in ("query", "passage"):
        raise UsageError(f"unknown role {role!r}; known: query, passage")


def check_unicode(texts: Sequence[str]) -> None:
    """Refuse lone surrogates, which no tokenizer and no request can carry.

    Raises:
        DataError: names the position.
    """
    for i, text in enumerate(texts):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise DataError(f"text {i} is not valid Unicode ({error.reason}); repair the source") from error


def check_finite(vectors: Float32) -> None:
    """Refuse NaN and infinities.

    Raises:
        DataError: names the positions of the texts, at most three.
    """
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(bad):
        shown = ", ".join(map(str, bad[:3])) + (" ..." if len(bad) > 3 else "")
        raise DataError(
            f"{len(bad)} of {len(vectors)} vectors are not finite (texts {shown} of the call); the weights "
            "are damaged, or the precision is too low for this model"
        )
