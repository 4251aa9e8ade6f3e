"""What holds for every text: overlaps equal a plain count, joined passages lose no sentence."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from babelweave.data.overlap import OverlapIndex, pieces, question_key
from babelweave.data.parallel.pairs import Pair
from babelweave.data.parallel.read import group_id, passages

VOCABULARY = st.sampled_from(["a", "b", "Straße", "是", "的", "ก", "दिल्ली"])
TEXTS = st.lists(st.lists(VOCABULARY, max_size=60).map(" ".join), max_size=6)


def plain_ngrams(text: str) -> set[tuple[str, ...]]:
    found, n = pieces(text)
    grams = [tuple(found[i : i + n]) for i in range(len(found) - n + 1)]
    return set(grams) if len(grams) >= 8 else set()


@given(TEXTS, TEXTS, st.sampled_from([0.01, 0.2, 0.5, 1.0]))
def test_overlap_is_that_of_plain_sets(texts: list[str], held_out: list[str], threshold: float) -> None:
    expected = []
    for at, text in enumerate(texts):
        for row, passage in enumerate(held_out):
            left, right = plain_ngrams(text), plain_ngrams(passage)
            shared = len(left & right)
            if shared and shared / min(len(left), len(right)) >= threshold:
                expected.append((at, row, shared, shared / min(len(left), len(right))))
    compared = OverlapIndex(held_out).compare(texts, threshold)
    assert compared.matches == expected
    assert compared.n_short == sum(not plain_ngrams(text) for text in texts)


@given(st.text())
def test_question_keys_are_stable(text: str) -> None:
    key = question_key(text)
    assert question_key(key) == question_key(f" ¿{key}?! ") == key


@st.composite
def documents(draw: st.DrawFn) -> list[Pair]:
    """Two documents in two languages, row by row, with sentences missing."""
    pairs = []
    for number in range(draw(st.integers(0, 12))):
        for lang in ("de", "zh"):
            if draw(st.booleans()):
                english = f"E{number}"
                document = "one" if number < 6 else "two"
                pairs.append(Pair("s", group_id(english), english, lang, f"{lang}{number}", document, number))
    return pairs


@given(documents(), st.integers(2, 5))
def test_passages_are_runs_of_consecutive_sentences(pairs: list[Pair], sentences: int) -> None:
    given_pairs = {(pair.lang, pair.position): pair for pair in pairs}
    covered: list[tuple[str, int]] = []
    for passage in passages(pairs, sentences):
        n = len(passage.english.split())
        assert 2 <= n <= sentences
        run = [given_pairs[passage.lang, passage.position + i] for i in range(n)]
        assert {pair.document for pair in run} == {passage.document}
        assert passage.english == " ".join(pair.english for pair in run)
        assert passage.text == ("" if passage.lang == "zh" else " ").join(pair.text for pair in run)
        covered += [(pair.lang, pair.position) for pair in run]
    assert len(covered) == len(set(covered))
    for lang, position in given_pairs.keys() - set(covered):
        # Left out is only what stands alone: the next sentence, if there, begins another passage.
        same = given_pairs[lang, position].document
        after = given_pairs.get((lang, position + 1))
        assert after is None or after.document != same
