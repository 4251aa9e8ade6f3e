"""Write docs/reference/cli.md and docs/reference/catalogue.md from the program itself.

Run `python docs/generate.py` after changing a verb, an option, a registry row or an error; a test fails
while the committed pages differ from what this prints.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import typer

from babelweave import errors, registry
from babelweave.cli.main import app
from babelweave.data.prepare import catalogue
from babelweave.evaluate.measures import DEFAULT, KNOWN
from babelweave.evaluate.token_recall import LIMITS

REFERENCE = Path(__file__).parent / "reference"
WIDTH = 100
PLURALS = {"index": "indexes", "parallel": "parallel texts", "relevance": "training questions"}
NOTE = "<!-- Written by docs/generate.py; do not edit. -->\n"


def commands(command: Any, path: tuple[str, ...] = ("babelweave",)) -> Iterator[tuple[tuple[str, ...], Any]]:
    """(words, command) of a command and all below it, in the order of the help."""
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, (*path, name))


def cli_page() -> str:
    """The help of every verb."""
    parts = [
        NOTE,
        "# Command line\n",
        "Results go to standard output, everything else to standard error. `--json` prints the result as "
        "one JSON value. A SPEC is a name, a folder or a Hub id with options: `minilm?precision=float32`. "
        "Exit codes are in [the catalogue](catalogue.md#errors-and-exit-codes).\n",
    ]
    for path, command in commands(typer.main.get_command(app)):
        context = typer.Context(
            command, info_name=" ".join(path), terminal_width=WIDTH, max_content_width=WIDTH
        )
        text = "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
        parts += [f"## {' '.join(path)}\n", f"```text\n{text}\n```\n"]
    return "\n".join(parts)


def catalogue_page() -> str:
    """Every registered part, the measures, and the error tree."""
    parts = [
        NOTE,
        "# Catalogue\n",
        'A part with an extra needs `pip install "babelweave[EXTRA]"`; the others come with babelweave.\n',
    ]
    for kind in registry.TABLE:
        parts.append(f"## {PLURALS.get(kind, f'{kind}s').capitalize()}\n")
        parts.append(_datasets() if kind == "dataset" else _rows(kind))
    limits = ", ".join(f"{name} (the first {limit} tokens)" for name, limit in LIMITS.items())
    parts += [
        "## Measures\n",
        f"Default: {', '.join(DEFAULT)}. Known by name: {', '.join(KNOWN)}; any measure of ir_measures that "
        "trec_eval, MS MARCO's scorer or Judged@k computes works, with any cutoff.\n",
        f"Where questions have answers: {limits}.\n",
        "## Errors and exit codes\n",
        "0 done, 2 also for what the command line itself refuses, 130 interrupted (Ctrl-C).\n",
        f"```text\n{inspect.cleandoc(errors.__doc__ or '')}\n```\n",
    ]
    return "\n".join(parts)


def _rows(kind: str) -> str:
    rows = [(f"`{name}`", entry.help, entry.extra or "") for name, entry in registry.TABLE[kind].items()]
    return _table(("name", "what it is", "extra"), sorted(rows))


def _datasets() -> str:
    rows = []
    for row in catalogue():
        options = " ".join(f"`{option}`" for option in row["options"].split())
        what = f"{row['help']}. Source: {row['source']}"
        rows.append((f"`{row['name']}`", what, row["languages"], options, row["licence"], row["extra"]))
    return _table(("name", "what it is", "languages", "options", "licence", "extra"), rows)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    escaped = ([cell.replace("|", "\\|") for cell in line] for line in lines)
    return "".join(f"| {' | '.join(cells)} |\n" for cells in escaped)


PAGES = {"cli.md": cli_page, "catalogue.md": catalogue_page}


def main() -> None:
    for name, page in PAGES.items():
        (REFERENCE / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
