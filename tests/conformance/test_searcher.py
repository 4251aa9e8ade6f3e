"""What every searcher must do: complete runs in one order, whatever finds the passages."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import pytest

from babelweave.encode.store import VectorStore, encode_collection
from babelweave.errors import DataError
from babelweave.index.bm25 import build_bm25, open_bm25
from babelweave.index.dense import build_index, open_index
from babelweave.protocols import Searcher
from babelweave.records import Passage, Query, Run
from babelweave.search.hybrid import HybridSearcher
from babelweave.search.rerank import RerankSearcher, open_cross_encoder
from babelweave.search.search import Bm25Searcher, DenseSearcher, find_passages
from tiny_models import write_cross_encoder
from vector_cases import LetterEncoder

WORDS = "fox dog bird fish tree moon star river stone cloud".split()


def _passages() -> list[Passage]:
    """Sixty short texts; every fifth equals an earlier one, so that scores tie."""
    rng = random.Random(0)
    texts = [" ".join(rng.choices(WORDS, k=rng.randint(1, 6))) for _ in range(60)]
    texts[5::5] = texts[:55:5]
    ids = [f"p{i}" for i in range(60)]
    rng.shuffle(ids)
    return [Passage(doc_id, text, "en") for doc_id, text in zip(ids, texts, strict=True)]


QUERIES = [
    Query(f"q{i}", text, "en")
    for i, text in enumerate(["fox", "dog bird", "river stone cloud moon", "the star", "tree tree fish"])
]


@pytest.fixture(scope="module")
def searchers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Searcher]:
    folder, encoder, passages = tmp_path_factory.mktemp("searchers"), LetterEncoder(), _passages()
    encode_collection(passages, encoder, folder / "store")
    build_index(VectorStore.open(folder / "store"), "exact", folder / "dense")
    build_bm25(passages, folder / "bm25")
    write_cross_encoder(folder / "model", WORDS)
    dense = DenseSearcher(encoder, open_index(folder / "dense"))
    bm25 = Bm25Searcher(open_bm25(folder / "bm25"))
    model = open_cross_encoder(str(folder / "model"))
    return {
        "dense": dense,
        "bm25": bm25,
        "hybrid": HybridSearcher([dense, bm25]),
        "rerank": RerankSearcher(dense, model, lambda ids: find_passages(passages, ids), depth=20),
    }


Check = Callable[[Searcher], None]


def every_question_is_answered_in_its_order(searcher: Searcher) -> None:
    asked = [*QUERIES, Query("unknown words", "zzz", "en"), Query("blank", "", "en")]
    run = searcher.search(asked, 3)
    assert run.query_ids == tuple(q.query_id for q in asked)
    assert len(run.doc_ids) == len(run.scores) == len(asked)


def hits_are_in_our_order(searcher: Searcher) -> None:
    for _, doc_ids, scores in searcher.search(QUERIES, 30):
        ranked = list(zip(scores, doc_ids, strict=True))
        assert ranked == sorted(ranked, reverse=True)


def at_most_k_distinct_known_passages(searcher: Searcher) -> None:
    known = {p.doc_id for p in _passages()}
    for k in (1, 7, 100):
        for _, doc_ids, scores in searcher.search(QUERIES, k):
            assert 0 < len(doc_ids) <= k
            assert len(scores) == len(doc_ids) == len(set(doc_ids))
            assert set(doc_ids) <= known


def equal_texts_tie(searcher: Searcher) -> None:
    text_of = {p.doc_id: p.text for p in _passages()}
    n_pairs = 0
    for _, doc_ids, scores in searcher.search(QUERIES, 20):
        score_of: dict[str, float] = {}
        for doc_id, score in zip(doc_ids, scores, strict=True):
            n_pairs += text_of[doc_id] in score_of
            assert score_of.setdefault(text_of[doc_id], score) == score
    assert n_pairs, "the case must hold equal texts"


def a_question_does_not_depend_on_the_others(searcher: Searcher) -> None:
    together = {query_id: doc_ids for query_id, doc_ids, _ in searcher.search(QUERIES, 5)}
    for query in QUERIES:
        assert searcher.search([query], 5).doc_ids == (together[query.query_id],)


def no_questions_give_an_empty_run(searcher: Searcher) -> None:
    assert searcher.search([], 5) == Run((), (), ())


def a_question_id_twice_is_refused(searcher: Searcher) -> None:
    with pytest.raises(DataError, match="'q0' comes twice"):
        searcher.search([QUERIES[0], QUERIES[0]], 5)


CHECKS: list[Check] = [
    every_question_is_answered_in_its_order,
    hits_are_in_our_order,
    at_most_k_distinct_known_passages,
    equal_texts_tie,
    a_question_does_not_depend_on_the_others,
    no_questions_give_an_empty_run,
    a_question_id_twice_is_refused,
]

CASES = [
    (name, check)
    for name in ("dense", "bm25", "hybrid", "rerank")
    for check in CHECKS
    if (name, check) != ("hybrid", equal_texts_tie)  # ranks tell equal texts apart
]


@pytest.mark.parametrize(("name", "check"), CASES)
def test_searchers_conform(name: str, check: Check, searchers: dict[str, Searcher]) -> None:
    check(searchers[name])


class _Wrong:
    """A searcher with one fault."""

    def __init__(self, fault: str, right: Searcher) -> None:
        self.fault, self.right = fault, right

    def search(self, queries: Sequence[Query], k: int) -> Run:
        if self.fault == "answers a repeated question":
            queries = list(dict.fromkeys(queries))
        answers = list(self.right.search(queries, k + 1 if self.fault == "one too many" else k))
        if self.fault == "drops questions without hits":
            answers = [answer for answer in answers if answer[1]]
        if self.fault == "tie order":
            answers = [
                (q, *zip(*sorted(zip(d, s, strict=True), key=lambda hit: (-hit[1], hit[0])), strict=True))
                if d
                else (q, d, s)
                for q, d, s in answers
            ]
        if self.fault == "repeats a passage":
            answers = [(q, d[:1] + d[:1] + d[2:], s) for q, d, s in answers]
        return Run(*(tuple(column) for column in zip(*answers, strict=True))) if answers else Run((), (), ())


@pytest.mark.parametrize(
    "fault",
    [
        "answers a repeated question",
        "one too many",
        "drops questions without hits",
        "tie order",
        "repeats a passage",
    ],
)
def test_a_wrong_searcher_is_noticed(fault: str, searchers: dict[str, Searcher]) -> None:
    failed = []
    for check in CHECKS:
        try:
            check(_Wrong(fault, searchers["bm25"]))
        except (AssertionError, ValueError, pytest.fail.Exception):
            failed.append(check.__name__)
    assert failed, f"no check noticed: {fault}"
