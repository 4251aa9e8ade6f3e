"""`index` and `search` from the command line, on a collection of six passages."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from babelweave.cli.main import main
from babelweave.data.collection import write_collection
from babelweave.data.trec import read_run
from babelweave.records import Passage, Query
from conftest import Cli
from tiny_models import write_cross_encoder, write_static_encoder

WORDS = "fox dog bird fish tree moon".split()
PASSAGES = [
    Passage(f"p{i}", f"{a} {b} {c}", "en", title=a.title())
    for i, (a, b, c) in enumerate(
        [
            ("fox", "dog", "bird"),
            ("dog", "dog", "fish"),
            ("bird", "tree", "moon"),
            ("fish", "moon", "moon"),
            ("tree", "tree", "tree"),
            ("moon", "fox", "fox"),
        ]
    )
]
QUERIES = [Query("q1", "fox", "en"), Query("q2", "tree moon", "en"), Query("q3", "nothing", "en")]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collection, an encoder and a cross-encoder; indexes are made by the first test that asks."""
    folder = tmp_path_factory.mktemp("place")
    write_collection(folder / "beir", PASSAGES, QUERIES, {"dev": {"q1": {"p0": 1}}}, settings={})
    write_static_encoder(folder / "encoder", WORDS)
    write_cross_encoder(folder / "model", WORDS)
    for arguments in (
        ["encode", "beir", "--encoder", "encoder", "--out", "store"],
        ["index", "store", "--spec", "flat", "--out", "dense"],
        ["index", "beir", "--spec", "bm25", "--out", "bm25"],
    ):
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            patch.setattr(sys, "argv", ["babelweave", *arguments])
            with pytest.raises(SystemExit, match=r"^0$"):
                main()
    return folder


@pytest.fixture
def here(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(place)
    return place


def test_one_question_shows_titles_and_texts(cli: Cli, here: Path) -> None:
    code, out, _ = cli("search", "bm25", "--query", "fish", "--collection", "beir", "--top", 2)
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == "fish"
    assert lines[1].split()[0] == "1"
    assert lines[1].split()[2:] == ["p3", "Fish"]
    assert lines[2].strip() == "fish moon moon"


def test_json_holds_every_hit(cli: Cli, here: Path) -> None:
    _, out, _ = cli("search", "bm25", "--query", "fish", "--query", "zebra", "--json")
    first, second = json.loads(out)["queries"]
    assert [hit["doc_id"] for hit in first["hits"]] == ["p3", "p1"]
    assert first["hits"][0]["score"] > first["hits"][1]["score"] > 0
    assert second == {"query_id": "2", "query": "zebra", "hits": []}


def test_lines_of_standard_input_are_questions(cli: Cli, here: Path) -> None:
    _, out, _ = cli("search", "bm25", "--json", stdin="fish\n\n  tree \n")
    assert [q["query"] for q in json.loads(out)["queries"]] == ["fish", "tree"]


def test_every_script_is_printed_and_read_whatever_the_locale(here: Path) -> None:
    command = [sys.executable, "-m", "babelweave", "search", "bm25", "--json"]
    ascii_only = {**os.environ, "PYTHONIOENCODING": "ascii"}
    found = subprocess.run(command, input="fish 河\n".encode(), capture_output=True, env=ascii_only)
    assert json.loads(found.stdout)["queries"][0]["query"] == "fish 河"
    found = subprocess.run(command, input=b"fish\ncaf\xe9\n", capture_output=True, env=ascii_only)
    assert (found.returncode, found.stdout) == (3, b"")
    assert found.stderr == b"error: question 2 is not UTF-8; convert it\n"


@pytest.mark.skipif(sys.platform == "win32", reason="no closing of descriptors as on Unix")
def test_no_standard_input_at_all(here: Path) -> None:
    closed = f"{sys.executable} -m babelweave search bm25 <&-"
    found = subprocess.run(closed, shell=True, capture_output=True, text=True)
    assert found.returncode == 2
    assert found.stderr.startswith("error: no question")


def test_a_run_is_written_and_reads_back(cli: Cli, here: Path, tmp_path: Path) -> None:
    path = tmp_path / "run.trec"
    arguments = ("search", "dense", "--encoder", "encoder", "--collection", "beir", "--top", 4, "--out", path)
    code, out, _ = cli(*arguments, "--dry-run", "--json")
    assert code == 0
    assert json.loads(out)["questions"] == 3
    assert not path.exists()
    code, out, _ = cli(*arguments, "--json")
    assert code == 0
    facts = json.loads(out)
    assert (facts["questions"], facts["hits"], facts["without_hits"]) == (3, 12, 0)
    assert [len(ids) for ids in read_run(path).doc_ids] == [4, 4, 4]
    code, _, err = cli(*arguments)
    assert code == 2
    assert "--overwrite" in err


def test_questions_without_hits_are_counted(cli: Cli, here: Path, tmp_path: Path) -> None:
    _, out, _ = cli("search", "bm25", "--queries", "beir", "--out", tmp_path / "r.trec", "--json")
    assert json.loads(out)["without_hits"] == 1


def test_two_indexes_are_fused(cli: Cli, here: Path) -> None:
    _, out, _ = cli("search", "dense", "bm25", "--encoder", "encoder", "--query", "tree", "--json")
    hits = json.loads(out)["queries"][0]["hits"]
    assert hits[0]["doc_id"] == "p4"
    assert hits[0]["score"] == pytest.approx(2 / 61)
    assert len(hits) == 6


def test_weights_need_one_for_each_index(cli: Cli, here: Path) -> None:
    code, _, err = cli("search", "bm25", "bm25", "--query", "fox", "--weight", 1, "--fusion", "z")
    assert code == 2
    assert "1 weights for 2 runs" in err


def test_a_re_ranker_reads_the_texts(cli: Cli, here: Path) -> None:
    code, _, err = cli("search", "bm25", "--query", "fox", "--rerank", "model")
    assert code == 2
    assert "name the collection" in err
    code, out, err = cli(
        "search", "bm25", "--query", "fox", "--rerank", "model?max_tokens=8", "--collection", "beir", "--json"
    )
    assert code == 0
    assert {h["doc_id"] for h in json.loads(out)["queries"][0]["hits"]} == {"p0", "p5"}
    assert "2 pairs" not in out
    assert "cut: 2 pairs" not in err  # 1 + 4 words and 3 special tokens are just 8


def test_cut_texts_are_told(cli: Cli, here: Path) -> None:
    code, _, err = cli(
        "search", "bm25", "--query", "fox fox", "--rerank", "model?max_tokens=8", "--collection", "beir"
    )
    assert code == 0
    assert "cut: 2 pairs" in err


def test_another_encoder_is_refused(cli: Cli, here: Path, tmp_path: Path) -> None:
    write_static_encoder(tmp_path / "other", WORDS, seed=1)
    code, _, err = cli("search", "dense", "--query", "fox", "--encoder", tmp_path / "other")
    assert code == 3
    assert "digest:" in err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["search", "beir", "--query", "x"], 3, "kind 'collection', kind 'index'"),
        (["search", "gone", "--query", "x"], 3, "not a babelweave index"),
        (["search", "dense", "--query", "x", "--weight", "2"], 2, "one is given"),
        (["search", "bm25", "--query", " "], 2, "no question"),
        (["search", "bm25"], 2, "no question"),
        (["search", "bm25?k1=3", "--query", "x"], 2, "no search options"),
        (["index", "store", "--spec", "ivf64", "--out", "x"], 2, "6 rows are too few"),
        (["index", "store", "--spec", "hnws", "--out", "x"], 2, "did you mean 'hnsw'"),
        (["index", "store", "--out", "bm25"], 2, "--overwrite"),
        (["index", "store", "--spec", "bm25", "--out", "x"], 3, "not a collection"),
    ],
)
def test_errors_name_the_way_out(cli: Cli, here: Path, arguments: list[str], code: int, message: str) -> None:
    found, out, err = cli(*arguments)
    assert (found, out) == (code, "")
    assert message in err
    assert not (here / "x").exists()


