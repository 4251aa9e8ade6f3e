"""Leaks planted in training texts are found from a fifth on, with their ids, and can be excepted."""

from __future__ import annotations

from pathlib import Path

import pytest

import training_cases as cases
from babelweave.data.collection import write_collection
from babelweave.data.exclusions import read_exclusions
from babelweave.data.leaks import (
    EVALUATIONS,
    Checked,
    Evaluation,
    Leak,
    Text,
    Training,
    check_recipe_leaks,
    find_leaks,
    write_exclusions,
)
from babelweave.data.squad import text_id, text_sha1
from babelweave.errors import DataError, UsageError
from babelweave.records import Passage, Query

OWN = " ".join(f"own{i}" for i in range(107))
HELD_OUT = Evaluation("held", [Text("p", cases.HELD_OUT)], [Text("q", "What is it?"), Text("r", "?")])


def planted(n_words: int) -> str:
    """107 words, the first of them those of the held-out passage."""
    return " ".join([*cases.HELD_OUT.split()[:n_words], *OWN.split()[n_words:]])


def test_a_fifth_is_a_leak_and_less_is_none() -> None:
    texts = [Text("clean", OWN), Text("19%", planted(26)), Text("20%", planted(27))]
    report = find_leaks([Training("t", texts)], [HELD_OUT])
    assert report.leaks == (Leak("passage", "t", "20%", "held", "p", 0.2, 20, planted(27)),)
    assert report.checked == {"t": Checked(3, 0)}
    assert find_leaks([Training("t", texts)], [HELD_OUT], threshold=0.19).exclusions == {
        text_sha1(planted(26)), text_sha1(planted(27)),
    }  # fmt: skip


def test_questions_are_compared_as_they_stand() -> None:
    texts = [Text("a", "what IS it"), Text("b", "What is this?"), Text("c", "!"), Text("d", "")]
    report = find_leaks([Training("t", iter(texts))], [HELD_OUT])
    assert report.leaks == (Leak("question", "t", "a", "held", "q", 1.0, 0, "what IS it"),)
    assert report.checked == {"t": Checked(4, 4)}


def test_sources_texts_and_sets_keep_their_order() -> None:
    both = [HELD_OUT, HELD_OUT._replace(name="again")]
    sources = [Training(name, [Text("1", "What is it?"), Text("2", planted(107))]) for name in "ba"]
    found = [(leak.training, leak.text_id, leak.evaluation) for leak in find_leaks(sources, both).leaks]
    assert found == [(name, number, held) for name in "ba" for number in "12" for held in ("held", "again")]


def test_exceptions_pass_by_name() -> None:
    texts = [Text("1", planted(50)), Text("2", planted(60)), Text("3", planted(60) + " ")]
    report = find_leaks([Training("t", texts)], [HELD_OUT], exceptions={text_sha1(planted(60))})
    assert [leak.text_id for leak in report.leaks] == ["1", "3"]  # another byte is another text
    assert [leak.text_id for leak in report.excepted] == ["2"]
    with pytest.raises(DataError, match=r"2 training texts hold .*\n    t 1 holds held passage p by 43%"):
        report.refuse()
    find_leaks([Training("t", texts[1:2])], [HELD_OUT], exceptions={text_sha1(planted(60))}).refuse()


def test_many_leaks_are_counted_in_the_message() -> None:
    texts = [Text(str(i), "what is it") for i in range(7)]
    with pytest.raises(DataError, match=r"1 training texts(.*\n){6}    and 2 more$"):
        find_leaks([Training("t", texts)], [HELD_OUT]).refuse()


@pytest.mark.parametrize("threshold", [0, -0.1, 1.1])
def test_thresholds_are_checked(threshold: float) -> None:
    with pytest.raises(UsageError, match="expected more than 0 and at most 1"):
        find_leaks([], [HELD_OUT], threshold=threshold)


def test_there_is_something_to_check_against() -> None:
    with pytest.raises(UsageError, match="nothing to check against"):
        find_leaks([], [Evaluation("empty", [], [Text("q", "?")])])


