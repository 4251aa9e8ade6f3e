"""`babelweave search`: questions to ranked passages, one by one or as a TREC run."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from babelweave.cli.console import DryRun, Encoder, Json, Overwrite, emit, say
from babelweave.errors import DataError, UsageError
from babelweave.records import Passage, Query, Run
from babelweave.registry import DEFAULT_ENCODER

if TYPE_CHECKING:
    from babelweave.data.collection import Collection
    from babelweave.search.search import PassageLookup

_SNIPPET_CHARACTERS = 160


class FusionName(StrEnum):
    rrf = "rrf"
    min_max = "min-max"
    z = "z"


def run(
    index: Annotated[
        list[str], typer.Argument(help="Index folders; several are fused. IDX?nprobe=64 works.")
    ],
    query: Annotated[list[str] | None, typer.Option(help="A question; may be given several times.")] = None,
    queries: Annotated[
        Path | None,
        typer.Option(help="Collection whose questions are asked; default with --out: --collection."),
    ] = None,
    collection: Annotated[
        Path | None, typer.Option(help="Collection the index was built from: shows texts, feeds --rerank.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Passages per question.")] = 10,
    out: Annotated[Path | None, typer.Option(help="TREC run to write (.gz packs it).")] = None,
    encoder: Encoder = DEFAULT_ENCODER,
    fusion: Annotated[
        FusionName, typer.Option(help="Of several indexes: reciprocal ranks, or a sum of normalised scores.")
    ] = FusionName.rrf,
    weight: Annotated[list[float] | None, typer.Option(help="One for each index, in order.")] = None,
    fusion_depth: Annotated[int, typer.Option(min=1, help="Hits taken of each index before fusion.")] = 1000,
    rerank: Annotated[
        str | None, typer.Option(help="Cross-encoder: MODEL?precision=..&max_tokens=..&batch_size=..")
    ] = None,
    rerank_depth: Annotated[int, typer.Option(min=1, help="Passages re-ranked per question.")] = 100,
    lang: Annotated[str | None, typer.Option(help="Language of texts that name none.")] = None,
    dry_run: DryRun = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Search one index, or several fused, with one question, many, or at a prompt.

    Questions come from --query, else from --queries, else from standard input: one a line, at a prompt on
    a terminal. With --out the hits are written as a TREC run.

    \b
    Example: babelweave search index/ --query "Wann fiel die Mauer?" --collection beir/
    Example: babelweave search dense/ bm25/ --collection beir/ --top 100 --out hybrid.trec
    """
    from babelweave.data.collection import Collection
    from babelweave.encode.spec import open_encoder
    from babelweave.search.hybrid import named_fusion
    from babelweave.search.pipeline import Pipeline

    if out is not None and out.exists() and not overwrite:
        raise UsageError(f"{out} exists; choose another --out or pass --overwrite")
    if weight and len(index) == 1:
        raise UsageError("--weight weighs indexes against each other, and one is given")
    texts = None if collection is None else Collection.open(collection, lang)
    asked = _questions(query, queries, texts if out is not None else None, lang)
    interactive = asked is None and sys.stdin is not None and sys.stdin.isatty()
    lookup = None if texts is None else _lookup(texts, held=interactive)
    pipeline = Pipeline(
        index,
        lambda: open_encoder(encoder),
        fusion=named_fusion(fusion.value, weight or ()),
        fusion_depth=fusion_depth,
        reranker=rerank,
        rerank_depth=rerank_depth,
        passages=lookup,
    )
    if interactive and not dry_run:
        for line in _prompt():
            _show([line], pipeline.search([line], top), lookup, as_json=as_json)
        return
    batch = asked if asked is not None else _lines(sys.stdin or ())
    if not batch and not interactive:
        raise UsageError("no question; pass --query, --queries or lines on standard input")
    if dry_run:
        result = {"questions": len(batch), "lines": f"at most {len(batch) * top}", "out": out}
        emit(result, as_json=as_json, text=lambda: "\n".join(f"{k}: {v}" for k, v in result.items()))
        return
    start = time.perf_counter()
    found = pipeline.search(batch, top)
    seconds = time.perf_counter() - start
    if cut := {kind: n for kind, n in pipeline.n_truncated.items() if n}:
        say("longer than the model reads, and cut: " + ", ".join(f"{n} {kind}" for kind, n in cut.items()))
    if out is None:
        _show(batch, found, lookup, as_json=as_json)
    else:
        _write(out, found, {"seconds": seconds, "truncated": pipeline.n_truncated}, as_json=as_json)


