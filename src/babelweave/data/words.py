"""The terms of a text in any script: what BM25 counts, and what says how much of a question was copied."""

from __future__ import annotations

import unicodedata
from functools import cache
from itertools import pairwise
from typing import Any

EAST_ASIAN = r"[\p{Han}\p{Hiragana}\p{Katakana}ー\p{Bopomofo}]"
SOUTHEAST_ASIAN = r"[\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]"
SPACELESS = rf"[{EAST_ASIAN}{SOUTHEAST_ASIAN}]"
"""Letters of the scripts that write no spaces between words, as a class of the `regex` module's V1 syntax."""


@cache
def _words() -> Any:
    import regex

    return regex.compile(
        rf"(?P<run>{SPACELESS}(?:{SPACELESS}|\p{{M}})*)|(?:(?!{SPACELESS})[\p{{L}}\p{{M}}\p{{N}}])+", regex.V1
    )


def terms(text: str) -> list[str]:
    """The terms of a text in any script, in order.

    Words are runs of letters, marks and digits after NFKC and case folding. Where a script writes no
    spaces (Chinese, Japanese, Thai, Lao, Khmer, Burmese) a run becomes its overlapping pairs of
    graphemes, as Lucene's CJK analyser does; a run of one grapheme stays whole.
    """
    import regex

    found = []
    for match in _words().finditer(unicodedata.normalize("NFKC", text).casefold()):
        if match["run"] is None:
            found.append(match[0])
            continue
        graphemes = regex.findall(r"\X", match[0])
        found += ["".join(pair) for pair in pairwise(graphemes)] or graphemes
    return found
