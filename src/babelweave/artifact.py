"""Artefacts: folders that are whole or absent, that say what made them, and that resume.

An artefact folder holds data files and `manifest.json`, written last. A sharded artefact also keeps
one marker per finished shard, so that a killed run goes on where it stopped and ends with the bytes of
an uninterrupted one; nothing in it depends on the clock.

    write_aside       a file appears complete or not at all
    write_folder      a folder appears complete or not at all
    Claim             begin or go on with a folder that is filled piece by piece
    ShardWriter       plan, resume and finish a sharded artefact
    read_manifest     open an artefact and check that its files are there in full
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import subprocess
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

from babelweave import __version__
from babelweave.errors import DataError, StorageError, UsageError

MANIFEST = "manifest.json"
PLAN = "plan.json"
_ASIDE = ".aside"
_REPLACED = ".replaced"
_SHARD_FILE = re.compile(r"^(?:[a-z_]+-\d{5}\.[a-z]+)(?:\.aside)?$")


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an artefact is and what made it; JSON values only.

    Attributes:
        kind: "store", "generated", "index", "collection", ...
        settings: everything that decided the content (signatures, fuser, alpha, seed, ...).
        inputs: name -> digest of what was read.
        counts: name -> number, for instance passages, truncated.
        files: relative name -> {"bytes", "sha256"}.
    """

    kind: str
    settings: Mapping[str, Any]
    inputs: Mapping[str, str] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    version: str = __version__
    commit: str | None = None

    def digest(self) -> str:
        """sha256 over the file digests: two artefacts with the same bytes have the same digest."""
        lines = sorted(f"{name} {entry['sha256']}" for name, entry in self.files.items())
        return digest_texts(lines)


