"""Tables: how cells are written, and each of the four forms read back or compared with a hand-made one."""

from __future__ import annotations

import json
import math

import pytest
from rich.cells import cell_len

from babelweave.errors import UsageError
from babelweave.report.tables import (
    Column,
    Style,
    Table,
    as_json,
    as_latex,
    as_markdown,
    as_text,
    render,
    write,
)

NAN = math.nan

TABLE = Table(
    "Plain & woven",
    (
        Column("language"),
        Column("RR@10", "percent"),
        Column("difference", "points"),
        Column("95 %", "points"),
        Column("p", "p"),
        Column("n", "count"),
    ),
    (
        ("de", 0.45123, 0.0203, (-0.0131, 0.0534), 0.0312, 1928),
        ("日本語", 0.5, -0.0049, (NAN, NAN), 0.00004, 7),
        ("a|b_c", None, 0.0, None, NAN, 0),
    ),
    ("95 % of <b>draws</b>.",),
)


@pytest.mark.parametrize(
    ("cell", "style", "written"),
    [
        ("x", "text", "x"),
        (3, "text", "3"),
        (1928, "count", "1,928"),
        (0.45128, "percent", "45.13"),
        (1.0, "percent", "100.00"),
        (0, "percent", "0.00"),
        ((0.432, 0.47006), "percent", "[43.20, 47.01]"),
        (0.0203, "points", "+2.03"),
        (-0.0049, "points", "-0.49"),
        (0.0, "points", "0.00"),
        (-0.00001, "points", "0.00"),
        ((-0.0131, 0.0034), "points", "[-1.31, +0.34]"),
        (0.0312, "p", "0.031"),
        (0.001, "p", "0.001"),
        (0.00099, "p", "<0.001"),
        (0.0, "p", "<0.001"),
        (1.0, "p", "1.000"),
        ("already written", "p", "already written"),
        (None, "percent", "-"),
        (NAN, "p", "-"),
        ((NAN, NAN), "points", "-"),
    ],
)
def test_cells(cell: object, style: Style, written: str) -> None:
    assert write(cell, style) == written  # type: ignore[arg-type]


def test_text_is_aligned_as_a_terminal_shows_it() -> None:
    lines = as_text(TABLE).splitlines()
    assert lines == [
        "Plain & woven",
        "",
        "language  RR@10  difference            95 %       p      n",
        "--------  -----  ----------  --------------  ------  -----",
        "de        45.12       +2.03  [-1.31, +5.34]   0.031  1,928",
        "日本語    50.00       -0.49               -  <0.001      7",
        "a|b_c         -        0.00               -       -      0",
        "",
        "95 % of <b>draws</b>.",
    ]
    assert len({cell_len(line) for line in lines[2:7]}) == 1


def test_markdown() -> None:
    assert as_markdown(TABLE).splitlines() == [
        "**Plain & woven**",
        "",
        "| language | RR@10 | difference | 95 % | p | n |",
        "| :-- | --: | --: | --: | --: | --: |",
        "| de | 45.12 | +2.03 | [-1.31, +5.34] | 0.031 | 1,928 |",
        "| 日本語 | 50.00 | -0.49 | - | <0.001 | 7 |",
        r"| a\|b\_c | - | 0.00 | - | - | 0 |",
        "",
        r"95 % of \<b>draws\</b>.  ",
    ]


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a|b", r"a\|b"),
        ("two\nlines", "two lines"),
        ("*bold* `code` _under_", r"\*bold\* \`code\` \_under\_"),
        ("[x](javascript:y)", r"[x]\(javascript:y)"),
        ("<script>", r"\<script>"),
        ("<0.001", "<0.001"),
        ("back\\slash", r"back\\slash"),
    ],
)
def test_markdown_is_escaped(text: str, escaped: str) -> None:
    assert f"| {escaped} |" in as_markdown(Table("t", (Column("c"),), ((text,),)))


def test_latex() -> None:
    assert as_latex(TABLE).splitlines() == [
        r"\begin{table}",
        r"\centering",
        r"\caption{Plain \& woven}",
        r"\begin{tabular}{lrrrrr}",
        r"\toprule",
        r"language & RR@10 & difference & 95 \% & p & n \\",
        r"\midrule",
        r"de & 45.12 & $+$2.03 & [$-$1.31, $+$5.34] & 0.031 & 1,928 \\",
        r"日本語 & 50.00 & $-$0.49 & -- & \textless{}0.001 & 7 \\",
        r"a\textbar{}b\_c & -- & 0.00 & -- & -- & 0 \\",
        r"\bottomrule",
        r"\end{tabular}",
        r"\par\footnotesize 95 \% of \textless{}b\textgreater{}draws\textless{}/b\textgreater{}.",
        r"\end{table}",
    ]


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        (r"\input{x}", r"\textbackslash{}input\{x\}"),
        ("50% #1 $5 a_b x^2 ~ & {}", r"50\% \#1 \$5 a\_b x\textasciicircum{}2 \textasciitilde{} \& \{\}"),
        ("[1] first in a row", "{}[1] first in a row"),
        ("* first in a row", "{}* first in a row"),
        ("en-de", "en-de"),
    ],
)
def test_latex_is_escaped(text: str, escaped: str) -> None:
    assert f"\n{escaped} \\\\\n" in as_latex(Table("t", (Column("c"),), ((text,),)))


def test_json_keeps_numbers_as_they_are() -> None:
    found = json.loads(as_json(TABLE))
    assert found["title"] == "Plain & woven"
    assert found["notes"] == list(TABLE.notes)
    assert found["rows"][0] == {
        "language": "de",
        "RR@10": 0.45123,
        "difference": 0.0203,
        "95 %": [-0.0131, 0.0534],
        "p": 0.0312,
        "n": 1928,
    }
    assert found["rows"][1]["95 %"] == [None, None]
    assert found["rows"][2]["p"] is None


def test_several_tables() -> None:
    small = Table("t", (Column("a"),), (("x",),))
    assert render([small, small], "text") == as_text(small) + "\n\n" + as_text(small)
    assert [t["title"] for t in json.loads(render([small, small], "json"))] == ["t", "t"]
    assert json.loads(render([small], "json"))["title"] == "t"


def test_an_unknown_form_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'markdown'"):
        render([TABLE], "markdwn")


def test_a_ragged_table_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="a row of 2 cells under 1 columns"):
        Table("t", (Column("a"),), (("x", "y"),))
