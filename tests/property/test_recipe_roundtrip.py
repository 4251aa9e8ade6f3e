"""A recipe written out reads back equal, whatever stands in it."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from babelweave.recipe import Recipe, Trained, TrainingPlan, dump_recipe

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NUMBER = st.one_of(st.integers(-(2**62), 2**62), st.floats(allow_nan=False, allow_infinity=False))
VALUE = st.recursive(
    st.one_of(TEXT, NUMBER, st.booleans()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=8,
)


class Anything(Recipe):
    values: dict[str, Any]

    def plan(self) -> TrainingPlan:
        raise NotImplementedError

    def train(self, folder: Path, **kwargs: Any) -> Trained:
        raise NotImplementedError


@given(st.dictionaries(TEXT, VALUE, max_size=4))
def test_toml_roundtrip(values: dict[str, Any]) -> None:
    recipe = Anything(kind="anything", values=values)
    data = tomllib.loads(dump_recipe(recipe))
    assert Anything.model_validate_json(json.dumps(data)) == recipe
