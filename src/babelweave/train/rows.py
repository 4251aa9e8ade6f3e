"""Training rows: questions with the passages that answer them and passages that do not.

    examples_of        any data set or collection with judgements
    tevatron_examples  Tevatron's rows, whose negatives no judgement holds
    RowPool            examples of several data sets over one pool of distinct passages
    write_rows         a pool as an artefact, which `RowPool` and a recipe's `rows` read back

A passage is what an encoder reads of it: title and text joined by one space. Passages with the same content
are one row of the pool, so equal numbers are equal texts.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from babelweave.artifact import Manifest, read_manifest, seal, write_folder
from babelweave.data.dataset import Dataset
from babelweave.data.languages import canonical
from babelweave.data.squad import text_sha1
from babelweave.data.tevatron import iter_v1, iter_v2, read_corpus
from babelweave.errors import DataError, nearest
from babelweave.records import Passage, Qrels, Query

KIND = "training rows"
_PASSAGES, _QUESTIONS = "passages.parquet", "questions.parquet"
_ROWS = pa.list_(pa.int32())
_PASSAGE_SCHEMA = pa.schema([(name, pa.large_string()) for name in ("doc_id", "text", "lang", "title")])
_QUESTION_SCHEMA = pa.schema(
    [
        ("query_id", pa.string()),
        ("text", pa.string()),
        ("lang", pa.string()),
        ("answers", pa.list_(pa.string())),
        ("positives", _ROWS),
        ("negatives", _ROWS),
    ]
)


class Example(NamedTuple):
    """A question, what answers it, and what does not; the best of both first."""

    query: Query
    positives: tuple[Passage, ...]
    negatives: tuple[Passage, ...] = ()


class Question(NamedTuple):
    """An example whose passages are rows of a pool."""

    query: Query
    positives: tuple[int, ...]
    negatives: tuple[int, ...]


def examples_of(
    passages: Iterable[Passage], queries: Iterable[Query], qrels: Qrels, where: str
) -> Iterator[Example]:
    """One example per judged question: relevance above 0 is a positive, 0 a negative.

    Args:
        passages: read once; only those judged are held.
        where: what the message names.
    Raises:
        DataError: a judged passage is not there.
    """
    judged = {doc_id for docs in qrels.values() for doc_id in docs}
    found = {p.doc_id: p for p in passages if p.doc_id in judged}
    if missing := sorted(judged - found.keys()):
        raise DataError(f"{where}: {len(missing)} judged passages are not there (first: {missing[0]!r})")
    for query in queries:
        if docs := qrels.get(query.query_id):
            best_first = sorted(docs, key=lambda doc_id: -docs[doc_id])
            yield Example(
                query,
                tuple(found[doc_id] for doc_id in best_first if docs[doc_id] > 0),
                tuple(found[doc_id] for doc_id in docs if docs[doc_id] <= 0),
            )


def dataset_examples(dataset: Dataset, where: str) -> Iterator[Example]:
    """The examples of every split of a data set."""
    judged: dict[str, Mapping[str, int]] = {}
    for qrels in dataset.qrels.values():
        judged.update(qrels)
    return examples_of(dataset.passages, dataset.queries, judged, where)


def tevatron_examples(
    source: Path, lang: str, query_lang: str, corpus: Path | None = None
) -> Iterator[Example]:
    """Rows of Tevatron v1, or of v2 where a corpus is given.

    Args:
        lang, query_lang: of the passages and the questions; rows name none.
        corpus: of v2; read once, and only what the rows name is held.
    Raises:
        DataError: a broken row, or a passage the corpus lacks.
    """
    if corpus is None:
        for _, query, right, wrong in iter_v1(source, canonical(lang), canonical(query_lang)):
            yield Example(query, right, wrong)
        return
    rows = list(iter_v2(source, canonical(query_lang)))
    named = {doc_id for _, _, positives, negatives in rows for doc_id in (*positives, *negatives)}
    found = {p.doc_id: p for p in read_corpus(corpus, canonical(lang)) if p.doc_id in named}
    for where, query, positives, negatives in rows:
        if missing := next((doc_id for doc_id in (*positives, *negatives) if doc_id not in found), None):
            raise DataError(f"{where}: docid {missing!r} is not in {corpus}")
        yield Example(query, tuple(found[d] for d in positives), tuple(found[d] for d in negatives))


class RowPool:
    """The examples of some data sets over one pool of distinct passages.

    Cost: the texts are held once, with about 200 bytes beside each.

    Attributes:
        passages: distinct by content; the row of a passage is its place here.
        questions: data set -> its questions, in the order added.
        counts: data set -> what was dropped or left out, and how many questions are kept.
    """

    def __init__(self) -> None:
        self.passages: list[Passage] = []
        self.questions: dict[str, list[Question]] = {}
        self.counts: dict[str, dict[str, int]] = {}
        self._rows: dict[bytes, int] = {}

    def row(self, passage: Passage) -> int:
        """The row of a passage, a new one where its content is new."""
        digest = hashlib.blake2b(passage.content.encode("utf-8"), digest_size=16).digest()
        if (row := self._rows.setdefault(digest, len(self.passages))) == len(self.passages):
            self.passages.append(passage)
        return row

    def add(
        self,
        name: str,
        examples: Iterable[Example],
        *,
        languages: Sequence[str] = (),
        excluded: Collection[str] = (),
    ) -> None:
        """Add the examples of a data set; those without a positive are dropped and counted.

        Args:
            name: what batches, weights and reports call it.
            languages: keep the questions in these; () keeps all.
            excluded: sha1 of raw passage texts that must not be trained on.
        Raises:
            DataError: no question is left, or one of `languages` has none.
        """
        counts: Counter[str] = Counter()
        present: Counter[str] = Counter()
        wanted = {canonical(lang) for lang in languages}
        kept: list[Question] = []
        for query, positives, negatives in examples:
            present[query.lang] += 1
            if wanted and query.lang not in wanted:
                counts["questions of other languages left out"] += 1
                continue
            right = self._distinct(positives, excluded, counts)
            if not right:
                counts["questions without a positive dropped"] += 1
                continue
            others = self._distinct(negatives, excluded, counts)
            wrong = tuple(row for row in others if row not in right)
            counts["negatives that are positives dropped"] += len(others) - len(wrong)
            kept.append(Question(query, right, wrong))
        _check_languages(name, wanted, present)
        if not kept:
            told = ", ".join(f"{n} {what}" for what, n in counts.items() if n) or "the source is empty"
            raise DataError(f"{name}: no question has a passage to train on ({told})")
        self.questions[name] = kept
        self.counts[name] = {"questions": len(kept), **{what: n for what, n in counts.items() if n}}

    def _distinct(
        self, passages: Iterable[Passage], excluded: Collection[str], counts: Counter[str]
    ) -> tuple[int, ...]:
        rows: dict[int, None] = {}
        for passage in passages:
            if excluded and text_sha1(passage.text) in excluded:
                counts["passages excluded as leaks"] += 1
            else:
                rows[self.row(passage)] = None
        return tuple(rows)

    def known(self) -> dict[str, tuple[int, ...]]:
        """Question text -> every passage that answers it in any row of any data set."""
        found: dict[str, dict[int, None]] = {}
        for questions in self.questions.values():
            for question in questions:
                found.setdefault(question.query.text, {}).update(dict.fromkeys(question.positives))
        return {text: tuple(rows) for text, rows in found.items()}

    @property
    def languages(self) -> tuple[str, ...]:
        """Of questions and passages, sorted."""
        asked = {q.query.lang for questions in self.questions.values() for q in questions}
        return tuple(sorted(asked | {p.lang for p in self.passages}))


def _check_languages(name: str, wanted: Collection[str], present: Mapping[str, int]) -> None:
    if absent := sorted(lang for lang in wanted if lang not in present):
        raise DataError(f"{name}: no questions in {', '.join(absent)}; {nearest(absent[0], present)}")


def write_rows(
    folder: Path,
    pool: RowPool,
    *,
    settings: Mapping[str, Any] | None = None,
    inputs: Mapping[str, str] | None = None,
    counts: Mapping[str, int] | None = None,
    overwrite: bool = False,
) -> Manifest:
    """Write the passages and the questions of all data sets of a pool.

    Raises:
        UsageError: the folder is in use.
        StorageError: the disk is full or refuses.
    """
    questions = [question for listed in pool.questions.values() for question in listed]
    with write_folder(folder, KIND, overwrite=overwrite) as aside:
        rows = pa.Table.from_pylist([p._asdict() for p in pool.passages], schema=_PASSAGE_SCHEMA)
        pq.write_table(rows, aside / _PASSAGES, compression="zstd")
        fields = [
            {**q.query._asdict(), "positives": q.positives, "negatives": q.negatives} for q in questions
        ]
        pq.write_table(
            pa.Table.from_pylist(fields, schema=_QUESTION_SCHEMA), aside / _QUESTIONS, compression="zstd"
        )
        found = {"passages": len(pool.passages), "questions": len(questions), **(counts or {})}
        return seal(aside, KIND, settings or {}, inputs=inputs, counts=found)


def read_rows(folder: Path) -> Iterator[Example]:
    """The examples of an artefact of `write_rows`.

    Raises:
        DataError: not a finished artefact of this kind, or changed since.
    """
    read_manifest(folder, KIND)
    try:
        passages = [Passage(**row) for row in pq.read_table(folder / _PASSAGES).to_pylist()]
        for row in pq.read_table(folder / _QUESTIONS).to_pylist():
            query = Query(row["query_id"], row["text"], row["lang"], tuple(row["answers"]))
            positives, negatives = (
                tuple(passages[i] for i in row[name]) for name in ("positives", "negatives")
            )
            yield Example(query, positives, negatives)
    except (pa.ArrowException, TypeError, KeyError, IndexError) as error:
        raise DataError(f"{folder}: changed since it was written ({error}); make the rows again") from error
