"""The command line as a whole: documented, exit codes, interrupts and closed pipes."""

from __future__ import annotations

import json
import os
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from babelweave import __version__, registry
from babelweave.cli.main import app, main
from babelweave.data.collection import write_collection
from babelweave.records import Passage, Query

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "docs" / "reference"
GENERATE: dict[str, Any] = runpy.run_path(str(ROOT / "docs" / "generate.py"))
COMMANDS = dict(GENERATE["commands"](typer.main.get_command(app)))
VERBS = [path for path, command in COMMANDS.items() if not hasattr(command, "commands")]
WRITES_WITHOUT_DRY_RUN = {"demo", "tune"}  # their cost is the work, not what they write


def babelweave(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "babelweave", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, **options)


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Passages for three shards of generated queries."""
    folder = tmp_path_factory.mktemp("collection") / "beir"
    passages = [
        Passage(
            f"p{i}", f"The river bank of town {i} has {i + 2} bridges, and the market opens at noon.", "en"
        )
        for i in range(2100)
    ]
    write_collection(folder, passages, [Query("q1", "Wie viele Brücken?", "de")], {"test": {"q1": {"p1": 1}}})
    return folder


class TestDocumented:
    @pytest.mark.parametrize("page", sorted(GENERATE["PAGES"]))
    def test_page_is_what_the_program_says(self, page: str) -> None:
        """`python docs/generate.py` writes the pages anew."""
        assert (REFERENCE / page).read_text(encoding="utf-8") == GENERATE["PAGES"][page]()

    @pytest.mark.parametrize("width", [60, 200])
    def test_pages_do_not_depend_on_the_terminal(self, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setenv("TERMINAL_WIDTH", str(width))
        assert GENERATE["cli_page"]() == (REFERENCE / "cli.md").read_text(encoding="utf-8")

    @pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
    def test_help(self, path: tuple[str, ...]) -> None:
        result = CliRunner().invoke(app, [*path[1:], "--help"])
        assert result.exit_code == 0
        assert "\b" not in result.stdout
        assert COMMANDS[path].help

    @pytest.mark.parametrize("path", VERBS, ids=" ".join)
    def test_every_verb_prints_json_and_explains_its_options(self, path: tuple[str, ...]) -> None:
        options = {name: p for p in COMMANDS[path].params for name in p.opts}
        assert "--json" in options
        assert all(p.help for p in options.values() if hasattr(p, "help"))
        if "--out" in options and path[1] not in WRITES_WITHOUT_DRY_RUN:
            assert "--dry-run" in options
        if "--out" in options:
            assert "--overwrite" in options

    def test_benchmarks_are_registered(self) -> None:
        verbs = {path[2] for path in COMMANDS if path[:2] == ("babelweave", "benchmark") and path[2:]}
        assert verbs == set(registry.names("benchmark"))
        for name in verbs:
            assert callable(registry.load("benchmark", name))


class TestExitCodes:
    @pytest.mark.parametrize(
        ("arguments", "code", "message"),
        [
            (["encode", "{collection}", "--out", "x", "--frobnicate"], 2, "No such option: --frobnicate"),
            (["encode", "{collection}"], 2, "Missing option '--out'"),
            (["frobnicate"], 2, "No such command 'frobnicate'"),
            (
                ["generate", "{collection}", "--languages", "de", "--out", "x", "--generator", "lexicl"],
                2,
                "did you mean 'lexical'",
            ),
            (["generate", "{collection}", "--languages", "xx", "--out", "x"], 2, "xx"),
            (["data", "prepare", "mlqq", "--source", ".", "--out", "x"], 2, "did you mean 'mlqa'"),
            (["data", "validate", "nowhere"], 3, "nowhere: no such folder"),
            (["index", "nowhere", "--out", "x"], 3, "nowhere"),
            (["evaluate", "nowhere.trec", "--qrels", "{collection}"], 3, "nowhere.trec: no such file"),
        ],
    )
    def test_code_and_message(
        self,
        arguments: list[str],
        code: int,
        message: str,
        collection: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(
            sys, "argv", ["babelweave", *(a.format(collection=collection) for a in arguments)]
        )
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capsys.readouterr()
        assert end.value.code == code, err
        assert message in err
        assert out == ""
        assert list(tmp_path.iterdir()) == []

    def test_what_the_system_refuses_is_one_line(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A name that no file system takes; a folder one may not look into ends the same way."""
        name = "x" * 5000
        monkeypatch.setattr(sys, "argv", ["babelweave", "index", name, "--out", "y"])
        with pytest.raises(SystemExit) as end:
            main()
        assert end.value.code == 1
        assert capsys.readouterr().err.startswith("error: xxx")

    def test_codes_reach_the_shell(self, tmp_path: Path) -> None:
        found = babelweave("data", "validate", "nowhere", cwd=tmp_path)
        assert found.returncode == 3
        assert found.stderr.startswith("error: nowhere: no such folder")

    @pytest.mark.parametrize(
        ("module", "arguments", "extra"),
        [
            ("httpx", ["encode", "c", "--encoder", "openai:some-model", "--out", "x"], "openai"),
            ("datasets", ["data", "prepare", "hub", "--source", "owner/name", "--out", "x"], "datasets"),
        ],
    )
    def test_a_missing_extra_names_the_command_that_installs_it(
        self, module: str, arguments: list[str], extra: str, tmp_path: Path
    ) -> None:
        """The module is taken away from a real process."""
        blocked = f"import sys; sys.modules[{module!r}] = None\nfrom babelweave.cli.main import main; main()"
        write_collection(tmp_path / "c", [Passage("p", "text", "en")], [Query("q", "text", "en")], {})
        command = [sys.executable, "-c", blocked, *arguments]
        found = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
        assert found.returncode == 4, found.stderr
        assert f"pip install 'babelweave[{extra}]'" in found.stderr
        assert not (tmp_path / "x").exists()


