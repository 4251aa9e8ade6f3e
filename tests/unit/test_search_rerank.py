"""Re-ranking with random cross-encoders of a few kilobytes."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from babelweave.errors import DataError, UsageError
from babelweave.records import Passage, Query, Run
from babelweave.search.rerank import CrossEncoder, RerankSearcher, open_cross_encoder
from babelweave.search.search import find_passages
from tiny_models import write_cross_encoder

WORDS = "fox dog bird fish tree moon".split()
PASSAGES = [Passage(f"p{i}", " ".join(WORDS[i:] + WORDS[:i]), "en", title=WORDS[i]) for i in range(6)]
QUERIES = [Query("q1", "moon", "en"), Query("q2", "bird dog", "en")]


class _Fixed:
    """Finds all passages in the order of the list, and notes how many were asked for."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def search(self, queries: Sequence[Query], k: int) -> Run:
        self.asked.append(k)
        ids = tuple(p.doc_id for p in PASSAGES[:k])
        scores = tuple(float(-i) for i in range(len(ids)))
        return Run(tuple(q.query_id for q in queries), (ids,) * len(queries), (scores,) * len(queries))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cross_encoder(tmp_path_factory.mktemp("model"), WORDS)


def _logits(model: Path, pairs: list[tuple[str, str]]) -> list[float]:
    """What transformers itself says, one pair at a time."""
    network = AutoModelForSequenceClassification.from_pretrained(model).eval()
    tokenizer = AutoTokenizer.from_pretrained(model)
    with torch.inference_mode():
        return [float(network(**tokenizer(*pair, return_tensors="pt")).logits) for pair in pairs]


def _lookup(doc_ids):
    return find_passages(PASSAGES, doc_ids)


def test_scores_are_the_logits_of_the_model(model: Path) -> None:
    pairs = [(q.text, p.content) for q in QUERIES for p in PASSAGES]
    np.testing.assert_allclose(open_cross_encoder(str(model)).score(pairs), _logits(model, pairs), atol=1e-5)


def test_the_best_of_the_candidates_come_in_the_order_of_the_model(model: Path) -> None:
    searcher = RerankSearcher(_Fixed(), open_cross_encoder(str(model)), _lookup, depth=4)
    run = searcher.search(QUERIES, 2)
    for query, doc_ids in zip(QUERIES, run.doc_ids, strict=True):
        logits = _logits(model, [(query.text, p.content) for p in PASSAGES[:4]])
        assert doc_ids == tuple(f"p{i}" for i in np.argsort(logits)[::-1][:2])


def test_every_hit_returned_was_scored_anew(model: Path) -> None:
    found = _Fixed()
    run = RerankSearcher(found, open_cross_encoder(str(model)), _lookup, depth=2).search(QUERIES, 5)
    assert found.asked == [5]
    assert [len(doc_ids) for doc_ids in run.doc_ids] == [5, 5]


def test_pairs_longer_than_the_model_reads_are_counted(model: Path) -> None:
    encoder = open_cross_encoder(f"{model}?max_tokens=10")
    encoder.score(
        [("fox", "fox " * 6), ("fox", "fox " * 7), ("fox fox", "dog " * 30)]
    )  # 10, 11 and 35 tokens
    assert encoder.n_truncated == 2


def test_no_pairs(model: Path) -> None:
    assert open_cross_encoder(str(model)).score([]).shape == (0,)


def test_bfloat16_scores_are_near(model: Path) -> None:
    pairs = [("fox", p.content) for p in PASSAGES]
    coarse = open_cross_encoder(f"{model}?precision=bfloat16&batch_size=2").score(pairs)
    fine = open_cross_encoder(str(model)).score(pairs)
    assert coarse.dtype == np.float32
    assert 0 < np.abs(coarse - fine).max() < 0.3


def test_a_passage_the_collection_lacks(model: Path) -> None:
    searcher = RerankSearcher(
        _Fixed(), open_cross_encoder(str(model)), lambda ids: find_passages(PASSAGES[1:], ids)
    )
    with pytest.raises(DataError, match=r"lacks 1 of 6 .*'p0'"):
        searcher.search(QUERIES, 3)


def test_weights_that_give_nan_are_an_error(model: Path, tmp_path: Path) -> None:
    shutil.copytree(model, tmp_path / "nan")
    weights = load_file(tmp_path / "nan" / "model.safetensors")
    weights["classifier.bias"].fill_(float("nan"))
    save_file(weights, tmp_path / "nan" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(DataError, match="not finite for the question 'fox'"):
        open_cross_encoder(str(tmp_path / "nan")).score([("fox", "dog")])


def test_a_model_with_two_outputs_is_refused(tmp_path: Path) -> None:
    write_cross_encoder(tmp_path / "two", WORDS, n_labels=2)
    with pytest.raises(DataError, match="gives 2 scores a pair"):
        CrossEncoder(str(tmp_path / "two"))


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be opened"):
        CrossEncoder(str(tmp_path))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("precision=int8", "known: bfloat16, float32"),
        ("batch=3", "batch_size"),
        ("max_tokens=2", "at least 8"),
    ],
)
def test_options_are_checked(options: str, message: str, model: Path) -> None:
    with pytest.raises(UsageError, match=message):
        open_cross_encoder(f"{model}?{options}")


def test_a_depth_below_one_is_refused(model: Path) -> None:
    with pytest.raises(UsageError, match="depth is 0"):
        RerankSearcher(_Fixed(), open_cross_encoder(str(model)), _lookup, depth=0)


def test_a_stream_of_passages_is_read_no_further_than_needed() -> None:
    stream = iter(PASSAGES)
    assert list(find_passages(stream, ["p1"])) == ["p1"]
    assert next(stream).doc_id == "p2"
