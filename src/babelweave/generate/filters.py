"""Quality gates: which of the inspected queries are worth weaving.

    language     identified as the language asked for, and in its script
    copy=0.9     at most this share of its terms stands in the passage
    length=3-30  so many terms
    round-trip=10  its own passage is among its first 10 hits
    score=0.3    among the 30 % most relevant of the queries of its language that pass the others

They apply in this order, whatever the order they are given in, so that every dropped query is counted
once and the last gate's share is a share of good queries. The defaults are those above. At most 0.5 % of the
questions that people asked in MLQA dev are shorter, as many are longer, and 0 to 6 % (by language) copy
more of their own-language passage. 30 % is what doc2query-- keeps (Gospodinov, MacAvaney and Macdonald
2023, arXiv 2301.03266), of many English queries of one model.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from babelweave.artifact import Manifest, seal, write_folder
from babelweave.errors import DataError, UsageError, nearest
from babelweave.generate.card import IN_SCRIPT, Card, describe, write_card
from babelweave.generate.inspect import Inspected
from babelweave.generate.queries import KIND, write_queries
from babelweave.records import Bool, GeneratedQuery

NAMES = ("language", "copy", "length", "round-trip", "score")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gates:
    """What a query has to pass; None or False leaves a gate open.

    Attributes:
        language: identified as its language; where that does not compete, its script alone decides.
        copy: most of its terms that may stand in the passage, as a share.
        length: fewest and most terms.
        round_trip: worst place of its own passage among its hits.
        score: share of each language's queries to keep, by relevance; in (0, 1].
    Raises:
        UsageError: a value out of range, or every gate open.
    """

    language: bool = False
    copy: float | None = None
    length: tuple[int, int] | None = None
    round_trip: int | None = None
    score: float | None = None

    def __post_init__(self) -> None:
        if self.copy is not None and not 0 <= self.copy <= 1:
            raise UsageError(f"gate copy={self.copy}: a share, from 0 to 1")
        if self.length is not None and not 0 <= self.length[0] <= self.length[1]:
            raise UsageError(f"gate length={self.length[0]}-{self.length[1]}: fewest terms, then most")
        if self.round_trip is not None and self.round_trip < 1:
            raise UsageError(f"gate round-trip={self.round_trip}: a place, from 1")
        if self.score is not None and not 0 < self.score <= 1:
            raise UsageError(f"gate score={self.score}: the share to keep, above 0 and at most 1")
        if not self.closed:
            raise UsageError(f"no gate: every query would pass; known: {', '.join(NAMES)}")

    @property
    def closed(self) -> dict[str, Any]:
        """Gate -> value, in the order they apply."""
        values = {name.replace("_", "-"): value for name, value in asdict(self).items()}
        return {name: values[name] for name in NAMES if values[name] not in (None, False)}


def parse_gates(text: str) -> Gates:
    """ "language,copy=0.8,length=3-40,round-trip,score=0.3" to gates; a name alone takes its default.

    Raises:
        UsageError: an unknown gate, one given twice, or a value that it does not take.
    """
    values: dict[str, Any] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        name, equals, value = part.partition("=")
        if name not in _GATES:
            raise UsageError(f"unknown gate {name!r}; {nearest(name, NAMES)}")
        if name in values:
            raise UsageError(f"gates {text!r}: {name} is given twice")
        default, read, wanted = _GATES[name]
        try:
            values[name] = read(value) if equals else default
        except ValueError:
            raise UsageError(f"gate {part!r}: expected {wanted}") from None
    return Gates(**{name.replace("-", "_"): value for name, value in values.items()})


def _no_value(text: str) -> bool:
    raise ValueError(text)


def _bounds(text: str) -> tuple[int, int]:
    low, high = text.split("-")
    return int(low), int(high)


_GATES: dict[str, tuple[Any, Callable[[str], Any], str]] = {
    "language": (True, _no_value, "no value"),
    "copy": (0.9, float, "a share, such as copy=0.9"),
    "length": ((3, 30), _bounds, "fewest and most terms, such as length=3-30"),
    "round-trip": (10, int, "a place, such as round-trip=10"),
    "score": (0.3, float, "the share to keep, such as score=0.3"),
}


def count_kept(inspected: Inspected, gates: Gates) -> dict[str, int]:
    """The counts that `filter_queries` would report; nothing is written.

    Raises:
        UsageError: as `filter_queries`.
    """
    _check(inspected, gates)
    counts: Counter[str] = Counter()
    thresholds = _thresholds(inspected, gates)
    for table in inspected.shards():
        _apply(table, gates, thresholds, counts)
    return dict(counts)


class Filtered(NamedTuple):
    """What a filter wrote, and the card of the queries it kept."""

    manifest: Manifest
    card: Card


def filter_queries(inspected: Inspected, gates: Gates, folder: Path, *, overwrite: bool = False) -> Filtered:
    """Write the queries that pass as generated queries of their own, best first as before, with their card.

    A passage then has as many queries as passed: weave them with the mean, which moves every passage
    alike. `score` of a kept query is its relevance where the inspection has one.

    Args:
        inspected: the table to decide by.
        folder: where; appears whole or not at all.
    Returns:
        The manifest, whose counts are, per language as `name.lang`: `asked` (inspected), `kept`,
        `dropped-GATE`, `passages_without` (of those with inspected queries); and the card.
    Raises:
        UsageError: a gate looks at what was not inspected, or deeper than it looked; or the folder is in use.
        DataError: no query passes.
    Cost: the table is read twice; it is written in its shards.
    """
    _check(inspected, gates)
    settings = inspected.manifest.settings
    thresholds = _thresholds(inspected, gates)
    counts: Counter[str] = Counter()

    def written(folder: Path) -> Iterator[pa.Table]:
        for number, table in enumerate(inspected.shards()):
            kept = _apply(table, gates, thresholds, counts)
            write_queries(folder / f"queries-{number:05d}.parquet", _queries(kept))
            yield kept

    with write_folder(folder, KIND, overwrite=overwrite) as aside:
        card = describe(written(aside), settings, seed=settings["seed"])
        if not card.languages:
            raise DataError(
                f"{inspected.folder}: no query passes {', '.join(gates.closed)}; open a gate wider"
            )
        write_card(aside, card)
        described = {
            "generator": settings["queries"]["generator"],
            "gates": {**settings["queries"]["gates"], **gates.closed},
            "thresholds": thresholds,
            "inspection": {name: settings[name] for name in ("identifier", "judges")},
        }
        inputs = {"inspected": inspected.manifest.digest(), "generated": settings["queries"]["digest"]}
        return Filtered(seal(aside, KIND, described, inputs=inputs, counts=dict(counts)), card)


def _check(inspected: Inspected, gates: Gates) -> None:
    """Refuse gates that the inspection has no instrument for."""
    settings = inspected.manifest.settings
    depth = max((judge.get("depth", 0) for judge in settings["judges"]), default=0)
    again = f"{inspected.folder}: inspect again with"
    if gates.language and settings["identifier"] is None:
        raise UsageError(f"gate language: no language was identified. {again} language identification")
    if gates.round_trip is not None and gates.round_trip > depth:
        looked = f"places were looked for up to {depth}" if depth else "no hits were looked at"
        raise UsageError(f"gate round-trip={gates.round_trip}: {looked}. {again} --index and --depth")
    if gates.score is not None and not any(judge.get("relevance") for judge in settings["judges"]):
        raise UsageError(f"gate score: no relevance was judged. {again} an --index over vectors, or --rerank")


def _verdicts(table: pa.Table, gates: Gates) -> Iterator[tuple[str, Bool]]:
    """(gate, which rows pass it), without the gate that compares rows with each other."""
    values = {name: table[name].to_numpy() for name in ("script", "terms", "copied")}
    if gates.language:
        base = pc.list_element(pc.split_pattern(table["lang"], "-"), 0)
        named = pc.fill_null(pc.equal(table["identified"], base), True).to_numpy()
        yield "language", named & (values["script"] >= IN_SCRIPT)
    if gates.copy is not None:
        yield "copy", values["copied"] <= gates.copy
    if gates.length is not None:
        yield "length", (values["terms"] >= gates.length[0]) & (values["terms"] <= gates.length[1])
    if gates.round_trip is not None:
        place = table["place"].to_numpy()
        yield "round-trip", (place >= 1) & (place <= gates.round_trip)


def _thresholds(inspected: Inspected, gates: Gates) -> dict[str, float]:
    """Language -> the relevance that the share to keep of its remaining queries reach; {} if not asked."""
    if gates.score is None:
        return {}
    found: defaultdict[str, list[Any]] = defaultdict(list)
    for table in inspected.shards():
        passes = np.ones(table.num_rows, dtype=np.bool_)
        for _, verdict in _verdicts(table, gates):
            passes &= verdict
        rest = table.filter(pa.array(passes))
        for lang in pc.unique(rest["lang"]).to_pylist():
            found[lang].append(rest.filter(pc.equal(rest["lang"], lang))["relevance"].to_numpy())
    return {
        lang: float(np.quantile(np.concatenate(parts), 1 - gates.score, method="higher"))
        for lang, parts in sorted(found.items())
    }


def _apply(table: pa.Table, gates: Gates, thresholds: Mapping[str, float], counts: Counter[str]) -> pa.Table:
    """The rows that pass every gate; adds to the counts."""
    langs = np.array(table["lang"].to_pylist(), dtype=object)
    passes = np.ones(table.num_rows, dtype=np.bool_)
    verdicts = list(_verdicts(table, gates))
    if gates.score is not None:
        least = np.array([thresholds.get(lang, np.inf) for lang in langs], dtype=np.float64)
        verdicts.append(("score", table["relevance"].to_numpy() >= least))
    _count(counts, "asked", langs)
    for gate, verdict in verdicts:
        _count(counts, f"dropped-{gate}", langs[passes & ~verdict])
        passes &= verdict
    _count(counts, "kept", langs[passes])
    kept = table.filter(pa.array(passes))
    left = _passages(kept)
    for lang, before in _passages(table).items():
        counts[f"passages_without.{lang}"] += before - left.get(lang, 0)
    return kept


def _count(counts: Counter[str], name: str, langs: Any) -> None:
    counts.update({f"{name}.{lang}": n for lang, n in Counter(langs.tolist()).items()})


def _passages(table: pa.Table) -> dict[str, int]:
    """Language -> passages with a query in it."""
    counted = table.group_by("lang").aggregate([("doc_id", "count_distinct")])
    return dict(zip(counted["lang"].to_pylist(), counted["doc_id_count_distinct"].to_pylist(), strict=True))


def _queries(table: pa.Table) -> Sequence[GeneratedQuery]:
    """The rows as generated queries, ranked anew from 0 within passage and language."""
    ranks: Counter[tuple[str, str]] = Counter()
    queries = []
    score = pc.coalesce(table["relevance"], table["score"])
    columns = (table["doc_id"], table["lang"], table["query"], score)
    for doc_id, lang, query, value in zip(*(c.to_pylist() for c in columns), strict=True):
        queries.append(GeneratedQuery(doc_id, lang, ranks[doc_id, lang], query, value))
        ranks[doc_id, lang] += 1
    return queries
