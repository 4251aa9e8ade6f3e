"""`babelweave data` as a user meets it: results on stdout, exit codes, and nothing half-written."""

from __future__ import annotations

import dataclasses
import json
import zipfile
from pathlib import Path

import pytest

from babelweave import registry
from babelweave.cli.main import main
from babelweave.data.dataset import Request


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    monkeypatch.setattr("sys.argv", ["babelweave", "data", *map(str, arguments)])
    with pytest.raises(SystemExit) as exit_info:
        main()
    return int(exit_info.value.code or 0)


@pytest.fixture
def mlqa_zip(tmp_path: Path) -> Path:
    questions = [{"id": "q1", "question": "Wie alt?", "answers": [{"text": "old", "answer_start": 8}]}]
    content = {"data": [{"title": "Rome", "paragraphs": [{"context": "Rome is old.", "qas": questions}]}]}
    with zipfile.ZipFile(tmp_path / "MLQA_V1.zip", "w") as archive:
        archive.writestr("MLQA_V1/dev/dev-context-en-question-de.json", json.dumps(content))
    return tmp_path / "MLQA_V1.zip"


def test_list_shows_every_dataset(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "list", "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == registry.names("dataset")
    assert all(row["licence"] and row["languages"] and row["source"] and row["help"] for row in rows)
    known = {field.name for field in dataclasses.fields(Request)}
    assert all(set(registry.load("dataset", row["name"]).options) <= known for row in rows)
    assert run(monkeypatch, "list") == 0
    assert "mlqa: " in capsys.readouterr().out


def test_prepare_describe_validate(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], mlqa_zip: Path, tmp_path: Path
) -> None:
    out = tmp_path / "c"
    arguments = ("prepare", "mlqa", "--source", mlqa_zip, "--subset", "en-de", "--out", out, "--json")
    assert run(monkeypatch, *arguments, "--dry-run") == 0
    planned = json.loads(capsys.readouterr().out)
    assert planned["counts"] == {"passages": 1, "queries": 1, "qrels/dev": 1}
    assert planned["text_bytes"] == len("Rome is old." + "Wie alt?" + "old")
    assert not out.exists()
    assert run(monkeypatch, *arguments, "--format", "parquet") == 0
    assert json.loads(capsys.readouterr().out)["counts"] == planned["counts"]
    assert run(monkeypatch, *arguments) == 2
    assert "not empty" in capsys.readouterr().err
    assert run(monkeypatch, *arguments, "--overwrite") == 0
    written = {str(p) for p in out.rglob("*") if p.is_file()}
    assert written == set(planned["files"])
    capsys.readouterr()
    assert run(monkeypatch, "describe", out, "--json") == 0
    assert json.loads(capsys.readouterr().out)["splits"]["dev"]["coverage"] == 1.0
    assert run(monkeypatch, "validate", out) == 0
    assert "0 problems" in capsys.readouterr().out


def test_validate_exits_3_and_lists(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "corpus.jsonl").write_text('{"_id": "a", "text": ""}\n', encoding="utf-8")
    (tmp_path / "queries.jsonl").write_text("", encoding="utf-8")
    assert run(monkeypatch, "validate", tmp_path, "--lang", "en") == 3
    captured = capsys.readouterr()
    assert "empty text: 1" in captured.out
    assert "corpus.jsonl:1" in captured.out
    assert "2 problems" in captured.err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("mlqb",), 2, "did you mean 'mlqa'"),
        (("mlqa",), 2, "needs --subset"),
        (("mlqa", "--subset", "en-fr"), 2, "no dev subset 'en-fr'; present: en-de"),
        (("mlqa", "--subset", "en-de", "--split", "train"), 2, "unknown MLQA split"),
        (("mlqa", "--lang", "xx"), 2, "unknown language"),
        (("mlqa", "--subset", "en-de", "--unit", "sentence"), 2, "takes no --unit"),
        (("jaquad", "--half", "tune"), 2, "takes no --half; its options: --split"),
        (("squad",), 2, "pass --lang"),
        (("xquad",), 2, "needs --subset"),
    ],
)
def test_refusals(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    mlqa_zip: Path,
    tmp_path: Path,
    arguments: tuple[str, ...],
    code: int,
    message: str,
) -> None:
    assert run(monkeypatch, "prepare", *arguments, "--source", mlqa_zip, "--out", tmp_path / "c") == code
    assert message in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["MLQA_V1.zip"]


def test_a_hostile_zip_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], mlqa_zip: Path, tmp_path: Path
) -> None:
    with zipfile.ZipFile(mlqa_zip, "a") as archive:
        archive.writestr("../../evil.json", "{}")
    assert (
        run(
            monkeypatch, "prepare", "mlqa", "--source", mlqa_zip, "--subset", "en-de", "--out", tmp_path / "c"
        )
        == 3
    )
    assert "leads outside" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["MLQA_V1.zip"]


def test_a_beir_folder_and_questions_without_passages(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    beir = tmp_path / "beir"
    (beir / "qrels").mkdir(parents=True)
    (beir / "corpus.jsonl").write_text('{"_id": 1, "text": "x"}\n', encoding="utf-8")
    (beir / "queries.jsonl").write_text('{"_id": "q", "text": "y"}\n', encoding="utf-8")
    (beir / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\t1\t1\n", encoding="utf-8")
    pool = tmp_path / "pool"
    assert run(monkeypatch, "prepare", "beir", "--source", beir, "--out", pool) == 3
    assert "no lang" in capsys.readouterr().err
    languages = ("--lang", "en", "--query-lang", "de")
    assert run(monkeypatch, "prepare", "beir", "--source", beir, *languages, "--out", pool) == 0
    assert json.loads((pool / "queries.jsonl").read_text(encoding="utf-8"))["lang"] == "de"
    row = {"id": "1", "question": "a?", "answers": ["x"], "lang": "te"}
    (tmp_path / "xor.jsonl").write_text(json.dumps(row), encoding="utf-8")
    questions = ("prepare", "xor-retrieve", "--source", tmp_path / "xor.jsonl", "--out", tmp_path / "x")
    assert run(monkeypatch, *questions) == 2
    assert "--corpus" in capsys.readouterr().err
    assert run(monkeypatch, *questions, "--corpus", pool) == 0
    assert run(monkeypatch, "validate", tmp_path / "x") == 0
