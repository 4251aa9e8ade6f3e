"""Paired comparison against figures worked by hand and against scipy."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest
from scipy import stats

from babelweave.errors import DataError
from babelweave.evaluate.compare import (
    Comparison,
    bonferroni,
    bootstrap_interval,
    cluster_values,
    compare,
    compare_gains,
    correct,
    estimate,
    holm,
    randomisation_test,
    t_test,
)
from babelweave.records import Scores


def scores(*values: float, ids: str | None = None, measure: str = "RR@10") -> Scores:
    names = tuple(ids.split()) if ids else tuple(f"q{i}" for i in range(len(values)))
    return Scores(measure, names, np.array(values, dtype=np.float64))


def one(*values: float) -> dict[str, Scores]:
    return {"all": scores(*values)}


class TestRandomisation:
    @pytest.mark.parametrize(
        ("differences", "p"),
        [
            ([1.0], 1.0),  # both flips are as far
            ([1.0, 1.0], 2 / 4),  # ++ and --
            ([1.0, 1.0, 1.0], 2 / 8),
            ([3.0, 1.0], 2 / 4),  # |3+1| = 4: ++ and --
            ([3.0, -1.0], 4 / 4),  # |3-1| = 2: all four flips give 4 or 2
            ([1.0, 2.0, 3.0], 2 / 8),
            ([-1.0, 2.0, 3.0], 4 / 8),  # 4: +++, -++, and their negatives
            ([0.0, 0.0, 1.0, 1.0], 2 / 4),  # zeros do not count
            ([0.1, 0.2, -0.3], 8 / 8),  # the sum is zero up to rounding
            ([0.1] * 10, 2 / 1024),
            # in tenths 11 against 23, 7, 17, 1, 11, 5, 5, 11: ties that float64 sums do not show
            ([-0.6, 0.6, 0.3, 0.8], 8 / 16),
        ],
    )
    def test_exact_where_all_flips_can_be_listed(self, differences: list[float], p: float) -> None:
        assert randomisation_test(np.array(differences)) == p

    @pytest.mark.parametrize("seed", range(5))
    def test_equals_the_list_of_all_flips(self, seed: int) -> None:
        d = np.random.default_rng(seed).normal(0.3, 1, 11)
        means = [abs(np.mean(d * signs)) for signs in itertools.product([1, -1], repeat=11)]
        assert randomisation_test(d) == pytest.approx(np.mean([m >= abs(d.mean()) - 1e-12 for m in means]))

    @pytest.mark.parametrize("shift", [0.0, 0.1, 0.25])
    def test_sampled_p_is_near_scipys(self, shift: float) -> None:
        d = np.random.default_rng(7).normal(shift, 1, 101)
        theirs = stats.permutation_test(
            (d,), np.mean, permutation_type="samples", n_resamples=9999, rng=np.random.default_rng(1)
        ).pvalue
        ours = randomisation_test(d, seed=3)
        assert ours == pytest.approx(theirs, abs=4 * math.sqrt(max(theirs, 0.01) / 9999) * math.sqrt(2))

    def test_p_is_never_zero_and_the_seed_decides_the_draws(self) -> None:
        assert randomisation_test(np.ones(200)) == 1 / 10_000
        d = np.random.default_rng(0).normal(0.1, 1, 50)
        assert randomisation_test(d, seed=0) == randomisation_test(d, seed=0)
        assert len({randomisation_test(d, seed=s) for s in range(4)}) > 1

    def test_batches_do_not_change_how_many_flips_are_drawn(self) -> None:
        """4,000,000 // 40,001 rows a batch: several batches, the last one short."""
        d = np.random.default_rng(0).normal(0, 1, 40_001)
        p = randomisation_test(d, n=250)
        assert 0 < p <= 1
        assert round(p * 251, 9) == round(p * 251)


class TestT:
    def test_equals_scipys_paired_test(self) -> None:
        rng = np.random.default_rng(0)
        a, b = rng.uniform(0, 1, 80), rng.uniform(0, 1, 80)
        found = compare(one(*a), one(*b))
        assert found.p_t == pytest.approx(stats.ttest_rel(b, a).pvalue, rel=1e-9)

    def test_by_hand(self) -> None:
        """Differences 1, 2, 3: mean 2, sd 1, t = 2 sqrt(3) with 2 degrees of freedom, p = 0.0742."""
        assert t_test(np.array([1.0, 2.0, 3.0])) == pytest.approx(0.07417990022744853)

    def test_edges(self) -> None:
        assert t_test(np.zeros(5)) == 1.0
        assert math.isnan(t_test(np.array([0.5])))
        assert t_test(np.full(4, 0.25)) == 0.0
        nearly = np.full(5, 0.1) + np.array([0, 1, 0, 2, 1]) * 1e-17
        assert t_test(nearly) == 0.0  # no warning, no p out of rounding


