"""The page: complete, escaped, self-contained; and what is read before it is written."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from babelweave.artifact import seal, write_folder, write_json
from babelweave.errors import DataError, UsageError
from babelweave.evaluate.results import BenchmarkResult, compare_results, means, read_per_query, write_result
from babelweave.records import Scores
from babelweave.report.benchmark import read_result, result_sections
from babelweave.report.page import Figure, Section, as_html, write_page
from babelweave.report.tables import Column, Table
from babelweave.report.tuning import read_tuning
from babelweave.weave.tune import Row, Tuning

HOSTILE = '<script>alert("x")</script> & \'"'
VOID = {"meta", "link", "br", "img", "input", "hr"}


class Elements(HTMLParser):
    """Every element opened, with its attributes; fails on a tag that does not close where it should."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def hostile_page() -> str:
    table = Table(
        HOSTILE, (Column(HOSTILE), Column("d", "points")), ((HOSTILE, -0.0123), ("b", None)), (HOSTILE,)
    )
    figure = Figure('<svg viewBox="0 0 1 1"></svg>', HOSTILE)
    section = Section(HOSTILE, (HOSTILE, table, figure))
    return as_html(HOSTILE, [section], {HOSTILE: {"nested": HOSTILE}, "n": [1, 2.5, None]}, HOSTILE)


class TestHtml:
    def test_every_text_is_escaped(self) -> None:
        page = Elements(hostile_page())
        assert "script" not in {tag for tag, _ in page.found}
        assert page.text.count('alert("x")') >= 9

    def test_nothing_is_fetched_and_nothing_runs(self) -> None:
        page = Elements(hostile_page())
        assert not [a for _, attributes in page.found for a in attributes if a.startswith("on") or a == "src"]
        assert all(a["href"].startswith("#") for _, a in page.found if a.get("href"))  # type: ignore[union-attr]
        policy = {a.get("content") for t, a in page.found if t == "meta" and a.get("http-equiv")}
        assert policy == {"default-src 'none'; style-src 'unsafe-inline'"}
        assert not re.search(r"@import|url\((?!#)", hostile_page())

    def test_tables_name_their_rows_columns_and_themselves(self) -> None:
        page = Elements(hostile_page())
        assert sum(tag == "caption" for tag, _ in page.found) == 1
        assert [a["scope"] for tag, a in page.found if tag == "th"] == ["col", "col", "row", "row"]

    def test_numbers_have_a_true_minus_and_what_is_missing_a_dash(self) -> None:
        assert "\N{MINUS SIGN}1.23" in hostile_page()
        assert ">\N{EN DASH}<" in hostile_page()

    def test_light_dark_and_print(self) -> None:
        page = hostile_page()
        assert "prefers-color-scheme: dark" in page
        assert "@media print" in page
        assert ("html", {"lang": "en"}) in Elements(page).found


class TestWrite:
    def test_nothing_is_overwritten_unasked(self, tmp_path: Path) -> None:
        path = tmp_path / "new" / "page.html"
        write_page(path, "t", [], signature={}, command="c")
        with pytest.raises(UsageError, match="--overwrite"):
            write_page(path, "t2", [], signature={}, command="c")
        write_page(path, "t2", [], signature={}, command="c", overwrite=True)
        assert "<title>t2</title>" in path.read_text(encoding="utf-8")
        assert [p.name for p in path.parent.iterdir()] == ["page.html"]

    def test_a_folder_is_no_page(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"report\.html"):
            write_page(tmp_path, "t", [], signature={}, command="c")


def write_benchmark(folder: Path, shift: float = 0.0, baseline: Path | None = None, **change: object) -> Path:
    """A result of four subsets with two measures, six questions each."""
    rng = np.random.default_rng(0)
    ids = tuple(f"q{i}" for i in range(6))
    scores = {
        m: {s: Scores(m, ids, rng.uniform(0, 0.5, 6) + shift) for s in ("en-en", "en-de", "de-en", "de-de")}
        for m in ("RR@10", "R@100")
    }
    figures = {
        s: {**{m: scores[m][s].mean for m in scores}, "n_queries": 6, "n_passages": 1234}
        for s in scores["RR@10"]
    }
    summary = {
        "signature": {"benchmark": "mlqa", "encoder": {"name": "<minilm>"}},
        "subsets": figures,
        "mean": means(scores),
        "missing": ["zh-zh"],
    } | change
    rows = compare_results(read_per_query(baseline), scores) if baseline else []
    write_result(folder, BenchmarkResult(summary, scores, {}, rows, {}))
    return folder


