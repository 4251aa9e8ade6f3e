"""`data leaks` as it is run: exit codes, the list, JSON, exceptions, and the list it writes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import training_cases as cases
from babelweave.data.squad import text_sha1

Cli = Callable[..., tuple[int, str, str]]
LEAK = " ".join(cases.HELD_OUT.split()[10:60])


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("BABELWEAVE_DATA", raising=False)
    root = tmp_path / "data"
    cases.write_parallel(root)
    cases.write_evaluations(root)
    cases.write(root / "tatoeba" / "eng-ces.tsv.gz", f"Hi.\tAhoj!\nHeld out?\t{LEAK}\n")
    return root


def test_leaks_end_with_exit_code_3(cli: Cli, root: Path) -> None:
    code, out, err = cli("data", "leaks", "tatoeba", "mkqa", "--root", root)
    assert code == 3
    assert "tatoeba: 8 texts, 7 of them too short for 8-grams" in out
    assert "leak: tatoeba " in out
    assert "holds mlqa-dev passage en-" in out
    assert "by 100% (43 8-grams): held10 held11" in out
    assert "2 leaks, 0 excepted" in out
    assert err.splitlines()[-1] == "error: 2 training texts hold evaluation texts"


def test_clean_data_ends_with_0(cli: Cli, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BABELWEAVE_DATA", str(root))
    code, out, _ = cli("data", "leaks", "mkqa", "ntrex128")
    assert (code, out.splitlines()[-1]) == (0, "0 leaks, 0 excepted")
    assert cli("data", "leaks", "tatoeba", "--against", "xquad-r", "--against", "xor-dev")[0] == 0
    assert cli("data", "leaks", "tatoeba", "--against", "squad-dev")[0] == 3


def test_what_was_written_is_an_exception_later(cli: Cli, root: Path, tmp_path: Path) -> None:
    found = tmp_path / "found.jsonl"
    arguments = ("data", "leaks", "tatoeba", "--root", root, "--json")
    code, out, _ = cli(*arguments, "--out", found, "--dry-run")
    assert (code, found.exists()) == (3, False)
    assert json.loads(out)["exclusion_list"] == {"file": str(found), "rows": 0}
    code, out, _ = cli(*arguments, "--out", found)
    result = json.loads(out)
    assert result["checked"] == {"tatoeba": {"n_texts": 8, "n_short": 7}}
    assert [(leak["kind"], leak["overlap"], leak["shared"]) for leak in result["leaks"]] == [
        ("question", 1.0, 0), ("passage", 1.0, 43),
    ]  # fmt: skip
    rows = [json.loads(line) for line in found.read_text(encoding="utf-8").splitlines()]
    assert [(row["eval"], row["sha1"]) for row in rows] == [
        ("squad-dev", text_sha1("Held out?")), ("mlqa-dev", text_sha1(LEAK)),
    ]  # fmt: skip
    code, out, _ = cli(*arguments, "--except", found)
    assert (code, json.loads(out)["leaks"], len(json.loads(out)["excepted"])) == (0, [], 2)
    code, _, err = cli(*arguments, "--out", found)
    assert (code, f"{found} exists" in err) == (2, True)
    assert cli(*arguments, "--out", found, "--overwrite")[0] == 3


def test_refusals(cli: Cli, root: Path, tmp_path: Path) -> None:
    for arguments, code, message in [
        (("tatoeba",), 2, "name it with --root or BABELWEAVE_DATA"),
        (("tatoba", "--root", root), 2, "did you mean 'tatoeba'"),
        (("tatoeba", "--root", root, "--threshold", "0"), 2, "threshold is 0"),
        (("tatoeba", "--root", root, "--except", tmp_path / "none"), 3, "no such file"),
        (("squad", "--root", root), 3, "leak_exclusions.jsonl.gz: no such file"),
    ]:
        found = cli("data", "leaks", *arguments)
        assert (found[0], message in found[2]) == (code, True), found
