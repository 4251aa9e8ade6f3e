"""A chat endpoint on loopback that behaves, until a test tells it not to."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

PROMPT = "{n}|{language}|{title}|{text}"
"""A prompt the server reads without guessing."""


class Reply(NamedTuple):
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = {}  # noqa: RUF012
    drops: bool = False
    """Close the connection instead of answering."""


Question = dict[str, Any]
Behaviour = Callable[[Question], Reply | None]


def asked(question: Question) -> tuple[int, str, str]:
    """(n, language, text) of a question written with `PROMPT`."""
    n, language, _, text = question["messages"][0]["content"].split("|", 3)
    return int(n), language, text


def questions(n: int, language: str, text: str) -> list[str]:
    """What the server answers: the same for the same passage, language and n."""
    key = hashlib.sha256(f"{language} {text}".encode()).hexdigest()[:8]
    return [f"{language} {key} {i}?" for i in range(n)]


def answer(content: str, usage: dict[str, int] | None = None) -> Reply:
    """What the protocol asks for."""
    data: dict[str, Any] = {"choices": [{"message": {"role": "assistant", "content": content}}]}
    if usage is not None:
        data["usage"] = usage
    return Reply(body=json.dumps(data).encode())


def good(question: Question) -> Reply:
    n, language, text = asked(question)
    made = questions(n, language, text)
    return answer(json.dumps(made), {"prompt_tokens": 100, "completion_tokens": 10 * n})


class ChatServer:
    """Answers each request with what `behaviour` says, and with `good` where that is None.

    Attributes:
        questions: every request body, in the order of arrival.
        headers: of each request, names in lower case.
        most_at_once: the largest number of requests under way together.
    """

    def __init__(self) -> None:
        self.behaviour: Behaviour = lambda _: None
        self.questions: list[Question] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.most_at_once = 0
        self._n_now = 0
        self._lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with server._lock:
                    server.questions.append(question)
                    server.headers.append({k.lower(): v for k, v in self.headers.items()})
                    server.paths.append(self.path)
                    server._n_now += 1
                    server.most_at_once = max(server.most_at_once, server._n_now)
                try:
                    reply = server.behaviour(question) or good(question)
                finally:
                    with server._lock:
                        server._n_now -= 1
                if reply.drops:
                    self.close_connection = True
                    return
                try:
                    self.send_response(reply.status)
                    for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(reply.body)
                except (BrokenPipeError, ConnectionResetError):
                    pass  # the client gave up waiting, which some tests are about

            def log_message(self, *args: Any) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *args: Any) -> None:
                pass  # a client that hangs up is part of the game

        self._server = Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
