"""R@2kt and R@5kt on cases worked by hand from the official rules and NLTK's documented tokenisation.

What NLTK does, in short: a comma or colon is split off unless a digit follows; a full stop only at the
end of a sentence; `$ % & @ # ; ? ! *`, brackets, dashes (not hyphens), ellipses and quotes always; double
quotes become `` and ''; 's, n't, 'll and the like are split off, and `cannot` becomes `can not`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import nltk
import pytest

from babelweave.errors import DataError, UsageError
from babelweave.evaluate.token_recall import (
    answer_ceiling,
    first_tokens,
    sentence_splitter,
    span_answers,
    token_recall,
    tokenise,
)
from babelweave.records import Query, Run

HIT, MISS = 1.0, 0.0


def words(n: int) -> str:
    """n tokens that are no answer."""
    return "w " * n


def score(passages: Sequence[str], answers: Sequence[str], measure: str = "R@2kt") -> float:
    texts = {f"d{i}": text for i, text in enumerate(passages)}
    run = Run(("q",), (tuple(texts),), (tuple(float(-i) for i in range(len(texts))),))
    found = token_recall([Query("q", "?", "en", tuple(answers))], run, texts, measure)
    return float(found.scores.values[0])


CASES = [
    # what the case shows, passages, answers, hit
    ("an answer inside a sentence", ["Paris is the capital of France."], ["Paris"], HIT),
    ("the stop at the end is a token of its own", ["He was born in Ulm."], ["Ulm"], HIT),
    ("so an answer with its stop is not found", ["He was born in Ulm."], ["Ulm."], MISS),
    ("as tokens it is", ["He was born in Ulm."], ["Ulm ."], HIT),
    ("every sentence ends with its stop split off", ["It is in Rome. Many go."], ["Rome. Many"], MISS),
    ("and the next sentence follows", ["It is in Rome. Many go."], ["Rome . Many"], HIT),
    ("upper and lower case differ", ["Paris is the capital."], ["paris"], MISS),
    ("any substring counts, even of a word", ["Martin slept."], ["art"], HIT),
    ("no answer", ["Paris is the capital."], ["London"], MISS),
    ("one of several answers is enough", ["Paris is the capital."], ["London", "capital"], HIT),
    ("none of several", ["Paris is the capital."], ["London", "Rome"], MISS),
    # yes and no
    ("yes is dropped, the span decides", ["yes it is, in Rome"], ["yes", "Paris"], MISS),
    ("no is dropped, the span decides", ["not in Rome"], ["no", "Rome"], HIT),
    ("with a capital it is a span", ["Yes is a band."], ["Yes"], HIT),
    ("a capital No is found in Norway", ["Oslo is in Norway."], ["No"], HIT),
    # scripts
    ("Arabic", ["عاصمة فرنسا هي باريس."], ["باريس"], HIT),
    ("the Arabic comma stays on its word", ["زار باريس، لندن."], ["باريس ، لندن"], MISS),
    ("so the text as written is found", ["زار باريس، لندن."], ["باريس، لندن"], HIT),
    ("Bengali", ["ঢাকা বাংলাদেশের রাজধানী।"], ["ঢাকা"], HIT),
    ("the danda stays on its word", ["ঢাকা বাংলাদেশের রাজধানী।"], ["রাজধানী।"], HIT),
    ("Finnish", ["Helsinki on Suomen pääkaupunki."], ["pääkaupunki"], HIT),
    ("no Unicode normalisation", ["Suomen pa\u0308a\u0308kaupunki."], ["pääkaupunki"], MISS),
    ("Japanese, unsegmented", ["東京は日本の首都です。"], ["日本の首都"], HIT),
    ("the ideographic space is a blank", ["東京\u3000大阪"], ["東京 大阪"], HIT),
    ("and is gone as itself", ["東京\u3000大阪"], ["東京\u3000大阪"], MISS),
    ("Korean, before its particle", ["서울은 대한민국의 수도이다."], ["서울"], HIT),
    ("Russian", ["Столица России находится в Москве."], ["России"], HIT),
    ("Russian inflection is another string", ["Столица находится в Москве."], ["Москва"], MISS),
    ("Russian hyphen", ["Он живёт в Нью-Йорке."], ["Нью-Йорк"], HIT),
    ("Telugu", ["హైదరాబాద్ తెలంగాణ రాజధాని."], ["హైదరాబాద్"], HIT),
    # punctuation
    ("a comma is split off", ["He moved to Paris, France in May."], ["Paris, France"], MISS),
    ("a comma before a digit is not", ["It has 1,234.5 seats in all."], ["1,234.5"], HIT),
    ("a colon is split off", ["He saw Alien: Covenant twice."], ["Alien: Covenant"], MISS),
    ("a colon before a digit is not", ["It left at 10:30 sharp."], ["10:30"], HIT),
    ("double quotes become `` and ''", ['He wrote "Hamlet" in London.'], ['"Hamlet"'], MISS),
    ("as tokens they are found", ['He wrote "Hamlet" in London.'], ["`` Hamlet ''"], HIT),
    ("the word between quotes", ['He wrote "Hamlet" in London.'], ["Hamlet"], HIT),
    ("curly quotes are split off", ["He wrote “Hamlet” in London."], ["“Hamlet”"], MISS),
    ("possessives are split", ["They are Newton's laws of motion."], ["Newton's laws"], MISS),
    ("as tokens they are found", ["They are Newton's laws of motion."], ["Newton 's laws"], HIT),
    ("a curly apostrophe splits three ways", ["They are Newton’s laws."], ["Newton ’ s"], HIT),
    ("contractions are split", ["They don't know it."], ["don't"], MISS),
    ("cannot is two words", ["They cannot know it."], ["cannot"], MISS),
    ("an apostrophe inside a name is kept", ["It was O'Neill who won."], ["O'Neill"], HIT),
    ("hyphens are kept", ["A well-known man."], ["well-known"], HIT),
    ("a hyphen between years is kept", ["The war of 1914-1918 ended."], ["1914-1918"], HIT),
    ("an en dash is not", ["The war of 1914–1918 ended."], ["1914–1918"], MISS),
    ("the dollar is split off", ["It cost $3.88 a piece."], ["$3.88"], MISS),
    ("the number behind it is found", ["It cost $3.88 a piece."], ["3.88"], HIT),
    ("the euro is not split off", ["It cost €5 a piece."], ["€5"], HIT),
    ("per cent is split off", ["About 50% of them."], ["50%"], MISS),
    ("ampersands are split", ["He joined AT&T as a boy."], ["AT&T"], MISS),
    ("unless they stood apart", ["Simon & Garfunkel sang."], ["Simon & Garfunkel"], HIT),
    ("brackets are split", ["His paper (1905) won."], ["(1905)"], MISS),
    ("what is in them is found", ["His paper (1905) won."], ["1905"], HIT),
    ("an abbreviation keeps its stop", ["He led the U.S. Army then."], ["U.S. Army"], HIT),
    ("and ends no sentence", ["He saw St. Petersburg twice."], ["St. Petersburg"], HIT),
    ("blanks and line ends become one space", ["He saw New \n York."], ["New York"], HIT),
    # the limit
    ("token 2000 is read", [words(1999) + "Paris"], ["Paris"], HIT),
    ("token 2001 is not", [words(2000) + "Paris"], ["Paris"], MISS),
    ("an answer cut in two by the limit", [words(1999) + "New York"], ["New York"], MISS),
    ("its part before the limit", [words(1999) + "New York"], ["New"], HIT),
    ("punctuation counts as tokens", [words(1998) + ", Paris"], ["Paris"], HIT),
    ("and fills the limit", [words(1998) + "( ) Paris"], ["Paris"], MISS),
    ("the limit runs over passages", [words(1500), words(499), "Paris"], ["Paris"], HIT),
    ("and ends inside one", [words(1500), words(499) + "w Paris"], ["Paris"], MISS),
    ("passages are strung together", ["He came to New", "York and stayed."], ["New York"], HIT),
    ("the stop of the first comes between", ["He came to New.", "York and stayed."], ["New York"], MISS),
    ("the order of passages decides", [words(2000), "Paris"], ["Paris"], MISS),
    ("the other way round", ["Paris", words(2000)], ["Paris"], HIT),
    ("nothing retrieved", [], ["Paris"], MISS),
    ("an empty passage", [""], ["Paris"], MISS),
]


@pytest.mark.parametrize(("passages", "answers", "hit"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_cases_worked_by_hand(passages: list[str], answers: list[str], hit: float) -> None:
    assert score(passages, answers) == hit


def test_the_larger_limit_reads_on() -> None:
    assert score([words(2000) + "Paris"], ["Paris"], "R@5kt") == HIT
    assert score([words(4999) + "Paris"], ["Paris"], "R@5kt") == HIT
    assert score([words(5000) + "Paris"], ["Paris"], "R@5kt") == MISS


def test_the_figure_is_the_mean_of_languages_not_of_questions() -> None:
    """Arabic 1 of 3, Finnish 1 of 1, Japanese 0 of 1: (1/3 + 1 + 0) / 3, while 2 of 5 questions hit."""
    queries = [
        Query("a1", "?", "ar", ("Paris",)),
        Query("a2", "?", "ar", ("Rome",)),
        Query("a3", "?", "ar", ("Oslo", "yes")),
        Query("f1", "?", "fi", ("Paris",)),
        Query("j1", "?", "ja", ("Rome",)),
        Query("j2", "?", "ja", ("yes",)),
        Query("j3", "?", "ja", ()),
    ]
    run = Run(("f1", "a1", "a2", "j2", "j1"), (("p",), ("p",), ("p",), ("p",), ("long",)), ((1.0,),) * 5)
    found = token_recall(queries, run, {"p": "Paris is here.", "long": words(2000)})
    assert found.languages == {"ar": pytest.approx(1 / 3), "fi": 1.0, "ja": 0.0}
    assert found.macro == pytest.approx(4 / 9)
    assert found.n_questions == {"ar": 3, "fi": 1, "ja": 1}
    assert found.n_unscored == 2
    assert found.n_short == 4  # all but j1; a3 was not answered at all
    assert found.scores.query_ids == ("a1", "a2", "a3", "f1", "j1")
    assert found.scores.values.tolist() == [1, 0, 0, 1, 0]
    assert found.scores.mean == pytest.approx(0.4)


def test_yes_and_no_are_dropped_only_in_lower_case() -> None:
    assert span_answers(["yes", "no", "Yes", "NO", "no one", ""]) == ["Yes", "NO", "no one", ""]


def test_first_tokens_stops_reading_when_it_has_enough() -> None:
    def passages() -> Iterator[list[str]]:
        yield ["a", "b"]
        yield ["c", "d"]
        raise AssertionError("read on after the limit")

    assert first_tokens(passages(), 3) == ["a", "b", "c"]


def test_tokens_by_hand() -> None:
    text = 'Good muffins cost $3.88 (roughly 3,36 euros) in New York. "Buy two," he said; don\'t wait...'
    assert tokenise(text, sentence_splitter()) == [
        *("Good muffins cost $ 3.88 ( roughly 3,36 euros ) in New York .".split()),
        *("`` Buy two , '' he said ; do n't wait ...".split()),
    ]


class TestCeiling:
    def test_no_ranker_can_do_better(self) -> None:
        queries = [
            Query("a", "?", "fi", ("Paris",)),
            Query("b", "?", "fi", ("Oslo", "Rome")),
            Query("c", "?", "ru", ("Newton's",)),
            Query("d", "?", "ru", ("yes",)),
        ]
        found = answer_ceiling(queries, {"a": "Paris is big.", "b": "Newton's laws."})
        assert found == {"fi": 0.5, "ru": 0.0}

    def test_no_answer_is_found_across_two_passages(self) -> None:
        assert answer_ceiling([Query("a", "?", "fi", ("New York",))], {"a": "New", "b": "York"}) == {
            "fi": 0.0
        }


class TestRefused:
    QUERY = Query("q", "?", "fi", ("Paris",))
    RUN = Run(("q",), (("d",),), ((1.0,),))

    def test_a_passage_without_text(self) -> None:
        with pytest.raises(DataError, match="'d', which the collection lacks"):
            token_recall([self.QUERY], self.RUN, {})

    def test_nothing_to_score(self) -> None:
        with pytest.raises(DataError, match="no question has a span answer"):
            token_recall([Query("q", "?", "fi", ("yes",))], self.RUN, {"d": "x"})

    def test_a_run_of_other_questions(self) -> None:
        with pytest.raises(DataError, match=r"share no id: the run has 'other'.*'q'"):
            token_recall([self.QUERY], Run(("other",), (("d",),), ((1.0,),)), {"d": "x"})

    def test_an_empty_answer(self) -> None:
        with pytest.raises(DataError, match="'q' has an empty gold answer"):
            token_recall([Query("q", "?", "fi", ("",))], self.RUN, {"d": "x"})

    def test_a_question_twice(self) -> None:
        with pytest.raises(DataError, match="'q' comes twice"):
            token_recall([self.QUERY, self.QUERY], self.RUN, {"d": "x"})
        run = Run(("q", "q"), (("d",), ("d",)), ((1.0,), (1.0,)))
        with pytest.raises(DataError, match="answers a question twice"):
            token_recall([self.QUERY], run, {"d": "x"})

    def test_an_unknown_measure(self) -> None:
        with pytest.raises(UsageError, match="did you mean 'R@2kt'"):
            token_recall([self.QUERY], self.RUN, {"d": "x"}, "R@2k")


class TestSplitter:
    @pytest.fixture(autouse=True)
    def _forget(self) -> Iterator[None]:
        """Neither we nor NLTK keep a splitter from one test to the next."""
        caches = (sentence_splitter, nltk.tokenize._get_punkt_tokenizer)
        for cache in caches:
            cache.cache_clear()
        yield
        for cache in caches:
            cache.cache_clear()

    def test_without_nltks_data_a_bundled_splitter_runs_and_the_signature_says_so(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(nltk.data, "path", [])
        found = token_recall(
            [Query("q", "?", "fi", ("Paris",))], Run(("q",), (("d",),), ((1.0,),)), {"d": "Paris"}
        )
        assert (
            found.scores.signature
            == "R@2kt: nltk word_tokenize, sentences by Punkt with bundled abbreviations"
        )
        split = sentence_splitter().split
        assert split("Dr. Li met Mr. Wu in St. Paul. They spoke.") == [
            "Dr. Li met Mr. Wu in St. Paul.",
            "They spoke.",
        ]

    def test_with_nltks_data_it_runs_and_the_signature_says_so(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """Data in NLTK's own layout that knows one abbreviation the bundled list lacks."""
        english = tmp_path / "tokenizers" / "punkt_tab" / "english"
        english.mkdir(parents=True)
        (english / "abbrev_types.txt").write_text("xyz")
        for name in ("collocations.tab", "sent_starters.txt", "ortho_context.tab"):
            (english / name).write_text("")
        monkeypatch.setattr(nltk.data, "path", [str(tmp_path)])
        splitter = sentence_splitter()
        assert splitter.name == "NLTK punkt_tab"
        assert splitter.split("The xyz. Army won. Others lost.") == ["The xyz. Army won.", "Others lost."]