class TestCorrections:
    """Worked by hand: sorted 0.01 0.02 0.03 0.04 times 4 3 2 1, then never less than the one before."""

    def test_holm(self) -> None:
        assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
        assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
        assert holm([0.5, 0.6]) == [1.0, 1.0]
        assert holm([0.2]) == [0.2]
        assert holm([]) == []

    def test_holm_on_the_example_of_rs_p_adjust(self) -> None:
        """R: p.adjust(c(0.0001, 0.004, 0.0095, 0.05, 0.2), "holm")."""
        expected = [0.0005, 0.016, 0.0285, 0.1, 0.2]
        assert holm([0.0001, 0.004, 0.0095, 0.05, 0.2]) == pytest.approx(expected)

    def test_bonferroni(self) -> None:
        assert bonferroni([0.01, 0.02, 0.4]) == pytest.approx([0.03, 0.06, 1.0])

    def test_a_family_is_corrected_over_all_of_it(self) -> None:
        rng = np.random.default_rng(1)
        family = [
            compare(one(*np.zeros(12)), one(*rng.normal(shift, 1, 12)), family=f"f{shift}")
            for shift in (0.2, 0.9, 2.0)
        ]
        raw = [c.p_randomisation for c in family]
        assert [c.p_adjusted for c in correct(family, "holm")] == holm(raw)
        assert [c.p_adjusted for c in correct(family, "bonferroni")] == bonferroni(raw)
        assert [c.p_adjusted for c in correct(family, "none")] == raw
        assert {c.correction for c in correct(family)} == {"holm"}


