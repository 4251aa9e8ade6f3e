"""One question to a chat model until it is answered as asked: retries, waits, caps, strict parsing."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import httpx

from babelweave.endpoint import FIRST_WAIT_S, LONGEST_WAIT_S, RETRIED, Endpoint
from babelweave.errors import BabelweaveError
from babelweave.generate.budget import Budget, Tokens

logger = logging.getLogger(__name__)

_REPLY_BYTES = 2**20
_REFUSED_PASSAGE = frozenset({400, 413, 422})
"""Statuses that may be about one passage: too long, or refused by a filter."""
_FENCE = re.compile(r"```(?:json)?\s*(.*?)\s*```", re.DOTALL)
_FRAME_TOKENS = 64
"""What a chat template may put around the prompt."""
_POLL_S = 0.02


class Answer(NamedTuple):
    """n questions, and the tokens they took, junk before them included."""

    questions: list[str]
    used: Tokens


class PassageError(Exception):
    """This passage gets no questions; others may."""

    def __init__(self, why: str, used: Tokens) -> None:
        super().__init__(why)
        self.used = used


class _JunkError(ValueError):
    """An answer that is not what was asked for."""


class _RetryError(Exception):
    """The same request may succeed later, after `wait` seconds where the server said so."""

    def __init__(self, why: str, wait: float | None = None) -> None:
        super().__init__(why)
        self.wait = wait


class ChatClient:
    """`POST {url}/chat/completions` with patience.

    Args:
        endpoint: address and key.
        options: sent with every request: model, temperature, ...
        limit_field: the name the server knows the limit of an answer by.
        timeout: seconds until a request without a whole answer counts as failed.
        retries: further tries of a request.
        budget: asked before each request.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        options: Mapping[str, Any],
        limit_field: str,
        timeout: float,
        retries: int,
        budget: Budget,
    ) -> None:
        self._endpoint, self._options, self._limit_field = endpoint, options, limit_field
        self._timeout, self._retries, self._budget = timeout, retries, budget
        secure = endpoint.address.startswith("https:")
        self._verify = httpx.create_ssl_context() if secure else False  # reads the certificates, so once
        self.stopping = False
        """Set when the run has to stop: requests under way finish, nothing is tried again."""
        self._quiet_until = 0.0

    def open(self) -> httpx.AsyncClient:
        """Connections for one event loop."""
        return httpx.AsyncClient(
            verify=self._verify,
            headers=self._endpoint.headers,
            timeout=self._timeout,
            limits=httpx.Limits(max_connections=None),
        )

    async def ask(
        self, http: httpx.AsyncClient, content: str, n: int, max_tokens: int, seed: int, key: str
    ) -> Answer:
        """n questions. After junk the next seed is asked, since the same may give the same.

        Args:
            key: what the random part of the waits follows from.
        Raises:
            PassageError: the last try was answered with junk, or the server does not take this passage.
            BabelweaveError: the run has to stop, because the server kept failing, asks to wait for long, or
                refuses key, model or address, or because the cap is reached.
        """
        jitter = random.Random(key)
        used = Tokens(0, 0)
        failure: Exception = BabelweaveError("")
        for attempt in range(self._retries + 1):
            wait = min(FIRST_WAIT_S * 2**attempt, LONGEST_WAIT_S) * (1 - jitter.random() / 2)
            question = {
                **self._options,
                "messages": [{"role": "user", "content": content}],
                "seed": seed + attempt,
                self._limit_field: max_tokens,
            }
            try:
                body, tokens = await self._paid(http, question, content, max_tokens)
                used = used.plus(tokens)
                return Answer(read_questions(body, n), used)
            except _JunkError as junk:
                failure, wait = PassageError(f"junk, {junk}", used), 0.0
            except _RetryError as again:
                failure = BabelweaveError(
                    f"{self._endpoint} failed {attempt + 1} times, last with {again}; run the same command "
                    "again later, answers so far are kept"
                )
                wait = wait if again.wait is None else again.wait
            except PassageError as refused:
                raise PassageError(str(refused), used) from refused
            if self.stopping or attempt == self._retries:
                break
            logger.info("%s: %s; trying again in %.1f s", self._endpoint, failure, wait)
            await asyncio.sleep(wait)
        raise failure

    async def _paid(
        self, http: httpx.AsyncClient, question: dict[str, Any], content: str, max_tokens: int
    ) -> tuple[bytes, Tokens]:
        """The body of an answer and its tokens, within the budget.

        A request sets aside the most it can take: no tokenizer makes more than one token of a byte. As much
        is counted where the server does not say what it took, or the answer was lost on the way.
        """
        await asyncio.sleep(max(0.0, self._quiet_until - asyncio.get_running_loop().time()))
        most = Tokens(len(content.encode()) + _FRAME_TOKENS, max_tokens)
        while not self._budget.set_aside(most):
            if self._budget.is_idle:
                raise BabelweaveError(
                    f"the cap is reached ({self._budget}), the next request might exceed it; answers so far "
                    "are kept, run the same command again to go on"
                )
            await asyncio.sleep(_POLL_S)
        used = Tokens(0, 0)
        try:
            async with asyncio.timeout(self._timeout):
                body = await self._post(http, question)
            used = read_usage(body) or most
        except (_JunkError, TimeoutError, httpx.TransportError) as error:
            used = Tokens(0, 0) if isinstance(error, httpx.ConnectError) else most
            if isinstance(error, _JunkError):
                raise
            raise _RetryError(f"{type(error).__name__} {error}".strip()) from error
        finally:
            self._budget.settle(most, used)
        return body, used

    async def _post(self, http: httpx.AsyncClient, question: dict[str, Any]) -> bytes:
        body = bytearray()
        try:
            async with http.stream("POST", self._endpoint.address, json=question) as reply:
                async for chunk in reply.aiter_bytes():
                    body += chunk
                    if len(body) > _REPLY_BYTES:
                        raise _JunkError(f"the answer is larger than {_REPLY_BYTES} bytes")
        except httpx.DecodingError as error:
            raise _JunkError(f"it cannot be decompressed ({error})") from error
        if reply.status_code == 200:
            return bytes(body)
        failure = f"status {reply.status_code}: {self._endpoint.excerpt(bytes(body))}"
        if reply.status_code in RETRIED:
            wait = self._endpoint.asked_wait(reply.headers)
            if wait is not None:  # the others would be turned away as well
                self._quiet_until = max(self._quiet_until, asyncio.get_running_loop().time() + wait)
            raise _RetryError(failure, wait)
        if reply.status_code in _REFUSED_PASSAGE:
            raise PassageError(f"refused, {failure}", Tokens(0, 0))
        raise self._endpoint.refusal(reply.status_code, failure)


def read_usage(body: bytes) -> Tokens | None:
    """The tokens an answer says it took; None where it does not say."""
    try:
        usage = json.loads(body)["usage"]
        used = Tokens(usage["prompt_tokens"], usage["completion_tokens"])
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return used if all(type(x) is int and x >= 0 for x in used) else None


def read_questions(body: bytes, n: int) -> list[str]:
    """The questions of an answer that is a JSON list of n texts, perhaps fenced as code.

    Raises:
        _JunkError: it is anything else.
    """
    try:
        content = json.loads(body)["choices"][0]["message"]["content"]
        fenced = _FENCE.fullmatch(content.strip())
        questions = json.loads(fenced[1] if fenced else content)
        if not isinstance(questions, list) or len(questions) != n:
            raise _JunkError(f"not a list of {n}: {_start(content)}")
        for question in questions:
            if not isinstance(question, str) or not question.strip():
                raise _JunkError(f"not a list of texts: {_start(content)}")
            question.encode()  # a lone surrogate, "\ud800", is no text
    except _JunkError:
        raise
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise _JunkError(f"not the JSON asked for: {_start(body.decode('utf-8', 'replace'))}") from error
    return questions


def _start(text: str) -> str:
    return repr(" ".join(text.split())[:80])
