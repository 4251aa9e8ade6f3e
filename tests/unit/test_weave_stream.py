"""Weaving a collection: the formula through the whole stream, resume, counts, refusals."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from babelweave.encode.store import VectorStore, encode_collection
from babelweave.errors import DataError, SignatureError, UsageError
from babelweave.generate.queries import GeneratedQueries
from babelweave.index.dense import build_index, open_index
from babelweave.records import Encoded, GeneratedQuery, Passage, Role
from babelweave.weave.fusers.max import MaxFuser
from babelweave.weave.fusers.mean import MeanFuser
from babelweave.weave.fusers.spec import open_fuser
from babelweave.weave.fusers.sum import SumFuser
from babelweave.weave.stream import (
    plan_weave,
    query_means,
    query_vectors,
    uneven_numbers,
    weave_collection,
    weave_vectors,
)
from vector_cases import LetterEncoder

PASSAGES = [Passage(f"d{i:02}", f"passage number {i} of many", "en") for i in range(23)]
QUERIES = {
    f"d{i:02}": {
        "de": [f"frage {i}", "dieselbe frage"][: 1 + i % 2],
        "es": [f"pregunta {i % 3}"] * (i % 4 != 0),
    }
    for i in range(23)
    if i % 5
} | {"elsewhere": {"de": ["x"]}}
ENCODER = LetterEncoder(max_tokens_query=12)


class Interrupted(LetterEncoder):
    """Stops at the third call, as Ctrl-C would."""

    n_calls = 0

    def encode(self, texts: Sequence[str], role: Role) -> Encoded:
        self.n_calls += 1
        if self.n_calls == 3:
            raise KeyboardInterrupt
        return super().encode(texts, role)


@pytest.fixture
def generated(tmp_path: Path) -> GeneratedQueries:
    (tmp_path / "q.json").write_text(json.dumps(QUERIES), encoding="utf-8")
    return GeneratedQueries.open(tmp_path / "q.json")


def expected(doc_id: str, text: str, alpha: float, languages: Sequence[str], per_language: int) -> np.ndarray:
    passage = ENCODER.encode([text], "passage").vectors[0].astype(np.float64)
    texts = [q for lang in languages for q in QUERIES.get(doc_id, {}).get(lang, [])[:per_language]]
    return (1 - alpha) * passage + alpha * ENCODER.encode(texts, "query").vectors.astype(np.float64).sum(
        axis=0
    )


def weave(generated: GeneratedQueries, folder: Path, encoder: LetterEncoder = ENCODER) -> VectorStore:
    weave_collection(
        lambda: PASSAGES, generated, encoder, SumFuser(alpha=0.2), folder, per_language=1, shard_size=7
    )
    return VectorStore.open(folder, checksums=True)


def test_the_store_holds_the_formula_and_says_what_was_done(
    generated: GeneratedQueries, tmp_path: Path
) -> None:
    store = weave(generated, tmp_path / "woven")
    assert list(store.doc_ids) == [p.doc_id for p in PASSAGES]
    for row, passage in zip(store.rows(range(23)), PASSAGES, strict=True):
        np.testing.assert_allclose(
            row, expected(passage.doc_id, passage.text, 0.2, ["de", "es"], 1), atol=1e-5
        )
    assert store.signature == ENCODER.signature
    settings = store.manifest.settings
    assert settings["fuser"] == {"name": "sum", "alpha": 0.2, "language_weights": {}, "normalise": False}
    assert (settings["languages"], settings["per_language"]) == (["de", "es"], 1)
    assert settings["generated"] == generated.digest
    with_queries = [q for d, q in QUERIES.items() if d != "elsewhere"]
    n_es = sum(bool(q["es"]) for q in with_queries)
    counts = store.manifest.counts
    assert counts["passages"] == counts["rows"] == 23
    assert counts["passages_without_queries"] == 5
    assert counts["queries.de"] == len(with_queries) == 18
    assert counts["queries.es"] == n_es
    assert counts["queries"] == 18 + n_es


def test_resuming_gives_the_same_bytes(generated: GeneratedQueries, tmp_path: Path) -> None:
    weave(generated, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        weave(generated, tmp_path / "killed", Interrupted(max_tokens_query=12))
    with pytest.raises(DataError, match="unfinished"):
        VectorStore.open(tmp_path / "killed")
    weave(generated, tmp_path / "killed")
    files = {p.name: p.read_bytes() for p in (tmp_path / "whole").iterdir()}
    assert {p.name: p.read_bytes() for p in (tmp_path / "killed").iterdir()} == files


def test_another_fuser_does_not_continue_the_store(generated: GeneratedQueries, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        weave(generated, tmp_path / "w", Interrupted(max_tokens_query=12))
    with pytest.raises(UsageError, match="fuser"):
        weave_collection(
            lambda: PASSAGES, generated, ENCODER, MeanFuser(), tmp_path / "w", per_language=1, shard_size=7
        )


def test_blocks_do_not_matter_and_repeats_are_encoded_once(generated: GeneratedQueries) -> None:
    doc_ids = [p.doc_id for p in PASSAGES]
    vectors = ENCODER.encode([p.content for p in PASSAGES], "passage").vectors
    fuser = MeanFuser(alpha=0.4, language_weights={"de": 2})
    one = weave_vectors(vectors, doc_ids, generated.lookup, ENCODER, fuser, ["es", "de"])
    for block_size in (1, 4, 23):
        other = weave_vectors(
            vectors, doc_ids, lambda _: QUERIES, ENCODER, fuser, ["es", "de"], block_size=block_size
        )
        np.testing.assert_allclose(other.vectors, one.vectors, atol=1e-6)
        assert other.counts["queries"] == one.counts["queries"]
    assert one.counts["truncated_queries"] == 1, "'dieselbe frage' stands often and is encoded once"


def test_query_means_are_enough_for_linear_fusers(generated: GeneratedQueries) -> None:
    doc_ids = [p.doc_id for p in PASSAGES]
    vectors = ENCODER.encode([p.content for p in PASSAGES], "passage").vectors
    means = query_means(doc_ids, generated.lookup, ENCODER, ("de", "es"), block_size=4)
    assert means.counts[:, 0].tolist() == [len(QUERIES.get(d, {}).get("de", [])) for d in doc_ids]
    for fuser in (SumFuser(alpha=0.3, language_weights={"es": 3}), MeanFuser(alpha=0.7, normalise=True)):
        woven = weave_vectors(vectors, doc_ids, generated.lookup, ENCODER, fuser, ["de", "es"])
        from_means = fuser.fuse(vectors, means.vectors, means.counts, means.languages)[:, 0]
        np.testing.assert_allclose(from_means, woven.vectors, atol=1e-5)


def test_single_queries_are_those_of_the_stream_and_the_best_of_them_can_be_taken(
    generated: GeneratedQueries,
) -> None:
    doc_ids = [p.doc_id for p in PASSAGES]
    vectors = ENCODER.encode([p.content for p in PASSAGES], "passage").vectors
    fuser = MaxFuser(centroids=2)
    every = query_vectors(doc_ids, generated.lookup, ENCODER, ("de", "es"), block_size=4)
    assert every.languages == ("de", "de", "es")
    for languages, n in ((["de", "es"], 2), (["de", "es"], 1), (["es"], 1)):
        some = every.first(languages, n)
        woven = weave_vectors(vectors, doc_ids, generated.lookup, ENCODER, fuser, languages, per_language=n)
        from_slots = fuser.fuse(vectors, some.vectors, some.counts, some.languages)
        np.testing.assert_allclose(from_slots.reshape(len(doc_ids) * 3, -1), woven.vectors, atol=1e-5)


@pytest.mark.parametrize("spec", ["max", "max?by=language"])
def test_several_rows_of_a_passage_in_the_store(
    spec: str, generated: GeneratedQueries, tmp_path: Path
) -> None:
    """The languages of a block differ (the first passages of shards have no queries), the rows do not."""
    weave_collection(
        lambda: PASSAGES,
        generated,
        ENCODER,
        open_fuser(spec),
        tmp_path / "w",
        shard_size=1,
        languages=["es", "de"],
    )
    store = VectorStore.open(tmp_path / "w", checksums=True)
    v = store.manifest.settings["vectors_per_passage"]
    assert store.manifest.counts["rows"] == 23 * v
    assert list(store.doc_ids) == [p.doc_id for p in PASSAGES for _ in range(v)]
    plain = ENCODER.encode([p.content for p in PASSAGES], "passage").vectors
    np.testing.assert_array_equal(store.rows(range(0, 23 * v, v)), plain)
    np.testing.assert_array_equal(store.rows(range(v)), plain[:1].repeat(v, axis=0), "d00 has no queries")
    build_index(store, "exact", tmp_path / "i")
    index = open_index(tmp_path / "i")
    question = ENCODER.encode(["frage 6"], "query").vectors
    best = (store.rows(range(23 * v)) @ question[0]).reshape(23, v).max(axis=1)
    expected = sorted(range(23), key=lambda i: (best[i], PASSAGES[i].doc_id), reverse=True)
    hits = index.search(question, 23)
    assert [index.doc_ids[row] for row in hits.rows[0]] == [PASSAGES[i].doc_id for i in expected]


class TestUnevenNumbers:
    def test_a_sum_says_what_it_does_and_names_the_mean(self, generated: GeneratedQueries) -> None:
        line = uneven_numbers(SumFuser(alpha=0.1), generated, ["de", "es"], None)
        assert "1 to 3 queries" in line
        assert line.endswith("--fuser mean --alpha 0.25"), "0.1 * 3 / (0.9 + 0.1 * 3)"
        assert uneven_numbers(MeanFuser(), generated, ["de", "es"], None) == ""

    def test_equal_numbers_are_nothing_to_say(self, generated: GeneratedQueries) -> None:
        assert generated.numbers(["de"], 1) == (1, 1)
        assert uneven_numbers(SumFuser(), generated, ["de"], 1) == ""
        assert generated.numbers(["es"]) == (0, 1)

    def test_a_document_in_two_row_groups_is_one(self, tmp_path: Path) -> None:
        rows = [
            GeneratedQuery("a", "de", 0, "x"),
            GeneratedQuery("b", "de", 0, "x"),
            GeneratedQuery("a", "ger", 1, "y"),
        ]
        table = pa.Table.from_pylist([q._asdict() for q in rows])
        pq.write_table(table, tmp_path / "g.parquet", row_group_size=2)
        assert GeneratedQueries.open(tmp_path / "g.parquet").numbers(["de"]) == (1, 2)


def test_queries_of_another_collection_are_refused(generated: GeneratedQueries, tmp_path: Path) -> None:
    plan = plan_weave(PASSAGES, generated)
    assert plan == (23, 5, 1)
    strangers = [p._replace(doc_id=f"x{p.doc_id}") for p in PASSAGES]
    with pytest.raises(DataError, match="none of its 19 doc_ids"):
        weave_collection(lambda: strangers, generated, ENCODER, MeanFuser(), tmp_path / "w")
    assert not (tmp_path / "w").exists()


def test_bad_requests(generated: GeneratedQueries, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'fr'"):
        weave_collection(lambda: PASSAGES, generated, ENCODER, MeanFuser(), tmp_path / "w", languages=["fr"])
    with pytest.raises(UsageError, match="at least 1"):
        weave_collection(lambda: PASSAGES, generated, ENCODER, MeanFuser(), tmp_path / "w", per_language=0)


class TestFromAPlainStore:
    """Passages already encoded are read back, not encoded again."""

    class QueriesOnly(LetterEncoder):
        def encode(self, texts: Sequence[str], role: Role) -> Encoded:
            assert role == "query"
            return super().encode(texts, role)

    @pytest.fixture
    def plain(self, tmp_path: Path) -> VectorStore:
        encode_collection(PASSAGES, ENCODER, tmp_path / "plain", shard_size=5)
        return VectorStore.open(tmp_path / "plain")

    def again(
        self, generated: GeneratedQueries, plain: VectorStore, folder: Path, **changes: Any
    ) -> VectorStore:
        arguments = {"passages": lambda: PASSAGES, "encoder": self.QueriesOnly(max_tokens_query=12)} | changes
        weave_collection(
            generated=generated, fuser=SumFuser(alpha=0.2), folder=folder, per_language=1, shard_size=7,
            store=plain, **arguments,
        )  # fmt: skip
        return VectorStore.open(folder)

    def test_it_gives_the_same_vectors_and_counts(
        self, generated: GeneratedQueries, plain: VectorStore, tmp_path: Path
    ) -> None:
        encoded = weave(generated, tmp_path / "encoded")
        reread = self.again(generated, plain, tmp_path / "reread")
        np.testing.assert_array_equal(reread.rows(range(23)), encoded.rows(range(23)))
        assert reread.manifest.counts == encoded.manifest.counts
        assert reread.manifest.inputs["store"] == plain.manifest.digest()

    def test_an_interrupted_run_goes_on_in_the_middle_of_the_store(
        self, generated: GeneratedQueries, plain: VectorStore, tmp_path: Path
    ) -> None:
        whole = self.again(generated, plain, tmp_path / "whole")
        with pytest.raises(KeyboardInterrupt):
            self.again(generated, plain, tmp_path / "twice", encoder=Interrupted(max_tokens_query=12))
        twice = self.again(generated, plain, tmp_path / "twice")
        assert twice.manifest.digest() == whole.manifest.digest()

    def test_a_run_that_encodes_is_not_continued_from_a_store(
        self, generated: GeneratedQueries, plain: VectorStore, tmp_path: Path
    ) -> None:
        """A store of float16, or of another precision, would give other bytes than the run began with."""
        with pytest.raises(KeyboardInterrupt):
            weave(generated, tmp_path / "w", Interrupted(max_tokens_query=12))
        with pytest.raises(UsageError, match=r"\(store differ\)"):
            self.again(generated, plain, tmp_path / "w")

    def test_a_collection_changed_since_is_refused(
        self, generated: GeneratedQueries, plain: VectorStore, tmp_path: Path
    ) -> None:
        changed = [*PASSAGES[:-1], Passage("d22", "other words", "en")]
        with pytest.raises(DataError, match="the collection has changed"):
            self.again(generated, plain, tmp_path / "w", passages=lambda: changed)
        assert not (tmp_path / "w").exists()

    def test_a_store_of_another_encoder_or_kind_is_refused(
        self, generated: GeneratedQueries, plain: VectorStore, tmp_path: Path
    ) -> None:
        with pytest.raises(SignatureError, match="max_tokens_query"):
            self.again(generated, plain, tmp_path / "w", encoder=LetterEncoder(max_tokens_query=3))
        woven = weave(generated, tmp_path / "woven")
        with pytest.raises(DataError, match="plain passages"):
            self.again(generated, woven, tmp_path / "w")
