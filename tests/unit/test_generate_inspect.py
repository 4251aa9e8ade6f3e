"""Inspection of generated queries: every column by hand, the card, resume, and what is refused."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pytest

from babelweave.artifact import read_json, read_manifest
from babelweave.errors import DataError, MissingExtraError, SignatureError, UsageError
from babelweave.generate.card import CUTOFFS, as_markdown, describe
from babelweave.generate.identify import Identifier, _model
from babelweave.generate.inspect import Inspected, Judged, inspect_queries, plan_inspection
from babelweave.generate.queries import GeneratedQueries, write_queries
from babelweave.index.bm25 import build_bm25
from babelweave.index.dense import build_index, open_index
from babelweave.records import GeneratedQuery, Passage
from babelweave.search.judge import Bm25Judge, DenseJudge, open_judges
from vector_cases import LetterEncoder, write_store

PASSAGES = [
    Passage("bees", "Bees tell each other where flowers are by a dance.", "en", "Honey bees"),
    Passage("coral", "Corals bleach when the sea is too warm for a month.", "en"),
    Passage("none", "A passage nobody asks about.", "en"),
]
QUERIES = [
    GeneratedQuery("bees", "de", 0, "Wie zeigen Bienen einander den Weg zu Blumen?"),
    GeneratedQuery("bees", "de", 1, "Where are flowers, honey bees?", 0.5),
    GeneratedQuery("bees", "zh", 0, "蜜蜂怎样告诉同伴花在哪里？"),
    GeneratedQuery("coral", "de", 0, "Warum bleichen Korallen bei warmem Wasser aus?"),
    GeneratedQuery("coral", "de", 1, "warum bleichen KORALLEN bei warmem Wasser aus"),
    GeneratedQuery("elsewhere", "de", 0, "Was steht anderswo?"),
]


@pytest.fixture
def generated(tmp_path: Path) -> GeneratedQueries:
    write_queries(tmp_path / "queries.parquet", QUERIES)
    return GeneratedQueries.open(tmp_path / "queries.parquet")


class Told:
    """A judge that says what it was told, by the text of the query."""

    signature: ClassVar[dict[str, Any]] = {"name": "told", "depth": 10, "relevance": True}

    def __init__(self, places: dict[str, int]) -> None:
        self.places = places
        self.n_calls = 0

    def judge(self, queries: Sequence[str], passages: Sequence[Passage]) -> Judged:
        self.n_calls += 1
        if self.n_calls == 2 and "interrupt" in self.places:
            raise KeyboardInterrupt
        assert all(p.doc_id in ("bees", "coral") for p in passages)
        places = np.array([self.places.get(query, 0) for query in queries])
        return Judged(places, np.array([len(query) for query in queries], dtype=np.float32))


def table(folder: Path) -> pa.Table:
    return pa.concat_tables(Inspected.open(folder).shards())


def test_every_column_by_hand(generated: GeneratedQueries, tmp_path: Path) -> None:
    manifest, _ = inspect_queries(
        generated,
        PASSAGES,
        tmp_path / "i",
        identifier=Identifier(["de", "en", "zh"]),
        judges=[Told({QUERIES[0].query: 3})],
        shard_size=2,
    )
    assert manifest.counts == {"passages": 3, "passages_without_queries": 1, "queries": 5}
    rows = table(tmp_path / "i").to_pylist()
    assert [(r["doc_id"], r["lang"], r["rank"], r["query"]) for r in rows] == [
        tuple(q[:4]) for q in QUERIES[:5]
    ]
    assert [r["score"] for r in rows] == [None, 0.5, None, None, None], "the generator's own scores are kept"
    assert [r["identified"] for r in rows] == ["de", "en", "zh", "de", "de"]
    assert [r["script"] for r in rows] == [1, 1, 1, 1, 1]
    assert [r["terms"] for r in rows] == [8, 5, 11, 7, 7], "Chinese counts pairs of characters"
    assert [round(r["copied"], 3) for r in rows] == [0, 1, 0, 0, 0], "the title is part of the passage"
    assert [r["place"] for r in rows] == [3, 0, 0, 0, 0]
    assert [r["relevance"] for r in rows] == [len(q.query) for q in QUERIES[:5]]


def test_what_was_not_measured_is_null(generated: GeneratedQueries, tmp_path: Path) -> None:
    _, card = inspect_queries(generated, PASSAGES, tmp_path / "i")
    assert {c: table(tmp_path / "i")[c].null_count for c in ("identified", "place", "relevance")} == {
        "identified": 5,
        "place": 5,
        "relevance": 5,
    }
    assert [(c.in_language, c.recall, c.relevance) for c in card.languages] == [(None, None, None)] * 2
    assert "| - |" in as_markdown(card)


def test_the_card_by_hand(generated: GeneratedQueries, tmp_path: Path) -> None:
    places = {QUERIES[0].query: 1, QUERIES[1].query: 2, QUERIES[3].query: 10}
    manifest, card = inspect_queries(
        generated,
        PASSAGES,
        tmp_path / "i",
        identifier=Identifier(["de", "en", "zh"]),
        judges=[Told(places)],
        shard_size=1,
    )
    german, chinese = card.languages
    assert (german.lang, german.n_queries, german.n_unique, german.n_passages) == ("de", 4, 3, 2)
    assert (german.in_language, german.taken_for, german.in_script) == (0.75, {"en": 1}, 1)
    assert german.copied == 0.25
    assert german.recall == {1: 0.25, 10: 0.75}, "not at 100: nobody looked so deep"
    assert german.terms.median == 7
    assert german.relevance is not None
    assert german.relevance.median == np.median([len(QUERIES[i].query) for i in (0, 1, 3, 4)])
    assert {s.query for s in german.samples} == {q.query for q in QUERIES[:5] if q.lang == "de"}
    assert (chinese.n_queries, chinese.in_language, chinese.in_script) == (1, 1, 1)
    assert read_json(tmp_path / "i" / "card.json") == json.loads(json.dumps(card.to_dict()))
    page = (tmp_path / "i" / "card.md").read_text(encoding="utf-8")
    assert "| de | 4 | 3 | 2 | 5, 7, 8 | 75.0 % | 100.0 % | 25.0 % | 25.0 % | 75.0 % |" in page
    assert "Taken for another language: en 1." in page
    assert {"card.md", "card.json"} < manifest.files.keys()


def test_samples_are_seeded_and_do_not_read_as_markup() -> None:
    from babelweave.generate.inspect import SCHEMA

    rows = [
        {"doc_id": f"d{i}", "lang": "en", "rank": 0, "query": f"<b>*{i}* [x](y)\n", "score": None,
         "identified": None, "script": 1.0, "terms": 3, "copied": 0.0, "place": None, "relevance": None}
        for i in range(200)
    ]  # fmt: skip
    made = pa.Table.from_pylist(rows, schema=SCHEMA)
    settings = {"judges": [], "queries": {"generator": {}}}
    one, again, other = (describe([made], settings, seed=s).languages[0].samples for s in (0, 0, 1))
    assert len(one) == 20
    assert one == again != other
    assert r"- \<b\>\*" in as_markdown(describe([made], settings))
    assert CUTOFFS[0] == 1


def test_a_killed_inspection_goes_on_to_the_same_bytes(generated: GeneratedQueries, tmp_path: Path) -> None:
    def run(folder: str, **interrupt: int) -> None:
        judge = Told({QUERIES[0].query: 1, **interrupt})
        inspect_queries(generated, PASSAGES, tmp_path / folder, judges=[judge], shard_size=1)

    run("whole")
    with pytest.raises(KeyboardInterrupt):
        run("killed", interrupt=1)
    with pytest.raises(DataError, match="unfinished"):
        Inspected.open(tmp_path / "killed")
    with pytest.raises(UsageError, match="judges"):
        inspect_queries(generated, PASSAGES, tmp_path / "killed", shard_size=1)
    run("killed")
    assert {p.name: p.read_bytes() for p in (tmp_path / "killed").iterdir()} == {
        p.name: p.read_bytes() for p in (tmp_path / "whole").iterdir()
    }


def test_queries_of_another_collection(generated: GeneratedQueries, tmp_path: Path) -> None:
    assert plan_inspection(PASSAGES, generated) == (3, 1, ("en",))
    strangers = [Passage("x", "text", "en")]
    with pytest.raises(DataError, match="none of its 3 doc_ids is among the 1 passages"):
        plan_inspection(strangers, generated)
    with pytest.raises(DataError, match="none of its queries"):
        inspect_queries(generated, strangers, tmp_path / "i")


class TestIdentifier:
    def test_only_candidates_compete(self) -> None:
        identifier = Identifier(["de", "zh-Hant", "zh"])
        assert identifier.candidates == ("de", "zh")
        assert identifier.identify(["Where are the flowers?", "花在哪裡"]) == ["de", "zh"]
        assert [identifier.knows(lang) for lang in ("zh-Hant", "de", "en")] == [True, True, False]
        assert identifier.signature["candidates"] == ["de", "zh"]

    def test_languages_it_does_not_know(self) -> None:
        assert Identifier(["ace", "de", "en", "fon"]).candidates == ("ace", "de", "en")
        with pytest.raises(UsageError, match=r"of de, fon py3langid knows de"):
            Identifier(["de", "fon"])

    def test_without_the_extra(self, monkeypatch: pytest.MonkeyPatch) -> None:
        _model.cache_clear()
        monkeypatch.setitem(sys.modules, "py3langid.langid", None)
        with pytest.raises(MissingExtraError, match=r"babelweave\[langid\]"):
            Identifier(["de", "en"])

    def test_a_query_in_a_language_that_does_not_compete_is_not_identified(
        self, generated: GeneratedQueries, tmp_path: Path
    ) -> None:
        _, card = inspect_queries(generated, PASSAGES, tmp_path / "i", identifier=Identifier(["de", "en"]))
        assert [(c.lang, c.n_identified, c.in_language) for c in card.languages] == [
            ("de", 4, 0.75),
            ("zh", 0, None),
        ]


class TestJudges:
    def dense(self, folder: Path, rows_each: int = 1, depth: int = 2) -> tuple[DenseJudge, np.ndarray]:
        encoder = LetterEncoder(64)
        vectors = encoder.encode([p.content for p in PASSAGES], "passage").vectors
        rows = np.stack([vectors, -vectors], axis=1)[:, :rows_each].reshape(-1, 64)
        build_index(write_store(folder / "s", rows, [p.doc_id for p in PASSAGES], made_by=encoder.signature),
                    "exact", folder / "i")  # fmt: skip
        return DenseJudge(encoder, open_index(folder / "i"), depth), vectors

    @pytest.mark.parametrize("rows_each", [1, 2])
    def test_dense_places_and_scores_are_those_of_a_plain_sort(self, rows_each: int, tmp_path: Path) -> None:
        judge, vectors = self.dense(tmp_path, rows_each)
        queries = ["nobody asks", "warm sea", "dance", "zzz", "the other flowers"]
        own = [0, 1, 2, 1, 0]
        judged = judge.judge(queries, [PASSAGES[i] for i in own])
        scores = LetterEncoder(64).encode(queries, "query").vectors @ vectors.T
        ids = [p.doc_id for p in PASSAGES]
        for row, mine in enumerate(own):
            order = sorted(range(3), key=lambda p: (scores[row, p], ids[p]), reverse=True)
            place = order.index(mine) + 1
            assert judged.places is not None
            assert judged.places[row] == (place if place <= 2 else 0)
            assert judged.relevance is not None
            assert judged.relevance[row] == scores[row, mine]

    def test_bm25_places(self, tmp_path: Path) -> None:
        build_bm25(PASSAGES, tmp_path / "b")
        (judge,) = open_judges(str(tmp_path / "b"), LetterEncoder, depth=5)
        assert isinstance(judge, Bm25Judge)
        judged = judge.judge(["corals in a warm sea", "dance", "nothing shared"], [PASSAGES[1]] * 3)
        assert judged.places is not None
        assert judged.places.tolist() == [1, 0, 0]
        assert judged.relevance is None

    def test_a_passage_that_is_not_indexed(self, tmp_path: Path) -> None:
        judge, _ = self.dense(tmp_path)
        with pytest.raises(DataError, match="'x'"):
            judge.judge(["dance"], [Passage("x", "t", "en")])

    def test_what_is_refused(self, tmp_path: Path) -> None:
        self.dense(tmp_path)
        build_bm25(PASSAGES, tmp_path / "b")
        with pytest.raises(UsageError, match="depth 0"):
            open_judges(str(tmp_path / "i"), LetterEncoder, depth=0)
        with pytest.raises(UsageError, match="nprobe"):
            open_judges(f"{tmp_path / 'b'}?nprobe=3", LetterEncoder)
        with pytest.raises(SignatureError, match="dimension"):
            open_judges(str(tmp_path / "i"), lambda: LetterEncoder(8))

    def test_the_folder_says_who_judged(self, generated: GeneratedQueries, tmp_path: Path) -> None:
        judge, _ = self.dense(tmp_path)
        inspect_queries(generated, PASSAGES, tmp_path / "out", judges=[judge])
        (told,) = read_manifest(tmp_path / "out", "inspected").settings["judges"]
        assert (told["name"], told["depth"], told["relevance"]) == ("dense", 2, True)
