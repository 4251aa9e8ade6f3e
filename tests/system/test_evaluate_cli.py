"""`evaluate`, `compare` and `report` as a user meets them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from babelweave.data.collection import write_collection
from babelweave.data.trec import write_qrels, write_run
from babelweave.evaluate.results import BenchmarkResult, means, write_result
from babelweave.records import Passage, Query, Run, Scores
from conftest import Cli

QUERIES = [
    Query("a1", "?", "ar", ("Paris",)),
    Query("a2", "?", "ar", ("Oslo",)),
    Query("k1", "?", "ko", ("Rome", "yes")),
    Query("k2", "?", "ko", ("no",)),
]
PASSAGES = [
    Passage("p", "Paris is big.", "en"),
    Passage("r", "Rome is old.", "en"),
    Passage("o", "Oslo.", "en"),
]
QRELS = {"a1": {"p": 1}, "a2": {"o": 1}, "k1": {"r": 1}, "k2": {"r": 1}}
PLAIN = Run(
    ("a1", "a2", "k1", "x"), (("p", "r"), ("p", "r"), ("p", "r"), ("p",)), ((2.0, 1.0),) * 3 + ((1.0,),)
)
WOVEN = Run(("a1", "a2", "k1"), (("p", "r"), ("p", "o"), ("r", "p")), ((2.0, 1.0),) * 3)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    write_collection(tmp_path / "c", PASSAGES, QUERIES, {"test": QRELS})
    write_qrels(tmp_path / "qrels.txt", QRELS)
    write_run(tmp_path / "plain.trec", PLAIN, "t")
    write_run(tmp_path / "woven.trec.gz", WOVEN, "t")
    return tmp_path


class TestEvaluate:
    def test_figures_and_coverage(self, cli: Cli, files: Path) -> None:
        """Reciprocal ranks 1, 0, 1/2 and, for k2 without hits, 0."""
        code, out, _ = cli("evaluate", files / "plain.trec", "--qrels", files / "qrels.txt", "--json")
        found = json.loads(out)
        assert code == 0
        assert [(f["measure"], f["over"], f["n_questions"]) for f in found["figures"]] == [
            ("RR@10", "all questions", 4),
            ("R@100", "all questions", 4),
            ("nDCG@10", "all questions", 4),
        ]
        assert [f["mean"] for f in found["figures"][:2]] == [0.375, 0.5]
        assert all(f["low"] <= f["mean"] <= f["high"] for f in found["figures"])
        assert found["coverage"] == {"n_judged": 4, "n_without_hits": 1, "n_unjudged": 1}
        assert set(found["signatures"]) == {"RR@10", "R@100", "nDCG@10"}

    def test_the_text_shows_them_too(self, cli: Cli, files: Path) -> None:
        code, out, _ = cli(
            "evaluate", files / "plain.trec", "--qrels", files / "qrels.txt", "--measures", "RR@10"
        )
        assert code == 0
        assert "RR@10    all questions  37.50" in out
        assert "Judged questions: 4; without hits, scored 0: 1." in out
        assert "without judgements (left out): 1." in out

    def test_by_language_and_answers_from_a_collection(self, cli: Cli, files: Path) -> None:
        """R@2kt: ar 1 of 2, ko 1 of 1; k2 has no span answer."""
        code, out, _ = cli(
            *("evaluate", files / "plain.trec", "--qrels", files / "c", "--by-language"),
            *("--measures", "RR@10,R@2kt", "--json"),
        )
        found = json.loads(out)
        assert code == 0
        assert [(f["measure"], f["over"], f["n_questions"], f["mean"]) for f in found["figures"]] == [
            ("RR@10", "all questions", 4, 0.375),
            ("RR@10", "ar", 2, 0.5),
            ("RR@10", "ko", 2, 0.25),
            ("R@2kt", "macro mean", 3, 0.75),
            ("R@2kt", "ar", 2, 0.5),
            ("R@2kt", "ko", 1, 1.0),
        ]
        assert found["token_recall"] == {"R@2kt": {"n_short": 3, "n_unscored": 1}}

    def test_one_language_is_the_whole(self, cli: Cli, files: Path) -> None:
        """Its row would say the same again, and join the family of a correction."""
        write_qrels(files / "ar.txt", {q: QRELS[q] for q in ("a1", "a2")})
        task = (
            "--qrels",
            files / "ar.txt",
            "--collection",
            files / "c",
            "--by-language",
            "--measures",
            "AP",
            "--json",
        )
        _, out, _ = cli("evaluate", files / "plain.trec", *task)
        assert [f["over"] for f in json.loads(out)["figures"]] == ["all questions"]
        _, out, _ = cli("compare", files / "plain.trec", files / "woven.trec.gz", *task)
        assert [r["family"] for r in json.loads(out)["comparisons"]] == ["all questions"]

    def test_answers_alone_need_no_judgements(self, cli: Cli, files: Path) -> None:
        code, out, _ = cli(
            *(
                "evaluate",
                files / "woven.trec.gz",
                "--collection",
                files / "c",
                "--measures",
                "R@2kt,R@5kt",
                "--json",
            )
        )
        found = json.loads(out)
        assert code == 0
        assert found["coverage"] is None
        assert [f["mean"] for f in found["figures"]] == [1.0, 1.0]

    @pytest.mark.parametrize(
        ("form", "mark"), [("markdown", "| RR@10 | all"), ("latex", r"\toprule"), ("json", '"rows"')]
    )
    def test_other_forms(self, cli: Cli, files: Path, form: str, mark: str) -> None:
        code, out, _ = cli("evaluate", files / "plain.trec", "--qrels", files / "qrels.txt", "--format", form)
        assert code == 0
        assert mark in out

    def test_per_query_scores_are_written_once(self, cli: Cli, files: Path) -> None:
        out = files / "scores.parquet"
        command = (
            "evaluate",
            files / "plain.trec",
            "--qrels",
            files / "c",
            "--measures",
            "RR@10",
            "--out",
            out,
        )
        assert cli(*command, "--dry-run")[0] == 0
        assert not out.exists()
        assert cli(*command)[0] == 0
        assert pq.read_table(out).to_pylist() == [
            {"subset": "ar", "query_id": "a1", "measure": "RR@10", "value": 1.0},
            {"subset": "ar", "query_id": "a2", "measure": "RR@10", "value": 0.0},
            {"subset": "ko", "query_id": "k1", "measure": "RR@10", "value": 0.5},
            {"subset": "ko", "query_id": "k2", "measure": "RR@10", "value": 0.0},
        ]
        code, _, err = cli(*command)
        assert code == 2
        assert "--overwrite" in err
        assert cli(*command, "--overwrite")[0] == 0

    @pytest.mark.parametrize(
        ("arguments", "code", "message"),
        [
            ((), 2, "nothing to score against"),
            (("--qrels", "qrels.txt", "--measures", "RR@10,recal"), 2, "unknown measure 'recal'"),
            (("--qrels", "qrels.txt", "--measures", ","), 2, "no measure"),
            (("--qrels", "qrels.txt", "--measures", "R@2kt"), 2, "need questions with answers"),
            (("--collection", "c"), 2, "need judgements"),
            (("--qrels", "none.txt"), 2, "and there are none"),
            (("--qrels", "c", "--split", "tset"), 2, "did you mean 'test'"),
            (("--qrels", "qrels.txt", "--by-language"), 2, "languages are not known"),
            (("--qrels", "qrels.txt", "--format", "html"), 2, "unknown format 'html'"),
            (("--qrels", "other.txt"), 3, "share no question"),
            (("--qrels", "absent.txt"), 3, "absent.txt"),
        ],
    )
    def test_mistakes(
        self,
        cli: Cli,
        files: Path,
        monkeypatch: pytest.MonkeyPatch,
        arguments: tuple[str, ...],
        code: int,
        message: str,
    ) -> None:
        monkeypatch.chdir(files)
        write_qrels(Path("other.txt"), {"other": {"p": 1}})
        write_qrels(Path("none.txt"), {})
        found, out, err = cli("evaluate", "plain.trec", *arguments)
        assert (found, out) == (code, "")
        assert message in err

    @pytest.mark.parametrize("more", [(), ("--by-language",)])
    def test_a_judged_question_that_does_not_exist(
        self, cli: Cli, files: Path, more: tuple[str, ...]
    ) -> None:
        """It would be scored 0, a question nobody could have asked."""
        write_qrels(files / "more.txt", {**QRELS, "z9": {"p": 1}})
        command = (
            "evaluate",
            files / "plain.trec",
            "--qrels",
            files / "more.txt",
            "--collection",
            files / "c",
        )
        code, _, err = cli(*command, *more)
        assert code == 3
        assert "'z9'" in err


class TestCompare:
    def test_two_runs(self, cli: Cli, files: Path) -> None:
        """RR@10 differences 0, 1/2, 1/2, 0: two equal gains, so 2 of 4 flips are as far; R@100: one gain."""
        code, out, _ = cli(
            *("compare", files / "plain.trec", files / "woven.trec.gz", "--qrels", files / "qrels.txt"),
            *("--measures", "RR@10,R@100", "--json"),
        )
        found = json.loads(out)
        assert code == 0
        rows = found["comparisons"]
        assert [(r["measure"], r["difference"], r["n_clusters"]) for r in rows] == [
            ("RR@10", 0.25, 4),
            ("R@100", 0.25, 4),
        ]
        assert [(r["n_better"], r["n_worse"], r["p_randomisation"]) for r in rows] == [
            (2, 0, 0.5),
            (1, 0, 1.0),
        ]
        assert [r["p_adjusted"] for r in rows] == [1.0, 1.0]
        assert found["family"] == "all rows"
        assert any("B: Judged questions: 4" in note for note in found["notes"])

    def test_languages_join_the_family(self, cli: Cli, files: Path) -> None:
        command = (
            "compare",
            files / "plain.trec",
            files / "woven.trec.gz",
            "--qrels",
            files / "c",
            "--by-language",
        )
        _, out, _ = cli(*command, "--measures", "RR@10,R@2kt", "--correction", "bonferroni", "--json")
        rows = json.loads(out)["comparisons"]
        assert [(r["measure"], r["family"]) for r in rows] == [
            *(("RR@10", f) for f in ("all questions", "ar", "ko")),
            *(("R@2kt", f) for f in ("macro mean", "ar", "ko")),
        ]
        assert all(r["p_adjusted"] == min(1, 6 * r["p_randomisation"]) for r in rows)
        assert rows[3]["difference"] == pytest.approx(((1 - 0.5) + (1 - 1)) / 2)

    def test_a_system_with_itself(self, cli: Cli, files: Path) -> None:
        run = files / "plain.trec"
        _, out, _ = cli("compare", run, run, "--qrels", files / "qrels.txt", "--measures", "AP")
        assert "AP       all questions  37.50  37.50        0.00  [0.00, 0.00]  1.000" in out

    def test_two_result_folders(self, cli: Cli, tmp_path: Path) -> None:
        for name, shift in (("plain", 0.0), ("woven", 0.25)):
            write_benchmark(tmp_path / name, shift)
        code, out, _ = cli("compare", tmp_path / "plain", tmp_path / "woven", "--json")
        rows = json.loads(out)["comparisons"]
        assert code == 0
        assert [r["family"] for r in rows] == ["all", "x-en", "cross", "asked in de", "asked in en"]
        assert all(r["difference"] == pytest.approx(0.25) for r in rows)
        assert all(r["p_randomisation"] == 2 / 2**8 for r in rows)
        assert all(r["p_adjusted"] == 5 * 2 / 2**8 for r in rows)

    @pytest.mark.parametrize(
        ("b", "code", "message"), [("c", 2, "one is a folder and one a file"), ("absent", 3, "no such file")]
    )
    def test_mistakes(self, cli: Cli, files: Path, b: str, code: int, message: str) -> None:
        found, out, err = cli("compare", files / "plain.trec", files / b, "--qrels", files / "qrels.txt")
        assert (found, out) == (code, "")
        assert message in err


def write_benchmark(folder: Path, shift: float) -> None:
    rng = np.random.default_rng(0)
    ids = tuple(f"q{i}" for i in range(8))
    subsets = {s: Scores("RR@10", ids, rng.uniform(0, 0.5, 8) + shift) for s in ("en-en", "en-de", "de-en")}
    summary = {
        "signature": {"benchmark": "mlqa"},
        "subsets": {name: {"RR@10": s.mean, "n_queries": 8} for name, s in subsets.items()},
        "mean": means({"RR@10": subsets}),
        "missing": [],
    }
    write_result(folder, BenchmarkResult(summary, {"RR@10": subsets}, {}, (), {}))


class TestReport:
    def test_one_file_with_everything(self, cli: Cli, tmp_path: Path) -> None:
        for name, shift in (("plain", 0.0), ("woven", 0.25)):
            write_benchmark(tmp_path / name, shift)
        page = tmp_path / "page.html"
        command = ("report", tmp_path / "woven", "--baseline", tmp_path / "plain", "--out", page)
        assert cli(*command, "--dry-run")[0] == 0
        assert not page.exists()
        code, out, _ = cli(*command, "--json")
        assert code == 0
        assert json.loads(out)["sections"] == [
            "Means",
            "Against the baseline",
            "Question languages",
            "Every subset",
        ]
        text = page.read_text(encoding="utf-8")
        assert f"babelweave report {tmp_path / 'woven'} --baseline" in text
        assert text.count("<svg") == 2
        assert "+25.00" in text
        code, _, err = cli(*command)
        assert code == 2
        assert "--overwrite" in err

    def test_what_is_no_result(self, cli: Cli, files: Path) -> None:
        code, out, err = cli("report", files / "c", "--out", files / "page.html")
        assert (code, out) == (3, "")
        assert "kind 'collection', kind 'result' is needed" in err
        assert not (files / "page.html").exists()
