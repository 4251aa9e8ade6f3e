"""Artefacts are whole or absent, say what made them, and resume."""

from __future__ import annotations

import errno
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from babelweave.artifact import (
    MANIFEST,
    PLAN,
    Manifest,
    ShardWriter,
    digest_texts,
    inside,
    read_json,
    read_manifest,
    reading,
    seal,
    storing,
    write_aside,
    write_folder,
    write_json,
    write_text,
)
from babelweave.errors import DataError, StorageError, UsageError


def _text(content: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_text(content)

    return write


def _fail_midway(writing: AbstractContextManager[Path], error: type[BaseException]) -> None:
    with writing as aside:
        (aside / "x" if aside.is_dir() else aside).write_text("half")
        raise error


def _bytes_of(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir()}


class TestFiles:
    def test_a_failed_write_leaves_the_old_file_and_nothing_beside_it(self, tmp_path: Path) -> None:
        target = tmp_path / "a.txt"
        write_text(target, "old")
        with pytest.raises(KeyboardInterrupt):
            _fail_midway(write_aside(target), KeyboardInterrupt)
        assert target.read_text() == "old"
        assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]

    def test_a_full_disk_is_a_storage_error_that_says_so(self, tmp_path: Path) -> None:
        with pytest.raises(StorageError, match=r"a\.txt: the disk is full"), storing(tmp_path / "a.txt"):
            raise OSError(errno.ENOSPC, "No space left on device")

    @pytest.mark.parametrize(
        "error",
        [
            OSError("591638 requested and 2016 written"),
            shutil.Error([("a", "b", "[Errno 28] No space left on device: 'a' -> 'b'")]),
        ],
        ids=["numpy", "shutil"],
    )
    def test_a_full_disk_is_known_by_its_words_too(self, tmp_path: Path, error: OSError) -> None:
        with pytest.raises(StorageError, match="the disk is full"), storing(tmp_path):
            raise error

    def test_a_file_where_a_folder_should_be(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("kept")
        with pytest.raises(StorageError, match="cannot be written"):
            write_text(tmp_path / "file" / "x", "text")
        for overwrite in (False, True):
            with pytest.raises(UsageError, match="is a file"):
                ShardWriter(tmp_path / "file", "thing", {}, overwrite=overwrite)
        assert (tmp_path / "file").read_text() == "kept"

    def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"gone\.json: no such file"), reading(tmp_path / "gone.json"):
            (tmp_path / "gone.json").read_bytes()

    def test_broken_json_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "x.json").write_text("{")
        with pytest.raises(DataError, match=r"x\.json: not valid JSON"):
            read_json(tmp_path / "x.json")

    def test_json_refuses_what_json_cannot_say(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="not JSON compliant"):
            write_json(tmp_path / "x.json", {"a": float("nan")})
        assert list(tmp_path.iterdir()) == []

    def test_digests_tell_where_a_text_ends(self) -> None:
        assert digest_texts(["ab", "c"]) != digest_texts(["a", "bc"])
        assert digest_texts(["ab"]) != digest_texts(["ab", ""])

    def test_a_path_cannot_leave_its_folder(self, tmp_path: Path) -> None:
        (tmp_path / "in").mkdir()
        (tmp_path / "in" / "link").symlink_to(tmp_path)
        for name in ("../x", "/etc/passwd", "link/x"):
            with pytest.raises(DataError, match="leads outside"):
                inside(tmp_path / "in", name)


