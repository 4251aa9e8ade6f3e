"""Each publisher's layout, in miniature and by hand."""

from __future__ import annotations

import gzip
import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from babelweave.data import english_pool, mkqa, mlqa, squad, tevatron, tydi, xor, xquad
from babelweave.data.exclusions import EXCLUSIONS
from babelweave.errors import DataError, UsageError
from babelweave.records import Passage, Query


def squad_json(*paragraphs: tuple[str, list[dict[str, Any]]], title: str = "A_B", **more: Any) -> str:
    rows = [{"context": context, "qas": qas, **more} for context, qas in paragraphs]
    return json.dumps({"version": "1.1", "data": [{"title": title, "paragraphs": rows}]})


def qa(name: str, text: str, *answers: str, start: int = 0, **more: Any) -> dict[str, Any]:
    found = [{"text": answer, "answer_start": start} for answer in answers]
    return {"id": name, "question": text, "answers": found, **more}


def write_lines(path: Path, *rows: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text, encoding="utf-8")
    return path


def sha(text: str) -> str:
    return hashlib.sha1(text.encode()).hexdigest()[:20]


@pytest.fixture
def mlqa_zip(tmp_path: Path) -> Path:
    en_de = squad_json(
        ("Rome is old.", [qa("q1", "Wie alt?", "old", "old", "")]),
        ("Oslo is cold.", [qa("q2", "Wie kalt?", "cold"), qa("q3", "Wo?", "Oslo")]),
        ("Rome is old.", [qa("q4", "Was?", "Rome")]),
    )
    en_en = squad_json(
        ("Bonn is small.", [qa("q5", "Size?", "small")]), ("Rome is old.", [qa("q1", "Age?", "old")])
    )
    with zipfile.ZipFile(tmp_path / "MLQA_V1.zip", "w") as archive:
        archive.writestr("MLQA_V1/dev/dev-context-en-question-de.json", en_de)
        archive.writestr("MLQA_V1/dev/dev-context-en-question-en.json", en_en)
        archive.writestr(
            "MLQA_V1/test/test-context-de-question-en.json", squad_json(("Test.", [qa("t", "?", "")]))
        )
    return tmp_path / "MLQA_V1.zip"


