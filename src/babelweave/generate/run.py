"""A collection through a generator, into a file of queries: resumable, seeded, counted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from babelweave.artifact import Manifest, ShardWriter, digest_texts
from babelweave.data.languages import canonical
from babelweave.errors import DataError, UsageError, nearest
from babelweave.generate.queries import KIND, write_queries
from babelweave.protocols import Generator
from babelweave.records import GeneratedQuery, Passage

SHARD_SIZE = 1024
"""Passages of a shard: asked for in one call per language, and lost at most by a kill."""

Progress = Callable[[Iterable[Passage], str, int | None], Iterable[Passage]]


@runtime_checkable
class Accountant(Protocol):
    """A generator that can also say what it could not do."""

    def account(self, passages: Sequence[Passage], lang: str) -> Mapping[str, int]:
        """name -> count over these passages, for instance terms without a translation."""
        ...


class GenerationPlan(NamedTuple):
    """What a run will write, known before it starts."""

    n_passages: int
    n_queries: int
    """Asked for; a generator may find fewer."""
    n_shards: int
    disk_bytes: int
    """Extrapolated from the first passages."""


def generate_queries(
    passages: Iterable[Passage],
    generator: Generator,
    languages: Sequence[str],
    per_language: int,
    folder: Path,
    *,
    seed: int = 0,
    shard_size: int = SHARD_SIZE,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Manifest:
    """Write at most `per_language` queries per passage and language; killed, it resumes to the same bytes.

    Args:
        passages: streamed once, in the order in which the vectors will be woven.
        generator: its signature is kept in the manifest.
        languages: codes of any source; each must be among the generator's.
        folder: where; absent, empty, or holding the unfinished queries of the same call.
        seed: of all that is random.
    Returns:
        The manifest; its counts are `passages`, and per language `asked`, `kept`, `dropped` (blank or
        repeated), `passages_without`, and what the generator itself counts, each as `name.lang`.
    Raises:
        UsageError: an unknown language, no language, `per_language` below 1, or a folder of something else.
        DataError: no passages, or (on resume) other passages than before.
    """
    wanted = check_languages(generator, languages)
    if per_language < 1 or shard_size < 1:
        raise UsageError(f"{per_language} queries per language, shards of {shard_size}: must be at least 1")
    shards = _shards(passages if progress is None else progress(passages, "generating", None), shard_size)
    settings = {
        "generator": dict(generator.signature),
        "languages": list(wanted),
        "per_language": per_language,
        "seed": seed,
        "shard_size": shard_size,
    }
    first = next(shards, None)
    if first is None:
        raise DataError(f"{folder}: nothing to generate for, the source holds no passages")
    writer = ShardWriter(folder, KIND, settings, overwrite=overwrite)
    for number, shard in enumerate(chain([first], shards)):
        source = digest_texts(text for p in shard for text in (p.doc_id, p.lang, p.content))
        if writer.done(number, source):
            continue
        queries, counts = _generate(shard, generator, wanted, per_language, seed)
        writer.write(number, source, {"queries.parquet": partial(write_queries, queries=queries)}, counts)
    return writer.finish()


def plan_generation(
    passages: Iterable[Passage],
    generator: Generator,
    languages: Sequence[str],
    per_language: int,
    *,
    shard_size: int = SHARD_SIZE,
    sample: int = 32,
) -> GenerationPlan:
    """Count the passages and extrapolate the bytes from the queries of the first `sample` of them.

    Raises:
        UsageError: a language the generator does not write.
        DataError: no passages.
    """
    wanted = check_languages(generator, languages)
    stream = iter(passages)
    head = list(islice(stream, sample))
    if not head:
        raise DataError("nothing to generate for, the source holds no passages")
    queries, _ = _generate(head, generator, wanted, per_language, seed=0)
    sample_bytes = sum(len(f"{q.doc_id}{q.lang}{q.query}".encode()) for q in queries)
    n = len(head) + sum(1 for _ in stream)
    ratio = 0.4  # what zstd leaves of short multilingual texts with repeated ids, to about a factor 1.5
    return GenerationPlan(
        n, n * len(wanted) * per_language, -(-n // shard_size), round(sample_bytes / len(head) * n * ratio)
    )


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


def _generate(
    shard: Sequence[Passage], generator: Generator, languages: Sequence[str], n: int, seed: int
) -> tuple[list[GeneratedQuery], dict[str, int]]:
    """The queries of a shard, passage by passage, then language, then rank; and its counts."""
    counts = {"passages": len(shard)}
    kept: list[dict[str, list[str]]] = [{} for _ in shard]
    for lang in languages:
        lists = generator.generate(shard, lang, n, seed)
        if len(lists) != len(shard):
            raise DataError(f"the generator gave {len(lists)} lists for {len(shard)} passages")
        n_given = 0
        for place, queries in zip(kept, lists, strict=True):
            n_given += len(queries)
            place[lang] = list(dict.fromkeys(q for q in map(str.strip, queries) if q))[:n]
        n_kept = sum(len(place[lang]) for place in kept)
        counts |= {
            f"asked.{lang}": len(shard) * n,
            f"kept.{lang}": n_kept,
            f"dropped.{lang}": n_given - n_kept,
            f"passages_without.{lang}": sum(not place[lang] for place in kept),
        }
        if isinstance(generator, Accountant):
            counts |= {f"{k}.{lang}": v for k, v in generator.account(shard, lang).items()}
    rows = [
        GeneratedQuery(p.doc_id, lang, rank, query)
        for p, place in zip(shard, kept, strict=True)
        for lang in languages
        for rank, query in enumerate(place[lang])
    ]
    return rows, counts


def _shards(passages: Iterable[Passage], size: int) -> Iterator[list[Passage]]:
    stream = iter(passages)
    while shard := list(islice(stream, size)):
        yield shard
