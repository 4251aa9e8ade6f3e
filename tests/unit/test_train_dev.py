"""What a retriever is judged by while it trains."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from babelweave.data import mlqa
from babelweave.data.collection import write_collection
from babelweave.errors import UsageError
from babelweave.records import Encoded, EncoderSignature, Passage, Query, Role
from babelweave.train.dev import open_dev
from babelweave.train.sections import DevData


class HashEncoder:
    """A random vector for every text, the same whenever it is asked."""

    signature = EncoderSignature("hash", "0", 16, "none", False, "dot", "", "", 0, 0)

    def encode(self, texts: Sequence[str], role: Role) -> Encoded:
        seeds = [zlib.crc32(f"{role} {text}".encode()) for text in texts]
        rows = [np.random.default_rng(seed).standard_normal(16, dtype=np.float32) for seed in seeds]
        return Encoded(np.array(rows).reshape(-1, 16), 0)


def reciprocal(
    encoder: HashEncoder, passages: Sequence[Passage], queries: Sequence[Query], right: list[int]
) -> float:
    """RR@10 by numpy; scores of this encoder do not tie."""
    scores = (
        encoder.encode([q.text for q in queries], "query").vectors
        @ encoder.encode([p.content for p in passages], "passage").vectors.T
    )
    own = scores[np.arange(len(queries)), right]
    ranks = 1 + (scores > own[:, None]).sum(axis=1)
    return float(np.where(ranks <= 10, 1 / ranks, 0).mean())


def test_a_collection_scores_its_judged_questions(tmp_path: Path) -> None:
    passages = [Passage(f"p{i}", f"text {i}", "en", f"Title {i}") for i in range(30)]
    queries = [Query(f"q{i}", f"question {i}", "de") for i in range(12)]
    qrels = {f"q{i}": {f"p{2 * i}": 1} for i in range(10)}  # two are not judged
    write_collection(tmp_path / "col", passages, queries, {"dev": qrels})
    encoder = HashEncoder()
    dev = open_dev(DevData(collection="col"), str(tmp_path), encoder)
    assert dev.measure == "RR@10"
    expected = reciprocal(encoder, passages, queries[:10], [2 * i for i in range(10)])
    assert dev.score(None) == {"RR@10": pytest.approx(expected)}
    assert dev.score(None) == dev.score(None)
    with pytest.raises(UsageError, match="no split 'test'"):
        open_dev(DevData(collection="col", split="test"), str(tmp_path), encoder)


@pytest.mark.data
def test_mlqa_is_judged_on_the_tune_half(data_root: Path) -> None:
    section = DevData(benchmark="mlqa", source="mlqa/MLQA_V1.zip", subsets="en-de,hi-hi", measure="RR@10")
    encoder = HashEncoder()
    figures = open_dev(section, str(data_root), encoder).score(None)
    expected = {}
    for name in ("en-de", "hi-hi"):
        subset = mlqa.read_subset(data_root / "mlqa" / "MLQA_V1.zip", "dev", name, "tune")
        assert {mlqa.half_of(q.query_id) for q in subset.queries} == {"tune"}
        place = {p.doc_id: i for i, p in enumerate(subset.passages)}
        right = [place[next(iter(subset.qrels[q.query_id]))] for q in subset.queries]
        expected[name] = reciprocal(encoder, subset.passages, subset.queries, right)
    assert figures == {
        "RR@10": pytest.approx(np.mean(list(expected.values()))),
        "RR@10 x-en": pytest.approx(expected["en-de"]),
        "RR@10 cross": pytest.approx(expected["en-de"]),
        "RR@10 en-de": pytest.approx(expected["en-de"]),
        "RR@10 hi-hi": pytest.approx(expected["hi-hi"]),
    }
