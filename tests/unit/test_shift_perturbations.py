"""Each perturbation on texts worked by hand, and what its options refuse."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from babelweave.errors import DataError, UsageError
from babelweave.records import Query
from babelweave.shift.edits import chosen, how_many, marks, words
from babelweave.shift.perturb import Counts, perturb_queries
from babelweave.shift.perturbations.homoglyphs import Homoglyphs
from babelweave.shift.perturbations.keyboard import Keyboard
from babelweave.shift.perturbations.layouts import neighbours, packaged_layouts
from babelweave.shift.spec import open_perturbation
from perturbation_cases import opened

SEEDS = range(60)


def at(spec: str, text: str, lang: str, severity: int, seed: int = 0) -> str:
    return opened(spec).perturb(text, lang, severity, seed)


def reached(spec: str, text: str, lang: str, severity: int = 1) -> set[str]:
    """Everything that some seed makes of a text."""
    perturbation = opened(spec)
    return {perturbation.perturb(text, lang, severity, seed) for seed in SEEDS}


class TestEdits:
    def test_words_and_marks(self) -> None:
        text = "¿Qué es l'île-X 3.5?"
        assert [text[slice(*place)] for place in words(text)] == ["Qué", "es", "l'île", "X", "3", "5"]
        assert [text[slice(*place)] for place in marks(text)] == ["¿", "?"]

    @pytest.mark.parametrize(
        ("n", "share", "expected"), [(0, 0.5, 0), (3, 0.01, 1), (10, 0.34, 3), (4, 1, 4)]
    )
    def test_how_many(self, n: int, share: float, expected: int) -> None:
        assert how_many(n, share) == expected

    def test_all_are_chosen_in_order(self) -> None:
        import random

        assert [i for i, _ in chosen(4, 1.0, random.Random(0))] == [0, 1, 2, 3]


class TestKeyboard:
    def test_neighbours_touch(self) -> None:
        assert neighbours(["", "q w e r", "a s d f", "z x c v"])["s"] == ["w", "e", "a", "d", "z", "x"]
        assert neighbours(["1 2 3", "q w e"])["w"] == ["2", "3", "q", "e"]

    @pytest.mark.parametrize(
        ("lang", "key", "expected"),
        [
            ("de", "z", "tughu"), ("fr", "a", "zqé"), ("es", "ñ", "pl"), ("ru", "а", "кевпсм"),
            ("ar", "ب", "قفيلؤر"), ("hi", "क", "गदरतस"), ("ko", "ㅎ", "ㅅㅛㄹㅗㅍㅠ"), ("tr", "i", "üğş"),
        ],
    )  # fmt: skip
    def test_layouts_are_those_of_their_countries(self, lang: str, key: str, expected: str) -> None:
        assert set(packaged_layouts()[lang][key]) == set(expected)

    def test_a_capital_stays_one(self) -> None:
        assert reached("keyboard", "S", "en") == set("WEADZX")

    def test_a_korean_syllable_stays_one(self) -> None:
        # 가 is ㄱ, ㅏ: ㄱ touches ㄷ ㅅ ㅇ ㄹ; ㅏ touches ㅑ ㅐ ㅓ ㅣ ㅡ.
        assert reached("keyboard", "가", "ko") == set("다사아라갸개거기그")

    def test_a_sign_becomes_a_sign(self) -> None:
        assert all(
            (len(word) == 2 and word[0] == "क") or word[1] == "ि" for word in reached("keyboard", "कि", "hi")
        )

    def test_vietnamese_letters_of_several_strokes_stay(self) -> None:
        assert reached("keyboard", "ế ộ", "vi") == {"ế ộ"}

    def test_a_folder_goes_first(self, tmp_path: Path) -> None:
        (tmp_path / "en.json").write_text(json.dumps({"a": ["b", "1", "!"], "1": ["a"]}))
        made = Keyboard(layouts=str(tmp_path))
        assert made.perturb("a 1 c", "en", 5, 0) == "b 1 c"
        assert made.signature != Keyboard().signature
        assert made.languages == Keyboard().languages

    @pytest.mark.parametrize("content", ["[]", '{"a": "b"}', '{"a": [1]}'])
    def test_broken_folders(self, content: str, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"no LANG\.json"):
            Keyboard(layouts=str(tmp_path))
        (tmp_path / "en.json").write_text(content)
        with pytest.raises(DataError, match=r"en\.json: expected \{key"):
            Keyboard(layouts=str(tmp_path))

    @pytest.mark.data
    def test_nlpaug_folder(self, data_root: Path) -> None:
        made = Keyboard(layouts=str(data_root / "nlpaug-noise" / "char" / "keyboard"))
        assert made.languages == Keyboard().languages
        assert made.perturb("мост", "uk", 1, 0) != "мост"


class TestTranspose:
    def test_neighbours_but_not_the_first(self) -> None:
        assert reached("transpose", "abc an", "en") == {"acb an"}
        assert reached("transpose", "abbcd", "en") == {"abbdc", "abcbd"}

    def test_letters_with_their_marks(self) -> None:
        assert reached("transpose", "काकीकु", "hi") == {"काकुकी"}
        assert reached("transpose", "aaa", "en") == {"aaa"}


class TestDiacritics:
    @pytest.mark.parametrize(
        ("lang", "text", "plain"),
        [
            ("es", "¿Qué año?", "¿Que ano?"), ("fr", "où œuf ç", "ou oeuf c"),
            ("vi", "Đường phố", "Duong pho"),
            ("pl", "Łódź żółw", "Lodz zolw"), ("tr", "ışık İğ", "isik Ig"), ("el", "Πότε", "Ποτε"),
            ("ar", "إلى أين ذهبَت القافلة", "الي اين ذهبت القافله"), ("hi", "में हूँ क़लम", "मे हु कलम"),
            ("cs", "řeka Й", "reka Й"),
        ],
    )  # fmt: skip
    def test_all_at_severity_5(self, lang: str, text: str, plain: str) -> None:
        assert at("diacritics", text, lang, 5) == plain

    def test_one_word_at_severity_1(self) -> None:
        assert reached("diacritics", "où été", "fr") == {"ou été", "où ete"}

    def test_german_is_not_claimed(self) -> None:
        assert at("diacritics", "Brücke", "de", 5) == "Brücke"


class TestHomoglyphs:
    def test_only_look_alikes(self) -> None:
        assert reached("homoglyphs", "cab", "en") == {"сab", "cаb", "cαb"}
        assert at("homoglyphs", "é 1 ?", "en", 5) == "é 1 ?"

    def test_a_table_of_unicode(self, tmp_path: Path) -> None:
        table = tmp_path / "confusables.txt"
        table.write_text(
            "\ufeff# c\n0430 ;\t0061 ;\tMA\t# x\n0410 ; 0041 ; MA\n0251 ;0061; MA\n1D41A ; 0061 ; MA\n"
        )
        made = Homoglyphs(table=str(table))
        assert {made.perturb("a", "en", 1, seed) for seed in SEEDS} == {"а", "ɑ"}
        assert made.perturb("A", "en", 1, 0) == "А"

    @pytest.mark.parametrize("line", ["0430 ; 0061", "04x0 ; 0061 ; MA", "a"])
    def test_a_broken_table(self, line: str, tmp_path: Path) -> None:
        table = tmp_path / "confusables.txt"
        table.write_text(f"# c\n{line}\n")
        with pytest.raises(DataError, match=r"confusables\.txt, line 2"):
            Homoglyphs(table=str(table))

    @pytest.mark.data
    def test_the_packaged_ones_are_confusable(self, data_root: Path) -> None:
        full = Homoglyphs(table=str(data_root / "unicode-confusables" / "confusables.txt"))
        for letter, others in Homoglyphs()._alike.items():
            assert set(others) <= set(full._alike[letter]), letter


class TestCase:
    @pytest.mark.parametrize(
        ("form", "lang", "text", "turned"),
        [
            ("random", "en", "aB c", "Ab C"), ("lower", "en", "Wer WAR", "wer war"),
            ("upper", "de", "Straße", "STRASSE"),
            ("lower", "tr", "IŞIK İZ", "ışık iz"), ("upper", "tr", "ışık iz", "IŞIK İZ"),
            ("lower", "el", "ΣΊΣΥΦΟΣ", "σίσυφος"),
        ],
    )  # fmt: skip
    def test_all_at_severity_5(self, form: str, lang: str, text: str, turned: str) -> None:
        assert at(f"case?form={form}", text, lang, 5) == turned

    def test_unknown_form(self) -> None:
        with pytest.raises(UsageError, match="did you mean 'lower'"):
            open_perturbation("case?form=lowr")


class TestPunctuation:
    @pytest.mark.parametrize(
        ("form", "lang", "severity", "text", "changed"),
        [
            ("drop", "es", 5, "¿Qué es «X-ray»?", "Qué es X-ray"), ("both", "fr", 5, "Où ?", "Où"),
            ("both", "en", 1, "who was it", "who was it?"), ("both", "en", 5, "who was it", "who, was, it??"),
            ("both", "ar", 2, "من هو", "من هو؟"), ("add", "zh", 3, "谁？", "谁？？？"),
            ("both", "el", 1, "Ποιος", "Ποιος;"),
            ("both", "en", 5, "?!", "?!"),
        ],
    )  # fmt: skip
    def test_by_hand(self, form: str, lang: str, severity: int, text: str, changed: str) -> None:
        assert at(f"punctuation?form={form}", text, lang, severity) == changed

    def test_one_mark_at_severity_1(self) -> None:
        assert reached("punctuation", "¿Qué?", "es") == {"Qué?", "¿Qué"}


@pytest.fixture(scope="module")
def lexicon(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("words") / "words.tsv"
    path.write_text("bridge\tde\tBrücke\nbridge\tar\tجسر\nriver\tde\tFluss\n", encoding="utf-8")
    return path


class TestCodeSwitch:
    def test_one_word_then_all(self, lexicon: Path) -> None:
        spec, text = f"code_switch?to=en&lexicon={lexicon}", "Wo ist die Brücke am Fluss?"
        assert reached(spec, text, "de") == {
            "Wo ist die bridge am Fluss?", "Wo ist die Brücke am river?",
        }  # fmt: skip
        assert at(spec, text, "de", 5) == "Wo ist die bridge am river?"

    def test_arabic_words_are_found_behind_their_article(self, lexicon: Path) -> None:
        spec = f"code_switch?to=en&lexicon={lexicon}"
        assert at(spec, "متى بني الجسر؟", "ar", 5) == "متى بني bridge؟"

    def test_a_language_is_not_put_into_itself(self) -> None:
        made = opened("code_switch?to=en")
        assert "en" not in made.languages
        assert "en" in opened("code_switch?to=en,de").languages

    def test_unknown_language(self, lexicon: Path) -> None:
        with pytest.raises(UsageError, match="the lexicon has no language 'fi'"):
            opened(f"code_switch?to=fi&lexicon={lexicon}")


class TestTransliterate:
    @pytest.mark.parametrize(
        ("lang", "text", "latin"),
        [
            ("ru", "Кто открыл мост?", "Kto otkryl most?"), ("el", "Ποιος ήταν;", "Poios itan;"),
            ("hi", "पुल कब?", "pul kb?"),
            ("zh", "北京在哪里？", "beijingzainali？"),
            ("ko", "강 NATO", "gang NATO"), ("de", "Brücke", "Brücke"),
        ],
    )  # fmt: skip
    def test_all_at_severity_5(self, lang: str, text: str, latin: str) -> None:
        assert at("transliterate", text, lang, 5) == latin

    def test_one_stretch_of_chinese(self) -> None:
        assert reached("transliterate", "北京", "zh") == {"bei京", "北jing"}


class TestKeywords:
    @pytest.mark.parametrize(
        ("lang", "text", "kept"),
        [
            ("en", "When was the bridge over the river built?", "bridge river built"),
            ("de", "Wann wurde die Brücke über den Fluss gebaut?", "Brücke Fluss gebaut"),
            ("es", "¿Cuándo se construyó el puente?", "construyó puente"),
            ("fr", "Quand le pont a-t-il été construit ?", "pont construit"),
            ("ja", "ペニシリンを発見したのは誰ですか？", "ペニシリン 発見 誰"),
            ("en", "Who are you?", "Who are you?"),
            ("zh", "谁？", "谁？"),
        ],
    )
    def test_all_at_severity_5(self, lang: str, text: str, kept: str) -> None:
        assert at("keywords", text, lang, 5) == kept


class TestTruncate:
    @pytest.mark.parametrize(
        ("spec", "lang", "severity", "text", "kept"),
        [
            ("truncate", "en", 1, "who was the king of it?", "who was the king of"),
            ("truncate", "en", 5, "a b c d e f g h i j", "a b c d"),
            ("truncate?end=head", "es", 2, "¿quién fue el rey?", "fue el rey?"),
            ("truncate", "zh", 1, "谁发现了它？", "谁发现了它"), ("truncate", "th", 3, "ใครคือ", "ใคร"),
            ("truncate", "en", 5, "who?", "who?"), ("truncate", "ja", 5, "NATO とは", "NA"),
        ],
    )  # fmt: skip
    def test_by_hand(self, spec: str, lang: str, severity: int, text: str, kept: str) -> None:
        assert at(spec, text, lang, severity) == kept


class TestWordOrder:
    def test_one_pair_of_neighbours_at_severity_1(self) -> None:
        assert reached("word_order", "¿a b c?", "es") == {"¿b a c?", "¿a c b?"}

    def test_nobody_moves_further_than_the_reach(self) -> None:
        text = " ".join(f"w{i:02}" for i in range(20))
        for severity, reach in ((2, 2), (3, 3)):
            for changed in reached("word_order", text, "en", severity):
                assert max(abs(i - int(word[1:])) for i, word in enumerate(changed.split())) < reach + 1

    def test_one_word_stays(self) -> None:
        assert at("word_order", "Warum?", "de", 5) == "Warum?"


def test_counts() -> None:
    queries = [Query("1", "abc", "en"), Query("2", "ab", "en"), Query("3", "北京", "zh", ("x",))]
    found = perturb_queries(queries, opened("transpose"), 1)
    assert found.counts == {"en": Counts(1, 1, 0), "zh": Counts(0, 0, 1)}
    assert found.queries == (Query("1", "acb", "en"), *queries[1:])
    assert perturb_queries(queries, opened("transpose"), 0).counts["en"] == Counts(0, 2, 0)


@pytest.mark.parametrize("severity", [-1, 6, 1.0, True])
def test_severity_out_of_range(severity: int) -> None:
    with pytest.raises(UsageError, match=r"from 0 \(no change\) to 5"):
        perturb_queries([], opened("transpose"), severity)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("keybord", "did you mean 'keyboard'"), ("truncate?ende=head", "did you mean 'end'"),
        ("truncate?end=middle", "unknown end"), ("punctuation?form=none", "unknown form"),
    ],
)  # fmt: skip
def test_specs_that_are_refused(spec: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        open_perturbation(spec)
