"""Language models behind an OpenAI-compatible `/v1/chat/completions`, asked about many passages at a time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar, get_args

import httpx

from babelweave.artifact import digest_texts
from babelweave.data.languages import canonical
from babelweave.endpoint import Endpoint
from babelweave.errors import BabelweaveError, DataError, UsageError, nearest
from babelweave.generate.budget import Budget, Tokens
from babelweave.generate.chat_client import Answer, ChatClient, PassageError
from babelweave.generate.decoding import distinct
from babelweave.generate.journal import Journal
from babelweave.generate.prompts import CHAT, NAMED, Prompt
from babelweave.records import Passage

logger = logging.getLogger(__name__)
T = TypeVar("T")

LimitField = Literal["max_tokens", "max_completion_tokens"]

_GIVE_UP = 16
"""So many passages refused or answered with junk, one after the other, are no accident."""
_SLOTS = frozenset({"language", "n", "text"})


class _Request(NamedTuple):
    content: str
    key: str
    """Names its answer in the journal."""


class ChatGenerator:
    """A chat model that is asked for n questions per passage and language, as a JSON list.

    Answers are taken only if they are exactly such a list. Others are asked for again; a passage whose
    answers stay junk, or that the server refuses, gets no questions and is counted. A server that keeps
    failing stops the run; what it answered until then is in the journal and not asked for again.

    Whether the same seed gives the same questions is up to the server, and its model's name stands for
    the digest of its weights.

    Args:
        model: as the server calls it.
        url: base address, up to and including `/v1`.
        key_env: environment variable that holds the key; OPENAI_API_KEY is used if it is set.
        prompt: template with `{language}`, `{n}`, `{text}` and perhaps `{title}`; by default `prompts.CHAT`.
        languages: codes separated by commas, of which it may write; by default all that can be named.
        temperature, top_p: sent if given.
        max_new_tokens: of a question; n times as many are allowed for an answer.
        limit_field: the name the server knows that limit by.
        max_characters: of a passage's text; longer ones are cut and counted.
        concurrency: requests under way at a time.
        timeout: seconds until a request without a whole answer counts as failed.
        retries: further tries after 408, 425, 429, 5xx, a timeout, a lost connection or junk. Waits double
            from 0.5 s, shortened at random by up to half, or follow Retry-After up to 60 s.
        cap_tokens: read and written by one invocation; a request that might exceed it is not sent.
        cap_cost: the same in the currency of the prices.
        price_input, price_output: of 1,000 tokens read and written.
    Raises:
        UsageError: no model name, an address that is not http(s), a key that is not set or no header, a
            prompt without its slots, or a number out of range.
    """

    def __init__(
        self,
        model: str,
        *,
        url: str = "https://api.openai.com/v1",
        key_env: str | None = None,
        prompt: str | None = None,
        languages: str | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        max_new_tokens: int = 128,
        limit_field: LimitField = "max_tokens",
        max_characters: int = 8000,
        concurrency: int = 8,
        timeout: float = 120.0,
        retries: int = 5,
        cap_tokens: int | None = None,
        cap_cost: float | None = None,
        price_input: float | None = None,
        price_output: float | None = None,
    ) -> None:
        if not model:
            raise UsageError("a chat generator needs a model name: chat:MODEL?url=http://host/v1")
        if limit_field not in get_args(LimitField):
            known = get_args(LimitField)
            raise UsageError(f"unknown limit_field {limit_field!r}; {nearest(limit_field, known)}")
        if min(max_new_tokens, max_characters, concurrency) < 1 or retries < 0 or not timeout > 0:
            raise UsageError(
                "max_new_tokens, max_characters, concurrency and timeout must be positive, retries at least 0"
            )
        self._prompt = Prompt(CHAT if prompt is None else prompt, _SLOTS, _SLOTS | {"title"})
        self._languages = NAMED if languages is None else frozenset(map(canonical, languages.split(",")))
        self._sampling = {k: v for k, v in (("temperature", temperature), ("top_p", top_p)) if v is not None}
        self._model, self._new_tokens, self._max_characters = model, max_new_tokens, max_characters
        self._concurrency = concurrency
        self._budget = Budget(cap_tokens, cap_cost, price_input, price_output)
        self._endpoint = Endpoint(url, "/chat/completions", model, key_env)
        self._client = ChatClient(
            self._endpoint,
            {"model": model, **self._sampling},
            limit_field,
            timeout,
            retries,
            self._budget,
        )
        self._journal = Journal()
        self._totals: Counter[str] = Counter()
        self._has_answered, self._n_failed_in_a_row = False, 0

    @property
    def signature(self) -> Mapping[str, Any]:
        return {
            "name": "chat",
            "model": self._model,
            "prompt": self._prompt.template,
            **self._sampling,
            "max_new_tokens": self._new_tokens,
            "max_characters": self._max_characters,
        }

    @property
    def languages(self) -> frozenset[str]:
        return self._languages

    @property
    def totals(self) -> Mapping[str, int]:
        """Counted since it was opened: tokens read and written, passages cut and failed, questions dropped
        as repeated."""
        return self._totals

    @contextlib.contextmanager
    def journal(self, path: Path) -> Iterator[None]:
        """Within, answers are kept in `path` as they come, and those it holds are not asked for again."""
        with Journal.open(path) as opened:
            self._journal = opened
            try:
                yield
            finally:
                self._journal = Journal()

    def expect(self, passages: Sequence[Passage], lang: str, n: int) -> Mapping[str, int]:
        """The tokens `generate` would take, without asking: one for 4 bytes of prompt, 24 for a question.

        The first is a rule of thumb for English; other scripts take up to twice as many.
        """
        n_bytes = sum(len(self._request(p, lang, n, 0).content.encode()) for p in passages)
        return {"input_tokens": n_bytes // 4, "output_tokens": 24 * n * len(passages)}

    def cost(self, input_tokens: int, output_tokens: int) -> float | None:
        """In the currency of the prices; None where they were not given."""
        return self._budget.cost(Tokens(input_tokens, output_tokens))

    def generate(self, passages: Sequence[Passage], lang: str, n: int, seed: int) -> list[list[str]]:
        """n distinct questions per passage, fewer where the model repeats itself, none where it failed.

        Raises:
            UsageError: a language it does not write, or the key, the model or the address is refused.
            DataError: many passages in a row failed, or all so far.
            BabelweaveError: the server kept failing, or the cap is reached; run again to go on.
        """
        if lang not in self._languages:
            raise UsageError(f"the generator does not write {lang!r}; {nearest(lang, self._languages)}")
        requests = [self._request(p, lang, n, seed) for p in passages]
        answers = _run(self._answer_all(requests, n, seed))
        made = [[] if answer is None else distinct(answer.questions) for answer in answers]
        self._totals.update(
            cut_passages=sum(len(p.text) > self._max_characters for p in passages),
            dropped=sum(len(a.questions) - len(m) for a, m in zip(answers, made, strict=True) if a),
        )
        return made

    def _request(self, passage: Passage, lang: str, n: int, seed: int) -> _Request:
        cut = passage._replace(text=passage.text[: self._max_characters])
        content = self._prompt.fill(cut, lang, n).text
        return _Request(content, digest_texts([content, str(n), str(seed)]))

    async def _answer_all(self, requests: Sequence[_Request], n: int, seed: int) -> list[Answer | None]:
        """Answers in the order of the requests, None where a passage failed.

        When the run has to stop, nothing new is sent, but what is under way may finish: it is paid for.
        """
        answers: list[Answer | None] = [None] * len(requests)
        todo = iter(enumerate(requests))
        errors: list[BabelweaveError] = []
        self._client.stopping = False

        async def work() -> None:
            for i, request in todo:
                if errors:
                    return
                try:
                    answers[i] = await self._answer(http, request, n, seed)
                except BabelweaveError as error:
                    errors.append(error)
                    self._client.stopping = True

        async with self._client.open() as http, asyncio.TaskGroup() as group:
            for _ in range(self._concurrency):
                group.create_task(work())
        if errors:
            raise errors[0]
        if requests and not self._has_answered:
            raise DataError(f"{self._endpoint}: none of {len(requests)} passages was answered as asked")
        return answers

    async def _answer(self, http: httpx.AsyncClient, request: _Request, n: int, seed: int) -> Answer | None:
        """From the journal, else from the server; None for a passage that failed."""
        if (known := self._journal.get(request.key)) is not None:
            questions, used = known
            answer = Answer(questions, Tokens(*used))
        else:
            try:
                limit = n * self._new_tokens
                answer = await self._client.ask(http, request.content, n, limit, seed, request.key)
            except PassageError as failure:
                self._failed(failure)
                return None
            self._journal.put(request.key, answer)
        self._has_answered, self._n_failed_in_a_row = True, 0
        self._count(answer.used)
        return answer

    def _failed(self, failure: PassageError) -> None:
        self._count(failure.used)
        self._totals["failed_passages"] += 1
        self._n_failed_in_a_row += 1
        logger.warning("%s: a passage gets no questions: %s", self._endpoint, failure)
        if self._n_failed_in_a_row >= _GIVE_UP:
            raise DataError(f"{self._endpoint}: {_GIVE_UP} passages in a row failed, the last: {failure}")

    def _count(self, used: Tokens) -> None:
        self._totals.update(input_tokens=used.read, output_tokens=used.written)


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Its result, also from within a running event loop, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()