def test_mlqa_subset(mlqa_zip: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(mlqa_zip) as archive:
        archive.extractall(tmp_path / "unpacked")
    for source in (mlqa_zip, tmp_path / "unpacked", tmp_path / "unpacked" / "MLQA_V1"):
        assert mlqa.subset_names(source, "dev") == ["en-de", "en-en"]
        subset = mlqa.read_subset(source, "dev", "en-de")
        rome, oslo = sha("Rome is old."), sha("Oslo is cold.")
        assert (subset.passage_lang, subset.query_lang) == ("en", "de")
        assert subset.passages == [Passage(rome, "Rome is old.", "en"), Passage(oslo, "Oslo is cold.", "en")]
        assert subset.qrels == {"q1": {rome: 1}, "q2": {oslo: 1}, "q3": {oslo: 1}, "q4": {rome: 1}}
        assert subset.queries[0] == Query("q1", "Wie alt?", "de", ("old",))
    assert mlqa.read_subset(mlqa_zip, "test", "de-en").queries[0].answers == ()


def test_mlqa_language_pool_joins_files(mlqa_zip: Path) -> None:
    pool = mlqa.read_language_pool(mlqa_zip, "dev", "eng")
    assert [p.text for p in pool] == ["Rome is old.", "Oslo is cold.", "Bonn is small."]
    with pytest.raises(UsageError, match="no dev passages in 'hi'; present: en"):
        mlqa.read_language_pool(mlqa_zip, "dev", "hi")


def test_mlqa_halves_split_questions_by_sha1_and_keep_the_pool(mlqa_zip: Path) -> None:
    whole = mlqa.read_subset(mlqa_zip, "dev", "en-de")
    halves = {half: mlqa.read_subset(mlqa_zip, "dev", "en-de", half) for half in ("tune", "report")}  # type: ignore[arg-type]
    for half, parity in (("tune", 0), ("report", 1)):
        expected = {q for q in whole.qrels if int(hashlib.sha1(q.encode()).hexdigest(), 16) % 2 == parity}
        assert halves[half].qrels.keys() == expected
        assert halves[half].passages == whole.passages
    assert {len(half.queries) for half in halves.values()} != {0, 4}


def test_mlqa_errors_name_what_is_there(mlqa_zip: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no dev subset 'es-zh'; present: en-de, en-en"):
        mlqa.read_subset(mlqa_zip, "dev", "es-zh")
    with pytest.raises(UsageError, match="unknown MLQA split 'train'"):
        mlqa.subset_names(mlqa_zip, "train")
    with pytest.raises(UsageError, match="unknown half"):
        mlqa.read_subset(mlqa_zip, "dev", "en-de", "both")  # type: ignore[arg-type]
    (tmp_path / "other").mkdir()
    with pytest.raises(DataError, match="no dev file of MLQA"):
        mlqa.subset_names(tmp_path / "other", "dev")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "expected an object with a list 'data'"),
        (
            '{"data": [{"paragraphs": [{"qas": []}]}]}',
            "article 0, paragraph 0 is not SQuAD JSON .no 'context'",
        ),
        (squad_json(("c", [{"id": "q"}])), "paragraph 0 is not SQuAD JSON"),
        (squad_json(("c", [qa("q", "a?"), qa("q", "b?")])), "question id 'q' is used twice"),
        (squad_json((" ", [qa("q", "a?")])), "has no text"),
    ],
)
def test_squad_json_of_another_shape(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "x.json").write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        squad.read_squad(tmp_path / "x.json", "en")


def test_squad_v2_unanswerable_and_blank_questions_are_counted(tmp_path: Path) -> None:
    questions = [qa("q1", "a?", "x"), qa("q2", "b?", is_impossible=True), qa("q3", " ", "x")]
    (tmp_path / "x.json").write_text(squad_json(("Some text.", questions)), encoding="utf-8")
    kept = squad.read_squad(tmp_path, "en", "dev")
    doc = sha("Some text.")
    assert list(kept.passages) == [Passage(doc, "Some text.", "en", "A B")]
    assert kept.qrels == {"dev": {"q1": {doc: 1}, "q2": {doc: 0}}}
    assert kept.counts == {"unanswerable questions judged 0": 1, "blank questions dropped": 1}
    dropped = squad.read_squad(tmp_path, "en", "dev", drop_unanswerable=True)
    assert dropped.qrels == {"dev": {"q1": {doc: 1}}}
    assert dropped.counts == {"unanswerable questions dropped": 1, "blank questions dropped": 1}


def test_squad_jsonl_gets_question_ids(tmp_path: Path) -> None:
    row = {
        "title": "New_York",
        "para": 3,
        "context": "Text.",
        "qas": [{"question": "a?", "answers": ["x", "x"]}],
    }
    data = squad.read_squad_jsonl(write_lines(tmp_path / "x.jsonl.gz", row))
    assert list(data.queries) == [Query("New_York-3-0", "a?", "en", ("x",))]
    assert [p.title for p in data.passages] == ["New York"]
    with pytest.raises(DataError, match=r"y\.jsonl:2: not a row of this layout .no 'context'"):
        squad.read_squad_jsonl(write_lines(tmp_path / "y.jsonl", row, {"title": "x", "para": 0, "qas": []}))


