"""Every layout of parallel text in miniature, what is dropped, and sentences joined to passages."""

from __future__ import annotations

from pathlib import Path

import pytest

import training_cases as cases
from babelweave import registry
from babelweave.data.parallel.pairs import Pair
from babelweave.data.parallel.read import Pairs, card, group_id, passages, read_parallel
from babelweave.data.squad import text_sha1
from babelweave.errors import DataError, UsageError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    cases.write_parallel(tmp_path)
    cases.write_evaluations(tmp_path)
    return tmp_path


Found = tuple[list[tuple[str, str, str]], dict[str, int]]


def read(name: str, root: Path, *languages: str) -> Found:
    stream = read_parallel(name, root, languages or None)
    return [(pair.lang, pair.english, pair.text) for pair in stream], dict(stream.counts)


def lines_of(stream: Pairs) -> int:
    """Of the files: those given and those dropped."""
    n_given = sum(1 for _ in stream)
    return n_given + sum(n for reason, n in stream.counts.items() if reason.endswith("dropped"))


def test_tatoeba(root: Path) -> None:
    pairs, counts = read("tatoeba", root)
    assert pairs == [
        ("cs", "Hi.", "Ahoj!"), ("cs", "Hi!", "Ahoj."),
        ("sr", "Hello.", "Здраво."), ("sr-Latn", "I see.", "Vidim."),
    ]  # fmt: skip
    assert counts == {"identical to English dropped": 1, "repeated dropped": 1, "blank dropped": 1}
    assert [p.lang for p in read_parallel("tatoeba", root, ["sr-Latn", "ces"])] == ["cs", "cs", "sr-Latn"]
    assert read("tatoeba", root, "sr") == ([("sr", "Hello.", "Здраво.")], {})


def test_ntrex(root: Path) -> None:
    pairs = list(read_parallel("ntrex128", root))
    assert [(p.lang, p.text, p.document, p.position) for p in pairs] == [
        ("es", "Uno.", "bbc.1", 0), ("es", "Dos.", "bbc.1", 1),
        ("es", "Tres.", "bbc.1", 2), ("es", "Cuatro.", "cnn.2", 3),
        ("de", "Eins.", "bbc.1", 0), ("de", "Zwei.", "bbc.1", 1),
        ("de", "Drei.", "bbc.1", 2), ("de", "Vier.", "cnn.2", 3),
        ("es", "Un.", "bbc.1", 0),
        ("zh", "一。", "bbc.1", 0), ("zh", "二。", "bbc.1", 1), ("zh", "四。", "cnn.2", 3),
    ]  # fmt: skip
    assert read("ntrex128", root, "zh")[1] == {"blank dropped": 1}
    assert read("ntrex128", root, "es")[1] == {"repeated dropped": 3}


def test_sib(root: Path) -> None:
    pairs, counts = read("sib200", root)
    assert pairs == [
        ("zh-Hant", 'He said, "Yes."', "二"), ("zh-Hant", "Five.", "五"), ("zh-Hant", "Seven.", '"七"'),
    ]  # fmt: skip
    assert counts == {"CSV quoting undone": 1, "without English dropped": 1}


def test_tico(root: Path) -> None:
    pairs = list(read_parallel("tico19", root))
    assert [(p.lang, p.text, p.document, p.position) for p in pairs] == [
        ("kr", "Kawu.", "tico19 kr", 0), ("es", "Fiebre.", "tico19 es-LA", 0),
        ("ti", "ረስኒ", "tico19 ti", 0), ("ti", "ረስኒ።", "tico19 ti_ER", 0),
        ("es", "Tos.", "tico19 es-LA", 1), ("ti", "ሰዓል", "tico19 ti_ER", 1),
    ]  # fmt: skip
    assert read("tico19", root)[1] == {"longer than 1000 characters dropped": 1}
    assert len(list(read_parallel("tico19", root, max_characters=1001))) == 7