def digest_file(path: Path) -> str:
    """sha256 of a file's bytes, hexadecimal."""
    with reading(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_texts(texts: Iterable[str]) -> str:
    """sha256 of texts in order; each is length-prefixed, so no two sequences collide by joining."""
    total = hashlib.sha256()
    for text in texts:
        data = text.encode("utf-8", "surrogatepass")
        total.update(len(data).to_bytes(8, "little"))
        total.update(data)
    return total.hexdigest()


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn operating-system errors of a read into errors that name the file and the way out."""
    try:
        yield
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file or folder") from error
    except (IsADirectoryError, NotADirectoryError, PermissionError) as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error


@contextlib.contextmanager
def storing(path: Path) -> Iterator[None]:
    """Turn operating-system errors of a write into `StorageError`."""
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        if _is_disk_full(error):
            raise StorageError(
                f"{path}: the disk is full; free some space and run the same command again, "
                "finished shards are kept where there are shards"
            ) from error
        raise StorageError(f"{path}: cannot be written ({error.strerror or error})") from error


def _is_disk_full(error: OSError) -> bool:
    """By the error's number, or by its words where numpy and shutil lose the number."""
    lost = rf"\[Errno {errno.ENOSPC}\]|\d+ requested and \d+ written"
    return error.errno in (errno.ENOSPC, errno.EDQUOT) or (
        error.errno is None and re.search(lost, str(error)) is not None
    )


@contextlib.contextmanager
def write_aside(path: Path) -> Iterator[Path]:
    """Give a path to write to; on success it is flushed and renamed to `path`, on failure removed.

    Raises:
        StorageError: the disk is full or refuses.
    """
    aside = path.with_name(path.name + _ASIDE)
    try:
        with storing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield aside
            with aside.open("rb+") as file:
                os.fsync(file.fileno())
            aside.replace(path)
    finally:
        with contextlib.suppress(OSError):  # the first error says more
            aside.unlink(missing_ok=True)


def write_json(path: Path, data: Any) -> None:
    """Write JSON aside and rename; keys keep their order, non-finite numbers are refused."""
    text = json.dumps(data, ensure_ascii=False, indent=1, allow_nan=False)
    write_text(path, text + "\n")


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text aside and rename."""
    with write_aside(path) as aside:
        aside.write_text(text, encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read JSON; a missing or broken file is a `DataError` naming it."""
    with reading(path):
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise DataError(f"{path}: not valid JSON ({error})") from error


@cache
def source_commit() -> str | None:
    """The git commit babelweave runs from, "-dirty" appended if changed; None outside a checkout."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        head = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude", "*"],
            cwd=root,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return head.stdout.strip() or None


@contextlib.contextmanager
def write_folder(folder: Path, kind: str, *, overwrite: bool) -> Iterator[Path]:
    """Give an empty folder to fill; on success it is renamed to `folder`, on failure it is removed.

    The way to write an unsharded artefact: fill the folder, `seal` it, leave the context.

    Raises:
        UsageError: `folder` is not empty and `overwrite` is not given, or it holds anything but an artefact
            of this kind.
        StorageError: the disk is full or refuses.
    """
    check_target(folder, kind, overwrite=overwrite)
    folder = folder.resolve()  # a name to add to, also for `.`
    aside = folder.with_name(folder.name + _ASIDE)
    try:  # from before the folder is there: an interrupt may come at once
        with storing(folder):
            shutil.rmtree(aside, ignore_errors=True)  # left by a killed run
            aside.mkdir(parents=True)
            yield aside
            replaced = folder.with_name(folder.name + _REPLACED)
            shutil.rmtree(replaced, ignore_errors=True)
            if folder.exists():
                folder.replace(replaced)  # deleted only when the new one stands in its place
            aside.replace(folder)
            shutil.rmtree(replaced, ignore_errors=True)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def check_target(folder: Path, kind: str, *, overwrite: bool) -> None:
    """Refuse an output folder before any work is done for it.

    Raises:
        UsageError: it is not empty and `overwrite` is not given, or it holds anything but an artefact of
            this kind.
    """
    _check_folder(folder)
    if folder.is_dir() and any(folder.iterdir()):
        if not overwrite:
            raise UsageError(f"{folder} is not empty; choose another --out or pass --overwrite")
        _check_replaceable(folder, kind)


def _check_folder(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; choose another --out")


def _check_replaceable(folder: Path, kind: str) -> None:
    """Refuse to delete anything but an artefact of the kind to write; one of another may be the input."""
    left_alone = "it is left alone, choose another --out or delete it yourself"
    described = next((folder / n for n in (MANIFEST, PLAN) if (folder / n).is_file()), None)
    if described is None:
        raise UsageError(f"{folder} holds files babelweave did not write (no {MANIFEST}); {left_alone}")
    data = read_json(described)
    found = data.get("kind") if isinstance(data, dict) else None
    if found != kind:
        raise UsageError(f"{folder}: kind {found!r}, --overwrite replaces kind {kind!r} here; {left_alone}")


def describe_files(folder: Path, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """name -> {"bytes", "sha256"} for a manifest."""
    return {
        name: {"bytes": (folder / name).stat().st_size, "sha256": digest_file(folder / name)}
        for name in sorted(names)
    }


def write_manifest(folder: Path, manifest: Manifest) -> Manifest:
    """Write `manifest.json`, the last file of every artefact; the commit is filled in."""
    manifest = replace(manifest, commit=manifest.commit or source_commit())
    write_json(folder / MANIFEST, {f.name: getattr(manifest, f.name) for f in fields(manifest)})
    return manifest


def seal(
    folder: Path,
    kind: str,
    settings: Mapping[str, Any],
    *,
    inputs: Mapping[str, str] | None = None,
    counts: Mapping[str, int] | None = None,
) -> Manifest:
    """Write the manifest of an unsharded artefact over every file the folder holds."""
    names = [p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()]
    files = describe_files(folder, (n for n in names if n != MANIFEST))
    return write_manifest(folder, Manifest(kind, settings, inputs or {}, counts or {}, files))


def read_manifest(folder: Path, kind: str, *, checksums: bool = False) -> Manifest:
    """Open an artefact: its manifest, and every file it names present at its full size.

    Args:
        checksums: also read every byte and compare sha256.
    Raises:
        DataError: unfinished, of another kind, or a file is missing, cut or changed.
    """
    path = folder / MANIFEST
    if not path.is_file():
        if (folder / PLAN).is_file():
            raise DataError(f"{folder}: unfinished; run the command that makes it again, it will resume")
        raise DataError(f"{folder}: not a babelweave {kind} (no {MANIFEST})")
    data = read_json(path)
    try:
        manifest = Manifest(**data)
        files = {str(name): (int(e["bytes"]), str(e["sha256"])) for name, e in manifest.files.items()}
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise DataError(f"{path}: not a manifest of this version ({error})") from error
    if manifest.kind != kind:
        raise DataError(f"{folder}: kind {manifest.kind!r}, kind {kind!r} is needed here")
    for name, (size, sha256) in files.items():
        file = inside(folder, name)
        if not file.is_file():
            raise DataError(f"{folder}: {name} is missing; make the {kind} again")
        if file.stat().st_size != size:
            raise DataError(
                f"{folder}: {name} is cut or changed ({file.stat().st_size} bytes, expected {size}); "
                f"make the {kind} again"
            )
        if checksums and digest_file(file) != sha256:
            raise DataError(f"{folder}: {name} has changed (sha256 differs); make the {kind} again")
    return manifest


def inside(folder: Path, name: str) -> Path:
    """`folder / name`, refused when it would leave the folder.

    Raises:
        DataError: an absolute path, `..`, or a link that leads outside.
    """
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise DataError(f"{name!r} leads outside {folder}; refused")
    return path


class Claim:
    """A folder that is filled piece by piece: its plan is written first, and no other process fills it.

    Args:
        folder: where; created when absent.
        kind: manifest kind.
        settings: all that decides the content; going on with others is refused.
        overwrite: discard what is there.
    Attributes:
        settings: as JSON holds them.
        resumed: whether an interrupted run is going on.
    Raises:
        UsageError: the folder holds a finished artefact, one started with other settings, or one that
            another process is writing.
    """

    def __init__(self, folder: Path, kind: str, settings: Mapping[str, Any], *, overwrite: bool) -> None:
        self.folder = folder
        self.settings: dict[str, Any] = json.loads(json.dumps(dict(settings), allow_nan=False))
        if overwrite and _in_use(folder):
            _check_replaceable(folder, kind)
            if (folder / PLAN).is_file():
                os.close(_locked(folder / PLAN))
            with storing(folder):
                shutil.rmtree(folder.resolve())  # a link to it stays
                folder.resolve().mkdir()
        _check_folder(folder)
        if (folder / MANIFEST).exists():
            raise UsageError(f"{folder} is finished; choose another --out or pass --overwrite")
        plan = {"kind": kind, "version": __version__, "settings": self.settings}
        self.resumed = (folder / PLAN).exists()
        if self.resumed:
            self._check_plan(plan)
        else:
            if _in_use(folder):
                raise UsageError(f"{folder} is not empty and holds no {kind}; choose another --out")
            write_json(folder / PLAN, plan)
        self._unlock = weakref.finalize(self, os.close, _locked(folder / PLAN))

    def _check_plan(self, plan: dict[str, Any]) -> None:
        begun = read_json(self.folder / PLAN)
        if begun == plan:
            return
        old, new = (p.get("settings", {}) if isinstance(p, dict) else {} for p in (begun, plan))
        changed = sorted(k for k in old.keys() | new.keys() if old.get(k) != new.get(k)) or ["version"]
        raise UsageError(
            f"{self.folder} was started with other settings ({', '.join(changed)} differ); "
            "run it as before to resume, or pass --overwrite to start anew"
        )

    def release(self) -> None:
        """Let others in, once the manifest stands: the plan has served."""
        self._unlock()
        (self.folder / PLAN).unlink(missing_ok=True)


class ShardWriter:
    """Write a sharded artefact so that a killed run resumes and ends with the same bytes.

    The plan (kind and settings) is written first. Each shard is a few files and a marker with their
    checksums and the digest of the input they were made from; a shard with a marker is not made again.
    `finish` writes the manifest and removes markers and plan.

    Args:
        folder, kind, settings, overwrite: as `Claim` takes them, which also says what is refused.
    """

    def __init__(
        self, folder: Path, kind: str, settings: Mapping[str, Any], *, overwrite: bool = False
    ) -> None:
        self._claim = Claim(folder, kind, settings, overwrite=overwrite)
        self.folder, self.kind, self.settings = folder, kind, self._claim.settings
        self._markers: dict[int, dict[str, Any]] = {}
        self.n_resumed = 0
        if self._claim.resumed:
            self._clear_unfinished()

    def _clear_unfinished(self) -> None:
        """Remove files of shards that have no marker: their writing was interrupted."""
        marked = {f"{p.name}" for p in self.folder.glob("shard-*.json")}
        kept = {name for m in marked for name in read_json(self.folder / m)["files"]}
        for path in self.folder.iterdir():
            if _SHARD_FILE.match(path.name) and path.name not in kept | marked:
                path.unlink()

    def done(self, shard: int, input_digest: str) -> bool:
        """Whether this shard is finished; then its marker is counted in and its work can be skipped.

        Raises:
            DataError: it was made from other input, or its files no longer have the marked checksums.
        """
        path = self.folder / f"shard-{shard:05d}.json"
        if not path.exists():
            return False
        marker = read_json(path)
        if marker["input"] != input_digest:
            raise DataError(
                f"{self.folder}: shard {shard} was made from other input; the source has changed since "
                "this run began. Pass --overwrite to start anew"
            )
        for name, entry in marker["files"].items():
            file = inside(self.folder, name)
            if not file.is_file() or digest_file(file) != entry["sha256"]:
                raise DataError(f"{file}: missing or changed since it was written; pass --overwrite")
        self._markers[shard] = marker
        self.n_resumed += 1
        return True

    def write(
        self,
        shard: int,
        input_digest: str,
        files: Mapping[str, Callable[[Path], None]],
        counts: Mapping[str, int],
    ) -> None:
        """Write one shard: `{stem}-{shard:05d}{suffix}` for each `stem.suffix` key, then its marker.

        Args:
            files: "vectors.npy" -> a function that writes the content to the path it is given.
            counts: summed over shards into the manifest.
        """
        names = []
        for key, save in files.items():
            stem, suffix = key.split(".", 1)
            name = f"{stem}-{shard:05d}.{suffix}"
            with write_aside(self.folder / name) as aside:
                save(aside)
            names.append(name)
        marker = {
            "input": input_digest,
            "counts": dict(counts),
            "files": describe_files(self.folder, names),
        }
        write_json(self.folder / f"shard-{shard:05d}.json", marker)
        self._markers[shard] = marker

    def finish(self, inputs: Mapping[str, str] | None = None, others: Iterable[str] = ()) -> Manifest:
        """Write the manifest, then remove the plan and the markers.

        Args:
            others: names of files in the folder that belong to it beside the shards.
        Raises:
            DataError: a shard of the sequence 0..n is missing, or more were made by an earlier run than
                the source now holds.
        """
        found = {int(p.stem.split("-")[1]) for p in self.folder.glob("shard-*.json")}
        if found != set(range(len(self._markers))) or found != set(self._markers):
            raise DataError(
                f"{self.folder}: the source now gives {len(self._markers)} shards, {len(found)} were made; "
                "it has changed since this run began. Pass --overwrite to start anew"
            )
        counts: dict[str, int] = {}
        files: dict[str, Mapping[str, Any]] = {**describe_files(self.folder, others)}
        for shard in sorted(self._markers):
            marker = self._markers[shard]
            files |= marker["files"]
            for name, value in marker["counts"].items():
                counts[name] = counts.get(name, 0) + value
        source = digest_texts(self._markers[s]["input"] for s in sorted(self._markers))
        manifest = write_manifest(
            self.folder,
            Manifest(self.kind, self.settings, {"source": source, **(inputs or {})}, counts, files),
        )
        for path in self.folder.glob("shard-*.json"):
            path.unlink(missing_ok=True)
        self._claim.release()
        return manifest


def _in_use(folder: Path) -> bool:
    """Whether there is anything in it but what a kill in the first moment leaves: a plan half written."""
    return folder.is_dir() and any(path.name != PLAN + _ASIDE for path in folder.iterdir())


def _locked(path: Path) -> int:
    """A descriptor of a file under an exclusive lock, which the system drops with the process.

    A record lock: the same process may take it again, as after an error in a notebook, and loses it when
    it closes the file anywhere. Where there is no such lock (Windows), the file is only held open.

    Raises:
        UsageError: another process holds it.
    """
    descriptor = os.open(path, os.O_RDWR)
    try:
        import fcntl

        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:
        pass
    except OSError as error:
        os.close(descriptor)
        raise UsageError(
            f"{path.parent}: another process is writing it; wait for it or choose another --out"
        ) from error
    return descriptor
