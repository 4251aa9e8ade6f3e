"""Hard negatives: passages a searcher ranks high for a question and that do not answer it.

`mine` takes the run of any searcher and gives rows with negatives; `Mine` is the recipe around it
(`kind = "negatives"`), whose folder of training rows a retriever's recipe reads (`rows = "FOLDER"`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection as Container
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from babelweave.artifact import check_target
from babelweave.data.collection import Collection
from babelweave.data.words import terms
from babelweave.encode.spec import open_encoder
from babelweave.errors import DataError
from babelweave.evaluate.benchmarks.rankers import Bm25Ranker, DenseRanker, Ranker, Stopwatch
from babelweave.recipe import Progress, Recipe, Trained, TrainingPlan, data_path
from babelweave.records import Passage, Query, Run, Subset
from babelweave.registry import DEFAULT_ENCODER
from babelweave.search.pipeline import Pipeline
from babelweave.search.search import PassageLookup, find_passages
from babelweave.train.rows import KIND, Example, Question, RowPool, write_rows
from babelweave.train.sections import Data
from babelweave.train.settings import Checked
from babelweave.train.sources import digests, read_data


class Mining(Checked):
    """Which of the passages found become negatives."""

    per_question: PositiveInt = 7
    """At most; Tevatron's groups of 8 have one positive and 7 negatives."""
    first: PositiveInt = 1
    """The best rank looked at; leaving out the very first spares answers nobody has judged."""
    last: PositiveInt = 100
    """The worst."""
    margin: NonNegativeFloat | None = None
    """Only passages that score at least this much below the positive."""
    relative_margin: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Only passages that score at most (1 - this) of the positive; 0.05 in NV-Retriever (de Souza P.
    Moreira et al. 2024, arXiv 2407.15831, TopK-PercPos)."""
    answers: Literal["drop", "keep"] = "drop"
    """Passages in which an answer of the question stands word for word."""
    choose: Literal["top", "random"] = "top"
    """Of those that are left: the best, or any, drawn by `seed`."""
    too_few: Literal["keep", "drop"] = "keep"
    """Questions with fewer than `per_question`: kept with what there is, or dropped; counted either way."""
    seed: NonNegativeInt = 0
    """Of a random choice."""

    def _contradictions(self) -> Iterator[str]:
        if self.last < self.first:
            yield f"ranks {self.first} to {self.last} are none; last must not be below first"
        if self.margin is not None and self.relative_margin is not None:
            yield "give margin or relative_margin, not both"
        if self.choose == "top" and "seed" in self.model_fields_set:
            yield 'seed has no effect on choose = "top"'


class Mined(NamedTuple):
    """Rows with negatives, and what became of the passages found, by language of the question."""

    pool: RowPool
    counts: dict[str, int]


def mine(pool: RowPool, run: Run, lookup: PassageLookup, mining: Mining) -> Mined:
    """Negatives for the questions of a pool out of a run; those the rows had before are replaced.

    The positive's score is that of the best-ranked passage known to answer the question. Where the run
    has none of them, every passage found outranks it, and no margin leaves any.

    Args:
        run: of `queries(pool)`, at least `mining.last` deep.
        lookup: the passages of the run's doc_ids.
    Raises:
        DataError: the run lacks a question, or no question is left.
    """
    found = {query_id: list(zip(docs, scores, strict=True)) for query_id, docs, scores in run}
    named = {doc for hits in found.values() for doc, _ in hits[: mining.last]}
    passages = lookup(named)
    miner = _Miner(pool, passages, mining)
    counts: Counter[str] = Counter()
    mined = RowPool()
    for name, questions in pool.questions.items():
        examples = []
        for number, question in enumerate(questions):
            query_id = _query_id(name, number)
            if query_id not in found:
                raise DataError(f"{name}: the run does not answer question {question.query.query_id!r}")
            negatives, why = miner.negatives(question, found[query_id], (len(mined.questions), number))
            lang = question.query.lang
            counts.update({f"{lang}: {reason}": n for reason, n in why.items()})
            counts[f"{lang}: negatives"] += len(negatives)
            if len(negatives) < mining.per_question:
                fate = "kept" if mining.too_few == "keep" else "dropped"
                counts[f"{lang}: questions with fewer than {mining.per_question}, {fate}"] += 1
                if mining.too_few == "drop":
                    continue
            positives = tuple(pool.passages[row] for row in question.positives)
            examples.append(Example(question.query, positives, tuple(negatives)))
        mined.add(name, examples)
    return Mined(mined, dict(sorted(counts.items())))


class _Miner:
    def __init__(self, pool: RowPool, passages: Mapping[str, Passage], mining: Mining) -> None:
        self._pool, self._passages, self._mining = pool, passages, mining
        self._known = pool.known()
        self._words: dict[str, str] = {}

    def negatives(
        self, question: Question, hits: list[tuple[str, float]], key: tuple[int, int]
    ) -> tuple[list[Passage], Counter[str]]:
        """The negatives of a question, and how many hits were left out for which reason."""
        mining, why = self._mining, Counter[str]()
        right = {self._pool.passages[row].content for row in self._known[question.query.text]}
        limit = self._limit(hits, right)
        answers = [_joined(answer) for answer in question.query.answers if answer not in ("yes", "no")]
        kept: dict[str, Passage] = {}
        for doc_id, score in hits[mining.first - 1 : mining.last]:
            passage = self._passages[doc_id]
            if passage.content in right:
                why["known answers left out"] += 1
            elif passage.content in kept:
                why["repeated passages left out"] += 1
            elif score > limit:
                why["within the margin left out"] += 1
            elif mining.answers == "drop" and self._answers(doc_id, answers):
                why["answer-bearing left out"] += 1
            else:
                kept[passage.content] = passage
        found = list(kept.values())
        if mining.choose == "random" and len(found) > mining.per_question:
            rng = np.random.default_rng((mining.seed, *key))
            picked = sorted(rng.choice(len(found), mining.per_question, replace=False).tolist())
            found = [found[i] for i in picked]
        return found[: mining.per_question], why

    def _limit(self, hits: list[tuple[str, float]], right: Container[str]) -> float:
        """The highest score a negative may have."""
        mining = self._mining
        if mining.margin is None and mining.relative_margin is None:
            return float("inf")
        scores = (score for doc_id, score in hits if self._content(doc_id) in right)
        positive = next(scores, float("-inf"))
        if mining.relative_margin is not None:
            return positive - abs(positive) * mining.relative_margin
        return positive - (mining.margin or 0.0)

    def _content(self, doc_id: str) -> str | None:
        passage = self._passages.get(doc_id)
        return passage.content if passage else None

    def _answers(self, doc_id: str, answers: list[str]) -> bool:
        if doc_id not in self._words:
            self._words[doc_id] = _joined(self._passages[doc_id].content)
        return any(answer in self._words[doc_id] for answer in answers if answer.strip())


def _joined(text: str) -> str:
    """The words of a text between single blanks, so that a whole word is found and no part of one."""
    return f" {' '.join(terms(text))} "


def queries(pool: RowPool) -> list[Query]:
    """The questions of a pool under ids that are unique over its data sets."""
    return [
        question.query._replace(query_id=_query_id(name, number))
        for name, questions in pool.questions.items()
        for number, question in enumerate(questions)
    ]


def _query_id(name: str, number: int) -> str:
    return f"{name}:{number}"


class Search(Checked):
    """What looks for negatives: an encoder or BM25 over passages in memory, or indexes on disk."""

    encoder: str | None = None
    """SPEC of an encoder; of the questions' where `indexes` are searched."""
    bm25: str | None = None
    """SPEC of BM25, such as "bm25"."""
    indexes: tuple[str, ...] = ()
    """Index folders, fused where there are several."""
    collection: str | None = None
    """The passages searched, those behind `indexes`; by default the passages of the data."""

    def _contradictions(self) -> Iterator[str]:
        if not self.indexes and (self.encoder is None) == (self.bm25 is None):
            yield "give encoder or bm25, or indexes"
        if self.indexes and self.collection is None:
            yield "indexes need collection, where the texts of their passages are"
        if self.indexes and self.bm25 is not None:
            yield "bm25 searches passages in memory; a folder of bm25 goes under indexes"


