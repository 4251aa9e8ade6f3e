"""One self-contained HTML page: text, tables and figures; no script, no request, light, dark and print."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from babelweave.artifact import write_text
from babelweave.errors import UsageError
from babelweave.report.tables import MISSING, Table


@dataclass(frozen=True, slots=True)
class Figure:
    """A drawing and what it shows.

    Attributes:
        svg: one `<svg>` element, trusted: it goes into the page as it is (`report.figures`).
        caption: plain text.
    """

    svg: str
    caption: str


Block: TypeAlias = str | Table | Figure
"""A paragraph of plain text, a table, or a figure."""


@dataclass(frozen=True, slots=True)
class Section:
    heading: str
    blocks: tuple[Block, ...]


def write_page(
    path: Path,
    title: str,
    sections: Sequence[Section],
    *,
    signature: Mapping[str, Any],
    command: str,
    overwrite: bool = False,
) -> None:
    """Write the page; it appears whole or not at all, and the same input gives the same bytes.

    Args:
        signature: what made the figures, JSON values; shown at the foot.
        command: the exact command line that made the page; shown at the foot.

    Raises:
        UsageError: `path` exists and `overwrite` is not given, or is a folder.
        StorageError: the disk is full or refuses.
    """
    check_target(path, overwrite=overwrite)
    write_text(path, as_html(title, sections, signature, command))


def check_target(path: Path, *, overwrite: bool) -> None:
    """Refuse, before any work, a path that `write_page` would refuse."""
    if path.is_dir():
        raise UsageError(f"{path} is a folder; name a file, such as {path / 'report.html'}")
    if path.exists() and not overwrite:
        raise UsageError(f"{path} exists; choose another --out or pass --overwrite")


def as_html(title: str, sections: Sequence[Section], signature: Mapping[str, Any], command: str) -> str:
    """The page as one string; every text is escaped, figures are taken as they are."""
    body = "\n".join(_section(number, section) for number, section in enumerate(sections, start=1))
    contents = "".join(
        f'<li><a href="#s{number}">{_escape(section.heading)}</a></li>'
        for number, section in enumerate(sections, start=1)
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{_escape(title)}</title>
<style>{_CSS}</style>
</head>
<body>
<header>
<h1>{_escape(title)}</h1>
<nav aria-label="Sections"><ul>{contents}</ul></nav>
</header>
<main>
{body}
</main>
<footer>
<h2>How this was made</h2>
<pre><code>{_escape(command)}</code></pre>
<dl>{_definitions(signature)}</dl>
</footer>
</body>
</html>
"""


def _section(number: int, section: Section) -> str:
    blocks = "\n".join(_block(block) for block in section.blocks)
    return f'<section id="s{number}">\n<h2>{_escape(section.heading)}</h2>\n{blocks}\n</section>'


def _block(block: Block) -> str:
    if isinstance(block, Table):
        return _table(block)
    if isinstance(block, Figure):
        return f"<figure>{block.svg}<figcaption>{_escape(block.caption)}</figcaption></figure>"
    return f"<p>{_escape(block)}</p>"


def _table(table: Table) -> str:
    kinds = ["text" if column.style == "text" else "number" for column in table.columns]
    head = "".join(
        f'<th scope="col" class="{kind}">{_escape(column.name)}</th>'
        for column, kind in zip(table.columns, kinds, strict=True)
    )
    rows = "\n".join(f"<tr>{_row(row, kinds)}</tr>" for row in table.written())
    notes = "".join(f"<p>{_escape(note)}</p>" for note in table.notes)
    return f"""<div class="table" tabindex="0" role="region" aria-label="{_escape(table.title)}">
<table>
<caption>{_escape(table.title)}</caption>
<thead><tr>{head}</tr></thead>
<tbody>
{rows}
</tbody>
</table>
</div>
<div class="notes">{notes}</div>"""


def _row(cells: Sequence[str], kinds: Sequence[str]) -> str:
    """The first cell names the row; in numbers a hyphen is a minus, alone a dash for what is missing."""
    written = [f'<th scope="row" class="{kinds[0]}">{_escape(cells[0])}</th>']
    for cell, kind in zip(cells[1:], kinds[1:], strict=True):
        sign = "\N{EN DASH}" if cell == MISSING else "\N{MINUS SIGN}"
        shown = cell.replace("-", sign) if kind == "number" else cell
        written.append(f'<td class="{kind}">{_escape(shown)}</td>')
    return "".join(written)


def _definitions(values: Mapping[str, Any]) -> str:
    return "".join(f"<dt>{_escape(name)}</dt><dd>{_definition(value)}</dd>" for name, value in values.items())


def _definition(value: Any) -> str:
    if isinstance(value, Mapping) and value:
        return f"<dl>{_definitions(value)}</dl>"
    return _escape(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def _escape(text: Any) -> str:
    return html.escape(str(text))


_CSS = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1a1c20; --soft: #5a606b; --rule: #d9dce2;
  --tint: #f4f6f9; --link: #005a94; --series-1: #0072b2; --series-2: #e69f00; --series-3: #009e73;
  --series-4: #cc79a7; --series-5: #56b4e9; --series-6: #d55e00; }
@media (prefers-color-scheme: dark) { :root { --paper: #14161a; --ink: #e8eaee; --soft: #a3a9b5;
  --rule: #363b45; --tint: #1d2026; --link: #7cc4f5; --series-1: #4aa8e0; --series-5: #9fd6f5; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 2rem 1.25rem 4rem; background: var(--paper);
  color: var(--ink); font: 1rem/1.55 system-ui, "Segoe UI", "Noto Sans", sans-serif; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 .5rem; }
h2 { font-size: 1.2rem; margin: 2.5rem 0 .75rem; padding-top: .9rem; border-top: 1px solid var(--rule); }
p { max-width: 46rem; }
a { color: var(--link); }
nav ul { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; list-style: none; margin: 0; padding: 0; }
.table { overflow-x: auto; margin-top: 1.25rem; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
caption { text-align: start; font-weight: 600; padding-bottom: .4rem; }
th, td { padding: .28rem .6rem; text-align: start; font-weight: 400; white-space: nowrap; }
thead th { font-weight: 600; border-top: 2px solid var(--ink); border-bottom: 1px solid var(--ink);
  vertical-align: bottom; white-space: normal; }
tbody tr:nth-child(even) { background: var(--tint); }
tbody tr:last-child > * { border-bottom: 2px solid var(--ink); }
.number { text-align: end; }
.notes, figcaption { color: var(--soft); font-size: .85rem; }
.notes p { margin: .3rem 0; max-width: 60rem; }
figure { margin: 1.5rem 0; }
figure svg { max-width: 100%; height: auto; }
figcaption { margin-top: .25rem; max-width: 46rem; }
pre { background: var(--tint); border: 1px solid var(--rule); border-radius: 4px; padding: .7rem .9rem;
  white-space: pre-wrap; overflow-wrap: anywhere; font-size: .85rem; }
footer dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; margin: 0;
  font-size: .85rem; }
footer dt { color: var(--soft); }
footer dd { margin: 0; overflow-wrap: anywhere; }
footer dd dl { font-size: 1em; }
@media print { :root { --paper: #fff; --ink: #000; --soft: #444; --rule: #bbb; --tint: #f4f4f4;
  --series-1: #0072b2; --series-5: #56b4e9; color-scheme: light; }
  body { max-width: none; padding: 0; font-size: 10pt; }
  nav { display: none; } h2 { break-after: avoid; } figure, tr { break-inside: avoid; }
  .table { overflow: visible; } table { font-size: 8pt; } th, td { padding: .15rem .4rem; } }
"""
