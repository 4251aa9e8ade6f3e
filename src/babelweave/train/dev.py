"""How a retriever is judged while it trains: exact search over small pools, one mean per step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from babelweave.data.collection import Collection
from babelweave.evaluate.benchmarks import mlqa
from babelweave.evaluate.benchmarks.rankers import DenseRanker, Stopwatch
from babelweave.evaluate.benchmarks.subsets import Settings, Tasks, run_tasks
from babelweave.protocols import Encoder
from babelweave.recipe import data_path
from babelweave.records import Subset
from babelweave.train.sections import DevData
from babelweave.train.trainers import Dev

_DEPTH = 1000


def open_dev(section: DevData, root: str | None, encoder: Encoder) -> Dev:
    """Read the questions; every scoring encodes them, and their passages, with `encoder` as it then is.

    Figures: the measure's mean over all subsets under its own name, `MEASURE x-en` and `MEASURE cross` as
    `babelweave benchmark` has them, and `MEASURE SUBSET` where there are several subsets.

    Raises:
        UsageError: unknown subsets or split.
        DataError: the source is missing or broken.
    """
    tasks = _tasks(section, root)

    def score(model: Any) -> Mapping[str, float]:
        settings = Settings(measures=[section.measure], depth=_DEPTH)
        found = run_tasks(replace(tasks, watch=Stopwatch()), DenseRanker(encoder), settings).summary
        figures = {section.measure: found["mean"]["all"][section.measure]}
        for name, means in found["mean"].items():
            if name != "all":
                figures[f"{section.measure} {name}"] = means[section.measure]
        if len(tasks.subsets) > 1:
            for name, values in found["subsets"].items():
                figures[f"{section.measure} {name}"] = values[section.measure]
        return figures

    return Dev(score, section.measure)


def _tasks(section: DevData, root: str | None) -> Tasks:
    if section.benchmark is not None:
        assert section.source is not None
        source = data_path(section.source, root)
        return mlqa.read(source, split="dev", subsets=section.subsets, half=section.half)
    assert section.collection is not None
    collection = Collection.open(data_path(section.collection, root))
    qrels = collection.qrels(section.split)
    passages = list(collection.passages())
    queries = [query for query in collection.queries() if query.query_id in qrels]
    subset = Subset(section.split, passages[0].lang, queries[0].lang, passages, queries, qrels)
    return Tasks([subset], [], {"collection": section.collection}, Stopwatch())
