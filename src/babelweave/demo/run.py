"""Encode, generate, weave, index, search and compare on the packaged collection.

Every stage is the library function its verb calls, with the packaged encoder and generator, and leaves its
artefact in the folder given.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from babelweave.data.collection import Collection
from babelweave.data.languages import english_name
from babelweave.encode.spec import open_encoder
from babelweave.encode.store import VectorStore, encode_collection
from babelweave.evaluate.compare import Comparison, compare, correct
from babelweave.evaluate.measures import evaluate
from babelweave.generate.queries import GeneratedQueries
from babelweave.generate.run import generate_queries
from babelweave.generate.spec import open_generator
from babelweave.index.dense import DenseIndex, build_index, open_index
from babelweave.protocols import Encoder
from babelweave.ranking import to_run
from babelweave.records import Float32, Passage, Qrels, Query, Run, Scores
from babelweave.registry import DEFAULT_GENERATOR
from babelweave.weave.fusers.spec import open_fuser
from babelweave.weave.stream import weave_collection

HERE = Path(__file__).parent
COLLECTION = HERE / "collection"
MEASURES = ("RR@10", "R@100")
PER_LANGUAGE = 5
"""Generated questions per passage and language, as xQG released; 4 or more gain significantly on MLQA dev."""
ALPHA = 0.26
"""The fuser's default, xQG's share of 35 questions (docs/results/weaving-mini.md)."""
DEPTH = 100
SHOWN = (
    "honeybees-4.de",
    "volcanoes-2.es",
    "great-wall-of-china-1.zh",
    "marie-curie-3.ar",
    "penicillin-1.zh",
)
"""Questions searched before the reader's eyes, picked so: four that weaving mends, and one it does not."""

Table = Mapping[str, Mapping[str, Scores]]
"""measure -> question language -> scores; a question has the same id in every language."""


@dataclass(frozen=True, slots=True)
class Demo:
    """What the demo found.

    Attributes:
        plain, woven: scores of the two indexes.
        comparisons: woven against plain: per measure the mean over languages and every language, with
            Holm's correction over these rows.
        n_passages, n_questions, n_generated: how much it worked on.
        seconds: of the whole run.
    """

    plain: Table
    woven: Table
    comparisons: Sequence[Comparison]
    n_passages: int
    n_questions: int
    n_generated: int
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """`plain` and `woven`: language -> measure -> mean; `p`: the same, adjusted; `seconds`."""
        p: dict[str, dict[str, float]] = {}
        for found in self.comparisons:
            p.setdefault(found.family, {})[found.measure] = found.p_adjusted
        return {
            "plain": _means(self.plain),
            "woven": _means(self.woven),
            "p": p,
            "seconds": round(self.seconds, 1),
        }


def run_demo(folder: Path, encoder: str, say: Callable[[str], None]) -> Demo:
    """Run every stage.

    Args:
        folder: where the artefacts go; it must be empty.
        encoder: SPEC.
        say: gets a line per stage, and the questions shown.
    """
    start = time.perf_counter()
    collection = Collection.open(COLLECTION)
    passages = {p.doc_id: p for p in collection.passages()}
    queries = list(collection.queries())
    asked = [lang for lang in dict.fromkeys(q.lang for q in queries) if lang != "en"]
    with _stage(f"load {encoder}", say):
        model = open_encoder(encoder)
    with _stage(f"encode {len(passages)} English passages", say):
        encode_collection(passages.values(), model, folder / "plain")
    with _stage(f"generate questions in {', '.join(map(english_name, asked))}", say):
        generator = open_generator(DEFAULT_GENERATOR)
        generate_queries(passages.values(), generator, asked, PER_LANGUAGE, folder / "generated")
    generated = GeneratedQueries.open(folder / "generated")
    with _stage(f"weave {generated.n_queries:,} of them into the passages", say):
        weave_collection(
            passages.values,
            generated,
            model,
            open_fuser("mean", alpha=ALPHA, normalise=True),
            folder / "woven",
            store=VectorStore.open(folder / "plain"),
        )
    with _stage(f"encode {len(queries):,} questions in {len(asked) + 1} languages", say):
        questions = model.encode([q.text for q in queries], "query").vectors
    with _stage("index and search, plain and woven", say):
        plain, woven = (
            _search(_index(folder, name, model), queries, questions) for name in ("plain", "woven")
        )
    _show(plain, woven, passages, queries, say)
    with _stage("score and test", say):
        qrels = collection.qrels("test", check=False)
        before, after = (_score(run, qrels, queries) for run in (plain, woven))
        comparisons = _compare(before, after)
    seconds = time.perf_counter() - start
    return Demo(before, after, comparisons, len(passages), len(queries), generated.n_queries, seconds)


@contextmanager
def _stage(what: str, say: Callable[[str], None]) -> Iterator[None]:
    start = time.perf_counter()
    yield
    say(f"{time.perf_counter() - start:5.1f} s  {what}")


def _index(folder: Path, name: str, model: Encoder) -> DenseIndex:
    build_index(VectorStore.open(folder / name), "exact", folder / f"{name}-index")
    index = open_index(folder / f"{name}-index")
    index.check(model.signature)
    return index


def _search(index: DenseIndex, queries: Sequence[Query], questions: Float32) -> Run:
    return to_run([q.query_id for q in queries], index.search(questions, DEPTH), index.doc_ids)


def _show(
    plain: Run,
    woven: Run,
    passages: Mapping[str, Passage],
    queries: Sequence[Query],
    say: Callable[[str], None],
) -> None:
    """The first hit of either index for a few questions."""
    texts = {q.query_id: q.text for q in queries}
    best = [{q: docs[0] for q, docs, _ in run if docs} for run in (plain, woven)]
    say("\nfirst hits of a few questions, + where right")
    for query_id in SHOWN:
        say(f"\n         {texts[query_id]}")
        for name, hits in zip(("plain", "woven"), best, strict=True):
            mark = "+" if hits[query_id] == query_id.rpartition(".")[0] else " "
            say(f"       {mark} {name}: {passages[hits[query_id]].title}")
    say("")


def _score(run: Run, qrels: Qrels, queries: Sequence[Query]) -> Table:
    """Per measure and language, under the id of the question, which its translations share."""
    lang_of = {q.query_id: q.lang for q in queries}
    table: dict[str, dict[str, Scores]] = {}
    for found in evaluate(qrels, run, MEASURES):
        rows = list(zip(found.query_ids, found.values.tolist(), strict=True))
        for lang in sorted(set(lang_of.values())):
            of_lang = [(q.rpartition(".")[0], value) for q, value in rows if lang_of[q] == lang]
            ids, values = zip(*of_lang, strict=True)
            scores = Scores(found.measure, ids, np.array(values), found.signature)
            table.setdefault(found.measure, {})[lang] = scores
    return table


def _compare(plain: Table, woven: Table) -> list[Comparison]:
    rows: list[Comparison] = []
    for measure in MEASURES:
        a, b = plain[measure], woven[measure]
        family = [compare({lang: a[lang]}, {lang: b[lang]}, family=lang) for lang in a]
        rows += correct([*family, compare(a, b, family="mean")])
    return rows


def _means(table: Table) -> dict[str, dict[str, float]]:
    languages = next(iter(table.values()))
    return {lang: {measure: table[measure][lang].mean for measure in table} for lang in languages}
