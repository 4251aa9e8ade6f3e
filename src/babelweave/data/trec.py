"""Runs and judgements in the TREC formats, and BEIR's qrels TSV; plain or `.gz`.

run     query_id Q0 doc_id rank score tag
qrels   query_id 0 doc_id relevance
BEIR    a header `query-id corpus-id score`, then tab-separated rows
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Literal, NamedTuple

from babelweave.artifact import write_aside
from babelweave.data.lines import Problem, Report, byte_writer, file_lines, refuse
from babelweave.errors import DataError
from babelweave.ranking import run_from_scores
from babelweave.records import Qrels, Run

BEIR_HEADER = ("query-id", "corpus-id", "score")


class Judgement(NamedTuple):
    where: str
    query_id: str
    doc_id: str
    relevance: int


def read_run(path: Path, k: int | None = None, say: Callable[[str], None] | None = None) -> Run:
    """A run in our order (score descending, then doc_id descending), its queries as they first appear.

    Scores are float32, the precision of that order. A file's own ranks do not decide: where they order a
    query differently, `say` gets one line that counts those queries.

    Args:
        k: hits kept per query; all of them by default.
    Raises:
        DataError: a line without six fields, a rank or score that is no number, a NaN score, or a
            document given twice for one query; the message holds the line.
    """
    scores: dict[str, dict[str, float]] = {}
    ranks: dict[str, dict[str, int]] = {}
    for number, line in file_lines(path):
        fields = line.split()
        if not fields:
            continue
        where = f"{path}:{number}"
        if len(fields) != 6:
            raise DataError(f"{where}: {len(fields)} fields, expected six: query_id Q0 doc_id rank score tag")
        query_id, _, doc_id, rank, score, _ = fields
        found = scores.setdefault(query_id, {})
        if doc_id in found:
            raise DataError(f"{where}: document {doc_id!r} stands twice for query {query_id!r}")
        try:
            found[doc_id] = float(score)
            ranks.setdefault(query_id, {})[doc_id] = int(rank)
        except ValueError:
            raise DataError(f"{where}: rank {rank!r} or score {score!r} is not a number") from None
        if math.isnan(found[doc_id]):
            raise DataError(f"{where}: the score is NaN, which has no place in an order")
    run = run_from_scores(scores.items())
    differing = sum(any(ranks[q][a] >= ranks[q][b] for a, b in pairwise(docs)) for q, docs, _ in run)
    if differing and say is not None:
        say(
            f"{path}: for {differing} of {len(run)} queries the ranks in the file are not the order of "
            "the scores with ties by doc_id descending; the latter is used"
        )
    return run if k is None else run_from_scores(scores.items(), k)


def write_run(path: Path, run: Run, tag: str) -> None:
    """Write a run, ranks from 1, scores with all their digits. A query without hits has no line.

    Raises:
        DataError: an id or the tag is empty or holds a blank, which the format cannot carry.
    """
    with write_aside(path) as aside, byte_writer(aside, gz=path.suffix == ".gz") as file:
        for query_id, doc_ids, scores in run:
            for rank, (doc_id, score) in enumerate(zip(doc_ids, scores, strict=True), start=1):
                fields = (query_id, "Q0", doc_id, str(rank), repr(float(score)), tag)
                file.write((_joined(fields, " ", path) + "\n").encode())


def read_qrels(path: Path) -> dict[str, dict[str, int]]:
    """Judgements of either format, told apart by BEIR's header.

    Raises:
        DataError: a broken line, or a pair judged twice.
    """
    qrels: dict[str, dict[str, int]] = {}
    for judgement in judgements(path):
        qrels.setdefault(judgement.query_id, {})[judgement.doc_id] = judgement.relevance
    return qrels


def judgements(path: Path, report: Report = refuse) -> Iterator[Judgement]:
    """The judgements of a qrels file in its order; what is wrong goes to `report` and is left out."""
    seen: set[tuple[str, str]] = set()
    beir: bool | None = None
    for number, line in file_lines(path, report):
        if not line.strip():
            continue
        if beir is None:
            beir = tuple(line.lower().split()) == BEIR_HEADER
            if beir:
                continue
        where = f"{path}:{number}"
        fields = line.split("\t") if beir else line.split()
        if len(fields) != (3 if beir else 4):
            shape = "query-id, corpus-id, score by tabs" if beir else "query_id 0 doc_id relevance"
            hint = "" if beir else ", or BEIR's header line first"
            report(Problem("broken qrels", where, f"{len(fields)} fields, expected: {shape}{hint}"))
            continue
        query_id, doc_id, relevance = fields[0], fields[-2], fields[-1].strip()
        try:
            value = int(relevance)
        except ValueError:
            report(Problem("broken qrels", where, f"relevance {relevance!r} is not an integer"))
            continue
        if (query_id, doc_id) in seen:
            report(Problem("judged twice", where, f"query {query_id!r} and {doc_id!r} are judged twice"))
            continue
        seen.add((query_id, doc_id))
        yield Judgement(where, query_id, doc_id, value)


def write_qrels(path: Path, qrels: Qrels, file_format: Literal["trec", "beir"] = "trec") -> None:
    """Write judgements.

    Raises:
        DataError: an id is empty or holds a blank, which the format cannot carry.
    """
    with write_aside(path) as aside, byte_writer(aside, gz=path.suffix == ".gz") as file:
        if file_format == "beir":
            file.write(("\t".join(BEIR_HEADER) + "\n").encode())
        for query_id, judged in qrels.items():
            for doc_id, value in judged.items():
                beir = file_format == "beir"
                fields = (query_id, doc_id, str(value)) if beir else (query_id, "0", doc_id, str(value))
                file.write((_joined(fields, "\t" if beir else " ", path) + "\n").encode())


def _joined(fields: tuple[str, ...], separator: str, path: Path) -> str:
    if any(not f or f.split() != [f] for f in fields):
        raise DataError(f"{path}: an id or tag of {fields!r} is empty or holds a blank")
    return separator.join(fields)