class TestCompare:
    def test_one_subset_by_hand(self) -> None:
        found = compare(one(0.0, 0.5, 1.0, 0.25), one(1.0, 0.5, 0.5, 0.75), family="de")
        assert (found.family, found.measure, found.n_rows, found.n_clusters) == ("de", "RR@10", 4, 4)
        assert (found.n_better, found.n_worse) == (2, 1)
        assert found.mean_a == pytest.approx(0.4375)
        assert found.mean_b == pytest.approx(0.6875)
        assert found.difference == pytest.approx(0.25)
        # differences 1, 0, -.5, .5: |sum| = 1 or more for 6 of the 8 flips of the three that are not 0
        assert found.p_randomisation == found.p_adjusted == 6 / 8
        assert found.low <= found.difference <= found.high

    def test_a_question_in_two_subsets_is_one_cluster(self) -> None:
        """Two copies of one experiment are no more evidence than one."""
        a, b = scores(0, 0, 1, 0, 0, 0), scores(1, 1, 1, 1, 0, 1)
        once = compare({"de": a}, {"de": b})
        twice = compare({"de": a, "es": a}, {"de": b, "es": b})
        assert (once.n_rows, once.n_clusters) == (6, 6)
        assert (twice.n_rows, twice.n_clusters) == (12, 6)
        for name in ("difference", "low", "high", "p_t", "p_randomisation", "mean_a", "mean_b"):
            assert getattr(twice, name) == pytest.approx(getattr(once, name)), name

    def test_questions_of_their_own_are_clusters_of_their_own(self) -> None:
        a, b = scores(0, 0, 1, 0, ids="a b c d"), scores(1, 1, 1, 1, ids="a b c d")
        c, d = scores(0, 0, 1, 0, ids="e f g h"), scores(1, 1, 1, 1, ids="e f g h")
        apart = compare({"de": a, "es": c}, {"de": b, "es": d})
        assert apart.n_clusters == 8
        assert apart.p_randomisation == 2 / 2**6

    def test_subsets_count_equally_whatever_their_size(self) -> None:
        """Mean of the subset means: (1 + 0) / 2, not 1 of 4 questions."""
        a = {"de": scores(0, ids="x"), "es": scores(0, 0, 0, ids="a b c")}
        b = {"de": scores(1, ids="x"), "es": scores(0, 0, 0, ids="a b c")}
        found = compare(a, b)
        assert (found.mean_a, found.mean_b, found.difference) == pytest.approx((0.0, 0.5, 0.5))
        assert found.n_better == 1

    def test_equal_and_opposite_parts_of_a_cluster_are_no_difference(self) -> None:
        a = {"de": scores(0.1, 0.3), "es": scores(0.3, 0.1)}
        b = {"de": scores(0.3, 0.1), "es": scores(0.1, 0.3)}
        found = compare(a, b)
        assert (found.n_better, found.n_worse, found.p_randomisation, found.p_t) == (0, 0, 1.0, 1.0)
        # 0.1 + 0.2 - 0.3 is 5.6e-17 in float64
        assert cluster_values(np.array([0.1, 0.2, -0.3]), ["x"] * 3).tolist() == [0.0]

    def test_a_small_true_difference_is_not_taken_for_rounding(self) -> None:
        """Average precision in a big collection: 1e-9 for each of many questions."""
        n = 200_000
        values = cluster_values(np.full(n, 1e-9) / n, [f"q{i}" for i in range(n)])
        assert np.count_nonzero(values) == n
        assert values.mean() == pytest.approx(1e-9)

    def test_the_order_of_subsets_does_not_matter(self) -> None:
        rng = np.random.default_rng(2)
        a = {s: scores(*rng.uniform(0, 1, 9)) for s in ("de", "es")}
        b = {s: scores(*rng.uniform(0, 1, 9)) for s in ("de", "es")}
        assert compare(a, dict(reversed(b.items()))) == compare(a, b)

    def test_identical_systems(self) -> None:
        found = compare(one(0.1, 0.2, 0.7), one(0.1, 0.2, 0.7))
        assert (found.p_t, found.p_randomisation, found.difference) == (1.0, 1.0, 0.0)
        assert (found.low, found.high) == (0.0, 0.0)

    def test_swapping_the_systems_turns_the_sign_and_nothing_else(self) -> None:
        rng = np.random.default_rng(3)
        a, b = one(*rng.uniform(0, 1, 30)), one(*rng.uniform(0, 1, 30))
        there, back = compare(a, b), compare(b, a)
        assert there.difference == pytest.approx(-back.difference)
        assert there.p_t == pytest.approx(back.p_t)
        assert there.p_randomisation == back.p_randomisation
        assert (there.n_better, there.n_worse) == (back.n_worse, back.n_better)

    def test_to_dict_holds_every_field(self) -> None:
        found = compare(one(0.0, 1.0), one(1.0, 1.0))
        assert Comparison(**found.to_dict()) == found

    def test_what_one_question_leaves_undefined_is_null_in_json(self) -> None:
        plain = compare(one(0.0), one(1.0)).to_dict()
        assert (plain["low"], plain["high"], plain["p_t"], plain["p_randomisation"]) == (
            None,
            None,
            None,
            1.0,
        )
        json.dumps(plain, allow_nan=False)

    @pytest.mark.parametrize(
        ("a", "b", "message"),
        [
            ({}, {}, "same subsets"),
            ({"de": scores(1)}, {"es": scores(1)}, r"only on one side: \['de', 'es'\]"),
            ({"de": scores(1)}, {"de": scores(1, measure="AP")}, "one measure, got"),
            ({"de": scores(1, 1)}, {"de": scores(1)}, "de:.*same questions.*1 on one side.*q1"),
            ({"de": scores()}, {"de": scores()}, "de: no questions"),
        ],
    )
    def test_what_cannot_be_paired_is_refused(
        self, a: dict[str, Scores], b: dict[str, Scores], message: str
    ) -> None:
        with pytest.raises(DataError, match=message):
            compare(a, b)