def test_named_squad_layouts_pick_the_split(tmp_path: Path) -> None:
    for name, text in [("DRCD_dev.json", "開發"), ("DRCD_test.json", "測試"), ("notes.json", "x")]:
        (tmp_path / name).write_text(squad_json((text, [qa("q", "甚麼?", "x")])), encoding="utf-8")
    data = squad.read_drcd(tmp_path, "test")
    assert [(p.text, p.lang) for p in data.passages] == [("測試", "zh-Hant")]
    assert [q.lang for q in data.queries] == ["zh-Hant"]
    with pytest.raises(UsageError, match="no split 'training' of this layout; present: dev, test"):
        squad.read_drcd(tmp_path, "training")


def test_iapp_rows(tmp_path: Path) -> None:
    rows = [
        {"question_id": f"a_{i}", "context": "ก", "question": "ข?", "answers": {"text": ["ค"]}, "title": "ง"}
        for i in range(2)
    ]
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        archive.writestr("data/test.jsonl", "\n".join(json.dumps(r) for r in rows))
    data = squad.read_iapp(tmp_path / "data.zip")
    assert list(data.passages) == [Passage(sha("ก"), "ก", "th", "ง")]
    assert data.qrels == {"test": {"a_0": {sha("ก"): 1}, "a_1": {sha("ก"): 1}}}
    assert data.counts == {"repeated contexts merged": 1}


@pytest.fixture
def xquad_r(tmp_path: Path) -> Path:
    """Two languages; the answer of q1 begins in the second sentence, that of q2 in the first."""
    texts = {"en": ("One. Two.", 5), "de": ("Eins. Zwei.", 6)}
    for lang, (text, second) in texts.items():
        questions = [qa("q1", f"{lang}1?", "T", start=second), qa("q2", f"{lang}2?", "O", start=0)]
        breaks = [[0, second - 1], [second, len(text)]]
        content = squad_json((text, questions), sentence_breaks=breaks)
        (tmp_path / f"{lang}.json").write_text(content, encoding="utf-8")
    return tmp_path


def test_xquad_r_by_passage_and_sentence(xquad_r: Path) -> None:
    release = xquad.read_release(xquad_r)
    assert xquad.subset_names(release) == ["de-de", "de-en", "en-de", "en-en", "pooled"]
    stem = f"en-{sha('One. Two.')}"
    task = xquad.subset(release, "en-de")
    assert task.passages == [Passage(stem, "One. Two.", "en")]
    assert [q.text for q in task.queries] == ["de1?", "de2?"]
    assert task.qrels == {"q1": {stem: 1}, "q2": {stem: 1}}
    task = xquad.subset(release, "en-de", "sentence")
    assert task.passages == [Passage(f"{stem}-00", "One.", "en"), Passage(f"{stem}-01", "Two.", "en")]
    assert task.qrels == {"q1": {f"{stem}-01": 1}, "q2": {f"{stem}-00": 1}}


def test_xquad_r_pooled_has_an_answer_in_each_language(xquad_r: Path) -> None:
    task = xquad.subset(xquad.read_release(xquad_r), "pooled", "sentence")
    assert [p.text for p in task.passages] == ["Eins.", "Zwei.", "One.", "Two."]
    assert [(q.query_id, q.lang) for q in task.queries] == [
        ("de-q1", "de"), ("de-q2", "de"), ("en-q1", "en"), ("en-q2", "en"),
    ]  # fmt: skip
    second = {p.doc_id for p in task.passages if p.text in ("Zwei.", "Two.")}
    assert set(task.qrels["de-q1"]) == set(task.qrels["en-q1"]) == second
    assert (task.passage_lang, task.query_lang) == ("mul", "mul")


