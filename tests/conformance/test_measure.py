"""The contract of `protocols.Measure`, for every measure named in hints and messages."""

from __future__ import annotations

import numpy as np
import pytest

from babelweave.errors import UsageError
from babelweave.evaluate.measures import KNOWN, IrMeasure
from babelweave.protocols import Measure
from babelweave.records import Run

QRELS = {"hit": {"a": 1, "b": 0}, "miss": {"a": 1}, "silent": {"a": 1}}
RUN = Run(("miss", "hit"), (("c",), ("a", "b")), ((1.0,), (2.0, 1.0)))


@pytest.mark.parametrize("name", KNOWN)
def test_a_measure_scores_every_judged_question(name: str) -> None:
    measure = IrMeasure(name)
    assert isinstance(measure, Measure)
    scores = measure.score(QRELS, RUN)
    assert scores.measure == name
    assert scores.signature
    assert scores.query_ids == ("hit", "miss", "silent")
    assert scores.values.dtype == np.float64
    assert scores.values[2] == 0.0
    assert scores.values[0] > scores.values[1] == 0.0
    assert scores.mean == pytest.approx(scores.values.sum() / 3)


def test_a_measure_that_does_not_exist_cannot_be_made() -> None:
    with pytest.raises(UsageError, match="did you mean 'nDCG@10'"):
        IrMeasure("DCG@10")
