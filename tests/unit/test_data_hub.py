"""Data sets in the form of the Hub, read from a folder of that form: there is no network in the suite."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from babelweave.data.hub import read_hub
from babelweave.errors import DataError, MissingExtraError, UsageError
from babelweave.records import Passage, Query

HEADER = """---
configs:
- config_name: {prefix}corpus
  data_files: [{{split: corpus, path: corpus.jsonl}}]
- config_name: {prefix}queries
  data_files: [{{split: queries, path: queries.jsonl}}]
- config_name: {judged}
  data_files: [{{split: test, path: qrels.jsonl}}]
---
"""


def make_folder(folder: Path, prefix: str, judged: str) -> str:
    folder.mkdir()
    (folder / "README.md").write_text(HEADER.format(prefix=prefix, judged=judged), encoding="utf-8")
    rows = {
        "corpus": [{"_id": "d1", "title": "T", "text": "one"}, {"_id": "d2", "title": "", "text": "two"}],
        "queries": [{"_id": "q1", "text": "eins?"}],
        "qrels": [{"query-id": "q1", "corpus-id": "d2", "score": 1}],
    }
    for name, records in rows.items():
        lines = "".join(json.dumps(record) + "\n" for record in records)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    return str(folder)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets", reason="pip install 'babelweave[datasets]'")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


@pytest.mark.parametrize(("prefix", "judged", "subset"), [("", "default", None), ("en-", "en-qrels", "en")])
def test_three_part_form(tmp_path: Path, prefix: str, judged: str, subset: str | None) -> None:
    name = make_folder(tmp_path / "set", prefix, judged)
    data = read_hub(name, "test", subset, lang="eng", query_lang="de")
    assert list(data.passages) == [Passage("d1", "one", "en", "T"), Passage("d2", "two", "en")]
    assert list(data.queries) == [Query("q1", "eins?", "de")]
    assert data.qrels == {"test": {"q1": {"d2": 1}}}


def test_errors_say_what_is_there(tmp_path: Path) -> None:
    name = make_folder(tmp_path / "set", "", "default")
    with pytest.raises(UsageError, match="expected de-corpus, de-queries and de-qrels"):
        read_hub(name, "test", "de", lang="en")
    with pytest.raises(UsageError, match="no split 'dev'; present: test"):
        read_hub(name, "dev", lang="en")
    with pytest.raises(DataError, match="queries row 1: no lang"):
        read_hub(name, "test")


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ([0.5], "row 1: not a judgement .score 0.5 is not an integer"),
        ([1, 0], "'d2' is judged 1 before and 0"),
    ],
)
def test_judgements_that_would_be_lost_are_refused(tmp_path: Path, scores: list[float], message: str) -> None:
    name = make_folder(tmp_path / "set", "", "default")
    rows = [{"query-id": "q1", "corpus-id": "d2", "score": score} for score in scores]
    (tmp_path / "set" / "qrels.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(DataError, match=message):
        read_hub(name, "test", lang="en")


def test_without_a_network(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read from the Hugging Face Hub"):
        read_hub("owner/absent", lang="en")


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'babelweave\[datasets\]'"):
        read_hub("owner/name", lang="en")
