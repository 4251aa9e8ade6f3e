"""The verbs generate and convert: models, endpoints and workers from the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import chat_server
import tiny_generators
from babelweave.artifact import read_manifest
from babelweave.generate.queries import GeneratedQueries
from conftest import Cli

TEXTS = [
    "the quick brown fox",
    "... !",
    "a vector store keeps the passages " * 20,
    "the old city near the river",
]


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    folder = tmp_path / "beir"
    folder.mkdir()
    lines = [json.dumps({"_id": f"d{i}", "text": text, "lang": "en"}) for i, text in enumerate(TEXTS)]
    (folder / "corpus.jsonl").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_generators.build("mt5", tmp_path_factory.mktemp("cli") / "mt5")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[chat_server.ChatServer]:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    running = chat_server.ChatServer()
    yield running
    running.close()


def test_a_model_converted_and_not(cli: Cli, collection: Path, model: Path, tmp_path: Path) -> None:
    options = "max_input_tokens=64&max_new_tokens=6&decoding=greedy"
    code, out, err = cli("convert", model, "--quantization", "float32", "--out", tmp_path / "ct2", "--json")
    assert code == 0, err
    assert json.loads(out)["settings"] == {"family": "mt5", "quantization": "float32"}
    counts = {}
    for name, spec in {
        "hf": f"{model}?{options}&precision=float32",
        "ct2": f"{tmp_path / 'ct2'}?{options}",
    }.items():
        code, out, err = cli(
            "generate",
            collection,
            "--generator",
            spec,
            "--languages",
            "de,ar",
            "--out",
            tmp_path / f"queries-{name}",
            "--json",
        )
        assert code == 0, err
        assert "4 passages, at most 40 queries, about" in err
        assert " tokens read, " in err
        counts[name] = json.loads(out)["counts"]
    assert counts["hf"] == counts["ct2"]
    assert counts["hf"]["passages_without_words"] == 1
    assert counts["hf"]["cut_passages.de"] == 1
    assert counts["hf"]["kept.de"] == 3
    hf, ct2 = (GeneratedQueries.open(tmp_path / f"queries-{name}") for name in counts)
    assert hf.digest == ct2.digest
    assert (hf.signature["name"], ct2.signature["name"]) == ("seq2seq", "ctranslate2")


def test_convert_says_what_it_would_write(cli: Cli, model: Path, tmp_path: Path) -> None:
    code, out, err = cli("convert", model, "--out", tmp_path / "x", "--dry-run", "--json")
    assert code == 0, err
    assert not (tmp_path / "x").exists()
    said = json.loads(out)["bytes"]
    assert cli("convert", model, "--out", tmp_path / "x")[0] == 0
    assert said == pytest.approx((tmp_path / "x" / "model.bin").stat().st_size, rel=0.5)
    code, _, err = cli("convert", model, "--out", tmp_path / "x")
    assert (code, "--overwrite" in err) == (2, True)


def test_the_plan_of_a_model(cli: Cli, collection: Path, model: Path, tmp_path: Path) -> None:
    spec = f"{model}?max_input_tokens=64&max_new_tokens=6&precision=float32"
    code, out, err = cli(
        "generate",
        collection,
        "--generator",
        spec,
        "--languages",
        "de",
        "--out",
        tmp_path / "x",
        "--dry-run",
        "--json",
    )
    assert code == 0, err
    plan = json.loads(out)
    assert (plan["n_passages"], plan["n_queries"], plan["cost"]) == (4, 20, None)
    assert plan["hours"] > 0
    assert plan["input_tokens"] > 0
    assert not (tmp_path / "x").exists()


def test_workers_and_shards(cli: Cli, collection: Path, model: Path, tmp_path: Path) -> None:
    lexicon = tmp_path / "words.tsv"
    lexicon.write_text("fox\tde\tFuchs\nriver\tde\tFluss\npassage\tde\tText\n")
    verb = ("generate", collection, "--generator", f"lexical?lexicon={lexicon}", "--languages", "de")
    for name, options in {"one": (), "two": ("--workers", 2)}.items():
        code, _, err = cli(*verb, "--shard-size", 1, *options, "--out", tmp_path / name)
        assert code == 0, err
    one, two = (read_manifest(tmp_path / name, "generated", checksums=True) for name in ("one", "two"))
    assert one.files == two.files
    assert len(one.files) == 4


def test_an_endpoint(
    cli: Cli,
    collection: Path,
    server: chat_server.ChatServer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("MY_KEY", "sk-secret-0123456789")
    spec = f"chat:m?url={server.url}&prompt={chat_server.PROMPT}&key_env=MY_KEY"
    verb = ("generate", collection, "--languages", "de,ar", "--per-language", 2, "--out", tmp_path / "g")
    code, _, err = cli(*verb, "--generator", f"{spec}&cap_tokens=900&concurrency=1")
    assert code == 1
    assert "the cap is reached (" in err
    n_asked = len(server.questions)
    assert 0 < n_asked < 6
    code, out, err = cli(*verb, "--generator", spec, "--json")
    assert code == 0, err
    assert len(server.questions) == 6
    counts = json.loads(out)["counts"]
    assert counts["kept.de"] == counts["kept.ar"] == 6
    for path in (tmp_path / "g").iterdir():
        assert b"sk-secret" not in path.read_bytes()
    assert server.headers[0]["authorization"] == "Bearer sk-secret-0123456789"


def test_an_endpoint_that_wants_a_key(
    cli: Cli, collection: Path, server: chat_server.ChatServer, tmp_path: Path
) -> None:
    server.behaviour = lambda _: chat_server.Reply(401, b"who are you?")
    spec = f"chat:m?url={server.url}&prompt={chat_server.PROMPT}"
    code, _, err = cli(
        "generate", collection, "--generator", spec, "--languages", "de", "--out", tmp_path / "g"
    )
    assert code == 2
    assert "it wants a key, set OPENAI_API_KEY or key_env=NAME (status 401: who are you?)" in err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--generator", "{model}?prompt=Ask: {{text}}", "--languages", "de"], 2, "lacks {language}"),
        (["--generator", "{model}?precision=float16", "--languages", "de"], 2, "overflows"),
        (["--generator", "{model}", "--languages", "xx"], 2, "unknown language 'xx'"),
        (["--generator", "{model}?languages=ar", "--languages", "de"], 2, "does not write 'de'"),
        (["--generator", "{model}?decoding=beam&beams=2", "--languages", "de"], 2, "as many beams"),
        (["--generator", "ctranslate2:{model}", "--languages", "de"], 3, "babelweave convert"),
        (["--generator", "nowhere/nothing", "--languages", "de"], 3, "neither a registry name nor a folder"),
    ],
)
def test_bad_requests(
    cli: Cli, collection: Path, model: Path, tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    filled = [argument.format(model=model) for argument in arguments]
    found, _, err = cli("generate", collection, *filled, "--out", tmp_path / "g")
    assert (found, message in err) == (code, True), err
    assert not (tmp_path / "g").exists()
