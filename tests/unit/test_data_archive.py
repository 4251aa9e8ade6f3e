"""A zip comes from somewhere else: hostile and broken ones are refused, and nothing is extracted."""

from __future__ import annotations

import json
import stat
import zipfile
from pathlib import Path

import pytest

from babelweave.data.archive import Archive, Limits
from babelweave.errors import DataError


def make_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def test_zip_folder_and_file_read_alike(tmp_path: Path) -> None:
    content = {"a": ["é", "한"]}
    data = json.dumps(content, ensure_ascii=False).encode()
    (tmp_path / "tree" / "sub").mkdir(parents=True)
    (tmp_path / "tree" / "sub" / "x.json").write_bytes(data)
    zipped = make_zip(tmp_path / "x.zip", {"sub/x.json": data})
    for path, name in [(tmp_path / "tree", "sub/x.json"), (zipped, "sub/x.json")]:
        with Archive(path) as archive:
            assert archive.names == [name]
            assert archive.json(name) == content
            assert list(archive.lines(name)) == [(1, data.decode())]
    with Archive(tmp_path / "tree" / "sub" / "x.json") as archive:
        assert archive.json("x.json") == content


def test_a_zip_is_known_by_its_content_too(tmp_path: Path) -> None:
    make_zip(tmp_path / "release.bin", {"x.json": b"[1]"})
    with Archive(tmp_path / "release.bin") as archive:
        assert archive.json("x.json") == [1]


@pytest.mark.parametrize(
    "name",
    ["../evil.json", "/etc/evil.json", "a/../../evil.json", "..\\evil.json", "C:\\evil.json", "C:/x"],
)
def test_paths_that_leave_the_archive(tmp_path: Path, name: str) -> None:
    make_zip(tmp_path / "x.zip", {"good.json": b"{}", name: b"{}"})
    with pytest.raises(DataError, match="leads outside"):
        Archive(tmp_path / "x.zip")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.zip"]


def test_symbolic_link(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("link.json")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(DataError, match="symbolic link"):
        Archive(tmp_path / "x.zip")


def test_encrypted(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "x.zip", {"x.json": b"{}"})
    data = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + offset] |= 1
    path.write_bytes(bytes(data))
    with pytest.raises(DataError, match="encrypted"):
        Archive(path)


def test_bomb_by_ratio(tmp_path: Path) -> None:
    make_zip(tmp_path / "x.zip", {"x.json": b"0" * 2**22})
    with pytest.raises(DataError, match="zip bomb"):
        Archive(tmp_path / "x.zip")


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (Limits(files=2), "3 files"),
        (Limits(member_bytes=99), "100 bytes unpacked"),
        (Limits(total_bytes=250), "unpacks to 300 bytes"),
    ],
)
def test_bomb_by_size_or_number(tmp_path: Path, limits: Limits, message: str) -> None:
    make_zip(tmp_path / "x.zip", {f"{i}.json": bytes(range(100)) for i in range(3)})
    with Archive(tmp_path / "x.zip", Limits(files=3, member_bytes=100, total_bytes=300)) as archive:
        assert len(archive.names) == 3
    with pytest.raises(DataError, match=message):
        Archive(tmp_path / "x.zip", limits)


def test_bytes_that_come_out_are_counted_whatever_the_headers_say(tmp_path: Path) -> None:
    make_zip(tmp_path / "x.zip", {"a": b"1" * 60, "b": b"2" * 60})
    with Archive(tmp_path / "x.zip", Limits(member_bytes=60, total_bytes=120)) as archive:
        for _ in range(3):  # reading a member again does not count twice
            assert [line for _, line in archive.lines("a")] == ["1" * 60]
        assert [line for _, line in archive.lines("b")] == ["2" * 60]
        with pytest.raises(DataError, match="zip bomb"):
            archive.count("b", 1)


def test_a_header_that_lies_about_the_size(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "x.zip", {"x.json": b"[" + b"1," * 500 + b"1]"})
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\x01\x02") + 24
    data[at : at + 4] = (10).to_bytes(4, "little")
    path.write_bytes(bytes(data))
    with Archive(path) as archive, pytest.raises(DataError, match=r"x\.json: broken zip"):
        archive.json("x.json")


def test_one_name_twice(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("x.json", "1")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("x.json", "2")
    with pytest.raises(DataError, match="named twice"):
        Archive(tmp_path / "x.zip")


def test_cut_corrupt_and_false_zips(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "x.zip", {"x.json": json.dumps(list(range(500))).encode()})
    data = path.read_bytes()
    (tmp_path / "cut.zip").write_bytes(data[: len(data) // 2])
    (tmp_path / "false.zip").write_bytes(b"no zip at all")
    (tmp_path / "empty.zip").write_bytes(b"")
    for name in ("cut.zip", "false.zip", "empty.zip"):
        with pytest.raises(DataError, match="not a readable zip"):
            Archive(tmp_path / name)
    broken = bytearray(data)
    broken[100] ^= 0xFF
    (tmp_path / "broken.zip").write_bytes(bytes(broken))
    with Archive(tmp_path / "broken.zip") as archive, pytest.raises(DataError, match="broken zip"):
        archive.json("x.json")


def test_missing_source(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        Archive(tmp_path / "x.zip")


def test_text_that_is_not_utf8_or_not_json_names_the_place(tmp_path: Path) -> None:
    make_zip(
        tmp_path / "x.zip", {"bad.json": b'{"a":\n "\xff"}', "worse.json": b"{", "deep.json": b"[" * 100_000}
    )
    with Archive(tmp_path / "x.zip") as archive:
        with pytest.raises(DataError, match=r"x\.zip!bad\.json:2: not UTF-8"):
            archive.json("bad.json")
        with pytest.raises(DataError, match=r"bad\.json:2: not UTF-8"):
            list(archive.lines("bad.json"))
        for name in ("worse.json", "deep.json"):
            with pytest.raises(DataError, match="not valid JSON"):
                archive.json(name)
