"""OpenAI-compatible services: the address, the key, and what their refusals mean."""

from __future__ import annotations

import email.utils
import os
import re
import time
from collections.abc import Mapping

import httpx

from babelweave.errors import BabelweaveError, DataError, UsageError

RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses after which the same request may succeed."""

FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 60.0
_HEADER_TEXT = re.compile(r"[!-~]*")


class Endpoint:
    """One path of a service. Its text form is the address; the key is shown nowhere.

    Args:
        url: base address, up to and including `/v1`.
        path: what is asked below it, "/embeddings" for instance.
        model: as the server calls it, for messages.
        key_env: environment variable that holds the key; None takes OPENAI_API_KEY where it is set.
    Raises:
        UsageError: an address that is not http(s), or a key that is not set or no header.
    """

    def __init__(self, url: str, path: str, model: str, key_env: str | None = None) -> None:
        self.address, self._model = _address(url, path), model
        self._key = os.environ.get(key_env or "OPENAI_API_KEY", "")
        if key_env and not self._key:
            raise UsageError(f"key_env={key_env}: that environment variable is not set")
        if not _HEADER_TEXT.fullmatch(self._key):  # the HTTP library would show it in its error
            raise UsageError(
                f"{key_env or 'OPENAI_API_KEY'}: the key holds blanks or is not ASCII; set it anew"
            )

    def __str__(self) -> str:
        return self.address

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._key}"} if self._key else {}

    def excerpt(self, body: bytes) -> str:
        """The start of an error page, without the key should the server repeat it."""
        text = " ".join(body.decode("utf-8", "replace").split())
        return (text.replace(self._key, "***") if self._key else text)[:200]

    def refusal(self, status: int, failure: str) -> BabelweaveError:
        """The error of a status that another try would not change."""
        if status in (401, 403):
            hint = "the key is refused" if self._key else "it wants a key, set OPENAI_API_KEY or key_env=NAME"
            return UsageError(f"{self}: {hint} ({failure})")
        if status == 404:
            return UsageError(f"{self}: no model {self._model!r}, or no such address ({failure})")
        return DataError(f"{self} refused the request ({failure})")

    def asked_wait(self, headers: Mapping[str, str]) -> float | None:
        """Seconds that Retry-After asks for, given as seconds or as a date; None where it does not.

        Raises:
            BabelweaveError: more than `LONGEST_WAIT_S`.
        """
        asked = headers.get("retry-after", "").strip()
        if not asked:
            return None
        try:
            seconds = float(asked)
        except ValueError:
            try:
                seconds = email.utils.parsedate_to_datetime(asked).timestamp() - time.time()
            except ValueError:
                return None
        if not seconds <= LONGEST_WAIT_S:
            raise BabelweaveError(
                f"{self} asks to wait {asked}; run the same command again then, finished parts are kept"
            )
        return max(seconds, 0.0)


def _address(url: str, path: str) -> str:
    try:
        parts = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise UsageError(f"url={url!r}: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.host:
        raise UsageError(f"url={url!r}: expected http://host/v1 or https://host/v1")
    if parts.userinfo:
        raise UsageError("url: a password does not belong into it; put the key into an environment variable")
    return str(parts.copy_with(path=parts.path.rstrip("/") + path))
