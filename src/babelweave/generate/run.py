"""A collection through a generator, into a file of queries: resumable, seeded, counted."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Generator as Stream
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from babelweave.artifact import Manifest, ShardWriter, digest_texts
from babelweave.data.languages import canonical
from babelweave.errors import DataError, UsageError, nearest
from babelweave.generate.plan import GenerationPlan, plan
from babelweave.generate.queries import KIND, write_queries
from babelweave.generate.shard import Made, Order, make_queries
from babelweave.generate.workers import make_in_processes
from babelweave.protocols import Generator
from babelweave.records import Passage

SHARD_SIZE = 1024
"""Passages of a shard: asked for in one call per language, and lost at most by a kill."""

JOURNAL = "answers.journal"

Progress = Callable[[Iterable[Passage], str, int | None], Iterable[Passage]]


@runtime_checkable
class Journalling(Protocol):
    """A generator whose answers are too dear to lose with an unfinished shard."""

    def journal(self, path: Path) -> contextlib.AbstractContextManager[None]:
        """Within, answers are kept in `path` as they come, and those it holds are not asked for again."""
        ...


class _Shard(NamedTuple):
    number: int
    source: str
    """Digest of the passages."""
    passages: Sequence[Passage]


def generate_queries(
    passages: Iterable[Passage],
    generator: Generator,
    languages: Sequence[str],
    per_language: int,
    folder: Path,
    *,
    seed: int = 0,
    shard_size: int = SHARD_SIZE,
    workers: int = 1,
    reopen: Callable[[], Generator] | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Manifest:
    """Write at most `per_language` queries per passage and language; killed, it resumes to the same bytes.

    A shard is a run of passages of the collection, asked for in one call per language. What is written
    depends on the collection, the settings and the seed, never on the number of workers or on kills.

    Args:
        passages: streamed once, in the order in which the vectors will be woven.
        generator: its signature is kept in the manifest.
        languages: codes of any source; each must be among the generator's.
        folder: where; absent, empty, or holding the unfinished queries of the same call.
        seed: of all that is random.
        shard_size: passages of a shard.
        workers: processes that generate; each holds the generator in memory.
        reopen: opens the generator in a worker, `functools.partial(open_generator, spec)` for instance.
    Returns:
        The manifest; its counts are `passages`, `passages_without_words`, and per language `asked`, `kept`,
        `dropped` (blank or repeated), `passages_without`, and what the generator itself counts, each as
        `name.lang`.
    Raises:
        UsageError: an unknown language, no language, a number below 1, workers that cannot open the
            generator, or a folder of something else.
        DataError: no passages, a text that is not valid Unicode, or (on resume) other passages than before.
    """
    order = Order(check_languages(generator, languages), per_language, seed)
    _check(order, generator, shard_size, workers, reopen)
    shards = _shards(passages if progress is None else progress(passages, "generating", None), shard_size)
    settings = {
        "generator": dict(generator.signature),
        "languages": list(order.languages),
        "per_language": per_language,
        "seed": seed,
        "shard_size": shard_size,
    }
    first = next(shards, None)
    if first is None:
        raise DataError(f"{folder}: nothing to generate for, the source holds no passages")
    writer = ShardWriter(folder, KIND, settings, overwrite=overwrite)
    todo = (shard for shard in chain([first], shards) if not writer.done(shard.number, shard.source))
    made = (
        _one_by_one(todo, generator, order, folder / JOURNAL)
        if workers == 1 or reopen is None
        else make_in_processes(((s, s.passages) for s in todo), reopen, order, workers)
    )
    with contextlib.closing(made):
        for shard, (queries, counts) in made:
            files = {"queries.parquet": partial(write_queries, queries=queries)}
            writer.write(shard.number, shard.source, files, counts)
    (folder / JOURNAL).unlink(missing_ok=True)
    return writer.finish()


def plan_generation(
    passages: Iterable[Passage],
    generator: Generator,
    languages: Sequence[str],
    per_language: int,
    *,
    shard_size: int = SHARD_SIZE,
    workers: int = 1,
) -> GenerationPlan:
    """Passages, queries, bytes, hours and tokens of a run, from a try of about two seconds; see `plan`.

    Raises:
        UsageError: a language the generator does not write.
        DataError: no passages.
    """
    order = Order(check_languages(generator, languages), per_language, 0)
    return plan(passages, generator, order, shard_size=shard_size, workers=workers)


def check_languages(generator: Generator, languages: Iterable[str]) -> tuple[str, ...]:
    """Canonical codes in the order given.

    Raises:
        UsageError: one the generator does not write, or none.
    """
    wanted = tuple(dict.fromkeys(map(canonical, languages)))
    for lang in wanted:
        if lang not in generator.languages:
            raise UsageError(f"the generator does not write {lang!r}; {nearest(lang, generator.languages)}")
    if not wanted:
        raise UsageError(f"no languages given; {nearest('', generator.languages)}")
    return wanted


def _check(
    order: Order, generator: Generator, shard_size: int, workers: int, reopen: Callable[[], Generator] | None
) -> None:
    """Raises UsageError for numbers below 1, and for workers that could not work."""
    if min(order.per_language, shard_size, workers) < 1:
        raise UsageError(
            f"{order.per_language} queries per language, shards of {shard_size}, {workers} workers: "
            "each must be at least 1"
        )
    if workers > 1 and isinstance(generator, Journalling):
        raise UsageError(
            f"{workers} workers: this generator asks many passages at a time itself (concurrency)"
        )
    if workers > 1 and reopen is None:
        raise UsageError(f"{workers} workers: pass `reopen`, which opens the generator in each of them")


def _one_by_one(
    todo: Iterable[_Shard], generator: Generator, order: Order, journal: Path
) -> Stream[tuple[_Shard, Made], None, None]:
    """In this process; the journal of a shard goes when the shard has been written."""
    for shard in todo:
        kept = generator.journal(journal) if isinstance(generator, Journalling) else contextlib.nullcontext()
        with kept:
            yield shard, make_queries(shard.passages, generator, order)
        journal.unlink(missing_ok=True)


def _shards(passages: Iterable[Passage], size: int) -> Iterator[_Shard]:
    stream = iter(passages)
    number = 0
    while shard := list(islice(stream, size)):
        source = digest_texts(text for p in shard for text in (p.doc_id, p.lang, p.title, p.text))
        yield _Shard(number, source, shard)
        number += 1
