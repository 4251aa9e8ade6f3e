"""How a generator learns and is judged: examples as token ids, batches of them, the loss per token."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
from datasets import Dataset
from pydantic import Field, NonNegativeFloat
from torch.nn import functional as F
from torch.utils.data import ConcatDataset, DataLoader

from babelweave.generate.tokens import PromptTokenizer
from babelweave.train.batches import LANG, LENGTH, LanguageBatches, WeightedDatasets
from babelweave.train.generator_data import Item, Sets
from babelweave.train.settings import Batches, Checked
from babelweave.train.trainers import Dev, SequenceTrainer

IGNORED = -100
"""A label that is no token: padding."""
MEASURE = "-loss"
_AT_ONCE = 1000
"""Examples tokenised together."""


class GeneratorBatches(Checked):
    """Which examples are drawn, and which stand in a batch together."""

    language_exponent: Annotated[float, Field(ge=0, le=1)] = 1.0
    """A question language of n examples is drawn in proportion to n ** this: 1 as the data is, 0 all
    alike."""
    weights: dict[str, NonNegativeFloat] = Field(default_factory=dict)
    """Data set -> its part of the batches, each batch of one set; 0 leaves it out. Without weights all sets
    are one."""
    group_by_length: bool = True
    """Examples of like length together: less padding."""

    def _contradictions(self) -> Iterator[str]:
        if self.weights and not any(self.weights.values()):
            yield "all weights are 0: nothing to train on"

    def of_texts(self) -> Batches:
        """The same as every training has them; a text may stand twice in a batch."""
        return Batches(
            language_exponent=self.language_exponent,
            weights=self.weights,
            distinct=False,
            group_by_length=self.group_by_length,
        )


class Tokens(NamedTuple):
    """Attributes:
    data: columns input_ids, labels, lang (of the question), length (of both).
    n_cut_inputs, n_cut_questions: longer than is read or written; cut.
    """

    data: Dataset
    n_cut_inputs: int
    n_cut_questions: int


def tokenise(items: Sequence[Item], text: PromptTokenizer, max_target: int) -> Tokens:
    """Prompts as generation reads them, and questions with their end.

    Args:
        max_target: tokens of a question, special tokens included.
    Raises:
        DataError: a model with language tokens has none for the language of a passage.
    """
    columns: dict[str, list[Any]] = {name: [None] * len(items) for name in ("input_ids", "labels")}
    places: defaultdict[str, list[int]] = defaultdict(list)
    for i, item in enumerate(items):
        places[item.query.lang].append(i)
    n_inputs = n_questions = 0
    for lang, found in places.items():
        for some in _chunks(found, _AT_ONCE):
            inputs = text.read([items[i].passage for i in some], lang)
            n_inputs += inputs.n_cut
            targets, n_cut = text.targets([items[i].query.text for i in some], lang, max_target)
            n_questions += n_cut
            for i, ids, labels in zip(some, inputs.ids, targets, strict=True):
                columns["input_ids"][i] = np.array(ids, dtype=np.int32)
                columns["labels"][i] = np.array(labels, dtype=np.int32)
    lengths = [len(a) + len(b) for a, b in zip(columns["input_ids"], columns["labels"], strict=True)]
    about = {LANG: [item.query.lang for item in items], LENGTH: lengths}
    return Tokens(Dataset.from_dict({**columns, **about}), n_inputs, n_questions)


def _chunks(places: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    return (places[begin : begin + size] for begin in range(0, len(places), size))


def grouped(sets: Sets, weights: Mapping[str, float]) -> Sets:
    """The sets as they are where each has its part of the batches; else all as one."""
    return sets if weights else {"": [item for items in sets.values() for item in items]}


class Collator:
    """Pad a batch: inputs with the padding token, labels with `IGNORED`.

    Args:
        shift: labels -> what the decoder reads, one token later.
    """

    def __init__(self, pad: int, shift: Callable[[torch.Tensor], torch.Tensor]) -> None:
        self._pad, self._shift = pad, shift

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """(B, longest input) input_ids and attention_mask, (B, longest question) labels and
        decoder_input_ids; int64."""
        inputs = _padded([row["input_ids"] for row in rows], self._pad)
        mask = _padded([[1] * len(row["input_ids"]) for row in rows], 0)
        labels = _padded([row["labels"] for row in rows], IGNORED)
        return {
            "input_ids": inputs,
            "attention_mask": mask,
            "labels": labels,
            "decoder_input_ids": self._shift(labels),
        }


def _padded(rows: Sequence[Sequence[int]], value: int) -> torch.Tensor:
    width = max(map(len, rows))
    return torch.tensor([[*row, *[value] * (width - len(row))] for row in rows])


def token_losses(logits: torch.Tensor, labels: torch.Tensor, smoothing: float = 0.0) -> torch.Tensor:
    """Cross entropy of every token, float32 (B, T); 0 where the label is `IGNORED`."""
    losses = F.cross_entropy(
        logits.float().flatten(0, 1),
        labels.flatten(),
        ignore_index=IGNORED,
        label_smoothing=smoothing,
        reduction="none",
    )
    return losses.view_as(labels)


class GeneratorTrainer(SequenceTrainer):
    """Batches by language and length; the loss is the mean over all tokens of an optimiser step, however it
    is cut into batches.

    Args:
        data: training sets by name, each with the columns of `tokenise`.
        batches: as asked for.
        smoothing: part of the probability that is spread over all tokens.
    """

    def __init__(
        self, *, data: Mapping[str, Dataset], batches: Batches, smoothing: float, **kwargs: Any
    ) -> None:
        self._sets, self._batches, self._smoothing = dict(data), batches, smoothing
        together: Any = ConcatDataset([rows.remove_columns([LANG, LENGTH]) for rows in self._sets.values()])
        super().__init__(train_dataset=together, compute_loss_func=self._loss, **kwargs)

    def _loss(self, outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> torch.Tensor:
        losses = token_losses(outputs["logits"], labels, self._smoothing)
        n_tokens = (labels != IGNORED).sum() if num_items_in_batch is None else num_items_in_batch
        return losses.sum() / n_tokens

    def get_train_dataloader(self) -> Any:
        """As sentence-transformers' trainer makes one of its batch samplers."""
        size, seed = self.args.train_batch_size, self.args.seed
        make = partial(LanguageBatches, settings=self._batches)
        samplers = [make(rows, size, True, seed=seed) for rows in self._sets.values()]
        sampler: Any = samplers[0]
        if len(samplers) > 1:
            sampler = WeightedDatasets(
                self.train_dataset, samplers, seed=seed, settings=self._batches, names=list(self._sets)
            )
        self.accelerator.even_batches = False
        loader = DataLoader(
            self.train_dataset,
            batch_sampler=sampler,
            collate_fn=self.data_collator,
            num_workers=self.args.dataloader_num_workers,
            pin_memory=self.args.dataloader_pin_memory,
        )
        return self.accelerator.prepare(loader)


def open_dev(data: Dataset, collator: Collator, batch_size: int) -> Dev:
    """The loss per token of questions that are not trained on, without smoothing, as figures where larger is
    better: `-loss LANG` over all tokens in a language, and `-loss`, the mean over the languages.

    Args:
        data: columns of `tokenise`.
    """
    order = np.argsort(data[LENGTH], kind="stable").tolist()
    languages = data[LANG]

    def score(model: Any) -> Mapping[str, float]:
        sums: defaultdict[str, float] = defaultdict(float)
        n_tokens: defaultdict[str, int] = defaultdict(int)
        for places in _chunks(order, batch_size):
            batch = {k: v.to(model.device) for k, v in collator([data[i] for i in places]).items()}
            labels = batch.pop("labels")
            losses = token_losses(model(**batch).logits, labels).double().sum(1).tolist()
            counts = (labels != IGNORED).sum(1).tolist()
            for i, loss, n in zip(places, losses, counts, strict=True):
                sums[languages[i]] += loss
                n_tokens[languages[i]] += n
        figures = {f"{MEASURE} {lang}": -sums[lang] / n_tokens[lang] for lang in sorted(sums)}
        return {MEASURE: float(np.mean(list(figures.values()))), **figures}

    return Dev(score, MEASURE)
