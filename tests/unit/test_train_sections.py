"""Faults of a retriever's recipe are told before anything is read, all of them and each with its place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from babelweave.errors import UsageError
from babelweave.recipe import load_recipe
from babelweave.train.negatives import Mine
from babelweave.train.retriever import Retriever
from babelweave.train.sections import Loss

GOOD = """
kind = "retriever"
[model]
base = "base"
[[data.sets]]
relevance = "nq"
[optimisation]
epochs = 1
batch_size = 8
learning_rate = 1e-5
"""


def faults(tmp_path: Path, text: str, *overrides: str) -> str:
    (tmp_path / "r.toml").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as raised:
        load_recipe(tmp_path / "r.toml", overrides)
    return str(raised.value)


def retriever(tmp_path: Path, *overrides: str) -> Retriever:
    (tmp_path / "r.toml").write_text(GOOD, encoding="utf-8")
    recipe = load_recipe(tmp_path / "r.toml", overrides)
    assert isinstance(recipe, Retriever)
    return recipe


def test_defaults_are_those_of_the_libraries(tmp_path: Path) -> None:
    recipe = retriever(tmp_path)
    assert recipe.loss == Loss(similarity="cosine", mask_known=True)
    assert recipe.loss.factor == 20.0
    assert recipe.negatives.per_question == 0
    assert recipe.dev is None


@pytest.mark.parametrize(
    ("loss", "factor"),
    [
        ('{ similarity = "dot" }', 1.0),
        ("{ temperature = 0.05 }", 20.0),
        ("{ scale = 100.0 }", 100.0),
        ('{ similarity = "dot", temperature = 2.0 }', 0.5),
        ("{ scale = 20.0, temperature = 0.05 }", 20.0),  # twice the same
    ],
)
def test_scale_is_the_inverse_of_temperature(tmp_path: Path, loss: str, factor: float) -> None:
    assert retriever(tmp_path, f"loss={loss}").loss.factor == pytest.approx(factor)


def test_many_faults_at_once(tmp_path: Path) -> None:
    text = GOOD.replace('relevance = "nq"', 'relevance = "nqq"\nlanguages = ["xx"]').replace(
        "base =", "bse ="
    )
    found = faults(
        tmp_path,
        text + "[loss]\ntemperature = 0.05\nscale = 30.0\n[negatives]\nmissing = 'random'\n[optimization]\n",
    )
    assert "model.base: is missing" in found or "model.base (line 3): is missing" in found
    assert "model.bse (line 4): unknown key; did you mean 'base'?" in found
    assert "data.sets.0.relevance (line 6): unknown relevance 'nqq'; did you mean 'nq'?" in found
    assert "data.sets.0.languages" in found
    assert "unknown language 'xx'" in found
    assert "temperature 0.05 is a scale of 20, not 30; give one" in found
    assert "missing has no effect without per_question" in found
    assert "optimization (line 17): unknown key; did you mean 'optimisation'?" in found


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("name = 'x'", "give one of relevance, dataset, collection, rows"),
        ("relevance = 'nq'\ncollection = 'c'", "not relevance and collection"),
        ("relevance = 'nq'\nsplit = 'dev'", "relevance takes no split"),
        ("dataset = 'squad'", "dataset 'squad' needs source"),
        ("dataset = 'tevatron'\nsource = 't'", "tevatron rows name no language; give lang"),
        ("dataset = 'hub'\nsource = 'a/b'", "babelweave data prepare hub"),
        ("dataset = 'mlqa'\nsource='s'\nquery_lang=['de', 'ru']", "told apart for tevatron rows and squad"),
        ("relevance = 'nq'\n[[data.sets]]\nrelevance = 'nq'", "2 sets are called 'nq'"),
    ],
)
def test_a_source_is_one_thing_and_takes_what_it_understands(
    tmp_path: Path, source: str, message: str
) -> None:
    assert message in faults(tmp_path, GOOD.replace('relevance = "nq"', source))


@pytest.mark.parametrize(
    ("dev", "message"),
    [
        ("", "give benchmark or collection"),
        ("benchmark = 'mlqa'", "needs source"),
        ("collection = 'c'\nhalf = 'report'", "half has no effect on a collection"),
        ("collection = 'c'\nmeasure = 'RR@1o'", "unknown measure 'RR@1o'; did you mean 'RR@10'?"),
        ("benchmark = 'mlqq'\nsource = 's'", "Input should be 'mlqa'"),
    ],
)
def test_dev_data_is_one_thing_too(tmp_path: Path, dev: str, message: str) -> None:
    assert message in faults(tmp_path, f"{GOOD}[dev]\n{dev}\n")


def test_every_key_says_what_it_is() -> None:
    for model in (Retriever, Mine):
        silent = [
            f"{section.__name__}.{name}"
            for section in (inner for _, inner in _sections(model))
            for name, field in section.model_fields.items()
            if not field.description and not any(_sections(section, name))
        ]
        assert silent == []


def _sections(model: type[BaseModel], only: str | None = None) -> Iterator[tuple[str, type[BaseModel]]]:
    for name, field in model.model_fields.items():
        for inner in _models(field.annotation) if only in (None, name) else ():
            yield name, inner
            yield from _sections(inner)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)
