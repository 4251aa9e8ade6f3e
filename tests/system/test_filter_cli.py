"""inspect, filter, and weaving what is left, from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from babelweave.data.collection import write_collection
from babelweave.encode.store import VectorStore
from babelweave.generate.queries import GeneratedQueries, write_queries
from babelweave.records import GeneratedQuery, Passage
from conftest import Cli
from tiny_models import write_static_encoder

PASSAGES = [
    Passage("fox", "the red fox runs over the hill", "en"),
    Passage("whale", "a blue whale swims in the sea", "en"),
    Passage("frog", "the green frog jumps into the pond", "en"),
]
GOOD = {
    "fox": "wo rennt der rote fuchs",
    "whale": "wo schwimmt der blaue wal",
    "frog": "wohin springt der frosch",
}
QUERIES = [
    GeneratedQuery("fox", "de", 0, f"{GOOD['fox']} fox"),
    GeneratedQuery("fox", "de", 1, "the red fox runs over the hill"),
    GeneratedQuery("fox", "de", 2, "лиса бежит по холму"),
    GeneratedQuery("whale", "de", 0, f"{GOOD['whale']} whale"),
    GeneratedQuery("whale", "de", 1, f"{GOOD['frog']} frog pond"),
    GeneratedQuery("frog", "de", 0, f"{GOOD['frog']} frog"),
]
WORDS = sorted(
    {w for text in [*(p.text for p in PASSAGES), *(q.query for q in QUERIES)] for w in text.split()}
)


@pytest.fixture
def folders(tmp_path: Path, cli: Cli) -> Path:
    write_collection(tmp_path / "c", PASSAGES, [], {}, settings={})
    write_queries(tmp_path / "q.parquet", QUERIES)
    write_static_encoder(tmp_path / "model", WORDS, dimension=1024)
    assert cli("encode", tmp_path / "c", "--encoder", tmp_path / "model", "--out", tmp_path / "s")[0] == 0
    assert cli("index", tmp_path / "s", "--out", tmp_path / "i")[0] == 0
    return tmp_path


def test_from_queries_to_a_woven_index_of_those_that_pass(cli: Cli, folders: Path) -> None:
    inspect = (
        "inspect", folders / "q.parquet", "--collection", folders / "c", "--index", folders / "i",
        "--encoder", folders / "model", "--out", folders / "seen",
    )  # fmt: skip
    code, out, err = cli(*inspect, "--dry-run", "--json")
    assert (code, json.loads(out)["queries"], (folders / "seen").exists()) == (0, 6, False), err
    code, out, err = cli(*inspect, "--json")
    assert code == 0, err
    (german,) = json.loads(out)["card"]["languages"]
    assert (german["n_queries"], german["taken_for"]) == (6, {"en": 1})
    assert german["recall"]["1"] == 4 / 6, (
        "one query of the whale is about the frog, one of the fox in Russian"
    )
    assert "| de | 6 |" in (folders / "seen" / "card.md").read_text()

    gates = (
        "filter",
        folders / "seen",
        "--gates",
        "language,copy=0.5,round-trip=1",
        "--out",
        folders / "kept",
    )
    code, out, _ = cli(*gates, "--dry-run")
    assert code == 0
    assert not (folders / "kept").exists()
    code, table, _ = cli(*gates)
    assert code == 0
    assert table == out, "a dry run tells the same"
    assert "dropped: round-trip" in table
    found = GeneratedQueries.open(folders / "kept").rows(["fox", "whale", "frog"])
    assert [q.query for q in found] == [QUERIES[0].query, QUERIES[3].query, QUERIES[5].query]

    weave = ("weave", folders / "c", "--encoder", folders / "model")
    code, _, err = cli(*weave, "--generated", folders / "q.parquet", "--fuser", "sum", "--out", folders / "w")
    assert code == 0
    assert "warning: passages have 1 to 3 queries" in err
    for fuser, rows in (("mean", 1), ("max?centroids=2", 3), ("max?by=language", 2)):
        woven, index = folders / f"woven-{rows}", folders / f"index-{rows}"
        code, _, err = cli(*weave, "--generated", folders / "kept", "--fuser", fuser, "--out", woven)
        assert code == 0, err
        assert f"{rows} vectors per passage" in err
        assert VectorStore.open(woven).n_rows == 3 * rows
        assert cli("index", woven, "--spec", "flat", "--out", index)[0] == 0
        code, out, err = cli(
            "search", index, "--encoder", folders / "model", "--query", GOOD["whale"], "--top", 3, "--json"
        )
        assert code == 0, err
        hits = [hit["doc_id"] for hit in json.loads(out)["queries"][0]["hits"]]
        assert hits[0] == "whale"
        assert sorted(hits) == ["fox", "frog", "whale"]


def test_a_sum_over_filtered_queries_is_refused(cli: Cli, folders: Path) -> None:
    seen = ("inspect", folders / "q.parquet", "--collection", folders / "c", "--no-language-id")
    assert cli(*seen, "--out", folders / "seen")[0] == 0
    assert cli("filter", folders / "seen", "--gates", "copy=0.5", "--out", folders / "kept")[0] == 0
    code, _, err = cli(
        "weave", folders / "c", "--encoder", folders / "model", "--generated", folders / "kept",
        "--fuser", "sum", "--out", folders / "w",
    )  # fmt: skip
    assert code == 2
    assert "was filtered" in err
    assert "--fuser mean --alpha" in err
    assert not (folders / "w").exists()
    code, _, err = cli("filter", folders / "seen", "--gates", "language", "--out", folders / "x")
    assert code == 2
    assert "no language was identified" in err
