"""Any dataset of the registry to a collection on disk."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from babelweave import registry
from babelweave.artifact import Manifest, digest_file
from babelweave.data.collection import FileFormat, write_collection
from babelweave.data.dataset import Card, Request


@dataclass(frozen=True, slots=True)
class Plan:
    """What a dataset would write: counts by name, and the bytes of its texts and titles in UTF-8."""

    counts: Mapping[str, int]
    notes: Mapping[str, int]
    text_bytes: int


def catalogue() -> list[dict[str, str]]:
    """One row per dataset of the registry: name, help, source (the layout), languages, options, licence,
    and the extra it needs, empty if none."""
    rows = []
    for name in registry.names("dataset"):
        entry = registry.entry("dataset", name)
        card: Card = registry.load("dataset", name)
        rows.append(
            {
                "name": name,
                "help": entry.help,
                "source": card.layout,
                "languages": card.languages,
                "options": " ".join(card.flags()),
                "licence": card.licence,
                "extra": entry.extra or "",
            }
        )
    return rows


def plan(name: str, request: Request) -> Plan:
    """Read a dataset and count it; nothing is written. Errors as `Card.load`."""
    card: Card = registry.load("dataset", name)
    dataset = card.load(name, request)
    counts = {"passages": 0, "queries": 0}
    text_bytes = 0
    for passage in dataset.passages:
        counts["passages"] += 1
        text_bytes += _size((passage.text, passage.title))
    for query in dataset.queries:
        counts["queries"] += 1
        text_bytes += _size((query.text, *query.answers))
    for split, judged in dataset.qrels.items():
        counts[f"qrels/{split}"] = sum(len(docs) for docs in judged.values())
    return Plan(counts, dataset.counts, text_bytes)


def prepare(
    name: str, request: Request, folder: Path, *, file_format: FileFormat = "jsonl", overwrite: bool = False
) -> Manifest:
    """Write a dataset as a collection.

    Returns:
        Its manifest; what the loader merged, dropped or renumbered is in `settings["notes"]`.
    Raises:
        UsageError: unknown dataset, option, split, subset or language; or the folder is in use.
        DataError: the source is missing, broken, hostile or inconsistent.
        StorageError: the disk is full or refuses.
    """
    card: Card = registry.load("dataset", name)
    dataset = card.load(name, request)
    given = {option: getattr(request, option) for option in request.given()}
    options = {key: str(value) if isinstance(value, Path) else value for key, value in given.items()}
    settings = {"dataset": name, "licence": card.licence, **options, "notes": dict(dataset.counts)}
    return write_collection(
        folder,
        dataset.passages,
        dataset.queries,
        dataset.qrels,
        file_format=file_format,
        settings=settings,
        inputs={"source": digest_file(request.source)} if request.source.is_file() else {},
        overwrite=overwrite,
    )


def _size(texts: Iterable[str]) -> int:
    return sum(len(text.encode("utf-8")) for text in texts)
