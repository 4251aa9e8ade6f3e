"""Batches as sentence-transformers' trainer draws them."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from torch.utils.data import ConcatDataset

from babelweave.errors import DataError, UsageError
from babelweave.train.batches import (
    LanguageBatches,
    Rows,
    TextCollator,
    WeightedDatasets,
    allot,
    batch_arguments,
    compose,
    count_batches,
    text_columns,
)
from babelweave.train.settings import Batches


def data(n: int, languages: str = "de,en", name: str = "") -> Dataset:
    names = languages.split(",")
    return Dataset.from_dict(
        {
            "anchor": [f"{name} question {i}" for i in range(n)],
            "positive": [f"{name} passage {i}" for i in range(n)],
            "lang": [names[i % len(names)] for i in range(n)],
        }
    )


def sampler(dataset: Dataset, size: int, settings: Batches, seed: int = 0) -> LanguageBatches:
    return LanguageBatches(dataset, size, False, seed=seed, settings=settings)


def test_shares_by_hand() -> None:
    assert allot(10, [1, 1, 1]) == [4, 3, 3]
    assert allot(10, [0, 1, 3]) == [0, 3, 7]  # 2.5 and 7.5: the first of two equal remainders
    assert allot(0, [1, 2]) == [0, 0]


def test_hybrid_is_single_half_of_the_time() -> None:
    languages = np.repeat([0, 1], 5000)
    settings = Batches(languages="hybrid", distinct=False)
    batches = compose(Rows(languages), 10, settings, np.random.default_rng(0))
    single = sum(len(set(languages[batch])) == 1 for batch in batches)
    assert len(batches) == 1000
    assert 450 < single < 550  # three deviations of a fair coin, and 0.2 % of mixed ones by chance


def test_lengths_together_make_less_padding() -> None:
    lengths = np.random.default_rng(0).integers(1, 100, 4000)
    rows = Rows(np.zeros(4000, dtype=np.int64), lengths)
    grouped = compose(rows, 20, Batches(group_by_length=True, distinct=False), np.random.default_rng(1))
    spread = [int(np.ptp(lengths[batch])) for batch in grouped]
    assert max(spread) < 10  # 1000 lengths of 99 values are sorted together
    means = [float(lengths[batch].mean()) for batch in grouped]
    assert any(a > b for a, b in pairwise(means))  # the batches are shuffled again


def test_half_the_examples_with_one_text() -> None:
    """What repeats itself too much is left out; at this size a quadratic search would not end."""
    n = 200_000
    keys = np.arange(1, 2 * n + 1).reshape(n, 2)
    keys[::2, 1] = -1
    rows = Rows(np.zeros(n, dtype=np.int64), keys=keys)
    batches = compose(rows, 100, Batches(), np.random.default_rng(0))
    assert len(batches) == n // 2 // 99


def test_texts_are_compared_across_columns_and_none_is_no_text() -> None:
    rows = {
        "anchor": ["a", "b", "c", "d"],
        "positive": ["b", "x", "y", "z"],
        "generated_1": ["", "", "", "x"],
    }
    dataset = Dataset.from_dict(rows)
    seen = [sorted(batch) for batch in sampler(dataset, 2, Batches())]
    assert [0, 1] not in seen  # "b"
    assert [1, 3] not in seen  # "x"
    assert len(sampler(dataset, 3, Batches())) == 1  # 0, 2, and 3: "" may stand twice


def test_epochs_differ_and_come_again() -> None:
    made = sampler(data(40), 4, Batches(languages="single"))
    epochs = []
    for epoch in (0, 1, 0):
        made.set_epoch(epoch)
        epochs.append(list(made))
    assert epochs[0] == epochs[2] != epochs[1]
    assert list(sampler(data(40), 4, Batches(languages="single"), seed=1)) != epochs[0]


def test_every_epoch_has_the_same_number_of_batches() -> None:
    """Texts that repeat themselves make the number of a pass vary; the trainer counts on one number."""
    dataset = Dataset.from_dict(
        {"anchor": [f"{i}" for i in range(60)], "positive": [f"p{i % 7}" for i in range(60)]}
    )
    made = sampler(dataset, 5, Batches())
    passes = set()
    for epoch in range(20):
        made.set_epoch(epoch)
        passes.add(len(made._pass(0)))
        assert len(list(made)) == len(made)
    assert len(passes) > 1


@pytest.mark.parametrize("mode", ["mixed", "single", "hybrid"])
def test_two_processes_share_the_batches_of_one(mode: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Batches(languages=mode)
    one = list(sampler(data(90), 8, settings))
    monkeypatch.setenv("WORLD_SIZE", "2")
    two = list(sampler(data(90), 4, settings))
    assert len(two) == 2 * len(one)
    assert [a + b for a, b in zip(two[::2], two[1::2], strict=True)] == one


def multi(sizes: dict[str, int], settings: Batches) -> tuple[list[list[int]], list[int]]:
    """Batches, and which data set each is of."""
    parts = {name: data(n, name=name) for name, n in sizes.items()}
    arguments = batch_arguments(settings, parts)
    children = [arguments["batch_sampler"](part, batch_size=4, drop_last=False) for part in parts.values()]
    made = arguments["multi_dataset_batch_sampler"](
        ConcatDataset(list(parts.values())), batch_samplers=children
    )
    assert isinstance(made, WeightedDatasets)
    batches = list(made)
    assert len(batches) == len(made)
    edges = np.cumsum(list(sizes.values()))
    of = [set(np.searchsorted(edges, batch, side="right").tolist()) for batch in batches]
    assert all(len(found) == 1 for found in of)
    return batches, [found.pop() for found in of]


def test_data_sets_by_size_see_every_example() -> None:
    batches, of = multi({"a": 80, "b": 40}, Batches())
    assert Counter(of) == {0: 20, 1: 10}
    assert of != sorted(of)
    assert sorted(row for batch in batches for row in batch) == list(range(120))


def test_data_sets_by_weight() -> None:
    batches, of = multi({"a": 80, "b": 40, "c": 40}, Batches(weights={"a": 1, "b": 3, "c": 0}))
    assert Counter(of) == {0: 8, 1: 22}  # 30 batches; 7.5 and 22.5
    drawn = Counter(row for batch, number in zip(batches, of, strict=True) if number == 1 for row in batch)
    assert set(drawn.values()) == {2, 3}  # 88 draws of 40 examples: two passes and a part of the third
    assert len(drawn) == 40


def test_data_sets_by_exponent() -> None:
    _, of = multi({"a": 160, "b": 40}, Batches(exponent=0.5))
    assert Counter(of) == {0: 33, 1: 17}  # 50 batches, 2 : 1


@pytest.mark.parametrize(
    ("weights", "words"),
    [({"a": 1.0, "bb": 1.0}, "no data set 'bb'; did you mean 'b'"), ({"a": 1.0}, "none for b; 0 leaves")],
)
def test_weights_of_other_data_sets(weights: dict[str, float], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        batch_arguments(Batches(weights=weights), {"a": data(8), "b": data(8)})
    with pytest.raises(UsageError, match="no data set"):
        batch_arguments(Batches(weights=weights), data(8))


def test_too_few_examples_for_a_batch() -> None:
    with pytest.raises(DataError, match=r"10 examples fill no batch of 8 .*'single'"):
        sampler(data(10), 8, Batches(languages="single"))
    with pytest.raises(DataError, match="few: 3 examples fill no batch of 8"):
        count_batches(Batches(), {"many": data(40), "few": data(3)}, 8, 0)


def test_counts() -> None:
    single = Batches(languages="single")
    assert count_batches(single, data(21), 4, 0) == {"examples": 21, "batches": 4, "left_out": 5}
    several = {"a": data(80, name="a"), "b": data(41, name="b")}
    assert count_batches(Batches(), several, 4, 0) == {
        "examples": 121,
        "batches": 30,
        "examples.a": 80,
        "batches.a": 20,
        "left_out.a": 0,
        "examples.b": 41,
        "batches.b": 10,
        "left_out.b": 1,
    }


def test_metadata_is_not_read_as_text() -> None:
    texts: list[list[str]] = []

    def tokenise(found: list[str], **_: Any) -> dict[str, Any]:
        texts.append(found)
        return {"input_ids": found}

    dataset = data(2).add_column("length", [3, 4])
    batch = TextCollator(tokenise)([dataset[0], dataset[1]])
    assert list(batch) == ["anchor_input_ids", "positive_input_ids"]
    assert texts == [[" question 0", " question 1"], [" passage 0", " passage 1"]]
    assert text_columns(dataset) == ["anchor", "positive"]