class TestIntervals:
    def test_cluster_values_average_to_the_weighted_sum(self) -> None:
        weighted = np.array([0.1, 0.2, -0.05, 0.4])
        values = cluster_values(weighted, ["x", "y", "x", "z"])
        assert values == pytest.approx([0.15, 0.6, 1.2])
        assert values.mean() == pytest.approx(weighted.sum())

    def test_edges(self) -> None:
        assert all(math.isnan(v) for v in bootstrap_interval(np.array([0.5])))
        assert bootstrap_interval(np.full(9, 0.5)) == (0.5, 0.5)

    def test_near_the_normal_interval_for_many_values(self) -> None:
        values = np.random.default_rng(0).normal(0.4, 0.2, 2000)
        half = 1.96 * values.std(ddof=1) / math.sqrt(2000)
        low, high = bootstrap_interval(values)
        assert low == pytest.approx(values.mean() - half, abs=0.001)
        assert high == pytest.approx(values.mean() + half, abs=0.001)

    def test_an_estimate_is_the_mean_of_means_inside_its_interval(self) -> None:
        found = estimate({"de": scores(1, ids="x"), "es": scores(0, 0.5, ids="a b")})
        assert found.mean == pytest.approx(0.625)
        assert found.low <= found.mean <= found.high

    def test_questions_of_many_subsets_are_not_better_ones(self) -> None:
        """A perfect system has no spread, however unevenly its questions stand in subsets."""
        subsets = {
            "de": scores(1, 1, 1, ids="a b c"),
            "es": scores(1, ids="a"),
            "hi": scores(1, 1, ids="a d"),
        }
        assert estimate(subsets) == (pytest.approx(1), pytest.approx(1), pytest.approx(1))
        worse = {name: Scores(s.measure, s.query_ids, s.values - 0.25) for name, s in subsets.items()}
        found = compare(worse, subsets)
        assert (found.low, found.high) == pytest.approx((0.25, 0.25))

    def test_near_the_interval_of_means_taken_anew_from_drawn_questions(self) -> None:
        """The bootstrap written out: draw questions, then average each subset's rows of those drawn."""
        rng = np.random.default_rng(8)
        n = 300
        inside = np.stack([rng.random(n) < share for share in (0.9, 0.5, 0.3)])
        skill = rng.beta(4, 1, n)
        values = (rng.random((3, n)) < skill).astype(float)
        names = np.array([f"q{i}" for i in range(n)])
        found = estimate(
            {f"s{s}": Scores("RR@10", tuple(names[inside[s]]), values[s][inside[s]]) for s in range(3)}
        )
        drawn = rng.multinomial(n, np.full(n, 1 / n), 4000)
        means = ((drawn @ (inside * values).T) / (drawn @ inside.T)).mean(axis=1)
        assert (found.low, found.high) == pytest.approx(np.percentile(means, [2.5, 97.5]), abs=0.003)

    def test_95_percent_intervals_hold_the_truth_about_that_often(self) -> None:
        """400 samples of 60 values in [0, 1] with mean 0.3: within four standard errors of 95 %."""
        rng = np.random.default_rng(5)
        held = 0
        for _ in range(400):
            low, high = bootstrap_interval(rng.binomial(1, 0.3, 60) * 1.0, seed=int(rng.integers(1e6)))
            held += low <= 0.3 <= high
        assert 0.95 - 4 * math.sqrt(0.95 * 0.05 / 400) <= held / 400 <= 0.99


class TestErrorRates:
    def test_under_the_null_one_test_in_twenty_rejects(self) -> None:
        """600 pairs of equal systems; clusters of two subsets with a question effect."""
        rng = np.random.default_rng(11)
        rejected_t = rejected_r = 0
        for trial in range(600):
            question = rng.normal(0, 1, 24)  # shared by both subsets: a question's rows are not independent
            weighted = np.concatenate([question + rng.normal(0, 0.1, 24), question + rng.normal(0, 0.1, 24)])
            values = cluster_values(weighted, [f"q{i}" for i in range(24)] * 2)
            rejected_t += t_test(values) < 0.05
            rejected_r += randomisation_test(values, seed=trial, n=999) < 0.05
        for rejected in (rejected_t, rejected_r):
            assert abs(rejected / 600 - 0.05) <= 4 * math.sqrt(0.05 * 0.95 / 600)

    def test_rows_taken_for_independent_reject_far_too_often(self) -> None:
        """Why clusters: the same data, each question counted in seven subsets."""
        rng = np.random.default_rng(11)
        naive = clustered = 0
        for _ in range(200):
            rows = np.tile(rng.normal(0, 1, 24), 7)
            naive += t_test(rows) < 0.05
            clustered += t_test(cluster_values(rows, [f"q{i}" for i in range(24)] * 7)) < 0.05
        assert naive / 200 > 0.3
        assert clustered / 200 < 0.12

    def test_holm_keeps_the_family_at_one_in_twenty(self) -> None:
        rng = np.random.default_rng(4)
        some_raw = some_holm = 0
        for _ in range(400):
            raw = [t_test(rng.normal(0, 1, 20)) for _ in range(6)]
            some_raw += min(raw) < 0.05
            some_holm += min(holm(raw)) < 0.05
        assert some_raw / 400 > 0.2
        assert some_holm / 400 <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / 400)