def test_progress_wraps_the_texts() -> None:
    seen = []

    def progress(items: object, label: str, total: int | None) -> object:
        seen.append((label, total))
        return items

    find_leaks([Training("t", [Text("a", "b")])], [HELD_OUT], progress=progress)  # type: ignore[arg-type]
    assert seen == [("checking t", None)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    cases.write_parallel(tmp_path)
    cases.write_evaluations(tmp_path)
    cases.write_rows(tmp_path / "leak_exclusions.jsonl.gz", {"sha1": text_sha1("listed"), "title": "L"})
    cases.write(
        tmp_path / "arcd" / "arcd-train.json",
        cases.squad_json((planted(80), [("1", "Was wird gehalten")]), ("listed", [("2", "held out?")])),
    )
    cases.write(tmp_path / "arcd" / "arcd-test.json", cases.squad_json((OWN, [("3", "de?")])))
    return tmp_path


def test_named_sources_are_read_as_training_reads_them(root: Path) -> None:
    report = check_recipe_leaks(["arcd", "tatoeba", "mkqa"], root)
    arcd = text_id(planted(80))
    held = f"en-{text_id(cases.HELD_OUT)}"
    assert [leak[:5] for leak in report.leaks] == [
        ("passage", "arcd", arcd, "mlqa-dev", held),
        ("question", "arcd", "1", "mlqa-dev", "de-q1"),
        ("question", "arcd", "3", "xquad-r", "de-x"),
    ]
    # Passage, its question, passage, its question; "listed" and its question are dropped before.
    assert report.checked["arcd"] == Checked(4, 2)
    # Hi. Ahoj! | Hi! Ahoj. | Hello. Здраво. | I see. Vidim.
    assert report.checked["tatoeba"] == Checked(8, 8)
    # who? kuka? 谁 | beatles 什么
    assert report.checked["mkqa"] == Checked(5, 5)


def test_one_evaluation_set(root: Path) -> None:
    only = check_recipe_leaks(["arcd"], root, ["xquad-r"])
    assert [leak.evaluation for leak in only.leaks] == ["xquad-r"]
    assert list(EVALUATIONS) == ["mlqa-dev", "mlqa-test", "xquad-r", "squad-dev", "xor-dev"]


def test_both_sides_of_parallel_text_are_compared(root: Path) -> None:
    cases.write(root / "tatoeba" / "eng-ces.tsv.gz", f"What is held?\t{planted(107)}\nHeld out?\t誰\n")
    report = check_recipe_leaks(["tatoeba"], root)
    assert [(leak.text_id.rpartition("/")[2], leak.evaluation) for leak in report.leaks] == [
        ("en", "mlqa-test"), ("cs", "mlqa-dev"), ("en", "squad-dev"), ("cs", "xor-dev"),
    ]  # fmt: skip


def test_folders(tmp_path: Path) -> None:
    held, own = tmp_path / "held", tmp_path / "own"
    write_collection(
        held, [Passage("p", cases.HELD_OUT, "en")], [Query("q", "Who?", "en")], {"test": {"q": {"p": 1}}}
    )
    write_collection(
        own, [Passage("x", planted(50), "en")], [Query("y", "who", "en")], {"train": {"y": {"x": 1}}}
    )
    report = check_recipe_leaks([str(own)], None, [str(held)])
    assert [leak[:5] for leak in report.leaks] == [
        ("passage", str(own), "x", str(held), "p"), ("question", str(own), "y", str(held), "q"),
    ]  # fmt: skip


def test_names_are_checked(root: Path) -> None:
    with pytest.raises(UsageError, match=r"'sqad' is neither a training source .* did you mean 'squad'"):
        check_recipe_leaks(["sqad"], root)
    with pytest.raises(UsageError, match=r"'mlqa' is neither an evaluation set .*; did you mean 'mlqa-"):
        check_recipe_leaks(["arcd"], root, ["mlqa"])
    with pytest.raises(UsageError, match="'arcd' is read from the data folder; name it with --root"):
        check_recipe_leaks(["arcd"], None, [])
    with pytest.raises(UsageError, match="'mlqa-dev' is read from the data folder"):
        check_recipe_leaks([], None)


def test_what_is_found_can_be_left_out(root: Path, tmp_path: Path) -> None:
    report = check_recipe_leaks(["arcd"], root)
    path = tmp_path / "found.jsonl"
    assert write_exclusions(path, [*report.leaks, *report.leaks]) == 3
    excluded = read_exclusions(path)
    assert excluded == {text_sha1(leak.text): leak.text_id for leak in report.leaks}
    assert excluded.keys() == report.exclusions
    again = check_recipe_leaks(["arcd"], root, exceptions=excluded)
    assert (again.leaks, len(again.excepted)) == ((), 3)
