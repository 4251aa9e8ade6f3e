"""Figures: the same bytes each time, text as text, an accessible name, no reach outside themselves."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from xml.etree import ElementTree as ET

import pytest

from babelweave.evaluate.compare import Comparison, Estimate
from babelweave.report.figures import Series, curve, forest, grouped_bars

SVG = "{http://www.w3.org/2000/svg}"
TITLE = 'RR@10 <per> & "language"'
PLAIN = Series("plain", [Estimate(0.1, 0.08, 0.12), Estimate(0.4, 0.35, 0.45), None])
WOVEN = Series(
    "woven", [Estimate(0.2, 0.17, 0.22), Estimate(0.3, math.nan, math.nan), Estimate(0.5, 0.4, 0.6)]
)


def comparison(family: str, difference: float, p: float) -> Comparison:
    low, high = difference - 0.02, difference + 0.02
    return Comparison(family, "RR@10", 9, 9, 0.1, 0.2, difference, low, high, 1, 1, p, p, p, "holm")


def bars() -> str:
    return grouped_bars(TITLE, ["de", "हिन्दी", "日本語"], [PLAIN, WOVEN], label="RR@10 (%)")


def sweep() -> str:
    return curve(TITLE, [0.0, 0.1, 0.2], [PLAIN, WOVEN], x_label="alpha", label="RR@10 (%)")


def tree() -> str:
    rows = [comparison("all", 0.03, 0.001), comparison("asked in de", -0.01, 0.4)]
    return forest(TITLE, rows, label="points")


FIGURES = pytest.mark.parametrize("make", [bars, sweep, tree])


@FIGURES
def test_the_same_input_gives_the_same_bytes(make: Callable[[], str]) -> None:
    assert make() == make()


@FIGURES
def test_named_for_readers_who_do_not_see_it(make: Callable[[], str]) -> None:
    root = ET.fromstring(make())
    assert root.get("role") == "img"
    title = root[0]
    assert title.tag == f"{SVG}title"
    assert title.text == TITLE
    assert root.get("aria-labelledby") == title.get("id")


@FIGURES
def test_refers_to_nothing_but_itself_and_styles_nothing_else(make: Callable[[], str]) -> None:
    svg = make()
    root = ET.fromstring(svg)
    ids = [e.get("id") for e in root.iter() if e.get("id")]
    assert len(ids) == len(set(ids))
    references = re.findall(r"url\(#([^)]+)\)", svg) + re.findall(r'href="#([^"]+)"', svg)
    assert set(references) <= set(ids)
    assert not [e for e in root.iter() if e.tag in (f"{SVG}style", f"{SVG}script", f"{SVG}metadata")]
    assert set(re.findall(r"https?://[^\"' ]+", svg)) == {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert "date" not in svg.lower()


def test_two_figures_on_a_page_share_no_id() -> None:
    other = curve("another", [0.0, 0.1, 0.2], [PLAIN], x_label="alpha", label="%")
    ids = [{e.get("id") for e in ET.fromstring(svg).iter() if e.get("id")} for svg in (sweep(), other)]
    assert not ids[0] & ids[1]


@FIGURES
def test_colours_are_left_to_the_page(make: Callable[[], str]) -> None:
    svg = make()
    assert "currentColor" in svg
    assert "#010203" not in svg
    assert "var(--series-1, #0072b2)" in svg


def test_labels_of_every_script_are_text() -> None:
    texts = [e.text for e in ET.fromstring(bars()).iter(f"{SVG}text")]
    assert {"de", "हिन्दी", "日本語", "plain", "woven", "RR@10 (%)"} <= set(texts)


def test_one_series_needs_no_legend() -> None:
    svg = grouped_bars("t", ["de", "es", "ja"], [PLAIN], label="%")
    assert "plain" not in [e.text for e in ET.fromstring(svg).iter(f"{SVG}text")]


def test_a_forest_row_is_filled_where_it_is_significant() -> None:
    significant = forest("t", [comparison("all", 0.03, 0.001)], label="points")
    other = forest("t", [comparison("all", 0.03, 0.4)], label="points")
    marker = re.compile(r'<use [^>]*style="fill: var\(--series-1')
    assert marker.search(significant)
    assert not marker.search(other)
