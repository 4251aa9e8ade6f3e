"""What a generator is trained on: passages with a question each, and which of them judge it.

A question may be in another language than its passage; the prompt names it. Of parallel questions the English
one stands where a passage would, and the translation is what is to be written.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Annotated, ClassVar, NamedTuple

from pydantic import Field, PositiveInt

from babelweave.artifact import digest_texts
from babelweave.errors import DataError, nearest
from babelweave.records import Passage, Query
from babelweave.train.card import TrainingData
from babelweave.train.rows import RowPool
from babelweave.train.sections import Data, Parallel, Source
from babelweave.train.settings import Checked
from babelweave.train.sources import read_data, source_data

_USE = "passages to questions"
_USE_PARALLEL = "English texts, questions above all, to their translations"


class GeneratorSource(Source):
    """Passages with questions about them: one of `relevance`, `dataset`, `collection`, `rows`, `parallel`."""

    takes: ClassVar[Mapping[str, set[str]]] = {**Source.takes, "parallel": {"parallel", "questions_only"}}
    common: ClassVar[frozenset[str]] = Source.common | {"limit"}

    parallel: Parallel | None = None
    """A registered source of parallel text, its questions above all: the English stands for the passage, the
    translation is written. So languages are learned that no passages with questions exist in."""
    questions_only: bool = False
    """Of parallel text, only pairs whose two sides end with a question mark."""
    limit: PositiveInt | None = None
    """Examples of a question language, taken evenly from all of them."""


class GeneratorData(Data):
    """What is trained on."""

    once_per_question: bool = False
    """One example of a question, with its best passage; else one of every passage that answers it."""
    sets: Annotated[tuple[GeneratorSource, ...], Field(min_length=1)]


class GeneratorDev(Checked):
    """Examples that judge the model by the loss per token, with the prompt of training: -loss is the mean
    over the question languages, -loss LANG of one. Their passages are not trained on."""

    share: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Of the passages of the training sets, told by a hash of their text. This or `sets`."""
    of: tuple[str, ...] = ()
    """Training sets that `share` is taken of; () takes all."""
    limit: PositiveInt | None = 500
    """Examples of a question language, at most."""
    sets: tuple[GeneratorSource, ...] = ()
    """Sets of their own."""

    def _contradictions(self) -> Iterator[str]:
        if (self.share is None) == (not self.sets):
            yield "give share or sets"
        if self.of and self.share is None:
            yield "of names the sets that share is taken of; it has no effect on sets"


class Item(NamedTuple):
    """A passage and the question to be written from it."""

    passage: Passage
    query: Query


Sets = dict[str, list[Item]]


class Split(NamedTuple):
    """Attributes:
    sets: training set -> its examples.
    dev: what judges the model; empty without dev data.
    counts: read, left out and kept, for the manifest.
    """

    sets: Sets
    dev: list[Item]
    counts: dict[str, int]

    @property
    def languages(self) -> tuple[str, ...]:
        """Of the questions, sorted."""
        return tuple(sorted({item.query.lang for items in self.sets.values() for item in items}))

    def digests(self) -> dict[str, str]:
        """Set -> digest of its examples; the dev examples under "dev data"."""
        found = {name: _digest(items) for name, items in self.sets.items()}
        return found | ({"dev data": _digest(self.dev)} if self.dev else {})


def read_split(data: GeneratorData, dev: GeneratorDev | None) -> Split:
    """Read every set, and keep the passages of dev out of training.

    Raises:
        UsageError: as `sources.read_data`.
        DataError: a source is missing or broken, or nothing is left to train on or to judge by.
    """
    sets, counts = _read(data)
    judges: list[Item] = []
    if dev is not None:
        judges = _dev(data, dev, sets)
        counts["dev examples"] = len(judges)
        held = {_key(item.passage) for item in judges}
        for name, items in sets.items():
            kept = [item for item in items if _key(item.passage) not in held]
            if not kept:
                raise DataError(f"{name}: every passage is among the dev examples; lower dev.share")
            if len(kept) < len(items):
                counts[f"{name}: examples of dev passages left out"] = len(items) - len(kept)
            sets[name] = kept
    return Split(sets, judges, counts)