def test_index_dry_run_tells_and_writes_nothing(cli: Cli, here: Path) -> None:
    _, out, _ = cli("index", "store", "--spec", "ivf", "--out", "x", "--dry-run", "--json")
    plan = json.loads(out)
    assert (plan["rows"], plan["kind"], plan["vector_bytes"]) == (6, "IVF1,Flat", 6 * 16 * 4)
    _, out, _ = cli("index", "beir", "--spec", "bm25", "--out", "x", "--dry-run", "--json")
    assert json.loads(out)["passages"] == 6
    assert not (here / "x").exists()


def test_index_result(cli: Cli, here: Path, tmp_path: Path) -> None:
    _, out, _ = cli("index", "store", "--spec", "hnsw?efSearch=99", "--out", tmp_path / "h", "--json")
    result = json.loads(out)
    assert result["kind"] == "HNSW32"
    assert result["spec"] == "hnsw?efSearch=99"
    assert result["counts"] == {"rows": 6, "passages": 6}


def test_a_terminal_gets_a_prompt(place: Path) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "babelweave", "search", "bm25", "--collection", "beir", "--top", "1"]
    process = subprocess.Popen(
        command, cwd=place, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    os.close(theirs)
    os.write(ours, b"fish\ntree\n\n")
    out, err = process.communicate(timeout=120)
    os.close(ours)
    assert process.returncode == 0, err
    assert [line.split()[2] for line in out.splitlines() if line.startswith("   1")] == ["p3", "p4"]
    assert err.count("> ") == 3


def test_importing_search_and_index_stays_light() -> None:
    code = (
        "import sys, babelweave.cli.search, babelweave.cli.index, babelweave.index.dense, "
        "babelweave.search.pipeline; print([m for m in "
        "('torch', 'transformers', 'sentence_transformers', 'scipy', 'faiss', 'bm25s') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
