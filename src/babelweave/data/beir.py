"""A folder in BEIR's form, brought into ours: `lang` on every text, string ids, checked judgements."""

from __future__ import annotations

from babelweave.data.collection import Collection
from babelweave.data.dataset import Card, Dataset, Request
from babelweave.errors import UsageError


def _dataset(request: Request) -> Dataset:
    source = Collection.open(request.source, request.lang)
    questions = Collection.open(request.source, request.query_lang or request.lang)
    splits = source.splits()
    if request.split is not None:
        if request.split not in splits:
            raise UsageError(f"{request.source}: no split {request.split!r}; present: {', '.join(splits)}")
        splits = [request.split]
    # The writer checks every judged id, so reading need not do it too.
    qrels = {split: source.qrels(split, check=False) for split in splits}
    return Dataset(source.passages(), questions.queries(), qrels)


CARD = Card(
    licence="that of the data",
    languages="any (--lang, --query-lang where its texts name none)",
    layout="folder of corpus.jsonl, queries.jsonl and qrels/{split}.tsv; also .jsonl.gz and .parquet",
    options=("split", "lang", "query_lang"),
    read=_dataset,
)
