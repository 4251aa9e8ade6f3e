"""The how-to pages are true: their examples are run, in order, in an empty folder per page.

    ```console        `$ babelweave ...` is run; lines below a command stand in its output in that order;
                      `...` stands for anything; an `error:` line among them means that the command fails
    ```python         is run, names are kept down the page; an ```output block after it is what it prints
    ```tsv file=PATH  (or any other language) is written to PATH
    ```text           is not run: it needs a network, a model or the publishers' data

A page that uses the small collection without writing it begins with the files of `search-your-collection.md`.
"""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from babelweave.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
HOW_TO = ROOT / "docs" / "how-to"
FIRST = HOW_TO / "search-your-collection.md"
PAGES = sorted(HOW_TO.glob("*.md"))
_FENCE = re.compile(r"^```(\w+)(?: file=(\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\((?!https?://)([^)#]+)(?:#[^)]*)?\)")
_RUN = {"console", "python", "output", "text"}


class Block(NamedTuple):
    kind: str
    file: str | None
    body: str
    line: int


class PageError(AssertionError):
    """A page says what is not so."""


def blocks(text: str) -> list[Block]:
    """Every fenced block, with the line it begins on."""
    return [Block(m[1], m[2], m[3], text.count("\n", 0, m.start()) + 1) for m in _FENCE.finditer(text)]


def commands(body: str) -> Iterator[tuple[str, list[str]]]:
    """(command, output shown) of a console block; a backslash at the end continues a command."""
    lines = iter(body.replace("\\\n", " ").splitlines())
    shown: list[str] = []
    command = ""
    for line in lines:
        if line.startswith("$ "):
            if command:
                yield command, shown
            command, shown = line[2:], []
        elif line.strip():
            shown.append(line)
    if command:
        yield command, shown


def run_command(command: str) -> tuple[int, str]:
    """Exit code and output (both streams) of a `babelweave` command, in this process."""
    program, *arguments = shlex.split(command)
    if program != "babelweave":
        raise PageError(f"only babelweave commands are run, not {command!r}")
    out = io.StringIO()
    argv, sys.argv = sys.argv, ["babelweave", *arguments]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            main()
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        sys.argv = argv
    return code, out.getvalue()


def missing(shown: list[str], printed: str) -> str | None:
    """The first shown line that the output lacks, after the lines found before it; None if all are there."""
    real = iter(printed.splitlines())
    for line in shown:
        if line.strip() == "...":
            continue
        pattern = re.compile(".*".join(map(re.escape, line.rstrip().split("..."))) + r"\s*")
        if not any(pattern.fullmatch(found) for found in real):
            return line
    return None


def write(file: str, body: str) -> None:
    path = Path(file)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(body, encoding="utf-8")


def check(text: str) -> None:
    """Run a page in the current folder.

    Raises:
        PageError: naming the line of the block, the command, and what it printed.
    """
    names: dict[str, object] = {"__name__": "page"}
    printed = ""
    for block in blocks(text):
        if block.file is not None:
            write(block.file, block.body)
        elif block.kind == "python":
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                exec(compile(block.body, f"line {block.line}", "exec"), names)
            printed = out.getvalue()
        elif block.kind == "output":
            if (line := missing(block.body.splitlines(), printed)) is not None:
                raise PageError(f"line {block.line}: {line!r} is not in\n{printed}")
        elif block.kind == "console":
            for command, shown in commands(block.body):
                code, real = run_command(command)
                fails = any(line.startswith("error:") for line in shown)
                if bool(code) != fails:
                    raise PageError(f"line {block.line}: {command!r} gave exit code {code}:\n{real}")
                if (line := missing(shown, real)) is not None:
                    raise PageError(f"line {block.line}: {command!r}: {line!r} is not in\n{real}")
        elif block.kind not in _RUN:
            raise PageError(f"line {block.line}: a {block.kind} block names no file and cannot be run")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_page_does_what_it_says(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BABELWEAVE_DATA", raising=False)  # it would choose another lexicon
    text = page.read_text(encoding="utf-8")
    own = blocks(text)
    assert any(block.kind in ("console", "python") for block in own)
    if not any(block.file == "beir/corpus.jsonl" for block in own):
        for block in blocks(FIRST.read_text(encoding="utf-8")):
            if block.file is not None:
                write(block.file, block.body)
    check(text)


@pytest.mark.parametrize(
    "page", sorted(ROOT.glob("docs/**/*.md")) + sorted(ROOT.glob("*.md")), ids=lambda p: p.name
)
def test_links_lead_somewhere(page: Path) -> None:
    targets = _LINK.findall(page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


class TestTheTest:
    """A wrong page is noticed."""

    @pytest.mark.parametrize(
        "body",
        [
            "```console\n$ babelweave --version\nbabelweave 99\n```\n",
            "```console\n$ babelweave data validate nowhere\n```\n",
            "```console\n$ babelweave --version\nerror: no\n```\n",
            "```console\n$ rm -r x\n```\n",
            "```python\nprint(1)\n```\n\n```output\n2\n```\n",
            "```bash\nls\n```\n",
        ],
    )
    def test_wrong_pages(self, body: str) -> None:
        with pytest.raises(PageError):
            check(body)

    def test_a_right_page(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        check(
            "```json file=a/b.json\n1\n```\n"
            "```python\nfrom pathlib import Path\nx = Path('a/b.json').read_text()\n```\n"
            "```python\nprint('is', x)\n```\n```output\nis 1\n```\n"
            "```console\n$ babelweave \\\n  --version\nbabelweave ...\n$ babelweave data validate nowhere\n"
            "error: nowhere: ...\n```\n"
        )

    def test_order_counts(self) -> None:
        assert missing(["b", "a"], "a\nb\n") == "a"
        assert missing(["a ... d", "e"], "a b c d\n\ne  \n") is None
