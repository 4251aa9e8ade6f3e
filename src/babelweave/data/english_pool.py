"""A pool of about 71,000 English passages out of the releases that lie side by side under one folder.

It stands in for a Wikipedia dump: the corpus of `benchmark xor-retrieve` and distractors for any pool of
English passages. Passages are distinct by text and come in the order of `SOURCES`; a passage belongs to
the first source that holds it, and its id begins with the name of that source.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from babelweave.data import mlqa, nq, tydi
from babelweave.data.archive import Archive
from babelweave.data.dataset import Card, Dataset, Request
from babelweave.data.exclusions import EXCLUSIONS, read_exclusions
from babelweave.data.lines import file_objects
from babelweave.data.squad import read_squad_jsonl, text_sha1
from babelweave.errors import DataError
from babelweave.records import Passage


class Text(NamedTuple):
    text: str
    title: str = ""


def read_pool(root: Path, *, exclude_leaks: bool = True) -> Dataset:
    """The pool; `counts` gives the passages of each source, those merged and those excluded.

    Args:
        root: the folder that holds the folders of `SOURCES`.
        exclude_leaks: leave out what `leak_exclusions.jsonl.gz` lists by the sha1 of its text: passages
            that share much with XQuAD, SQuAD dev or MLQA dev.
    Raises:
        DataError: a source is missing or broken, or the exclusion list is.
    """
    leaks = read_exclusions(root / EXCLUSIONS) if exclude_leaks else {}
    pool: dict[str, Passage] = {}
    counts: Counter[str] = Counter()
    for source, read in SOURCES.items():
        counts[source] = 0
        for text, title in read(root):
            sha1 = text_sha1(text)
            if not text.strip():
                counts["blank texts dropped"] += 1
            elif sha1 in leaks:
                counts["excluded as leaks"] += 1
            elif sha1 in pool:
                counts["repeated texts merged"] += 1
            else:
                pool[sha1] = Passage(f"{source}-{sha1[:20]}", text, "en", title)
                counts[source] += 1
    return Dataset(list(pool.values()), [], {}, dict(counts))


def _squad(split: str) -> Callable[[Path], Iterator[Text]]:
    def read(root: Path) -> Iterator[Text]:
        for passage in read_squad_jsonl(root / "squad" / f"{split}.jsonl.gz").passages:
            yield Text(passage.text, passage.title)

    return read


def _rows(name: str) -> Callable[[Path], Iterator[Text]]:
    def read(root: Path) -> Iterator[Text]:
        for where, row in file_objects(root / name):
            yield _text(row, where)

    return read


def _text(row: object, where: str) -> Text:
    if not isinstance(row, dict) or not isinstance(row.get("text"), str):
        raise DataError(f"{where}: no text; expected {{title, text}}")
    return Text(row["text"], str(row.get("title", "")))


def _two_wiki(root: Path) -> Iterator[Text]:
    with Archive(root / "multihop" / "2wikimultihopqa_corpus.json") as archive:
        for number, row in enumerate(archive.json(archive.names[0])):
            yield _text(row, f"{archive.path}: entry {number}")


def _hotpot(root: Path) -> Iterator[Text]:
    with Archive(root / "multihop" / "hotpotqa_train_corpus.json") as archive:
        for title, sentences in archive.json(archive.names[0]).items():
            yield Text("".join(sentences).strip(), title)


def _tydi(root: Path) -> Iterator[Text]:
    for split in ("train", "dev"):
        for passage in tydi.read_goldp(root / "tydiqa-goldp", split, "en").passages:
            yield Text(passage.text)


def _nq(root: Path) -> Iterator[Text]:
    for paragraph in nq.read_paragraphs(root / "nq-open-oracle" / "nq-open-oracle.jsonl.gz"):
        yield Text(paragraph.context, paragraph.title)


def _mlqa(root: Path) -> Iterator[Text]:
    for passage in mlqa.read_language_pool(root / "mlqa" / "MLQA_V1.zip", "dev", "en"):
        yield Text(passage.text)


SOURCES: dict[str, Callable[[Path], Iterator[Text]]] = {
    "squad-train": _squad("train"),
    "squad-dev": _squad("dev"),
    "vital": _rows("wiki-vital-en/full_articles_paragraphs.jsonl.gz"),
    "vital-leads": _rows("wiki-vital-en/lead_snippets.jsonl.gz"),
    "2wiki": _two_wiki,
    "hotpot": _hotpot,
    "tydi": _tydi,
    "nq": _nq,
    "mlqa-dev": _mlqa,
}
"""Source -> its texts under the root, in the order of the pool."""


def _dataset(request: Request) -> Dataset:
    return read_pool(request.source, exclude_leaks=not request.keep_leaks)


CARD = Card(
    licence="CC BY-SA 3.0 and 4.0, Apache 2.0; each passage that of the source in its id",
    languages="en",
    layout=f"folder with squad, wiki-vital-en, multihop, tydiqa-goldp, nq-open-oracle, mlqa and {EXCLUSIONS}",
    options=("keep_leaks",),
    read=_dataset,
)
