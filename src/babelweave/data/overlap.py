"""When two questions or two passages are the same text for the purpose of a leak check."""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import Any


@cache
def _not_words() -> Any:
    import regex

    return regex.compile(r"[^\p{L}\p{M}\p{N}]+")


def question_key(text: str) -> str:
    """What makes two questions the same: letters, marks and digits after NFKC and case folding."""
    folded: str = _not_words().sub(" ", unicodedata.normalize("NFKC", text).casefold())
    return folded.strip()