def _dev(data: GeneratorData, dev: GeneratorDev, sets: Sets) -> list[Item]:
    if dev.sets:
        own = GeneratorData(
            root=data.root,
            exclusions=data.exclusions,
            once_per_question=data.once_per_question,
            sets=dev.sets,
        )
        found = [item for items in _read(own)[0].values() for item in items]
        return _limited(found, dev.limit)
    assert dev.share is not None
    if unknown := [name for name in dev.of if name not in sets]:
        raise DataError(f"dev.of: no data set {unknown[0]!r}; {nearest(unknown[0], sets)}")
    chosen = [item for name in dev.of or sets for item in sets[name] if _place(item.passage) < dev.share]
    if not chosen:
        raise DataError(f"dev.share {dev.share:g}: no passage falls into it; raise it")
    return _limited(chosen, dev.limit)


def _key(passage: Passage) -> bytes:
    return hashlib.blake2b(passage.text.encode(), digest_size=16).digest()


def _place(passage: Passage) -> float:
    """Of a passage in [0, 1), the same in every run and whatever stands beside it."""
    return int.from_bytes(_key(passage)[:8], "big") / 2**64


def _read(data: GeneratorData) -> tuple[Sets, dict[str, int]]:
    pool = read_data(data)
    counts = {f"{name}: {what}": n for name, c in pool.counts.items() for what, n in c.items()}
    sets: Sets = {}
    for source in data.sets:
        name = source.label
        if name not in pool.questions:  # nothing of it was drawn
            continue
        items = list(_items(pool, name, once=data.once_per_question))
        sets[name] = _limited(items, source.limit)
        counts[f"{name}: examples"] = len(sets[name])
    return sets, counts


def _items(pool: RowPool, name: str, *, once: bool) -> Iterator[Item]:
    seen: set[str] = set()
    for question in pool.questions[name]:
        if once and question.query.query_id in seen:
            continue
        seen.add(question.query.query_id)
        for row in question.positives[:1] if once else question.positives:
            yield Item(pool.passages[row], question.query)


def _limited(items: Sequence[Item], limit: int | None) -> list[Item]:
    """At most `limit` of each question language, evenly from first to last, in their order."""
    places: defaultdict[str, list[int]] = defaultdict(list)
    for i, item in enumerate(items):
        places[item.query.lang].append(i)
    kept: list[int] = []
    for found in places.values():
        n = len(found) if limit is None else min(limit, len(found))
        kept += [found[i * len(found) // n] for i in range(n)]
    return [items[i] for i in sorted(kept)]


def _digest(items: Iterable[Item]) -> str:
    return digest_texts(
        field
        for passage, query in items
        for field in (passage.title, passage.text, passage.lang, query.text, query.lang)
    )


def texts_by_language(sets: Sets) -> dict[str, list[str]]:
    """Distinct passages and questions: what a vocabulary is learned from."""
    texts: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for items in sets.values():
        for passage, query in items:
            texts[passage.lang][passage.content] = None
            texts[query.lang][query.text] = None
    return {lang: list(texts[lang]) for lang in sorted(texts)}


def spread(texts: Sequence[str], size: Callable[[str], int], most: int) -> list[str]:
    """Texts taken evenly from all, of about `most` in total size."""
    total = sum(map(size, texts))
    every = max(-(-total // most), 1)
    return list(texts[::every])


def training_data(data: GeneratorData, sets: Sets) -> tuple[TrainingData, ...]:
    """What a model card says of the sets."""
    found = []
    for source in data.sets:
        counts = Counter(item.query.lang for item in sets[source.label])
        use = _USE_PARALLEL if source.parallel is not None else _USE
        found.append(source_data(source, counts.total(), tuple(sorted(counts)), data.root, use))
    return tuple(found)
