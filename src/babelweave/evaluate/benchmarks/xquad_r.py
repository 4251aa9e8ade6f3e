"""XQuAD-R (LAReQA) as passage or sentence retrieval; `pooled` asks for answers in every language at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from babelweave.artifact import digest_texts
from babelweave.data import xquad
from babelweave.evaluate.benchmarks.rankers import Stopwatch
from babelweave.evaluate.benchmarks.subsets import Tasks, choose, with_distractors
from babelweave.records import Passage


def read(
    source: Path,
    *,
    subsets: str = "all",
    unit: xquad.Unit = "passage",
    distractors: Sequence[Passage] = (),
) -> Tasks:
    """Read XQuAD-R.

    Args:
        source: folder or zip of one release.
        subsets: "all" for every pair of languages and `pooled`, or names separated by commas.
        unit: "passage" (240 paragraphs), or "sentence" as LAReQA has it.
        distractors: added to the pools of their own language, and to `pooled`.

    Raises:
        UsageError: an unknown subset or unit.
        DataError: a broken source.
    """
    watch = Stopwatch()
    with watch.stage("read"):
        release = xquad.read_release(source)
        names, missing = choose(subsets, xquad.subset_names(release), xquad.subset_names(release))
        tasks = [xquad.subset(release, name, unit) for name in names]
        tasks = [
            with_distractors(
                t, [d for d in distractors if t.name == xquad.POOLED or d.lang == t.passage_lang]
            )
            for t in tasks
        ]
    signature = {
        "benchmark": "xquad-r",
        "unit": unit,
        "distractors": len(distractors),
        "questions": digest_texts(f"{t.name} {q.query_id} {q.text}" for t in tasks for q in t.queries),
        "passages": digest_texts(f"{t.name} {p.doc_id}" for t in tasks for p in t.passages),
    }
    return Tasks(tasks, missing, signature, watch)