def test_xquad_errors(xquad_r: Path, tmp_path: Path) -> None:
    release = dict(xquad.read_release(xquad_r))
    with pytest.raises(UsageError, match="no XQuAD subset 'en-fr'"):
        xquad.subset(release, "en-fr")
    with pytest.raises(UsageError, match="unknown unit"):
        xquad.subset(release, "en-de", "word")  # type: ignore[arg-type]
    (paragraph,) = release["en"]
    release["en"] = (paragraph._replace(questions=paragraph.questions[:1]),)
    with pytest.raises(DataError, match="not parallel"):
        xquad.subset(release, "en-de")
    release["en"] = (paragraph._replace(sentences=()),)
    with pytest.raises(UsageError, match="mark no sentences"):
        xquad.subset(release, "en-de", "sentence")
    (tmp_path / "official").mkdir()
    with pytest.raises(DataError, match="no XQuAD here"):
        xquad.read_release(tmp_path / "official")
    content = squad_json(("Text.", [qa("q", "?", "T")]))
    (tmp_path / "official" / "xquad.en.json").write_text(content, encoding="utf-8")
    assert list(xquad.read_release(tmp_path / "official")) == ["en"]
    (tmp_path / "official" / "en.json").write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match="a second file for 'en'"):
        xquad.read_release(tmp_path / "official")


def test_tydi_renumbers_ids_that_repeat(tmp_path: Path) -> None:
    train = squad_json(("Uno.", [qa("0", "a?", "x")]), ("Due.", [qa("0", "b?", "y")]))
    (tmp_path / "tydiqa.goldp.fi.train.json").write_text(train, encoding="utf-8")
    dev = squad_json(("Dev.", [qa("korean-1-1", "k?", "")]))
    (tmp_path / "tydiqa.goldp.ko.dev.json").write_text(dev, encoding="utf-8")
    data = tydi.read_goldp(tmp_path, "train")
    assert data.counts == {"repeated question ids renumbered": 2}
    assert data.qrels == {"train": {"fi-train-00000": {sha("Uno."): 1}, "fi-train-00001": {sha("Due."): 1}}}
    assert list(tydi.read_goldp(tmp_path, "dev").queries) == [Query("korean-1-1", "k?", "ko")]
    with pytest.raises(UsageError, match="no dev questions in 'fi'; present: ko"):
        tydi.read_goldp(tmp_path, "dev", "fi")
    with pytest.raises(UsageError, match="no TyDi split 'test'; present: dev, train"):
        tydi.read_goldp(tmp_path, "test")


def test_tydi_joint_file_takes_the_language_from_the_id(tmp_path: Path) -> None:
    content = squad_json(("Ein.", [qa("arabic-1-1", "a?", "x")]), ("Zwei.", [qa("telugu-1-1", "b?", "y")]))
    (tmp_path / "tydiqa-goldp-v1.1-dev.json").write_text(content, encoding="utf-8")
    assert [(q.query_id, q.lang) for q in tydi.read_goldp(tmp_path).queries] == [
        ("arabic-1-1", "ar"),
        ("telugu-1-1", "te"),
    ]
    assert [p.lang for p in tydi.read_goldp(tmp_path, "dev", "te").passages] == ["te"]


def test_xor_questions(tmp_path: Path) -> None:
    rows = [
        {"id": "1", "question": "a?", "answers": ["Yes", "Rome", "Rome"], "lang": " ar", "split": "dev"},
        {"id": "2", "question": "b?", "answers": ["x"], "lang": "te", "split": "dev"},
    ]
    path = write_lines(tmp_path / "xor_dev_retrieve_eng_span_v1_1.jsonl", *rows)
    for source in (path, tmp_path):
        assert xor.read_questions(source) == [
            Query("1", "a?", "ar", ("Yes", "Rome")),
            Query("2", "b?", "te", ("x",)),
        ]
    with pytest.raises(UsageError, match="no file of split 'train', expected xor_train"):
        xor.read_questions(tmp_path, "train")
    for row, message in [
        ({**rows[0], "lang": "xx"}, "unknown language"),
        ({"id": "3"}, "not a row"),
        (rows[0], "twice"),
    ]:
        write_lines(path, *rows, row)
        with pytest.raises(DataError, match=rf"\.jsonl:3: .*{message}"):
            xor.read_questions(path)


