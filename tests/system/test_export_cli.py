"""`babelweave export`: every format from the command line, used in the verbs that follow, and bad input."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import load_file, save_file

import tiny_encoders
import tiny_models
from babelweave.artifact import read_manifest
from babelweave.cli.export import draw
from babelweave.encode.spec import open_encoder
from babelweave.encode.transformer import TransformerEncoder
from babelweave.train.saved import save_model
from conftest import Cli

COLLECTION = "src/babelweave/demo/collection"
OPTIONS = "?pooling=mean&normalise=true&max_tokens_query=8&prompt_query=ask: "


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tiny_encoders.build("bert", tmp_path_factory.mktemp("source") / "tiny")
    (folder / "README.md").write_text("# tiny\n\nRandom weights.\n")
    return folder


@pytest.mark.parametrize("to", ["fp16", "int8", "onnx"])
def test_export_is_an_encoder_of_every_verb(to: str, model: Path, tmp_path: Path, cli: Cli) -> None:
    out = tmp_path / f"tiny-{to}"
    code, printed, log = cli("export", f"{model}{OPTIONS}", "--to", to, "--out", out, "--json")
    assert code == 0, log
    found = json.loads(printed)
    assert found["bytes"] == sum(
        p.stat().st_size for p in out.rglob("*") if p.is_file() and p.name != "README.md"
    )
    signature = found["encoder"]
    assert signature["name"] == out.name
    assert (signature["max_tokens_query"], signature["max_tokens_passage"]) == (8, 24)
    assert (signature["prompt_query"], signature["normalised"]) == ("ask: ", True)
    floor = {"fp16": 0.99999, "onnx": 0.999999, "int8": 0.999}[to]
    for moved in found["fidelity"].values():
        assert moved["n_texts"] == 64
        assert floor < moved["lowest"] <= moved["mean"] <= 1 + 1e-9
    assert read_manifest(out, "model" if to == "fp16" else "onnx", checksums=True).settings["format"] == to
    card = (out / "README.md").read_text()
    assert card.startswith("# tiny\n\nRandom weights.\n\n## Export: ")
    assert str(tmp_path) not in card

    store, index = tmp_path / "store", tmp_path / "index"
    assert cli("encode", COLLECTION, "--encoder", out, "--out", store)[0] == 0
    assert cli("index", store, "--out", index)[0] == 0
    code, printed, log = cli("search", index, "--encoder", out, "--query", "fox", "--json")
    assert code == 0, log
    code, _, log = cli("search", index, "--encoder", f"{model}{OPTIONS}", "--query", "fox")
    assert code == 3
    assert "digest" in log


def test_int8_weights_are_int8(model: Path, tmp_path: Path, cli: Cli) -> None:
    """Word embeddings and every matrix of the layers; what is left in float is small."""
    assert cli("export", f"{model}{OPTIONS}", "--to", "int8", "--out", tmp_path / "int8")[0] == 0
    graph = onnx.load(tmp_path / "int8" / "onnx" / "model.onnx").graph
    tensors = {i.name: i for i in graph.initializer}
    matrices = [t for t in tensors.values() if len(t.dims) == 2 and min(t.dims) > 1]
    floats = [t.name for t in matrices if t.data_type == onnx.TensorProto.FLOAT]
    assert all("position" in name or "token_type" in name for name in floats), floats
    assert sum(node.op_type == "MatMulInteger" for node in graph.node) == 2 * 6
    words = load_file(model / "model.safetensors")["embeddings.word_embeddings.weight"].numpy()
    rows = next(t for t in matrices if list(t.dims) == list(words.shape))
    assert rows.data_type == onnx.TensorProto.INT8
    scales = next(t for t in tensors.values() if list(t.dims) == [len(words), 1])
    back = onnx.numpy_helper.to_array(rows) * onnx.numpy_helper.to_array(scales)
    step = np.abs(words).max(axis=1, keepdims=True) / 127
    assert (np.abs(back - words) <= step / 2 + 1e-7).all()
    assert b"/" + str(tmp_path).encode()[1:] not in (tmp_path / "int8" / "onnx" / "model.onnx").read_bytes()


def test_same_export_same_bytes(model: Path, tmp_path: Path, cli: Cli) -> None:
    for name in ("one", "two"):
        assert cli("export", f"{model}{OPTIONS}", "--to", "int8", "--out", tmp_path / name / "m")[0] == 0
    one, two = (
        {p.name: p.read_bytes() for p in (tmp_path / name).rglob("*") if p.is_file()}
        for name in ("one", "two")
    )
    assert one == two


def test_dry_run_writes_nothing(model: Path, tmp_path: Path, cli: Cli) -> None:
    n = sum(p.numel() for p in TransformerEncoder(str(model), pooling="mean").model.parameters())
    for to, n_bytes in (("fp16", 2), ("int8", 1), ("onnx", 4)):
        code, printed, _ = cli("export", model, "--to", to, "--out", tmp_path / "x", "--dry-run", "--json")
        assert code == 0
        assert json.loads(printed) == {"n_weights": n, "n_bytes": n * n_bytes}
    assert not (tmp_path / "x").exists()


def test_how_the_model_was_made_is_told_by_its_export(tmp_path: Path, cli: Cli) -> None:
    base = TransformerEncoder(str(tiny_encoders.build("bert", tmp_path / "base")), pooling="mean")
    made = save_model(
        base.model,
        tmp_path / "m",
        settings={"loss.scale": 20.0},
        inputs={"train": "abc"},
        counts={"examples": 7},
    )
    for to, kind in (("fp16", "model"), ("int8", "onnx")):
        assert cli("export", tmp_path / "m", "--to", to, "--out", tmp_path / to)[0] == 0
        manifest = read_manifest(tmp_path / to, kind)
        assert manifest.inputs == {"model": TransformerEncoder(str(tmp_path / "m")).signature.digest}
        assert manifest.settings["model"] == {
            "settings": {"loss.scale": 20.0},
            "inputs": {"train": "abc"},
            "counts": {"examples": 7},
            "commit": made.commit,
        }


def test_own_sample(model: Path, tmp_path: Path, cli: Cli) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "corpus.jsonl").write_text('{"_id": "a", "text": "the quick brown fox", "lang": "en"}\n')
    arguments = ("--to", "fp16", "--out", tmp_path / "half", "--sample", folder, "--json")
    code, printed, log = cli("export", f"{model}?pooling=mean", *arguments)
    assert code == 0, log
    assert {role: m["n_texts"] for role, m in json.loads(printed)["fidelity"].items()} == {"passage": 1}


def test_overwrite(model: Path, tmp_path: Path, cli: Cli) -> None:
    export = ("export", f"{model}?pooling=mean", "--out", tmp_path / "m")
    assert cli(*export, "--to", "int8")[0] == 0
    code, _, log = cli(*export, "--to", "int8")
    assert code == 2
    assert "--overwrite" in log
    assert cli(*export, "--to", "onnx", "--overwrite")[0] == 0
    assert open_encoder(str(tmp_path / "m")).signature.precision == "float32"
    code, _, log = cli(*export, "--to", "fp16", "--overwrite")
    assert code == 2
    assert "kind 'onnx'" in log


def test_an_export_is_no_source(model: Path, tmp_path: Path, cli: Cli) -> None:
    assert cli("export", f"{model}?pooling=mean", "--to", "int8", "--out", tmp_path / "m")[0] == 0
    code, _, log = cli("export", tmp_path / "m", "--to", "fp16", "--out", tmp_path / "again")
    assert code == 2
    assert "no weights to export" in log


def copied(model: Path, folder: Path) -> Path:
    shutil.copytree(model, folder)
    return folder


def poison(folder: Path) -> Path:
    weights = load_file(folder / "model.safetensors")
    weights["embeddings.word_embeddings.weight"][0] = torch.full((32,), 1e6)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def test_bad_input(model: Path, tmp_path: Path, cli: Cli) -> None:
    static = tiny_models.write_static_encoder(tmp_path / "static", ["a", "b"])
    out = tmp_path / "out"
    for source, to, code, message in (
        (model, "int-8", 2, "unknown export 'int-8'; did you mean 'int8'"),
        (f"{model}?poling=mean", "int8", 2, "did you mean 'pooling'"),
        (tmp_path / "nowhere", "int8", 3, "no such folder"),
        ("openai:model?url=http://localhost:9/v1", "int8", 2, "no weights to export"),
        (static, "int8", 3, "begins with a text transformer"),
        (static, "fp16", 3, "begins with a text transformer"),
        (f"{poison(copied(model, tmp_path / 'large'))}?pooling=mean", "fp16", 3, "keep float32"),
    ):
        found, _, log = cli("export", source, "--to", to, "--out", out)
        assert found == code, log
        assert message in log
        assert "Traceback" not in log
        assert not list(tmp_path.glob("out*")), "nothing half-written is left"


def test_an_export_that_went_wrong_is_not_kept(model: Path, tmp_path: Path, cli: Cli) -> None:
    """One unit of a layer is always huge and never read: in 8 bits the others vanish beside it."""
    folder = copied(model, tmp_path / "outliers")
    weights = load_file(folder / "model.safetensors")
    for layer in ("encoder.layer.0", "encoder.layer.1"):
        weights[f"{layer}.intermediate.dense.weight"] *= 50
        weights[f"{layer}.intermediate.dense.bias"][0] = 1e5
        weights[f"{layer}.output.dense.weight"] *= 50
        weights[f"{layer}.output.dense.weight"][:, 0] = 0
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert cli("export", f"{folder}?pooling=mean", "--to", "onnx", "--out", tmp_path / "whole")[0] == 0
    code, _, log = cli("export", f"{folder}?pooling=mean", "--to", "int8", "--out", tmp_path / "out")
    assert code == 3, log
    assert "does not survive the export" in log
    assert not list(tmp_path.glob("out[.]*"))
    assert not (tmp_path / "out").exists()


def test_without_the_extra(model: Path, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("onnx", "onnxruntime"):
        monkeypatch.setitem(sys.modules, name, None)
        monkeypatch.delitem(sys.modules, "babelweave.train.graph", raising=False)
        monkeypatch.delitem(sys.modules, "babelweave.encode.onnx", raising=False)
        code, _, log = cli("export", f"{model}?pooling=mean", "--to", "int8", "--out", tmp_path / "x")
        assert code == 4
        assert "pip install 'babelweave[onnx]'" in log
        assert cli("export", f"{model}?pooling=mean", "--to", "fp16", "--out", tmp_path / name)[0] == 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs tmpfs")
@pytest.mark.parametrize("to", ["fp16", "int8"])
def test_full_disk(to: str, model: Path, tmp_path: Path, cli: Cli) -> None:
    mounted = tmp_path / "small"
    mounted.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(mounted)]
    if subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("mounting a small file system is not permitted here")
    try:
        code, _, log = cli("export", f"{model}?pooling=mean", "--to", to, "--out", mounted / "m")
        assert code == 1, log
        assert "the disk is full" in log
        assert list(mounted.iterdir()) == []
    finally:
        subprocess.run(["umount", str(mounted)], check=True)


def test_draw_is_even_and_repeatable() -> None:
    texts = [str(i) for i in range(20)]
    assert draw(texts, 30) == texts
    assert draw(iter(texts), 5) == draw(texts, 5)
    assert len(set(draw(texts, 5))) == 5
    counts = [draw(texts[: n + 1], 1)[0] for n in range(20)]
    assert len(set(counts)) > 1
