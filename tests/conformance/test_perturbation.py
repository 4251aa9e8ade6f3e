"""What every `Perturbation` promises, over the registry, on questions of ours and on real ones."""

from __future__ import annotations

import json
import random
import unicodedata
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import regex

from babelweave.errors import UsageError
from babelweave.protocols import Perturbation
from babelweave.records import Query
from babelweave.registry import names
from babelweave.shift.edits import MOST_SEVERE
from babelweave.shift.perturb import perturb_queries
from babelweave.shift.perturbations.keyboard import Keyboard
from perturbation_cases import SPECS, opened, real, sample

HARD = [
    "", " ", "?", "a", "?!", "ß", "e\u0301te\u0301 e\u0301", "क़लम में हैं", "👩\u200d👩\u200d👧 Wer?", "한글",
    "\u1112\u1161\u11ab글", "a\nb c", "¿Qué es «él»?", "x" * 300, "mp3 3.5 GB", "l’île d'où", "1928",
    "ﬁn İstanbul ΣΊΣΥΦΟΣ", "का\u200dक", "กี่ เป็น",
]  # fmt: skip
"""Empty, blank, marks alone, decomposed letters, emoji, joined letters, ligatures."""
NOT_OF_QUERIES = ("case?form=lower", "punctuation?form=drop", "code_switch?to=zh")
"""MKQA's are small already and without marks; one lexicon is enough."""
LOOSE = regex.compile(r"(?:^|[\s\p{P}])\p{M}")
"""A mark without its letter."""


def check_text(perturbation: Perturbation, text: str, lang: str, seed: int) -> None:
    """The contract for one text; raises AssertionError where it is broken."""
    levels = [perturbation.perturb(text, lang, s, seed) for s in range(MOST_SEVERE + 1)]
    assert levels[0] == text, "severity 0 must be the identity"
    for severity, changed in enumerate(levels):
        assert changed == perturbation.perturb(text, lang, severity, seed), "the same must give the same"
        assert bool(changed.strip()) == bool(text.strip()), "never empty from what is not"
        assert not any(unicodedata.category(c) == "Cs" for c in changed), "no halves of surrogate pairs"
        if unicodedata.is_normalized("NFC", text):
            assert unicodedata.is_normalized("NFC", changed), f"{changed!r} is not composed, {text!r} was"
        if not LOOSE.search(text):
            assert not LOOSE.search(changed), f"{changed!r} has a mark without its letter"
    if levels[1] == text:
        assert levels[MOST_SEVERE] == text, "where severity 1 finds nothing to change, neither does 5"


def check(perturbation: Perturbation, questions: Iterable[tuple[str, list[str]]]) -> None:
    """The whole contract over some languages' questions; raises AssertionError where it is broken."""
    assert isinstance(perturbation, Perturbation)
    assert json.loads(json.dumps(dict(perturbation.signature), allow_nan=False))["name"] in names(
        "perturbation"
    )
    assert perturbation.languages
    for severity in (-1, 6, 2.0, True):
        with pytest.raises(UsageError, match="from 0"):
            perturbation.perturb("Wer?", "de", severity, 0)  # type: ignore[arg-type]
    for lang, texts in questions:
        for text in texts:
            check_text(perturbation, text, lang, 3)
            if lang not in perturbation.languages:
                assert perturbation.perturb(text, lang, MOST_SEVERE, 3) == text, "not claimed: not touched"
    for text in HARD:
        for lang in ("de", "hi", "ko", "th", "zh", "tr", "ar"):
            check_text(perturbation, text, lang, 0)


@pytest.mark.parametrize("spec", SPECS)
def test_contract(spec: str) -> None:
    check(opened(spec), sample().items())


@pytest.mark.parametrize("spec", SPECS)
def test_severity_1_changes_most_questions_of_the_sample(spec: str) -> None:
    perturbation, questions = opened(spec), sample()
    for lang in sorted(perturbation.languages):
        assert lang in questions, f"docs/questions.tsv has no question in {lang}"
        assert changed(perturbation, questions[lang], lang) > 0.5, lang


@pytest.mark.parametrize("spec", SPECS)
def test_order_and_company_do_not_matter(spec: str) -> None:
    perturbation = opened(spec)
    queries = [Query(f"{lang}{i}", t, lang) for lang, ts in sample().items() for i, t in enumerate(ts)]
    found = perturb_queries(queries, perturbation, 3, 5)
    shuffled = random.Random(0).sample(queries, len(queries))
    again = {q.query_id: q for q in perturb_queries(shuffled, opened(spec), 3, 5).queries}
    assert [again[q.query_id] for q in queries] == list(found.queries)
    assert [q.query_id for q in found.queries] == [q.query_id for q in queries]
    for lang, counts in found.counts.items():
        assert sum(counts) == 4
        assert (counts.not_claimed == 4) == (lang not in perturbation.languages)


@pytest.mark.parametrize("spec", SPECS)
def test_more_severity_changes_more(spec: str) -> None:
    """The share of letters that stay in place falls, on average over questions and seeds."""
    perturbation = opened(spec)
    texts = [(t, lang) for lang, ts in sample().items() if lang in perturbation.languages for t in ts]
    means = [
        np.mean([distance(t, perturbation.perturb(t, lang, s, seed)) for t, lang in texts for seed in (0, 1)])
        for s in range(MOST_SEVERE + 1)
    ]
    assert means[0] == 0
    assert all(np.diff(means) >= 0), means
    assert means[MOST_SEVERE] > means[1] or spec.startswith("punctuation?form=drop")


@pytest.mark.data
@pytest.mark.parametrize("spec", [spec for spec in SPECS if spec not in NOT_OF_QUERIES])
def test_severity_1_changes_most_real_questions(spec: str, data_root: Path) -> None:
    """In MLQA, XQuAD-R and MKQA."""
    perturbation = opened(spec, data_root / "omw" / "omw_synset_lemmas.tsv.gz")
    seen = set()
    for (name, lang), texts in real(data_root).items():
        if lang in perturbation.languages:
            seen.add(lang)
            assert changed(perturbation, texts, lang) > 0.5, (name, lang)
            for text in texts[:25]:
                check_text(perturbation, text, lang, 1)
    assert seen


def test_every_registered_perturbation_is_tested() -> None:
    assert {spec.partition("?")[0] for spec in SPECS} == set(names("perturbation"))


class CutsMarks(Keyboard):
    """Wrong on purpose: leaves marks without letters."""

    def perturb(self, text: str, lang: str, severity: int, seed: int) -> str:
        return super().perturb(text, lang, severity, seed) and text and f"{text} \u0301" if severity else text


class Forgets(Keyboard):
    """Wrong on purpose: touches languages it does not claim."""

    def perturb(self, text: str, lang: str, severity: int, seed: int) -> str:
        return super().perturb(text, lang if lang in self.languages else "en", severity, seed)


@pytest.mark.parametrize(("made", "message"), [(CutsMarks, "without its letter"), (Forgets, "not claimed")])
def test_the_suite_can_fail(made: type[Keyboard], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check(made(), [("de", ["Wer?"]), ("bn", ["Wer kommt?"])])


def changed(perturbation: Perturbation, texts: list[str], lang: str) -> float:
    return float(np.mean([perturbation.perturb(text, lang, 1, 0) != text for text in texts]))


def distance(a: str, b: str) -> float:
    """Edit distance (Levenshtein), the plain recurrence."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (x != y))
    return row[-1]
