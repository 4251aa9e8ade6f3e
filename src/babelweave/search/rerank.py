"""Re-ranking with a sentence-transformers CrossEncoder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from babelweave.errors import DataError, UsageError
from babelweave.protocols import Searcher
from babelweave.ranking import run_from_scores
from babelweave.records import Float32, Query, Run
from babelweave.search.search import PassageLookup
from babelweave.spec import parse_spec, read_options

DEPTH = 100
"""Candidates re-scored per question: the depth passage re-rankers are commonly measured at."""

Pair = tuple[str, str]
"""Question, passage."""


class CrossEncoder:
    """Scores a question and a passage read together; any CrossEncoder with one output.

    The score is the logit: the sigmoid many models put on it ranks the same, but rounds the best
    candidates to equal scores.

    Args:
        target: a model folder or a Hub id.
        precision: bfloat16 halves the memory and keeps 8 bits of a score, so that candidates tie.
        max_tokens: of question and passage together; by default what the model states.
        batch_size: pairs of a batch.
        revision: branch, tag or commit on the Hub.
    Attributes:
        n_truncated: pairs longer than the model reads, over all calls so far.
    Raises:
        DataError: no such model, or one that does not give a single score.
    """

    def __init__(
        self,
        target: str,
        *,
        precision: Literal["float32", "bfloat16"] = "float32",
        max_tokens: int | None = None,
        batch_size: int = 32,
        revision: str | None = None,
    ) -> None:
        import torch
        from sentence_transformers import CrossEncoder as Model

        if precision not in ("float32", "bfloat16"):
            raise UsageError(f"re-ranker {target}: unknown precision {precision!r}; known: bfloat16, float32")
        if batch_size < 1 or (max_tokens is not None and max_tokens < 8):
            raise UsageError(f"re-ranker {target}: batch_size is at least 1 and max_tokens at least 8")
        try:
            self._model = Model(
                target,
                revision=revision,
                max_length=max_tokens,
                trust_remote_code=False,
                model_kwargs={"dtype": getattr(torch, precision)},
            )
        except (OSError, ValueError, LookupError, TypeError, AttributeError, ImportError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            where = "cannot be opened" if Path(target).is_dir() else "no such folder, nor a model on the Hub"
            raise DataError(f"re-ranker {target}: {where} ({reason})") from error
        if self._model.num_labels != 1:
            raise DataError(f"re-ranker {target}: gives {self._model.num_labels} scores a pair, expected 1")
        self._batch_size = batch_size
        self.n_truncated = 0

    def score(self, pairs: Sequence[Pair]) -> Float32:
        """float32 (n,): one logit a pair.

        Raises:
            DataError: a score is not finite.
        """
        import torch

        if not pairs:
            return np.empty(0, dtype=np.float32)
        self.n_truncated += self._count_truncated(pairs)
        scores = self._model.predict(
            list(pairs),
            batch_size=self._batch_size,
            activation_fn=torch.nn.Identity(),
            show_progress_bar=False,
        )
        logits = np.asarray(scores, dtype=np.float32)
        if not np.isfinite(logits).all():
            question = pairs[int(np.flatnonzero(~np.isfinite(logits))[0])][0]
            raise DataError(f"the re-ranker gave a score that is not finite for the question {question!r}")
        return logits

    def _count_truncated(self, pairs: Sequence[Pair]) -> int:
        limit = self._model.max_seq_length
        if limit is None:
            return 0
        questions, passages = zip(*pairs, strict=True)
        read = self._model.tokenizer(
            list(questions), list(passages), truncation=False, verbose=False, return_attention_mask=False
        )
        return sum(len(tokens) > limit for tokens in read["input_ids"])


def open_cross_encoder(spec: str) -> CrossEncoder:
    """A re-ranker from its SPEC: `MODEL?precision=bfloat16&max_tokens=256&batch_size=16&revision=main`.

    Raises:
        UsageError: an unknown option or value.
        DataError: no such model.
    """
    target, given = parse_spec(spec)
    return CrossEncoder(target, **read_options(given, CrossEncoder, target))


class RerankSearcher:
    """The best hits of a searcher, ordered anew by a cross-encoder.

    Args:
        searcher: finds the candidates.
        cross_encoder: scores them.
        passages: doc_ids to passages (`search.find_passages`).
        depth: candidates per question, at least the k asked for; every hit returned was scored anew.
    """

    def __init__(
        self, searcher: Searcher, cross_encoder: CrossEncoder, passages: PassageLookup, depth: int = DEPTH
    ) -> None:
        if depth < 1:
            raise UsageError(f"re-ranking depth is {depth}, expected at least 1")
        self._searcher, self._cross_encoder = searcher, cross_encoder
        self._passages, self._depth = passages, depth

    def search(self, queries: Sequence[Query], k: int) -> Run:
        """The k best passages of each question by the cross-encoder, in our order.

        A question and a text are scored once, so equal texts tie exactly.
        """
        candidates = self._searcher.search(queries, max(k, self._depth))
        passages = self._passages({doc_id for doc_ids in candidates.doc_ids for doc_id in doc_ids})
        texts = {query.query_id: query.text for query in queries}
        asked = [
            (query_id, {doc_id: (texts[query_id], passages[doc_id].content) for doc_id in doc_ids})
            for query_id, doc_ids, _ in candidates
        ]
        pairs = list(dict.fromkeys(pair for _, by_id in asked for pair in by_id.values()))
        score_of = dict(zip(pairs, self._cross_encoder.score(pairs).tolist(), strict=True))
        return run_from_scores(
            (
                (query_id, {doc_id: score_of[pair] for doc_id, pair in by_id.items()})
                for query_id, by_id in asked
            ),
            k,
        )
