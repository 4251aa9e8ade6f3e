"""Splits worked by hand: a language left out, growing pools, provenance set against an attribute."""

from __future__ import annotations

import random
import tomllib
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from babelweave.errors import DataError, UsageError
from babelweave.records import Passage
from babelweave.shift.splits import (
    Row,
    english_tiers,
    leave_language_out,
    pool_tiers,
    provenance_sample,
    provenance_shares,
    provenance_weights,
)

RECIPE = tomllib.loads(
    """
    kind = "distil"
    [vocabulary]
    english = 5
    [vocabulary.languages]
    de = 3
    fi = 2
    [batches]
    weights = { a = 0.5, b = 0.25, c = 0.25 }
    [[data.sets]]
    name = "a"
    languages = ["de", "fi"]
    [[data.sets]]
    name = "b"
    languages = ["fi"]
    [[data.sets]]
    name = "c"
    relevance = ["tydi", "nq"]
    """
)


class TestLeaveLanguageOut:
    def test_by_hand(self) -> None:
        left = leave_language_out(RECIPE, "fi")
        assert left.dropped == (
            "data.sets.a.languages.fi",
            "data.sets.b",
            "data.sets.c.languages.fi",
            "batches.weights.b",
            "vocabulary.languages.fi",
        )
        assert left.recipe["vocabulary"] == {"english": 5, "languages": {"de": 3}}
        assert left.recipe["batches"]["weights"] == {"a": 0.5, "c": 0.25}
        a, c = left.recipe["data"]["sets"]
        assert a["languages"] == ["de"]
        assert "fi" not in c["languages"]
        assert {"ko", "sw", "en"} <= set(c["languages"]), "TyDi's others are written out"
        assert RECIPE["data"]["sets"][1]["name"] == "b", "the recipe given stays as it was"

    def test_a_set_in_the_language_goes(self) -> None:
        recipe = {
            "data": {"sets": [{"rows": "x/y", "languages": ["de"]}, {"dataset": "squad", "lang": "fi"}]}
        }
        assert leave_language_out(recipe, "fi").dropped == ("data.sets.squad",)

    def test_languages_that_are_said(self) -> None:
        recipe = {"data": {"sets": [{"rows": "x/mined"}]}}
        left = leave_language_out(recipe, "de", {"mined": ["de", "en"]})
        assert left.recipe["data"]["sets"] == [{"rows": "x/mined", "languages": ["en"]}]
        with pytest.raises(UsageError, match="'mined' names no languages"):
            leave_language_out(recipe, "de")

    @pytest.mark.parametrize(
        ("lang", "message"), [("el", "nothing in the recipe"), ("xx", "unknown language")]
    )
    def test_refused(self, lang: str, message: str) -> None:
        with pytest.raises(UsageError, match=message):
            leave_language_out(RECIPE, lang)

    def test_nothing_left(self) -> None:
        with pytest.raises(UsageError, match="nothing to train on"):
            leave_language_out({"data": {"sets": [{"name": "a", "languages": ["de"]}]}}, "de")

    @pytest.mark.parametrize("lang", ["de", "te", "sw"])
    def test_a_packaged_recipe_keeps_no_trace(self, lang: str) -> None:
        recipe = tomllib.loads((files("babelweave") / "recipes" / "babelweave-mini.toml").read_text("utf-8"))
        left = leave_language_out(recipe, lang).recipe
        assert all(lang not in part.get("languages", ()) for part in left["data"]["sets"])
        assert all(lang not in table for table in left["vocabulary"].values() if isinstance(table, dict))


class TestPoolTiers:
    PASSAGES = tuple(Passage(f"p{i}", f"text {i}", "en") for i in range(50))

    def test_nested_and_drawn_by_id(self) -> None:
        tiers = pool_tiers(self.PASSAGES, (5, 20, 50), seed=1)
        assert [len(tier) for tier in tiers.values()] == [5, 20, 50]
        assert tiers[5] == tiers[20][:5]
        assert tiers[20] == tiers[50][:20]
        shuffled = random.Random(0).sample(self.PASSAGES, 50)
        assert pool_tiers(shuffled, (5, 20, 50), seed=1) == tiers
        assert pool_tiers(self.PASSAGES, (5,), seed=2)[5] != tiers[5]

    @pytest.mark.parametrize("sizes", [(), (0, 5), (5, 5), (9, 3)])
    def test_sizes_that_do_not_grow(self, sizes: tuple[int, ...]) -> None:
        with pytest.raises(UsageError, match="growing sizes"):
            pool_tiers(self.PASSAGES, sizes)

    def test_too_few_or_twice(self) -> None:
        with pytest.raises(DataError, match="50 passages are too few for a tier of 51"):
            pool_tiers(self.PASSAGES, (51,))
        with pytest.raises(DataError, match="the first 'p0'"):
            pool_tiers([*self.PASSAGES, self.PASSAGES[0]], (5,))

    @pytest.mark.data
    def test_no_leak_is_a_distractor(self, data_root: Path) -> None:
        from babelweave.data.exclusions import EXCLUSIONS, read_exclusions
        from babelweave.data.squad import text_sha1

        tiers = english_tiers(data_root)
        leaks = read_exclusions(data_root / EXCLUSIONS)
        assert [len(tier) for tier in tiers.values()] == [1_000, 10_000, 25_000, 60_000]
        assert leaks
        assert not any(text_sha1(p.text) in leaks for p in tiers[60_000])


