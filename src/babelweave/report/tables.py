"""Tables, and their four forms: text, Markdown, LaTeX, JSON.

A table keeps numbers as numbers; a column says how they are written. Measures are fractions in [0, 1]
and are written in per cent, differences of measures in signed points.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

from babelweave.errors import UsageError, nearest

Style = Literal["text", "count", "percent", "points", "p"]
"""How a column is written.

text     as it is
count    1,928
percent  0.4512 as 45.12, an interval as [43.20, 47.01]
points   -0.0049 as -0.49, 0.0203 as +2.03, an interval as [-1.31, +0.34]
p        0.0312 as 0.031, anything below 0.001 as <0.001
"""

Cell: TypeAlias = str | int | float | tuple[float, float] | None
"""None and NaN are written as a dash; a tuple is an interval in the style of its column."""

MISSING = "-"


class Column(NamedTuple):
    name: str
    style: Style = "text"


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under named columns, a title above, notes below; every row as long as `columns`."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"{self.title}: a row of {len(row)} cells under {len(self.columns)} columns")

    def written(self) -> list[list[str]]:
        """Every cell as a reader sees it, unescaped."""
        return [
            [write(cell, column.style) for cell, column in zip(row, self.columns, strict=True)]
            for row in self.rows
        ]


def write(cell: Cell, style: Style) -> str:
    """One cell in a column's style; a string is left as it is in any column."""
    if isinstance(cell, str):
        return cell
    if cell is None or _not_a_number(cell):
        return MISSING
    if isinstance(cell, tuple):
        return f"[{write(cell[0], style)}, {write(cell[1], style)}]"
    if style == "count":
        return f"{cell:,}"
    if style == "percent":
        return f"{100 * cell:.2f}"
    if style == "points":
        points = f"{100 * cell:+.2f}"
        return "0.00" if float(points) == 0 else points
    if style == "p":
        return "<0.001" if cell < 0.001 else f"{cell:.3f}"
    return str(cell)


def _not_a_number(cell: float | tuple[float, float]) -> bool:
    return any(math.isnan(value) for value in (cell if isinstance(cell, tuple) else (cell,)))


def as_text(table: Table) -> str:
    """Aligned columns for a terminal; wide and combining characters are counted as terminals show them."""
    from rich.cells import cell_len

    names = [column.name for column in table.columns]
    body = table.written()
    widths = [max(cell_len(row[i]) for row in [names, *body]) for i in range(len(names))]

    def line(cells: Sequence[str]) -> str:
        padded = []
        for cell, width, column in zip(cells, widths, table.columns, strict=True):
            blanks = " " * (width - cell_len(cell))
            padded.append(cell + blanks if column.style == "text" else blanks + cell)
        return "  ".join(padded).rstrip()

    rule = "  ".join("-" * width for width in widths)
    return "\n".join([table.title, "", line(names), rule, *map(line, body), *_block(table.notes)])


def as_markdown(table: Table) -> str:
    """A GitHub-flavoured Markdown table, its title in bold, its notes as lines below."""
    names = [_markdown(column.name) for column in table.columns]
    rules = [":--" if column.style == "text" else "--:" for column in table.columns]
    rows = [[_markdown(cell) for cell in row] for row in table.written()]
    lines = ["| " + " | ".join(cells) + " |" for cells in [names, rules, *rows]]
    notes = [f"{_markdown(note)}  " for note in table.notes]  # two blanks: a line break
    return "\n".join([f"**{_markdown(table.title)}**", "", *lines, *_block(notes)])


def _markdown(text: str) -> str:
    escaped = re.sub(r"([\\`*_|]|(?<=\])\()", r"\\\1", " ".join(text.split()))
    return re.sub(r"<(?=[A-Za-z/!?])", r"\\<", escaped)


def as_latex(table: Table) -> str:
    """A `table` with `booktabs` rules; needs \\usepackage{booktabs} and a font with the scripts used."""
    spec = "".join("l" if column.style == "text" else "r" for column in table.columns)
    head, *body = [_latex_row(row) for row in [[c.name for c in table.columns], *table.written()]]
    notes = [rf"\par\footnotesize {_latex(note)}" for note in table.notes]
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_latex(table.title)}}}",
            rf"\begin{{tabular}}{{{spec}}}",
            r"\toprule",
            head,
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            *notes,
            r"\end{table}",
        ]
    )


_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
} | {c: "\\" + c for c in "&%$#_{}"}


def _latex(text: str) -> str:
    """Escaped; signs before digits become those of mathematics, a lone dash an en dash."""
    if text == MISSING:
        return "--"
    escaped = "".join(_LATEX.get(c, c) for c in " ".join(text.split()))
    if re.fullmatch(r"\[?[+-]?[\d.,]+(, [+-]?[\d.,]+\])?", text):
        return re.sub(r"[+-]", r"$\g<0>$", escaped)
    return escaped


def _latex_row(cells: Sequence[str]) -> str:
    row = " & ".join(map(_latex, cells))
    # After the \\ of the row above, [ would open an optional argument and * would be its starred form.
    return ("{}" if row.startswith(("[", "*")) else "") + row + r" \\"


def as_json(table: Table) -> str:
    """{"title", "rows": one object a row by column name, "notes"}; NaN as null, intervals as pairs."""
    names = [column.name for column in table.columns]
    rows = [dict(zip(names, map(_plain, row), strict=True)) for row in table.rows]
    return json.dumps(
        {"title": table.title, "rows": rows, "notes": table.notes}, ensure_ascii=False, indent=1
    )


def _plain(cell: Cell) -> Any:
    if isinstance(cell, tuple):
        return [_plain(value) for value in cell]
    return None if isinstance(cell, float) and not math.isfinite(cell) else cell


FORMS: Mapping[str, Callable[[Table], str]] = {
    "text": as_text,
    "markdown": as_markdown,
    "latex": as_latex,
    "json": as_json,
}


def check_form(form: str) -> None:
    """Refuse, before any work, a form that `render` does not know."""
    if form not in FORMS:
        raise UsageError(f"unknown format {form!r}; {nearest(form, FORMS)}")


def render(tables: Sequence[Table], form: str) -> str:
    """Tables one below the other; JSON gives an array when there are several.

    Raises:
        UsageError: an unknown form.
    """
    check_form(form)
    parts = [FORMS[form](table) for table in tables]
    if form == "json" and len(parts) != 1:
        return "[" + ",\n".join(parts) + "]"
    return "\n\n".join(parts)


def _block(lines: Sequence[str]) -> list[str]:
    return ["", *lines] if lines else []
