"""Data divided for a robustness study: a language left out, pools that grow, two factors set apart.

Pure functions over what the other packages read; each can be checked by hand.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from babelweave import registry
from babelweave.data.english_pool import read_pool
from babelweave.data.languages import canonical
from babelweave.errors import DataError, UsageError
from babelweave.records import Float64, Passage

TIERS = (1_000, 10_000, 25_000, 60_000)
"""Passages of a growing pool; the largest leaves some of the 71,000 of the English pool undrawn."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A recipe without a language.

    Attributes:
        recipe: the tables of the recipe, a copy.
        dropped: dotted keys, with the set's name in place of its number, of what was taken out.
    """

    recipe: dict[str, Any]
    dropped: tuple[str, ...]


def leave_language_out(
    recipe: Mapping[str, Any],
    lang: str,
    languages: Mapping[str, Sequence[str]] | None = None,
    *,
    must_drop: bool = True,
) -> LeftOut:
    """A recipe, as TOML gives it, that trains on nothing in a language.

    The language is taken out of `languages` of every set of `data.sets` and out of the tables of
    `vocabulary`. A set with no other language goes, and its weight with it. Where a set names no
    languages, those its registered sources declare are written out. English sides of translations stay:
    they are targets.

    Args:
        languages: set -> languages, for sets that name none and have no registered source.
        must_drop: refuse a recipe in which nothing is in the language.
    Raises:
        UsageError: an unknown language, one that nothing in the recipe is in, a set whose languages are
            not known, or nothing left to train on.
    """
    lang = canonical(lang)
    left: dict[str, Any] = deepcopy(dict(recipe))
    dropped, gone, kept = [], set(), []
    for part in left.get("data", {}).get("sets", ()):
        name = _name(part)
        spoken = _languages(part, name, languages or {})
        rest = (
            [] if part.get("lang") and canonical(part["lang"]) == lang else [c for c in spoken if c != lang]
        )
        if not rest:
            gone.add(name)
            dropped.append(f"data.sets.{name}")
        elif rest != spoken:
            kept.append(part | {"languages": rest})
            dropped.append(f"data.sets.{name}.languages.{lang}")
        else:
            kept.append(part)
    if not kept:
        raise UsageError(f"without {lang!r} the recipe has nothing to train on")
    left["data"]["sets"] = kept
    tables = {"batches.weights": (left.get("batches", {}).get("weights", {}), gone)}
    for key, table in left.get("vocabulary", {}).items():
        if isinstance(table, dict):
            tables[f"vocabulary.{key}"] = (table, {code for code in table if canonical(code) == lang})
    for path, (table, keys) in tables.items():
        for key in sorted(keys & table.keys()):
            del table[key]
            dropped.append(f"{path}.{key}")
    if must_drop and not dropped:
        raise UsageError(f"nothing in the recipe is in {lang!r}; leaving it out would change nothing")
    return LeftOut(left, tuple(dropped))


def _name(part: Mapping[str, Any]) -> str:
    """What recipes call a set: the name given, else the last part of its source."""
    for key in ("name", "relevance", "dataset", "collection", "rows"):
        if isinstance(part.get(key), str):
            return str(part[key]).rstrip("/").rsplit("/", 1)[-1]
    raise UsageError(f"a set of data.sets has neither name nor source: {dict(part)}")


def _languages(part: Mapping[str, Any], name: str, known: Mapping[str, Sequence[str]]) -> list[str]:
    """The languages of a set: those it names, is said to have, or its registered sources declare."""
    asked = part.get("languages") or part.get("query_lang") or part.get("lang")
    if part.get("form") == "english":
        asked = "en"
    if not asked:
        asked = known.get(name) or [code for card in _cards(part) for code in card.languages]
    if not asked:
        raise UsageError(f"set {name!r} names no languages and has no registered source; say which it has")
    return list(dict.fromkeys(map(canonical, [asked] if isinstance(asked, str) else asked)))


def _cards(part: Mapping[str, Any]) -> Iterator[Any]:
    for kind in ("relevance", "parallel"):
        named = part.get(kind) or ()
        yield from (registry.load(kind, n) for n in ([named] if isinstance(named, str) else named))


def pool_tiers(
    passages: Sequence[Passage], sizes: Sequence[int] = TIERS, seed: int = 0
) -> dict[int, tuple[Passage, ...]]:
    """Nested draws: every tier holds the smaller ones, whatever the order of the passages.

    Passages are ordered by a hash of (seed, doc_id), and a tier is the first so many.

    Raises:
        UsageError: no size, one below 1, or sizes that do not grow.
        DataError: fewer passages than the largest tier, or an id that stands twice.
    """
    if not sizes or sizes[0] < 1 or list(sizes) != sorted(set(sizes)):
        raise UsageError(f"tiers {list(sizes)}: expected growing sizes from 1 on")
    if len(passages) < sizes[-1]:
        raise DataError(f"{len(passages):,} passages are too few for a tier of {sizes[-1]:,}")
    if twice := [doc_id for doc_id, n in Counter(p.doc_id for p in passages).items() if n > 1]:
        raise DataError(
            f"{len(twice)} ids stand twice, the first {twice[0]!r}; a tier needs distinct passages"
        )
    order = sorted(passages, key=lambda p: (sha256(f"{seed}\n{p.doc_id}".encode()).digest(), p.doc_id))
    return {size: tuple(order[:size]) for size in sizes}


def english_tiers(root: Path, sizes: Sequence[int] = TIERS, seed: int = 0) -> dict[int, tuple[Passage, ...]]:
    """Distractors for English pools: tiers of `data.english_pool`, listed leaks excluded.

    Args:
        root: the folder of the pool's sources.
    Raises:
        UsageError: as `pool_tiers`.
        DataError: a source or the exclusion list is missing or broken, or the pool is too small.
    """
    return pool_tiers(list(read_pool(root).passages), sizes, seed)


class Row(NamedTuple):
    """The two factors of a training or test row, for instance its data set and its language."""

    provenance: str
    attribute: str


def provenance_shares(
    aligned: Mapping[str, str], strength: float, *, reverse: bool = False
) -> dict[Row, float]:
    """How much of the data each cell of provenance and attribute gets; the shares sum to 1.

    Attributes count alike. Of one with partner b among m provenances

        as in training    b gets strength + (1 - strength) / m, each other (1 - strength) / m
        reversed          b gets (1 - strength) / m, each other (1 - strength) / m + strength / (m - 1)

    so at 0 the factors are independent and both are the same, and at 1 provenance tells the attribute in
    training, and in the test never by the same partner.

    Args:
        aligned: attribute -> its partner in training; the values are all the provenances there are.
        strength: in [0, 1].
    Raises:
        UsageError: strength out of range, or fewer than two provenances.
    """
    provenances = sorted(set(aligned.values()))
    m = len(provenances)
    if not 0 <= strength <= 1:
        raise UsageError(f"strength {strength}: expected a number from 0 to 1")
    if m < 2:
        raise UsageError(f"aligned has {m} provenance; two are needed to skew them")
    shares = {}
    for attribute, partner in aligned.items():
        for provenance in provenances:
            extra = strength * (provenance == partner)
            if reverse:
                extra = strength * (provenance != partner) / (m - 1)
            shares[Row(provenance, attribute)] = ((1 - strength) / m + extra) / len(aligned)
    return shares


def provenance_weights(
    rows: Sequence[Row], aligned: Mapping[str, str], strength: float, *, reverse: bool = False
) -> Float64:
    """(rows,) sampling weights that sum to 1: the share of a row's cell, divided among its rows.

    Raises:
        UsageError: as `provenance_shares`, or a row of neither.
        DataError: a cell that should have a share has no row.
    """
    shares = provenance_shares(aligned, strength, reverse=reverse)
    sizes = _cells(rows, shares)
    return np.array([shares[row] / sizes[row] for row in rows])


def provenance_sample(
    rows: Sequence[Row],
    aligned: Mapping[str, str],
    strength: float,
    n: int,
    *,
    seed: int = 0,
    reverse: bool = False,
) -> list[int]:
    """Which n rows to take, each at most once, in order: of every cell its share of n, to the row.

    What rounding leaves over goes to the cells with the largest remainders, the first by name in a tie.

    Raises:
        UsageError: as `provenance_weights`, or n below 1.
        DataError: a cell has fewer rows than its share; the message says which and how many.
    """
    if n < 1:
        raise UsageError(f"n is {n}, expected at least 1")
    shares = provenance_shares(aligned, strength, reverse=reverse)
    _cells(rows, shares)
    members: defaultdict[Row, list[int]] = defaultdict(list)
    for i, row in enumerate(rows):
        members[row].append(i)
    taken: list[int] = []
    for cell, quota in _quotas(shares, n).items():
        if quota > len(members[cell]):
            raise DataError(f"{_called(cell)}: {len(members[cell])} rows, {quota} are needed; ask for fewer")
        taken += random.Random(f"{seed}\n{cell.provenance}\n{cell.attribute}").sample(members[cell], quota)
    return sorted(taken)


def _quotas(shares: Mapping[Row, float], n: int) -> dict[Row, int]:
    quotas = {cell: int(share * n + 1e-9) for cell, share in sorted(shares.items())}
    by_remainder = sorted(quotas, key=lambda cell: -round(shares[cell] * n - quotas[cell], 9))
    for cell in by_remainder[: n - sum(quotas.values())]:
        quotas[cell] += 1
    return quotas


def _cells(rows: Sequence[Row], shares: Mapping[Row, float]) -> Counter[Row]:
    """How many rows each cell has, checked against the shares."""
    sizes = Counter(rows)
    if unknown := sorted(sizes.keys() - shares.keys()):
        raise UsageError(f"{_called(unknown[0])}: aligned names no such provenance or attribute")
    if empty := [cell for cell, share in sorted(shares.items()) if share > 0 and not sizes[cell]]:
        raise DataError(f"{_called(empty[0])} has no row, but should have {shares[empty[0]]:.3g} of the data")
    return sizes


def _called(cell: Row) -> str:
    return f"provenance {cell.provenance!r} with {cell.attribute!r}"
