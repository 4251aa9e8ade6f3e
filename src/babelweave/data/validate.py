"""Look at all of a collection and collect what is wrong with it, instead of stopping at the first fault."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from babelweave.artifact import MANIFEST, read_manifest
from babelweave.data.collection import KIND, Collection, unknown_ids
from babelweave.data.lines import Problem
from babelweave.data.trec import judgements
from babelweave.errors import DataError
from babelweave.records import Query

T = TypeVar("T")
N_EXAMPLES = 5


@dataclass(slots=True)
class Found:
    """The problems of one kind: how many, and the first few."""

    count: int = 0
    examples: list[Problem] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Validation:
    """`problems` is empty for a sound collection; `counts` are of the sound records read."""

    counts: dict[str, int]
    problems: dict[str, Found]

    @property
    def n_problems(self) -> int:
        return sum(found.count for found in self.problems.values())


def validate(folder: Path, lang: str | None = None) -> Validation:
    """Read every record of a collection and report every problem.

    Args:
        lang: language of the texts that name none.
    Raises:
        DataError: there is no collection to look at: no folder, no corpus, or one in two formats.
        UsageError: `lang` is no known language.
    """
    problems: dict[str, Found] = {}

    def report(problem: Problem) -> None:
        found = problems.setdefault(problem.kind, Found())
        found.count += 1
        if len(found.examples) < N_EXAMPLES:
            found.examples.append(problem)

    collection = Collection.open(folder, lang, check=False)
    if (folder / MANIFEST).is_file():
        try:
            read_manifest(folder, KIND, checksums=True)
        except DataError as error:
            report(Problem("changed since written", str(folder / MANIFEST), str(error)))
    places: dict[tuple[str, str], str] = {}
    counts = {"passages": 0, "queries": 0, "judgements": 0}
    for split in collection.splits():
        for where, query_id, doc_id, _ in judgements(collection.qrels_file(split), report):
            counts["judgements"] += 1
            places.setdefault(("query", query_id), where)
            places.setdefault(("passage", doc_id), where)

    def counted(kind: str, records: Iterable[T]) -> Iterator[T]:
        for record in records:
            counts[kind] += 1
            yield record

    if collection.query_file is None:
        report(Problem("no queries", str(folder), "no queries.jsonl, queries.jsonl.gz or queries.parquet"))
        queries: Iterable[Query] = ()
    else:
        queries = collection.queries(report)
    passages = collection.passages(report)
    for problem in unknown_ids(places, counted("passages", passages), counted("queries", queries)):
        report(problem)
    if not counts["passages"]:
        report(Problem("empty corpus", str(collection.corpus_file), "no sound passage in it"))
    return Validation(counts, problems)
