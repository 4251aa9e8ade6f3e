"""What a run will take, said before it starts."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle, islice
from typing import NamedTuple, Protocol, runtime_checkable

from babelweave.errors import DataError
from babelweave.generate.shard import Order, make_queries
from babelweave.protocols import Generator
from babelweave.records import Passage

_SAMPLE_S = 2.0
_PACKED = 0.4
"""What zstd leaves of short multilingual texts with repeated ids, to about a factor 1.5."""
_TOKEN_BYTES = 4


@runtime_checkable
class Forecasting(Protocol):
    """A generator that is asked what a call would take, because a call for a sample costs money."""

    def expect(self, passages: Sequence[Passage], lang: str, n: int) -> Mapping[str, int]:
        """`input_tokens` and `output_tokens` of a call."""
        ...

    def cost(self, input_tokens: int, output_tokens: int) -> float | None:
        """In the currency of its prices; None without prices."""
        ...


class GenerationPlan(NamedTuple):
    """What a run will write and take; all but the counts is extrapolated from the first passages."""

    n_passages: int
    n_queries: int
    """Asked for; a generator may find fewer."""
    n_shards: int
    disk_bytes: int
    hours: float | None
    """None for an endpoint: its speed is only known once it is asked."""
    input_tokens: int | None
    output_tokens: int | None
    """None for a generator without tokens."""
    cost: float | None
    """In the currency of the prices given, else None."""


class _Sample(NamedTuple):
    """Sums over the passages looked at, each in one language, and the speed at the last of them."""

    n: int
    n_bytes: int
    tokens: Mapping[str, int]
    seconds_each: float | None


def plan(
    passages: Iterable[Passage],
    generator: Generator,
    order: Order,
    *,
    shard_size: int,
    workers: int = 1,
    sample: int = 32,
) -> GenerationPlan:
    """Count the passages, open the generator, and try it for about two seconds.

    An endpoint is not asked; its tokens are estimated.

    Args:
        sample: at most so many passages are tried or estimated.
        workers: processes that will share the work.
    Raises:
        DataError: no passages.
    """
    stream = iter(passages)
    head = list(islice(stream, sample))
    if not head:
        raise DataError("nothing to generate for, the source holds no passages")
    n = len(head) + sum(1 for _ in stream)
    tried = (
        _forecast(head, generator, order)
        if isinstance(generator, Forecasting)
        else _try(head, generator, order)
    )
    scale = n * len(order.languages) / tried.n
    tokens = {name: round(number * scale) for name, number in tried.tokens.items()}
    seconds = tried.seconds_each
    return GenerationPlan(
        n_passages=n,
        n_queries=n * len(order.languages) * order.per_language,
        n_shards=-(-n // shard_size),
        disk_bytes=round(tried.n_bytes * scale * _PACKED),
        hours=None if seconds is None else seconds * tried.n * scale / 3600 / workers,
        input_tokens=tokens.get("input_tokens"),
        output_tokens=tokens.get("output_tokens"),
        cost=generator.cost(tokens["input_tokens"], tokens["output_tokens"])
        if isinstance(generator, Forecasting)
        else None,
    )


def _try(head: Sequence[Passage], generator: Generator, order: Order) -> _Sample:
    """1, 2, 4, ... passages, each time in another language, until the time is up.

    What is done once for a run or a language, opening a model or its words, is done before the clock starts.
    """
    done = n_bytes = 0
    size, spent, last = 1, 0.0, 0.0
    tokens: dict[str, int] = {}
    opened: set[str] = set()
    for lang in cycle(order.languages):
        chunk = head[done : done + size]
        if not chunk or spent > _SAMPLE_S:
            break
        asked = order._replace(languages=[lang], seed=0)
        if lang not in opened:
            make_queries(chunk[:1], generator, asked)
            opened.add(lang)
        start = time.perf_counter()
        made = make_queries(chunk, generator, asked)
        last = time.perf_counter() - start
        n_bytes += sum(len(f"{q.doc_id}{q.lang}{q.query}".encode()) for q in made.queries)
        for name in ("input_tokens", "output_tokens"):
            if (counted := made.counts.get(f"{name}.{lang}")) is not None:
                tokens[name] = tokens.get(name, 0) + counted
        seconds_each = last / len(chunk)
        done, size, spent = done + len(chunk), 2 * size, spent + last
    return _Sample(done, n_bytes, tokens, seconds_each)


def _forecast(head: Sequence[Passage], generator: Forecasting, order: Order) -> _Sample:
    tokens = generator.expect(head, order.languages[0], order.per_language)
    ids = sum(len(f"{p.doc_id}{order.languages[0]}".encode()) for p in head) * order.per_language
    return _Sample(len(head), ids + _TOKEN_BYTES * tokens["output_tokens"], tokens, None)
