"""A store whose run is killed, or whose disk fills up: real processes, no cooperation."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from babelweave.encode.store import VectorStore

SCRIPT = """
import resource, sys, time
from pathlib import Path
import numpy as np
from babelweave.encode.store import build_store
from babelweave.errors import StorageError
from babelweave.records import Encoded, EncoderSignature, Passage

folder, seconds, limit = Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])

def vectors_of(shard):
    time.sleep(seconds)
    rows = np.array([[hash(int(p.doc_id)), 1, 2, 3] for p in shard], dtype=np.float32)
    return Encoded(rows.repeat(16, axis=1), len(shard) % 3)

if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
passages = (Passage(str(i), f"text {i}", "en") for i in range(200))
signature = EncoderSignature("m", "d", 64, "mean", False, "dot", "", "", 8, 8)
try:
    build_store(folder, passages, vectors_of, settings={}, signature=signature, shard_size=20)
except StorageError as error:
    print(error)
    sys.exit(error.exit_code)
"""


def start(folder: Path, *, seconds: float = 0.0, limit: int = 0) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SCRIPT, str(folder), str(seconds), str(limit)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def finish(folder: Path) -> dict[str, bytes]:
    process = start(folder)
    process.communicate(timeout=60)
    assert process.returncode == 0
    VectorStore.open(folder, checksums=True)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return finish(tmp_path_factory.mktemp("whole") / "store")


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
def test_killed_and_resumed_is_the_same_bytes(tmp_path: Path, whole: dict[str, bytes]) -> None:
    folder = tmp_path / "store"
    for n_shards in (2, 5):
        process = start(folder, seconds=0.1)
        deadline = time.monotonic() + 60
        while len(list(folder.glob("shard-*.json"))) < n_shards:
            assert process.poll() is None, "the run ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert not (folder / "manifest.json").exists()
    assert finish(folder) == whole


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="file size limits as on Linux")
def test_disk_that_refuses_leaves_nothing_half_written(tmp_path: Path, whole: dict[str, bytes]) -> None:
    folder = tmp_path / "store"
    process = start(folder, limit=3000)  # a shard of vectors has 20 * 64 * 4 bytes
    message, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "vectors-00000.npy" in message
    assert "too large" in message
    assert {path.name for path in folder.iterdir()} == {"plan.json"}
    assert finish(folder) == whole


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs tmpfs")
def test_full_disk(tmp_path: Path, whole: dict[str, bytes]) -> None:
    mounted = tmp_path / "small"
    mounted.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", str(mounted)]
    if subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("mounting a small file system is not permitted here")
    try:
        process = start(mounted / "store")
        message, _ = process.communicate(timeout=60)
        assert process.returncode == 1
        assert "the disk is full" in message
        assert not list((mounted / "store").glob("*.aside"))
        subprocess.run(["mount", "-o", "remount,size=4m", str(mounted)], check=True)
        assert finish(mounted / "store") == whole
    finally:
        subprocess.run(["umount", str(mounted)], check=True)
