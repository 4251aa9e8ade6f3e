"""Encoders run by onnxruntime: what an export opens as, its options, and damaged folders."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny_encoders
from babelweave.artifact import digest_file
from babelweave.encode.onnx import OnnxEncoder
from babelweave.encode.spec import open_encoder
from babelweave.encode.transformer import TransformerEncoder
from babelweave.errors import DataError, MissingExtraError, UsageError
from babelweave.train.export import export_model

TEXTS = [*tiny_encoders.SENTENCES, "", "日本", "last " + " ".join(tiny_encoders.SENTENCES * 2)]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_encoders.build("bert", tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def int8(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("int8") / "tiny-int8"
    spec = f"{source}?pooling=mean&normalise=true&max_tokens_query=8&prompt_passage=tell: "
    export_model(spec, "int8", folder, {"query": TEXTS})
    return folder


def test_signature_is_the_original_s_but_for_weights_and_precision(source: Path, int8: Path) -> None:
    original = TransformerEncoder(
        str(source), pooling="mean", normalise=True, max_tokens_query=8, prompt_passage="tell: "
    ).signature
    signature = open_encoder(str(int8)).signature
    assert (signature.name, signature.precision) == ("tiny-int8", "int8")
    assert [line.partition(":")[0] for line in signature.differences(original)] == ["digest"]
    assert open_encoder(f"onnx:{int8}").signature == signature


def test_weights_count_in_the_digest_and_words_do_not(int8: Path, tmp_path: Path) -> None:
    before = OnnxEncoder(str(int8)).signature.digest
    copy = tmp_path / "copy"
    shutil.copytree(int8, copy)
    (copy / "README.md").write_text("Other words.")
    assert OnnxEncoder(str(copy)).signature.digest == before
    rewrite(copy, "tokenizer.json", lambda text: text.replace('"version": "1.0"', '"version": "1.0" '))
    assert OnnxEncoder(str(copy)).signature.digest != before


def test_a_text_gets_the_same_bits_whatever_stands_beside_it(int8: Path) -> None:
    one, many = (OnnxEncoder(str(int8), threads=n) for n in (1, 4))
    together = one.encode(TEXTS, "passage").vectors
    alone = np.concatenate([one.encode([text], "passage").vectors for text in TEXTS])
    assert together.tobytes() == alone.tobytes()
    assert together.tobytes() == many.encode(TEXTS, "passage").vectors.tobytes()


def test_options(int8: Path) -> None:
    encoder = open_encoder(f"{int8}?max_tokens_query=12&prompt_passage=&threads=2")
    assert encoder.signature.max_tokens_query == 12
    assert encoder.signature.prompt_passage == ""
    unprompted = encoder.encode(["fox"], "passage").vectors
    assert unprompted.tobytes() == encoder.encode(["fox"], "query").vectors.tobytes()
    assert np.abs(unprompted - open_encoder(str(int8)).encode(["fox"], "passage").vectors).max() > 1e-3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("pooling=cls", "no option 'pooling'"),
        ("max_token=3", "did you mean 'max_tokens_query'"),
        ("max_tokens_query=25", "reads 3 to 24 tokens"),
        ("max_tokens_passage=2", "reads 3 to 24 tokens"),
        ("threads=0", "at least 1"),
    ],
)
def test_options_it_does_not_take(int8: Path, options: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        open_encoder(f"{int8}?{options}")


def test_threads_follow_the_environment(int8: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert OnnxEncoder(str(int8))._threads == 3
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert OnnxEncoder(str(int8))._threads >= 1


def test_opened_and_run_without_torch(int8: Path) -> None:
    code = (
        "import sys\n"
        "from babelweave.encode.spec import open_encoder\n"
        f"print(open_encoder({str(int8)!r}).encode(['fox'], 'query').vectors.shape)\n"
        "print({'torch', 'transformers', 'sentence_transformers'} & set(sys.modules))\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "(1, 32)\nset()\n"


def test_without_onnxruntime(int8: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.delitem(sys.modules, "babelweave.encode.onnx")
    with pytest.raises(MissingExtraError, match=r"pip install 'babelweave\[onnx\]'"):
        open_encoder(str(int8))


def rewrite(folder: Path, name: str, change: Callable[[str], str]) -> None:
    """Change a file and what the manifest says of it."""
    path = folder / name
    path.write_text(change(path.read_text()))
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][name] = {"bytes": path.stat().st_size, "sha256": digest_file(path)}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def settings_without(key: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        manifest: dict[str, Any] = json.loads(text)
        del manifest["settings"][key]
        return json.dumps(manifest)

    return change


def of_dimension(n: int) -> Callable[[str], str]:
    def change(text: str) -> str:
        manifest: dict[str, Any] = json.loads(text)
        manifest["settings"]["encoder"]["dimension"] = n
        return json.dumps(manifest)

    return change


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("manifest.json", lambda text: "", "not valid JSON"),
        ("manifest.json", settings_without("form"), "not an ONNX encoder of this version"),
        ("manifest.json", settings_without("encoder"), "not an ONNX encoder of this version"),
        ("manifest.json", of_dimension(31), "gives no sentence_embedding of 31 dimensions"),
        ("tokenizer.json", lambda text: text[:100], "tokenizer.json is cut or changed"),
    ],
)
def test_damaged(int8: Path, tmp_path: Path, name: str, change: Callable[[str], str], message: str) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(int8, copy)
    (copy / name).write_text(change((copy / name).read_text()))
    with pytest.raises(DataError, match=message):
        open_encoder(str(copy))


def test_damaged_beyond_the_manifest(int8: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(int8, copy)
    rewrite(copy, "tokenizer.json", lambda text: "{}")
    with pytest.raises(DataError, match=r"tokenizer\.json cannot be read"):
        open_encoder(str(copy))
    graph = copy / "onnx" / "model.onnx"
    graph.write_bytes(bytes(graph.stat().st_size))
    shutil.copy(int8 / "tokenizer.json", copy)
    shutil.copy(int8 / "manifest.json", copy)
    with pytest.raises(DataError, match=r"onnx/model\.onnx cannot be opened"):
        open_encoder(str(copy))


def test_a_graph_that_is_not_ours(int8: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(int8, copy)
    (copy / "manifest.json").unlink()
    with pytest.raises(DataError, match="not a babelweave onnx"):
        open_encoder(str(copy))


def test_weights_count_where_a_folder_holds_both(int8: Path, source: Path, tmp_path: Path) -> None:
    both = tmp_path / "both"
    shutil.copytree(source, both)
    shutil.copytree(int8 / "onnx", both / "onnx")
    assert isinstance(open_encoder(f"{both}?pooling=mean"), TransformerEncoder)


def test_bad_texts(int8: Path) -> None:
    with pytest.raises(DataError, match="text 1 is not valid Unicode"):
        OnnxEncoder(str(int8)).encode(["fine", "bad \ud800"], "query")
