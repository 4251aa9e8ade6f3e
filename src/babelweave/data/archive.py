"""One way to read a publisher's release, be it a zip, a folder or a single file; nothing is extracted.

A zip comes from somewhere else, so it is distrusted: names that leave it, links, encryption, duplicate
names and bombs are refused when it is opened, and the bytes that really come out are counted again while
reading, because headers can lie.
"""

from __future__ import annotations

import io
import json
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import IO, Any, Self

from babelweave.artifact import reading
from babelweave.data.lines import file_lines, numbered_lines
from babelweave.errors import DataError

_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a zip may hold. The releases known here stay below 100 MB, 100 files and a ratio of 40 to 1."""

    files: int = 20_000
    total_bytes: int = 8 * 2**30
    member_bytes: int = 2**30
    ratio: int = 200
    """Unpacked to packed size of one member; not asked of members under 1 MiB."""


class Archive:
    """The files of a zip, of a folder (below it too) or of one file, by relative name.

    Use as a context manager.

    Raises:
        DataError: missing, not a zip though named so, hostile or broken; the message names the member.
    """

    def __init__(self, path: Path, limits: Limits | None = None) -> None:
        self.path = path
        self._limits = limits or Limits()
        self._stack = ExitStack()
        self._zip: zipfile.ZipFile | None = None
        self._read: dict[str, int] = {}
        if path.is_dir():
            self.names = sorted(p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file())
            return
        with reading(path), path.open("rb") as file:
            zipped = path.suffix == ".zip" or file.read(4) == b"PK\x03\x04"
        if zipped:
            self._zip = self._open_zip()
            self.names = sorted(i.filename for i in self._zip.infolist() if not i.is_dir())
        else:
            self.names = [path.name]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def where(self, name: str) -> str:
        """How messages name a member: its path, or `archive.zip!member`."""
        if self._zip is not None:
            return f"{self.path}!{name}"
        return str(self.path / name if self.path.is_dir() else self.path)

    def lines(self, name: str) -> Iterator[tuple[int, str]]:
        """The numbered lines of a member; outside a zip `.gz` is unpacked on the way."""
        if self._zip is None:
            yield from file_lines(self.path / name if self.path.is_dir() else self.path)
            return
        with self._unpacking(name), self._open_member(name) as stream:
            yield from numbered_lines(stream, self.where(name))

    def json(self, name: str) -> Any:
        """The value of a JSON member, read whole.

        Raises:
            DataError: not UTF-8 or not JSON; the message holds the place in the file.
        """
        where = self.where(name)
        data = self._bytes(name)
        try:
            return json.loads(data.decode("utf-8-sig"))
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise DataError(
                f"{where}:{line}: not UTF-8 (byte 0x{data[error.start]:02x}); convert it"
            ) from error
        except (ValueError, RecursionError) as error:
            raise DataError(f"{where}: not valid JSON ({error})") from error

    def _bytes(self, name: str) -> bytes:
        if self._zip is None:
            path = self.path / name if self.path.is_dir() else self.path
            with reading(path):
                return path.read_bytes()
        with self._unpacking(name), self._open_member(name) as stream:
            return stream.read()

    def _open_zip(self) -> zipfile.ZipFile:
        try:
            opened = self._stack.enter_context(zipfile.ZipFile(self.path))
        except _BROKEN as error:
            raise DataError(f"{self.path}: not a readable zip ({error}); download it again") from error
        try:
            self._check(opened.infolist())
        except DataError:
            self._stack.close()
            raise
        return opened

    def _check(self, infos: list[zipfile.ZipInfo]) -> None:
        if len(infos) > self._limits.files:
            raise DataError(f"{self.path}: {len(infos)} files, more than {self._limits.files}; refused")
        seen: set[str] = set()
        for info in infos:
            if reason := _hostile(info, self._limits) or ("named twice" if info.filename in seen else ""):
                raise DataError(f"{self.path}: {info.filename!r} is {reason}; refused")
            seen.add(info.filename)
        total = sum(info.file_size for info in infos)
        if total > self._limits.total_bytes:
            raise DataError(
                f"{self.path}: unpacks to {total} bytes, at most {self._limits.total_bytes} are read; refused"
            )

    def _open_member(self, name: str) -> io.BufferedReader:
        assert self._zip is not None
        return io.BufferedReader(_Counted(self._zip.open(name), self, name))

    @contextmanager
    def _unpacking(self, name: str) -> Iterator[None]:
        """Name the member in whatever the zip library raises about it."""
        try:
            yield
        except DataError:
            raise
        except _BROKEN as error:
            raise DataError(f"{self.where(name)}: broken zip ({error}); download it again") from error

    def count(self, name: str, n_bytes: int) -> None:
        """Add bytes that came out of a member; refuse once a limit is passed, whatever the headers said."""
        self._read[name] = self._read.get(name, 0) + n_bytes
        if (
            self._read[name] > self._limits.member_bytes
            or sum(self._read.values()) > self._limits.total_bytes
        ):
            raise DataError(f"{self.where(name)}: unpacks to more than its limit; refused as a zip bomb")

    def rewind(self, name: str) -> None:
        """Forget what was counted of a member, as it is read from its start again."""
        self._read[name] = 0


class _Counted(io.RawIOBase):
    """A member's bytes, counted as they come out."""

    def __init__(self, member: IO[bytes], archive: Archive, name: str) -> None:
        self._member, self._archive, self._name = member, archive, name
        archive.rewind(name)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        data = self._member.read(len(view))
        self._archive.count(self._name, len(data))
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._member.close()
        super().close()


def _hostile(info: zipfile.ZipInfo, limits: Limits) -> str:
    """Why a member must not be read; empty when nothing speaks against it."""
    name = info.filename
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if not parts or name.startswith(("/", "\\")) or ".." in parts or ":" in parts[0] or "\0" in name:
        return "a path that leads outside the archive"
    if stat.S_ISLNK(info.external_attr >> 16):
        return "a symbolic link"
    if info.flag_bits & 0x1:
        return "encrypted"
    if info.file_size > limits.member_bytes:
        return f"{info.file_size} bytes unpacked, at most {limits.member_bytes} are read"
    if info.file_size > 2**20 and info.file_size > limits.ratio * max(info.compress_size, 1):
        return f"packed more than {limits.ratio} to 1, as in a zip bomb"
    return ""
