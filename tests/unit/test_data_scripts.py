"""Languages told apart by script."""

from __future__ import annotations

from pathlib import Path

import pytest

from babelweave.data import xor
from babelweave.data.scripts import Scripts
from babelweave.errors import DataError, UsageError

XOR = Scripts(xor.LANGUAGES)


@pytest.mark.parametrize(
    ("text", "lang"),
    [
        ("متى ولد نابليون؟", "ar"),
        ("নেপোলিয়ন কবে জন্মগ্রহণ করেন?", "bn"),
        ("Milloin Napoleon syntyi?", "fi"),
        ("ナポレオンはいつ生まれた?", "ja"),
        ("나폴레옹은 언제 태어났나?", "ko"),
        ("Когда родился Napoléon?", "ru"),
        ("నెపోలియన్ ఎప్పుడు జన్మించాడు?", "te"),
        ("第二次世界大戦", "ja"),  # Han letters alone are also Korean's
        ("DNA", "fi"),
        ("Blizzard Entertainment社が最初に開発したゲームは何", "ja"),
    ],
)
def test_by_most_letters(text: str, lang: str) -> None:
    assert XOR.language(text) == lang


def test_neither_letters_nor_a_script_of_its_own() -> None:
    with pytest.raises(DataError, match="script of none of ar, bn"):
        XOR.language("1789?")
    with pytest.raises(UsageError, match="no script tells de, es"):
        Scripts(["de", "es", "ru"])
    with pytest.raises(UsageError, match="no script tells de"):
        Scripts(["de"])


@pytest.mark.data
def test_every_question_of_xor_tydi(data_root: Path) -> None:
    for split in ("train", "dev"):
        queries = xor.read_questions(data_root / "xor-tydi", split)
        assert [q for q in queries if XOR.language(q.text) != q.lang] == []
