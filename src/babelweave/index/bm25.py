"""BM25 over the texts of a collection, through bm25s, with words of any script."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from babelweave.artifact import Manifest, read_manifest, seal, write_folder
from babelweave.data.words import terms
from babelweave.errors import DataError, UsageError
from babelweave.index.spec import number, refuse_unknown, spec_text
from babelweave.ranking import tie_keys, top_k
from babelweave.records import Float32, Hits, Int64, Passage
from babelweave.spec import Spec, parse_spec

KIND = "index"
TOKENISER = "nfkc-casefold words; bigrams of graphemes in scripts without spaces; no stop words, no stemming"
_IDS = "ids.parquet"
_K1, _B = 1.5, 0.75  # bm25s's defaults (Lù 2024, arXiv:2407.03618)
_SCORES_AT_ONCE = 8_388_608  # 32 MiB of float32 scores


@dataclass(frozen=True)
class Bm25Index:
    """Terms to passages; the score is BM25 as Lucene computes it.

    Attributes:
        doc_ids: the passage of each row.
        keys: tie key of each row.
        n_terms: distinct terms.
    """

    doc_ids: Sequence[str]
    keys: Int64
    n_terms: int
    _scorer: Any

    @property
    def n_rows(self) -> int:
        return len(self.doc_ids)

    def search(self, texts: Sequence[str], k: int) -> Hits:
        """k hits for each text in our order; a passage that shares no term with it is a miss (-1, -inf)."""
        at_once = max(1, _SCORES_AT_ONCE // max(1, self.n_rows))
        parts = [
            top_k(self._scores(texts[start : start + at_once]), k, self.keys)
            for start in range(0, len(texts), at_once)
        ]
        return Hits(
            np.concatenate([np.empty((0, k), dtype=np.int64), *(p.rows for p in parts)]),
            np.concatenate([np.empty((0, k), dtype=np.float32), *(p.scores for p in parts)]),
        )

    def _scores(self, texts: Sequence[str]) -> Float32:
        scores = np.zeros((len(texts), self.n_rows), dtype=np.float32)
        for row, text in zip(scores, texts, strict=True):
            known = self._scorer.get_tokens_ids(terms(text))
            if known:
                row[:] = self._scorer.get_scores_from_ids(known)
        scores[scores <= 0] = -np.inf
        return scores


def fit_bm25(passages: Iterable[Passage], spec: str = "bm25") -> Bm25Index:
    """Index the texts (title and text) of passages in memory.

    Args:
        spec: `bm25?k1=1.5&b=0.75`, the defaults of bm25s.
    Raises:
        UsageError: an unknown option.
        DataError: a doc_id twice, or no passage holds a word.
    Cost: one integer per word of the collection is held in memory while it is built.
    """
    parsed = parse_spec(spec)
    if parsed.target != "bm25":
        raise UsageError(f"{parsed.target} indexes the vectors of a store; texts are indexed by bm25")
    doc_ids: list[str] = []
    corpus: list[list[int]] = []
    vocabulary: dict[str, int] = {}
    for passage in passages:
        doc_ids.append(passage.doc_id)
        corpus.append([vocabulary.setdefault(t, len(vocabulary)) for t in terms(passage.content)])
    if len(set(doc_ids)) < len(doc_ids):
        raise DataError("a doc_id comes twice in the collection; `babelweave data validate` lists them")
    if not vocabulary:
        raise DataError("no passage holds a word; there is nothing to index")
    scorer = _scorer(parsed)
    scorer.index((corpus, vocabulary), create_empty_token=False, show_progress=False)
    return Bm25Index(doc_ids, tie_keys(doc_ids), len(vocabulary), scorer)


def build_bm25(
    passages: Iterable[Passage],
    folder: Path,
    spec: str = "bm25",
    *,
    inputs: dict[str, str] | None = None,
    overwrite: bool = False,
) -> Manifest:
    """Index the texts of a collection into a folder; see `fit_bm25`.

    Args:
        inputs: name -> digest of what was read, for the manifest.
    Raises:
        UsageError: also a folder that is not empty.
    """
    index = fit_bm25(passages, spec)
    with write_folder(folder, KIND, overwrite=overwrite) as aside:
        index._scorer.save(aside, show_progress=False)
        pq.write_table(pa.table({"doc_id": pa.array(index.doc_ids, pa.string())}), aside / _IDS)
        settings = {"spec": spec_text(parse_spec(spec)), "tokeniser": TOKENISER}
        counts = {"passages": index.n_rows, "terms": index.n_terms}
        return seal(aside, KIND, settings, inputs=inputs, counts=counts)


def open_bm25(folder: Path) -> Bm25Index:
    """Open a BM25 index, memory-mapped.

    Raises:
        DataError: not a finished BM25 index, or made with another tokeniser than this version's.
    """
    import bm25s

    manifest = read_manifest(folder, KIND)
    made_with = manifest.settings.get("tokeniser")
    if made_with != TOKENISER:
        raise DataError(
            f"{folder}: its words were cut by {made_with!r}, this version's are {TOKENISER!r}; index again"
        )
    try:
        doc_ids = pq.read_table(folder / _IDS, columns=["doc_id"])["doc_id"].to_pylist()
        scorer = bm25s.BM25.load(folder, mmap=True, show_progress=False)
    except (pa.ArrowException, ValueError, KeyError, EOFError) as error:
        raise DataError(f"{folder}: changed since it was written ({error}); index again") from error
    return Bm25Index(doc_ids, tie_keys(doc_ids), int(manifest.counts["terms"]), scorer)


def _scorer(spec: Spec) -> Any:
    import bm25s

    refuse_unknown(spec, ("k1", "b"))
    b = number(spec, "b", _B)
    if b > 1:
        raise UsageError(f"index {spec_text(spec)}: b={b} must lie between 0 and 1")
    # plain numpy, so that scores do not depend on whether numba is installed
    return bm25s.BM25(method="lucene", k1=number(spec, "k1", _K1), b=b, backend="numpy", auto_compile=False)