class TestFolders:
    def test_a_sealed_folder_is_read_back(self, tmp_path: Path) -> None:
        with write_folder(tmp_path / "out", "thing", overwrite=False) as aside:
            (aside / "sub").mkdir()
            (aside / "sub" / "x.bin").write_bytes(b"1234")
            written = seal(aside, "thing", {"seed": 0}, inputs={"a": "b"}, counts={"n": 1})
        assert [p.name for p in tmp_path.iterdir()] == ["out"]
        read = read_manifest(tmp_path / "out", "thing", checksums=True)
        assert read == written
        assert read.files["sub/x.bin"]["bytes"] == 4

    def test_the_digest_follows_the_bytes_and_not_the_settings(self, tmp_path: Path) -> None:
        digests = []
        for number, (content, setting) in enumerate([("x", 1), ("x", 2), ("y", 1)]):
            with write_folder(tmp_path / str(number), "thing", overwrite=False) as aside:
                (aside / "f").write_text(content)
                digests.append(seal(aside, "thing", {"s": setting}).digest())
        assert digests[0] == digests[1] != digests[2]

    def test_a_failure_leaves_nothing(self, tmp_path: Path) -> None:
        with pytest.raises(RuntimeError):
            _fail_midway(write_folder(tmp_path / "out", "thing", overwrite=False), RuntimeError)
        assert list(tmp_path.iterdir()) == []

    def test_an_interrupt_as_the_folder_is_made_leaves_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = Path.mkdir

        def make_and_interrupt(self: Path, *args: Any, **options: Any) -> None:
            made(self, *args, **options)
            raise KeyboardInterrupt

        monkeypatch.setattr(Path, "mkdir", make_and_interrupt)
        with pytest.raises(KeyboardInterrupt), write_folder(tmp_path / "out", "thing", overwrite=False):
            pass
        assert list(tmp_path.iterdir()) == []

    def test_a_failure_while_overwriting_keeps_the_old(self, tmp_path: Path) -> None:
        with write_folder(tmp_path / "out", "thing", overwrite=False) as aside:
            (aside / "x").write_text("old")
            seal(aside, "thing", {})
        with pytest.raises(RuntimeError):
            _fail_midway(write_folder(tmp_path / "out", "thing", overwrite=True), RuntimeError)
        assert (tmp_path / "out" / "x").read_text() == "old"
        assert [p.name for p in tmp_path.iterdir()] == ["out"]

    def test_a_full_folder_needs_overwrite(self, tmp_path: Path) -> None:
        with write_folder(tmp_path / "out", "thing", overwrite=False) as aside:
            seal(aside, "thing", {})
        with (
            pytest.raises(UsageError, match="--overwrite"),
            write_folder(tmp_path / "out", "thing", overwrite=False),
        ):
            pass
        with write_folder(tmp_path / "out", "thing", overwrite=True) as aside:
            (aside / "new").write_text("")
            seal(aside, "thing", {})
        assert (tmp_path / "out" / "new").exists()
        assert [p.name for p in tmp_path.iterdir()] == ["out"]

    def test_what_is_not_ours_is_never_deleted(self, tmp_path: Path) -> None:
        (tmp_path / "photos").mkdir()
        (tmp_path / "photos" / "cat.jpg").write_text("")
        with (
            pytest.raises(UsageError, match="did not write"),
            write_folder(tmp_path / "photos", "thing", overwrite=True),
        ):
            pass
        with pytest.raises(UsageError, match="did not write"):
            ShardWriter(tmp_path / "photos", "thing", {}, overwrite=True)
        assert (tmp_path / "photos" / "cat.jpg").exists()

    @pytest.mark.parametrize("content", ['{"kind": "collection"}', '{"name": "a browser extension"}', "[]"])
    def test_nor_is_an_artefact_of_another_kind(self, tmp_path: Path, content: str) -> None:
        """Which may be the input: `encode c --out c --overwrite`."""
        (tmp_path / MANIFEST).write_text(content)
        with (
            pytest.raises(UsageError, match="kind 'thing' here; it is left alone"),
            write_folder(tmp_path, "thing", overwrite=True),
        ):
            pass
        with pytest.raises(UsageError, match="left alone"):
            ShardWriter(tmp_path, "thing", {}, overwrite=True)
        assert (tmp_path / MANIFEST).read_text() == content


