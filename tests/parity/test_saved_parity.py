"""A saved model in plain sentence-transformers and in plain transformers, against our encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from sentence_transformers import SentenceTransformer
from transformers import AutoConfig, AutoTokenizer

import tiny_encoders
from babelweave.encode.transformer import TransformerEncoder
from babelweave.records import Float32
from babelweave.train.saved import save_model

TEXTS = [*tiny_encoders.SENTENCES, "日本", "last " + " ".join(tiny_encoders.SENTENCES * 2)]
READING: dict[str, Any] = {
    "max_tokens_query": 12,
    "max_tokens_passage": 20,
    "prompt_query": "ask: ",
    "prompt_passage": "tell: ",
}


@pytest.fixture(scope="module", params=tiny_encoders.KINDS)
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> TransformerEncoder:
    folder = tiny_encoders.build(request.param, tmp_path_factory.mktemp(request.param))
    return TransformerEncoder(str(folder), pooling="mean", normalise=True, precision="float32", **READING)


def saved(trained: TransformerEncoder, folder: Path, **more: Any) -> Path:
    save_model(trained.model, folder, settings={}, **READING, **more)
    return folder


def test_sentence_transformers(trained: TransformerEncoder, tmp_path: Path) -> None:
    plain = SentenceTransformer(str(saved(trained, tmp_path / "model")), device="cpu")
    assert plain.max_seq_length == 20
    assert plain.prompts == {"query": "ask: ", "document": "tell: "}
    ours = trained.encode(TEXTS, "passage").vectors
    np.testing.assert_allclose(plain.encode_document(TEXTS), ours, atol=1e-6)
    short = [text for text in TEXTS if trained.encode([text], "query").n_truncated == 0]
    assert short
    np.testing.assert_allclose(plain.encode_query(short), trained.encode(short, "query").vectors, atol=1e-6)


def by_hand(folder: Path, texts: list[str]) -> Float32:
    """Mean pooling in transformers alone, one text at a time."""
    kind = getattr(transformers, AutoConfig.from_pretrained(folder).architectures[0])
    tokenizer, network = (
        AutoTokenizer.from_pretrained(folder),
        kind.from_pretrained(folder, dtype=torch.float32),
    )
    rows = []
    for text in texts:
        inputs = tokenizer(text, truncation=True, return_tensors="pt")
        with torch.inference_mode():
            pooled = network(**inputs).last_hidden_state[0].mean(dim=0)
        rows.append(torch.nn.functional.normalize(pooled, dim=0).numpy())
    return np.stack(rows)


def test_transformers(trained: TransformerEncoder, tmp_path: Path) -> None:
    folder = saved(trained, tmp_path / "model")
    ours = trained.encode(TEXTS, "passage").vectors
    theirs = by_hand(folder, [f"tell: {text}" for text in TEXTS])
    np.testing.assert_allclose(theirs, ours, atol=1e-5)


def test_float16(trained: TransformerEncoder, tmp_path: Path) -> None:
    """Half the weights on disk; computed in float32, all three are near the original and equal."""
    folder = saved(trained, tmp_path / "model", weights="float16")
    ours = TransformerEncoder(str(folder), precision="float32").encode(TEXTS, "passage").vectors
    plain = SentenceTransformer(str(folder), device="cpu", model_kwargs={"dtype": torch.float32})
    np.testing.assert_allclose(plain.encode_document(TEXTS), ours, atol=1e-6)
    theirs = by_hand(folder, [f"tell: {text}" for text in TEXTS])
    np.testing.assert_allclose(theirs, ours, atol=1e-5)
    original = trained.encode(TEXTS, "passage").vectors
    assert 0 < np.abs(ours - original).max() < 5e-3
    assert SentenceTransformer(str(folder), device="cpu")[0].auto_model.dtype == torch.float16
    full = saved(trained, tmp_path / "full") / "model.safetensors"
    assert (folder / "model.safetensors").stat().st_size < 0.6 * full.stat().st_size
