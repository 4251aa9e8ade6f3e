"""Index folders and options to one searcher: what `babelweave search` and a service open."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from babelweave.artifact import read_manifest
from babelweave.errors import UsageError
from babelweave.index.bm25 import open_bm25
from babelweave.index.dense import KIND, open_index
from babelweave.protocols import Encoder, Searcher
from babelweave.search.hybrid import DEPTH as FUSION_DEPTH
from babelweave.search.hybrid import Fusion, HybridSearcher, reciprocal_rank_fusion
from babelweave.search.rerank import DEPTH as RERANK_DEPTH
from babelweave.search.rerank import RerankSearcher, open_cross_encoder
from babelweave.search.search import Bm25Searcher, DenseSearcher, PassageLookup
from babelweave.spec import parse_spec


class Pipeline:
    """One index, or several fused, then a re-ranker if asked for; a `Searcher`.

    Args:
        indexes: index folders, each with `?nprobe=...` options if wanted.
        encoder: opens the encoder of the questions; called once, and only for an index over vectors.
        fusion: of several indexes.
        fusion_depth: hits taken of each index before fusion.
        reranker: SPEC of a cross-encoder; needs `passages`.
        rerank_depth: candidates it scores per question.
        passages: doc_ids to passages.
    Raises:
        SignatureError: an index was made with another encoder.
        UsageError: no index, unknown options, or a re-ranker without passages.
        DataError: an index folder that is missing, cut or of another kind.
    """

    def __init__(
        self,
        indexes: Sequence[str],
        encoder: Callable[[], Encoder],
        *,
        fusion: Fusion = reciprocal_rank_fusion,
        fusion_depth: int = FUSION_DEPTH,
        reranker: str | None = None,
        rerank_depth: int = RERANK_DEPTH,
        passages: PassageLookup | None = None,
    ) -> None:
        if not indexes:
            raise UsageError("no index to search; name at least one index folder")
        if reranker is not None and passages is None:
            raise UsageError("re-ranking reads the texts of passages; name the collection as well")
        opened: list[Encoder] = []
        searchers: list[Searcher] = []
        self._dense: list[DenseSearcher] = []
        for index in indexes:
            folder, options = parse_spec(index)
            if "encoder" not in read_manifest(Path(folder), KIND).settings:
                searchers.append(_bm25(Path(folder), options))
                continue
            dense_index = open_index(Path(folder), options)
            opened = opened or [encoder()]
            self._dense.append(DenseSearcher(opened[0], dense_index))
            searchers.append(self._dense[-1])
        self._searcher = (
            searchers[0] if len(searchers) == 1 else HybridSearcher(searchers, fusion, fusion_depth)
        )
        self._cross_encoder = None if reranker is None else open_cross_encoder(reranker)
        if self._cross_encoder is not None and passages is not None:
            self._searcher = RerankSearcher(self._searcher, self._cross_encoder, passages, rerank_depth)
        self.search = self._searcher.search

    @property
    def n_truncated(self) -> dict[str, int]:
        """Texts cut at a model's maximum length, over all searches so far: questions, re-ranked pairs."""
        counts = {"questions": max((s.n_truncated for s in self._dense), default=0)}
        if self._cross_encoder is not None:
            counts["pairs"] = self._cross_encoder.n_truncated
        return counts


def _bm25(folder: Path, options: Mapping[str, str]) -> Searcher:
    if options:
        raise UsageError(f"{folder}: a bm25 index has no search options, {', '.join(options)} given")
    return Bm25Searcher(open_bm25(folder))
