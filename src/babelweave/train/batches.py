"""Which examples share a batch: languages alone or mixed, data sets by weight, no text twice, like lengths.

A step of W processes takes W batches in a row, so whatever a batch must have in common is arranged over W of
them, and W processes with a batch of b train on what one process with a batch of W * b would. Everything
drawn depends on (seed, epoch) alone, so that a resumed epoch is the epoch it was.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import accumulate, chain, count, islice
from typing import Any, NamedTuple

import numpy as np
import xxhash
from datasets import Dataset
from sentence_transformers.base.sampler import DefaultBatchSampler, MultiDatasetDefaultBatchSampler
from sentence_transformers.sentence_transformer.data_collator import SentenceTransformerDataCollator
from torch.utils.data import ConcatDataset

from babelweave.errors import DataError, UsageError, nearest
from babelweave.records import Int64
from babelweave.train.folder import n_processes
from babelweave.train.settings import Batches

LANG = "lang"
LENGTH = "length"
METADATA = frozenset({LANG, LENGTH})
"""Columns of a training set that are about an example: read by the samplers, never tokenised."""
_WINDOW = 50
"""Batches whose examples are sorted by length together; transformers' LengthGroupedSampler takes 50."""


class TextCollator(SentenceTransformerDataCollator):  # type: ignore[misc]
    """Tokenise the text columns; a library's collator would read the language code as a text."""

    def __call__(self, features: list[dict[str, Any]]) -> dict[str, Any]:
        texts = [{name: v for name, v in row.items() if name not in METADATA} for row in features]
        found: dict[str, Any] = super().__call__(texts)
        return found


class Rows(NamedTuple):
    """What decides the batches of a data set of n examples."""

    languages: Int64
    """(n,) numbers of languages."""
    lengths: Int64 | None = None
    """(n,) in any unit; None does not group by length."""
    keys: Int64 | None = None
    """(n, texts) digests; two examples with one in common never share a batch. None lets them."""

    @classmethod
    def of(cls, dataset: Dataset, settings: Batches) -> Rows:
        """Read the columns `lang` (absent: one language) and `length` (absent: characters of all texts);
        every other text column gives a key."""
        texts = text_columns(dataset)
        languages = np.zeros(len(dataset), dtype=np.int64)
        if LANG in dataset.column_names:
            languages = np.unique(list(_column(dataset, LANG)), return_inverse=True)[1].astype(np.int64)
        lengths = keys = None
        if settings.group_by_length and LENGTH in dataset.column_names:
            lengths = np.fromiter(_column(dataset, LENGTH), dtype=np.int64, count=len(dataset))
        elif settings.group_by_length:
            lengths = sum(
                (np.fromiter(map(len, _column(dataset, name)), np.int64, len(dataset)) for name in texts),
                start=np.zeros(len(dataset), dtype=np.int64),
            )
        if settings.distinct:
            columns = [np.fromiter(map(_key, _column(dataset, n)), np.int64, len(dataset)) for n in texts]
            keys = np.stack(columns, axis=1)
        return cls(languages, lengths, keys)


def text_columns(dataset: Dataset) -> list[str]:
    """The columns a loss is given, in their order."""
    return [
        name
        for name, feature in dataset.features.items()
        if name not in METADATA and getattr(feature, "dtype", None) in ("string", "large_string")
    ]


def _column(dataset: Dataset, name: str) -> Iterator[Any]:
    for part in dataset.select_columns([name]).iter(batch_size=10_000):
        yield from part[name]


def _key(text: str) -> int:
    """64 bits of a text; 0 for none, which may stand beside itself."""
    return xxhash.xxh3_64_intdigest(text.encode()) - 2**63 if text else 0


def allot(total: int, weights: Sequence[float]) -> list[int]:
    """Share `total` in proportion to the weights, the largest remainders rounded up: sums to `total`."""
    shares = np.asarray(weights, dtype=np.float64) / np.sum(weights) * total
    counts = np.floor(shares).astype(np.int64)
    order = np.argsort(counts - shares, kind="stable")  # the largest remainder first
    counts[order[: total - int(counts.sum())]] += 1
    return [int(count) for count in counts]