class TestReadManifest:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        with write_folder(tmp_path / "out", "thing", overwrite=False) as aside:
            (aside / "x.bin").write_bytes(b"1234")
            seal(aside, "thing", {})
        return tmp_path / "out"

    def test_another_kind(self, folder: Path) -> None:
        with pytest.raises(DataError, match=r"kind .thing., kind .store. is needed"):
            read_manifest(folder, "store")

    def test_a_missing_file(self, folder: Path) -> None:
        (folder / "x.bin").unlink()
        with pytest.raises(DataError, match=r"x\.bin is missing"):
            read_manifest(folder, "thing")

    def test_a_cut_file(self, folder: Path) -> None:
        (folder / "x.bin").write_bytes(b"123")
        with pytest.raises(DataError, match=r"3 bytes, expected 4"):
            read_manifest(folder, "thing")

    def test_a_changed_file_is_seen_by_checksums_only(self, folder: Path) -> None:
        (folder / "x.bin").write_bytes(b"abcd")
        read_manifest(folder, "thing")
        with pytest.raises(DataError, match="has changed"):
            read_manifest(folder, "thing", checksums=True)

    def test_a_manifest_cannot_name_files_elsewhere(self, folder: Path) -> None:
        data = json.loads((folder / MANIFEST).read_text())
        data["files"] = {"../x": {"bytes": 1, "sha256": ""}}
        (folder / MANIFEST).write_text(json.dumps(data))
        with pytest.raises(DataError, match="leads outside"):
            read_manifest(folder, "thing")

    @pytest.mark.parametrize(
        "content", ["[]", "{}", '{"kind": 1, "settings": {}, "files": []}', "null", '"x"']
    )
    def test_something_else_under_that_name(self, folder: Path, content: str) -> None:
        (folder / MANIFEST).write_text(content)
        with pytest.raises(DataError, match=MANIFEST):
            read_manifest(folder, "thing")

    def test_no_manifest_and_an_unfinished_one_are_told_apart(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="not a babelweave thing"):
            read_manifest(tmp_path, "thing")
        ShardWriter(tmp_path / "begun", "thing", {})
        with pytest.raises(DataError, match="unfinished"):
            read_manifest(tmp_path / "begun", "thing")


def _write(writer: ShardWriter, shards: range, content: str = "shard") -> None:
    for shard in shards:
        if not writer.done(shard, f"input {shard}"):
            writer.write(
                shard, f"input {shard}", {"vectors.npy": _text(f"{content} {shard}")}, {"rows": shard}
            )


