"""The lexical generator on passages small enough to follow by hand."""

from __future__ import annotations

import pytest

import lexicon_cases
from babelweave.data.languages import canonical
from babelweave.errors import UsageError
from babelweave.generate.lexical import LexicalGenerator
from babelweave.generate.templates import QUESTIONS
from babelweave.generate.terms import Term, english_lemmas, read_terms
from babelweave.records import Passage

LEXICON = lexicon_cases.lexicon()
D1, D2, D3, D4 = lexicon_cases.PASSAGES


def ask(passage: Passage, lang: str, n: int = 3, seed: int = 0, **options: object) -> list[str]:
    options = {"topic": 0, **options}
    made = LexicalGenerator(lexicon=LEXICON, **options)  # type: ignore[arg-type]
    return made.generate([passage], lang, n, seed)[0]


def test_terms_are_phrases_names_and_numbers() -> None:
    assert read_terms("Steam engines were built in Paris in 1854. A bank!", "en", LEXICON) == [
        (
            Term("Steam engines", "steam engine", "word"),
            Term("built", "build", "word"),
            Term("Paris", "paris", "name"),
            Term("1854", "", "number"),
        ),
        (Term("bank", "bank", "word"),),
    ]


def test_scripts_without_spaces_take_the_longest_match() -> None:
    from babelweave.generate.lexicon import Lexicon

    chinese = Lexicon([("zh", "00000001-n", "蒸汽"), ("zh", "00000002-n", "蒸汽机")], "d")
    assert read_terms("旧蒸汽机。1854年蒸汽", "zh", chinese) == [
        (Term("蒸汽机", "蒸汽机", "word"),),
        (Term("1854", "", "number"), Term("蒸汽", "蒸汽", "word")),
    ]


@pytest.mark.parametrize(
    ("form", "lemma"),
    [("cities", "city"), ("stopped", "stop"), ("making", "make"), ("won", "win"), ("boxes", "box")],
)
def test_english_endings(form: str, lemma: str) -> None:
    assert lemma in set(english_lemmas(form))


def test_one_question_a_sentence_with_the_year_or_number_left_out() -> None:
    assert set(ask(D1, "de", 2)) == {
        "Wann war Dampfmaschine bauen Paris?",
        "Was ist Bank Fluss?",
    }


def test_keywords_leave_nothing_out() -> None:
    assert set(ask(D1, "es", 2, form="keywords")) == {
        "máquina de vapor construir París 1854",
        "banco río",
    }


def test_words_without_a_translation_are_left_out() -> None:
    assert ask(D1, "ar", 2, form="keywords") == ["باريس 1854", "بنك نهر"]


def test_names_without_an_entry_stay_names() -> None:
    assert "Bush" in " ".join(ask(D2, "de"))
    assert "Busch" not in " ".join(ask(D2, "de"))
    assert "Okonkwo" in " ".join(ask(D2, "ar"))


def test_the_topic_stands_in_every_query() -> None:
    queries = ask(D1, "de", topic=1)
    assert len(queries) > 1
    assert all("Paris" in q for q in queries)


def test_other_source_languages_and_the_own_language() -> None:
    assert ask(D3, "en", 2, form="keywords") == ["bank river", "Paris"]
    assert ask(D3, "de", 2, form="keywords") == ["Bank Fluss", "Paris"]


def test_more_queries_draw_other_translations() -> None:
    few, many = ask(D1, "de", 2, form="keywords"), ask(D1, "de", 9, form="keywords")
    assert many[:2] == few
    assert len(set(many)) == len(many) > 2
    drawn = {q for seed in range(20) for q in ask(D1, "de", 9, seed, form="keywords")}
    assert any("errichten" in q for q in drawn)


def test_terms_are_limited_and_a_passage_without_terms_has_no_query() -> None:
    assert all(len(q.split()) <= 2 for q in ask(D1, "de", form="keywords", terms=2))
    assert ask(D4, "de") == []


def test_account_counts_terms_left_out() -> None:
    made = LexicalGenerator(lexicon=LEXICON)
    # bank stood river | steam engine, build, paris, 1854 | phloem 12 cells
    assert made.account([D1], "ar") == {"terms": 10, "untranslated_terms": 5}
    assert made.account([D1], "de") == {"terms": 10, "untranslated_terms": 3}
    assert made.account([D1], "en") == {"terms": 10, "untranslated_terms": 0}


@pytest.mark.parametrize("options", [{"form": "poem"}, {"terms": 0}, {"topic": -1}, {"terms": 2, "topic": 3}])
def test_bad_options(options: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        LexicalGenerator(lexicon=LEXICON, **options)  # type: ignore[arg-type]


def test_patterns_are_complete_and_their_codes_canonical() -> None:
    for lang, patterns in QUESTIONS.items():
        assert canonical(lang) == lang
        assert list(patterns) == ["what", "when", "how many"]
        assert all(p.count("{}") == 1 for p in patterns.values())
