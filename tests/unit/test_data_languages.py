"""One table for every source's language codes."""

from __future__ import annotations

import csv
import gzip
import zipfile
from pathlib import Path

import pytest

from babelweave.data.languages import canonical, english_name, known_languages
from babelweave.errors import UsageError

# Every spelling here stands in some release, with the tag it must join on.
SPELLINGS = {
    "zh": ["zh_cn", "cmn", "zho_Hans", "zho-CN", "ZH", "chi", "zh-Hans", "zho", " zh"],
    "zh-Hant": ["zho_Hant", "zh_tw", "zho-TW", "zh-Hant", "cmn_Hant"],
    "zh-HK": ["zh_hk"],
    "ar": ["arb_Arab", "arb", "ara", " ar", "ar-SA"],
    "ms": ["zsm", "zsm_Latn", "msa", "may", "ms"],
    "es": ["es-LA", "spa", "spa_Latn", "es-419"],
    "fa": ["pes_Arab", "fas", "per"],
    "sw": ["swh_Latn", "swa"],
    "nb": ["nob", "nob_Latn"],
    "lv": ["lav", "lvs", "lvs_Latn"],
    "sr": ["srp-Cyrl", "srp"],
    "sr-Latn": ["srp_Latn"],
    "ko": ["kor_Hang", "ko-Kore", "kor"],
    "ja": ["jpn_Jpan", "jpn"],
    "tl": ["fil", "tgl_Latn", "tl"],
    "ti": ["ti_ER", "ti_ET", "tir_Ethi"],
    "pt": ["pt-BR", "por"],
    "kr": ["kr", "knc_Latn"],
    "he": ["iw", "heb_Hebr"],
    "ku": ["ku", "kmr_Latn"],
    "yue": ["yue_Hant"],
}


@pytest.mark.parametrize(("tag", "code"), [(t, c) for t, codes in SPELLINGS.items() for c in codes])
def test_spellings_of_one_language_join(tag: str, code: str) -> None:
    assert canonical(code) == tag


def test_canonical_is_idempotent_and_every_tag_has_a_name() -> None:
    for tag in [*known_languages(), *SPELLINGS]:
        assert canonical(tag) == tag
        assert english_name(tag)
    names = [english_name(tag) for tag in known_languages() if tag not in ("ia", "ie")]
    assert len(set(names)) == len(names)


def test_names_say_the_variant() -> None:
    assert english_name("zho_Hant") == "Chinese (traditional)"
    assert english_name("srp_Latn") == "Serbian (Latin script)"
    assert english_name("zh_hk") == "Chinese (Hong Kong)"
    assert english_name("deu_Latn") == "German"


@pytest.mark.parametrize("code", ["", "xx", "english", "e n", "zh-Hant-", "de-Cyrl", "qqq_Latn", "../en"])
def test_unknown_codes_are_refused(code: str) -> None:
    with pytest.raises(UsageError, match="unknown language"):
        canonical(code)


@pytest.mark.data
def test_every_code_of_the_real_data_is_known(data_root: Path) -> None:
    codes = {p.name for p in (data_root / "sib200").iterdir() if p.is_dir()}
    with gzip.open(data_root / "omw" / "omw_synset_lemmas.tsv.gz", "rt", encoding="utf-8") as file:
        codes |= {row[0] for row in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)}
    codes |= {c for p in (data_root / "tatoeba").iterdir() for c in p.name.split(".")[0].split("-")}
    with zipfile.ZipFile(data_root / "ntrex128" / "ntrex128.zip") as archive:
        codes |= {name.split(".")[-2] for name in archive.namelist() if "newstest" in name}
    assert len(codes) > 90
    assert len({canonical(code) for code in codes}) > 50
