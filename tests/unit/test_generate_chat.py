"""The chat generator against a real HTTP server on loopback that behaves, and one that does not."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import chat_server
from babelweave.artifact import read_manifest
from babelweave.errors import BabelweaveError, DataError, UsageError
from babelweave.generate.budget import Budget, Tokens
from babelweave.generate.chat import ChatGenerator
from babelweave.generate.chat_client import read_questions, read_usage
from babelweave.generate.journal import Journal
from babelweave.generate.queries import GeneratedQueries
from babelweave.generate.run import JOURNAL, generate_queries, plan_generation
from babelweave.records import Passage
from chat_server import ChatServer, Question, Reply, answer, asked, questions

KEY = "sk-secret-0123456789"
PASSAGES = [Passage(f"d{i}", f"text {i}", "en") for i in range(12)]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatServer]:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    running = ChatServer()
    yield running
    running.close()


def chat(server: ChatServer, **options: Any) -> ChatGenerator:
    return ChatGenerator("m", **{"url": server.url, "prompt": chat_server.PROMPT, **options})


def wanted(lang: str = "German", n: int = 2) -> list[list[str]]:
    return [questions(n, lang, p.text) for p in PASSAGES]


def texts(server: ChatServer) -> Counter[str]:
    """How often each passage was asked about."""
    return Counter(asked(q)[2] for q in server.questions)


class TestAsking:
    def test_questions_in_the_order_of_the_passages(self, server: ChatServer) -> None:
        generator = chat(server, temperature=0.5)
        assert generator.generate(PASSAGES, "de", 2, 3) == wanted()
        assert set(server.paths) == {"/v1/chat/completions"}
        sent = server.questions[0]
        assert (sent["model"], sent["seed"], sent["temperature"]) == ("m", 3, 0.5)
        assert sent["max_tokens"] == 256
        assert "top_p" not in sent
        assert generator.totals["input_tokens"] == 1200
        assert generator.totals["output_tokens"] == 240

    def test_concurrency_is_bounded_and_used(self, server: ChatServer) -> None:
        def slow(question: Question) -> None:
            time.sleep(0.05)

        server.behaviour = slow
        chat(server, concurrency=3).generate(PASSAGES, "de", 2, 0)
        assert server.most_at_once == 3

    def test_the_default_prompt_names_language_and_number(self, server: ChatServer) -> None:
        server.behaviour = lambda _: answer('["a?", "b?"]')
        generator = ChatGenerator("m", url=server.url)
        assert generator.generate(PASSAGES[:1], "zh-Hant", 2, 0) == [["a?", "b?"]]
        prompt = server.questions[0]["messages"][0]["content"]
        assert "Write 2 different questions in Chinese (traditional)" in prompt
        assert prompt.endswith("text 0")

    def test_long_passages_are_cut_and_counted(self, server: ChatServer) -> None:
        generator = chat(server, max_characters=6)
        generator.generate([PASSAGES[0], PASSAGES[1]._replace(text="text 1 and more")], "de", 1, 0)
        assert texts(server) == {"text 0": 1, "text 1": 1}
        assert generator.totals["cut_passages"] == 1

    def test_repeated_questions_are_dropped_and_counted(self, server: ChatServer) -> None:
        server.behaviour = lambda _: answer('["a?", " a?", "b?"]')
        generator = chat(server)
        assert generator.generate(PASSAGES[:1], "de", 3, 0) == [["a?", "b?"]]
        assert generator.totals["dropped"] == 1

    def test_within_a_running_loop(self, server: ChatServer) -> None:
        async def notebook() -> list[list[str]]:
            return chat(server).generate(PASSAGES, "de", 2, 0)

        assert asyncio.run(notebook()) == wanted()


class TestTroubles:
    def test_errors_limits_and_lost_connections_are_tried_again(self, server: ChatServer) -> None:
        troubles = iter(
            [
                Reply(500, b"worn out"),
                Reply(429, b"", {"Retry-After": "0.3"}),
                Reply(drops=True),
                Reply(503),
                Reply(body=b"no JSON"),
            ]
        )
        server.behaviour = lambda _: next(troubles, None)
        start = time.perf_counter()
        assert chat(server).generate(PASSAGES, "de", 2, 0) == wanted()
        assert time.perf_counter() - start > 0.3
        assert len(server.questions) == len(PASSAGES) + 5
        assert max(texts(server).values()) <= 3

    def test_retry_after_holds_everybody_back(self, server: ChatServer) -> None:
        arrivals: list[float] = []

        def limit(question: Question) -> Reply | None:
            arrivals.append(time.perf_counter())
            return Reply(429, b"", {"Retry-After": "0.4"}) if len(arrivals) == 1 else None

        server.behaviour = limit
        chat(server, concurrency=1).generate(PASSAGES[:3], "de", 2, 0)
        assert arrivals[1] - arrivals[0] > 0.35

    def test_a_slow_answer_is_given_up(self, server: ChatServer) -> None:
        first = threading.Event()

        def slow_once(question: Question) -> None:
            if not first.is_set():
                first.set()
                time.sleep(1.0)

        server.behaviour = slow_once
        assert chat(server, timeout=0.3).generate(PASSAGES, "de", 2, 0) == wanted()
        assert len(server.questions) == len(PASSAGES) + 1

    def test_junk_is_asked_for_again_with_another_seed_then_counted(
        self, server: ChatServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        def junk_for_one(question: Question) -> Reply | None:
            junk = asked(question)[2] == "text 5"
            return answer("Sure! 1. Was?", {"prompt_tokens": 7, "completion_tokens": 1}) if junk else None

        server.behaviour = junk_for_one
        generator = chat(server, retries=2)
        made = generator.generate(PASSAGES, "de", 2, 10)
        assert made == [[] if i == 5 else qs for i, qs in enumerate(wanted())]
        assert [q["seed"] for q in server.questions if asked(q)[2] == "text 5"] == [10, 11, 12]
        assert generator.totals["failed_passages"] == 1
        assert generator.totals["input_tokens"] == 11 * 100 + 3 * 7
        assert "a passage gets no questions: junk, not the JSON asked for" in caplog.text

    def test_a_refused_passage_is_counted(self, server: ChatServer) -> None:
        server.behaviour = lambda q: Reply(400, b"filtered") if asked(q)[2] == "text 3" else None
        generator = chat(server)
        assert generator.generate(PASSAGES, "de", 2, 0)[3] == []
        assert texts(server)["text 3"] == 1
        assert generator.totals["failed_passages"] == 1

    def test_refusing_all_is_an_error(self, server: ChatServer) -> None:
        server.behaviour = lambda _: Reply(400, b"no such parameter: seed")
        with pytest.raises(DataError, match="none of 3 passages was answered"):
            chat(server).generate(PASSAGES[:3], "de", 2, 0)
        with pytest.raises(DataError, match=r"16 passages in a row failed, .*no such parameter"):
            chat(server).generate(PASSAGES * 3, "de", 2, 0)
        assert len(server.questions) < 3 + len(PASSAGES) * 3

    def test_a_dead_server_stops_the_run(self, server: ChatServer) -> None:
        server.behaviour = lambda _: Reply(500, b"worn out")
        with pytest.raises(
            BabelweaveError, match=r"failed 2 times, last with status 500: worn out"
        ) as raised:
            chat(server, retries=1, concurrency=2).generate(PASSAGES, "de", 2, 0)
        assert raised.value.exit_code == 1
        assert len(texts(server)) == 2

    def test_nobody_listens(self) -> None:
        with pytest.raises(BabelweaveError, match=r"failed 1 times.*ConnectError"):
            ChatGenerator("m", url="http://127.0.0.1:9/v1", retries=0).generate(PASSAGES, "de", 1, 0)

    @pytest.mark.parametrize(
        ("status", "message"), [(401, "it wants a key, set OPENAI_API_KEY"), (404, "no model 'm'")]
    )
    def test_no_key_no_model(self, server: ChatServer, status: int, message: str) -> None:
        server.behaviour = lambda _: Reply(status)
        with pytest.raises(UsageError, match=message):
            chat(server, concurrency=1).generate(PASSAGES, "de", 2, 0)
        assert len(server.questions) == 1

    def test_an_endless_answer_is_junk(self, server: ChatServer) -> None:
        server.behaviour = lambda q: Reply(body=b" " * 3_000_000) if asked(q)[2] == "text 0" else None
        generator = chat(server, retries=0)
        assert generator.generate(PASSAGES[:2], "de", 2, 0)[0] == []

    def test_a_long_wait_is_not_slept_through(self, server: ChatServer) -> None:
        server.behaviour = lambda _: Reply(429, b"", {"Retry-After": "86400"})
        with pytest.raises(BabelweaveError, match="asks to wait 86400"):
            chat(server).generate(PASSAGES, "de", 2, 0)

    def test_the_key_is_sent_and_never_shown(
        self, server: ChatServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setenv("MY_KEY", KEY)
        troubles = iter([Reply(503, KEY.encode()), Reply(401, f"wrong key {KEY}".encode())])
        server.behaviour = lambda _: next(troubles, None)
        generator = chat(server, key_env="MY_KEY", concurrency=1)
        with caplog.at_level(logging.DEBUG), pytest.raises(UsageError, match="the key is refused") as raised:
            generator.generate(PASSAGES[:1], "de", 1, 0)
        assert server.headers[0]["authorization"] == f"Bearer {KEY}"
        assert KEY not in str(raised.value) + caplog.text + json.dumps(dict(generator.signature))

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"url": "ftp://x"}, "url"),
            ({"key_env": "NOT_SET"}, "NOT_SET"),
            ({"prompt": "{n} {text}"}, r"lacks \{language\}"),
            ({"languages": "xx"}, "'xx'"),
            ({"concurrency": 0}, "must be positive"),
            ({"limit_field": "max_token"}, "did you mean 'max_tokens'"),
            ({"cap_cost": 1.0}, "both prices"),
            ({"price_input": 1.0}, "both prices"),
            ({"cap_tokens": -1}, "negative"),
        ],
    )
    def test_bad_options(self, options: dict[str, Any], message: str) -> None:
        with pytest.raises(UsageError, match=message):
            ChatGenerator("m", **options)


class TestParsing:
    @pytest.mark.parametrize(
        "content", ['["a", "b"]', ' ["a",\n"b"] ', '```json\n["a", "b"]\n```', '```\n["a", "b"]```']
    )
    def test_lists(self, content: str) -> None:
        assert read_questions(answer(content).body, 2) == ["a", "b"]

    @pytest.mark.parametrize(
        "content",
        [
            "",
            "a\nb",
            '["a"]',
            '["a", "b", "c"]',
            '["a", ""]',
            '["a", " "]',
            '["a", 1]',
            '["a", null]',
            '{"0": "a", "1": "b"}',
            '{"questions": ["a", "b"]}',
            'Here: ["a", "b"]',
            '["a", "b"] Enjoy!',
            '["a", "\\ud800"]',
            "[" * 100_000,
            "NaN",
        ],
    )
    def test_anything_else_is_junk(self, content: str) -> None:
        with pytest.raises(ValueError, match="not"):
            read_questions(answer(content).body, 2)

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"\xff",
            b"[]",
            b'{"choices": []}',
            b'{"choices": [{"message": {"content": null}}]}',
            b'{"choices": [{"message": {"content": ["a", "b"]}}]}',
        ],
    )
    def test_no_answer_is_junk(self, body: bytes) -> None:
        with pytest.raises(ValueError, match="not the JSON"):
            read_questions(body, 2)

    def test_usage(self) -> None:
        assert read_usage(answer("", {"prompt_tokens": 3, "completion_tokens": 4}).body) == (3, 4)
        for usage in (None, {}, {"prompt_tokens": -1, "completion_tokens": 4}):
            assert read_usage(answer("", usage).body) is None
        assert read_usage(b"no") is None


class TestBudget:
    def test_what_is_under_way_counts_until_it_is_settled(self) -> None:
        budget = Budget(cap_tokens=100)
        assert budget.set_aside(Tokens(40, 20))
        assert not budget.set_aside(Tokens(40, 20))
        assert not budget.is_idle
        budget.settle(Tokens(40, 20), Tokens(30, 5))
        assert budget.is_idle
        assert budget.set_aside(Tokens(40, 25))
        assert not budget.set_aside(Tokens(1, 0))
        assert str(budget) == "35 of 100 tokens"

    def test_cost(self) -> None:
        budget = Budget(cap_cost=0.01, price_read=0.5, price_written=2.0)
        assert budget.cost(Tokens(1000, 500)) == pytest.approx(1.5)
        assert budget.set_aside(Tokens(4, 4))
        assert not budget.set_aside(Tokens(1, 0))
        assert Budget().cost(Tokens(1, 1)) is None

    def test_the_cap_is_kept_and_the_next_run_goes_on(self, server: ChatServer, tmp_path: Path) -> None:
        """An answer takes 120 tokens; a request sets aside its bytes, 64 and 2 x 128 tokens: 336."""
        for _ in range(3):
            before = len(server.questions)
            with pytest.raises(BabelweaveError, match=r"the cap is reached \(360 of 650 tokens\)"):
                generate_queries(PASSAGES, chat(server, cap_tokens=650), ["de"], 2, tmp_path / "g")
            assert len(server.questions) - before == 3
        manifest = generate_queries(PASSAGES, chat(server, cap_tokens=650), ["de"], 2, tmp_path / "g")
        assert texts(server) == {p.text: 1 for p in PASSAGES}
        assert manifest.counts["input_tokens.de"] == 1200

    def test_a_silent_server_is_charged_the_most(self, server: ChatServer) -> None:
        server.behaviour = lambda q: answer(json.dumps(questions(*asked(q))))
        generator = chat(server)
        generator.generate(PASSAGES[:1], "de", 2, 0)
        assert generator.totals["output_tokens"] == 256
        assert generator.totals["input_tokens"] == len(b"2|German||text 0") + 64


class TestRun:
    """Nothing lost, nothing twice."""

    def test_a_server_that_dies_midway(self, server: ChatServer, tmp_path: Path) -> None:
        alive = 7

        def dies(question: Question) -> Reply | None:
            return None if len(server.questions) <= alive else Reply(drops=True)

        server.behaviour = dies
        with pytest.raises(BabelweaveError, match="answers so far are kept"):
            generate_queries(PASSAGES, chat(server, retries=0), ["de", "ar"], 2, tmp_path / "g", shard_size=5)
        answered = Counter((asked(q)[1], asked(q)[2]) for q in server.questions[:alive])
        assert (tmp_path / "g" / JOURNAL).is_file()
        server.behaviour = lambda _: None
        n_before = len(server.questions)
        manifest = generate_queries(
            PASSAGES, chat(server, retries=0), ["de", "ar"], 2, tmp_path / "g", shard_size=5
        )
        again = Counter((asked(q)[1], asked(q)[2]) for q in server.questions[n_before:])
        assert not answered & again, "an answered request was sent again"
        assert answered | again == {(name, p.text): 1 for p in PASSAGES for name in ("German", "Arabic")}
        assert not (tmp_path / "g" / JOURNAL).exists()
        assert manifest.counts["kept.de"] == manifest.counts["kept.ar"] == 24
        assert manifest.counts["input_tokens.de"] == 1200
        generate_queries(PASSAGES, chat(server), ["de", "ar"], 2, tmp_path / "whole", shard_size=5)
        assert read_manifest(tmp_path / "g", "generated").files == (
            read_manifest(tmp_path / "whole", "generated").files
        )
        assert GeneratedQueries.open(tmp_path / "g").n_queries == 48

    def test_an_interrupt_keeps_what_came(self, server: ChatServer, tmp_path: Path) -> None:
        def interrupts(question: Question) -> None:
            if len(server.questions) == 6:
                raise_in_main()
                time.sleep(0.2)

        def raise_in_main() -> None:
            import signal

            signal.raise_signal(signal.SIGINT)

        server.behaviour = interrupts
        with pytest.raises(KeyboardInterrupt):
            generate_queries(PASSAGES, chat(server, concurrency=1), ["de"], 2, tmp_path / "g")
        server.behaviour = lambda _: None
        generate_queries(PASSAGES, chat(server), ["de"], 2, tmp_path / "g")
        assert sum(texts(server).values()) <= len(PASSAGES) + 1  # the one under way is asked again

    def test_the_plan_asks_nothing(self, server: ChatServer) -> None:
        generator = chat(server, price_input=1.0, price_output=10.0)
        plan = plan_generation(PASSAGES * 10, generator, ["de", "ar"], 5)
        assert (plan.n_passages, plan.n_queries) == (120, 1200)
        assert plan.output_tokens == 24 * 1200
        assert plan.input_tokens == pytest.approx(240 * len("5|German||text 0") / 4, rel=0.1)
        assert plan.cost == pytest.approx(plan.input_tokens / 1000 + 288)
        assert plan.hours is None
        assert not server.questions

    def test_workers_are_refused(self, server: ChatServer, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="concurrency"):
            generate_queries(PASSAGES, chat(server), ["de"], 2, tmp_path / "g", workers=2)


class TestJournal:
    def test_a_cut_line_is_dropped(self, tmp_path: Path) -> None:
        path = tmp_path / "j"
        with Journal.open(path) as journal:
            journal.put("a", [["één"], [1, 2]])
            journal.put("b", [["zwei"], [3, 4]])
        whole = path.read_bytes()
        path.write_bytes(whole[:-5])
        with Journal.open(path) as journal:
            assert journal.get("a") == [["één"], [1, 2]]
            assert journal.get("b") is None
            journal.put("b", [["zwei"], [3, 4]])
        assert path.read_bytes() == whole

    def test_without_a_file_nothing_is_kept(self) -> None:
        journal = Journal()
        journal.put("a", 1)
        assert journal.get("a") is None
