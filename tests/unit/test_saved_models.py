"""The layout of a saved model, its manifest, and the models it refuses."""

from __future__ import annotations

import json
import logging
import stat
from pathlib import Path
from typing import Any

import pytest
import torch
from sentence_transformers.base.modules import Dense, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling

import tiny_encoders
import tiny_models
from babelweave.artifact import read_manifest
from babelweave.encode.transformer import TransformerEncoder
from babelweave.errors import DataError, UsageError
from babelweave.train.card import Card
from babelweave.train.saved import reading, save_model, write_card, write_model

CARD = Card(
    name="tiny",
    summary="Random.",
    licence="apache-2.0",
    languages=("en", "de"),
    data=(),
    intended_use="Tests.",
    limits=("It knows nothing.",),
)


@pytest.fixture
def encoder(tmp_path: Path) -> TransformerEncoder:
    return opened(tmp_path / "base")


def opened(folder: Path, kind: str = "bert", **options: Any) -> TransformerEncoder:
    return TransformerEncoder(
        str(tiny_encoders.build(kind, folder)), pooling="mean", precision="float32", **options
    )


def files(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def test_layout_is_that_of_every_tool(encoder: TransformerEncoder, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    save_model(
        encoder.model,
        folder,
        settings={"kind": "retriever"},
        max_tokens_query=8,
        max_tokens_passage=16,
        prompt_query="ask: ",
    )
    assert [module["type"] for module in read(folder / "modules.json")] == [
        "sentence_transformers.models.Transformer",
        "sentence_transformers.models.Pooling",
    ]
    assert read(folder / "sentence_bert_config.json") == {"max_seq_length": 16, "do_lower_case": False}
    assert read(folder / "1_Pooling" / "config.json") == {
        "word_embedding_dimension": 32,
        "pooling_mode_cls_token": False,
        "pooling_mode_mean_tokens": True,
        "pooling_mode_max_tokens": False,
        "pooling_mode_mean_sqrt_len_tokens": False,
        "pooling_mode_weightedmean_tokens": False,
        "pooling_mode_lasttoken": False,
        "include_prompt": True,
    }
    tokenizer = read(folder / "tokenizer_config.json")
    assert tokenizer["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert tokenizer["model_max_length"] == 16
    assert not {"backend", "is_local", "local_files_only"} & set(tokenizer)
    settings = read(folder / "config_sentence_transformers.json")
    assert settings["prompts"] == {"query": "ask: ", "document": ""}
    assert settings["babelweave"] == {"max_tokens_query": 8, "max_tokens_passage": 16}
    assert str(tmp_path) not in b"".join(files(folder).values()).decode("latin-1")


def test_equal_saves_are_equal_bytes_whatever_was_encoded_between(
    encoder: TransformerEncoder, tmp_path: Path
) -> None:
    save_model(encoder.model, tmp_path / "one", settings={}, card=CARD)
    encoder.encode(tiny_encoders.SENTENCES, "query")
    encoder.model.encode(tiny_encoders.SENTENCES)
    save_model(encoder.model, tmp_path / "two", settings={}, card=CARD)
    one, two = files(tmp_path / "one"), files(tmp_path / "two")
    assert one == two
    assert {"README.md", "manifest.json", "model.safetensors"} <= set(one)


@pytest.mark.parametrize("kind", tiny_encoders.KINDS)
def test_opened_again_it_reads_and_ranks_as_before(kind: str, tmp_path: Path) -> None:
    before = opened(
        tmp_path / "base", kind, max_tokens_query=8, max_tokens_passage=16, prompt_passage="tell: "
    )
    write_model(before.model, tmp_path / "model", **reading(before.signature))
    after = TransformerEncoder(str(tmp_path / "model"), precision="float32")
    assert after.signature.differences(before.signature) == []
    for role in ("query", "passage"):
        a, b = (e.encode(tiny_encoders.SENTENCES, role) for e in (before, after))  # type: ignore[arg-type]
        assert a.vectors.tobytes() == b.vectors.tobytes()
        assert a.n_truncated == b.n_truncated > 0
    wider = TransformerEncoder(str(tmp_path / "model"), precision="float32", max_tokens_query=20)
    assert wider.signature.max_tokens_query == 20


def test_lengths_of_the_model_where_none_are_given(tmp_path: Path) -> None:
    model = opened(tmp_path / "base", "xlmr").model
    write_model(model, tmp_path / "model")
    signature = TransformerEncoder(str(tmp_path / "model")).signature
    assert (signature.max_tokens_query, signature.max_tokens_passage) == (24, 24)


def test_a_length_is_set_where_the_tokenizer_has_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    base = tiny_encoders.build("mt5", tmp_path / "base", model_max_length=None)
    with caplog.at_level(logging.WARNING):
        write_model(TransformerEncoder(str(base), pooling="mean").model, tmp_path / "model")
        assert "512 tokens are assumed" in caplog.text
        caplog.clear()
        assert TransformerEncoder(str(tmp_path / "model")).signature.max_tokens_query == 512
    assert "assumed" not in caplog.text


def test_manifest_says_what_made_it_and_leaves_the_card_to_people(
    encoder: TransformerEncoder, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    save_model(
        encoder.model,
        folder,
        settings={"kind": "retriever", "loss.scale": 20.0},
        inputs={"base": encoder.signature.digest},
        counts={"examples": 7},
        card=CARD,
    )
    manifest = read_manifest(folder, "model", checksums=True)
    assert manifest.settings == {"kind": "retriever", "loss.scale": 20.0}
    assert manifest.inputs == {"base": encoder.signature.digest}
    assert manifest.counts == {"examples": 7}
    assert set(manifest.files) == set(files(folder)) - {"manifest.json", "README.md"}
    assert f"`{TransformerEncoder(str(folder)).signature.digest}`" in (folder / "README.md").read_text()
    (folder / "README.md").write_text("Better words.")
    read_manifest(folder, "model")


def test_a_card_written_later_is_the_same(encoder: TransformerEncoder, tmp_path: Path) -> None:
    save_model(encoder.model, tmp_path / "one", settings={}, card=CARD, weights="float16")
    save_model(encoder.model, tmp_path / "two", settings={}, weights="float16")
    write_card(tmp_path / "two", CARD)
    assert files(tmp_path / "one") == files(tmp_path / "two")
    write_card(tmp_path / "two", CARD)
    read_manifest(tmp_path / "two", "model", checksums=True)
    with pytest.raises(DataError, match="not a babelweave model"):
        write_card(encoder.folder, CARD)


def test_nothing_is_replaced_unasked(encoder: TransformerEncoder, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    save_model(encoder.model, folder, settings={})
    with pytest.raises(UsageError, match="--overwrite"):
        save_model(encoder.model, folder, settings={})
    save_model(encoder.model, folder, settings={"again": True}, overwrite=True)
    assert read_manifest(folder, "model").settings == {"again": True}
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="did not write"):
        save_model(encoder.model, tmp_path / "mine", settings={}, overwrite=True)


def test_others_may_read_the_weights(encoder: TransformerEncoder, tmp_path: Path) -> None:
    save_model(encoder.model, tmp_path / "model", settings={}, weights="float16")
    mode = stat.S_IMODE((tmp_path / "model" / "model.safetensors").stat().st_mode)
    assert mode == stat.S_IMODE((tmp_path / "model" / "modules.json").stat().st_mode)


def test_float16_leaves_the_model_in_memory_alone(encoder: TransformerEncoder, tmp_path: Path) -> None:
    before = encoder.encode(tiny_encoders.SENTENCES, "query").vectors
    save_model(encoder.model, tmp_path / "model", settings={}, weights="float16")
    assert encoder.encode(tiny_encoders.SENTENCES, "query").vectors.tobytes() == before.tobytes()
    assert read(tmp_path / "model" / "config.json")["dtype"] == "float16"


def test_weights_trained_in_half_are_stored_in_full_where_asked(
    encoder: TransformerEncoder, tmp_path: Path
) -> None:
    encoder.model.to(torch.bfloat16)
    save_model(encoder.model, tmp_path / "model", settings={}, weights="float32")
    assert read(tmp_path / "model" / "config.json")["dtype"] == "float32"
    again = TransformerEncoder(str(tmp_path / "model"), precision="float32").model
    for a, b in zip(encoder.model.parameters(), again.parameters(), strict=True):
        assert torch.equal(a.float(), b)


def test_dense_layers(encoder: TransformerEncoder, tmp_path: Path) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder.model.append(Dense(32, 8))
    save_model(encoder.model, tmp_path / "model", settings={}, weights="float16")
    again = TransformerEncoder(str(tmp_path / "model"))
    assert again.signature.dimension == 8
    assert again.signature.pooling == "mean, dense"


class TestRefused:
    def test_weights_float16_cannot_hold(self, encoder: TransformerEncoder, tmp_path: Path) -> None:
        next(encoder.model.parameters()).data[3, 3] = 70000.0
        with pytest.raises(DataError, match=r"word_embeddings.*not all its weights are finite in float16"):
            save_model(encoder.model, tmp_path / "model", settings={}, weights="float16")
        assert list(tmp_path.iterdir()) == [tmp_path / "base"], "nothing half-written is left"

    def test_several_poolings(self, encoder: TransformerEncoder, tmp_path: Path) -> None:
        encoder.model[1] = Pooling(32, ("mean", "cls"))
        with pytest.raises(DataError, match="not in several at once"):
            save_model(encoder.model, tmp_path / "model", settings={})

    def test_modules_of_ones_own(self, encoder: TransformerEncoder, tmp_path: Path) -> None:
        class Mine(Transformer):  # type: ignore[misc]
            pass

        encoder.model[0].__class__ = Mine
        with pytest.raises(DataError, match="begins with a text transformer; this one: Mine, Pooling"):
            save_model(encoder.model, tmp_path / "model", settings={})

    def test_static_embeddings(self, tmp_path: Path) -> None:
        folder = tiny_models.write_static_encoder(tmp_path / "static", ["a", "b"])
        with pytest.raises(DataError, match="begins with a text transformer"):
            save_model(TransformerEncoder(str(folder)).model, tmp_path / "model", settings={})

    def test_more_tokens_than_positions(self, encoder: TransformerEncoder, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="max_tokens_passage=25: the model has 24 positions"):
            save_model(encoder.model, tmp_path / "model", settings={}, max_tokens_passage=25)

    def test_adapters(self, encoder: TransformerEncoder, tmp_path: Path) -> None:
        from peft import LoraConfig

        encoder.model.add_adapter(LoraConfig(r=2, target_modules=["query"]))
        with pytest.raises(DataError, match="merge them"):
            save_model(encoder.model, tmp_path / "model", settings={})


@pytest.mark.parametrize("broken", [{"max_tokens_query": "many"}, {"max_tokens_query": None}, 7])
def test_damaged_lengths(broken: Any, encoder: TransformerEncoder, tmp_path: Path) -> None:
    save_model(encoder.model, tmp_path / "model", settings={})
    path = tmp_path / "model" / "config_sentence_transformers.json"
    path.write_text(json.dumps({**read(path), "babelweave": broken}))
    with pytest.raises(DataError, match="not a number of tokens"):
        TransformerEncoder(str(tmp_path / "model"))