class TestShards:
    def test_a_resumed_run_ends_with_the_same_bytes(self, tmp_path: Path) -> None:
        whole = ShardWriter(tmp_path / "whole", "store", {"a": 1})
        _write(whole, range(3))
        manifest = whole.finish({"q": "d"})
        assert manifest.counts == {"rows": 3}

        _write(ShardWriter(tmp_path / "cut", "store", {"a": 1}), range(2))
        (tmp_path / "cut" / "vectors-00002.npy").write_text("half a sha")  # killed before its marker
        (tmp_path / "cut" / "vectors-00003.npy.aside").write_text("half")
        resumed = ShardWriter(tmp_path / "cut", "store", {"a": 1})
        assert sorted(p.name for p in (tmp_path / "cut").glob("vectors*")) == [
            "vectors-00000.npy",
            "vectors-00001.npy",
        ]
        _write(resumed, range(3), content="shard")
        resumed.finish({"q": "d"})
        assert resumed.n_resumed == 2
        assert _bytes_of(tmp_path / "cut") == _bytes_of(tmp_path / "whole")
        assert read_manifest(tmp_path / "cut", "store", checksums=True) == manifest

    @pytest.mark.skipif(sys.platform == "win32", reason="links need a right there")
    def test_a_link_to_the_folder_stays(self, tmp_path: Path) -> None:
        _write(ShardWriter(tmp_path / "s", "store", {}), range(1))
        (tmp_path / "link").symlink_to("s")
        ShardWriter(tmp_path / "link", "store", {"a": 1}, overwrite=True)
        assert (tmp_path / "link").is_symlink()
        assert list(_bytes_of(tmp_path / "s")) == [PLAN]

    @pytest.mark.parametrize("overwrite", [False, True])
    def test_a_kill_while_the_plan_is_written_is_no_obstacle(self, tmp_path: Path, overwrite: bool) -> None:
        (tmp_path / f"{PLAN}.aside").write_text('{"kind": "sto')
        writer = ShardWriter(tmp_path, "store", {}, overwrite=overwrite)
        _write(writer, range(1))
        writer.finish()
        assert sorted(_bytes_of(tmp_path)) == [MANIFEST, "vectors-00000.npy"]

    def test_finished_shards_are_not_written_again(self, tmp_path: Path) -> None:
        _write(ShardWriter(tmp_path / "s", "store", {}), range(1), content="first")
        resumed = ShardWriter(tmp_path / "s", "store", {})
        _write(resumed, range(1), content="second")
        assert (tmp_path / "s" / "vectors-00000.npy").read_text() == "first 0"

    def test_other_settings_are_refused_by_name(self, tmp_path: Path) -> None:
        ShardWriter(tmp_path / "s", "store", {"alpha": 0.1, "seed": 0})
        with pytest.raises(UsageError, match=r"\(alpha differ\)"):
            ShardWriter(tmp_path / "s", "store", {"alpha": 0.2, "seed": 0})
        ShardWriter(tmp_path / "s", "store", {"alpha": 0.2}, overwrite=True)

    def test_a_changed_source_is_noticed(self, tmp_path: Path) -> None:
        _write(ShardWriter(tmp_path / "s", "store", {}), range(1))
        with pytest.raises(DataError, match="other input"):
            ShardWriter(tmp_path / "s", "store", {}).done(0, "another input")

    def test_a_shorter_source_is_noticed(self, tmp_path: Path) -> None:
        _write(ShardWriter(tmp_path / "s", "store", {}), range(3))
        resumed = ShardWriter(tmp_path / "s", "store", {})
        _write(resumed, range(2))
        with pytest.raises(DataError, match="gives 2 shards, 3 were made"):
            resumed.finish()
        assert not (tmp_path / "s" / MANIFEST).exists()

    def test_a_shard_changed_after_its_marker_is_noticed(self, tmp_path: Path) -> None:
        _write(ShardWriter(tmp_path / "s", "store", {}), range(1))
        (tmp_path / "s" / "vectors-00000.npy").write_text("other")
        with pytest.raises(DataError, match="changed since it was written"):
            ShardWriter(tmp_path / "s", "store", {}).done(0, "input 0")

    def test_a_finished_artefact_is_not_written_over(self, tmp_path: Path) -> None:
        writer = ShardWriter(tmp_path / "s", "store", {})
        _write(writer, range(1))
        writer.finish()
        assert sorted(_bytes_of(tmp_path / "s")) == [MANIFEST, "vectors-00000.npy"]
        with pytest.raises(UsageError, match="is finished"):
            ShardWriter(tmp_path / "s", "store", {})

    def test_an_interrupt_between_manifest_and_clearing_up_counts_as_finished(self, tmp_path: Path) -> None:
        writer = ShardWriter(tmp_path / "s", "store", {})
        _write(writer, range(1))
        plan = (tmp_path / "s" / PLAN).read_bytes()
        manifest = writer.finish()
        (tmp_path / "s" / PLAN).write_bytes(plan)
        assert read_manifest(tmp_path / "s", "store") == manifest

    def test_settings_that_json_cannot_carry_are_refused_at_once(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="not JSON compliant"):
            ShardWriter(tmp_path / "s", "store", {"alpha": float("nan")})

    def test_settings_are_compared_as_json_reads_them_back(self, tmp_path: Path) -> None:
        ShardWriter(tmp_path / "s", "store", {"languages": ("ar", "de")})
        ShardWriter(tmp_path / "s", "store", {"languages": ["ar", "de"]})


def test_a_manifest_is_what_it_says() -> None:
    manifest = Manifest("store", {}, files={"b": {"sha256": "2"}, "a": {"sha256": "1"}})
    assert (
        manifest.digest()
        == Manifest("index", {"x": 1}, files={"a": {"sha256": "1"}, "b": {"sha256": "2"}}).digest()
    )


def test_two_processes_do_not_write_one_folder(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from babelweave.artifact import ShardWriter\n"
        "writer = ShardWriter(Path(sys.argv[1]), 'store', {'a': 1})\n"
        "print('ready', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "s")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        with pytest.raises(UsageError, match="another process is writing it"):
            ShardWriter(tmp_path / "s", "store", {"a": 1})
        with pytest.raises(UsageError, match="another process is writing it"):
            ShardWriter(tmp_path / "s", "store", {"a": 2}, overwrite=True)
        assert (tmp_path / "s" / PLAN).is_file()
        other.kill()
        other.wait()
        ShardWriter(tmp_path / "s", "store", {"a": 1})  # the lock went with the process
    ShardWriter(tmp_path / "s", "store", {"a": 1})  # and is no obstacle to the same process
