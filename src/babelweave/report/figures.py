"""Figures as SVG text: bars with intervals, curves, forest plots. Needs the extra `report` (matplotlib).

The same input gives the same bytes: no date, no random ids. Text stays text, so that it can be read aloud,
searched and shown in the reader's own font. Colours are Okabe and Ito's, told apart by colour-blind
readers, and every series also differs in marker or pattern; a page may restyle them through the CSS variables
`--series-1` ..., `--paper` and its text colour, so one figure suits light and dark.
"""

from __future__ import annotations

import io
import itertools
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple
from xml.etree import ElementTree as ET

from babelweave.errors import MissingExtraError
from babelweave.evaluate.compare import Comparison, Estimate
from babelweave.report.summaries import significant

COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")
"""Okabe and Ito (2008), "Color Universal Design", in an order whose neighbours differ in lightness."""

_MARKERS = "osD^vP"
_DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)))
_HATCHES = ("", "///", "...", "xxx", "\\\\\\", "++")
_LEGEND_CHARACTERS, _KEY_CHARACTERS = 90, 7  # of a row of the legend; of the line or patch beside a name
_INK = "#010203"  # replaced by currentColor, the text colour of the page
_PAPER = "#fdfcfb"  # replaced by --paper, its background
_SVG = "http://www.w3.org/2000/svg"
_XLINK = "http://www.w3.org/1999/xlink"


class Series(NamedTuple):
    """One system: an estimate per group or per x; None where it was not measured."""

    name: str
    estimates: Sequence[Estimate | None]


def grouped_bars(title: str, groups: Sequence[str], series: Sequence[Series], *, label: str) -> str:
    """A bar per group and series with its interval, in per cent from 0.

    Args:
        title: read aloud in place of the picture.
        groups: names under the groups, for instance languages.
        series: estimates as fractions, one per group.
        label: of the vertical axis.
    """
    width = 0.8 / max(1, len(series))

    def draw(axes: Any) -> None:
        for i, (name, estimates) in enumerate(series):
            places = [g - 0.4 + (i + 0.5) * width for g in range(len(groups))]
            known = [(x, e) for x, e in zip(places, estimates, strict=True) if e is not None]
            axes.bar(
                [x for x, _ in known],
                [100 * e.mean for _, e in known],
                width * 0.92,
                label=name,
                color=_colour(i),
                hatch=_HATCHES[i % len(_HATCHES)],
                edgecolor=_INK,
                linewidth=0.5,
                zorder=2,
            )
            _whiskers(axes, known)
        axes.set_xticks(range(len(groups)), groups)
        axes.set_xlim(-0.6, len(groups) - 0.4)
        axes.set_ylim(bottom=0)
        axes.set_ylabel(label)
        axes.grid(axis="y", color=_INK, alpha=0.15, linewidth=0.6)
        _legend(axes, [s.name for s in series])

    return _svg(title, (max(5.0, 0.5 * len(groups) * max(1, len(series)) + 2), 3.6), draw)


def curve(title: str, x: Sequence[float], series: Sequence[Series], *, x_label: str, label: str) -> str:
    """A line per series over x with its interval as a band, in per cent; arguments as `grouped_bars`."""

    def draw(axes: Any) -> None:
        for i, (name, estimates) in enumerate(series):
            known = [(at, e) for at, e in zip(x, estimates, strict=True) if e is not None]
            places = [at for at, _ in known]
            axes.plot(
                places,
                [100 * e.mean for _, e in known],
                label=name,
                color=_colour(i),
                marker=_MARKERS[i % len(_MARKERS)],
                linestyle=_DASHES[i % len(_DASHES)],
                markersize=4.5,
            )
            low, high = [100 * e.low for _, e in known], [100 * e.high for _, e in known]
            axes.fill_between(places, low, high, color=_colour(i), alpha=0.18, linewidth=0)
        axes.set_xlabel(x_label)
        axes.set_ylabel(label)
        axes.grid(color=_INK, alpha=0.15, linewidth=0.6)
        _legend(axes, [s.name for s in series])

    return _svg(title, (6.5, 3.8), draw)


