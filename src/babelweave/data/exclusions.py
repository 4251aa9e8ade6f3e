"""The list of English passages known to stand close to an evaluation set, by the sha1 of their text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from babelweave.data.lines import file_objects
from babelweave.errors import DataError

EXCLUSIONS = "leak_exclusions.jsonl.gz"
"""Its name in the data folder."""


def read_exclusions(path: Path) -> Mapping[str, str]:
    """sha1 of the raw text -> the article it is from.

    Raises:
        DataError: missing, or a row of another shape.
    """
    found: dict[str, str] = {}
    for where, row in file_objects(path):
        if not isinstance(row.get("sha1"), str):
            raise DataError(f"{where}: no sha1; expected rows of {{eval, pool, why, overlap, title, sha1}}")
        found[row["sha1"]] = str(row.get("title", ""))
    return found
