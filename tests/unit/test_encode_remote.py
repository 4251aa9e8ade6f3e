"""The remote encoder against a real HTTP server on loopback that behaves, and one that does not."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest

from babelweave.encode.remote import RemoteEncoder
from babelweave.errors import BabelweaveError, DataError, UsageError
from babelweave.records import Float32

KEY = "sk-secret-0123456789"
Reply = tuple[int, dict[str, str], bytes]


def vector(text: str, dimension: int = 8) -> Float32:
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")
    return np.random.default_rng(seed).standard_normal(dimension).astype(np.float32)


def good(question: dict[str, Any]) -> Reply:
    """What the protocol asks for; the items in reverse order, as `index` allows."""
    items = []
    for i, text in enumerate(question["input"]):
        row = vector(text, question.get("dimensions", 8))
        base64_wanted = question.get("encoding_format") == "base64"
        embedding: Any = base64.b64encode(row.tobytes()).decode() if base64_wanted else row.tolist()
        items.append({"object": "embedding", "index": i, "embedding": embedding})
    return 200, {}, json.dumps({"data": items[::-1], "model": question["model"]}).encode()


class Server:
    """Answers each request with the next of `replies` (callables of the question), then with `good`."""

    def __init__(self) -> None:
        self.replies: list[Callable[[dict[str, Any]], Reply]] = []
        self.questions: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                server.paths.append(self.path)
                server.questions.append(question)
                server.headers.append({k.lower(): v for k, v in self.headers.items()})
                status, headers, body = (server.replies.pop(0) if server.replies else good)(question)
                try:
                    self.send_response(status)
                    for name, value in {"Content-Length": str(len(body)), **headers}.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(body)
                except (BrokenPipeError, ConnectionResetError):
                    pass  # the client gave up waiting, which some tests are about

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    running = Server()
    yield running
    running.close()


def status(code: int, body: bytes = b"no", **headers: str) -> Callable[[dict[str, Any]], Reply]:
    return lambda _: (code, {k.replace("_", "-"): v for k, v in headers.items()}, body)


def body(data: Any) -> Callable[[dict[str, Any]], Reply]:
    content = data if isinstance(data, bytes) else json.dumps(data).encode()
    return lambda _: (200, {}, content)


TEXTS = [f"text {i}" for i in range(7)]


@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_order_batches_and_roles(server: Server, encoding: Any) -> None:
    encoder = RemoteEncoder(
        "m", url=server.url, batch_size=3, encoding=encoding, prompt_query="q: ", normalise=False
    )
    assert encoder.signature.dimension == 8
    assert encoder.signature.similarity == "dot"
    found = encoder.encode(TEXTS, "query")
    np.testing.assert_allclose(found.vectors, np.stack([vector(f"q: {t}") for t in TEXTS]), rtol=1e-6)
    np.testing.assert_allclose(encoder.encode(TEXTS, "passage").vectors[2], vector("text 2"), rtol=1e-6)
    assert [len(q["input"]) for q in server.questions] == [1, 3, 3, 1, 3, 3, 1]
    assert set(server.paths) == {"/v1/embeddings"}
    assert "dimensions" not in server.questions[0]
    empty = encoder.encode([], "query")
    assert empty.vectors.shape == (0, 8)


def test_unit_length_and_dimensions(server: Server) -> None:
    encoder = RemoteEncoder("m", url=server.url + "/", dimensions=5)
    vectors = encoder.encode(TEXTS, "passage").vectors
    expected = np.stack([vector(t, 5) / np.linalg.norm(vector(t, 5)) for t in TEXTS])
    np.testing.assert_allclose(vectors, expected, atol=1e-6)
    assert encoder.signature.normalised
    assert [q["dimensions"] for q in server.questions] == [5]
    assert encoder.signature.max_tokens_query == 0


def test_truncation_is_said_once(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    encoder = RemoteEncoder("m", url=server.url)
    for _ in range(2):
        assert encoder.encode(TEXTS, "query").n_truncated == 0
    assert caplog.text.count("cannot be counted") == 1


def test_retries_then_succeeds(server: Server) -> None:
    server.replies = [status(429, Retry_After="0.1"), status(503), body(b"")]
    server.replies[2] = status(429, Retry_After=formatdate(time.time() + 1, usegmt=True))
    start = time.perf_counter()
    vectors = RemoteEncoder("m", url=server.url, dimensions=8, retries=3).encode(TEXTS, "query").vectors
    assert len(vectors) == len(TEXTS)
    assert len(server.questions) == 4
    assert time.perf_counter() - start > 1.0  # 0.1 s as asked, then the second wait of 1 s


def test_slow_server_times_out_and_is_asked_again(server: Server) -> None:
    def slow(question: dict[str, Any]) -> Reply:
        time.sleep(0.6)
        return good(question)

    server.replies = [slow]
    encoder = RemoteEncoder("m", url=server.url, dimensions=8, timeout=0.2)
    assert len(encoder.encode(["x"], "query").vectors) == 1
    assert len(server.questions) == 2


def test_gives_up(server: Server) -> None:
    server.replies = [status(500, b"worn out")] * 2
    with pytest.raises(BabelweaveError, match=r"failed 2 times.*500: worn out") as raised:
        RemoteEncoder("m", url=server.url, dimensions=8, retries=1).encode(TEXTS, "query")
    assert raised.value.exit_code == 1


def test_long_wait_is_not_slept_through(server: Server) -> None:
    server.replies = [status(429, Retry_After="86400")]
    with pytest.raises(BabelweaveError, match="asks to wait 86400"):
        RemoteEncoder("m", url=server.url, dimensions=8).encode(TEXTS, "query")


def test_nobody_listens() -> None:
    with pytest.raises(BabelweaveError, match=r"failed 1 times.*ConnectError"):
        RemoteEncoder("m", url="http://127.0.0.1:9/v1", dimensions=8, retries=0).encode(["x"], "query")


def test_key_is_sent_and_never_shown(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    encoder = RemoteEncoder("m", url=server.url, dimensions=8, key_env="MY_KEY")
    server.replies = [status(503, KEY.encode()), status(401, f"wrong key {KEY}".encode())]
    with caplog.at_level(logging.DEBUG), pytest.raises(UsageError, match="the key is refused") as raised:
        encoder.encode(["x"], "query")
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"
    assert KEY not in str(raised.value)
    assert KEY not in caplog.text
    assert KEY not in json.dumps(encoder.signature.to_dict())


@pytest.mark.parametrize("key", [f"{KEY}\n", f"{KEY} x", f"{KEY}\u2019"])
def test_a_key_that_is_no_header_is_refused_and_not_shown(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", key)
    with pytest.raises(UsageError, match="MY_KEY: the key holds blanks or is not ASCII") as raised:
        RemoteEncoder("m", url="http://127.0.0.1:9/v1", key_env="MY_KEY")
    assert KEY not in str(raised.value)


def test_no_key_no_header(server: Server) -> None:
    RemoteEncoder("m", url=server.url, dimensions=8).encode(["x"], "query")
    assert "authorization" not in server.headers[0]
    with pytest.raises(UsageError, match="NOT_SET"):
        RemoteEncoder("m", url=server.url, key_env="NOT_SET")


@pytest.mark.parametrize(
    ("code", "error", "message"),
    [
        (401, UsageError, "it wants a key"),
        (404, UsageError, "no model 'm'"),
        (400, DataError, "refused the request"),
        (301, DataError, "refused the request"),
    ],
)
def test_refusals(server: Server, code: int, error: type[Exception], message: str) -> None:
    server.replies = [status(code)]
    with pytest.raises(error, match=message):
        RemoteEncoder("m", url=server.url, dimensions=8).encode(["x"], "query")
    assert len(server.questions) == 1


@pytest.mark.parametrize(
    "data",
    [
        b"<html>hello</html>",
        b"[" * 100_000,
        b"\xff\xfe",
        {},
        {"data": [{"index": 0, "embedding": [1.0] * 8}]},
        {"data": [{"index": 0, "embedding": [1.0] * 8}] * 2},
        {"data": [{"index": i, "embedding": [1.0] * 8} for i in (0, 2)]},
        {"data": [{"index": i, "embedding": [1.0] * 8} for i in (0, True)]},
        {"data": [{"index": i, "embedding": [1.0] * (7 + i)} for i in range(2)]},
        {"data": [{"index": i, "embedding": []} for i in range(2)]},
        {"data": [{"index": i, "embedding": [[1.0] * 8]} for i in range(2)]},
        {"data": [{"index": i, "embedding": ["x"] * 8} for i in range(2)]},
        {"data": [{"index": i, "embedding": "not base64!"} for i in range(2)]},
        {"data": [{"index": i, "embedding": base64.b64encode(b"12345").decode()} for i in range(2)]},
        {"data": [{"index": i, "embedding": None} for i in range(2)]},
        {"data": [{"index": i, "embedding": [1.0] * 9} for i in range(2)]},
        {"data": [{"index": i, "embedding": [float("nan")] * 8} for i in range(2)]},
        {"data": [{"index": i, "embedding": [1e60] * 8} for i in range(2)]},
        {"data": [{"index": i, "embedding": [0.0] * 8} for i in range(2)]},
    ],
)
def test_junk(server: Server, data: Any) -> None:
    server.replies = [body(data)]
    with pytest.raises(DataError):
        RemoteEncoder("m", url=server.url, dimensions=8).encode(["a", "b"], "query")
    assert len(server.questions) == 1


def test_endless_answer_is_cut_off(server: Server) -> None:
    server.replies = [body(b" " * 3_000_000)]
    with pytest.raises(DataError, match="larger than"):
        RemoteEncoder("m", url=server.url, dimensions=8).encode(["a"], "query")


@pytest.mark.parametrize(
    "url", ["ftp://host/v1", "host/v1", "http://", "http://user:word@host/v1", "http://host:port/v1"]
)
def test_bad_address(url: str) -> None:
    with pytest.raises(UsageError, match="url"):
        RemoteEncoder("m", url=url)