def _questions(
    given: list[str] | None, folder: Path | None, fallback: Collection | None, lang: str | None
) -> list[Query] | None:
    """What was asked on the command line; None leaves standard input."""
    from babelweave.data.collection import Collection

    if given:
        return _lines(given)
    if folder is not None:
        return list(Collection.open(folder, lang).queries())
    return None if fallback is None else list(fallback.queries())


def _lines(lines: Any) -> list[Query]:
    texts = [text for line in lines if (text := line.strip())]
    for number, text in enumerate(texts, start=1):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise DataError(f"question {number} is not UTF-8; convert it") from error
    return [Query(str(number), text, "und") for number, text in enumerate(texts, start=1)]


def _prompt() -> Iterator[Query]:
    say("one question a line; an empty line or Ctrl-D ends")
    number = 0
    while True:
        sys.stderr.write("> ")
        sys.stderr.flush()
        line = sys.stdin.readline().strip()
        if not line:
            return
        number += 1
        yield Query(str(number), line, "und")


def _lookup(texts: Collection, *, held: bool) -> PassageLookup:
    """Passages by id, read from the files each time, or from memory when questions come one by one."""
    from babelweave.search.search import find_passages

    passages: list[Passage] = list(texts.passages()) if held else []
    return lambda doc_ids: find_passages(passages if held else texts.passages(), doc_ids)


def _show(queries: Sequence[Query], found: Run, lookup: PassageLookup | None, *, as_json: bool) -> None:
    """Print the hits of each question, with their texts where a collection was named."""
    passages = {} if lookup is None else lookup({d for doc_ids in found.doc_ids for d in doc_ids})
    result: list[dict[str, Any]] = []
    for question, (query_id, doc_ids, scores) in zip(queries, found, strict=True):
        hits: list[dict[str, Any]] = [
            {"rank": rank, "doc_id": doc_id, "score": score}
            for rank, (doc_id, score) in enumerate(zip(doc_ids, scores, strict=True), start=1)
        ]
        for hit in hits if lookup is not None else ():
            passage = passages[hit["doc_id"]]
            hit |= {"lang": passage.lang, "title": passage.title, "text": passage.text}
        result.append({"query_id": query_id, "query": question.text, "hits": hits})
    emit({"queries": result}, as_json=as_json, text=lambda: "\n".join(map(_as_text, result)))


def _as_text(answer: dict[str, Any]) -> str:
    lines = [answer["query"]]
    for hit in answer["hits"]:
        lines.append(
            f"{hit['rank']:>4}  {hit['score']:>9.4f}  {hit['doc_id']}  {hit.get('title', '')}".rstrip()
        )
        snippet = " ".join(hit.get("text", "").split())
        if snippet:
            cut = "..." if len(snippet) > _SNIPPET_CHARACTERS else ""
            lines.append(f"{'':17}{snippet[:_SNIPPET_CHARACTERS]}{cut}")
    return "\n".join(lines if answer["hits"] else [*lines, "      nothing found"]) + "\n"


def _write(out: Path, found: Run, facts: dict[str, Any], *, as_json: bool) -> None:
    from babelweave.data.trec import write_run

    write_run(out, found, "babelweave")
    n_hits, n_without = sum(map(len, found.doc_ids)), sum(not ids for ids in found.doc_ids)
    result = {"run": out, "questions": len(found), "hits": n_hits, "without_hits": n_without, **facts}
    emit(
        result,
        as_json=as_json,
        text=lambda: (
            f"{out}: {len(found)} questions, {n_hits} hits, {n_without} questions without hits, "
            f"{facts['seconds']:.1f} s"
        ),
    )
