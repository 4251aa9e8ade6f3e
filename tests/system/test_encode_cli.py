"""`babelweave encode` on a small collection, through the command line's own entry point."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny_encoders
from babelweave.encode.spec import open_encoder
from babelweave.encode.store import VectorStore
from conftest import Cli


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tiny_encoders.build("xlmr", tmp_path_factory.mktemp("model"))
    return f"{folder}?pooling=mean&precision=float32"


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    folder = tmp_path / "collection"
    folder.mkdir()
    corpus = [{"_id": f"d{i}", "text": t, "lang": "en"} for i, t in enumerate(tiny_encoders.SENTENCES)]
    queries = [{"_id": "q1", "text": "fox", "lang": "en"}, {"_id": "q2", "text": "Fuchs", "lang": "de"}]
    for name, rows in (("corpus", corpus), ("queries", queries)):
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
    return folder


def test_dry_run_then_real_run(cli: Cli, collection: Path, spec: str, tmp_path: Path) -> None:
    out = tmp_path / "out" / "store"
    base = ("encode", collection, "--encoder", spec, "--out", out, "--shard-size", 4, "--json")
    code, stdout, stderr = cli(*base, "--dry-run")
    assert code == 0, stderr
    plan = json.loads(stdout)
    assert (plan["n_passages"], plan["n_shards"]) == (10, 3)
    assert "10 texts in 3 shards" in stderr
    assert not out.exists()

    code, stdout, stderr = cli(*base)
    assert code == 0, stderr
    result = json.loads(stdout)
    store = VectorStore.open(out, checksums=True)
    expected, n_truncated = open_encoder(spec).encode(tiny_encoders.SENTENCES, "passage")
    assert n_truncated > 0
    assert result["counts"] == {"passages": 10, "rows": 10, "truncated": n_truncated}
    assert result["bytes"] == sum(p.stat().st_size for p in out.iterdir() if p.name != "manifest.json")
    assert result["encoder"] == store.signature.to_dict()
    assert list(store.doc_ids) == [f"d{i}" for i in range(10)]
    np.testing.assert_allclose(store.rows(range(10)), expected, atol=1e-5)

    code, _, stderr = cli(*base)
    assert code == 2
    assert "--overwrite" in stderr
    code, stdout, _ = cli(*base[:-1], "--overwrite", "--dtype", "float16")
    assert code == 0
    assert f"10 passage vectors of 32 dimensions, {n_truncated} texts truncated" in stdout
    assert VectorStore.open(out).dtype == np.float16


def test_queries(cli: Cli, collection: Path, spec: str, tmp_path: Path) -> None:
    prompted = f"{spec}&prompt_query=ask: "
    code, _, stderr = cli(
        "encode", collection, "--encoder", prompted, "--out", tmp_path / "q", "--role", "query"
    )
    assert code == 0, stderr
    store = VectorStore.open(tmp_path / "q")
    assert list(store.doc_ids) == ["q1", "q2"]
    expected = open_encoder(spec).encode(["ask: fox", "ask: Fuchs"], "query").vectors
    np.testing.assert_allclose(store.rows([0, 1]), expected, atol=1e-5)
    assert store.manifest.settings["role"] == "query"


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        (lambda c: ("--encoder", "minilm?presision=auto"), 2, "did you mean 'precision'"),
        (lambda c: ("--encoder", str(c)), 3, "no encoder here"),
        (lambda c: ("--encoder", "nobody/nothing"), 3, "Hub did not give it"),
        (lambda c: ("--shard-size", "-1"), 2, "'--shard-size'"),
    ],
)
def test_wrong_requests(
    cli: Cli, collection: Path, tmp_path: Path, change: Any, code: int, message: str
) -> None:
    found, stdout, stderr = cli("encode", collection, *change(collection), "--out", tmp_path / "s")
    assert (found, stdout) == (code, "")
    assert message in stderr
    assert not (tmp_path / "s").exists()


def test_source_with_a_repeated_id_makes_no_store(
    cli: Cli, collection: Path, spec: str, tmp_path: Path
) -> None:
    corpus = collection / "corpus.jsonl"
    corpus.write_text(corpus.read_text("utf-8") + corpus.read_text("utf-8").splitlines()[0] + "\n", "utf-8")
    code, stdout, stderr = cli("encode", collection, "--encoder", spec, "--out", tmp_path / "s")
    assert (code, stdout) == (3, "")
    assert "d0" in stderr
    assert not (tmp_path / "s" / "manifest.json").exists()
