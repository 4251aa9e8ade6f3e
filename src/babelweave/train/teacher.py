"""A teacher's vectors as targets: where they are kept, and the loss against them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from babelweave.artifact import MANIFEST
from babelweave.data.squad import text_id
from babelweave.encode.store import VectorStore, encode_collection
from babelweave.errors import UsageError
from babelweave.protocols import Encoder
from babelweave.records import Passage

NO_TWIN = -1


def teach(texts: Sequence[str], teacher: Encoder, folder: Path) -> VectorStore:
    """The teacher's vectors of distinct English texts, row i of text i; taken up where a killed run stopped.

    Raises:
        UsageError: `folder` holds the vectors of other texts, or of another teacher.
    """
    ids = [text_id(text) for text in texts]
    if not (folder / MANIFEST).is_file():
        encode_collection((Passage(*row, "en") for row in zip(ids, texts, strict=True)), teacher, folder)
    store = VectorStore.open(folder)
    if difference := store.signature.differences(teacher.signature):
        raise UsageError(f"{folder}: holds vectors of another teacher ({'; '.join(difference)})")
    if list(store.doc_ids) != ids:
        raise UsageError(f"{folder}: holds the vectors of other texts; name another folder for them")
    return store


class TeacherLoss(nn.Module):
    """Bring the vector of a text to the teacher's vector of its English, and its scores to the teacher's.

    With unit vectors s of the student, t of the teacher, and candidates C (the teacher's vectors of the
    batch, of near-duplicates of its texts, and of texts drawn at random)::

        loss = mse_weight * |s - t|^2 + score_weight * CE(softmax(scale * C t), softmax(scale * C s))

    The first term is that of Reimers and Gurevych (2020, arXiv 2004.09813), over unit vectors. The second is
    in-batch contrast whose targets are the teacher's: two texts that the teacher holds for alike are no
    negatives of each other. Candidates cost no encoding, so there can be thousands.

    Args:
        model: the student, a SentenceTransformer.
        targets: (n, d), the teacher's vectors.
        scale: factor of the cosine, 20 as in sentence-transformers.
        n_candidates: drawn at random from all targets at each step, from torch's global generator.
    """

    def __init__(
        self,
        model: Any,
        targets: torch.Tensor,
        *,
        mse_weight: float,
        score_weight: float,
        scale: float,
        n_candidates: int,
    ) -> None:
        super().__init__()
        self.model = model
        self.targets = F.normalize(targets, dim=1)
        self.mse_weight, self.score_weight, self.scale = mse_weight, score_weight, scale
        self.n_candidates = n_candidates

    def forward(self, features: list[dict[str, Any]], labels: torch.Tensor) -> dict[str, torch.Tensor]:
        """One column of texts; `labels` int64 (B, 2): the target's row, and a near-duplicate's or -1."""
        student = F.normalize(self.model(dict(features[0]))["sentence_embedding"], dim=1)
        rows = labels.long().cpu()
        target = self.targets[rows[:, 0]].to(student)
        drawn = torch.randint(len(self.targets), (self.n_candidates,))
        candidates = torch.unique(torch.cat([rows[rows != NO_TWIN], drawn]))
        others = self.targets[candidates].to(student)
        wanted = F.softmax(self.scale * target @ others.T, dim=1)
        scores = F.log_softmax(self.scale * student @ others.T, dim=1)
        return {
            "mse": self.mse_weight * (student - target).square().sum(1).mean(),
            "scores": -self.score_weight * (wanted * scores).sum(1).mean(),
        }

    def get_config_dict(self) -> dict[str, Any]:
        return {
            "mse_weight": self.mse_weight,
            "score_weight": self.score_weight,
            "scale": self.scale,
            "n_candidates": self.n_candidates,
        }
