"""Questions with the passages that answer them, for training: every split of a release, leaks left out.

What is measured on (SQuAD dev, MLQA, XQuAD, XOR-Retrieve) is not among the sources.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path

from babelweave import registry
from babelweave.data.dataset import Card, Dataset, Request
from babelweave.data.exclusions import EXCLUSIONS, read_exclusions
from babelweave.data.squad import text_sha1
from babelweave.errors import DataError
from babelweave.records import Passage, Query

SPLIT = "train"
"""What the judgements are called, whatever the splits of the release."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RelevanceCard:
    """One source of training questions: its origin, and the data set of the registry that reads it."""

    title: str
    attribution: str
    """Whom to name: publisher or paper."""
    languages: tuple[str, ...]
    """Of questions and passages alike, in the files known here."""
    dataset: str
    path: str
    """Where it lies below the data folder."""
    splits: tuple[str | None, ...] = (None,)
    """Those in the files known here; None reads a file that is one split."""

    @property
    def licence(self) -> str:
        card: Card = registry.load("dataset", self.dataset)
        return card.licence


def card(name: str) -> RelevanceCard:
    """What a source declares: licence, languages, whom to credit.

    Raises:
        UsageError: unknown; the message holds the nearest name and the list.
    """
    found: RelevanceCard = registry.load("relevance", name)
    return found


def read_relevance(name: str, root: Path, exclude: Container[str] = ()) -> Dataset:
    """The passages, questions and judgements of one source, in memory.

    A passage on the exclusion list is dropped with the questions it answers; all are counted.

    Args:
        name: of the registry's kind `relevance`.
        root: the data folder; a source lies in its own folder below it, the exclusion list directly in it.
        exclude: sha1 of more passages and questions to drop (`leaks.LeakReport.exclusions`, or a list of
            them).
    Raises:
        UsageError: an unknown source.
        DataError: the source or the exclusion list is missing or broken, or two splits share a question id.
    """
    source = card(name)
    listed = read_exclusions(root / EXCLUSIONS)

    def leaks(text: str) -> bool:
        sha1 = text_sha1(text)
        return sha1 in listed or sha1 in exclude

    counts: Counter[str] = Counter()
    passages: dict[str, Passage] = {}
    queries: list[Query] = []
    qrels: dict[str, dict[str, int]] = {}
    for split in source.splits:
        found = _read(source, root, split)
        counts.update(found.counts)
        given = {p.doc_id: p for p in found.passages}
        kept = {doc_id: p for doc_id, p in given.items() if not leaks(p.text)}
        counts["passages excluded as leaks"] += len(given) - len(kept)
        counts["passages in several splits merged"] += len(kept.keys() & passages.keys())
        passages |= kept
        (judged,) = found.qrels.values()
        for query in found.queries:
            if query.query_id in qrels:
                raise DataError(f"{name}: question id {query.query_id!r} of split {split!r} is used twice")
            relevant = {d: value for d, value in judged[query.query_id].items() if d in kept and value > 0}
            if not relevant:
                counts["questions of excluded passages dropped"] += 1
            elif leaks(query.text):
                counts["questions excluded as leaks"] += 1
            else:
                queries.append(query)
                qrels[query.query_id] = relevant
    return Dataset(list(passages.values()), queries, {SPLIT: qrels}, dict(+counts))


def _read(source: RelevanceCard, root: Path, split: str | None) -> Dataset:
    reader: Card = registry.load("dataset", source.dataset)
    return reader.load(source.dataset, Request(source=root / source.path, split=split))


SQUAD = RelevanceCard(
    title="SQuAD 1.1 train",
    attribution="Rajpurkar et al. 2016, SQuAD; Wikipedia",
    languages=("en",),
    dataset="squad-jsonl",
    path="squad/train.jsonl.gz",
)
NQ = RelevanceCard(
    title="Natural Questions, gold passages",
    attribution="Kwiatkowski et al. 2019, Natural Questions; Wikipedia",
    languages=("en",),
    dataset="nq-oracle",
    path="nq-open-oracle/nq-open-oracle.jsonl.gz",
)
TYDI = RelevanceCard(
    title="TyDi QA GoldP",
    attribution="Clark et al. 2020, TyDi QA; Wikipedia",
    languages=("ar", "bn", "en", "fi", "id", "ko", "ru", "sw", "te"),
    dataset="tydi",
    path="tydiqa-goldp",
    splits=("train", "dev"),
)
JAQUAD = RelevanceCard(
    title="JaQuAD",
    attribution="So et al. 2022, JaQuAD; Wikipedia",
    languages=("ja",),
    dataset="jaquad",
    path="jaquad/jaquad.zip",
    splits=("train", "dev"),
)
CMRC2018 = RelevanceCard(
    title="CMRC 2018",
    attribution="Cui et al. 2019, CMRC 2018; Wikipedia",
    languages=("zh",),
    dataset="cmrc2018",
    path="cmrc2018",
    splits=("dev", "trial"),
)
DRCD = RelevanceCard(
    title="DRCD",
    attribution="Shao et al. 2018, DRCD; Wikipedia",
    languages=("zh-Hant",),
    dataset="drcd",
    path="drcd",
    splits=("dev", "test"),
)
ARCD = RelevanceCard(
    title="ARCD",
    attribution="Mozannar et al. 2019, ARCD; Wikipedia",
    languages=("ar",),
    dataset="arcd",
    path="arcd",
    splits=("train", "test"),
)
IAPP = RelevanceCard(
    title="iapp-wiki-qa",
    attribution="Viriyayudhakorn and Polpanumas 2021, iapp_wiki_qa_squad; Wikipedia",
    languages=("th",),
    dataset="iapp",
    path="iapp-wiki-qa-thai/data.zip",
    splits=("train", "valid", "test"),
)
MINED = RelevanceCard(
    title="XOR-Retrieve train, MKQA and Mintaka (dev) with English passages that hold an answer",
    attribution="Asai et al. 2021, XOR QA; Longpre et al. 2021, MKQA; Sen et al. 2022, Mintaka; Wikipedia",
    languages=tuple("ar bn de es fi fr hi it ja km ko ms pt ru sv te tr zh".split()),
    dataset="mined-questions",
    path=".",
)