def test_xor_translations_are_line_parallel(tmp_path: Path) -> None:
    write_lines(tmp_path / "fi-en" / "fi.txt", "yksi?", "kaksi?")
    write_lines(tmp_path / "fi-en" / "en.txt", "one?", "two?")
    assert list(xor.read_translations(tmp_path)) == [("fi", "yksi?", "one?"), ("fi", "kaksi?", "two?")]
    write_lines(tmp_path / "fi-en" / "en.txt", "one?")
    with pytest.raises(DataError, match=r"fi\.txt: has more lines"):
        list(xor.read_translations(tmp_path))


def test_mkqa_layouts(tmp_path: Path) -> None:
    official = {
        "example_id": -5,
        "queries": {"de": "wer?", "zh_cn": "谁?", "zh_tw": "誰?", "zh_hk": "邊個?"},
        "answers": {"de": [{"type": "entity", "text": "Otto", "aliases": ["O.", "Otto"]}, {"text": None}]},
    }
    found = mkqa.read_mkqa(write_lines(tmp_path / "o" / "mkqa.jsonl.gz", official))
    assert found["de"] == [Query("-5", "wer?", "de", ("Otto", "O."))]
    assert {lang: q[0].text for lang, q in found.items()} == {
        "de": "wer?", "zh": "谁?", "zh-Hant": "誰?", "zh-HK": "邊個?",
    }  # fmt: skip
    joint = {"id": "-5", "q": {"de": "wer?", "fi": "kuka?"}, "ans": {"de": ["Otto"]}}
    found = mkqa.read_mkqa(write_lines(tmp_path / "j" / "queries.jsonl", joint))
    assert found == {"de": [Query("-5", "wer?", "de", ("Otto",))], "fi": [Query("-5", "kuka?", "fi")]}
    row = {"id": "-5_zh_cn", "lang": "zh_cn", "question": "谁?", "answers": ["奥托"]}
    with zipfile.ZipFile(tmp_path / "dev.zip", "w") as archive:
        archive.writestr("mkqa_dev/mkqa-zh_cn.jsonl", json.dumps(row))
    assert mkqa.read_mkqa(tmp_path / "dev.zip", ["zho-CN"]) == {"zh": [Query("-5", "谁?", "zh", ("奥托",))]}
    with pytest.raises(UsageError, match="no MKQA questions in 'fr'; present: zh"):
        mkqa.read_mkqa(tmp_path / "dev.zip", ["fr"])
    with pytest.raises(DataError, match=r"bad\.jsonl:1: not a row of MKQA"):
        mkqa.read_mkqa(write_lines(tmp_path / "b" / "bad.jsonl", {"id": "1"}))


def test_tevatron_v1(tmp_path: Path) -> None:
    positive, negative = {"docid": 7, "title": "T", "text": "pos"}, {"docid": "n", "title": "", "text": "neg"}
    rows = [
        {
            "query_id": 1,
            "query": "a?",
            "answers": ["x"],
            "positive_passages": [positive],
            "negative_passages": [],
        },
        {"query_id": "2", "query": "b?", "positive_passages": [positive], "negative_passages": [negative]},
    ]
    data = tevatron.read_v1(write_lines(tmp_path / "x.jsonl", *rows), "en", "fi")
    assert list(data.passages) == [Passage("7", "pos", "en", "T"), Passage("n", "neg", "en")]
    assert list(data.queries) == [Query("1", "a?", "fi", ("x",)), Query("2", "b?", "fi")]
    assert data.qrels == {"train": {"1": {"7": 1}, "2": {"7": 1}}}
    assert data.counts == {"repeated passages merged": 1}
    changed = {**rows[1], "query_id": "3", "negative_passages": [{**negative, "text": "other"}]}
    with pytest.raises(DataError, match=r"x\.jsonl:3: docid 'n' has another text"):
        tevatron.read_v1(write_lines(tmp_path / "x.jsonl", *rows, changed), "en", "fi")


