"""The tables verbs print: figures of subsets, of one run, and of two systems compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from babelweave.evaluate.compare import Comparison
from babelweave.evaluate.results import BenchmarkResult
from babelweave.evaluate.scorecard import MACRO, Figure, Scorecard
from babelweave.report.tables import Cell, Column, Table

PERCENT = "Measures in per cent."
INTERVAL = "95 % intervals: percentile bootstrap over questions."
SIGNIFICANCE = 0.05


def results_table(
    title: str, rows: Mapping[str, Mapping[str, float]], *, label: str = "subset", notes: Sequence[str] = ()
) -> Table:
    """Named rows of figures, as `results.json` holds them.

    Args:
        rows: name -> column -> value; keys that start with `n_` are counts, all others fractions. A column
            that a row lacks is written as a dash.
        label: what the names are.
    """
    keys = list(dict.fromkeys(key for figures in rows.values() for key in figures))
    columns = [_figure_column(key) for key in keys]
    body = tuple((name, *(figures.get(key) for key in keys)) for name, figures in rows.items())
    return Table(title, (Column(label), *columns), body, (PERCENT, *notes))


def _figure_column(key: str) -> Column:
    return Column(key.removeprefix("n_"), "count") if key.startswith("n_") else Column(key, "percent")


def scorecard_table(card: Scorecard, figures: Sequence[Figure], title: str) -> Table:
    """One run: a row per figure, and what was not scored in the notes."""
    columns = (
        Column("measure"),
        Column("over"),
        Column("mean", "percent"),
        Column("95 %", "percent"),
        Column("questions", "count"),
    )
    rows = tuple((f.measure, f.over, f.mean, (f.low, f.high), f.n_questions) for f in figures)
    return Table(title, columns, rows, (PERCENT, INTERVAL, *coverage_notes(card), *scorer_notes(card)))


def coverage_notes(card: Scorecard) -> tuple[str, ...]:
    """What was and was not scored."""
    notes = []
    if found := card.coverage:
        notes.append(
            f"Judged questions: {found.n_judged:,}; without hits, scored 0: {found.n_without_hits:,}. "
            f"Questions of the run without judgements (left out): {found.n_unjudged:,}."
        )
    for measure, recall in card.recalls.items():
        deeper = " (the figure is too low; retrieve deeper)" if recall.n_short else ""
        notes.append(
            f"{measure}: {MACRO} over {len(recall.languages)} languages. "
            f"Questions left out, yes/no or without answer: {recall.n_unscored:,}; "
            f"with fewer tokens retrieved than the limit: {recall.n_short:,}{deeper}."
        )
    return tuple(notes)


def scorer_notes(card: Scorecard) -> tuple[str, ...]:
    """Which code computed the measures."""
    return tuple(f"Scored by {s}." for s in dict.fromkeys(x.signature for x in card.scores.values()))


def comparison_table(
    comparisons: Sequence[Comparison],
    title: str,
    *,
    name_a: str = "A",
    name_b: str = "B",
    family: str = "all rows",
    notes: Sequence[str] = (),
) -> Table:
    """System B against A, one row per comparison; a star marks p below 0.05 after the correction.

    Args:
        family: which rows were corrected together.
        notes: shown after the ones that explain the columns.
    """
    columns = (
        Column("measure"),
        Column("over"),
        Column(name_a, "percent"),
        Column(name_b, "percent"),
        Column("difference", "points"),
        Column("95 %", "points"),
        Column("p (t)", "p"),
        Column("p (sign flip)", "p"),
        Column("p adjusted", "p"),
        Column("sig."),
        Column("better", "count"),
        Column("worse", "count"),
        Column("n", "count"),
    )
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (
            c.measure,
            c.family,
            c.mean_a,
            c.mean_b,
            c.difference,
            (c.low, c.high),
            c.p_t,
            c.p_randomisation,
            c.p_adjusted,
            "*" if significant(c) else "",
            c.n_better,
            c.n_worse,
            c.n_clusters,
        )
        for c in comparisons
    )
    return Table(title, columns, rows, (*_comparison_notes(comparisons, name_a, name_b, family), *notes))


def significant(comparison: Comparison) -> bool:
    """Whether the adjusted p is below 0.05."""
    return comparison.p_adjusted < SIGNIFICANCE


def _comparison_notes(
    comparisons: Sequence[Comparison], name_a: str, name_b: str, family: str
) -> tuple[str, ...]:
    """What the columns mean and how p was adjusted."""
    names = {"holm": "Holm over", "bonferroni": "Bonferroni over", "none": "no correction over"}
    used = " and ".join(names[c] for c in dict.fromkeys(c.correction for c in comparisons))
    return (
        f"{PERCENT} Difference: {name_b} minus {name_a}, in points. better, worse, n: questions; one that "
        "stands in several subsets counts once.",
        "p (t): paired t-test; p (sign flip): paired randomisation test; both two-sided. "
        f"p adjusted: of the randomisation test, {used} {family}. * below {SIGNIFICANCE}.",
        INTERVAL,
    )


def benchmark_tables(result: BenchmarkResult) -> list[Table]:
    """What a benchmark verb prints: means, every subset or language, the comparison."""
    summary = result.summary
    tables = []
    if "subsets" in summary:
        missing = (f"Not in the source: {', '.join(summary['missing'])}.",) if summary["missing"] else ()
        tables.append(results_table("Every subset", summary["subsets"]))
        tables.append(results_table("Means over subsets", summary["mean"], label="over", notes=missing))
    else:
        ceiling = summary["ceiling"]
        rows = {
            lang: {**figures, "answer ceiling": ceiling[lang]}
            for lang, figures in summary["languages"].items()
        }
        rows[MACRO] = {**summary["macro"], "answer ceiling": ceiling["macro"]}
        title = f"Answers found in {summary['n_passages']:,} passages"
        tables.append(results_table(title, rows, label="language"))
    if perturbation := summary["signature"].get("perturbation"):
        tables.append(_perturbation_table(perturbation))
    if result.comparisons:
        tables.append(
            comparison_table(
                result.comparisons,
                "Against the baseline",
                name_a="baseline",
                name_b="this",
                family="the rows of one measure",
            )
        )
    return tables


def _perturbation_table(perturbation: Mapping[str, Any]) -> Table:
    """What became of the distinct questions of each language."""
    counts: Mapping[str, Mapping[str, int]] = perturbation["counts"]
    keys = list(next(iter(counts.values())))
    columns = (Column("questions in"), *(Column(key.replace("_", " "), "count") for key in keys))
    title = (
        f"Perturbed: {perturbation['name']}, severity {perturbation['severity']}, seed {perturbation['seed']}"
    )
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (lang, *(row[key] for key in keys)) for lang, row in counts.items()
    )
    return Table(
        title,
        columns,
        rows,
        ("Distinct questions. Not claimed: of a language it does not know, left as they were.",),
    )
