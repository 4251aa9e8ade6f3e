"""What a ranker and a pool refuse before a figure could be wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from babelweave.artifact import seal, write_folder
from babelweave.errors import DataError
from babelweave.evaluate.benchmarks import xor_retrieve
from babelweave.evaluate.benchmarks.rankers import DenseRanker, Stopwatch, Weaving
from babelweave.evaluate.benchmarks.subsets import Settings, Tasks, run_tasks, with_distractors
from babelweave.evaluate.results import write_per_query
from babelweave.generate.queries import GeneratedQueries
from babelweave.records import Passage, Query, Run, Scores, Subset
from vector_cases import LetterEncoder

TASK = Subset(
    "en-de",
    "en",
    "de",
    [Passage("a", "one text", "en"), Passage("b", "another", "en")],
    [Query("q", "welcher?", "de")],
    {"q": {"a": 1}},
)


class TwoVectors:
    """Keeps the passage and the first query as two rows."""

    name = "two"

    @property
    def settings(self) -> dict[str, str]:
        return {"name": self.name}

    def fuse(self, passages: Any, generated: Any, mask: Any, languages: Sequence[str]) -> Any:
        return np.stack([passages, generated[:, 0]], axis=1)


def test_the_best_of_several_vectors_of_a_passage_counts(tmp_path: Path) -> None:
    (tmp_path / "q.json").write_text('{"a": {"de": ["welcher?"]}, "b": {"de": ["zzz"]}}')
    weaving = Weaving(GeneratedQueries.open(tmp_path / "q.json"), TwoVectors(), ["de"], None)
    encoder = LetterEncoder()
    ranker = DenseRanker(encoder, weaving)
    ranker.prepare([TASK], Stopwatch())
    run = ranker.rank(TASK, 100)
    question = encoder.encode(["welcher?"], "query").vectors[0]
    plain = encoder.encode(["one text", "another"], "passage").vectors @ question
    assert question @ question > plain.max()
    assert run.doc_ids == (("a", "b"),), "each passage once, and no fewer than there are"
    assert run.scores == ((float(question @ question), float(plain[1])),)


class Untouched:
    """A ranker that must not be asked to work."""

    signature: Mapping[str, Any] = {}
    counts: Mapping[str, int] = {}

    def prepare(self, subsets: Sequence[Subset], watch: Stopwatch) -> None:
        raise AssertionError("the work began")

    def rank(self, subset: Subset, depth: int) -> Run:
        raise AssertionError


def baseline(folder: Path, subset: str, measure: str, query_id: str) -> Settings:
    with write_folder(folder, "result", overwrite=False) as aside:
        scores = Scores(measure, (query_id,), np.zeros(1))
        write_per_query(aside / "per_query.parquet", {measure: {subset: scores}})
        seal(aside, "result", {})
    return Settings(baseline=folder)


@pytest.mark.parametrize(
    ("made_on", "message"),
    [
        (("de-en", "RR@10", "q"), "lacks subset 'en-de'"),
        (("en-de", "AP", "q"), "share no measure"),
        (("en-de", "RR@10", "other"), "not scored on the same questions"),
    ],
)
def test_a_baseline_that_cannot_be_compared_is_refused_before_the_work(
    tmp_path: Path, made_on: tuple[str, str, str], message: str
) -> None:
    settings = baseline(tmp_path / "b", *made_on)
    with pytest.raises(DataError, match=message):
        run_tasks(Tasks([TASK], [], {}, Stopwatch()), Untouched(), settings)


@pytest.mark.parametrize(
    ("made_on", "message"),
    [(("en-de", "R@2kt", "other"), "not scored on the same questions"), (("en-fi", "R@2kt", "q"), "lacks")],
)
def test_xor_retrieve_refuses_such_a_baseline_too(
    tmp_path: Path, made_on: tuple[str, str, str], message: str
) -> None:
    queries = [Query("q", "?", "de", ("text",)), Query("y", "?", "fi", ("yes",))]
    task = Subset("xor-retrieve", "en", "mul", TASK.passages, queries, {})
    settings = baseline(tmp_path / "b", *made_on)
    with pytest.raises(DataError, match=message):
        xor_retrieve.run(Tasks([task], [], {}, Stopwatch()), Untouched(), settings)


def test_a_distractor_with_the_id_of_another_passage_is_refused() -> None:
    same_text = with_distractors(TASK, [Passage("a", "one text", "en"), Passage("c", "new", "en")])
    assert [p.doc_id for p in same_text.passages] == ["a", "b", "c"]
    with pytest.raises(DataError, match="en-de: a distractor has the id 'b' of another passage"):
        with_distractors(TASK, [Passage("b", "new", "en")])
