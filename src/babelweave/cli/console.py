"""What every verb shares: the common flags, results to stdout, everything else to stderr."""

from __future__ import annotations

import io
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

T = TypeVar("T")

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print counts, bytes and files; write nothing.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Discard what --out already holds.")]
Out = Annotated[Path, typer.Option("--out", help="Folder to write.")]
Encoder = Annotated[
    str,
    typer.Option(
        "--encoder", help="Registry name, folder or Hub id, with ?key=value&... options; see `encode --help`."
    ),
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of everything random; 0 is a seed.")]


def use_utf8() -> None:
    """Questions and passages are of every script, whatever the locale, or a pipe on Windows, would take.

    What is not UTF-8 is told by who reads it, and escaped in what is printed.
    """
    errors = {sys.stdin: "surrogateescape", sys.stdout: "backslashreplace", sys.stderr: "backslashreplace"}
    for stream, handler in errors.items():
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors=handler)


def emit(result: Any, *, as_json: bool, text: Callable[[], str]) -> None:
    """Print one result to stdout: JSON (NaN as null), or what `text` returns."""
    printed = json.dumps(_plain(result), ensure_ascii=False) if as_json else text()
    try:
        sys.stdout.write(printed.rstrip() + "\n")
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has enough (`| head`): not an error, and nothing more is printed
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, float) and value != value:
        return None
    return str(value) if isinstance(value, Path) else value


def say(message: str) -> None:
    """One line of log to stderr."""
    sys.stderr.write(message + "\n")


def progress(items: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
    """Show a bar on stderr while iterating; nothing when stderr is not a terminal."""
    if not sys.stderr.isatty():
        yield from items
        return
    from rich.console import Console
    from rich.progress import track

    yield from track(items, description=label, total=total, console=Console(stderr=True), transient=True)


class Live:
    """Progress of a training on stderr: one line on a terminal, a new one twice a minute elsewhere."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._next = time.monotonic()

    def __call__(self, status: Any) -> None:
        now = time.monotonic()
        at_end = status.step == status.n_steps
        if now < self._next and not at_end:
            return
        self._next = now + (0.2 if self._live else 30)
        line = (
            f"step {status.step:,}/{status.n_steps:,}  loss {status.loss:.4f}  "
            f"{status.examples_per_second:,.1f} examples/s  {_duration(status.seconds_left)} left"
        )
        if self._live:
            sys.stderr.write(f"\r\x1b[2K{line}" + "\n" * at_end)
            sys.stderr.flush()
        else:
            say(line)


def _duration(seconds: float) -> str:
    hours, rest = divmod(round(seconds), 3600)
    minutes, seconds = divmod(rest, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {seconds:02} s"
