"""Words put into other languages: which, how often, by which lexicon, and what stays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lexicon_cases
from babelweave.errors import UsageError
from babelweave.generate.code_switch import MeaningLexicon, Switched, code_switch
from babelweave.generate.lexicon import Lexicon


class Words:
    """(word, language) -> translations."""

    def __init__(self, table: Mapping[tuple[str, str], Sequence[str]]) -> None:
        self.table = table

    def translate(self, word: str, lang: str) -> Sequence[str]:
        return self.table.get((word, lang), ())


WORDS = Words(
    {
        ("city", "de"): ["Stadt", "Ort"],
        ("city", "zh"): ["城市"],
        ("New York", "de"): ["Neu-York"],
        ("York", "de"): ["never alone"],
        ("mother-in-law", "de"): ["Schwiegermutter"],
        ("taxi", "de"): ["taxi"],
        ("人口", "de"): ["Bevölkerung"],
        ("人", "de"): ["Mensch"],
        ("城市", "de"): ["Stadt"],
        ("城市", "ja"): ["都市"],
        ("दिल्ली", "zh"): ["德里"],
    }
)


@pytest.mark.parametrize(
    ("text", "languages", "switched", "n_replaced"),
    [
        ("Which city? A city!", ["de"], "Which Stadt? A Stadt!", 2),
        ("Which city?", ["zh"], "Which 城市?", 1),
        ("in New York city", ["de"], "in Neu-York Stadt", 2),  # the longest match, never its parts
        ("in New  York, York", ["de"], "in New  never alone, never alone", 2),  # no phrase over two blanks
        ("my mother-in-law's city", ["de"], "my mother-in-law's Stadt", 1),  # another word
        ("my mother-in-law", ["de"], "my Schwiegermutter", 1),
        ("a taxi", ["de"], "a taxi", 0),  # the same word is no switch
        ("a City", ["de"], "a City", 0),  # folding is the lexicon's
        ("城市人口是多少？", ["de"], "Stadt Bevölkerung 是多少？", 2),
        ("那个城市的人", ["ja"], "那个都市的人", 1),
        ("那个人", ["de"], "那个人", 0),  # one letter is no word
        ("दिल्ली कहाँ है", ["zh"], "德里 कहाँ है", 1),
        ("nothing", ["de"], "nothing", 0),
        ("", ["de"], "", 0),
    ],
)
def test_every_unit_at_probability_one(
    text: str, languages: list[str], switched: str, n_replaced: int
) -> None:
    assert code_switch(text, WORDS, languages, p=1, seed=0) == Switched(switched, n_replaced)


def test_languages_are_drawn_evenly_among_those_that_have_the_word() -> None:
    found = [code_switch("city", WORDS, ["de", "zh", "fi"], p=1, seed=seed).text for seed in range(400)]
    assert set(found) == {"Stadt", "城市"}
    assert 160 <= found.count("Stadt") <= 240


def test_the_rate_is_the_probability() -> None:
    text = " ".join(["city"] * 2000)
    switched = code_switch(text, WORDS, ["de"], p=0.3, seed=1)
    assert 540 <= switched.n_replaced <= 660
    assert switched.text.split().count("Stadt") == switched.n_replaced


@given(st.text(alphabet="city 人口NewYork城市,.?"), st.integers(0, 3), st.floats(0, 1))
def test_what_holds_for_every_text(text: str, seed: int, p: float) -> None:
    assert code_switch(text, WORDS, ["de", "zh"], p=0, seed=seed) == Switched(text, 0)
    switched = code_switch(text, WORDS, ["de", "zh"], p=p, seed=seed)
    assert switched == code_switch(text, WORDS, ["de", "zh"], p=p, seed=seed)
    assert (switched.n_replaced == 0) == (switched.text == text)
    assert switched.n_replaced <= code_switch(text, WORDS, ["de", "zh"], p=1, seed=seed).n_replaced


def test_refusals() -> None:
    with pytest.raises(UsageError, match=r"p is 1\.5"):
        code_switch("city", WORDS, ["de"], p=1.5, seed=0)
    with pytest.raises(UsageError, match="at least one language"):
        code_switch("city", WORDS, [], p=0.5, seed=0)


@pytest.fixture(scope="module")
def meanings() -> MeaningLexicon:
    return MeaningLexicon(Lexicon(lexicon_cases.ROWS, "digest"), "en")


@pytest.mark.parametrize(
    ("word", "lang", "best"),
    [
        ("bank", "de", "Bank"),  # the meaning known in most languages
        ("Bank", "de", None),  # a name: the lexicon writes it small
        ("Paris", "es", "París"),
        ("paris", "es", "París"),
        ("bush", "ar", "شجيرة"),
        ("Bush", "ar", None),
        ("rivers", "es", "río"),
        ("steam engines", "de", "Dampfmaschine"),
        ("built", "de", "bauen"),
        ("phloem", "de", None),
        ("bank", "en", None),
        ("the", "de", None),
        ("unknown", "de", None),
    ],
)
def test_meanings_as_words(meanings: MeaningLexicon, word: str, lang: str, best: str | None) -> None:
    found = meanings.translate(word, lang)
    assert (found[0] if found else None) == best


def test_a_question_through_meanings(meanings: MeaningLexicon) -> None:
    text = "Which banks by the river built steam engines in Paris?"
    switched = code_switch(text, meanings, ["es"], p=1, seed=0)
    assert switched == Switched("Which banco by the río construir máquina de vapor in París?", 5)


def test_stop_words_have_no_translation() -> None:
    rows = [("en", "1-n", "in"), ("de", "1-n", "Indium"), ("es", "1-n", "indio")]
    assert MeaningLexicon(Lexicon(rows, "d"), "en").translate("in", "de") == ()


def test_languages_without_a_lexicon_are_refused(meanings: MeaningLexicon) -> None:
    with pytest.raises(UsageError, match="no language 'fr'"):
        meanings.translate("bank", "fr")
    with pytest.raises(UsageError, match="no language 'xx'"):
        MeaningLexicon(Lexicon(lexicon_cases.ROWS, "digest"), "xx")