ALIGNED = {"de": "tydi", "fi": "squad"}


class TestProvenance:
    # Two languages, two data sets; at strength 0.5 a partner gets 0.5 + 0.25 of its language, the other 0.25.
    ROWS = (
        *[Row("tydi", "de")] * 2,
        *[Row("squad", "de")] * 4,
        *[Row("tydi", "fi")] * 1,
        *[Row("squad", "fi")] * 3,
    )

    def test_shares_by_hand(self) -> None:
        assert provenance_shares(ALIGNED, 0.5) == {
            Row("squad", "de"): 0.125,
            Row("tydi", "de"): 0.375,
            Row("squad", "fi"): 0.375,
            Row("tydi", "fi"): 0.125,
        }
        assert provenance_shares(ALIGNED, 1)[Row("squad", "de")] == 0
        assert provenance_shares(ALIGNED, 1, reverse=True)[Row("squad", "de")] == 0.5

    def test_independent_at_strength_0(self) -> None:
        assert set(provenance_shares(ALIGNED, 0).values()) == {0.25}
        assert provenance_shares(ALIGNED, 0) == provenance_shares(ALIGNED, 0, reverse=True)

    def test_three_provenances_reversed(self) -> None:
        shares = provenance_shares({"a": "x", "b": "y", "c": "z"}, 1, reverse=True)
        assert shares[Row("x", "a")] == 0
        assert shares[Row("y", "a")] == pytest.approx(1 / 6)
        assert sum(shares.values()) == pytest.approx(1)

    def test_weights_by_hand(self) -> None:
        weights = provenance_weights(self.ROWS, ALIGNED, 0.5)
        expected = [0.375 / 2] * 2 + [0.125 / 4] * 4 + [0.125] + [0.375 / 3] * 3
        np.testing.assert_allclose(weights, expected)
        assert weights.sum() == pytest.approx(1)

    def test_a_sample_has_the_shares(self) -> None:
        taken = provenance_sample(self.ROWS * 10, ALIGNED, 0.5, 16, seed=3)
        rows = [(self.ROWS * 10)[i] for i in taken]
        assert len(set(taken)) == 16
        assert [rows.count(Row(p, a)) for p in ("tydi", "squad") for a in ("de", "fi")] == [6, 2, 2, 6]
        assert taken == provenance_sample(self.ROWS * 10, ALIGNED, 0.5, 16, seed=3)
        assert taken != provenance_sample(self.ROWS * 10, ALIGNED, 0.5, 16, seed=4)

    def test_what_rounding_leaves_over(self) -> None:
        # Of 3 at strength 0 each cell has 0.75: the first three by name get a row.
        taken = provenance_sample(self.ROWS, ALIGNED, 0, 3)
        assert {self.ROWS[i] for i in taken} == {Row("squad", "de"), Row("squad", "fi"), Row("tydi", "de")}

    def test_faults(self) -> None:
        with pytest.raises(UsageError, match="from 0 to 1"):
            provenance_shares(ALIGNED, 1.5)
        with pytest.raises(UsageError, match="two are needed"):
            provenance_shares({"de": "x", "fi": "x"}, 0.5)
        with pytest.raises(UsageError, match="'web' with 'de'"):
            provenance_weights([*self.ROWS, Row("web", "de")], ALIGNED, 0.5)
        with pytest.raises(DataError, match=r"has no row, but should have 0\.25"):
            provenance_weights(self.ROWS[:6], ALIGNED, 0)
        with pytest.raises(DataError, match=r"'squad' with 'de': 4 rows, 10 are needed"):
            provenance_sample(self.ROWS * 1, ALIGNED, 1, 20, reverse=True)
