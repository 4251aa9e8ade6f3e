"""Data sets of the Hugging Face Hub in the three-part form of BEIR and MTEB.

A name has the configurations `corpus` (_id, title, text), `queries` (_id, text) and `default` or `qrels`
(query-id, corpus-id, score), or, where it holds several languages, `en-corpus`, `en-queries` and
`en-qrels`; the part before is the subset. A folder of that shape on this machine is read in the same way.
No code of a data set is ever run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from babelweave.data.dataset import Card, Dataset, Request
from babelweave.data.languages import canonical
from babelweave.data.lines import fault
from babelweave.data.rows import RefusedRow, parse_passage, parse_query
from babelweave.errors import DataError, MissingExtraError, UsageError
from babelweave.records import Passage, Query


def read_hub(
    name: str,
    split: str = "test",
    subset: str | None = None,
    *,
    lang: str | None = None,
    query_lang: str | None = None,
    revision: str | None = None,
) -> Dataset:
    """The corpus, streamed, with all queries and the judgements of a split.

    Args:
        name: `owner/name` on the Hub, or a folder of that shape.
        subset: what stands before `-corpus` in the names of the configurations; None where nothing does.
        lang: of texts without a `lang` of their own.
        query_lang: the same of queries; `lang` where it is not given.
        revision: branch, tag or commit; name a commit for figures that others should reproduce.
    Raises:
        MissingExtraError: `datasets` is not installed.
        UsageError: the configurations are not of this form, or there is no such subset or split.
        DataError: it cannot be reached, or a row is not of this form.
    """
    lang = canonical(lang) if lang else None
    query_lang = canonical(query_lang) if query_lang else lang
    corpus, questions, judged = _configurations(name, subset, revision)
    qrels: dict[str, dict[str, int]] = {}
    for number, row in enumerate(_rows(name, judged, (split,), revision), start=1):
        try:
            judged_docs = qrels.setdefault(str(row["query-id"]), {})
            doc_id, relevance = str(row["corpus-id"]), int(row["score"])
            if relevance != float(row["score"]):
                raise ValueError(f"score {row['score']!r} is not an integer")
            if judged_docs.setdefault(doc_id, relevance) != relevance:
                raise ValueError(f"{doc_id!r} is judged {judged_docs[doc_id]} before and {relevance} here")
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{name}/{judged} row {number}: not a judgement ({fault(error)})") from error
    queries = list(
        _queries(name, questions, _rows(name, questions, ("queries", split), revision), query_lang)
    )
    passages = _passages(name, corpus, _rows(name, corpus, ("corpus", split), revision), lang)
    return Dataset(passages, queries, {split: qrels})


def _configurations(name: str, subset: str | None, revision: str | None) -> tuple[str, str, str]:
    """The names of the configurations that hold corpus, queries and judgements."""
    datasets = _library()
    with _reaching(name):
        present = datasets.get_dataset_config_names(name, revision=revision)
    prefix = f"{subset}-" if subset else ""
    judged = [c for c in (f"{prefix}qrels", *([] if subset else ["default"])) if c in present]
    texts = [c for c in (f"{prefix}corpus", f"{prefix}queries") if c in present]
    if len(texts) < 2 or not judged:
        raise UsageError(
            f"{name}: has the configurations {', '.join(present)}; expected {prefix}corpus, {prefix}queries "
            f"and {prefix}qrels{'' if subset else ' or default'} (what stands before -corpus is the subset)"
        )
    return texts[0], texts[1], judged[0]


def _rows(
    name: str, configuration: str, splits: tuple[str, ...], revision: str | None
) -> Iterator[Mapping[str, Any]]:
    """The rows of the first of `splits` that the configuration has, or of its only one."""
    datasets = _library()
    with _reaching(name):
        present = datasets.get_dataset_split_names(name, configuration, revision=revision)
    chosen = next((s for s in splits if s in present), None)
    if chosen is None and len(present) == 1 and len(splits) > 1:
        chosen = present[0]
    if chosen is None:
        raise UsageError(f"{name}/{configuration}: no split {splits[-1]!r}; present: {', '.join(present)}")
    with _reaching(name):
        yield from datasets.load_dataset(name, configuration, split=chosen, revision=revision, streaming=True)


def _passages(
    name: str, configuration: str, rows: Iterator[Mapping[str, Any]], lang: str | None
) -> Iterator[Passage]:
    for number, row in enumerate(rows, start=1):
        try:
            yield parse_passage(row, lang)
        except RefusedRow as refused:
            raise DataError(f"{name}/{configuration} row {number}: {refused.detail}") from None


def _queries(
    name: str, configuration: str, rows: Iterator[Mapping[str, Any]], lang: str | None
) -> Iterator[Query]:
    for number, row in enumerate(rows, start=1):
        try:
            yield parse_query(row, lang)
        except RefusedRow as refused:
            raise DataError(f"{name}/{configuration} row {number}: {refused.detail}") from None


def _library() -> Any:
    try:
        import datasets
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "data sets of the Hub need 'datasets'; install it with: pip install 'babelweave[datasets]'"
        ) from error
    return datasets


@contextmanager
def _reaching(name: str) -> Iterator[None]:
    """Say what could not be reached, and what to do without a network."""
    import httpx

    try:
        yield
    except (OSError, httpx.HTTPError, ValueError, RuntimeError) as error:
        if isinstance(error, (DataError, UsageError)):
            raise
        raise DataError(
            f"{name}: cannot be read from the Hugging Face Hub ({type(error).__name__}: {error}); check the "
            "name and the network, or fetch it elsewhere and pass its folder"
        ) from error


def _dataset(request: Request) -> Dataset:
    return read_hub(
        str(request.source),
        request.split or "test",
        request.subset,
        lang=request.lang,
        query_lang=request.query_lang,
        revision=request.revision,
    )


CARD = Card(
    licence="that of the data set",
    languages="any (--lang, --query-lang where its rows name none)",
    layout="owner/name on the Hub, or a folder with the configurations corpus, queries, and default or qrels",
    options=("split", "subset", "lang", "query_lang", "revision"),
    read=_dataset,
)
