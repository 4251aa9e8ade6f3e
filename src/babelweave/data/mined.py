"""Questions in other languages with English passages that answer them, found by their English answers.

XOR-Retrieve (train), MKQA and Mintaka have questions in many languages, the same questions in English, and
English answers, but no passages. A passage of the English pool that holds an answer word for word, and most
of the English question's words by their rarity, is taken to answer it; the evaluation sets in the pool are
left out.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from babelweave.data.answers import AnswerIndex
from babelweave.data.archive import Archive
from babelweave.data.dataset import Card, Dataset, Request
from babelweave.data.english_pool import read_pool
from babelweave.data.languages import canonical
from babelweave.data.lines import fault
from babelweave.data.mkqa import read_mkqa
from babelweave.data.overlap import question_key
from babelweave.data.xor import read_questions, read_translations
from babelweave.errors import DataError
from babelweave.records import Passage, Query

_EVALUATED = ("squad-dev-", "mlqa-dev-")


class Asked(NamedTuple):
    """A question in English, its English answers, and the same question in other languages."""

    english: str
    answers: tuple[str, ...]
    queries: tuple[Query, ...]


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
