"""The terms of a text in any script: what BM25 counts, and what says how much of a question was copied."""

from __future__ import annotations

import unicodedata
from functools import cache
from itertools import pairwise
from typing import Any


@cache
def _words() -> Any:
    import regex

    spaceless = r"[\p{Han}\p{Hiragana}\p{Katakana}ー\p{Bopomofo}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]"
    return regex.compile(
        rf"(?P<run>{spaceless}(?:{spaceless}|\p{{M}})*)|(?:(?!{spaceless})[\p{{L}}\p{{M}}\p{{N}}])+"
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