class TestInterrupt:
    @pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to a child")
    def test_ctrl_c_and_again(self, collection: Path, tmp_path: Path) -> None:
        """SIGINT in the middle: exit code 130, whole shards only; run again, the same bytes."""
        queries = tmp_path / "queries"
        verb = ["generate", str(collection), "--languages", "de", "--per-language", "2"]
        command = [sys.executable, "-m", "babelweave", *verb, "--out"]
        process = subprocess.Popen(
            [*command, str(queries)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        deadline = time.monotonic() + 120
        while not list(queries.glob("shard-*.json")):
            assert process.poll() is None, "the run ended before it could be interrupted"
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 130
        assert "interrupted; nothing half-written is left" in err
        assert "Traceback" not in err
        assert out == ""
        kept = {path.name for path in queries.iterdir()}
        shards = {name[-10:-5] for name in kept if name.startswith("shard-")}
        assert kept == {"plan.json"} | {
            name for s in shards for name in (f"shard-{s}.json", f"queries-{s}.parquet")
        }
        for folder in (queries, tmp_path / "whole"):
            assert subprocess.run([*command, str(folder)], capture_output=True).returncode == 0
        assert _bytes(queries) == _bytes(tmp_path / "whole")

    @pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to a child")
    def test_ctrl_c_leaves_no_part_of_an_unsharded_artefact(self, tmp_path: Path) -> None:
        """A big enough folder that the signal arrives while it is written."""
        source, target = tmp_path / "source", tmp_path / "target"
        source.mkdir()
        target.mkdir()
        rows = (f'{{"_id": "p{i}", "text": "passage {i}", "lang": "en"}}\n' for i in range(200_000))
        (source / "corpus.jsonl").write_text("".join(rows))
        (source / "queries.jsonl").write_text('{"_id": "q", "text": "passage 7", "lang": "en"}\n')
        (source / "qrels").mkdir()
        (source / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\tp7\t1\n")
        command = [sys.executable, "-m", "babelweave", "data", "prepare", "beir", "--source", str(source)]
        process = subprocess.Popen(
            [*command, "--out", str(target / "copy")],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        deadline = time.monotonic() + 120
        while not list(target.iterdir()):
            assert process.poll() is None, "the run ended before it could be interrupted"
            assert time.monotonic() < deadline
            time.sleep(0.001)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 130, err
        assert list(target.iterdir()) == []


def _bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.skipif(sys.platform == "win32", reason="no closed pipes as on Unix")
def test_a_reader_that_stops_is_no_error(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "babelweave", "data", "list"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()  # long before the verb has anything to print
    err = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=60) == 0
    assert err == b""


def test_module_and_command_are_the_same() -> None:
    script = Path(sys.executable).parent / "babelweave"
    found = subprocess.run([script, "--version"], capture_output=True, text=True)
    assert found.stdout == babelweave("--version").stdout == f"babelweave {__version__}\n"


def test_json_is_one_value_on_stdout() -> None:
    found = babelweave("data", "list", "--json", env={**os.environ, "PYTHONIOENCODING": "utf-8"})
    assert {row["name"] for row in json.loads(found.stdout)} == set(registry.names("dataset"))
    assert found.stderr == ""
