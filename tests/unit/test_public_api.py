"""The public names, and what importing the package leaves alone."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import babelweave
from babelweave import errors

HEAVY = ["torch", "transformers", "sentence_transformers", "scipy", "faiss", "bm25s", "pyarrow"]
PACKAGE = Path(babelweave.__file__).parent
IMPORTS = "import json, sys, {module}; print(json.dumps(sorted(sys.modules)))"


def imported_by(module: str) -> set[str]:
    found = subprocess.run(
        [sys.executable, "-c", IMPORTS.format(module=module)], capture_output=True, text=True, check=True
    )
    return set(json.loads(found.stdout))


def test_every_name_resolves_to_what_bears_it() -> None:
    for name in babelweave.__all__:
        found = getattr(babelweave, name)
        assert getattr(found, "__name__", name) in (name, "Mapping"), name  # Qrels is a type alias


def test_names_are_sorted_and_listed() -> None:
    assert list(babelweave.__all__) == sorted(set(babelweave.__all__))
    assert set(babelweave.__all__) < set(dir(babelweave))


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.name: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name == alias.asname
    }
    assert seen == {name: f"babelweave.{home}" for name, home in babelweave._HOME.items()}


def test_no_name_hides_a_package() -> None:
    """`babelweave.evaluate` must be the same thing before and after something imported the package."""
    assert not set(babelweave.__all__) & {path.stem for path in PACKAGE.iterdir()}


def test_the_whole_error_tree_is_public() -> None:
    tree, pending = set(), [errors.BabelweaveError]
    while pending:
        found = pending.pop()
        tree.add(found.__name__)
        pending += found.__subclasses__()
    assert tree == {name for name in babelweave.__all__ if name.endswith("Error")}


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"module 'babelweave' has no attribute 'encodings'"):
        babelweave.encodings  # noqa: B018


@pytest.mark.parametrize("module", ["babelweave", "babelweave.cli.main"])
def test_importing_loads_nothing_heavy(module: str) -> None:
    assert not imported_by(module) & set(HEAVY)


def test_the_import_test_can_fail() -> None:
    assert "pyarrow" in imported_by("babelweave.encode.store")
