"""What a ranker and a pool refuse before a figure could be wrong."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from babelweave.errors import DataError, UsageError
from babelweave.evaluate.benchmarks.rankers import DenseRanker, Stopwatch, Weaving
from babelweave.evaluate.benchmarks.subsets import with_distractors
from babelweave.generate.queries import GeneratedQueries
from babelweave.records import Passage, Query, Subset
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


def test_several_vectors_of_a_passage_are_refused(tmp_path: Path) -> None:
    (tmp_path / "q.json").write_text('{"a": {"de": ["x y"]}, "b": {"de": ["z"]}}')
    weaving = Weaving(GeneratedQueries.open(tmp_path / "q.json"), TwoVectors(), ["de"], None)
    with pytest.raises(UsageError, match="two keeps 2 vectors per passage"):
        DenseRanker(LetterEncoder(), weaving).prepare([TASK], Stopwatch())


def test_a_distractor_with_the_id_of_another_passage_is_refused() -> None:
    same_text = with_distractors(TASK, [Passage("a", "one text", "en"), Passage("c", "new", "en")])
    assert [p.doc_id for p in same_text.passages] == ["a", "b", "c"]
    with pytest.raises(DataError, match="en-de: a distractor has the id 'b' of another passage"):
        with_distractors(TASK, [Passage("b", "new", "en")])
