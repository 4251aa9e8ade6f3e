"""Whatever is a sound collection, run or judgement comes back as it was."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from babelweave.data.collection import FORMATS, Collection, FileFormat, write_collection
from babelweave.data.languages import canonical, known_languages
from babelweave.data.trec import read_qrels, read_run, write_qrels, write_run
from babelweave.ranking import run_from_scores
from babelweave.records import Passage, Query

ids = st.text(st.characters(codec="utf-8", exclude_categories=("Z", "C")), min_size=1, max_size=8).filter(
    lambda text: text.split() == [text]
)
texts = st.text(st.characters(codec="utf-8"), max_size=40)
bodies = texts.filter(lambda text: bool(text.strip()))
languages = st.sampled_from(known_languages())
passages = st.lists(
    st.builds(Passage, ids, bodies, languages, texts), unique_by=lambda p: p.doc_id, max_size=6
)
queries = st.lists(
    st.builds(Query, ids, bodies, languages, st.lists(texts, max_size=3).map(tuple)),
    unique_by=lambda q: q.query_id,
    max_size=6,
)


@settings(max_examples=40, deadline=None)
@given(passages, queries, st.sampled_from(FORMATS), st.data())
def test_collections(
    ps: list[Passage], qs: list[Query], file_format: FileFormat, data: st.DataObject
) -> None:
    pairs = [(q.query_id, p.doc_id) for q in qs for p in ps]
    drawn = data.draw(st.lists(st.sampled_from(pairs), unique=True, max_size=4)) if pairs else []
    qrels: dict[str, dict[str, int]] = {}
    for query_id, doc_id in drawn:
        qrels.setdefault(query_id, {})[doc_id] = len(doc_id)
    with tempfile.TemporaryDirectory() as folder:
        write_collection(Path(folder) / "c", ps, qs, {"s": qrels}, file_format=file_format)
        collection = Collection.open(Path(folder) / "c")
        assert list(collection.passages()) == ps
        assert list(collection.queries()) == qs
        assert collection.qrels("s") == qrels


judged = st.dictionaries(ids, st.integers(), min_size=1, max_size=4)
scores = st.dictionaries(ids, st.floats(allow_nan=False, width=32), min_size=1, max_size=8)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(ids, scores, max_size=4), st.sampled_from(["x.run", "x.run.gz"]))
def test_runs(by_query: dict[str, dict[str, float]], name: str) -> None:
    run = run_from_scores(by_query.items())
    with tempfile.TemporaryDirectory() as folder:
        write_run(Path(folder) / name, run, "t")
        assert read_run(Path(folder) / name) == run


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(ids, st.dictionaries(ids, st.integers(), min_size=1, max_size=4), max_size=4),
    st.booleans(),
)
def test_qrels(qrels: dict[str, dict[str, int]], beir: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_qrels(Path(folder) / "q", qrels, "beir" if beir else "trec")
        assert read_qrels(Path(folder) / "q") == qrels


@given(languages, st.sampled_from(["{}", " {} ", "{}_XX"]), st.booleans())
def test_spelling_does_not_matter(tag: str, form: str, upper: bool) -> None:
    if tag == "zh":
        return  # its regions name scripts
    code = form.format(tag.upper() if upper else tag)
    assert canonical(code) == tag