def test_tevatron_v2(tmp_path: Path) -> None:
    rows = [
        {
            "query_id": "1",
            "query_text": "a?",
            "answer": "x",
            "positive_document_ids": ["d"],
            "negative_document_ids": ["e"],
        },
        {"query_id": "2", "query": "b?", "answer": None, "positive_document_ids": ["d", "e"]},
    ]
    corpus = write_lines(
        tmp_path / "c.jsonl", {"docid": "d", "text": "D"}, {"docid": "e", "text": "E", "title": None}
    )
    data = tevatron.read_v2(write_lines(tmp_path / "q.jsonl", *rows), corpus, "en", "en", "dev")
    assert list(data.passages) == [Passage("d", "D", "en"), Passage("e", "E", "en")]
    assert list(data.queries) == [Query("1", "a?", "en", ("x",)), Query("2", "b?", "en")]
    assert data.qrels == {"dev": {"1": {"d": 1}, "2": {"d": 1, "e": 1}}}


def test_english_pool(tmp_path: Path) -> None:
    squad_row = {"title": "A_B", "para": 0, "context": "squad text", "qas": []}
    write_lines(tmp_path / "squad" / "train.jsonl.gz", squad_row)
    write_lines(tmp_path / "squad" / "dev.jsonl.gz", {**squad_row, "context": "dev text"})
    vital = tmp_path / "wiki-vital-en"
    write_lines(
        vital / "full_articles_paragraphs.jsonl.gz", {"title": "V", "text": "squad text"}, {"text": "leaked"}
    )
    write_lines(vital / "lead_snippets.jsonl.gz", {"title": "L", "text": "lead"})
    (tmp_path / "multihop").mkdir()
    for name, content in [
        ("2wikimultihopqa", [{"title": "W", "text": "wiki"}]),
        ("hotpotqa_train", {"H": ["a", " b"]}),
    ]:
        (tmp_path / "multihop" / f"{name}_corpus.json").write_text(json.dumps(content), encoding="utf-8")
    (tmp_path / "tydiqa-goldp").mkdir()
    for split in ("train", "dev"):
        path = tmp_path / "tydiqa-goldp" / f"tydiqa.goldp.en.{split}.json"
        path.write_text(squad_json((f"tydi {split}", [qa("english-1-1", "?", "x")])), encoding="utf-8")
    nq = {
        "question": "?",
        "answers": ["x"],
        "ctxs": [
            {"title": "N", "text": "gold", "isgold": True},
            {"title": "N", "text": "no", "isgold": False},
        ],
    }
    write_lines(tmp_path / "nq-open-oracle" / "nq-open-oracle.jsonl.gz", nq)
    (tmp_path / "mlqa").mkdir()
    with zipfile.ZipFile(tmp_path / "mlqa" / "MLQA_V1.zip", "w") as archive:
        archive.writestr("dev-context-en-question-de.json", squad_json(("mlqa", [qa("q", "?", "x")])))
    write_lines(tmp_path / EXCLUSIONS, {"sha1": hashlib.sha1(b"leaked").hexdigest()})

    whole = english_pool.read_pool(tmp_path, exclude_leaks=False)
    pool = english_pool.read_pool(tmp_path)
    texts = [p.text for p in pool.passages]
    assert texts == [
        "squad text",
        "dev text",
        "lead",
        "wiki",
        "a b",
        "tydi train",
        "tydi dev",
        "gold",
        "mlqa",
    ]
    assert [p.text for p in whole.passages] == [*texts[:2], "leaked", *texts[2:]]
    assert next(iter(pool.passages)) == Passage(f"squad-train-{sha('squad text')}", "squad text", "en", "A B")
    assert pool.counts == {
        "squad-train": 1, "squad-dev": 1, "vital": 0, "repeated texts merged": 1, "excluded as leaks": 1,
        "vital-leads": 1, "2wiki": 1, "hotpot": 1, "tydi": 2, "nq": 1, "mlqa-dev": 1,
    }  # fmt: skip