def forest(title: str, comparisons: Sequence[Comparison], *, label: str) -> str:
    """A difference and its interval per row; filled where it is significant after the correction.

    Args:
        title: read aloud in place of the picture.
        comparisons: rows from top to bottom, named by their `family`.
        label: of the horizontal axis, in points.
    """
    rows = range(len(comparisons))

    def draw(axes: Any) -> None:
        axes.axvline(0, color=_INK, linewidth=0.8, zorder=1)
        for row, c in zip(rows, comparisons, strict=True):
            axes.plot([100 * c.low, 100 * c.high], [row, row], color=_colour(0), linewidth=1.6, zorder=2)
            face = _colour(0) if significant(c) else "none"
            axes.plot(100 * c.difference, row, "o", color=_colour(0), markerfacecolor=face, zorder=3)
        axes.set_yticks(rows, [c.family for c in comparisons])
        axes.set_ylim(len(comparisons) - 0.5, -0.5)
        axes.set_xlabel(label)
        axes.grid(axis="x", color=_INK, alpha=0.15, linewidth=0.6)

    return _svg(title, (6.5, 0.9 + 0.28 * len(comparisons)), draw)


def _colour(series: int) -> str:
    return COLOURS[series % len(COLOURS)]


def _whiskers(axes: Any, known: Sequence[tuple[float, Estimate]]) -> None:
    spans = [(x, e) for x, e in known if e.low == e.low]  # too few questions have no interval
    for colour, width in ((_PAPER, 2.6), (_INK, 0.9)):  # a halo, so that the line shows on any bar
        axes.errorbar(
            [x for x, _ in spans],
            [100 * e.mean for _, e in spans],
            yerr=[[100 * (e.mean - e.low) for _, e in spans], [100 * (e.high - e.mean) for _, e in spans]],
            fmt="none",
            ecolor=colour,
            elinewidth=width,
            capthick=width,
            capsize=2.5,
            zorder=3,
        )


def _legend(axes: Any, names: Sequence[str]) -> None:
    """Above the axes, in as many rows as long names take."""
    if len(names) > 1:
        columns = max(1, _LEGEND_CHARACTERS // (_KEY_CHARACTERS + max(map(len, names))))
        axes.legend(
            loc="lower right",
            bbox_to_anchor=(1, 1),
            ncols=min(len(names), columns),
            frameon=False,
            borderaxespad=0.2,
        )


@contextmanager
def _style() -> Iterator[Any]:
    try:
        import matplotlib
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "figures need 'matplotlib'; install it with: pip install 'babelweave[report]'"
        ) from error
    settings = {
        "svg.fonttype": "none",
        "svg.hashsalt": "babelweave",
        "font.family": "sans-serif",
        "font.size": 9.5,
        "hatch.linewidth": 0.5,
        "axes.spines.top": False,
        "axes.spines.right": False,
        **dict.fromkeys(
            ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), _INK
        ),
    }
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        # The reader's browser draws the letters, so what matplotlib's own font lacks is no matter.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def _svg(title: str, inches: tuple[float, float], draw: Callable[[Any], None]) -> str:
    with _style():
        from matplotlib.figure import Figure

        figure = Figure(figsize=inches, layout="constrained")
        draw(figure.add_subplot())
        written = io.BytesIO()
        figure.savefig(written, format="svg", transparent=True, metadata={"Date": None})
    return _accessible(written.getvalue(), title)


def _accessible(svg: bytes, title: str) -> str:
    """The drawing as one element to put into a page: titled, with ids of its own, coloured by the page."""
    root = ET.fromstring(svg)
    for parent in list(root.iter()):
        for child in list(parent):
            # matplotlib's <style> would apply to the whole page around the figure
            if child.tag in (f"{{{_SVG}}}metadata", f"{{{_SVG}}}style"):
                parent.remove(child)
    prefix = "f" + re.sub(r"\W+", "-", title.lower()).strip("-") + "-"
    for element in root.iter():
        for name, value in element.attrib.items():
            element.set(name, _restyled(name, value, prefix))
    label = f"{prefix}title"
    heading = ET.Element(f"{{{_SVG}}}title", {"id": label})
    heading.text = title
    root.insert(0, heading)
    root.attrib |= {
        "role": "img",
        "aria-labelledby": label,
        "style": "stroke-linejoin: round; stroke-linecap: butt; color: inherit",
    }
    ET.register_namespace("", _SVG)
    ET.register_namespace("xlink", _XLINK)
    return ET.tostring(root, encoding="unicode")


def _restyled(name: str, value: str, prefix: str) -> str:
    if name == "id":
        return prefix + value
    if name == f"{{{_XLINK}}}href":
        return value.replace("#", f"#{prefix}", 1)
    value = value.replace("url(#", f"url(#{prefix}").replace(_INK, "currentColor")
    if name != "style":
        return value
    for number, colour in zip(itertools.count(1), COLOURS, strict=False):
        value = value.replace(colour, f"var(--series-{number}, {colour})")
    return value.replace(_PAPER, "var(--paper, #fff)")
