"""The vector store: what is written, what is read back, and everything that is refused."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from babelweave.artifact import Manifest, digest_texts
from babelweave.encode.store import VectorStore, build_store, passages_kept, plan_store, query_texts
from babelweave.errors import DataError, UsageError
from babelweave.records import Encoded, EncoderSignature, Passage, Query

SIGNATURE = EncoderSignature("m", "d", 4, "mean", False, "dot", "", "", 8, 8)
PASSAGES = [Passage(f"d{i}", f"text {i}", "en", "title") for i in range(10)]


def vectors_of(shard: Sequence[Passage]) -> Encoded:
    """Row of passage di: (i, i / 4, 0, 1), exact in float16 too; odd passages count as truncated."""
    numbers = [int(p.doc_id[1:]) for p in shard]
    rows = np.array([[i, i / 4, 0, 1] for i in numbers], dtype=np.float32)
    return Encoded(rows, sum(i % 2 for i in numbers))


EXPECTED = vectors_of(PASSAGES).vectors


def build(folder: Path, passages: Any = PASSAGES, vectors: Any = vectors_of, **options: Any) -> Manifest:
    settings = {"settings": {"role": "passage"}, "signature": SIGNATURE, "shard_size": 4, **options}
    return build_store(folder, passages, vectors, **settings)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_round_trip(tmp_path: Path, dtype: Any) -> None:
    manifest = build(tmp_path / "s", dtype=dtype)
    assert manifest.counts == {"passages": 10, "rows": 10, "truncated": 5}
    assert manifest.settings == {
        "role": "passage",
        "encoder": SIGNATURE.to_dict(),
        "dtype": dtype,
        "shard_size": 4,
    }
    store = VectorStore.open(tmp_path / "s", checksums=True)
    assert store.manifest == manifest
    assert (store.n_rows, store.dimension, store.dtype) == (10, 4, np.dtype(dtype))
    assert store.signature == SIGNATURE
    assert list(store.doc_ids) == [p.doc_id for p in PASSAGES]
    found = store.rows([9, 0, 4, 4])
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, EXPECTED[[9, 0, 4, 4]])
    assert store.rows([]).shape == (0, 4)
    blocks = list(store.blocks(3))
    assert [(start, len(block)) for start, block in blocks] == [(0, 3), (3, 1), (4, 3), (7, 1), (8, 2)]
    np.testing.assert_array_equal(np.concatenate([block for _, block in blocks]), EXPECTED)
    assert isinstance(blocks[0][1], np.memmap)
    for outside in ([10], [-1]):
        with pytest.raises(IndexError):
            store.rows(outside)


def test_files_are_what_other_tools_read(tmp_path: Path) -> None:
    manifest = build(tmp_path / "s")
    names = {
        f"{stem}-0000{i}.{suffix}"
        for i in range(3)
        for stem, suffix in (("vectors", "npy"), ("ids", "parquet"))
    }
    assert {p.name for p in (tmp_path / "s").iterdir()} == names | {"manifest.json"}
    np.testing.assert_array_equal(np.load(tmp_path / "s" / "vectors-00002.npy"), EXPECTED[8:])
    assert pq.read_table(tmp_path / "s" / "ids-00001.parquet").to_pydict() == {
        "doc_id": ["d4", "d5", "d6", "d7"]
    }
    inputs = [
        digest_texts([t for p in PASSAGES[i : i + 4] for t in (p.doc_id, p.content)]) for i in (0, 4, 8)
    ]
    assert manifest.inputs == {"source": digest_texts(inputs)}


def test_several_vectors_of_a_passage_repeat_its_id(tmp_path: Path) -> None:
    def doubled(shard: Sequence[Passage]) -> Encoded:
        return Encoded(vectors_of(shard).vectors.repeat(2, axis=0) * np.float32([[1], [-1]] * len(shard)), 0)

    manifest = build(tmp_path / "s", vectors=doubled)
    store = VectorStore.open(tmp_path / "s")
    assert (manifest.counts["passages"], manifest.counts["rows"], store.n_rows) == (10, 20, 20)
    assert list(store.doc_ids)[:5] == ["d0", "d0", "d1", "d1", "d2"]
    np.testing.assert_array_equal(store.rows([2, 3]), [EXPECTED[1], -EXPECTED[1]])


def test_plan_is_what_is_written(tmp_path: Path) -> None:
    build(tmp_path / "s")
    plan = plan_store(iter(PASSAGES), 4, shard_size=4)
    assert (plan.n_passages, plan.n_shards) == (10, 3)
    assert plan.disk_bytes == 10 * 4 * 4 + 3 * 128 + 10 * (2 + 4)
    npy = sum(p.stat().st_size for p in (tmp_path / "s").glob("*.npy"))
    assert npy == 10 * 4 * 4 + 3 * 128
    assert plan.memory_bytes == 4 * 4 * 8 + 4 * 4 * len("title text 0")
    half = plan_store(PASSAGES, 4, shard_size=4, dtype="float16", vectors_per_passage=2)
    assert half.disk_bytes == 10 * 2 * 4 * 2 + 3 * 128 + 20 * (2 + 4)
    assert plan_store([], 4).n_shards == 0
    with pytest.raises(UsageError, match="must be at least 1"):
        plan_store(PASSAGES, 4, shard_size=-1)


def test_queries_as_texts() -> None:
    assert list(query_texts([Query("q1", "who", "en")])) == [Passage("q1", "who", "en")]


@pytest.mark.parametrize("again", ["d1", "d2", "d9"])
def test_repeated_ids(tmp_path: Path, again: str) -> None:
    passages = [*PASSAGES, Passage(again, "other text", "en")]
    with pytest.raises(DataError, match=f"'{again}' stands twice"):
        build(tmp_path / "s", passages)
    assert not (tmp_path / "s" / "manifest.json").exists()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_vectors_that_are_not_finite_are_not_written(tmp_path: Path, value: float) -> None:
    def broken(shard: Sequence[Passage]) -> Encoded:
        vectors = vectors_of(shard).vectors
        if shard[0].doc_id == "d4":
            vectors[2, 1] = value
        return Encoded(vectors, 0)

    with pytest.raises(DataError, match="passage 'd6' is not finite"):
        build(tmp_path / "s", vectors=broken)
    assert not (tmp_path / "s" / "manifest.json").exists()
    assert not (tmp_path / "s" / "vectors-00001.npy").exists()


def test_beyond_float16(tmp_path: Path) -> None:
    def large(shard: Sequence[Passage]) -> Encoded:
        return Encoded(vectors_of(shard).vectors * 2e4, 0)

    with pytest.raises(DataError, match=r"passage 'd4' is beyond the range of float16"):
        build(tmp_path / "s", vectors=large, dtype="float16")


@pytest.mark.parametrize("shape", [(4, 5), (3, 4), (0, 4), (4,), (4, 1, 4)])
def test_wrong_shape(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match="shape"):
        build(tmp_path / "s", vectors=lambda _: Encoded(np.zeros(shape, dtype=np.float32), 0))


def test_nothing_to_write(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no passages"):
        build(tmp_path / "s", iter([]))
    assert not (tmp_path / "s").exists()
    for wrong in ({"dtype": "int8"}, {"shard_size": 0}):
        with pytest.raises(UsageError):
            build(tmp_path / "s", **wrong)


def test_finished_store_is_not_overwritten_unasked(tmp_path: Path) -> None:
    build(tmp_path / "s")
    with pytest.raises(UsageError, match="--overwrite"):
        build(tmp_path / "s")
    build(tmp_path / "s", PASSAGES[:3], overwrite=True)
    assert VectorStore.open(tmp_path / "s", checksums=True).n_rows == 3


def interrupt(folder: Path) -> None:
    """Leave the store as a run does that was stopped while it made the third shard."""

    def stopping(shard: Sequence[Passage]) -> Encoded:
        if shard[0].doc_id == "d8":
            raise KeyboardInterrupt
        return vectors_of(shard)

    with pytest.raises(KeyboardInterrupt):
        build(folder, vectors=stopping)
    assert passages_kept(folder) == 8


def test_resume_makes_only_what_is_missing(tmp_path: Path) -> None:
    interrupt(tmp_path / "s")
    with pytest.raises(DataError, match="unfinished"):
        VectorStore.open(tmp_path / "s")
    made: list[str] = []

    def counting(shard: Sequence[Passage]) -> Encoded:
        made.extend(p.doc_id for p in shard)
        return vectors_of(shard)

    build(tmp_path / "s", vectors=counting)
    assert made == ["d8", "d9"]
    build(tmp_path / "whole")
    files = [{p.name: p.read_bytes() for p in (tmp_path / name).iterdir()} for name in ("s", "whole")]
    assert files[0] == files[1]


@pytest.mark.parametrize(
    "changed",
    [
        [PASSAGES[0]._replace(text="other"), *PASSAGES[1:]],
        [PASSAGES[0]._replace(doc_id="other"), *PASSAGES[1:]],
        [PASSAGES[1], PASSAGES[0], *PASSAGES[2:]],
        PASSAGES[:4],
    ],
    ids=["text", "id", "order", "fewer"],
)
def test_source_changed_since_the_run_began(tmp_path: Path, changed: list[Passage]) -> None:
    interrupt(tmp_path / "s")
    with pytest.raises(DataError, match="changed"):
        build(tmp_path / "s", changed)
    assert not (tmp_path / "s" / "manifest.json").exists()


def test_settings_changed_since_the_run_began(tmp_path: Path) -> None:
    interrupt(tmp_path / "s")
    with pytest.raises(UsageError, match="shard_size differ"):
        build(tmp_path / "s", shard_size=5)
    with pytest.raises(UsageError, match="role differ"):
        build(tmp_path / "s", settings={"role": "query"})


@pytest.mark.parametrize("name", ["vectors-00001.npy", "ids-00001.parquet"])
def test_damaged_files(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "s"
    build(folder)
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[:-5])
    with pytest.raises(DataError, match=f"{name} is cut"):
        VectorStore.open(folder)
    (folder / name).write_bytes(whole[:-9] + b"\xff" + whole[-8:])
    VectorStore.open(folder)
    with pytest.raises(DataError, match=f"{name} has changed"):
        VectorStore.open(folder, checksums=True)
    (folder / name).unlink()
    with pytest.raises(DataError, match=f"{name} is missing"):
        VectorStore.open(folder)


def test_files_that_were_swapped_for_others(tmp_path: Path) -> None:
    """Same size, so only reading can tell: NaN in the vectors, a pickle, another dimension."""
    folder = tmp_path / "s"
    build(folder)
    path = folder / "vectors-00001.npy"
    vectors = np.load(path)
    vectors[3, 0] = np.nan
    np.save(path, vectors)
    store = VectorStore.open(folder)
    with pytest.raises(DataError, match="not finite"):
        list(store.blocks())
    with pytest.raises(DataError, match="not finite"):
        store.rows([7])
    np.testing.assert_array_equal(store.rows([6]), EXPECTED[[6]])
    np.save(path, np.zeros((2, 8), dtype=np.float32))
    with pytest.raises(DataError, match=r"\(2, 8\)"):
        VectorStore.open(folder)
    path.write_bytes(b"x" * path.stat().st_size)
    with pytest.raises(DataError, match="not a vector shard"):
        VectorStore.open(folder)


def test_store_manifest_is_checked(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    with pytest.raises(DataError):
        VectorStore.open(folder)
    build(folder)
    path = folder / "manifest.json"
    data = json.loads(path.read_text())
    path.write_text(json.dumps({**data, "settings": {}}))
    with pytest.raises(DataError, match="no encoder signature"):
        VectorStore.open(folder)
    path.write_text(json.dumps({**data, "kind": "index"}))
    with pytest.raises(DataError, match="kind 'index', kind 'store' is needed"):
        VectorStore.open(folder)
    files = {k: v for k, v in data["files"].items() if k != "ids-00002.parquet"}
    path.write_text(json.dumps({**data, "files": files}))
    with pytest.raises(DataError, match="3 vector files, 2 id files"):
        VectorStore.open(folder)
