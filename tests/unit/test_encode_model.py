"""What is read off a model folder: digest, prompts, limits, pooling; and damaged folders."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer

import tiny_encoders
from babelweave.encode.transformer import TransformerEncoder
from babelweave.errors import DataError, UsageError
from babelweave.weights import model_digest


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_encoders.build("bert", tmp_path_factory.mktemp("plain"))


def saved(plain: Path, folder: Path, **prompts: str) -> Path:
    SentenceTransformer(str(plain), device="cpu", prompts=prompts or None).save_pretrained(str(folder))
    return folder


def test_digest_is_of_weights_and_tokenizer(plain: Path, tmp_path: Path) -> None:
    model = saved(plain, tmp_path / "model")
    digest = model_digest(model)
    assert digest == model_digest(saved(plain, tmp_path / "again", query="q: "))
    assert digest == model_digest(plain)
    (model / "README.md").write_text("changed")
    assert digest == model_digest(model)
    tokenizer = model / "tokenizer.json"
    tokenizer.write_text(tokenizer.read_text() + "\n")
    changed = model_digest(model)
    assert changed != digest
    weights = load_file(model / "model.safetensors")
    weights["embeddings.word_embeddings.weight"] += 1
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    assert model_digest(model) not in (digest, changed)


def test_digest_covers_dense_modules(plain: Path, tmp_path: Path) -> None:
    from sentence_transformers.base.modules import Dense

    def build(name: str, seed: int) -> Path:
        model = SentenceTransformer(str(plain), device="cpu")
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model.append(Dense(32, 8))
        model.save_pretrained(str(tmp_path / name))
        return tmp_path / name

    one, other = build("one", 1), build("other", 2)
    assert model_digest(one) != model_digest(other)
    encoder = TransformerEncoder(str(one))
    assert encoder.signature.dimension == 8
    assert encoder.signature.pooling == "mean, dense"


def test_no_weights(plain: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no weights"):
        model_digest(tmp_path)


def test_plain_folder_says_what_it_assumes(plain: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="babelweave"):
        assert TransformerEncoder(str(plain)).signature.pooling == "mean"
    assert "mean pooling is assumed" in caplog.text
    caplog.clear()
    assert TransformerEncoder(str(plain), pooling="cls").signature.pooling == "cls"
    assert "assumed" not in caplog.text


def test_similarity_and_normalisation(plain: Path, tmp_path: Path) -> None:
    raw = TransformerEncoder(str(plain), pooling="mean").signature
    assert (raw.normalised, raw.similarity) == (False, "cosine")
    unit = TransformerEncoder(str(plain), pooling="mean", normalise=True)
    assert (unit.signature.normalised, unit.signature.similarity) == (True, "dot")
    unit.model.save_pretrained(str(tmp_path / "unit"))
    assert TransformerEncoder(str(tmp_path / "unit")).signature.normalised
    undone = TransformerEncoder(str(tmp_path / "unit"), normalise=False)
    assert not undone.signature.normalised
    np.testing.assert_allclose(
        undone.encode(["fox"], "query").vectors,
        TransformerEncoder(str(plain), pooling="mean").encode(["fox"], "query").vectors,
        atol=1e-6,
    )
    for stated, expected in (("dot", "dot"), ("cosine", "cosine")):
        SentenceTransformer(str(plain), device="cpu", similarity_fn_name=stated).save_pretrained(
            str(tmp_path / stated)
        )
        assert TransformerEncoder(str(tmp_path / stated)).signature.similarity == expected
    SentenceTransformer(str(plain), device="cpu", similarity_fn_name="euclidean").save_pretrained(
        str(tmp_path / "euclidean")
    )
    with pytest.raises(DataError, match="euclidean"):
        TransformerEncoder(str(tmp_path / "euclidean"))


def test_prompts_by_their_usual_names(plain: Path, tmp_path: Path) -> None:
    for name in ("document", "passage", "corpus"):
        model = saved(plain, tmp_path / name, query="ask ", **{name: "tell "})
        signature = TransformerEncoder(str(model)).signature
        assert (signature.prompt_query, signature.prompt_passage) == ("ask ", "tell ")
    unprompted = TransformerEncoder(str(tmp_path / "passage"), prompt_passage="").signature
    assert (unprompted.prompt_query, unprompted.prompt_passage) == ("ask ", "")


@pytest.mark.parametrize(("kind", "limit"), [("bert", 24), ("xlmr", 24), ("mt5", 512)])
def test_limit_where_the_tokenizer_states_none(kind: str, limit: int, tmp_path: Path) -> None:
    folder = tiny_encoders.build(kind, tmp_path, model_max_length=None)
    encoder = TransformerEncoder(str(folder), pooling="mean")
    assert encoder.signature.max_tokens_query == limit
    encoder.encode(["fox " * 600], "query")
    if kind != "mt5":
        with pytest.raises(UsageError, match="to 24 tokens"):
            TransformerEncoder(str(folder), pooling="mean", max_tokens_query=25)


def test_limits_per_role(plain: Path) -> None:
    encoder = TransformerEncoder(str(plain), pooling="mean", max_tokens_query=6, max_tokens_passage=20)
    text = " ".join(["a"] * 10)
    n_tokens = len(encoder.model.tokenizer.backend_tokenizer.encode(text).ids)
    assert 6 < n_tokens <= 20
    assert encoder.encode([text], "query").n_truncated == 1
    assert encoder.encode([text], "passage").n_truncated == 0


def test_half_precision_weights_are_read_in_float32(plain: Path, tmp_path: Path) -> None:
    model = SentenceTransformer(str(plain), device="cpu").half()
    model.save_pretrained(str(tmp_path / "half"))
    encoder = TransformerEncoder(str(tmp_path / "half"), precision="float32")
    assert {p.dtype for p in encoder.model.parameters()} == {torch.float32}
    assert encoder.encode(["fox"], "query").vectors.dtype == np.float32


def copied(plain: Path, folder: Path) -> Path:
    folder.mkdir()
    for path in plain.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def test_damaged_weights(plain: Path, tmp_path: Path) -> None:
    folder = copied(plain, tmp_path / "cut")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(DataError, match="cut"):
        TransformerEncoder(str(folder))


def test_vectors_that_are_not_finite_name_their_texts(plain: Path, tmp_path: Path) -> None:
    folder = copied(plain, tmp_path / "nan")
    weights = load_file(folder / "model.safetensors")
    fox = TransformerEncoder(str(plain), pooling="mean").model.tokenizer("fox")["input_ids"][2]
    weights["embeddings.word_embeddings.weight"][fox] = torch.nan
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    encoder = TransformerEncoder(str(folder), pooling="mean")
    with pytest.raises(DataError, match=r"1 of 2 vectors are not finite \(texts 1 of the call\)"):
        encoder.encode(["日", "fox"], "passage")


def test_lone_surrogate_is_named(plain: Path) -> None:
    with pytest.raises(DataError, match="text 1 is not valid Unicode"):
        TransformerEncoder(str(plain), pooling="mean").encode(["fine", "bad \ud800"], "query")


def test_code_in_a_model_folder_is_not_run(plain: Path, tmp_path: Path) -> None:
    folder = copied(plain, tmp_path / "code")
    config = json.loads((folder / "config.json").read_text())
    config["model_type"] = "mine"
    config["auto_map"] = {"AutoConfig": "mine.Config", "AutoModel": "mine.Model"}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "mine.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
    with pytest.raises(DataError):
        TransformerEncoder(str(folder))
    assert not (tmp_path / "ran").exists()