class TestBenchmark:
    def test_a_result_alone(self, tmp_path: Path) -> None:
        result = read_result(write_benchmark(tmp_path / "plain"))
        sections = result_sections(result)
        assert [s.heading for s in sections] == ["Means", "Question languages", "Every subset"]
        means_table = sections[0].blocks[1]
        assert isinstance(means_table, Table)
        assert [(row[0], row[1]) for row in means_table.rows] == [("all", 4), ("x-en", 1), ("cross", 2)]
        assert means_table.rows[0][2] == pytest.approx(np.mean([f["RR@10"] for f in result.figures.values()]))
        every = sections[2].blocks[0]
        assert isinstance(every, Table)
        assert [c.name for c in every.columns] == ["subset", "RR@10", "R@100", "queries", "passages"]
        assert every.written()[0][3:] == ["6", "1,234"]
        assert sections[2].blocks[1] == "Not in the source, 1: zh-zh."

    def test_against_a_baseline_anew_and_as_stored(self, tmp_path: Path) -> None:
        plain = write_benchmark(tmp_path / "plain")
        woven = read_result(write_benchmark(tmp_path / "woven", 0.2, plain))
        stored = result_sections(woven)
        anew = result_sections(woven, read_result(plain))
        assert [s.heading for s in stored] == [
            "Means",
            "Against the baseline",
            "Question languages",
            "Every subset",
        ]
        tables = [next(b for b in s[1].blocks if isinstance(b, Table)) for s in (stored, anew)]
        assert tables[0].rows == tables[1].rows
        assert [c.name for c in tables[0].columns[2:4]] == ["baseline", "this run"]
        assert [c.name for c in tables[1].columns[2:4]] == ["plain", "woven"]
        assert all(row[4] == pytest.approx(0.2) for row in tables[1].rows)
        bars = stored[2].blocks[0], anew[2].blocks[0]
        assert all(isinstance(b, Figure) for b in bars)
        assert [">plain<" in b.svg for b in bars] == [False, True]  # type: ignore[union-attr]

    def test_answer_based_results_have_languages_and_a_ceiling(self, tmp_path: Path) -> None:
        scores = {
            "R@2kt": {
                f"en-{lang}": Scores("R@2kt", (f"{lang}1", f"{lang}2"), np.array([1.0, 0.0]))
                for lang in ("ar", "ko")
            }
        }
        summary = {
            "signature": {"benchmark": "xor-retrieve"},
            "languages": {lang: {"R@2kt": 0.5, "n_queries": 2} for lang in ("ar", "ko")},
            "macro": {"R@2kt": 0.5},
            "ceiling": {"ar": 0.75, "ko": 1.0, "macro": 0.875},
            "n_passages": 10,
        }
        write_result(tmp_path / "xor", BenchmarkResult(summary, scores, {}, (), {}))
        sections = result_sections(read_result(tmp_path / "xor"))
        [note, table] = sections[-1].blocks
        assert isinstance(note, str)
        assert "ceiling" in note
        assert isinstance(table, Table)
        assert table.written() == [["ar", "50.00", "2", "75.00"], ["ko", "50.00", "2", "100.00"]]

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"subsets": {"en-en": {"RR@10": 0.5}}}, "name other subsets"),
            (
                {"subsets": {s: {"RR@10": 0.5, "R@100": 0.5} for s in ("en-en", "en-de", "de-en", "de-de")}},
                "other runs|different runs",
            ),
            ({"subsets": {"en-en": {"RR@10": "high"}}}, r"subsets\.en-en\.RR@10"),
            ({"subsets": []}, "subsets: "),
            ({"subsets": {}}, "one of 'subsets' and 'languages'"),
            ({"signature": None}, "signature: "),
        ],
    )
    def test_files_that_do_not_agree_are_refused(
        self, tmp_path: Path, change: dict[str, object], message: str
    ) -> None:
        with pytest.raises(DataError, match=message):
            read_result(write_benchmark(tmp_path / "r", **change))

    def test_a_broken_comparison_is_refused(self, tmp_path: Path) -> None:
        plain = write_benchmark(tmp_path / "plain")
        folder = write_benchmark(tmp_path / "woven", 0.2, plain)
        path = folder / "comparison.json"
        rows = json.loads(path.read_text())
        del rows["comparisons"][3]["p_t"]
        write_json(path, rows)
        (folder / "manifest.json").unlink()
        seal(folder, "result", {})
        with pytest.raises(DataError, match=r"comparisons\.3\.p_t"):
            read_result(folder)

    def test_a_folder_of_something_else_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"no manifest\.json"):
            read_result(tmp_path)


PLAIN = Row(0.0, {}, {"RR@10": {"de": 0.25, "mean": 0.25}})
BEST = Row(0.3, {}, {"RR@10": {"de": 0.3, "mean": 0.3}})
WEIGHTED = Row(0.3, {"de": 2.0}, {"RR@10": {"de": 0.2, "mean": 0.2}})


def write_tuning(folder: Path, **change: object) -> Path:
    rows = (PLAIN, BEST, WEIGHTED)
    tuning = Tuning("mean", False, ("RR@10",), ("de",), rows, PLAIN, BEST).to_dict() | change
    with write_folder(folder, "tuning", overwrite=False) as aside:
        write_json(aside / "tuning.json", tuning)
        seal(aside, "tuning", {"split": "dev"})
    return folder


class TestTuning:
    def test_gains_over_plain(self, tmp_path: Path) -> None:
        found = read_tuning(write_tuning(tmp_path / "t"))
        assert found.signature == {"split": "dev"}
        [section] = found.sections
        figure, table = section.blocks
        assert isinstance(figure, Figure)
        assert isinstance(table, Table)
        assert table.written() == [
            ["0", "", "0.00", "0.00", ""],
            ["0.3", "", "+5.00", "+5.00", "*"],
            ["0.3", "de=2", "-5.00", "-5.00", ""],
        ]

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"rows": []}, "no value for any alpha"),
            ({"languages": ["de", "es"]}, "no value for alpha 0, RR@10, es"),
            ({"best": None}, "best: "),
        ],
    )
    def test_what_is_incomplete_is_refused(
        self, tmp_path: Path, change: dict[str, object], message: str
    ) -> None:
        with pytest.raises(DataError, match=message):
            read_tuning(write_tuning(tmp_path / "t", **change))


@pytest.mark.parametrize("make", [hostile_page])
def test_the_same_input_gives_the_same_page(make: Callable[[], str]) -> None:
    assert make() == make()
