"""The import contracts of pyproject.toml hold, and would notice an import against the stream."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
AGAINST = [
    ("encode/checks.py", "babelweave.generate.terms", "Stages build on the stages before them"),
    ("errors.py", "babelweave.cli.console", "Stages build on the stages before them"),
    ("study/summary.py", "babelweave.study.run", "A study's arithmetic"),
    ("evaluate/compare.py", "babelweave.evaluate.results", "Benchmarks use the arithmetic"),
]


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=folder,
        env={"PYTHONPATH": str(folder / "src")},
        capture_output=True,
        text=True,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The sources and their contracts, to be spoilt."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(
        ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
    )
    return tmp_path


def test_contracts_hold() -> None:
    found = lint(ROOT)
    assert found.returncode == 0, found.stdout + found.stderr
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    assert f"Contracts: {len(contracts)} kept, 0 broken." in found.stdout


@pytest.mark.parametrize(("file", "module", "contract"), AGAINST)
def test_an_import_against_the_stream_is_noticed(copy: Path, file: str, module: str, contract: str) -> None:
    path = copy / "src" / "babelweave" / file
    path.write_text(f"{path.read_text()}\nimport {module}\n")
    found = lint(copy)
    assert found.returncode != 0
    assert any(line.startswith(contract) and "BROKEN" in line for line in found.stdout.splitlines())