def compose(rows: Rows, batch_size: int, settings: Batches, rng: np.random.Generator) -> list[Int64]:
    """The batches of one pass over the examples, in the order of training.

    With `language_exponent` 1 every example stands in at most one of them; below 1 those of small languages
    come again. What does not fill a batch is left out of this pass.
    """
    groups = [np.flatnonzero(rows.languages == language) for language in np.unique(rows.languages)]
    weights = [len(group) ** settings.language_exponent for group in groups]
    drawn = [
        _repeat(group, target, rng)
        for group, target in zip(groups, allot(len(rows.languages), weights), strict=True)
    ]
    alone = {"mixed": 0.0, "single": 1.0, "hybrid": settings.single_probability}[settings.languages]
    batches: list[Int64] = []
    rest: list[Int64] = []
    for group in drawn:
        cut = int(rng.binomial(len(group) // batch_size, alone)) * batch_size
        full, left = _fill(group[:cut], rows, batch_size)
        batches += full
        rest += [left, group[cut:]]
    if settings.languages != "single":
        batches += _fill(rng.permutation(np.concatenate(rest)), rows, batch_size)[0]
    return [batches[i] for i in rng.permutation(len(batches))]


def _repeat(group: Int64, target: int, rng: np.random.Generator) -> Int64:
    """`target` examples of a group: shuffled passes over it, the last one cut."""
    passes = [rng.permutation(group) for _ in range(-(-target // len(group)))]
    return np.concatenate(passes)[:target] if passes else group[:0]


def _fill(stream: Int64, rows: Rows, batch_size: int) -> tuple[list[Int64], Int64]:
    """A stream cut into batches, near lengths together; and what fills none."""
    if rows.lengths is not None and len(stream):
        window = batch_size * _WINDOW
        parts = (stream[i : i + window] for i in range(0, len(stream), window))
        stream = np.concatenate([part[np.argsort(rows.lengths[part], kind="stable")] for part in parts])
    if rows.keys is not None:
        return _fill_distinct(stream, rows.keys, batch_size)
    n = len(stream) // batch_size * batch_size
    return [stream[i : i + batch_size] for i in range(0, n, batch_size)], stream[n:]


def _fill_distinct(stream: Int64, keys: Int64, batch_size: int) -> tuple[list[Int64], Int64]:
    """As `_fill`; an example with a text of the batch at work waits for a later one.

    Few of those that wait are tried for a batch while the stream lasts: where half the examples share
    a text, trying all would be quadratic.
    """
    ahead = iter(stream.tolist())
    waiting: deque[int] = deque()
    batches: list[Int64] = []
    while True:
        batch: list[int] = []
        later: list[int] = []
        taken: set[int] = set()
        tried = deque(waiting.popleft() for _ in range(min(len(waiting), batch_size)))
        while len(batch) < batch_size:
            if tried:
                row = tried.popleft()
            elif (row := next(ahead, -1)) < 0:
                if not waiting:
                    return batches, np.array([*batch, *later], dtype=np.int64)
                row = waiting.popleft()
            own = set(keys[row].tolist()) - {0}
            if taken.isdisjoint(own):
                batch.append(row)
                taken |= own
            else:
                later.append(row)
        waiting.extendleft(reversed(tried))
        waiting.extend(later)
        batches.append(np.array(batch, dtype=np.int64))


class LanguageBatches(DefaultBatchSampler):  # type: ignore[misc]
    """`compose` as a batch sampler of sentence-transformers, over one data set.

    Every epoch has as many batches as the first: where a later one composes fewer, it goes on with
    another pass.

    Raises:
        DataError: the examples do not fill one batch.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int,
        drop_last: bool,
        valid_label_columns: list[str] | None = None,
        generator: Any = None,
        seed: int = 0,
        *,
        settings: Batches,
    ) -> None:
        super().__init__(dataset, batch_size, drop_last, valid_label_columns, generator, seed)
        self.settings = settings
        self.rows = Rows.of(dataset, settings)
        self.step_size = batch_size * n_processes()
        self.n_steps = len(self._pass(0))
        if self.n_steps == 0:
            raise DataError(
                f"{len(dataset)} examples fill no batch of {self.step_size} "
                f"(languages {settings.languages!r}, distinct {settings.distinct}); take smaller batches"
            )

    def steps(self) -> Iterator[Int64]:
        """Batches over all processes, without end."""
        return chain.from_iterable(map(self._pass, count()))

    def _pass(self, number: int) -> list[Int64]:
        rng = np.random.default_rng([self.seed, self.epoch, number])
        return compose(self.rows, self.step_size, self.settings, rng)

    def __iter__(self) -> Iterator[list[int]]:
        for step in islice(self.steps(), self.n_steps):
            yield from _shared(step, self.batch_size)

    def __len__(self) -> int:
        return self.n_steps * n_processes()


class WeightedDatasets(MultiDatasetDefaultBatchSampler):  # type: ignore[misc]
    """Batches of several data sets in the proportions asked for, each batch of one of them.

    An epoch has as many batches as the data sets that are drawn have together; one that is drawn more
    often than it has batches begins again, one drawn less often is not seen whole.

    Args:
        names: of the data sets, in their order.
    """

    def __init__(
        self,
        dataset: Any,
        batch_samplers: list[LanguageBatches],
        generator: Any = None,
        seed: int = 0,
        *,
        settings: Batches,
        names: Sequence[str],
    ) -> None:
        super().__init__(dataset, batch_samplers, generator, seed)
        sizes = [len(part) for part in dataset.datasets]
        self.offsets = [0, *accumulate(sizes)]
        weights = [settings.weights[name] for name in names] if settings.weights else None
        total = sum(
            sampler.n_steps for i, sampler in enumerate(batch_samplers) if weights is None or weights[i]
        )
        self.n_steps = allot(total, weights or [size**settings.exponent for size in sizes])

    def __iter__(self) -> Iterator[list[int]]:
        rng = np.random.default_rng([self.seed, self.epoch])
        order = rng.permutation(np.repeat(np.arange(len(self.n_steps)), self.n_steps))
        steps = [sampler.steps() for sampler in self.batch_samplers]
        for i in order.tolist():
            yield from _shared(next(steps[i]) + self.offsets[i], self.batch_size)

    def __len__(self) -> int:
        return sum(self.n_steps) * n_processes()


def _shared(step: Int64, batch_size: int) -> Iterator[list[int]]:
    """The batches of the processes, the first one's first."""
    for begin in range(0, len(step), batch_size):
        yield step[begin : begin + batch_size].tolist()


def batch_arguments(settings: Batches, data: Dataset | Mapping[str, Dataset]) -> dict[str, Any]:
    """What `trainers.arguments` passes to sentence-transformers for these batches.

    Args:
        data: the training set, or several by name.
    Raises:
        UsageError: weights that name other data sets than there are.
    """
    names = [] if isinstance(data, Dataset) else list(data)
    for name in settings.weights:
        if name not in names:
            raise UsageError(f"batches.weights: no data set {name!r}; {nearest(name, names)}")
    if settings.weights and (without := [name for name in names if name not in settings.weights]):
        raise UsageError(f"batches.weights: none for {', '.join(without)}; 0 leaves a data set out")
    found: dict[str, Any] = {"batch_sampler": partial(LanguageBatches, settings=settings)}
    if names:
        found["multi_dataset_batch_sampler"] = partial(WeightedDatasets, settings=settings, names=names)
    return found


def count_batches(
    settings: Batches, data: Dataset | Mapping[str, Dataset], batch_size: int, seed: int
) -> dict[str, int]:
    """What an epoch is made of, for `--dry-run` and the manifest.

    Returns:
        `examples`, `batches`; with several data sets also `examples.NAME` and `batches.NAME`; and
        `left_out` (or `left_out.NAME`), the examples of the first pass that fill no batch.
    Raises:
        DataError: the examples of a data set fill no batch.
    """
    parts = {"": data} if isinstance(data, Dataset) else dict(data)
    made = {}
    for name, part in parts.items():
        try:
            each = batch_size // n_processes()
            made[name] = LanguageBatches(part, each, True, seed=seed, settings=settings)
        except DataError as error:
            raise DataError(f"{name}: {error}" if name else str(error)) from error
    left = {
        name: len(np.setdiff1d(np.arange(len(parts[name])), np.concatenate(m._pass(0))))
        for name, m in made.items()
    }
    if "" in made:
        return {"examples": len(data), "batches": made[""].n_steps, "left_out": left[""]}
    together: Any = ConcatDataset(list(parts.values()))
    weighted = WeightedDatasets(
        together, list(made.values()), seed=seed, settings=settings, names=list(parts)
    )
    counts = {"examples": len(together), "batches": sum(weighted.n_steps)}
    for name, n_steps in zip(parts, weighted.n_steps, strict=True):
        counts |= {
            f"examples.{name}": len(parts[name]),
            f"batches.{name}": n_steps,
            f"left_out.{name}": left[name],
        }
    return counts
