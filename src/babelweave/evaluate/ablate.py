"""What do number, share, fuser and weights of generated queries do to retrieval? Measured, with tests.

Passages, questions and generated queries of a benchmark are encoded once; every arm (`arms`) fuses them
anew, ranks every subset as an index would, and is compared with the plain passages question by question.

    ablation/
      ablation.json       signature, measures, groups, axes with the arm of every point
      cells.parquet       axis, curve, x, arm, measure, group and the comparison with plain
      per_query.parquet   arm, subset, query_id, measure, value; arm 0 is plain
      manifest.json
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from babelweave.artifact import Manifest, seal, write_aside, write_folder, write_json
from babelweave.errors import DataError
from babelweave.evaluate.arms import Arm, Axis, Design, arms_of, distinct
from babelweave.evaluate.benchmarks.rankers import EncodedTasks, Weaving
from babelweave.evaluate.benchmarks.subsets import Tasks
from babelweave.evaluate.compare import Comparison, compare, correct
from babelweave.evaluate.measures import check_measures, evaluate
from babelweave.evaluate.results import Table, by_question, families
from babelweave.protocols import Encoder
from babelweave.records import Float32, Scores, Subset
from babelweave.weave.fusers.spec import open_fuser
from babelweave.weave.stream import QueryVectors, query_vectors

KIND = "ablation"
MEASURES = ("RR@10", "R@100")

_PASSAGES_AT_ONCE = 1024  # fused together: 56 queries of 384 dimensions each are 88 MB

Progress = Callable[[int, int], None]
"""Arms done, arms in all."""


class Cell(NamedTuple):
    """A point of a curve against the plain passages, on one measure, over one group of subsets."""

    axis: str
    curve: str
    x: float
    arm: int
    comparison: Comparison


@dataclass(frozen=True, slots=True)
class Ablation:
    """What an ablation found.

    Attributes:
        signature: of subsets, encoder, queries, base arm, measures.
        measures: the first is the one that is told first.
        groups: of subsets, as `results.families` names them; the first is told first.
        axes: what was tried.
        arms: every distinct one; arm 0 is plain.
        queries_per_passage: of each arm, mean over passages (for `asked`, over languages too).
        left_out: numbers of queries that were asked for and are not there.
        scores: of each arm, measure -> subset -> per-question scores.
        cells: all points but the plain ones; p adjusted by Holm over the points of an axis on one measure,
            for the first group by itself and for all other groups together.
        seconds: per stage; in no file.
    """

    signature: Mapping[str, Any]
    measures: Sequence[str]
    groups: Sequence[str]
    axes: Sequence[Axis]
    arms: Sequence[Arm]
    queries_per_passage: Sequence[float]
    left_out: Sequence[int]
    scores: Sequence[Table]
    cells: Sequence[Cell]
    seconds: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """JSON values of `ablation.json`."""
        place = {arm: number for number, arm in enumerate(self.arms)}
        return {
            "signature": dict(self.signature),
            "measures": list(self.measures),
            "groups": list(self.groups),
            "left_out": list(self.left_out),
            "arms": [
                {**arm.to_dict(), "queries_per_passage": n}
                for arm, n in zip(self.arms, self.queries_per_passage, strict=True)
            ],
            "axes": [
                {
                    "name": axis.name,
                    "label": axis.label,
                    "curves": [
                        {
                            "name": curve.name,
                            "points": [{"x": x, "arm": place[distinct(arm)]} for x, arm in curve.points],
                        }
                        for curve in axis.curves
                    ],
                }
                for axis in self.axes
            ],
        }


def ablate(
    tasks: Tasks,
    encoder: Encoder,
    weaving: Weaving,
    design: Design,
    *,
    measures: Sequence[str] = MEASURES,
    depth: int = 100,
    seed: int = 0,
    progress: Progress | None = None,
) -> Ablation:
    """Run every arm of a design on the subsets of a benchmark.

    Args:
        tasks: what a benchmark's `read` gives.
        weaving: the queries and their languages; its `per_language` is the most that is encoded. Its fuser
            is not used: the design names fusers.
        depth: passages ranked per question.
        seed: of tests and intervals.
    Raises:
        UsageError: a measure that is unknown or looks deeper than `depth`, no language, an unknown fuser.
        DataError: no passage of the subsets has a query.
    Cost: queries are encoded once. Memory: twice n g d float32 for n distinct passages with g queries.
        Each arm costs a search of all subsets, and about 0.1 s per group and measure for the tests.
    """
    check_measures(measures, depth)
    for fuser in (design.base.fuser, *design.fusers):
        open_fuser(fuser)
    watch = tasks.watch
    encoded = EncodedTasks(tasks.subsets, encoder, watch)
    with watch.stage("generate"):
        lookup = weaving.lookup(encoded.passages)
    with watch.stage("encode queries"):
        queries = query_vectors(
            encoded.doc_ids, lookup, encoder, weaving.languages, per_language=weaving.per_language
        )
    if not queries.counts.any():
        raise DataError("no passage of the subsets has a generated query; were they made for others?")
    available = max(queries.languages.count(lang) for lang in weaving.languages)
    axes = design.build(weaving.languages, available)
    arms = arms_of(axes)
    bench = _Bench(encoded, queries, tuple(weaving.languages), tasks.subsets)
    scores: list[Table] = []
    for number, arm in enumerate(arms):
        with watch.stage("arms"):
            scores.append(bench.score(arm, measures, depth))
        if progress:
            progress(number + 1, len(arms))
    with watch.stage("compare"):
        cells = list(_cells(axes, arms, scores, seed))
    return Ablation(
        signature={
            **tasks.signature,
            "encoder": encoder.signature.to_dict(),
            "weave": {name: v for name, v in weaving.signature.items() if name != "fuser"},
            "base": design.base.to_dict(),
            "depth": depth,
            "measures": next(iter(scores[0][measures[0]].values())).signature,
            "seed": seed,
        },
        measures=measures,
        groups=list(families(s.name for s in tasks.subsets)),
        axes=axes,
        arms=arms,
        queries_per_passage=[bench.queries_per_passage(arm) for arm in arms],
        left_out=design.left_out(available),
        scores=scores,
        cells=cells,
        seconds=watch.seconds,
    )


@dataclass(frozen=True, slots=True)
class _Bench:
    """All that an arm is measured on."""

    encoded: EncodedTasks
    queries: QueryVectors
    languages: tuple[str, ...]
    subsets: Sequence[Subset]

    def score(self, arm: Arm, measures: Sequence[str], depth: int) -> Table:
        """Measure -> subset -> scores."""
        rows: dict[tuple[str, ...], Float32] = {}
        found: dict[str, dict[str, Scores]] = {m: {} for m in measures}
        for subset in self.subsets:
            languages = self.woven_for(arm, subset.query_lang)
            if languages not in rows:
                rows[languages] = self.fuse(arm, languages)
            run = self.encoded.rank(subset, rows[languages], depth)
            for scores in evaluate(subset.qrels, run, measures):
                found[scores.measure][subset.name] = scores
        return found

    def woven_for(self, arm: Arm, query_lang: str) -> tuple[str, ...]:
        """The languages whose queries are woven into the index that answers a question."""
        if arm.is_plain:
            return ()
        return self.languages if arm.woven == "all" else tuple(x for x in self.languages if x == query_lang)

    def fuse(self, arm: Arm, languages: Sequence[str]) -> Float32:
        """float32 (n, v, d)."""
        vectors = self.encoded.vectors
        if not languages:
            return vectors[:, None]
        fuser = open_fuser(
            arm.fuser,
            alpha=arm.alpha,
            language_weights=dict(arm.language_weights),
            normalise=arm.normalise,
        )
        chosen = self.queries.first(languages, arm.per_language)
        parts = [
            fuser.fuse(vectors[part], chosen.vectors[part], chosen.counts[part], chosen.languages)
            for start in range(0, len(vectors), _PASSAGES_AT_ONCE)
            for part in [slice(start, start + _PASSAGES_AT_ONCE)]
        ]
        return np.concatenate(parts).astype(np.float32, copy=False)

    def queries_per_passage(self, arm: Arm) -> float:
        if arm.is_plain:
            return 0.0
        n = self.queries.first(self.languages, arm.per_language).counts.sum() / len(self.encoded.vectors)
        return float(n / len(self.languages) if arm.woven == "asked" else n)


def _cells(axes: Sequence[Axis], arms: Sequence[Arm], scores: Sequence[Table], seed: int) -> Iterator[Cell]:
    """Every point against plain; a point that stands in several axes is compared once, corrected in each."""
    place = {arm: number for number, arm in enumerate(arms)}
    known: dict[tuple[int, str, str], Comparison] = {}

    def compared(arm: int, measure: str, group: str, subsets: Sequence[str]) -> Comparison:
        if (arm, measure, group) not in known:
            plain, woven = (by_question(scores[i][measure], subsets) for i in (0, arm))
            known[arm, measure, group] = compare(plain, woven, family=group, seed=seed)
        return known[arm, measure, group]

    for axis in axes:
        points = [
            (curve.name, x, place[arm])
            for curve in axis.curves
            for x, arm in curve.points
            if not arm.is_plain
        ]
        for measure, subsets in scores[0].items():
            first, *others = families(subsets).items()
            for groups in filter(None, ([first], others)):
                rows = [(point, compared(point[2], measure, *group)) for group in groups for point in points]
                corrected = correct([comparison for _, comparison in rows])
                for (point, _), comparison in zip(rows, corrected, strict=True):
                    yield Cell(axis.name, *point, comparison)


def write_ablation(folder: Path, ablation: Ablation, *, overwrite: bool = False) -> Manifest:
    """Write an ablation folder; it appears whole or not at all.

    Raises:
        UsageError: the folder holds something and `overwrite` is not given.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [
        {"axis": c.axis, "curve": c.curve, "x": float(c.x), "arm": c.arm, **asdict(c.comparison)}
        for c in ablation.cells
    ]
    cells = pa.Table.from_pylist(rows).rename_columns({"family": "group"})
    per_query: dict[str, list[Any]] = {"arm": [], "subset": [], "query_id": [], "measure": [], "value": []}
    for number, table in enumerate(ablation.scores):
        for measure, subsets in table.items():
            for name, found in subsets.items():
                n = len(found.query_ids)
                per_query["arm"] += [number] * n
                per_query["subset"] += [name] * n
                per_query["query_id"] += found.query_ids
                per_query["measure"] += [measure] * n
                per_query["value"] += found.values.tolist()
    with write_folder(folder, KIND, overwrite=overwrite) as aside:
        write_json(aside / "ablation.json", ablation.to_dict())
        for name, made in (("cells", cells), ("per_query", pa.table(per_query))):
            with write_aside(aside / f"{name}.parquet") as path:
                pq.write_table(made, path, compression="zstd")
        return seal(aside, KIND, ablation.signature)
