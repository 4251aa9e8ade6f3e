"""`benchmark --perturb` from the command line: what is printed, kept, compared and refused."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from conftest import Cli

TEXTS = ["red fox runs", "blue whale swims", "green frog jumps"]
QUESTIONS = {
    "en": ["red fox runs?", "blue whale swims?", "green frog jumps?"],
    "zh": ["红狐狸在哪里？", "蓝鲸在哪里？", "绿青蛙在哪里？"],
}


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mlqa") / "MLQA_V1.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for lang, questions in QUESTIONS.items():
            paragraphs = [
                {
                    "context": text,
                    "qas": [{"id": f"q{i}", "question": q, "answers": [{"text": "", "answer_start": 0}]}],
                }
                for i, (text, q) in enumerate(zip(TEXTS, questions, strict=True))
            ]
            content = {"version": 1.0, "data": [{"title": "t", "paragraphs": paragraphs}]}
            archive.writestr(f"MLQA_V1/dev/dev-context-en-question-{lang}.json", json.dumps(content))
    return path


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def test_questions_are_perturbed_counted_and_compared(cli: Cli, release: Path, tmp_path: Path) -> None:
    common = ("benchmark", "mlqa", "--source", release, "--encoder", "bm25")
    assert cli(*common, "--out", tmp_path / "clean")[0] == 0
    perturbed = ("--perturb", "keyboard", "--severity", 5, "--perturb-seed", 7)
    code, out, err = cli(*common, *perturbed, "--baseline", tmp_path / "clean", "--out", tmp_path / "typos")
    assert code == 0, err
    assert "Perturbed: keyboard, severity 5, seed 7" in out
    assert "Against the baseline" in out
    clean, typos = (read(tmp_path / name / "results.json") for name in ("clean", "typos"))
    assert "perturbation" not in clean["signature"]
    assert set(typos) == set(clean)
    done = typos["signature"]["perturbation"]
    assert (done["name"], done["severity"], done["seed"]) == ("keyboard", 5, 7)
    assert done["counts"] == {
        "en": {"changed": 3, "unchanged": 0, "not_claimed": 0},
        "zh": {"changed": 0, "unchanged": 0, "not_claimed": 3},
    }
    assert typos["subsets"]["en-en"]["RR@10"] <= clean["subsets"]["en-en"]["RR@10"] == 1.0
    assert typos["signature"]["questions"] == clean["signature"]["questions"], "the same questions were asked"
    assert read(tmp_path / "typos" / "comparison.json")["comparisons"]
    assert cli(*common, *perturbed, "--out", tmp_path / "again")[0] == 0
    assert read(tmp_path / "again" / "results.json") == typos


def test_severity_0_is_the_clean_run(cli: Cli, release: Path, tmp_path: Path) -> None:
    common = ("benchmark", "mlqa", "--source", release, "--encoder", "bm25", "--json")
    clean = json.loads(cli(*common)[1])
    code, out, err = cli(*common, "--perturb", "word_order", "--severity", 0)
    assert code == 0, err
    assert json.loads(out)["subsets"] == clean["subsets"]


def test_truncated_questions_still_find_by_their_first_words(cli: Cli, release: Path) -> None:
    code, out, err = cli(
        "benchmark", "mlqa", "--source", release, "--encoder", "bm25", "--perturb", "truncate", "--json"
    )
    assert code == 0, err
    found = json.loads(out)
    assert found["subsets"]["en-en"]["RR@10"] == 1.0
    assert found["signature"]["perturbation"]["severity"] == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--severity", 2], "pass --perturb as well"),
        (["--perturb", "keybord"], "did you mean 'keyboard'"),
        (["--perturb", "case", "--severity", 6], "from 0 (no change) to 5"),
        (["--perturb", "case?form=big"], "unknown form 'big'"),
    ],
)
def test_refused(cli: Cli, release: Path, options: list[object], message: str) -> None:
    code, _, err = cli("benchmark", "mlqa", "--source", release, "--encoder", "bm25", *options)
    assert code == 2
    assert message in err


@pytest.mark.data
def test_the_other_benchmarks_take_it_too(cli: Cli, data_root: Path, tmp_path: Path) -> None:
    pool = tmp_path / "pool.jsonl"
    pool.write_text(json.dumps({"_id": "1", "text": "A bridge.", "lang": "en"}) + "\n")
    for options in (
        ("xquad-r", "--source", data_root / "xquad-r", "--subsets", "de-de"),
        ("xor-retrieve", "--source", data_root / "xor-tydi", "--pool", pool),
    ):
        code, out, err = cli("benchmark", *options, "--encoder", "bm25", "--perturb", "truncate", "--json")
        assert code == 0, err
        counts = json.loads(out)["signature"]["perturbation"]["counts"]
        assert all(n["changed"] > n["unchanged"] + n["not_claimed"] for n in counts.values())
