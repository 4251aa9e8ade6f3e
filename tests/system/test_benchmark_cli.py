"""`benchmark` from the command line, on tiny releases in the publishers' layouts."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from babelweave.data.collection import write_collection
from babelweave.data.squad import text_id
from babelweave.data.trec import read_run
from babelweave.records import Passage
from conftest import Cli
from tiny_models import write_static_encoder

# Four passages in two languages; a question's words stand in its passage, so BM25 finds it within a language.
TEXTS = {
    "en": ["red fox runs", "blue whale swims", "green frog jumps", "black crow flies"],
    "de": ["roter fuchs rennt", "blauer wal schwimmt", "grüner frosch springt", "schwarze krähe fliegt"],
}
QUESTIONS = {
    "en": ["red fox?", "whale swims?", "green jumps?", "crow?"],
    "de": ["roter fuchs?", "wal schwimmt?", "grüner springt?", "krähe?"],
}
WORDS = sorted(
    {w.strip("?") for texts in [*TEXTS.values(), *QUESTIONS.values()] for t in texts for w in t.split()}
)


def squad(passage_lang: str, query_lang: str) -> dict[str, Any]:
    paragraphs = [
        {
            "context": context,
            "qas": [{"id": f"q{i}", "question": question, "answers": [{"text": "", "answer_start": 0}]}],
        }
        for i, (context, question) in enumerate(zip(TEXTS[passage_lang], QUESTIONS[query_lang], strict=True))
    ]
    return {"version": 1.0, "data": [{"title": "t", "paragraphs": paragraphs}]}


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mlqa") / "MLQA_V1.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for p in TEXTS:
            for q in QUESTIONS:
                name = f"MLQA_V1/dev/dev-context-{p}-question-{q}.json"
                archive.writestr(name, json.dumps(squad(p, q)))
    return path


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_static_encoder(tmp_path_factory.mktemp("encoder"), WORDS)


@pytest.fixture(scope="module")
def lexicon(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lexicon") / "lexicon.tsv"
    pairs = [
        (a, b)
        for x, y in zip(TEXTS["en"], TEXTS["de"], strict=True)
        for a, b in zip(x.split(), y.split(), strict=True)
    ]
    path.write_text("".join(f"{en}\tde\t{de}\n" for en, de in pairs))
    return path


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def test_a_result_folder_has_the_stated_shape(cli: Cli, release: Path, tmp_path: Path) -> None:
    code, out, err = cli(
        "benchmark", "mlqa", "--source", release, "--encoder", "bm25", "--out", tmp_path / "r"
    )
    assert code == 0, err
    assert "Every subset" in out
    results = read(tmp_path / "r" / "results.json")
    assert set(results) == {"signature", "subsets", "mean", "missing"}
    assert results["subsets"]["en-en"] == {
        "RR@10": 1.0, "R@100": 1.0, "nDCG@10": 1.0, "n_queries": 4, "n_passages": 4,
    }  # fmt: skip
    assert results["subsets"]["en-de"]["RR@10"] == 0.0, "no word is shared"
    assert set(results["mean"]) == {"all", "x-en", "cross"}
    assert results["mean"]["all"]["RR@10"] == 0.5
    assert results["mean"]["cross"]["RR@10"] == 0.0
    assert len(results["missing"]) == 45
    assert "zh-vi" in results["missing"]
    assert len(read_run(tmp_path / "r" / "runs" / "en-en.trec")) == 4
    rows = pq.read_table(tmp_path / "r" / "per_query.parquet").to_pylist()
    of_subset = [r["value"] for r in rows if r["subset"] == "de-de" and r["measure"] == "RR@10"]
    assert np.mean(of_subset) == results["subsets"]["de-de"]["RR@10"]


def test_weaving_lets_german_questions_find_english_passages(
    cli: Cli, release: Path, encoder: Path, lexicon: Path, tmp_path: Path
) -> None:
    common = ("benchmark", "mlqa", "--source", release, "--encoder", encoder, "--subsets", "en-de,en-en")
    assert cli(*common, "--out", tmp_path / "plain")[0] == 0
    code, out, err = cli(
        *common, "--generator", f"lexical?lexicon={lexicon}&form=keywords", "--languages", "de",
        "--alpha", "0.5", "--baseline", tmp_path / "plain", "--out", tmp_path / "woven", "--json",
    )  # fmt: skip
    assert code == 0, err
    plain, woven = (read(tmp_path / n / "results.json") for n in ("plain", "woven"))
    assert woven["subsets"]["en-de"]["RR@10"] == 1.0 > plain["subsets"]["en-de"]["RR@10"]
    assert woven["signature"]["weave"]["fuser"]["alpha"] == 0.5
    assert woven["signature"]["counts"]["queries.de"] > 0
    assert plain["signature"]["weave"] is None
    printed = json.loads(out)
    rows = {(c["measure"], c["family"]): c for c in printed["comparisons"]}
    assert rows["RR@10", "x-en"]["difference"] == pytest.approx(1.0 - plain["subsets"]["en-de"]["RR@10"])
    assert read(tmp_path / "woven" / "comparison.json")["comparisons"] == printed["comparisons"]
    assert {"read", "encode passages", "generate", "weave", "search", "score"} <= set(printed["seconds"])


def test_queries_on_disk_are_woven_whole_unless_told_otherwise(
    cli: Cli, release: Path, encoder: Path, tmp_path: Path
) -> None:
    queries = {text_id(text): {"de": ["fuchs", "wal", "frosch"]} for text in TEXTS["en"]}
    (tmp_path / "q.json").write_text(json.dumps(queries))
    common = (
        "benchmark", "mlqa", "--source", release, "--encoder", encoder, "--subsets", "en-de",
        "--generated", tmp_path / "q.json", "--json",
    )  # fmt: skip
    for chosen, n_queries in (((), 12), (("--per-language", "1"), 4)):
        code, out, err = cli(*common, *chosen)
        assert code == 0, err
        assert json.loads(out)["signature"]["counts"]["queries.de"] == n_queries


def test_a_dry_run_counts_what_would_be_encoded(cli: Cli, release: Path, tmp_path: Path) -> None:
    code, out, err = cli(
        "benchmark",
        "mlqa",
        "--source",
        release,
        "--encoder",
        "bm25",
        "--out",
        tmp_path / "r",
        "--dry-run",
        "--json",
    )
    assert code == 0, err
    plan = json.loads(out)
    assert plan["subsets"]["en-de"] == {"n_queries": 4, "n_passages": 4}
    assert (plan["distinct_passages"], plan["distinct_questions"]) == (8, 8)
    assert len(plan["missing"]) == 45
    assert not list(tmp_path.iterdir())


def test_halves_share_the_pool_and_divide_the_questions(cli: Cli, release: Path) -> None:
    found: Mapping[str, Any] = {}
    counts = []
    for half in ("tune", "report"):
        code, out, err = cli(
            "benchmark", "mlqa", "--source", release, "--encoder", "bm25", "--subsets", "en-en",
            "--half", half, "--json",
        )  # fmt: skip
        assert code == 0, err
        found = json.loads(out)["subsets"]["en-en"]
        counts.append(found["n_queries"])
        assert found["n_passages"] == 4
    assert sum(counts) == 4


def test_distractors_enlarge_the_pools_of_their_language(cli: Cli, release: Path, tmp_path: Path) -> None:
    extra = [
        Passage("x1", "a new text", "en"),
        Passage("x2", TEXTS["en"][0], "en"),
        Passage("x3", "neu", "de"),
    ]
    write_collection(tmp_path / "extra", extra, [], {})
    for path in (tmp_path / "extra", tmp_path / "extra" / "corpus.jsonl"):
        code, out, err = cli(
            "benchmark", "mlqa", "--source", release, "--encoder", "bm25", "--subsets", "en-en,de-en",
            "--distractors", path, "--json",
        )  # fmt: skip
        assert code == 0, err
        subsets = json.loads(out)["subsets"]
        assert subsets["en-en"]["n_passages"] == 5, "one new text; the repeated one is not added"
        assert subsets["de-en"]["n_passages"] == 5


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--subsets", "en-de,en-zz"], 2, "'en-zz'"),
        (["--subsets", ","], 2, "no subset named"),
        (["--split", "train"], 2, "unknown MLQA split"),
        (["--split", "test"], 3, "no test file"),
        (["--encoder", "bm25", "--weave"], 2, "bm25 ranks by terms"),
        (["--encoder", "bm25?k9=1"], 2, "k9"),
        (["--measures", "RR@10,Foo@3", "--encoder", "bm25"], 2, "Foo@3"),
        (["--measures", ",", "--encoder", "bm25"], 2, "no measure"),
        (["--measures", "R@1000", "--encoder", "bm25"], 2, "raise the depth"),
        (["--weave", "--languages", "xx", "--encoder", "ENCODER"], 2, "xx"),
        (["--weave", "--alpha", "1.5", "--encoder", "ENCODER"], 2, "alpha"),
        (["--weave", "--languages", "", "--encoder", "ENCODER"], 2, "unknown language ''"),
        (["--alpha", "0", "--normalise", "--encoder", "bm25"], 2, "--alpha, --normalise: nothing is woven"),
        (["--seed", "-1", "--encoder", "bm25"], 2, "'--seed'"),
        (["--generated", "nowhere.parquet", "--encoder", "ENCODER"], 3, "nowhere.parquet"),
        (["--generated", "x.parquet", "--generator", "lexical", "--encoder", "ENCODER"], 2, "not both"),
        (["--baseline", "nowhere", "--encoder", "bm25"], 3, "nowhere"),
        (["--encoder", "no/such-folder-or-model"], 3, "no/such"),
    ],
)
def test_wrong_requests_are_refused(
    cli: Cli, release: Path, encoder: Path, arguments: list[str], code: int, words: str, tmp_path: Path
) -> None:
    given = [str(encoder) if a == "ENCODER" else a for a in arguments]
    found, out, err = cli("benchmark", "mlqa", "--source", release, "--out", tmp_path / "r", *given)
    assert found == code, err
    assert words in err
    assert not out
    assert not list(tmp_path.iterdir()), "nothing may be left behind"


def test_a_result_is_not_overwritten(cli: Cli, release: Path, tmp_path: Path) -> None:
    arguments = ("benchmark", "mlqa", "--source", release, "--encoder", "bm25", "--subsets", "en-en",
                 "--out", tmp_path / "r")  # fmt: skip
    assert cli(*arguments)[0] == 0
    code, _, err = cli(*arguments)
    assert code == 2
    assert "--overwrite" in err
    assert cli(*arguments, "--overwrite")[0] == 0


def test_a_baseline_on_other_questions_is_refused(cli: Cli, release: Path, tmp_path: Path) -> None:
    common = ("benchmark", "mlqa", "--source", release, "--encoder", "bm25")
    assert cli(*common, "--subsets", "en-en", "--out", tmp_path / "a")[0] == 0
    code, _, err = cli(*common, "--subsets", "en-en,de-de", "--baseline", tmp_path / "a")
    assert code == 3
    assert "de-de" in err


def test_xquad_r_pairs_and_pooled(cli: Cli, tmp_path: Path) -> None:
    for lang in TEXTS:
        (tmp_path / f"{lang}.json").write_text(json.dumps(squad(lang, lang)))
    code, out, err = cli("benchmark", "xquad-r", "--source", tmp_path, "--encoder", "bm25", "--json")
    assert code == 0, err
    found = json.loads(out)["subsets"]
    assert set(found) == {"de-de", "de-en", "en-de", "en-en", "pooled"}
    assert found["pooled"]["n_queries"] == 8
    assert found["pooled"]["n_passages"] == 8
    # each question finds the passage of its own language first and never the other one: AP = 1/2
    assert found["pooled"]["AP"] == pytest.approx(0.5)


def test_xor_retrieve_gives_macro_means_and_the_ceiling(cli: Cli, tmp_path: Path) -> None:
    questions = [
        {"id": "1", "question": "fox Helsinki", "answers": ["Helsinki"], "lang": "fi", "split": "dev"},
        {"id": "2", "question": "whale", "answers": ["Oslo"], "lang": "fi", "split": "dev"},
        {"id": "3", "question": "frog", "answers": ["yes"], "lang": "ko", "split": "dev"},
        {"id": "4", "question": "crow", "answers": ["Lima", "crow"], "lang": "ko", "split": "dev"},
    ]
    source = tmp_path / "xor_dev_retrieve_eng_span_v1_1.jsonl"
    source.write_text("".join(json.dumps(q) + "\n" for q in questions))
    pool = [Passage("a", "The fox lives in Helsinki.", "en"), Passage("b", "A crow.", "en")]
    write_collection(tmp_path / "pool", pool, [], {})
    code, out, err = cli(
        "benchmark", "xor-retrieve", "--source", source, "--pool", tmp_path / "pool", "--encoder", "bm25",
        "--out", tmp_path / "r", "--json",
    )  # fmt: skip
    assert code == 0, err
    found = json.loads(out)
    assert found["languages"] == {
        "fi": {"R@2kt": 0.5, "R@5kt": 0.5, "n_queries": 2},
        "ko": {"R@2kt": 1.0, "R@5kt": 1.0, "n_queries": 1},
    }
    assert found["macro"] == {"R@2kt": 0.75, "R@5kt": 0.75}
    assert found["ceiling"] == {"fi": 0.5, "ko": 1.0, "macro": 0.75}
    assert found["signature"]["counts"]["questions without a span answer"] == 1
    code, _, err = cli("report", tmp_path / "r", "--out", tmp_path / "page.html")
    assert code == 0, err
    assert "ceiling" in (tmp_path / "page.html").read_text().lower()


def test_an_empty_pool_is_refused(cli: Cli, tmp_path: Path) -> None:
    source = tmp_path / "xor_dev_retrieve_eng_span.jsonl"
    source.write_text(
        json.dumps({"id": "1", "question": "?", "answers": ["a"], "lang": "fi", "split": "dev"}) + "\n"
    )
    (tmp_path / "pool").mkdir()
    (tmp_path / "pool" / "corpus.jsonl").write_text("")
    code, _, err = cli(
        "benchmark", "xor-retrieve", "--source", source, "--pool", tmp_path / "pool", "--encoder", "bm25"
    )
    assert code == 3
    assert "no passages" in err


def test_an_ablation_finds_what_the_benchmark_finds_and_makes_a_page(
    cli: Cli, release: Path, encoder: Path, lexicon: Path, tmp_path: Path
) -> None:
    generator = f"lexical?lexicon={lexicon}&form=keywords"
    common = ("--source", release, "--encoder", encoder, "--generator", generator, "--languages", "de")
    ablate = (
        "ablate", "--benchmark", "mlqa", *common, "--subsets", "en-de", "--numbers", "0,1", "--alphas", "0.5",
        "--weights", "0,1", "--alpha", "0.5", "--out", tmp_path / "a", "--json",
    )  # fmt: skip
    code, out, err = cli(*ablate, "--dry-run")
    assert code == 0, err
    assert json.loads(out)["arms"] == 7, (
        "plain, one query of all and of the asking language, sum, max, unit length, weight 0"
    )
    assert not (tmp_path / "a").exists()
    code, out, err = cli(*ablate)
    assert code == 0, err
    cells = {(c["axis"], c["curve"], c["x"]): c for c in json.loads(out)["cells"] if c["measure"] == "RR@10"}
    woven = cells["alpha", "mean", 0.5]
    assert woven["mean_b"] == 1.0 > woven["mean_a"]
    assert cells["alpha", "max", 0.5]["mean_b"] == 1.0
    assert cells["weights", "queries in de", 0.0]["difference"] == 0.0
    options = ("--per-language", 1, "--alpha", 0.5, "--fuser", "max", "--subsets", "en-de", "--json")
    code, out, _ = cli("benchmark", "mlqa", *common, *options)
    assert code == 0
    assert json.loads(out)["mean"]["all"]["RR@10"] == 1.0
    code, _, err = cli("report", tmp_path / "a", "--out", tmp_path / "a.html")
    assert code == 0, err
    assert "asking language, 1" in (tmp_path / "a.html").read_text(encoding="utf-8")


def test_ablations_that_are_refused(cli: Cli, release: Path, tmp_path: Path) -> None:
    ablate = ("ablate", "--source", release, "--out", tmp_path / "a")
    for options, message in (
        (("--benchmark", "mlqa", "--numbers", "1,x"), "--numbers '1,x': expected whole numbers"),
        (("--benchmark", "mlqa", "--axes", "alfa"), "did you mean 'alpha'"),
        (("--benchmark", "xquad-r", "--split", "dev"), "go with mlqa"),
    ):
        code, _, err = cli(*ablate, *options)
        assert code == 2
        assert message in err
