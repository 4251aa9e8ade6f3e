"""The card of generated queries: what they are like per language, in figures and samples.

`card.json` holds the figures, `card.md` tells them; both come from the table of an inspection.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from babelweave.artifact import write_json, write_text
from babelweave.data.languages import english_name
from babelweave.data.overlap import question_key

SAMPLES = 20
CUTOFFS = (1, 10, 100)
"""Places at which round-trip recall is given, as far as the inspection looked."""

IN_SCRIPT = 0.25
"""A query is in its script when at least so many of its letters are. Foreign names are written in theirs, and
a Latin name has more letters than the Chinese question around it: of MLQA dev's Chinese questions 1.6 %
have half of their letters or more in Latin, 0.2 % three quarters."""


class Spread(NamedTuple):
    """5th percentile, median and 95th percentile."""

    low: float
    median: float
    high: float


class Sample(NamedTuple):
    doc_id: str
    query: str


@dataclass(frozen=True, slots=True)
class LanguageCard:
    """The queries of one language; None where the inspection had no instrument for it.

    Attributes:
        n_unique: distinct but for case, punctuation and width.
        n_passages: that have any.
        n_identified: queries whose language competes in the identification.
        in_language: share of those that are identified as their language.
        taken_for: other languages they are identified as -> count, commonest first.
        in_script: share with at least `IN_SCRIPT` of their letters in their language's script.
        terms: per query.
        copied: mean share of a query's terms that stand in its passage.
        recall: cutoff -> share of queries that find their passage among so many hits.
        relevance: of the passage to the query.
    """

    lang: str
    n_queries: int
    n_unique: int
    n_passages: int
    n_identified: int
    in_language: float | None
    taken_for: Mapping[str, int]
    in_script: float
    terms: Spread
    copied: float
    recall: Mapping[int, float] | None
    relevance: Spread | None
    samples: tuple[Sample, ...]


@dataclass(frozen=True, slots=True)
class Card:
    """Every language, and what was inspected with what (the settings of the inspection)."""

    languages: tuple[LanguageCard, ...]
    settings: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "languages": [
                asdict(card)
                | {name: value._asdict() for name in ("terms", "relevance") if (value := getattr(card, name))}
                | {"samples": [s._asdict() for s in card.samples]}
                for card in self.languages
            ],
            "settings": dict(self.settings),
        }


def describe(tables: Iterable[pa.Table], settings: Mapping[str, Any], *, seed: int = 0) -> Card:
    """Sum up the table of an inspection, shard by shard.

    Args:
        tables: shards of `inspect.SCHEMA`, whole passages in each.
        settings: of the inspection; `judges` tells how deep places were looked for.
        seed: of the samples.
    Returns:
        The card; without languages where there are no queries.
    Cost: 28 bytes a query in memory.
    """
    depth = max((judge.get("depth", 0) for judge in settings["judges"]), default=0)
    gathered: defaultdict[str, _Gathered] = defaultdict(_Gathered)
    for number, table in enumerate(tables):
        draw = np.random.default_rng([seed, number]).random(table.num_rows)
        for lang in sorted(pc.unique(table["lang"]).to_pylist()):
            chosen = pc.equal(table["lang"], lang)
            gathered[lang].add(table.filter(chosen), draw[chosen.to_numpy()])
    return Card(tuple(g.card(lang, depth) for lang, g in sorted(gathered.items())), settings)


@dataclass(slots=True)
class _Gathered:
    """What is held of one language while shards go by."""

    columns: defaultdict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))
    identified: Counter[str] = field(default_factory=Counter)
    n_passages: int = 0
    samples: list[tuple[float, str, str]] = field(default_factory=list)

    def add(self, table: pa.Table, draw: Any) -> None:
        queries, doc_ids = table["query"].to_pylist(), table["doc_id"].to_pylist()
        keys = np.fromiter((hash(question_key(query)) for query in queries), np.int64, count=len(queries))
        self.columns["key"].append(keys)
        for name in ("script", "terms", "copied", "place", "relevance"):
            self.columns[name].append(table[name].drop_null().to_numpy())
        self.identified.update(table["identified"].drop_null().to_pylist())
        self.n_passages += len(set(doc_ids))
        drawn = zip(draw.tolist(), doc_ids, queries, strict=True)
        self.samples = sorted([*self.samples, *drawn])[:SAMPLES]

    def card(self, lang: str, depth: int) -> LanguageCard:
        found = {name: np.concatenate(parts) for name, parts in self.columns.items()}
        base = lang.partition("-")[0]
        n_identified = self.identified.total()
        place = found["place"]
        recall = {k: float(((place >= 1) & (place <= k)).mean()) for k in CUTOFFS if k <= depth}
        return LanguageCard(
            lang=lang,
            n_queries=len(found["key"]),
            n_unique=len(np.unique(found["key"])),
            n_passages=self.n_passages,
            n_identified=n_identified,
            in_language=self.identified[base] / n_identified if n_identified else None,
            taken_for={other: n for other, n in self.identified.most_common() if other != base},
            in_script=float((found["script"] >= IN_SCRIPT).mean()),
            terms=_spread(found["terms"]),
            copied=float(found["copied"].mean()),
            recall=recall if len(place) else None,
            relevance=_spread(found["relevance"]) if len(found["relevance"]) else None,
            samples=tuple(Sample(doc_id, query) for _, doc_id, query in self.samples),
        )


def _spread(values: Any) -> Spread:
    return Spread(*(float(v) for v in np.quantile(values, [0.05, 0.5, 0.95])))


def write_card(folder: Path, card: Card) -> tuple[str, ...]:
    """Write `card.json` and `card.md`; returns their names."""
    write_json(folder / "card.json", card.to_dict())
    write_text(folder / "card.md", as_markdown(card))
    return "card.json", "card.md"


def as_markdown(card: Card) -> str:
    """A page to read: one row per language, what they are taken for, and the samples."""
    generator = card.settings["queries"]["generator"].get("name", "unknown generator")
    lines = ["# Generated queries", "", f"Made by {_escape(str(generator))}.", ""]
    rows = [_row(language) for language in card.languages]
    lines += [
        _line(rows[0].keys()),
        _line(":--" for _ in rows[0]),
        *(_line(row.values()) for row in rows),
        "",
    ]
    lines += [
        "in language: identified as the language asked for. in script: at least a quarter of the letters. "
        "copied: mean share of a query's terms that stand in its passage. found at k: queries whose own "
        "passage is among their first k hits. Ranges: 5th, 50th, 95th percentile. -: not measured.",
        "",
    ]
    for language in card.languages:
        lines += [f"## {english_name(language.lang)} ({language.lang})", ""]
        if language.taken_for:
            taken = ", ".join(f"{lang} {n:,}" for lang, n in language.taken_for.items())
            lines += [f"Taken for another language: {taken}.", ""]
        lines += [f"- {_escape(sample.query)} ({_escape(sample.doc_id)})" for sample in language.samples]
        lines.append("")
    return "\n".join(lines)


def _row(card: LanguageCard) -> dict[str, str]:
    recall = card.recall or {}
    return {
        "language": card.lang,
        "queries": f"{card.n_queries:,}",
        "unique": f"{card.n_unique:,}",
        "passages": f"{card.n_passages:,}",
        "terms": _range(card.terms, ".0f"),
        "in language": _percent(card.in_language),
        "in script": _percent(card.in_script),
        "copied": _percent(card.copied),
        **{f"found at {k}": _percent(recall.get(k)) for k in CUTOFFS if k in recall or not recall},
        "relevance": _range(card.relevance, ".3f"),
    }


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def _range(spread: Spread | None, form: str) -> str:
    return "-" if spread is None else ", ".join(format(value, form) for value in spread)


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _escape(text: str) -> str:
    """Text of a model as text: no markup of it is read as such."""
    return re.sub(r"([\\`*_<>\[\]|#~])", r"\\\1", " ".join(text.split()))