def test_pawsx(root: Path) -> None:
    pairs = list(read_parallel("pawsx", root))
    assert [(p.english, p.text) for p in pairs] == [
        ("A b .", "A be."), ("B a .", "B ah."), ("C d .", "C de."), ("C d", "C dah."),
        ("G h .", "G ha."), ("H g .", "H ge."),
    ]  # fmt: skip
    assert read("pawsx", root)[1] == {"NS rows dropped": 1}
    first, second = pairs[:2]
    assert (first.twin, second.twin) == (second.group, first.group)  # differ, though of the same words
    assert not any(pair.twin for pair in pairs[2:])  # the same in meaning, or nobody says
    assert pairs[2].group == pairs[3].group  # differ in punctuation alone


def test_questions(root: Path) -> None:
    assert read("mkqa", root) == (
        [("fi", "who?", "kuka?"), ("zh", "who?", "谁"), ("zh", "beatles", "什么")],
        {"identical to English dropped": 1},
    )
    assert read("mintaka", root) == ([("de", "Which?", "Welche?"), ("hi", "Which?", "कौन?")], {})
    assert read("mintaka", root, "hi")[0] == [("hi", "Which?", "कौन?")]
    assert read("xor-tydi", root) == (
        [("ja", "Where?", "どこ?")],
        {"questions of XOR-Retrieve dev dropped": 1, "blank dropped": 1},
    )


@pytest.mark.parametrize("name", registry.names("parallel"))
def test_every_source(name: str, root: Path) -> None:
    source = card(name)
    pairs = list(read_parallel(name, root))
    assert pairs == list(read_parallel(name, root))
    assert {pair.lang for pair in pairs} <= set(source.languages)
    assert tuple(sorted(source.languages)) == source.languages
    assert all(pair.source == name and pair.group == group_id(pair.english) for pair in pairs)
    assert any(pair.document for pair in pairs) == source.ordered
    assert source.licence
    assert source.attribution
    assert source.unit in ("sentence", "question")
    assert read(name, root, "cy") == ([], read(name, root, "cy")[1])  # a language it does not have
    leaking = pairs[0]
    kept = read_parallel(name, root, exclude={text_sha1(leaking.text)})
    assert list(kept) == [pair for pair in pairs if pair.text != leaking.text]
    assert kept.counts["excluded as leaks dropped"]
    whole = read_parallel(name, root)
    assert lines_of(whole) == lines_of(read_parallel(name, root, exclude={text_sha1(leaking.english)}))


def test_groups_are_those_of_the_english() -> None:
    assert group_id("What is it?") == group_id("what is IT")
    assert group_id("What is it?") != group_id("What was it?")
    assert group_id("?!") != group_id("!")


def test_passages(root: Path) -> None:
    joined = list(passages(read_parallel("ntrex128", root), 2))
    assert [(p.lang, p.english, p.text, p.position) for p in joined] == [
        ("es", "One. Two.", "Uno. Dos.", 0), ("de", "One. Two.", "Eins. Zwei.", 0),
        ("zh", "One. Two.", "一。二。", 0),
    ]  # fmt: skip
    assert joined[0].group == joined[1].group == group_id("One. Two.")
    long = list(passages(read_parallel("ntrex128", root, ["de"]), 5))
    assert [(p.english, p.document) for p in long] == [("One. Two. Three.", "bbc.1")]
    assert [p.text for p in passages(read_parallel("tico19", root))] == ["Fiebre. Tos.", "ረስኒ። ሰዓል"]
    assert list(passages(read_parallel("pawsx", root))) == []
    with pytest.raises(UsageError, match="at least 2"):
        list(passages([], 1))


def test_a_dropped_sentence_ends_a_run() -> None:
    rows = [Pair("s", "g", f"e{i}", "de", f"d{i}", "doc", i) for i in (0, 1, 3, 4, 5, 7)]
    assert [p.english for p in passages(rows, 3)] == ["e0 e1", "e3 e4 e5"]


