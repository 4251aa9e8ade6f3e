"""Lexicon: both file layouts, the order of translations, broken files."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

import lexicon_cases
from babelweave.errors import DataError, UsageError
from babelweave.generate.lexicon import Lexicon, clean_lemma


def test_translations_of_the_usual_meaning_come_first() -> None:
    lexicon = lexicon_cases.lexicon()
    assert lexicon.translate("bank", "en", "de") == ("Bank", "Ufer")
    assert lexicon.translate("Bank", "en", "es") == ("banco",)
    assert lexicon.translate("build", "en", "ar") == ()
    assert lexicon.translate("nowhere", "en", "de") == ()


def test_own_script_goes_first_in_a_tie() -> None:
    assert lexicon_cases.lexicon().translate("bank", "en", "ar") == ("بنك", "xyz")


def test_any_language_pivots_to_any() -> None:
    assert lexicon_cases.lexicon().translate("Ufer", "de", "en") == ("bank", "riverside")
    assert lexicon_cases.lexicon().translate("نهر", "ar", "es") == ("río",)


def test_spelling_tells_names_from_words() -> None:
    lexicon = lexicon_cases.lexicon()
    assert lexicon.spelled("Paris", "en")
    assert lexicon.spelled("bush", "en")
    assert not lexicon.spelled("Bush", "en")


def test_reach_counts_languages_of_the_widest_meaning() -> None:
    lexicon = lexicon_cases.lexicon()
    assert [lexicon.reach(t, "en") for t in ("bank", "riverside", "absent")] == [4, 2, 0]


def test_unknown_language_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="'fr'"):
        lexicon_cases.lexicon().translate("bank", "en", "fr")


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("steam_engine", "steam engine"),
        ("快乐+的", "快乐的"),
        ("kubit (dolžinska mera)", "kubit"),
        ("سعِيد", "سعيد"),
    ],
)
def test_lemmas_are_cleaned(raw: str, clean: str) -> None:
    assert clean_lemma(raw) == clean


def test_both_layouts_and_gzip_agree(tmp_path: Path) -> None:
    wordnet = tmp_path / "omw.tsv"
    wordnet.write_text("eng\t00000001-n\tdog|hound\ndeu\t00000001-n\tHund\n", encoding="utf-8")
    plain = tmp_path / "plain.tsv.gz"
    plain.write_bytes(gzip.compress("dog\tde\tHund|Köter\n\ndog\tzh_cn\t狗\n".encode()))
    assert Lexicon.open(wordnet).translate("hound", "en", "de") == ("Hund",)
    opened = Lexicon.open(plain)
    assert opened.languages == {"en", "de", "zh"}
    assert opened.translate("dog", "en", "de") == ("Hund", "Köter")
    assert opened.translate("狗", "zh", "de") == ("Hund", "Köter")
    assert Lexicon.open(wordnet).digest != opened.digest


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.tsv", b"eng\t00000001-n\tdog\ndog\tde\n", "line 2: 2 columns"),
        ("a.tsv", b"", "no rows"),
        ("a.tsv", b"eng\t00000001-n\t\xff\n", "UTF-8"),
        ("a.tsv.gz", b"eng\t00000001-n\tdog\n", "not gzipped"),
        ("a.tsv.gz", gzip.compress(b"eng\t00000001-n\tdog\n" * 99, mtime=0)[:-12], "not gzipped"),
    ],
)
def test_broken_files_are_data_errors(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        Lexicon.open(path)
    with pytest.raises(DataError, match="no such file"):
        Lexicon.open(tmp_path / "absent.tsv")


@pytest.mark.data
def test_wordnet_translates_common_words(data_root: Path) -> None:
    lexicon = Lexicon.open(data_root / "omw" / "omw_synset_lemmas.tsv.gz")
    assert len(lexicon.languages) == 49
    assert lexicon.translate("war", "en", "de")[0] == "Krieg"
    assert lexicon.translate("dog", "en", "ar")[0] == "كلب"
    assert lexicon.translate("guerra", "es", "zh")[0] == "战争"
