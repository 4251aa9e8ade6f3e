"""The log of a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from babelweave.errors import DataError
from babelweave.train.log import TrainingLog, read_log


def test_lines_after_the_step_are_written_again(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    first = TrainingLog(path, 0, n_examples=8)
    for step in (2, 4, 6):
        first.losses(step, {"loss": float(step)})
    first.evaluation(6, 1.0, {"RR@10": 0.5}, best=True)
    again = TrainingLog(path, 4, n_examples=8)
    again.losses(6, {"loss": 60.0})
    lines = read_log(path)
    assert [(line["step"], line["loss"]) for line in lines] == [(2, 2.0), (4, 4.0), (6, 60.0)]
    times = [line["elapsed"] for line in lines]
    assert times == sorted(times)  # the second run counts on from the first


def test_what_is_not_finite_is_null(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    TrainingLog(path, 0, n_examples=1).evaluation(1, 0.5, {"RR@10": float("nan")}, best=False)
    assert "NaN" not in path.read_text()
    assert read_log(path)[0]["evaluation"] == {"RR@10": None}


def test_a_cut_line_is_left_out_and_a_broken_one_told(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    assert read_log(path) == []
    path.write_text(json.dumps({"step": 1}) + '\n{"ste')
    assert read_log(path) == [{"step": 1}]
    path.write_text('{"ste\n')
    with pytest.raises(DataError, match="a line is not JSON"):
        read_log(path)


def test_pace(tmp_path: Path) -> None:
    log = TrainingLog(tmp_path / "log.jsonl", 10, n_examples=4)
    assert log.pace(10) == (0.0, 0.0)
    rate, seconds = log.pace(13)
    assert rate * seconds == pytest.approx(4, rel=0.1)
