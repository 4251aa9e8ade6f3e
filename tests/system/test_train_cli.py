"""`babelweave train` in processes of its own: killed, interrupted, on a full disk, and two at once."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

import tiny_encoders
from babelweave import registry
from babelweave.recipe import load_recipe
from babelweave.train.log import read_log
from conftest import Cli
from tiny_training import ENTRY, spawn

RECIPE = """
kind = "tiny"
model = "{model}"

[optimisation]
max_steps = 14
batch_size = 12
learning_rate = 1e-3
precision = "float32"
log_every = 2
save_every = 2
"""
CLOCK = {"elapsed", "examples_per_second"}


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recipe")
    model = tiny_encoders.build("bert", folder / "bert")
    (folder / "tiny.toml").write_text(RECIPE.format(model=model))
    return folder / "tiny.toml"


def ended(process: BaseProcess) -> int:
    process.join(120)
    assert process.exitcode is not None
    return process.exitcode


def await_checkpoint(folder: Path, process: BaseProcess, n: int) -> None:
    deadline = time.monotonic() + 120
    while len(list(folder.glob("checkpoints/*/complete.json"))) < n:
        assert process.is_alive(), "".join(p.read_text() for p in folder.parent.glob("output*"))
        assert time.monotonic() < deadline
        time.sleep(0.01)


def result(folder: Path) -> tuple[bytes, list[dict[str, Any]]]:
    """What must not depend on interruptions: the weights, and the log but for the clock."""
    lines = [{k: v for k, v in line.items() if k not in CLOCK} for line in read_log(folder / "log.jsonl")]
    return (folder / "model.safetensors").read_bytes(), lines


@pytest.fixture(scope="module")
def whole(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, list[dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("whole")
    process = spawn("train", recipe, "--out", folder / "out", output=folder / "output")
    assert ended(process) == 0, (folder / "output").read_text()
    return result(folder / "out")


def test_killed_interrupted_terminated_and_finished(recipe: Path, tmp_path: Path, whole: Any) -> None:
    """SIGKILL, SIGINT and SIGTERM in one run that goes on each time, to the bytes of an uninterrupted one."""
    out, output = tmp_path / "out", tmp_path / "output"
    command = ["train", recipe, "--out", out, "--set", "optimisation.keep=20"]
    slow = [*command, "--set", "trouble.pause=0.1"]
    expected = {signal.SIGKILL: -signal.SIGKILL, signal.SIGINT: 130, signal.SIGTERM: 130}
    for n, (number, code) in enumerate(expected.items(), 1):
        process = spawn(*slow, output=output)
        await_checkpoint(out, process, 2 * n)
        assert process.pid is not None
        os.kill(process.pid, number)
        assert ended(process) == code, output.read_text()
        if number != signal.SIGKILL:
            assert "interrupted" in output.read_text()
            assert "Traceback" not in output.read_text()
    assert ended(spawn(*slow, "--json", output=output)) == 0, output.read_text()
    assert result(out) == whole
    assert not (out / "checkpoints").exists()


def test_full_disk(recipe: Path, tmp_path: Path, whole: Any) -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("needs tmpfs")
    mounted, output = tmp_path / "small", tmp_path / "output"
    mounted.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=700k", "tmpfs", str(mounted)]
    if subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("mounting a small file system is not permitted here")
    try:
        command = ["train", recipe, "--out", mounted / "out", "--set", "optimisation.keep=2"]
        assert ended(spawn(*command, output=output)) == 1
        assert "the disk is full" in output.read_text()
        assert "the checkpoint of step 2 stands" in output.read_text()
        assert "Traceback" not in output.read_text()
        assert [path.name for path in (mounted / "out" / "checkpoints").iterdir()] == ["checkpoint-2"]
        subprocess.run(["mount", "-o", "remount,size=16m", str(mounted)], check=True)
        assert ended(spawn(*command, output=output)) == 0, output.read_text()
        assert result(mounted / "out") == whole
    finally:
        subprocess.run(["umount", str(mounted)], check=True)


def test_two_processes_train_as_one(recipe: Path, tmp_path: Path) -> None:
    """The same examples in the same steps: the same losses but for the order of additions, after a kill too.

    Without dropout, which each process draws for itself.
    """
    even = ["--set", "dropout=0", "--set", "optimisation.save_every=8"]  # six steps are an epoch
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])

    def run(*, kill: bool) -> list[int]:
        base = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        processes = [
            spawn(
                *("train", recipe, "--out", tmp_path / "out", *even),
                environment={**base, "RANK": str(rank), "LOCAL_RANK": str(rank)},
                output=tmp_path / f"output-{rank}",
            )
            for rank in range(2)
        ]
        if kill:
            await_checkpoint(tmp_path / "out", processes[0], 1)
            for process in processes:
                process.kill()
        return [ended(process) for process in processes]

    assert run(kill=True) == [-signal.SIGKILL] * 2
    assert run(kill=False) == [0, 0], "".join((tmp_path / f"output-{rank}").read_text() for rank in range(2))
    spoke = ["14 steps" in (tmp_path / f"output-{rank}").read_text() for rank in range(2)]
    assert spoke == [True, False]
    one = spawn("train", recipe, "--out", tmp_path / "one", *even, output=tmp_path / "output")
    assert ended(one) == 0, (tmp_path / "output").read_text()
    for ours, theirs in zip(result(tmp_path / "out")[1], result(tmp_path / "one")[1], strict=True):
        assert ours["parts"] == pytest.approx(theirs["parts"], rel=1e-4)


class TestInThisProcess:
    """What needs no process of its own."""

    @pytest.fixture(autouse=True)
    def _tiny(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(registry.TABLE["training"], "tiny", ENTRY)

    def test_result(self, cli: Cli, recipe: Path, tmp_path: Path) -> None:
        command = ["train", recipe, "--out", tmp_path / "out", "--set", "optimisation.eval_every=7"]
        code, out, err = cli(*command, "--json")
        assert code == 0, err
        found = json.loads(out)
        assert found["steps"] == 14
        assert found["best_step"] in (7, 14)
        assert found["counts"]["examples"] == 78
        assert "step 14/14  loss" in err
        again = load_recipe(tmp_path / "out" / "recipe.toml")
        assert again.settings()["optimisation.eval_every"] == 7
        code, _, err = cli(*command)
        assert (code, "is finished" in err) == (2, True)
        assert cli(*command, "--overwrite")[0] == 0

    def test_dry_run_writes_nothing(self, cli: Cli, recipe: Path, tmp_path: Path) -> None:
        command = ["train", recipe, "--out", tmp_path / "out", "--dry-run"]
        code, out, err = cli(*command, "--json")
        assert code == 0
        found = json.loads(out)
        assert (found["n_examples"], found["n_steps"]) == (78, 14)
        assert 'scheduler = "linear"' in found["recipe"]
        assert 'scheduler = "linear"' in err
        assert not (tmp_path / "out").exists()
        code, out, _ = cli(*command, "--set", "optimisation.epochs=2", "--set", "optimisation.max_steps=0")
        assert code == 2

    def test_all_faults_at_once(self, cli: Cli, recipe: Path, tmp_path: Path) -> None:
        broken = tmp_path / "broken.toml"
        text = recipe.read_text().replace("save_every", "save_evry")
        broken.write_text(f"{text}epochs = 2\nwarmup_ratio = 1\n")
        code, _, err = cli("train", broken, "--out", tmp_path / "out", "--set", "batches.languages=singel")
        assert code == 2
        assert "3 faults" in err
        assert "optimisation.save_evry (line 11): unknown key; did you mean 'save_every'?" in err
        assert "optimisation.warmup_ratio (line 13): " in err
        assert "--set batches.languages: " in err
        assert not (tmp_path / "out").exists()
