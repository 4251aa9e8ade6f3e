"""Hard negatives out of a run: margins, answers, duplicates and ranks by hand; the recipe with BM25."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from babelweave.artifact import read_manifest
from babelweave.data.collection import Collection, write_collection
from babelweave.encode.spec import open_encoder
from babelweave.encode.store import VectorStore, encode_collection
from babelweave.errors import DataError, UsageError
from babelweave.index.bm25 import build_bm25
from babelweave.index.dense import build_index
from babelweave.recipe import load_recipe
from babelweave.records import Passage, Query, Run
from babelweave.train.negatives import Mining, mine, queries
from babelweave.train.rows import KIND, Example, RowPool, read_rows
from tiny_models import write_static_encoder

TEXTS = {
    "gold": "Paris is the capital of France",
    "other": "the capital question is open",
    "twin": "the capital question is open",
    "answer": "Some live in PARIS, some do not",
    "part": "Parisian cafés open early",
    "far": "rivers of Asia",
}
PASSAGES = {name: Passage(name, text, "en") for name, text in TEXTS.items()}
QUESTION = Query("q", "what is the capital of France", "en", ("Paris", "yes"))
HITS = [("answer", 9.0), ("other", 8.0), ("gold", 7.0), ("twin", 6.5), ("part", 6.0), ("far", 1.0)]


def pool_of(*questions: Query, positives: tuple[str, ...] = ("gold",)) -> RowPool:
    pool = RowPool()
    found = tuple(PASSAGES[name] for name in positives)
    pool.add("set", [Example(q, found, (PASSAGES["far"],)) for q in questions or (QUESTION,)])
    return pool


def run_of(pool: RowPool, hits: list[tuple[str, float]] = HITS) -> Run:
    ids = tuple(query.query_id for query in queries(pool))
    docs, scores = zip(*hits, strict=True) if hits else ((), ())
    return Run(ids, (docs,) * len(ids), (scores,) * len(ids))


def mined(**settings: Any) -> tuple[list[str], dict[str, int]]:
    pool = pool_of()
    found = mine(pool, run_of(pool), lambda ids: {i: PASSAGES[i] for i in ids}, Mining(**settings))
    (question,) = found.pool.questions["set"]
    return [found.pool.passages[row].doc_id for row in question.negatives], found.counts


def test_answers_and_repeated_texts_are_left_out() -> None:
    found, counts = mined()
    assert found == ["other", "part", "far"]  # "Parisian" is another word than "Paris"
    assert counts == {
        "en: answer-bearing left out": 1,
        "en: known answers left out": 1,
        "en: negatives": 3,
        "en: questions with fewer than 7, kept": 1,
        "en: repeated passages left out": 1,
    }
    assert mined(answers="keep")[0] == ["answer", "other", "part", "far"]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"margin": 0.0}, ["twin", "part", "far"]),  # at most the positive's 7.0
        ({"margin": 0.6}, ["part", "far"]),  # at most 6.4
        ({"margin": 1.0}, ["part", "far"]),  # exactly 6.0 stays
        ({"relative_margin": 0.15}, ["far"]),  # at most 5.95
        ({"relative_margin": 0.05}, ["twin", "part", "far"]),  # at most 6.65
    ],
)
def test_margins_keep_what_scores_well_below_the_positive(
    settings: dict[str, float], expected: list[str]
) -> None:
    assert mined(**settings)[0] == expected


def test_scores_below_zero_keep_their_direction() -> None:
    pool = pool_of()
    hits = [("gold", -10.0), ("other", -10.4), ("far", -11.0)]
    found = mine(
        pool, run_of(pool, hits), lambda ids: {i: PASSAGES[i] for i in ids}, Mining(relative_margin=0.05)
    )
    (question,) = found.pool.questions["set"]
    assert [found.pool.passages[row].doc_id for row in question.negatives] == ["far"]  # at most -10.5


def test_a_positive_that_was_not_found_leaves_nothing_below_it() -> None:
    pool = pool_of()
    hits = [("other", 8.0), ("far", 1.0)]
    lookup = {i: PASSAGES[i] for i, _ in hits}
    assert mine(pool, run_of(pool, hits), lambda _: lookup, Mining()).counts["en: negatives"] == 2
    strict = mine(pool, run_of(pool, hits), lambda _: lookup, Mining(margin=0.0))
    assert strict.counts == {
        "en: negatives": 0,
        "en: questions with fewer than 7, kept": 1,
        "en: within the margin left out": 2,
    }
    with pytest.raises(DataError, match="no question has a passage"):
        mine(pool, run_of(pool, hits), lambda _: lookup, Mining(margin=0.0, too_few="drop"))


def test_ranks_and_number() -> None:
    assert mined(first=2, last=5)[0] == ["other", "part"]
    assert mined(per_question=1)[0] == ["other"]
    assert mined(first=6, last=6)[0] == ["far"]


def test_any_of_those_left_by_seed_in_their_order() -> None:
    picks = {tuple(mined(choose="random", per_question=2, seed=seed)[0]) for seed in range(30)}
    assert picks == {("other", "part"), ("other", "far"), ("part", "far")}
    assert mined(choose="random", per_question=2, seed=4) == mined(choose="random", per_question=2, seed=4)


def test_questions_with_too_few_are_kept_or_dropped_and_counted_by_language() -> None:
    german = Query("q2", "was ist die Hauptstadt", "de", ())
    pool = pool_of(QUESTION, german)
    lookup = {name: PASSAGES[name] for name in TEXTS}
    kept = mine(pool, run_of(pool), lambda _: lookup, Mining(per_question=4))
    assert len(kept.pool.questions["set"]) == 2
    dropped = mine(pool, run_of(pool), lambda _: lookup, Mining(per_question=4, too_few="drop"))
    assert [q.query.lang for q in dropped.pool.questions["set"]] == ["de"]  # no answer to look for
    assert dropped.counts["en: questions with fewer than 4, dropped"] == 1
    assert dropped.counts["de: negatives"] == 4


def test_another_positive_of_the_question_is_no_negative() -> None:
    pool = pool_of(QUESTION, positives=("gold", "other"))
    lookup = {name: PASSAGES[name] for name in TEXTS}
    found = mine(pool, run_of(pool), lambda _: lookup, Mining(margin=0.5))
    (question,) = found.pool.questions["set"]
    # the best positive scores 8; the text of "other" is known whatever its id
    assert [found.pool.passages[row].doc_id for row in question.negatives] == ["part", "far"]
    assert found.counts["en: known answers left out"] == 3


def test_a_run_without_a_question_is_an_error() -> None:
    pool = pool_of()
    with pytest.raises(DataError, match="the run does not answer question 'q'"):
        mine(pool, Run((), (), ()), lambda _: {}, Mining())


def write_data(folder: Path) -> None:
    judged = {"q": {"gold": 1}, "r": {"far": 1}}
    texts = [QUESTION, Query("r", "where are rivers in Asia", "en")]
    write_collection(folder / "col", PASSAGES.values(), texts, {"train": judged})


RECIPE = """
kind = "negatives"
[data]
[[data.sets]]
collection = "col"
[search]
{search}
[mining]
per_question = 2
last = 5
"""


def recipe(folder: Path, search: str) -> Any:
    (folder / "r.toml").write_text(RECIPE.format(search=search), encoding="utf-8")
    return load_recipe(folder / "r.toml", [f"data.root={json.dumps(str(folder))}"])


def test_the_recipe_writes_rows_with_bm25_twice_the_same(tmp_path: Path) -> None:
    write_data(tmp_path)
    asked = recipe(tmp_path, 'bm25 = "bm25"')
    assert asked.plan().n_examples == 2
    trained = asked.train(tmp_path / "rows")
    # the pool is what the data judges; "of" is what the question shares with the other one's answer
    assert [[p.doc_id for p in e.negatives] for e in read_rows(tmp_path / "rows")] == [["far"], []]
    assert trained.manifest.counts["questions"] == 2
    assert read_manifest(tmp_path / "rows", KIND).settings["mining.last"] == 5
    with pytest.raises(UsageError, match="not empty"):
        asked.train(tmp_path / "rows")
    assert asked.train(tmp_path / "again").manifest.digest() == trained.manifest.digest()


def test_the_recipe_searches_a_collection_in_memory(tmp_path: Path) -> None:
    write_data(tmp_path)
    recipe(tmp_path, 'bm25 = "bm25"\ncollection = "col"').train(tmp_path / "rows")
    first = next(iter(read_rows(tmp_path / "rows")))
    assert [p.doc_id for p in first.negatives] == ["twin", "far"]  # of equal scores the higher id


@pytest.mark.parametrize("kind", ["bm25", "vectors"])
def test_the_recipe_looks_in_indexes_over_a_larger_collection(tmp_path: Path, kind: str) -> None:
    write_data(tmp_path)
    if kind == "bm25":
        build_bm25(PASSAGES.values(), tmp_path / "index")
        search = 'indexes = ["index"]\ncollection = "col"'
    else:
        words = sorted({w for text in (*TEXTS.values(), QUESTION.text) for w in text.split()})
        folder = write_static_encoder(tmp_path / "encoder", words)
        _index_of_vectors(tmp_path, folder)
        search = f'indexes = ["index"]\ncollection = "col"\nencoder = {json.dumps(str(folder))}'
    recipe(tmp_path, search).train(tmp_path / "rows")
    first = next(iter(read_rows(tmp_path / "rows")))
    assert first.query == QUESTION
    assert 1 <= len(first.negatives) <= 2
    found = {p.text for p in first.negatives}
    assert not found & {TEXTS["gold"], TEXTS["answer"]}


def _index_of_vectors(folder: Path, encoder: Path) -> None:
    encode_collection(
        Collection.open(folder / "col").passages(), open_encoder(str(encoder)), folder / "store"
    )
    build_index(VectorStore.open(folder / "store"), "exact", folder / "index")


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ("", "give encoder or bm25, or indexes"),
        ('indexes = ["i"]', "indexes need collection"),
        ('bm25 = "bm25"\nindexes = ["i"]\ncollection = "c"', "a folder of bm25 goes under indexes"),
    ],
)
def test_a_search_is_one_thing(tmp_path: Path, search: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        recipe(tmp_path, search)
