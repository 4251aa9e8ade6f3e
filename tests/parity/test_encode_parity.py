"""Our encode loop against `SentenceTransformer.encode` of the same model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

import tiny_encoders
from babelweave.encode.packaged import minilm
from babelweave.encode.transformer import TransformerEncoder

TEXTS = [*tiny_encoders.SENTENCES, "", "日本", "last " + " ".join(tiny_encoders.SENTENCES * 2)]


@pytest.fixture(scope="module")
def reference() -> SentenceTransformer:
    return SentenceTransformer(str(minilm()), device="cpu")


def test_minilm_in_float32(reference: SentenceTransformer) -> None:
    ours = TransformerEncoder(str(minilm()), precision="float32", batch_tokens=600)
    np.testing.assert_allclose(ours.encode(TEXTS, "query").vectors, reference.encode(TEXTS), atol=1e-5)


def test_minilm_in_bfloat16(reference: SentenceTransformer) -> None:
    ours = TransformerEncoder(str(minilm()), precision="bfloat16")
    some = TEXTS[:4]  # bfloat16 is slow where the CPU only emulates it
    vectors = ours.encode(some, "query").vectors
    expected = reference.encode(some)
    assert ((vectors * expected).sum(axis=1) > 0.999).all()
    assert np.abs(vectors - expected).max() > 1e-6, "bfloat16 was asked for and not used"
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert ours.signature.precision == "bfloat16"


@pytest.mark.parametrize("kind", tiny_encoders.KINDS)
@pytest.mark.parametrize("pooling", ["mean", "cls", "last", "max"])
def test_plain_folders(kind: str, pooling: str, tmp_path: Path) -> None:
    folder = tiny_encoders.build(kind, tmp_path / kind)
    ours = TransformerEncoder(str(folder), pooling=pooling, precision="float32", normalise=True)
    reference = SentenceTransformer(str(folder), device="cpu")
    reference[1].pooling_mode = {"last": "lasttoken"}.get(pooling, pooling)
    expected = reference.encode(TEXTS, batch_size=3, normalize_embeddings=True)
    np.testing.assert_allclose(ours.encode(TEXTS, "passage").vectors, expected, atol=1e-5)
    assert ours.signature.pooling == pooling


def test_roles_of_a_model_with_prompts_left_out_of_the_pooling(tmp_path: Path) -> None:
    plain = tiny_encoders.build("xlmr", tmp_path / "plain")
    model = SentenceTransformer(str(plain), device="cpu", prompts={"query": "frage: ", "document": "text: "})
    model.set_pooling_include_prompt(False)
    model.save_pretrained(str(tmp_path / "model"))
    ours = TransformerEncoder(str(tmp_path / "model"), precision="float32")
    assert (ours.signature.prompt_query, ours.signature.prompt_passage) == ("frage: ", "text: ")
    assert ours.signature.pooling == "mean, without prompt"
    short = ["fox", "der Fuchs", "река"]
    np.testing.assert_allclose(ours.encode(short, "query").vectors, model.encode_query(short), atol=1e-5)
    np.testing.assert_allclose(ours.encode(short, "passage").vectors, model.encode_document(short), atol=1e-5)


def test_static_embeddings(tmp_path: Path) -> None:
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    backend = tiny_encoders.tokenizer("bert").backend_tokenizer
    model = SentenceTransformer(modules=[StaticEmbedding(backend, embedding_dim=16)], device="cpu")
    model.save_pretrained(str(tmp_path / "static"))
    ours = TransformerEncoder(str(tmp_path / "static"), batch_tokens=50)
    vectors, n_truncated = ours.encode(TEXTS, "passage")
    np.testing.assert_allclose(vectors, model.encode(TEXTS), atol=1e-6)
    assert n_truncated == 0
    assert ours.signature.max_tokens_passage == 0
    assert ours.signature.pooling == "static mean"
