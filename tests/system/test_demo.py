"""The demo collection is what it claims to be, and the demo runs the whole way over it."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest
import regex

from babelweave.data.collection import Collection
from babelweave.data.validate import validate
from babelweave.demo.run import COLLECTION, SHOWN
from babelweave.encode.store import VectorStore
from babelweave.generate.queries import GeneratedQueries
from conftest import Cli
from tiny_models import write_static_encoder

LANGUAGES = {"ar", "de", "en", "es", "hi", "vi", "zh"}
SCRIPTS = {"ar": r"\p{Arabic}", "hi": r"\p{Devanagari}", "zh": r"\p{Han}"}


class TestCollection:
    def test_it_is_valid(self) -> None:
        assert validate(COLLECTION, None).n_problems == 0

    def test_every_passage_has_one_question_in_every_language(self) -> None:
        collection = Collection.open(COLLECTION)
        passages = [p.doc_id for p in collection.passages()]
        asked = Counter((q.query_id.rpartition(".")[0], q.lang) for q in collection.queries())
        assert len(passages) >= 240
        assert asked == Counter({(p, lang): 1 for p in passages for lang in LANGUAGES})
        assert all(docs == {q.rpartition(".")[0]: 1} for q, docs in collection.qrels("test").items())

    def test_every_passage_has_near_neighbours(self) -> None:
        subjects = Counter(p.doc_id.rpartition("-")[0] for p in Collection.open(COLLECTION).passages())
        assert min(subjects.values()) >= 3

    def test_questions_are_in_their_script_and_distinct(self) -> None:
        queries = list(Collection.open(COLLECTION).queries())
        assert len({q.text for q in queries}) == len(queries)
        for query in queries:
            assert query.text.rstrip()[-1] in "?？؟", query
            assert regex.search(SCRIPTS.get(query.lang, r"\p{Latin}"), query.text), query
            if query.lang == "es":
                assert "¿" in query.text, query


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Averages of random word vectors: it finds a passage by the words that a question shares with it."""
    collection = Collection.open(COLLECTION)
    texts = " ".join([*(p.content for p in collection.passages()), *(q.text for q in collection.queries())])
    words = sorted(set(re.findall(r"\w+|[^\w\s]", texts)))
    return write_static_encoder(tmp_path_factory.mktemp("encoder"), words, dimension=64)


def test_the_demo_ends_in_a_table_with_tests(cli: Cli, encoder: Path, tmp_path: Path) -> None:
    code, out, err = cli("demo", "--encoder", encoder, "--out", tmp_path / "demo", "--json")
    assert code == 0, err
    found = json.loads(out)
    assert set(found) == {"plain", "woven", "p", "seconds"}
    assert set(found["plain"]) == set(found["woven"]) == LANGUAGES
    assert set(found["p"]) == {*LANGUAGES, "mean"}
    assert found["plain"]["en"]["RR@10"] > 2 * found["plain"]["zh"]["RR@10"]
    for lang in ("de", "es"):
        assert found["woven"][lang]["RR@10"] > found["plain"][lang]["RR@10"], "woven words are found"
    assert all(0 <= p <= 1 for row in found["p"].values() for p in row.values())
    assert found["seconds"] > 0
    texts = {q.query_id: q.text for q in Collection.open(COLLECTION).queries()}
    assert all(texts[query_id] in err for query_id in SHOWN), "questions are searched visibly"
    generated = GeneratedQueries.open(tmp_path / "demo" / "generated")
    assert set(generated.languages) == LANGUAGES - {"en"}
    woven = VectorStore.open(tmp_path / "demo" / "woven").manifest
    assert (woven.counts["rows"], set(woven.settings["languages"])) == (256, LANGUAGES - {"en"})
    code, _, err = cli("demo", "--encoder", encoder, "--out", tmp_path / "demo")
    assert code == 2
    assert "--overwrite" in err
