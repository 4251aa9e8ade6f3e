"""R@2kt and R@5kt: is an answer in the first m thousand tokens of what was retrieved?

The rules are those of the official XOR-Retrieve scorer (Asai et al. 2021, "XOR QA", and its released
evaluation script):

1. Gold answers equal to `yes` or `no` are dropped; a question left without answers is not scored.
2. The texts of the ranked passages are tokenised one by one with NLTK's `word_tokenize`, and the tokens
   are strung together until there are m * 1000; the rest is cut off.
3. The tokens are joined by single spaces. The question is a hit when any answer is a case-sensitive
   substring of that text.
4. The figure is the share of hits per language, and the macro mean over languages.

Tokens are joined by spaces and quotation marks become `` and '', so an answer that holds such punctuation
can miss a text that states it. That is part of the measure and is kept.

`word_tokenize` first splits sentences with data that is not in NLTK's package. Where the data is not
installed, Punkt runs with the abbreviations below instead; `Splitter.name` says which one ran, and every
score's signature repeats it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from babelweave.errors import DataError, UsageError, nearest
from babelweave.records import Query, Run, Scores

LIMITS = {"R@2kt": 2000, "R@5kt": 5000}
"""Token limits of the two published measures."""

ABBREVIATIONS = frozenset(
    "mr mrs ms dr prof st sr jr rev hon gen col maj capt lt cmdr sgt gov sen rep pres supt "
    "vs etc e.g i.e cf al approx ca c vol no nos pp p fig ed eds "
    "jan feb mar apr jun jul aug sep sept oct nov dec mon tue wed thu fri sat sun "
    "inc ltd co corp bros dept univ assn ave blvd rd mt ft "
    "u.s u.s.a u.k u.n e.u d.c l.a n.y a.m p.m b.c a.d ph.d b.a m.a m.d "
    "a b d e f g h i j k l m n o q r s t u v w x y z".split()
)
"""Lower-case abbreviations, without their last stop, after which English Punkt must not end a sentence."""


class Splitter(NamedTuple):
    """A sentence splitter and the name under which scores record it."""

    name: str
    split: Callable[[str], list[str]]


@dataclass(frozen=True, slots=True)
class TokenRecall:
    """R@mkt of one run: per question hits, per language figures.

    Attributes:
        measure: "R@2kt" or "R@5kt".
        scores: 1.0 or 0.0 for each scored question.
        languages: language -> share of hits.
        n_questions: language -> number of scored questions.
        n_short: questions whose retrieved text ends before the limit, although the run may know more
            passages; their recall is understated. Retrieve deeper when this is not 0.
        n_unscored: questions without a span answer (all yes/no).
    """

    measure: str
    scores: Scores
    languages: Mapping[str, float]
    n_questions: Mapping[str, int]
    n_short: int
    n_unscored: int

    @property
    def macro(self) -> float:
        """Mean over languages, each counting once."""
        return float(np.mean(list(self.languages.values())))


class PassageTokens:
    """The tokens of passages, made when first asked for and kept as text: they are slow to make.

    Args:
        texts: doc_id -> passage text, without the title, as the official converter passes it.
    """

    def __init__(self, texts: Mapping[str, str]) -> None:
        self.doc_ids = texts.keys()
        self.splitter = sentence_splitter()
        self._texts = texts
        self._joined: dict[str, str] = {}

    def joined(self, doc_id: str) -> str:
        """The tokens of a passage joined by single spaces; no token holds a space.

        Raises:
            DataError: there is no such passage.
        """
        if doc_id not in self._joined:
            if doc_id not in self._texts:
                raise DataError(
                    f"the run names passage {doc_id!r}, which the collection lacks; score it against the "
                    "collection it was retrieved from"
                )
            self._joined[doc_id] = " ".join(tokenise(self._texts[doc_id], self.splitter))
        return self._joined[doc_id]


def token_recall(
    queries: Iterable[Query], run: Run, texts: Mapping[str, str] | PassageTokens, measure: str = "R@2kt"
) -> TokenRecall:
    """Score a run by the rules above.

    Args:
        queries: questions with their gold answers; one without hits in the run counts as a miss.
        run: ranked best first; retrieve about 100 passages of 100 words for R@5kt.
        texts: doc_id -> passage text; pass the same `PassageTokens` to several calls to tokenise once.
        measure: "R@2kt" or "R@5kt".

    Raises:
        UsageError: an unknown measure.
        DataError: the run names a passage that `texts` lacks, a question or the run's answer to it comes
            twice, a gold answer is empty, no question has a span answer, or none is in the run.

    Cost: tokenising each distinct passage, about a millisecond each; the rest is small.
    """
    if measure not in LIMITS:
        raise UsageError(f"unknown measure {measure!r}; {nearest(measure, LIMITS)}")
    limit = LIMITS[measure]
    passages = texts if isinstance(texts, PassageTokens) else PassageTokens(texts)
    ranked = {query_id: doc_ids for query_id, doc_ids, _ in run}
    if len(ranked) != len(run):
        raise DataError("the run answers a question twice; each query_id may stand once")
    hits: dict[str, float] = {}
    by_language: dict[str, list[float]] = {}
    n_short = n_unscored = 0
    for query in queries:
        answers = span_answers(query.answers)
        if not answers:
            n_unscored += 1
            continue
        if "" in answers:
            raise DataError(f"question {query.query_id!r} has an empty gold answer, which any text contains")
        if query.query_id in hits:
            raise DataError(f"question {query.query_id!r} comes twice; each query_id may stand once")
        found = ranked.get(query.query_id, ())
        tokens = first_tokens((passages.joined(d).split() for d in found), limit)
        n_short += len(tokens) < limit
        hit = float(contains_answer(tokens, answers))
        hits[query.query_id] = hit
        by_language.setdefault(query.lang, []).append(hit)
    if not hits:
        raise DataError(f"{measure}: no question has a span answer, so nothing can be scored")
    if ranked and not hits.keys() & ranked.keys():
        raise DataError(
            f"run and questions share no id: the run has {next(iter(ranked))!r}, ..., the questions "
            f"{next(iter(hits))!r}, ...; are they of the same release and split?"
        )
    ids = tuple(sorted(hits))
    signature = f"{measure}: nltk word_tokenize, sentences by {passages.splitter.name}"
    return TokenRecall(
        measure,
        Scores(measure, ids, np.array([hits[q] for q in ids]), signature),
        {lang: float(np.mean(by_language[lang])) for lang in sorted(by_language)},
        {lang: len(by_language[lang]) for lang in sorted(by_language)},
        n_short,
        n_unscored,
    )


def span_answers(answers: Sequence[str]) -> list[str]:
    """The answers that are not `yes` or `no` (rule 1; exact, lower case, as the official script)."""
    return [a for a in answers if a not in ("yes", "no")]


def first_tokens(passages: Iterable[Sequence[str]], limit: int) -> list[str]:
    """Tokens of the passages in order, at most `limit` of them (rule 2)."""
    tokens: list[str] = []
    for passage in passages:
        tokens += passage
        if len(tokens) >= limit:
            break
    return tokens[:limit]


def contains_answer(tokens: Sequence[str], answers: Sequence[str]) -> bool:
    """Whether any answer is a case-sensitive substring of the tokens joined by spaces (rule 3)."""
    text = " ".join(tokens)
    return any(answer in text for answer in answers)


def answer_ceiling(queries: Iterable[Query], texts: Mapping[str, str] | PassageTokens) -> dict[str, float]:
    """Language -> share of scored questions with an answer in some passage of the pool.

    What a perfect ranker would score, by the rules above: no pool without the answers can give more.

    Cost: tokenises every passage, then one substring search over the pool per distinct answer.
    """
    passages = texts if isinstance(texts, PassageTokens) else PassageTokens(texts)
    # The separator stands in no answer, so no answer is found across two passages.
    pool = "\x00".join(passages.joined(doc_id) for doc_id in passages.doc_ids)
    found: dict[str, bool] = {}
    by_language: dict[str, list[float]] = {}
    for query in queries:
        answers = span_answers(query.answers)
        if not answers:
            continue
        for answer in answers:
            if answer not in found:
                found[answer] = answer in pool
        by_language.setdefault(query.lang, []).append(float(any(found[a] for a in answers)))
    return {lang: float(np.mean(by_language[lang])) for lang in sorted(by_language)}


def tokenise(text: str, splitter: Splitter) -> list[str]:
    """NLTK's `word_tokenize`: Treebank-style words of each sentence."""
    words = _word_tokenizer()
    return [token for sentence in splitter.split(text) for token in words.tokenize(sentence)]


@cache
def sentence_splitter() -> Splitter:
    """NLTK's English Punkt when its data is installed, else Punkt with our abbreviations."""
    from nltk.tokenize import sent_tokenize
    from nltk.tokenize.punkt import PunktParameters, PunktSentenceTokenizer

    try:
        sent_tokenize("One. Two.")
    except LookupError:
        parameters = PunktParameters()
        parameters.abbrev_types = set(ABBREVIATIONS)
        return Splitter("Punkt with bundled abbreviations", PunktSentenceTokenizer(parameters).tokenize)
    return Splitter("NLTK punkt_tab", sent_tokenize)


@cache
def _word_tokenizer() -> Any:
    from nltk.tokenize.destructive import NLTKWordTokenizer

    return NLTKWordTokenizer()
