"""Index folders: what they hold, whom they refuse, and which row of a passage counts."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from babelweave.artifact import read_manifest
from babelweave.errors import DataError, SignatureError, UsageError
from babelweave.index.bm25 import build_bm25
from babelweave.index.dense import build_index, open_index, plan_index
from babelweave.index.scoring import inner_products, lengths, rounding_margin, unit
from babelweave.records import Passage
from vector_cases import signature, write_store

AXES = np.eye(4, dtype=np.float32)
IDS = ["a", "b", "c", "d"]


@pytest.mark.parametrize("spec", ["exact", "flat", "hnsw"])
def test_the_folder_needs_nothing_outside_itself(spec: str, tmp_path: Path) -> None:
    build_index(write_store(tmp_path / "store", AXES, IDS), spec, tmp_path / "index")
    shutil.rmtree(tmp_path / "store")
    shutil.move(tmp_path / "index", tmp_path / "moved")
    index = open_index(tmp_path / "moved")
    hits = index.search(AXES[2:3], 1)
    assert index.doc_ids[hits.rows[0, 0]] == "c"


def test_the_manifest_says_what_the_index_is(tmp_path: Path) -> None:
    store = write_store(tmp_path / "store", AXES, IDS)
    written = build_index(store, "ivf1?nprobe=1&seed=3", tmp_path / "index")
    read = read_manifest(tmp_path / "index", "index", checksums=True)
    assert read == written
    assert read.settings == {
        "spec": "ivf1?nprobe=1&seed=3",
        "factory": "IVF1,Flat",
        "encoder": store.signature.to_dict(),
    }
    assert read.inputs == {"store": store.manifest.digest()}
    assert read.counts == {"rows": 4, "passages": 4}


@pytest.mark.parametrize("spec", ["exact", "flat", "hnsw", "IVF4,Flat"])
def test_vectors_that_are_not_finite_make_no_index(spec: str, tmp_path: Path) -> None:
    store = write_store(tmp_path / "store", AXES, IDS)
    path = tmp_path / "store" / "vectors-00000.npy"
    broken = AXES.copy()
    broken[1, 0] = np.nan
    np.save(path, broken)
    with pytest.raises(DataError, match=r"vectors-00000\.npy: holds vectors that are not finite"):
        build_index(store, spec, tmp_path / "index")
    assert [p.name for p in tmp_path.iterdir()] == ["store"]


def test_vectors_are_linked_where_the_file_system_allows(tmp_path: Path) -> None:
    build_index(write_store(tmp_path / "store", AXES, IDS), "exact", tmp_path / "index")
    name = "vectors-00000.npy"
    assert (tmp_path / "store" / name).samefile(tmp_path / "index" / "store" / name)


@pytest.mark.parametrize("spec", ["hnsw", "IVF4,Flat", "IVF4,SQ8"])
def test_two_builds_are_equal_byte_for_byte(spec: str, tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).standard_normal((400, 8)).astype(np.float32)
    store = write_store(tmp_path / "store", vectors, [str(i) for i in range(400)], shard_size=100)
    files = [build_index(store, spec, tmp_path / str(i)).files for i in range(2)]
    assert files[0] == files[1]


class TestRefusals:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        build_index(write_store(tmp_path / "store", AXES, IDS), "flat", tmp_path / "index")
        return tmp_path / "index"

    def test_another_encoder_is_refused_with_each_difference(self, folder: Path) -> None:
        index = open_index(folder)
        index.check(signature(4, name="elsewhere", precision="bfloat16"))
        with pytest.raises(SignatureError) as refused:
            index.check(signature(4, digest="1" * 64, prompt_query="query: "))
        assert "prompt_query: '' against 'query: '" in str(refused.value)
        assert "digest:" in str(refused.value)
        assert "pooling" not in str(refused.value)

    @pytest.mark.parametrize("name", ["index.faiss", "keys.npy", "store/vectors-00000.npy", "faiss.json"])
    def test_a_missing_file(self, folder: Path, name: str) -> None:
        (folder / name).unlink()
        with pytest.raises(DataError, match=f"{name} is missing"):
            open_index(folder)

    @pytest.mark.parametrize("name", ["index.faiss", "keys.npy", "store/vectors-00000.npy"])
    def test_a_cut_file(self, folder: Path, name: str) -> None:
        content = (folder / name).read_bytes()
        (folder / name).unlink()
        (folder / name).write_bytes(content[:-1])
        with pytest.raises(DataError, match="is cut or changed"):
            open_index(folder)

    @pytest.mark.parametrize("name", ["index.faiss", "keys.npy"])
    def test_a_file_overwritten_at_its_size(self, folder: Path, name: str) -> None:
        (folder / name).write_bytes(b"\0" * (folder / name).stat().st_size)
        with pytest.raises(DataError, match="build the index again"):
            open_index(folder)

    def test_a_faiss_file_of_another_index(self, folder: Path, tmp_path: Path) -> None:
        other = write_store(tmp_path / "other", AXES[::-1], ["a", "b", "c", "d"])
        build_index(other, "hnsw", tmp_path / "hnsw")
        for name in ("index.faiss", "faiss.json"):
            shutil.copy(tmp_path / "hnsw" / name, folder / name)
        with pytest.raises(DataError, match="cut or changed"):
            open_index(folder)

    def test_a_store_is_not_an_index(self, tmp_path: Path) -> None:
        store = write_store(tmp_path / "store", AXES, IDS)
        with pytest.raises(DataError, match="kind 'store', kind 'index' is needed"):
            open_index(store.folder)

    def test_an_index_over_texts_is_not_over_vectors(self, tmp_path: Path) -> None:
        build_bm25([Passage("a", "word", "en")], tmp_path / "bm25")
        with pytest.raises(DataError, match="over texts"):
            open_index(tmp_path / "bm25")

    def test_an_option_of_another_kind(self, folder: Path) -> None:
        with pytest.raises(UsageError, match="did you mean 'refine'"):
            open_index(folder, {"refines": "3"})

    def test_queries_of_another_dimension_or_not_finite(self, folder: Path) -> None:
        index = open_index(folder)
        with pytest.raises(UsageError, match=r"\(1, 3\)"):
            index.search(np.zeros((1, 3), dtype=np.float32), 1)
        with pytest.raises(DataError, match="question number 1 "):
            index.search(np.array([[0, 0, 0, 0], [0, np.nan, 0, 0]], dtype=np.float32), 1)


class TestSpecs:
    def test_too_few_rows_to_train(self, tmp_path: Path) -> None:
        store = write_store(tmp_path / "store", AXES, IDS)
        with pytest.raises(UsageError, match=r"4 rows are too few to train IVF8,Flat.*at least 8"):
            build_index(store, "ivf8", tmp_path / "index")
        assert sorted(p.name for p in tmp_path.iterdir()) == ["store"]

    @pytest.mark.parametrize(
        ("spec", "message"),
        [
            ("exakt", "did you mean 'exact'"),
            ("LSH", "inner products"),
            ("exact?nprobe=3", "no option 'nprobe'"),
            ("flat?nprobe=3", "no option 'nprobe'"),
            ("hnsw?nprobe=3", "no option 'nprobe'"),
            ("ivf?efSearch=3", "no option 'efSearch'"),
            ("ivf?nprobe=many", "nprobe=many is not a number"),
            ("flat?refine=0.5", "refine=0.5 is not a number of at least 1"),
            ("flat?threads=2", "no option 'threads'"),
            ("ivf?nprobe=0", "nprobe=0"),
            ("flat?seed=nan", "seed=nan"),
            ("flat?refine", "not key=value"),
            ("bm25", "texts of a collection"),
        ],
    )
    def test_what_cannot_be_built(self, spec: str, message: str, tmp_path: Path) -> None:
        store = write_store(tmp_path / "store", np.tile(AXES, (20, 1)), [str(i) for i in range(80)])
        with pytest.raises(UsageError, match=message):
            build_index(store, spec, tmp_path / "index")
        assert not (tmp_path / "index").exists()

    def test_a_plan_says_what_will_be_built(self, tmp_path: Path) -> None:
        vectors = np.zeros((400, 4), dtype=np.float32)
        store = write_store(tmp_path / "store", vectors, [str(i) for i in range(400)], dtype="float16")
        # 4 sqrt(400) = 80 lists would hold 5 rows each; 400 // 39 = 10
        assert plan_index(store, "ivf") == {
            "rows": 400,
            "dimension": 4,
            "kind": "IVF10,Flat",
            "vector_bytes": 3200,
            "key_bytes": 3200,
        }

    def test_search_options_replace_those_of_the_build(self, tmp_path: Path) -> None:
        """Eight lists of one direction each: one visit finds one direction, eight find all."""
        vectors = np.concatenate([AXES, -AXES]).repeat(40, axis=0)
        store = write_store(tmp_path / "store", vectors, [f"{i:03d}" for i in range(320)], shard_size=320)
        build_index(store, "IVF8,Flat?nprobe=1", tmp_path / "index")
        narrow = open_index(tmp_path / "index").search(AXES[:1], 320)
        wide = open_index(tmp_path / "index", {"nprobe": "8"}).search(AXES[:1], 320)
        assert (narrow.rows >= 0).sum() == 40
        assert (wide.rows >= 0).sum() == 320


class TestSeveralRowsOfAPassage:
    def test_the_best_row_counts_and_a_passage_comes_once(self, tmp_path: Path) -> None:
        vectors = np.array([[9, 0], [8, 0], [7, 0], [1, 5], [2, 0], [3, 0]], dtype=np.float32)
        store = write_store(tmp_path / "store", vectors, ["a", "b", "c"])  # two rows each
        assert build_index(store, "exact", tmp_path / "index").counts == {"rows": 6, "passages": 3}
        index = open_index(tmp_path / "index")
        hits = index.search(np.array([[1, 0], [0, 1]], dtype=np.float32), 3)
        assert [[index.doc_ids[r] for r in rows] for rows in hits.rows] == [["a", "b", "c"], ["b", "c", "a"]]
        assert hits.scores.tolist() == [[9, 7, 3], [5, 0, 0]]

    @pytest.mark.parametrize("spec", ["exact", "flat"])
    def test_more_rows_are_fetched_until_k_passages_are_found(self, spec: str, tmp_path: Path) -> None:
        """One passage holds the 16 best rows; the others must still be found."""
        rng = np.random.default_rng(0)
        vectors = rng.integers(0, 3, (10 * 16, 3)).astype(np.float32)
        vectors[:16] += 100
        ids = [f"d{i}" for i in range(10)]
        build_index(write_store(tmp_path / "store", vectors, ids), spec, tmp_path / "index")
        queries = rng.integers(0, 3, (5, 3)).astype(np.float32) + 1
        index = open_index(tmp_path / "index")
        for k in (1, 4, 10, 12):
            hits = index.search(queries, k)
            for query, rows in zip(queries, hits.rows, strict=True):
                best = {d: float((vectors[i * 16 : (i + 1) * 16] @ query).max()) for i, d in enumerate(ids)}
                expected = sorted(ids, key=lambda d: (best[d], d), reverse=True)[:k]
                assert [index.doc_ids[r] for r in rows if r >= 0] == expected
                assert (rows[10:] == -1).all()

    def test_no_queries(self, tmp_path: Path) -> None:
        build_index(write_store(tmp_path / "s", AXES, ["a", "b"]), "exact", tmp_path / "index")
        assert open_index(tmp_path / "index").search(np.empty((0, 4), dtype=np.float32), 3).rows.shape == (
            0,
            3,
        )


class TestScoring:
    def test_unit_length_is_asked_for_by_cosine_without_normalisation_only(self) -> None:
        assert signature(2, similarity="cosine", normalised=False).by_cosine
        assert not signature(2, similarity="cosine", normalised=True).by_cosine
        assert not signature(2, similarity="dot", normalised=False).by_cosine

    @pytest.mark.parametrize("spec", ["exact", "flat"])
    def test_cosine_signature_ranks_by_angle(self, spec: str, tmp_path: Path) -> None:
        vectors = np.array([[10, 10], [0.1, 0], [0, 0]], dtype=np.float32)
        made_by = signature(2, similarity="cosine", normalised=False)
        build_index(
            write_store(tmp_path / "s", vectors, ["a", "b", "c"], made_by=made_by), spec, tmp_path / "i"
        )
        hits = open_index(tmp_path / "i").search(np.array([[5, 0]], dtype=np.float32), 3)
        assert hits.rows.tolist() == [[1, 0, 2]]
        np.testing.assert_allclose(hits.scores, [[1, 2**-0.5, 0]], rtol=1e-6)

    def test_vectors_of_a_normalising_encoder_keep_their_woven_length(self, tmp_path: Path) -> None:
        vectors = np.array([[1, 1], [0.9, 0]], dtype=np.float32)
        made_by = signature(2, similarity="cosine", normalised=True)
        build_index(
            write_store(tmp_path / "s", vectors, ["a", "b"], made_by=made_by), "exact", tmp_path / "i"
        )
        hits = open_index(tmp_path / "i").search(np.array([[1, 0]], dtype=np.float32), 2)
        assert hits.scores.tolist() == [[1, np.float32(0.9)]]

    def test_zero_rows_stay_zero(self) -> None:
        assert unit(np.array([[0, 0], [3, 4]], dtype=np.float32)).tolist() == [
            [0, 0],
            [np.float32(0.6), np.float32(0.8)],
        ]

    def test_the_margin_bounds_what_a_matrix_product_differs_by(self) -> None:
        rng = np.random.default_rng(0)
        for d in (1, 3, 64, 385):
            rows = rng.standard_normal((999, d)).astype(np.float32) * 100
            queries = rng.standard_normal((13, d)).astype(np.float32)
            for i, margin in enumerate(rounding_margin(queries, float(lengths(rows).max()))):
                pairwise = inner_products(np.broadcast_to(queries[i], rows.shape), rows)
                assert np.abs((queries @ rows.T)[i] - pairwise).max() <= margin

    def test_pairs_score_the_same_wherever_they_stand(self) -> None:
        rng = np.random.default_rng(0)
        query, row = rng.standard_normal((2, 385)).astype(np.float32)
        found = set()
        for n in (1, 2, 5, 100):
            for place in range(0, n, 3):
                rows = rng.standard_normal((n, 385)).astype(np.float32)
                queries = rng.standard_normal((n, 385)).astype(np.float32)
                rows[place], queries[place] = row, query
                found.add(float(inner_products(queries, rows)[place]))
        assert len(found) == 1
