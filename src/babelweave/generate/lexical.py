"""Questions without a model: the salient terms of a sentence, put into another language.

Cloze questions in the manner of Lewis, Denoyer and Riedel (2019, arXiv 1906.04980): each question takes one
sentence of the passage, leaves out a year or a number where there is one, and asks for it with the words
of the rest. Here the words are translated one by one with a lexicon, so there is no grammar beyond a
question pattern: enough to bring the vocabulary of the target language, the names and the numbers.
"""

from __future__ import annotations

import functools
import math
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from babelweave.artifact import digest_texts
from babelweave.errors import UsageError, nearest
from babelweave.generate.lexicon import Lexicon, default_lexicon
from babelweave.generate.templates import QUESTIONS, Asked
from babelweave.generate.terms import Term, read_terms
from babelweave.records import Passage

Form = Literal["question", "keywords"]

_NAME_WEIGHT = 1.5  # a name tells passages of a subject apart; a word with one meaning weighs 1


class _Sentence(NamedTuple):
    terms: tuple[Term, ...]
    weights: Mapping[str, float]
    """Term key -> salience in the passage."""


class LexicalGenerator:
    """Keyword or question-like queries from a bilingual lexicon; no weights, no network.

    The salience of a term is (1 + log tf) / (1 + log m), with tf its count in the passage and m the number
    of its meanings: a word of many meanings says little. The sentences with the most salience come first;
    terms already asked about count half, so the n queries spread over the passage.

    Numbers, and names the lexicon has no word for, are kept as they are; between languages of one script
    so is a name that the lexicon knows only as a common noun. Other words without a translation are left
    out and counted: kept, they cost Vietnamese questions 3 points of RR@10 on MLQA dev (tune half) and
    gained German ones nothing. A sentence with nothing but numbers to show is not asked about.

    Args:
        lexicon: what translates, or the path of its file; None takes `lexicon.default_lexicon()`.
        form: "question" wraps the terms in a pattern of the language where `templates.py` has one, and
            gives the terms alone elsewhere; "keywords" always gives the terms alone.
        terms: at most so many terms in a query.
        topic: how many of the passage's most salient terms stand in every query of it.
    Raises:
        UsageError: an unknown form, `terms` below 1 or `topic` not within 0 and `terms`.
        DataError: the lexicon cannot be read.
    """

    def __init__(
        self,
        *,
        lexicon: Lexicon | str | None = None,
        form: Form = "question",
        terms: int = 8,
        topic: int = 1,
    ) -> None:
        if form not in get_args(Form):
            raise UsageError(f"unknown form {form!r}; {nearest(form, get_args(Form))}")
        if terms < 1 or not 0 <= topic <= terms:
            raise UsageError(f"terms={terms}, topic={topic}: expected 1 <= terms and 0 <= topic <= terms")
        if not isinstance(lexicon, Lexicon):
            lexicon = Lexicon.open(default_lexicon() if lexicon is None else Path(lexicon))
        self._lexicon, self._form, self._n_terms, self._n_topic = lexicon, form, terms, topic
        self._totals: Counter[str] = Counter()
        self._sentences = functools.lru_cache(maxsize=4096)(self._read_sentences)

    @property
    def signature(self) -> Mapping[str, Any]:
        return {
            "name": "lexical",
            "lexicon": self._lexicon.digest,
            "form": self._form,
            "terms": self._n_terms,
            "topic": self._n_topic,
        }

    @property
    def languages(self) -> frozenset[str]:
        return self._lexicon.languages

    def generate(self, passages: Sequence[Passage], lang: str, n: int, seed: int) -> list[list[str]]:
        """At most n distinct queries per passage; fewer where it has too few terms.

        Raises:
            UsageError: the lexicon lacks `lang` or the language of a passage.
        """
        if lang not in self.languages:
            raise UsageError(f"the lexicon has no language {lang!r}; {nearest(lang, self.languages)}")
        self._totals.update(self.account(passages, lang))
        return [self._queries(passage, lang, n, seed) for passage in passages]

    @property
    def totals(self) -> Mapping[str, int]:
        """The sums of `account` over all calls of `generate`."""
        return self._totals

    def account(self, passages: Sequence[Passage], lang: str) -> Mapping[str, int]:
        """Distinct terms of the passages, and how many have no form in `lang` and are left out."""
        n_terms = n_left_out = 0
        for passage in passages:
            distinct = {t.key: t for s in self._sentences(passage.content, passage.lang) for t in s.terms}
            n_terms += len(distinct)
            n_left_out += sum(not self._forms(t, passage.lang, lang) for t in distinct.values())
        return {"terms": n_terms, "untranslated_terms": n_left_out}

    def _queries(self, passage: Passage, lang: str, n: int, seed: int) -> list[str]:
        """Rounds over the sentences: the first with the best translations, later ones with drawn ones."""
        sentences = [
            s._replace(terms=tuple(t for t in s.terms if self._forms(t, passage.lang, lang)))
            for s in self._sentences(passage.content, passage.lang)
        ]
        topic = self._topic(sentences)
        draw = random.Random(digest_texts([str(seed), lang, passage.lang, passage.content]))
        asked_about: Counter[str] = Counter()
        queries: dict[str, None] = {}
        for first_round in (True, False):
            for sentence in self._spread(sentences, topic, asked_about):
                if len(queries) >= n:
                    break
                kind, left_out = _ask(sentence.terms) if self._form == "question" else ("what", None)
                chosen = self._choose(sentence, topic, asked_about, left_out)
                forms = [self._forms(t, passage.lang, lang) for t in chosen]
                words = [f[0] if first_round else draw.choice(f) for f in forms]
                if words:
                    queries.setdefault(self._wrap(" ".join(dict.fromkeys(words)), lang, kind))
                    asked_about.update(t.key for t in chosen)
        return list(queries)

    def _spread(
        self, sentences: Sequence[_Sentence], topic: Sequence[Term], asked_about: Counter[str]
    ) -> Iterator[_Sentence]:
        """Each sentence once, always the one whose best terms are the most salient and least asked about."""
        left = [s for s in sentences if any(not t.is_number() for t in s.terms)]
        while left:
            best = max(
                range(len(left)),
                key=lambda i: sum(
                    _worth(t, left[i], asked_about) for t in self._choose(left[i], topic, asked_about, None)
                ),
            )
            yield left.pop(best)

    def _choose(
        self, sentence: _Sentence, topic: Sequence[Term], asked_about: Counter[str], left_out: Term | None
    ) -> list[Term]:
        """The topic, then the sentence's worthiest other terms in the order of the text."""
        own = {t.key: t for t in sentence.terms if t not in topic and t != left_out}
        by_worth = sorted(own.values(), key=lambda t: -_worth(t, sentence, asked_about))
        kept = {t.key for t in by_worth[: self._n_terms - len(topic)]}
        return [t for t in topic if t != left_out] + [t for t in own.values() if t.key in kept]

    def _topic(self, sentences: Sequence[_Sentence]) -> list[Term]:
        distinct = {t.key: (s.weights[t.key], t) for s in sentences for t in s.terms if t.kind != "number"}
        ranked = sorted(distinct.values(), key=lambda pair: -pair[0])
        return [term for _, term in ranked[: self._n_topic]]

    def _wrap(self, words: str, lang: str, asked: Asked) -> str:
        if self._form == "keywords" or lang not in QUESTIONS:
            return words
        return QUESTIONS[lang][asked].format(words)

    def _forms(self, term: Term, source: str, target: str) -> tuple[str, ...]:
        """What stands for the term in the target language, best first; () when nothing does."""
        if source == target or term.kind == "number":
            return (term.surface,)
        same_script = self._lexicon.script(source) == self._lexicon.script(target)
        # "Bush" is in the lexicon as a plant only: a name that languages of one script share as it is.
        keeps = term.kind == "name" and same_script and not self._lexicon.spelled(term.surface, source)
        found = self._lexicon.translate(term.lemma, source, target) if term.lemma and not keeps else ()
        return found or ((term.surface,) if term.kind == "name" else ())

    def _read_sentences(self, text: str, lang: str) -> tuple[_Sentence, ...]:
        sentences = read_terms(text, lang, self._lexicon)
        tf = Counter(t.key for terms in sentences for t in terms)
        weights = {
            t.key: (1 + math.log(tf[t.key])) * self._specificity(t, lang)
            for terms in sentences
            for t in terms
        }
        return tuple(_Sentence(terms, weights) for terms in sentences)

    def _specificity(self, term: Term, lang: str) -> float:
        if term.kind == "name":
            return _NAME_WEIGHT
        # A word the lexicon does not have is taken for a rare one, of one meaning.
        n_meanings = len(self._lexicon.meanings(term.lemma, lang)) if term.lemma else 1
        return 1 / (1 + math.log(n_meanings))


def _worth(term: Term, sentence: _Sentence, asked_about: Counter[str]) -> float:
    return sentence.weights[term.key] / (1 + asked_about[term.key])


def _ask(terms: Sequence[Term]) -> tuple[Asked, Term | None]:
    """What a sentence is asked for, and the term its question leaves out."""
    for asked, matches in (("when", Term.is_year), ("how many", Term.is_number)):
        found = next((t for t in terms if matches(t)), None)
        if found is not None and len(terms) > 1:
            return asked, found  # type: ignore[return-value]
    return "what", None
