"""The verbs generate, weave and tune, one after the other, with a tiny random encoder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import lexicon_cases
import tiny_encoders
from babelweave.cli.main import app
from babelweave.data.collection import write_collection
from babelweave.encode.store import VectorStore
from babelweave.errors import DataError
from babelweave.records import Query


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    folder = tmp_path / "collection"
    queries = [Query("q1", "Wo stand die Bank am Fluss?", "de"), Query("q2", "باريس نهر", "ar")]
    qrels = {"dev": {"q1": {"d1": 1}, "q2": {"d3": 1}}}
    write_collection(folder, lexicon_cases.PASSAGES, queries, qrels, settings={})
    return folder


@pytest.fixture
def lexicon(tmp_path: Path) -> Path:
    path = tmp_path / "lexicon.tsv"
    path.write_text("".join("\t".join(row) + "\n" for row in lexicon_cases.ROWS), encoding="utf-8")
    return path


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def test_from_passages_to_a_tuned_woven_store(tmp_path: Path, collection: Path, lexicon: Path) -> None:
    spec = f"lexical?lexicon={lexicon}&topic=0"
    generate = ("generate", collection, "--generator", spec, "--languages", "de,ar", "--per-language", 2)
    plan = json.loads(run(*generate, "--out", tmp_path / "g", "--dry-run", "--json"))
    assert (plan["n_passages"], plan["n_queries"]) == (4, 16)
    assert not (tmp_path / "g").exists()
    counts = json.loads(run(*generate, "--out", tmp_path / "g", "--json"))["counts"]
    assert counts["asked.de"] == 8
    assert counts["passages_without.de"] == 1

    encoder = ("--encoder", f"{tiny_encoders.build('bert', tmp_path / 'model')}?pooling=mean")
    weave = ("weave", collection, *encoder, "--generated", tmp_path / "g", "--out", tmp_path / "w", "--json")
    options = ("--fuser", "sum", "--alpha", 0.1, "--language-weights", "ar=2", "--normalise")
    assert json.loads(run(*weave, *options, "--dry-run"))["n_without_queries"] == 1
    assert not (tmp_path / "w").exists()
    woven = json.loads(run(*weave, *options))
    assert woven["counts"]["passages_without_queries"] == 1
    store = VectorStore.open(tmp_path / "w", checksums=True)
    assert store.manifest.settings["fuser"] == {
        "name": "sum",
        "alpha": 0.1,
        "language_weights": {"ar": 2.0},
        "normalise": True,
    }
    assert store.manifest.settings["generator"]["name"] == "lexical"

    tune = (
        "tune",
        collection,
        *encoder,
        "--generated",
        tmp_path / "g",
        "--alphas",
        "0.2,0.5",
        "--search-weights",
    )
    table = run(*tune, "--out", tmp_path / "t")
    assert "RR@10" in table
    assert "chosen: --fuser mean --alpha" in table
    result = json.loads(run(*tune, "--out", tmp_path / "t", "--overwrite", "--json"))
    assert [row["alpha"] for row in result["rows"]][:3] == [0.0, 0.2, 0.5]
    assert set(result["plain"]["values"]["R@100"]) == {"ar", "de", "mean"}


def test_a_missing_lexicon_is_a_clear_error(tmp_path: Path, collection: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        run(
            "generate",
            collection,
            "--generator",
            "lexical?lexicon=absent.tsv",
            "--languages",
            "de",
            "--out",
            tmp_path / "g",
        )
