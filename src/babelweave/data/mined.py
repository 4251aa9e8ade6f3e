"""Questions in other languages with English passages that answer them, found by their English answers.

XOR-Retrieve (train), MKQA and Mintaka have questions in many languages, the same questions in English, and
English answers, but no passages. A passage of the English pool that holds an answer word for word, and most
of the English question's words by their rarity, is taken to answer it; the evaluation sets in the pool are
left out.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from babelweave.data.archive import Archive
from babelweave.data.dataset import Card, Dataset, Request
from babelweave.data.english_pool import read_pool
from babelweave.data.languages import canonical
from babelweave.data.lines import fault
from babelweave.data.mkqa import read_mkqa
from babelweave.data.overlap import pieces, question_key
from babelweave.data.xor import read_questions, read_translations
from babelweave.errors import DataError
from babelweave.records import Int64, Passage, Query

SHARE = 0.6
"""Of the weight of the English question's words that a passage has to hold."""
_EVALUATED = ("squad-dev-", "mlqa-dev-")
_NO_ANSWERS = frozenset({"", "yes", "no", "unknown"})


class Asked(NamedTuple):
    """A question in English, its English answers, and the same question in other languages."""

    english: str
    answers: tuple[str, ...]
    queries: tuple[Query, ...]


class AnswerIndex:
    """The words of some English passages, to find the one that answers a question.

    Cost: 70,000 passages of 100 words take about 10 seconds and 200 MB.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        rows: defaultdict[str, list[int]] = defaultdict(list)
        self._texts: list[str] = []
        for row, text in enumerate(texts):
            words = pieces(text)[0]
            self._texts.append(_spaced(words))
            for word in set(words):
                rows[word].append(row)
        self._rows: dict[str, Int64] = {word: np.array(found) for word, found in rows.items()}

    def best(self, question: str, answers: Iterable[str]) -> int | None:
        """The row that holds an answer and the most of the question, the first of equals; None where none
        holds `SHARE` of it."""
        held = [
            self._holding(pieces(answer)[0]) for answer in answers if question_key(answer) not in _NO_ANSWERS
        ]
        candidates: Int64 = np.unique(np.concatenate([np.empty(0, dtype=np.int64), *held]))
        words = set(pieces(question)[0])
        if not len(candidates) or not words:
            return None
        scores = np.zeros(len(candidates))
        total = 0.0
        for word in sorted(words):
            rows = self._rows.get(word, np.empty(0, dtype=np.int64))
            weight = np.log(1 + len(self._texts) / (1 + len(rows)))
            total += weight
            scores += weight * np.isin(candidates, rows, assume_unique=True)
        place = int(scores.argmax())
        return int(candidates[place]) if scores[place] >= SHARE * total else None

    def _holding(self, words: Sequence[str]) -> Int64:
        """Rows in which the words stand one after the other."""
        lists = [self._rows.get(word) for word in words]
        if not lists or any(rows is None for rows in lists):
            return np.empty(0, dtype=np.int64)
        rarest: Int64 = min((rows for rows in lists if rows is not None), key=len)
        sought = _spaced(words)
        return np.array([row for row in rarest.tolist() if sought in self._texts[row]], dtype=np.int64)


def _spaced(words: Sequence[str]) -> str:
    return f" {' '.join(words)} "


def read_mined(root: Path) -> Dataset:
    """The questions that a passage was found for, each with one, and those passages.

    Raises:
        DataError: a source is missing or broken.
    """
    pool = [p for p in read_pool(root).passages if not p.doc_id.startswith(_EVALUATED)]
    index = AnswerIndex(p.content for p in pool)
    passages: dict[str, Passage] = {}
    queries: list[Query] = []
    qrels: dict[str, dict[str, int]] = {}
    counts: Counter[str] = Counter()
    for name, read in _SOURCES.items():
        for asked in read(root):
            row = index.best(asked.english, asked.answers)
            if row is None:
                counts[f"{name}: questions without a passage dropped"] += len(asked.queries)
                continue
            passages[pool[row].doc_id] = pool[row]
            for query in asked.queries:
                named = query._replace(
                    query_id=f"{name}-{query.query_id}-{query.lang}", answers=asked.answers
                )
                queries.append(named)
                qrels[named.query_id] = {pool[row].doc_id: 1}
            counts[f"{name}: questions"] += len(asked.queries)
    return Dataset(list(passages.values()), queries, {"train": qrels}, dict(counts))


def _xor(root: Path) -> Iterator[Asked]:
    folder = root / "xor-tydi"
    held_out = {(q.lang, question_key(q.text)) for q in read_questions(folder, "dev")}
    english = {(t.lang, question_key(t.text)): t.english for t in read_translations(folder)}
    for query in read_questions(folder, "train"):
        key = (query.lang, question_key(query.text))
        if key in english and key not in held_out:
            yield Asked(english[key], query.answers, (query,))


def _mkqa(root: Path) -> Iterator[Asked]:
    asked = read_mkqa(root / "mkqa")
    translations: defaultdict[str, list[Query]] = defaultdict(list)
    for lang, queries in asked.items():
        if lang != "en":
            for query in queries:
                translations[query.query_id].append(query)
    for query in asked["en"]:
        yield Asked(query.text, query.answers, tuple(translations[query.query_id]))


def _mintaka(root: Path) -> Iterator[Asked]:
    with Archive(root / "mintaka-dev") as archive:
        for name in (n for n in archive.names if n.endswith(".json")):
            for number, row in enumerate(archive.json(name)):
                try:
                    mention = row["answer"]["mention"]
                    queries = tuple(
                        Query(str(row["id"]), text, canonical(code), ())
                        for code, text in row["translations"].items()
                    )
                    yield Asked(row["question"], (mention,) if mention else (), queries)
                except (KeyError, TypeError, AttributeError) as error:
                    where = f"{archive.where(name)}: entry {number}"
                    raise DataError(f"{where} is not a row of Mintaka ({fault(error)})") from error


_SOURCES: dict[str, Callable[[Path], Iterator[Asked]]] = {"xor": _xor, "mkqa": _mkqa, "mintaka": _mintaka}


def _dataset(request: Request) -> Dataset:
    return read_mined(request.source)


CARD = Card(
    licence="CC BY-SA 3.0 and 4.0, CC BY 4.0, MIT, Apache 2.0; each passage and question that of its source",
    languages="ar bn de es fi fr hi it ja km ko ms pt ru sv te tr zh, passages en",
    layout="folder with xor-tydi, mkqa and mintaka-dev beside those of english-pool",
    options=(),
    read=_dataset,
)
