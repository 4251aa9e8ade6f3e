"""Groups of one positive and n negatives: what is drawn, when, and what a batch of them holds."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import TrainerState

from babelweave.encode.tokens import InputForm, PaddedReader
from babelweave.errors import DataError
from babelweave.records import Passage, Query
from babelweave.train.groups import GroupCollator, Groups, Redraw, to_datasets
from babelweave.train.losses import NO_PASSAGE
from babelweave.train.losses import Groups as Labels
from babelweave.train.rows import Example, RowPool
from babelweave.train.sections import Negatives
from tiny_encoders import tokenizer


def passages(start: int, n: int) -> tuple[Passage, ...]:
    return tuple(Passage(str(i), f"text {i}", "en") for i in range(start, start + n))


def pool_of(n_positives: int, n_negatives: int, n_rows: int = 3) -> RowPool:
    pool = RowPool()
    size = n_positives + n_negatives
    pool.add(
        "set",
        [
            Example(
                Query(str(i), f"question {i}", "en"),
                passages(i * size, n_positives),
                passages(i * size + n_positives, n_negatives),
            )
            for i in range(n_rows)
        ],
    )
    return pool


def drawn(groups: Groups, row: int, epochs: int) -> list[tuple[int, ...]]:
    found = []
    for groups.epoch in range(epochs):
        found.append(groups.draw(row))
    return found


def test_positives_take_turns() -> None:
    groups = Groups(pool_of(3, 0), Negatives(), seed=0)
    assert [g[0] for g in drawn(groups, 0, 4)] == [0, 1, 2, 0]
    assert [g[0] for g in drawn(groups, 1, 4)] == [4, 5, 3, 4]  # rows begin at different turns, as Tevatron's
    assert [g[0] for g in drawn(Groups(pool_of(3, 0), Negatives(positive="first"), 5), 1, 3)] == [3, 3, 3]


def test_negatives_move_on_until_all_were_seen() -> None:
    groups = Groups(pool_of(1, 6), Negatives(per_question=2), seed=3)
    epochs = [g[1:] for g in drawn(groups, 1, 6)]
    assert sorted(n for epoch in epochs[:3] for n in epoch) == list(range(8, 14))
    assert epochs[3:] == epochs[:3]
    first = Negatives(per_question=2, negative="first")
    assert [g[1:] for g in drawn(Groups(pool_of(1, 6), first, 3), 1, 2)] == [(8, 9), (8, 9)]


def test_too_few_are_drawn_with_replacement() -> None:
    groups = Groups(pool_of(1, 3), Negatives(per_question=7), seed=0)
    found = [g[1:] for g in drawn(groups, 0, 200)]
    assert {len(negatives) for negatives in found} == {7}
    shares = np.array([Counter(n for f in found for n in f)[row] for row in (1, 2, 3)]) / 1400
    assert shares == pytest.approx(1 / 3, abs=0.05)  # standard deviation 0.013
    assert len(set(found)) > 190


def test_a_question_without_negatives_gets_random_wrong_passages() -> None:
    groups = Groups(pool_of(2, 0), Negatives(per_question=3, missing="random"), seed=0)
    found = [g[1:] for g in drawn(groups, 1, 50)]
    assert {n for negatives in found for n in negatives} == {0, 1, 4, 5}  # 2 and 3 answer question 1


@given(st.integers(0, 100), st.integers(0, 5), st.integers(0, 2), st.integers(1, 4), st.integers(1, 9))
def test_a_draw_depends_on_seed_row_and_epoch_alone(
    seed: int, epoch: int, row: int, n_positives: int, n_negatives: int
) -> None:
    settings = Negatives(per_question=4)
    one = Groups(pool_of(n_positives, n_negatives), settings, seed)
    other = Groups(pool_of(n_positives, n_negatives), settings, seed)
    drawn(other, 2, 3)  # another history
    one.epoch = other.epoch = epoch
    assert one.draw(row) == other.draw(row)
    positive, *negatives = one.draw(row)
    assert positive in one.questions[row].positives
    assert set(negatives) <= set(one.questions[row].negatives)
    if n_negatives >= 4:
        assert len(set(negatives)) == 4


def test_the_epoch_is_told_before_its_batches() -> None:
    groups = Groups(pool_of(3, 0), Negatives(), seed=0)
    state = TrainerState()
    for epoch, expected in ((0, 0), (1.0, 1), (1.5, 1), (3.0, 3)):
        state.epoch = epoch
        Redraw(groups).on_epoch_begin(None, state, None)
        assert groups.epoch == expected


def test_data_sets_show_what_batches_are_made_by() -> None:
    pool = pool_of(2, 1, n_rows=2)
    pool.add("second", [Example(Query("x", "frage", "de"), passages(90, 1))])
    sets = to_datasets(pool)
    assert sets["set"].to_dict() == {
        "anchor": ["question 0", "question 1"],
        "positive": ["text 0", "text 3"],
        "lang": ["en", "en"],
        "row": [0, 1],
    }
    assert sets["second"]["row"] == [2]


def test_a_batch_is_read_as_each_role_is(tmp_path: Path) -> None:
    pool = pool_of(1, 2)
    pool.add(
        "longer", [Example(Query("x", "der schnelle braune Fuchs", "de"), passages(0, 1), passages(50, 2))]
    )
    groups = Groups(pool, Negatives(per_question=2), seed=0)
    tok = tokenizer("bert")
    form, backend = InputForm.of(tok), tok.backend_tokenizer
    readers = {
        "query": PaddedReader(backend, form, 6, "query: "),
        "passage": PaddedReader(backend, form, 12, ""),
    }
    collator = GroupCollator(groups, readers)
    rows = [3, 0]
    batch = collator([{"row": row} for row in rows])
    names = [name.removesuffix("_input_ids") for name in batch if name.endswith("_input_ids")]
    assert names == ["anchor", "positive", "negative_1", "negative_2"]
    asked = ["query: " + groups.questions[row].query.text for row in rows]
    expected = tok(asked, truncation=True, max_length=6, padding=True)
    assert batch["anchor_input_ids"].tolist() == expected["input_ids"]
    assert batch["anchor_attention_mask"].tolist() == expected["attention_mask"]
    for place, name in enumerate(names[1:]):
        texts = [groups.passages[groups.draw(row)[place]].content for row in rows]
        assert batch[f"{name}_input_ids"].tolist() == tok(texts, padding=True)["input_ids"]
    labels = Labels.of(batch["label"], 3)
    assert labels.passages.tolist() == [list(groups.draw(row)) for row in rows]
    assert labels.known.tolist() == [[0], [0]]  # passage 0 answers both


def test_known_answers_are_filled_up() -> None:
    pool = pool_of(1, 0, n_rows=1)
    pool.add("second", [Example(Query("x", "other", "en"), passages(10, 3))])
    groups = Groups(pool, Negatives(), seed=0)
    labels = groups.labels([0, 1], [groups.draw(0), groups.draw(1)])
    assert labels.tolist() == [[0, 0, NO_PASSAGE, NO_PASSAGE], [labels[1, 0].item(), 1, 2, 3]]


def test_a_batch_is_as_wide_as_its_questions_need_and_all_processes_alike(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pool = pool_of(1, 0, n_rows=1)
    pool.add("second", [Example(Query("x", "other", "en"), passages(10, 3))])
    groups = Groups(pool, Negatives(), seed=0)
    assert groups.labels([0], [groups.draw(0)]).shape == (1, 2)
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert groups.labels([0], [groups.draw(0)]).tolist() == [[0, 0, NO_PASSAGE, NO_PASSAGE]]


def test_a_question_that_everything_answers_has_no_random_negative() -> None:
    groups = Groups(pool_of(2, 0, n_rows=1), Negatives(per_question=1, missing="random"), seed=0)
    with pytest.raises(DataError, match="every passage of the data answers question '0'"):
        groups.draw(0)