def test_names_and_codes_are_checked(root: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'tatoeba'"):
        read_parallel("tatoba", root)
    with pytest.raises(UsageError, match="unknown language"):
        read_parallel("tatoeba", root, ["xx-"])
    with pytest.raises(UsageError, match="max_characters is 0"):
        read_parallel("tatoeba", root, max_characters=0)


@pytest.mark.parametrize(
    ("name", "file", "content", "message"),
    [
        ("tatoeba", "tatoeba/eng-ces.tsv.gz", "a\tb\tc\n", r"ces\.tsv\.gz:1: 3 columns"),
        ("sib200", "sib200/zho_Hant/train.tsv", "7\tx\n", r"train\.tsv:1: expected index_id"),
        ("sib200", "sib200/zho_Hant/dev.tsv", "7\tx\tz\n", r"train\.tsv:3: index_id 7 is used twice"),
        ("tico19", "tico19/tico19_en_xx.jsonl.gz", '{"ar": "x"}\n', r"jsonl\.gz:1: not a row of TICO-19"),
        ("tico19", "tico19/tico19_en_xx.jsonl.gz", '{"en": 1}\n', r"jsonl\.gz:1: not a row of TICO-19"),
        ("pawsx", "pawsx/dev-de.tsv", "a\n", r"dev-de\.tsv:1: expected two sentences"),
        ("pawsx", "pawsx/dev-de.tsv", "a\tb\t0\n", r"dev-de\.tsv: not of the same length as dev-en\.tsv"),
        ("pawsx", "pawsx/dev-fr.tsv", "a\tb\t2\n", r"dev-fr\.tsv:1: expected two sentences"),
        ("pawsx", "pawsx/test-fr.tsv", "a\tb\nc\td\n", r"not of the same length as test-en\.tsv"),
        ("mintaka", "mintaka-dev/mintaka_dev.json", '[{"question": "?"}]', r"entry 0 is not a row of Min"),
        ("xor-tydi", "xor-tydi/ja-en/en.txt", "one\n", r"must be parallel"),
    ],
)
def test_broken_files_are_named(root: Path, name: str, file: str, content: str, message: str) -> None:
    cases.write(root / file, content)
    with pytest.raises(DataError, match=message):
        list(read_parallel(name, root))


@pytest.mark.parametrize("name", registry.names("parallel"))
def test_missing_sources_are_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="no such file or folder"):
        list(read_parallel(name, tmp_path))


def test_missing_parts_are_named(root: Path) -> None:
    (root / "pawsx" / "dev-en.tsv").unlink()
    with pytest.raises(DataError, match=r"partner dev-en\.tsv is missing"):
        list(read_parallel("pawsx", root))
    for file in (root / "sib200" / "eng_Latn").iterdir():
        file.unlink()
    with pytest.raises(DataError, match="no eng_Latn"):
        list(read_parallel("sib200", root))
    cases.write_zip(root / "ntrex128" / "ntrex128.zip", {"newstest2019-ref.deu.txt": "a\n"})
    with pytest.raises(DataError, match=r"expected one newstest2019-src\.eng\.txt"):
        list(read_parallel("ntrex128", root))
    lines = {"newstest2019-src.eng.txt": "a\nb\n", "newstest2019-ref.deu.txt": "a\n"}
    cases.write_zip(root / "ntrex128" / "ntrex128.zip", {**lines, "DOCUMENT_IDS.tsv": "d\nd\n"})
    with pytest.raises(DataError, match=r"deu\.txt: 1 lines, the English file has 2"):
        list(read_parallel("ntrex128", root))
    for file in (root / "tatoeba").iterdir():
        file.rename(file.with_name("x"))
    with pytest.raises(DataError, match="no file of this layout"):
        list(read_parallel("tatoeba", root))
