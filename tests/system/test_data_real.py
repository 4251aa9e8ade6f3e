"""The publishers' real files give the counts their papers and data pages state."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from babelweave.data import english_pool, mkqa, mlqa, squad, tydi, xor, xquad
from babelweave.evaluate.benchmarks.xor_retrieve import MOST, read_judged

pytestmark = pytest.mark.data


def test_mlqa_dev(data_root: Path) -> None:
    source = data_root / "mlqa" / "MLQA_V1.zip"
    subsets = [mlqa.read_subset(source, "dev", name) for name in mlqa.subset_names(source, "dev")]
    assert len(subsets) == 49
    same = {s.passage_lang: len(s.queries) for s in subsets if s.passage_lang == s.query_lang}
    assert same == {"en": 1148, "de": 512, "es": 500, "ar": 517, "zh": 504, "vi": 511, "hi": 507}
    pools = {lang: {p.doc_id for s in subsets if s.passage_lang == lang for p in s.passages} for lang in same}
    counts = {lang: len(pool) for lang, pool in pools.items()}
    assert counts == {"en": 978, "de": 456, "es": 454, "ar": 439, "zh": 443, "vi": 451, "hi": 425}
    assert {p.doc_id for p in mlqa.read_language_pool(source, "dev", "vi")} == pools["vi"]
    questions = {query.query_id for subset in subsets for query in subset.queries}
    assert len(questions) == 1148
    assert Counter(mlqa.half_of(query_id) for query_id in questions) == {"tune": 600, "report": 548}
    assert all(len(judged) == 1 for subset in subsets for judged in subset.qrels.values())


def test_mlqa_test(data_root: Path) -> None:
    source = data_root / "mlqa" / "MLQA_V1.zip"
    names = mlqa.subset_names(source, "test")
    assert len(names) == 16
    assert {name.split("-")[0] for name in names} == {"de", "es", "vi", "zh"}
    subset = mlqa.read_subset(source, "test", "zh-de")
    assert all(not query.answers for query in subset.queries)
    assert all(not passage.title for passage in subset.passages)


def test_xquad_r(data_root: Path) -> None:
    release = xquad.read_release(data_root / "xquad-r")
    assert len(release) == 11
    pooled = xquad.subset(release, "pooled", "sentence")
    assert len(pooled.passages) == 13_014
    assert Counter(p.lang for p in pooled.passages)["th"] == 852
    assert {len(judged) for judged in pooled.qrels.values()} == {11}
    assert len(pooled.queries) == 11 * 1190
    task = xquad.subset(release, "ar-th")
    assert (len(task.passages), len(task.queries)) == (240, 1190)


def test_question_answering_sets(data_root: Path) -> None:
    found = {
        "jaquad": squad.read_jaquad(data_root / "jaquad" / "jaquad.zip", "dev"),
        "cmrc": squad.read_cmrc2018(data_root / "cmrc2018", "trial"),
        "drcd": squad.read_drcd(data_root / "drcd", "test"),
        "arcd": squad.read_arcd(data_root / "arcd", "train"),
        "iapp": squad.read_iapp(data_root / "iapp-wiki-qa-thai" / "data.zip", "test"),
        "squad": squad.read_squad_jsonl(data_root / "squad" / "dev.jsonl.gz"),
    }
    sizes = {name: (len(list(data.passages)), len(list(data.queries))) for name, data in found.items()}
    assert sizes == {
        "jaquad": (1431, 3939),
        "cmrc": (256, 1000),
        "drcd": (1000, 3493),
        "arcd": (231, 693),
        "iapp": (192, 739),
        "squad": (2067, 10570),
    }
    assert found["cmrc"].counts == {"blank questions dropped": 2}


def test_tydi(data_root: Path) -> None:
    dev = tydi.read_goldp(data_root / "tydiqa-goldp", "dev")
    assert Counter(q.lang for q in dev.queries) == {
        "ar": 921, "ru": 812, "fi": 782, "te": 669, "id": 565, "sw": 499, "en": 440, "ko": 276, "bn": 113,
    }  # fmt: skip
    train = tydi.read_goldp(data_root / "tydiqa-goldp", "train")
    assert len(list(train.queries)) == train.counts["repeated question ids renumbered"] == 8076


def test_xor_retrieve(data_root: Path) -> None:
    questions = xor.read_questions(data_root / "xor-tydi")
    scored = [q for q in questions if any(a.lower() not in ("yes", "no") for a in q.answers)]
    assert Counter(q.lang for q in scored) == {
        "ar": 309, "bn": 304, "fi": 314, "ja": 241, "ko": 285, "ru": 237, "te": 238,
    }  # fmt: skip
    assert len(questions) == 2110
    assert len(xor.read_questions(data_root / "xor-tydi", "train")) == 15_250
    assert sum(1 for _ in xor.read_translations(data_root / "xor-tydi")) == 32_877


def test_mkqa(data_root: Path) -> None:
    dev = mkqa.read_mkqa(data_root / "mkqa" / "mkqa_dev.zip")
    assert len(dev) == 12
    assert {len(questions) for questions in dev.values()} == {1758}
    joint = mkqa.read_mkqa(data_root / "mkqa" / "queries_12lang.jsonl.gz")
    assert {len(questions) for questions in joint.values()} == {6758}
    by_id = {q.query_id: q.text for q in joint["fi"]}
    assert all(by_id[q.query_id] == q.text for q in dev["fi"])


def test_english_pool(data_root: Path) -> None:
    pool = english_pool.read_pool(data_root)
    passages = list(pool.passages)
    assert len(passages) == 71_256
    assert len({p.text for p in passages}) == len({p.doc_id for p in passages}) == len(passages)
    assert pool.counts["excluded as leaks"] == 332


def test_xor_retrieve_judged_by_its_answers(data_root: Path) -> None:
    """Against a search of our own through the whole pool."""
    pool = english_pool.read_pool(data_root).passages
    tasks = read_judged(data_root / "xor-tydi", list(pool))
    assert {s.name: len(s.queries) for s in tasks.subsets} == {
        "en-ar": 65,
        "en-bn": 70,
        "en-fi": 52,
        "en-ja": 39,
        "en-ko": 62,
        "en-ru": 34,
        "en-te": 51,
    }
    assert tasks.signature["unasked"] == {
        "more than 10 passages hold an answer": 841,
        "no passage holds an answer": 714,
        "the answer is yes or no": 182,
    }
    texts = [(p.doc_id, p.text) for p in pool]
    for subset in tasks.subsets:
        question = min(subset.queries, key=lambda q: q.query_id)
        spans = [r"\W+".join(map(re.escape, re.findall(r"\w+", a))) for a in question.answers]
        holds = re.compile(rf"(?<!\w)(?:{'|'.join(spans)})(?!\w)", re.IGNORECASE)
        assert subset.qrels[question.query_id].keys() == {d for d, text in texts if holds.search(text)}
        assert all(1 <= len(judged) <= MOST for judged in subset.qrels.values())
