"""Letters of another alphabet that look the same."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from babelweave.artifact import digest_texts, reading
from babelweave.errors import DataError
from babelweave.shift.edits import Place, drawn, edit, is_idle

SHARES = (0.0, 0.05, 0.1, 0.2, 0.4, 0.7)
"""Severity -> share of the letters that have a look-alike; at least one."""
LANGUAGES = frozenset("ar cs de el en es fi fr id it ms nl pl pt ru sv sw tr uk vi".split())
"""Written in Latin, Greek, Cyrillic or Arabic letters, which have look-alikes in daily use."""
PACKAGED = Path(__file__).with_name("homoglyphs.tsv")
_CONFUSABLES_COLUMNS = 3


class Homoglyphs:
    """Letters replaced by look-alikes: Latin "a" by Cyrillic "а", Arabic "ي" by the Persian "ی".

    Readers see no difference, models do. Marked letters ("é") stay as they are.

    Args:
        table: `confusables.txt` of Unicode (UTS #39) instead of the packaged selection of common alphabets.
    Raises:
        DataError: the table is missing or broken.
    """

    def __init__(self, *, table: str | None = None) -> None:
        self._alike = _read_confusables(Path(table)) if table else _packaged()

    @property
    def signature(self) -> Mapping[str, Any]:
        rows = (f"{letter} {others}" for letter, others in sorted(self._alike.items()))
        return {"name": "homoglyphs", "table": digest_texts(rows)}

    @property
    def languages(self) -> frozenset[str]:
        return LANGUAGES

    def perturb(self, text: str, lang: str, severity: int, seed: int) -> str:
        if is_idle(self, lang, severity):
            return text
        places = [Place(i, i + 1) for i, letter in enumerate(text) if letter in self._alike]

        def replace(letter: str, lot: float) -> str:
            others = self._alike[letter]
            return others[int(lot * len(others))]

        return edit(text, places, SHARES[severity], drawn("homoglyphs", text, lang, seed), replace)


def _packaged() -> dict[str, str]:
    lines = PACKAGED.read_text(encoding="utf-8").splitlines()
    return dict(line.split("\t") for line in lines if not line.startswith("#"))


def _read_confusables(path: Path) -> dict[str, str]:
    """Letter -> the letters with the same skeleton (UTS #39, section 4), where both are of the same case."""
    skeletons: defaultdict[str, list[str]] = defaultdict(list)
    for letter, skeleton in _rows(path):
        skeletons[skeleton].append(letter)
    alike: dict[str, str] = {}
    for skeleton, letters in skeletons.items():
        group = [letter for letter in dict.fromkeys([skeleton, *letters]) if _is_letter(letter)]
        for letter in group:
            others = [
                o for o in group if o != letter and unicodedata.category(o) == unicodedata.category(letter)
            ]
            if others:
                alike[letter] = "".join(others)
    return alike


def _rows(path: Path) -> Iterator[tuple[str, str]]:
    with reading(path):
        text = path.read_bytes()
    try:
        lines = text.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 ({error})") from error
    for number, line in enumerate(lines, 1):
        row = line.partition("#")[0].strip()
        if not row:
            continue
        columns = row.split(";")
        try:
            letter, skeleton = ("".join(chr(int(code, 16)) for code in c.split()) for c in columns[:2])
        except (ValueError, OverflowError):
            columns = []
        if len(columns) != _CONFUSABLES_COLUMNS:
            raise DataError(
                f"{path}, line {number}: {row!r}; expected code ; codes ; type, as confusables.txt"
            )
        yield letter, skeleton


def _is_letter(text: str) -> bool:
    """One letter that composing leaves alone."""
    return len(text) == 1 and text.isalpha() and unicodedata.is_normalized("NFKC", text)
