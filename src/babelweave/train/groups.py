"""Training groups: one positive and n negatives of each question, drawn anew every epoch.

The draw of a row depends on (seed, row, epoch) alone, so a run that is resumed in the middle of an epoch
sees what it would have seen. Positives take turns, negatives move on through a shuffled order of their own,
and where a question has fewer than n they are drawn with replacement, as Tevatron does (v1,
`TrainDataset.__getitem__`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from transformers import TrainerCallback

from babelweave.encode.tokens import TokenReader
from babelweave.errors import DataError
from babelweave.records import Role
from babelweave.train.augmented import Extras
from babelweave.train.folder import n_processes
from babelweave.train.losses import NO_PASSAGE
from babelweave.train.rows import RowPool
from babelweave.train.sections import Negatives

ROW = "row"


class Groups:
    """Draws the passages of every row of a pool.

    Args:
        pool: rows are numbered through its data sets in the order they were added.
        seed: of all draws.
    Attributes:
        epoch: whose draws `draw` gives.
    """

    def __init__(self, pool: RowPool, settings: Negatives, seed: int) -> None:
        self.passages = pool.passages
        self.questions = [question for listed in pool.questions.values() for question in listed]
        known = pool.known()
        self.known = [known[question.query.text] for question in self.questions]
        self.n_known = max(map(len, self.known))
        self.settings, self.seed = settings, seed
        self.epoch = 0

    def draw(self, row: int) -> tuple[int, ...]:
        """The positive of a row in this epoch and its negatives, as rows of the pool."""
        question = self.questions[row]
        turn = row + self.seed + self.epoch if self.settings.positive == "rotate" else 0
        positive = question.positives[turn % len(question.positives)]
        return positive, *self._negatives(row, question.negatives)

    def _negatives(self, row: int, negatives: Sequence[int]) -> Sequence[int]:
        n = self.settings.per_question
        if not negatives:
            return self._random(row, n)
        if len(negatives) < n:
            picked = np.random.default_rng((self.seed, row, self.epoch)).integers(len(negatives), size=n)
            return [negatives[i] for i in picked]
        if self.settings.negative == "first":
            return negatives[:n]
        order = np.random.default_rng((self.seed, row)).permutation(len(negatives))
        begin = self.epoch * n % len(negatives)
        return [negatives[order[i % len(negatives)]] for i in range(begin, begin + n)]

    def _random(self, row: int, n: int) -> list[int]:
        """n passages of the pool that are not known to answer the question.

        Raises:
            DataError: there is no such passage.
        """
        rng = np.random.default_rng((self.seed, row, self.epoch))
        right = set(self.known[row])
        if n and len(right) == len(self.passages):
            name = self.questions[row].query.query_id
            raise DataError(f"every passage of the data answers question {name!r}; it has no wrong one")
        found: list[int] = []
        while len(found) < n:
            found += [i for i in rng.integers(len(self.passages), size=n).tolist() if i not in right]
        return found[:n]

    def labels(self, rows: Iterable[int], drawn: Iterable[tuple[int, ...]]) -> torch.Tensor:
        """int64 (B, G + K): the passages drawn, then those known to answer, as `losses.Groups` cuts them.

        K is the most any question of the batch has, or of all data where processes gather their batches.
        """
        known = [self.known[row] for row in rows]
        width = self.n_known if n_processes() > 1 else max(map(len, known))
        filled = [
            (*group, *right, *(NO_PASSAGE,) * (width - len(right)))
            for group, right in zip(drawn, known, strict=True)
        ]
        return torch.tensor(filled, dtype=torch.int64)


def to_datasets(pool: RowPool) -> dict[str, Dataset]:
    """Data set -> what a trainer's batch sampler reads: texts to keep apart, language, and the row."""
    found: dict[str, Dataset] = {}
    begin = 0
    for name, questions in pool.questions.items():
        found[name] = Dataset.from_dict(
            {
                "anchor": [q.query.text for q in questions],
                "positive": [pool.passages[q.positives[0]].content for q in questions],
                "lang": [q.query.lang for q in questions],
                ROW: list(range(begin, begin + len(questions))),
            }
        )
        begin += len(questions)
    return found


class GroupCollator:
    """Rows to token columns: anchor, positive, negative_1, ..., negative_n, each as its role is read.

    Args:
        readers: role -> how its texts are tokenised, cut and prompted; the same as in encoding.
        extras: generated queries, variants and languages, as `augmented.Layout` has them; None adds nothing.
    """

    valid_label_columns: tuple[str, ...] = ()
    """Asked for by sentence-transformers' trainer; the rows have no labels but those made here."""

    def __init__(
        self, groups: Groups, readers: Mapping[Role, TokenReader], extras: Extras | None = None
    ) -> None:
        self.groups, self._readers, self.extras = groups, readers, extras

    def __call__(self, features: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        rows = [feature[ROW] for feature in features]
        drawn = [self.groups.draw(row) for row in rows]
        anchors = [self.groups.questions[row].query.text for row in rows]
        columns = [
            [self.groups.passages[number].content for number in place] for place in zip(*drawn, strict=True)
        ]
        batch = self._columns(["anchor"], "query", [anchors])
        names = ["positive", *(f"negative_{i}" for i in range(1, len(columns)))]
        batch |= self._columns(names, "passage", columns)
        labels = self.groups.labels(rows, drawn)
        if self.extras is not None:
            extra = self.extras.of(rows, drawn, self.groups.epoch)
            for name, texts in extra.columns.items():
                batch |= self._columns([name], "query", [texts])
            labels = self.extras.layout.pack(labels, extra.languages, extra.slots)
        batch["label"] = labels
        return batch

    def _columns(self, names: Sequence[str], role: Role, columns: Sequence[Sequence[str]]) -> dict[str, Any]:
        """Tokenised in one call, padded column by column."""
        reader = self._readers[role]
        tokens = reader.read([text for column in columns for text in column])
        places = np.arange(len(tokens.lengths)).reshape(len(columns), -1)
        return {
            f"{name}_{key}": value
            for name, part in zip(names, places, strict=True)
            for key, value in reader.features(tokens, part).items()
        }


class Redraw(TrainerCallback):  # type: ignore[misc]
    """Tells the groups which epoch begins, before its batches are made."""

    def __init__(self, groups: Groups) -> None:
        self._groups = groups

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._groups.epoch = int(state.epoch or 0)
