"""The figures of a collection: what a user wants to see before anything expensive starts."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from babelweave.data.collection import Collection


def describe(folder: Path, lang: str | None = None) -> dict[str, Any]:
    """Counts, lengths and coverage of a collection, as JSON values.

    Lengths are in characters (code points) of the text without the title. Memory is bounded by the number
    of different lengths and of judged ids.

    Returns:
        `bytes`; `passages` and `queries` by language, each {"count", "characters": {"min", "median",
        "mean", "max"}}; `titles`, the passages that have one; `answers`, the queries that have some;
        `splits`: {"queries", "judgements", "relevant", "coverage"}, where coverage is the share of all
        queries that the split judges.
    Raises:
        DataError: the collection is not sound; `validate` lists every problem.
    """
    collection = Collection.open(folder, lang)
    passages: dict[str, Counter[int]] = {}
    queries: dict[str, Counter[int]] = {}
    titles = answers = n_queries = 0
    for passage in collection.passages():
        passages.setdefault(passage.lang, Counter())[len(passage.text)] += 1
        titles += bool(passage.title)
    if collection.query_file is not None:
        for query in collection.queries():
            queries.setdefault(query.lang, Counter())[len(query.text)] += 1
            answers += bool(query.answers)
            n_queries += 1
    splits = {}
    for split in collection.splits():
        qrels = collection.qrels(split)
        values = [value for judged in qrels.values() for value in judged.values()]
        splits[split] = {
            "queries": len(qrels),
            "judgements": len(values),
            "relevant": sum(value > 0 for value in values),
            "coverage": len(qrels) / n_queries if n_queries else 0.0,
        }
    return {
        "folder": str(folder),
        "bytes": sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()),
        "passages": {code: _lengths(passages[code]) for code in sorted(passages)},
        "titles": titles,
        "queries": {code: _lengths(queries[code]) for code in sorted(queries)},
        "answers": answers,
        "splits": splits,
    }


def _lengths(histogram: Counter[int]) -> dict[str, Any]:
    count = histogram.total()
    seen, median = 0, 0
    for length in sorted(histogram):
        seen += histogram[length]
        if 2 * seen >= count:  # the lower of the two in the middle
            median = length
            break
    mean = sum(length * n for length, n in histogram.items()) / count
    characters = {"min": min(histogram), "median": median, "mean": round(mean, 1), "max": max(histogram)}
    return {"count": count, "characters": characters}
