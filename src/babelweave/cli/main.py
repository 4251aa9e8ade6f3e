"""`babelweave`: the verbs and the exit codes.

Exit codes: 0 done, 1 fault, 2 usage, 3 data, 4 missing extra, 130 interrupted.
"""

from __future__ import annotations

import errno
import sys

import typer

from babelweave import __version__
from babelweave.cli import (
    ablate,
    benchmark,
    compare,
    convert,
    data,
    demo,
    encode,
    evaluate,
    export,
    filter,  # noqa: A004
    generate,
    index,
    inspect,
    report,
    search,
    study,
    train,
    tune,
    weave,
)
from babelweave.cli.console import say, use_utf8
from babelweave.errors import BabelweaveError

INTERRUPTED = 130
"""What typer exits with, without a word, on Ctrl-C (SIGINT)."""

app = typer.Typer(
    name="babelweave",
    help="Search a collection in one language with questions in others, and measure how well it works.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"babelweave {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version."
    ),
) -> None:
    pass


app.add_typer(data.app, name="data")
app.command("generate")(generate.run)
app.command("inspect")(inspect.run)
app.command("filter")(filter.run)
app.command("encode")(encode.run)
app.command("weave")(weave.run)
app.command("tune")(tune.run)
app.command("index")(index.run)
app.command("search")(search.run)
app.command("evaluate")(evaluate.run)
app.command("compare")(compare.run)
app.add_typer(benchmark.app, name="benchmark")
app.command("train")(train.run)
app.command("ablate")(ablate.run)
app.command("study")(study.run)
app.command("export")(export.run)
app.command("convert")(convert.run)
app.command("report")(report.run)
app.command("demo")(demo.run)


def main() -> None:
    """Run the command line; every expected error becomes one message on stderr and an exit code."""
    use_utf8()
    try:
        app()
    except BabelweaveError as error:
        say(f"error: {error}")
        sys.exit(error.exit_code)
    except SystemExit as end:
        if end.code == INTERRUPTED:
            say("interrupted; nothing half-written is left, the same command goes on from finished shards")
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            where = error.filename or "temporary files"
            say(f"error: the disk is full ({where}); free some space and run again")
        elif error.filename is not None:  # no right to look into a folder, a name too long, a lost disk
            say(f"error: {error.filename}: {error.strerror}")
        else:
            raise
        sys.exit(1)


if __name__ == "__main__":
    main()
