"""What a batch carries beside questions and passages: generated queries, variants of questions, languages.

    Layout          where it stands in the columns and labels of a batch
    GeneratedDraw   which generated queries a passage is woven with in a step
    read_generated  the queries of a pool's passages, and how many have none
    Extras          all of these for a batch, as a collator asks for them

Shapes: B questions, G passages of a group, W of them woven (the positive, or all G), g queries per passage.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from babelweave.data.squad import text_id
from babelweave.errors import DataError, UsageError
from babelweave.generate.queries import GeneratedQueries
from babelweave.protocols import Perturbation
from babelweave.records import Int64
from babelweave.train.rows import RowPool
from babelweave.train.sections import Weaving

GENERATED = "generated"
"""Variants of questions that are generated queries of their passages, not perturbations."""

Queries = Mapping[int, Mapping[str, Sequence[str]]]
"""Row of a passage in the pool -> language -> its generated queries, best first."""


class Slots(NamedTuple):
    """The generated queries of a batch, as a fuser takes them.

    Attributes:
        languages: int64 (g,), the language of each slot.
        present: bool (W B, g), passages column by column.
    """

    languages: Tensor
    present: Tensor


class Labels(NamedTuple):
    """The label column of a batch, cut."""

    ids: Tensor
    """int64 (B, G + K), see `losses.Groups`."""
    languages: Tensor
    """int64 (B, 1 + G), of the question and its passages."""
    slots: Slots | None


class Layout(NamedTuple):
    """Where things stand: anchor, G passages, the generated queries of all woven passages, the variants.

    The generated queries are one column of as many rows as there are queries, the variants of a source one
    of `variants` rows per question. Behind the ids of `losses.Groups`, labels hold the languages of question
    and passages, then the slots: the number of a language, or ~number where the passage has no such query.
    """

    n_passages: int
    """G"""
    n_woven: int = 0
    """W; 0 weaves nothing."""
    per_passage: int = 0
    """g"""
    variants: tuple[int, ...] = ()
    """Per source, the variants of a question."""

    def pack(self, ids: Tensor, languages: Int64, slots: Int64 | None) -> Tensor:
        """int64 (B, G + K), (B, 1 + G) and (W, B, g) to one label column."""
        parts = [ids, torch.from_numpy(languages)]
        if slots is not None:
            parts.append(torch.from_numpy(slots.transpose(1, 0, 2).reshape(len(ids), -1)))
        return torch.cat(parts, dim=1)

    def cut(self, labels: Tensor) -> Labels:
        """`pack` undone."""
        n_slots, n_languages = self.n_woven * self.per_passage, 1 + self.n_passages
        sizes = [labels.shape[1] - n_languages - n_slots, n_languages, n_slots]
        ids, languages, slots = torch.split(labels, sizes, dim=1)
        if not n_slots:
            return Labels(ids, languages, None)
        numbers = slots.reshape(len(labels), self.n_woven, -1).transpose(0, 1).flatten(0, 1)  # (W B, g)
        return Labels(ids, languages, Slots(torch.where(numbers < 0, ~numbers, numbers)[0], numbers >= 0))


class GeneratedDraw:
    """Draws the queries that passages are woven with.

    A batch has g slots, each of one language, which take turns in an order drawn for the batch; a passage
    fills a slot with a query of its language that it does not hold yet, drawn from all it has, and leaves it
    empty where there is none left. What is drawn depends on (seed, epoch, row) and on the batch's first and
    last row, so a resumed run draws what it would have drawn; no global random state is moved.

    Args:
        languages: of the queries, canonical; their places are the numbers in slots.
    """

    def __init__(self, queries: Queries, settings: Weaving, languages: Sequence[str], seed: int) -> None:
        self.queries, self.languages = queries, tuple(languages)
        self.per_step, self.seed = settings.per_step, seed
        self.per_batch = min(settings.languages_per_step or len(languages), len(languages))

    def draw(
        self, rows: Sequence[int], passages: Sequence[Sequence[int]], epoch: int
    ) -> tuple[Int64, list[str]]:
        """The slots of a batch, int64 (W, B, g) as `Layout` has them, and the texts that fill some, in order.

        Args:
            rows: (B,), of the training set.
            passages: W columns of B rows of the pool.
        """
        rng = np.random.default_rng((self.seed, epoch, rows[0], rows[-1]))
        order = rng.permutation(len(self.languages))[: self.per_batch]
        languages = np.resize(order, self.per_step)
        slots = np.broadcast_to(~languages, (len(passages), len(rows), self.per_step)).copy()
        texts: list[str] = []
        for column, numbers in zip(slots, passages, strict=True):
            for slot, row, passage in zip(column, rows, numbers, strict=True):
                drawn = self._of_passage(row, passage, languages, epoch)
                for place, text in enumerate(drawn):
                    if text is not None:
                        slot[place] = languages[place]
                        texts.append(text)
        return slots, texts

    def _of_passage(self, row: int, passage: int, languages: Int64, epoch: int) -> list[str | None]:
        rng = np.random.default_rng((self.seed, epoch, row, passage))
        own = self.queries.get(passage, {})
        left = {}
        for number in dict.fromkeys(languages.tolist()):
            listed = own.get(self.languages[number], ())
            left[number] = [listed[i] for i in rng.permutation(len(listed))]
        return [left[number].pop() if left[number] else None for number in languages.tolist()]


class Source(NamedTuple):
    """Where variants of questions come from."""

    perturbation: Perturbation | None
    """None takes generated queries of the positive."""
    n: int
    """Variants of a question."""
    severity: int = 1
    """Of the perturbation."""


class Extra(NamedTuple):
    """What a batch holds beside its group."""

    columns: dict[str, list[str]]
    """Texts to be read as questions, by column."""
    languages: Int64
    """(B, 1 + G)"""
    slots: Int64 | None
    """(W, B, g)"""


class Extras:
    """What a collator adds to the groups of a batch.

    Args:
        languages: of the data; their places are the numbers in labels.
        generated: what passages are woven with; None weaves nothing.
        queries: of the positives, for sources of variants that take them.
    """

    def __init__(
        self,
        pool: RowPool,
        layout: Layout,
        *,
        generated: GeneratedDraw | None = None,
        sources: Sequence[Source] = (),
        queries: Queries | None = None,
        seed: int,
    ) -> None:
        self.layout, self.generated, self.sources, self.seed = layout, generated, sources, seed
        self.languages = pool.languages
        number = {lang: i for i, lang in enumerate(self.languages)}
        self._passages = [number[passage.lang] for passage in pool.passages]
        self._questions = [question.query for listed in pool.questions.values() for question in listed]
        self._numbers = [number[query.lang] for query in self._questions]
        self._queries = {
            row: [t for texts in own.values() for t in texts] for row, own in (queries or {}).items()
        }

    def of(self, rows: Sequence[int], drawn: Sequence[Sequence[int]], epoch: int) -> Extra:
        """Of a batch: rows (B,) of the training set and the passages (B, G) drawn for them."""
        columns: dict[str, list[str]] = {}
        slots = None
        if self.generated is not None:
            woven = [[group[i] for group in drawn] for i in range(self.layout.n_woven)]
            slots, texts = self.generated.draw(rows, woven, epoch)
            columns["generated"] = texts or [""]  # a column without rows cannot be encoded
        for i, source in enumerate(self.sources):
            columns[f"variant_{i + 1}"] = [
                self._variant(source, row, group[0], (self.seed, epoch, row, i, k))
                for row, group in zip(rows, drawn, strict=True)
                for k in range(source.n)
            ]
        languages = [
            [self._numbers[row], *(self._passages[passage] for passage in group)]
            for row, group in zip(rows, drawn, strict=True)
        ]
        return Extra(columns, np.array(languages, dtype=np.int64), slots)

    def _variant(self, source: Source, row: int, positive: int, seeds: tuple[int, ...]) -> str:
        seed = int(np.random.SeedSequence(seeds).generate_state(1)[0])
        query = self._questions[row]
        if source.perturbation is not None:
            return source.perturbation.perturb(query.text, query.lang, source.severity, seed)
        texts = self._queries.get(positive) or [query.text]
        return texts[seed % len(texts)]


def read_generated(
    generated: GeneratedQueries, settings: Weaving, pool: RowPool
) -> tuple[Queries, dict[str, int]]:
    """The queries of the passages that are woven, held in memory, and what a run counts of them.

    A passage is looked up under `doc_id` of its collection, or under `text_id` of its text.

    Raises:
        DataError: one id names two passages, none has a query, or some have none and the recipe wants all.
        UsageError: a language the file does not have.
    """
    listed = [question for questions in pool.questions.values() for question in questions]
    rows = dict.fromkeys(row for question in listed for row in question.positives)
    if settings.negatives:
        rows = dict.fromkeys(range(len(pool.passages)))
    ids = {row: _id(pool, row, settings.ids) for row in rows}
    if settings.ids == "collection" and len(set(ids.values())) < len(ids):
        raise DataError(
            f"{len(ids) - len(set(ids.values()))} ids of the {len(ids)} passages to weave name another "
            'passage too; generate queries under ids of the texts, and set weaving.ids = "text"'
        )
    wanted = set(generated.check_languages(settings.languages or generated.languages))
    found = generated.lookup(list(ids.values()))
    queries = {
        row: own
        for row, doc_id in ids.items()
        if (own := {lang: texts for lang, texts in found.get(doc_id, {}).items() if lang in wanted})
    }
    _check_missing(generated, settings, pool, ids, queries)
    return queries, {
        "weaving: passages with generated queries": len(queries),
        "weaving: passages without, left as they are": len(ids) - len(queries),
        "weaving: generated queries": sum(len(t) for own in queries.values() for t in own.values()),
    }


def _id(pool: RowPool, row: int, ids: str) -> str:
    passage = pool.passages[row]
    return passage.doc_id if ids == "collection" else text_id(passage.text)


def _check_missing(
    generated: GeneratedQueries, settings: Weaving, pool: RowPool, ids: Mapping[int, str], queries: Queries
) -> None:
    without = [row for row in ids if row not in queries]
    if not without or (queries and settings.missing == "plain"):
        return
    message = (
        f"{generated.path}: {len(without)} of {len(ids)} passages to weave have no generated query in "
        f"{', '.join(settings.languages or generated.languages)} (first: {ids[without[0]]!r})"
    )
    other = "text" if settings.ids == "collection" else "collection"
    under = int(generated.contains([_id(pool, row, other) for row in ids]).sum())
    if under > len(queries):
        raise DataError(f'{message}; {under} have some under ids of the {other}: set weaving.ids = "{other}"')
    if not queries:
        raise DataError(f"{message}; generate queries for the passages that are trained on")
    raise DataError(f'{message}; generate some, or set weaving.missing = "plain" to leave such passages')


def check_per_step(settings: Weaving, languages: Sequence[str]) -> None:
    """Refuse a step that draws more languages than it has slots or the file has languages.

    Raises:
        UsageError: as said.
    """
    most = min(settings.per_step, len(languages))
    if (asked := settings.languages_per_step) is not None and asked > most:
        raise UsageError(
            f"weaving.languages_per_step is {asked}, expected at most {most}: {settings.per_step} queries "
            f"per step, {len(languages)} languages"
        )
