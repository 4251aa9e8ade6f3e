"""What holds of every perturbation for any text, and of the draws they share."""

from __future__ import annotations

import random
import unicodedata
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from babelweave.protocols import Perturbation
from babelweave.records import Query
from babelweave.shift.edits import MOST_SEVERE, chosen, how_many
from babelweave.shift.perturb import perturb_queries
from perturbation_cases import SPECS, opened, sample

LANGUAGES = sorted(sample())
TEXTS = st.one_of(
    st.sampled_from([text for texts in sample().values() for text in texts]),
    st.text(max_size=60),
    st.text(alphabet="aeioué ßŁʼ'’-.,?¿؟ أمي क़ित् 한글 กี่เ\u0301\u200d桥İı", max_size=40),
)
SEVERITIES = st.integers(1, MOST_SEVERE)
SEEDS = st.integers(0, 2**32)

once = cache(opened)


@pytest.mark.parametrize("spec", SPECS)
@settings(deadline=None)  # a lexicon is read for a language when the first text in it comes
@given(text=TEXTS, lang=st.sampled_from(LANGUAGES), severity=SEVERITIES, seed=SEEDS)
def test_any_text_gives_valid_text(spec: str, text: str, lang: str, severity: int, seed: int) -> None:
    perturbation: Perturbation = once(spec)
    changed = perturbation.perturb(text, lang, severity, seed)
    assert changed == perturbation.perturb(text, lang, severity, seed)
    assert perturbation.perturb(text, lang, 0, seed) == text
    assert bool(changed.strip()) == bool(text.strip())
    changed.encode("utf-8")
    if unicodedata.is_normalized("NFC", text):
        assert unicodedata.is_normalized("NFC", changed)
    if lang not in perturbation.languages:
        assert changed == text


@given(n=st.integers(0, 50), shares=st.lists(st.floats(0.01, 1), min_size=2, max_size=2), seed=SEEDS)
def test_a_larger_share_holds_the_smaller_one(n: int, shares: list[float], seed: int) -> None:
    small, large = (chosen(n, share, random.Random(seed)) for share in sorted(shares))
    assert set(small) <= set(large)
    assert small == sorted(small)
    assert len(small) == how_many(n, min(shares)) >= min(n, 1)


@given(
    texts=st.lists(st.tuples(TEXTS, st.sampled_from(LANGUAGES)), max_size=12), severity=SEVERITIES, seed=SEEDS
)
def test_every_question_is_counted_once(texts: list[tuple[str, str]], severity: int, seed: int) -> None:
    queries = [Query(str(i), text, lang, ("gold",)) for i, (text, lang) in enumerate(texts)]
    found = perturb_queries(queries, once("keyboard"), severity, seed)
    assert sum(sum(counts) for counts in found.counts.values()) == len(queries)
    assert [q._replace(text="") for q in found.queries] == [q._replace(text="") for q in queries]
    n_changed = sum(a.text != b.text for a, b in zip(queries, found.queries, strict=True))
    assert sum(counts.changed for counts in found.counts.values()) == n_changed
