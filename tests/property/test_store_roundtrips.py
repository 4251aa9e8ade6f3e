"""A store gives back what was put in, however it was cut into shards."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from babelweave.encode.store import VectorStore, build_store
from babelweave.errors import DataError
from babelweave.records import Encoded, EncoderSignature, Passage

SIGNATURE = EncoderSignature("m", "d", 3, "mean", False, "dot", "", "", 8, 8)
IDS = st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=4), min_size=1, max_size=30)


def expected(doc_ids: Sequence[str]) -> np.ndarray:
    return np.array([[len(d), sum(map(ord, d)), 1] for d in doc_ids], dtype=np.float32)


@settings(max_examples=40, deadline=None)
@given(ids=IDS, shard_size=st.integers(1, 12), n_rows=st.integers(1, 12), data=st.data())
def test_round_trip(ids: list[str], shard_size: int, n_rows: int, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "store"
        distinct = list(dict.fromkeys(ids))

        def build(doc_ids: list[str]) -> None:
            build_store(
                folder,
                (Passage(d, "text", "en") for d in doc_ids),
                lambda shard: Encoded(expected([p.doc_id for p in shard]), 0),
                settings={},
                signature=SIGNATURE,
                shard_size=shard_size,
                overwrite=True,
            )

        build(distinct)
        store = VectorStore.open(folder, checksums=True)
        assert list(store.doc_ids) == distinct
        rows = data.draw(st.lists(st.integers(0, len(distinct) - 1)))
        np.testing.assert_array_equal(store.rows(rows), expected(distinct)[rows].reshape(-1, 3))
        blocks = list(store.blocks(n_rows))
        assert [start for start, _ in blocks] == np.cumsum([0, *(len(b) for _, b in blocks)])[:-1].tolist()
        np.testing.assert_array_equal(np.concatenate([b for _, b in blocks]), expected(distinct))
        if len(distinct) < len(ids):
            with pytest.raises(DataError, match="stands twice"):
                build(ids)