class TestGains:
    """Whether B gains more over A after something changed."""

    def test_the_same_questions_are_compared_as_differences(self) -> None:
        """A question before and after is one cluster: the test is `compare` on what B gains for each."""
        rng = np.random.default_rng(3)
        a0, b0, a1, b1 = (scores(*rng.random(40)) for _ in range(4))
        found = compare_gains(({"x": a0}, {"x": b0}), ({"x": a1}, {"x": b1}), seed=1)
        gains = [{"x": scores(*(b.values - a.values))} for a, b in ((a0, b0), (a1, b1))]
        expected = compare(*gains, seed=1)
        for name in ("mean_a", "mean_b", "difference", "low", "high", "p_t", "p_randomisation"):
            assert getattr(found, name) == pytest.approx(getattr(expected, name)), name
        assert (found.n_better, found.n_worse) == (expected.n_better, expected.n_worse)
        assert (found.n_rows, found.n_clusters) == (80, 40)

    def test_by_hand(self) -> None:
        """Before, B gains 1/2 in the mean of two subsets; after, 3/4 in one of two questions' halves."""
        before = (
            {"en": scores(0.0, 0.0), "de": scores(0.0, 0.5)},
            {"en": scores(1.0, 0.0), "de": scores(0.5, 1.0)},
        )
        after = {"en": scores(0.0, 0.0)}, {"en": scores(1.0, 0.5)}
        found = compare_gains(before, after)
        assert (found.mean_a, found.mean_b, found.difference) == (0.5, 0.75, 0.25)
        # q0: 1/2 after, 1/4 and 1/8 before; q1: 1/4 after, 0 and 1/8 before; times two clusters
        assert (found.n_rows, found.n_clusters, found.n_better) == (6, 2, 2)
        assert found.p_randomisation == 2 / 4

    def test_other_questions_after(self) -> None:
        """A gain that is the same everywhere is no difference, and one that is larger after is found."""
        a = one(*[0.1] * 8)
        after = {"other": scores(*[0.2] * 6, ids="r0 r1 r2 r3 r4 r5")}

        def raised(found: dict[str, Scores], by: float) -> dict[str, Scores]:
            return {n: Scores(s.measure, s.query_ids, s.values + by) for n, s in found.items()}

        same = compare_gains((a, raised(a, 0.3)), (after, raised(after, 0.3)))
        assert (same.difference, same.p_t, same.p_randomisation, same.low, same.high) == (0, 1, 1, 0, 0)
        more = compare_gains((a, raised(a, 0.3)), (after, raised(after, 0.5)))
        assert more.difference == pytest.approx(0.2)
        assert (more.n_clusters, more.p_randomisation) == (14, 1 / 10_000 if 2**14 > 9999 else 2 / 2**14)

    def test_with_other_questions_it_agrees_with_welch(self) -> None:
        """Two independent samples of gains: the interval is about that of the difference of two means."""
        rng = np.random.default_rng(5)
        before, after = rng.normal(0.4, 0.2, 90), rng.normal(0.5, 0.3, 60)
        zeros = [scores(*np.zeros(90)), scores(*np.zeros(60), ids=" ".join(f"r{i}" for i in range(60)))]
        pairs = [
            ({"x": zero}, {"x": Scores(zero.measure, zero.query_ids, values)})
            for zero, values in zip(zeros, (before, after), strict=True)
        ]
        found = compare_gains(pairs[0], pairs[1])
        welch = stats.ttest_ind(after, before, equal_var=False)
        low, high = welch.confidence_interval()
        assert found.difference == pytest.approx(after.mean() - before.mean())
        assert (found.low, found.high) == (pytest.approx(low, abs=0.01), pytest.approx(high, abs=0.01))
        assert found.p_t == pytest.approx(welch.pvalue, abs=0.01)
        assert found.p_randomisation == pytest.approx(welch.pvalue, abs=0.02)

    def test_what_cannot_be_compared(self) -> None:
        a, other = one(0.1, 0.2), {"all": scores(0.1, 0.2, measure="R@100")}
        with pytest.raises(DataError, match="one measure"):
            compare_gains((a, a), (other, other))
        with pytest.raises(DataError, match="not scored on the same questions"):
            compare_gains((a, a), (a, one(0.1)))