class Mine(Recipe):
    """A recipe that mines hard negatives; its folder holds training rows, not a model."""

    kind: Literal["negatives"]
    data: Data
    search: Search
    mining: Mining = Mining()

    def plan(self) -> TrainingPlan:
        """Read the data; there are no steps, and what is encoded is not counted in tokens."""
        pool = read_data(self.data)
        return TrainingPlan(sum(map(len, pool.questions.values())), 0, 0)

    def train(self, folder: Path, *, overwrite: bool = False, progress: Progress | None = None) -> Trained:
        """Write the rows; they appear whole or not at all.

        Raises:
            UsageError: the folder is in use.
            DataError: no question is left.
        """
        check_target(folder, KIND, overwrite=overwrite)
        pool = read_data(self.data)
        run, lookup = self._search(pool)
        mined = mine(pool, run, lookup, self.mining)
        manifest = write_rows(
            folder,
            mined.pool,
            settings=self.settings(),
            inputs=digests(pool),
            counts=mined.counts,
            overwrite=overwrite,
        )
        return Trained(0, None, None, manifest)

    def _search(self, pool: RowPool) -> tuple[Run, PassageLookup]:
        asked, depth, root = queries(pool), self.mining.last, self.data.root
        collection = self.search.collection
        opened = Collection.open(data_path(collection, root)) if collection else None
        if self.search.indexes:
            assert opened is not None
            indexes = [str(data_path(index, root)) for index in self.search.indexes]
            pipeline = Pipeline(indexes, lambda: open_encoder(self.search.encoder or DEFAULT_ENCODER))
            return pipeline.search(asked, depth), lambda ids: find_passages(opened.passages(), ids)
        passages = list(opened.passages()) if opened else pool.passages
        numbered = {f"{row:09}": passage for row, passage in enumerate(passages)}
        renamed = [passage._replace(doc_id=doc_id) for doc_id, passage in numbered.items()]
        subset = Subset("data", renamed[0].lang, asked[0].lang, renamed, asked, {})
        ranker = self._ranker()
        ranker.prepare([subset], Stopwatch())
        return ranker.rank(subset, depth), lambda ids: {doc_id: numbered[doc_id] for doc_id in ids}

    def _ranker(self) -> Ranker:
        if self.search.bm25 is not None:
            return Bm25Ranker(self.search.bm25)
        assert self.search.encoder is not None
        return DenseRanker(open_encoder(self.search.encoder))
