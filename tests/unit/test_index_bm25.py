"""BM25: words of any script, Lucene's formula, misses and ties."""

from __future__ import annotations

import math
import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from babelweave.data.words import terms
from babelweave.errors import DataError, UsageError
from babelweave.index.bm25 import Bm25Index, build_bm25, open_bm25
from babelweave.records import Passage


def _passages(*texts: str) -> list[Passage]:
    return [Passage(chr(ord("a") + i), text, "en") for i, text in enumerate(texts)]


def _index(folder: Path, *texts: str, spec: str = "bm25") -> Bm25Index:
    build_bm25(_passages(*texts), folder / "bm25", spec)
    return open_bm25(folder / "bm25")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The Fox's tail, 3.5 kg!", ["the", "fox", "s", "tail", "3", "5", "kg"]),
        ("STRASSE straße", ["strasse", "strasse"]),
        ("ＡＢＣ　１２", ["abc", "12"]),
        ("北京大学", ["北京", "京大", "大学"]),
        ("猫", ["猫"]),
        ("iPhone手机2020年", ["iphone", "手机", "2020", "年"]),
        ("コーヒーを飲む", ["コー", "ーヒ", "ヒー", "ーを", "を飲", "飲む"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("ที่นี่", ["ที่นี่"]),
        ("العَرَبِيَّة لغة", ["العَرَبِيَّة", "لغة"]),
        ("한국어 위키", ["한국어", "위키"]),
        ("Việt Nam", ["việt", "nam"]),
        ("… — !", []),
        ("", []),
    ],
)
def test_terms(text: str, expected: list[str]) -> None:
    assert terms(text) == expected


def test_a_cluster_of_marks_is_never_cut() -> None:
    """Thai vowels and tones stay with their consonant: three graphemes, two pairs."""
    assert terms("ที่นี่ก็") == ["ที่นี่", "นี่ก็"]


def test_equal_texts_in_other_normal_forms_give_the_same_terms() -> None:
    decomposed = unicodedata.normalize("NFD", "Việt")
    assert decomposed != "Việt"
    assert terms(decomposed) == terms("Việt")


def test_scores_follow_lucenes_formula(tmp_path: Path) -> None:
    index = _index(tmp_path, "fox fox dog", "dog bird bird bird", "cat", spec="bm25?k1=1.2&b=0.5")
    k1, b, mean_length = 1.2, 0.5, 8 / 3

    def score(frequency: int, containing: int, length: int) -> float:
        idf = math.log(1 + (3 - containing + 0.5) / (containing + 0.5))
        return idf * frequency / (frequency + k1 * (1 - b + b * length / mean_length))

    hits = index.search(["fox dog"], 3)
    assert hits.rows.tolist() == [[0, 1, -1]]
    np.testing.assert_allclose(
        hits.scores[0, :2], [score(2, 1, 3) + score(1, 2, 3), score(1, 2, 4)], rtol=1e-6
    )
    assert hits.scores[0, 2] == -np.inf


def test_the_title_is_read_too(tmp_path: Path) -> None:
    build_bm25([Passage("a", "text", "en", title="Berlin"), Passage("b", "text", "en")], tmp_path / "i")
    assert open_bm25(tmp_path / "i").search(["berlin"], 2).rows.tolist() == [[0, -1]]


def test_ties_go_to_the_greater_id_at_the_kth_place_too(tmp_path: Path) -> None:
    index = _index(tmp_path, *["same words"] * 20, "other")
    hits = index.search(["words"], 3)
    assert [index.doc_ids[r] for r in hits.rows[0]] == ["t", "s", "r"]
    assert len(set(hits.scores[0].tolist())) == 1


def test_no_shared_term_is_no_hit(tmp_path: Path) -> None:
    hits = _index(tmp_path, "fox", "").search(["", "!", "unknown", "fox"], 2)
    assert hits.rows.tolist() == [[-1, -1], [-1, -1], [-1, -1], [0, -1]]


def test_no_questions(tmp_path: Path) -> None:
    assert _index(tmp_path, "fox").search([], 4).rows.shape == (0, 4)


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("地球绕着什么转？", "zh"),
        ("富士山の高さは？", "ja"),
        ("ภูเขาไฟคืออะไร", "th"),
        ("भारत की राजधानी क्या है", "hi"),
        ("ما هي عاصمة مصر", "ar"),
        ("한국의 수도는 어디인가", "ko"),
    ],
)
def test_finds_the_passage_in_each_script(question: str, expected: str, tmp_path: Path) -> None:
    texts = {
        "zh": "地球绕着太阳转，月球绕着地球转。",
        "ja": "富士山は日本で一番高い山で、高さは三七七六メートルである。",
        "th": "ภูเขาไฟคือช่องเปิดบนเปลือกโลกที่หินหนืดพุ่งออกมา",
        "hi": "नई दिल्ली भारत की राजधानी है।",
        "ar": "القاهرة عاصمة مصر وأكبر مدنها",
        "ko": "서울은 한국의 수도는 물론 가장 큰 도시이다.",
    }
    build_bm25([Passage(lang, text, lang) for lang, text in texts.items()], tmp_path / "i")
    index = open_bm25(tmp_path / "i")
    assert index.doc_ids[index.search([question], 1).rows[0, 0]] == expected


def test_two_builds_are_equal_byte_for_byte_and_hold_no_pickle(tmp_path: Path) -> None:
    texts = _passages("fox dog", "dog", "bird fox")
    first, second = (build_bm25(texts, tmp_path / str(i)) for i in range(2))
    assert first.files == second.files
    for path in (tmp_path / "0").glob("*.npy"):
        np.load(path, allow_pickle=False)


class TestRefusals:
    def test_a_doc_id_twice(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="comes twice"):
            build_bm25([Passage("a", "x", "en"), Passage("a", "y", "en")], tmp_path / "i")
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("texts", [(), ("!", "…")])
    def test_nothing_to_index(self, texts: tuple[str, ...], tmp_path: Path) -> None:
        with pytest.raises(DataError, match="nothing to index"):
            build_bm25(_passages(*texts), tmp_path / "i")

    @pytest.mark.parametrize(
        ("spec", "message"),
        [("bm25?k=1", "no option 'k'"), ("bm25?b=2", "between 0 and 1"), ("exact", "vectors of a store")],
    )
    def test_specs(self, spec: str, message: str, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=message):
            build_bm25(_passages("x"), tmp_path / "i", spec)

    @pytest.mark.parametrize("name", ["ids.parquet", "vocab.index.json", "data.csc.index.npy"])
    def test_a_file_that_is_cut_or_overwritten(self, name: str, tmp_path: Path) -> None:
        build_bm25(_passages("fox dog", "bird"), tmp_path / "i")
        shutil.copytree(tmp_path / "i", tmp_path / "cut")
        content = (tmp_path / "cut" / name).read_bytes()
        (tmp_path / "cut" / name).write_bytes(content[:-1])
        with pytest.raises(DataError, match="cut or changed"):
            open_bm25(tmp_path / "cut")
        (tmp_path / "i" / name).write_bytes(b"\0" * len(content))
        with pytest.raises(DataError, match="index again"):
            open_bm25(tmp_path / "i")
