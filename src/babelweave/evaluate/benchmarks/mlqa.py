"""MLQA as passage retrieval, by the protocol of MTEB's MLQARetrieval.

Subsets are passage language - question language. A subset's pool is the distinct passages of its file, one
of them relevant to each question. The published figures of other systems (RR@10, R@100) hold for this
pool; `pool="language"` and distractors make it harder, and figures then compare with each other only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from babelweave.artifact import digest_texts
from babelweave.data import mlqa
from babelweave.errors import UsageError, nearest
from babelweave.evaluate.benchmarks.rankers import Stopwatch
from babelweave.evaluate.benchmarks.subsets import Tasks, choose, with_distractors
from babelweave.records import Passage, Subset

Pool = Literal["file", "language"]
ALL = [f"{p}-{q}" for p in mlqa.LANGUAGES for q in mlqa.LANGUAGES]


def read(
    source: Path,
    *,
    split: str = "dev",
    subsets: str = "all",
    half: mlqa.Half | None = None,
    pool: Pool = "file",
    distractors: Sequence[Passage] = (),
) -> Tasks:
    """Read MLQA.

    Args:
        source: the publisher's zip, or a folder of it unpacked.
        split: "dev" to choose on, "test" to report on.
        subsets: "all" for those present, or names separated by commas.
        half: of dev's questions: "tune" to choose on, "report" to report on.
        pool: "file" as MTEB, or "language" for all distinct passages of a language.
        distractors: added to the pools of their own language.

    Raises:
        UsageError: an unknown split, half, pool or subset; halves are for dev only.
        DataError: a broken source.
    """
    if pool not in ("file", "language"):
        raise UsageError(f"unknown pool {pool!r}; {nearest(pool, ['file', 'language'])}")
    if half and split != "dev":
        raise UsageError("--half divides the questions of dev; test is reported whole")
    watch = Stopwatch()
    with watch.stage("read"):
        names, missing = choose(subsets, mlqa.subset_names(source, split), ALL)
        tasks = [mlqa.read_subset(source, split, name, half) for name in names]
        if pool == "language":
            tasks = _language_pools(source, split, tasks)
        tasks = [with_distractors(t, [d for d in distractors if d.lang == t.passage_lang]) for t in tasks]
    signature = {
        "benchmark": "mlqa",
        "split": split,
        "half": half,
        "pool": pool,
        "distractors": len(distractors),
        "questions": digest_texts(f"{t.name} {q.query_id} {q.text}" for t in tasks for q in t.queries),
        "passages": digest_texts(f"{t.name} {p.doc_id}" for t in tasks for p in t.passages),
    }
    return Tasks(tasks, missing, signature, watch)


def _language_pools(source: Path, split: str, tasks: Sequence[Subset]) -> list[Subset]:
    pools = {lang: mlqa.read_language_pool(source, split, lang) for lang in {t.passage_lang for t in tasks}}
    return [replace(t, passages=pools[t.passage_lang]) for t in tasks]
