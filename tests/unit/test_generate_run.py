"""A run over shards: counts, workers, estimates, what is not sent, and SPECs."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import lexicon_cases
import tiny_generators
from babelweave.artifact import read_manifest
from babelweave.errors import BabelweaveError, DataError, UsageError
from babelweave.generate.lexical import LexicalGenerator
from babelweave.generate.plan import plan
from babelweave.generate.queries import GeneratedQueries
from babelweave.generate.run import generate_queries, plan_generation
from babelweave.generate.shard import Order, make_queries
from babelweave.generate.spec import open_generator
from babelweave.records import Passage
from scripted_generators import Scripted, deadly, poisoned

PASSAGES = [p._replace(doc_id=f"{p.doc_id}-{i}") for i in range(6) for p in lexicon_cases.PASSAGES]


class TestShard:
    def test_counts(self) -> None:
        answers = {"a": ["x ", "x", " ", "y  z"], "b": [], "c": ["1", "2", "3", "4"]}
        passages = [Passage(i, f"text {i}", "en") for i in answers]
        generator = Scripted(lambda p, _: answers[p.doc_id])
        generator.totals["input_tokens"] = 77  # of earlier calls
        made = make_queries(passages, generator, Order(["de", "ar"], 3, 0))
        assert [(q.doc_id, q.lang, q.rank, q.query) for q in made.queries[:4]] == [
            ("a", "de", 0, "x"),
            ("a", "de", 1, "y z"),
            ("a", "ar", 0, "x"),
            ("a", "ar", 1, "y z"),
        ]
        assert {k: v for k, v in made.counts.items() if not k.endswith(".ar")} == {
            "passages": 3,
            "passages_without_words": 0,
            "asked.de": 9,
            "kept.de": 5,
            "dropped.de": 3,
            "passages_without.de": 1,
            "input_tokens.de": 30,
            "output_tokens.de": 27,
        }

    def test_passages_without_words_are_counted_and_not_sent(self) -> None:
        texts = ["", "...", " \n", "→ ★ !?", "٣", "字", "é"]
        generator = Scripted(lambda p, _: [p.text])
        made = make_queries([Passage(t, t, "en") for t in texts], generator, Order(["de"], 1, 0))
        assert generator.calls == [(["٣", "字", "é"], "de")]
        assert made.counts["passages_without_words"] == 4
        assert made.counts["passages_without.de"] == 4
        assert made.counts["asked.de"] == 7
        titled = make_queries([Passage("d", "...", "en", "Title")], generator, Order(["de"], 1, 0))
        assert titled.counts["passages_without_words"] == 0

    def test_broken_unicode_names_its_passage(self) -> None:
        with pytest.raises(DataError, match="passage 'd7' is not valid Unicode"):
            make_queries([Passage("d7", "a \ud800", "en")], Scripted(lambda *_: []), Order(["de"], 1, 0))

    def test_a_generator_that_loses_passages(self) -> None:
        class Forgets(Scripted):
            def generate(self, passages: Sequence[Passage], lang: str, n: int, seed: int) -> list[list[str]]:
                return super().generate(passages, lang, n, seed)[1:]

        with pytest.raises(DataError, match="5 lists for 6 passages"):
            make_queries(
                [Passage(str(i), "x", "en") for i in range(6)], Forgets(lambda *_: []), Order(["de"], 1, 0)
            )


class TestPlan:
    def test_extrapolates_from_a_try(self) -> None:
        generator = Scripted(lambda p, lang: ["q" * 40, "r" * 40], seconds=0.002)
        passages = [Passage(f"d{i:03}", "text", "en") for i in range(100)]
        found = plan(iter(passages), generator, Order(["de", "ar"], 2, 0), shard_size=30, workers=2)
        assert (found.n_passages, found.n_queries, found.n_shards) == (100, 400, 4)
        assert (found.input_tokens, found.output_tokens) == (2000, 1200)
        assert found.disk_bytes == round(400 * (40 + 4 + 2) * 0.4)
        assert found.hours is not None
        assert found.hours * 3600 >= 0.002 * 200 / 2
        assert found.cost is None
        assert [(len(ids), lang) for ids, lang in generator.calls] == [
            (1, "de"),  # opens the language
            (1, "de"),
            (1, "ar"),
            (2, "ar"),
            (4, "de"),
            (8, "ar"),
            (16, "de"),
            (1, "ar"),
        ]

    def test_a_slow_generator_is_not_tried_for_long(self) -> None:
        generator = Scripted(lambda *_: ["q"], seconds=1.2)
        passages = [Passage(str(i), "text", "en") for i in range(50)]
        plan_generation(passages, generator, ["de"], 1)
        assert [len(ids) for ids, _ in generator.calls] == [1, 1, 2]

    def test_what_opens_once_is_not_counted_for_every_passage(self) -> None:
        class Opens(Scripted):
            def generate(self, passages: Sequence[Passage], lang: str, n: int, seed: int) -> list[list[str]]:
                time.sleep(0.0 if self.calls else 2.1)  # longer than is tried
                return super().generate(passages, lang, n, seed)

        passages = [Passage(str(i), "text", "en") for i in range(1000)]
        found = plan_generation(passages, Opens(lambda *_: ["q"]), ["de"], 1)
        assert found.hours is not None
        assert found.hours * 3600 < 200  # 2,100 s where opening is counted

    def test_nothing_to_plan(self) -> None:
        with pytest.raises(DataError, match="no passages"):
            plan_generation([], Scripted(lambda *_: []), ["de"], 1)


@pytest.fixture(scope="module")
def lexicon(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lexicon") / "lexicon.tsv"
    path.write_text("".join("\t".join(row) + "\n" for row in lexicon_cases.ROWS))
    return path


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir()}


class TestWorkers:
    def test_any_number_gives_the_same_bytes(self, lexicon: Path, tmp_path: Path) -> None:
        reopen = partial(open_generator, f"lexical?lexicon={lexicon}")
        run = partial(generate_queries, PASSAGES, reopen(), ["de", "ar"], 2, shard_size=4)
        run(folder=tmp_path / "one")
        run(folder=tmp_path / "two", workers=2, reopen=reopen)
        assert bytes_of(tmp_path / "one") == bytes_of(tmp_path / "two")

        def cut() -> Iterator[Passage]:
            yield from PASSAGES[:17]
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            generate_queries(
                cut(), reopen(), ["de", "ar"], 2, tmp_path / "cut", shard_size=4, workers=2, reopen=reopen
            )
        run(folder=tmp_path / "cut")
        assert bytes_of(tmp_path / "cut") == bytes_of(tmp_path / "one")

    def test_models_too(self, tmp_path: Path) -> None:
        folder = tiny_generators.build("mt5", tmp_path / "model")
        reopen = partial(open_generator, f"{folder}?max_new_tokens=6&precision=float32")
        passages = [p._replace(doc_id=f"{i}") for i, p in enumerate(tiny_generators.PASSAGES * 2)]
        run = partial(generate_queries, passages, reopen(), ["de"], 2, shard_size=3)
        assert run(folder=tmp_path / "one").files == run(tmp_path / "two", workers=2, reopen=reopen).files

    def test_an_error_in_a_worker_is_that_error(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="the passage is poison"):
            generate_queries(
                PASSAGES, poisoned(), ["de"], 1, tmp_path / "g", shard_size=4, workers=2, reopen=poisoned
            )

    def test_a_worker_that_dies(self, tmp_path: Path) -> None:
        with pytest.raises(BabelweaveError, match="a worker process died"):
            generate_queries(
                PASSAGES, deadly(), ["de"], 1, tmp_path / "g", shard_size=4, workers=2, reopen=deadly
            )

    def test_bad_requests(self, tmp_path: Path) -> None:
        generator = LexicalGenerator(lexicon=lexicon_cases.lexicon())
        with pytest.raises(UsageError, match="reopen"):
            generate_queries(PASSAGES, generator, ["de"], 1, tmp_path / "g", workers=2)
        with pytest.raises(UsageError, match="0 workers"):
            generate_queries(PASSAGES, generator, ["de"], 1, tmp_path / "g", workers=0)


class TestSpec:
    def test_names_folders_and_arguments(self, lexicon: Path, tmp_path: Path) -> None:
        model = tiny_generators.build("mt5", tmp_path / "model")
        for spec, name in [
            (f"lexical?lexicon={lexicon}&terms=3", "lexical"),
            (f"{model}?max_new_tokens=5", "seq2seq"),
            (f"seq2seq:{model}?decoding=greedy", "seq2seq"),
            ("chat:qwen?url=http://127.0.0.1:9/v1&cap_tokens=10", "chat"),
        ]:
            assert open_generator(spec).signature["name"] == name

    @pytest.mark.parametrize(
        ("spec", "error", "message"),
        [
            ("lexicl", UsageError, "did you mean 'lexical'"),
            ("lexical:x", UsageError, "takes nothing after a colon"),
            ("seq2seq", UsageError, "expected seq2seq:FOLDER_OR_ID"),
            ("chat:", UsageError, "expected chat:MODEL"),
            ("chat:m?temprature=1", UsageError, "did you mean 'temperature'"),
            ("chat:m?temperature=hot", UsageError, "not a number"),
            ("./nowhere", DataError, "no such folder"),
            ("nowhere/nothing", DataError, "neither a registry name nor a folder"),
        ],
    )
    def test_bad_specs(self, spec: str, error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=message):
            open_generator(spec)


def test_a_converted_folder_is_recognised(tmp_path: Path) -> None:
    from babelweave.generate.convert import convert_generator

    convert_generator(str(tiny_generators.build("mt5", tmp_path / "model")), tmp_path / "ct2")
    assert open_generator(f"{tmp_path / 'ct2'}?decoding=greedy").signature["name"] == "ctranslate2"


SLOW = """
import sys, time
from pathlib import Path
import babelweave.generate.run as run
from babelweave.generate.lexical import LexicalGenerator

class Slow(LexicalGenerator):
    def generate(self, *call):
        time.sleep(0.3)
        return super().generate(*call)

sys.path.insert(0, sys.argv[1])
import lexicon_cases
passages = [p._replace(doc_id=f"{p.doc_id}-{i}") for i in range(6) for p in lexicon_cases.PASSAGES]
slow = Slow(lexicon=lexicon_cases.lexicon())
run.generate_queries(passages, slow, ["de", "ar"], 2, Path(sys.argv[2]), shard_size=4)
"""


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGINT])
def test_killed_at_any_moment_it_ends_with_the_same_bytes(blow: signal.Signals, tmp_path: Path) -> None:
    arguments = [sys.executable, "-c", SLOW, str(Path(__file__).parents[1]), str(tmp_path / "g")]
    running = subprocess.Popen(arguments, stderr=subprocess.DEVNULL)
    while not (tmp_path / "g" / "shard-00001.json").exists():
        assert running.poll() is None
        time.sleep(0.02)
    running.send_signal(blow)
    assert running.wait() != 0
    generator = LexicalGenerator(lexicon=lexicon_cases.lexicon())
    run: Any = partial(generate_queries, PASSAGES, generator, ["de", "ar"], 2, shard_size=4)
    run(folder=tmp_path / "g")
    run(folder=tmp_path / "whole")
    assert bytes_of(tmp_path / "g") == bytes_of(tmp_path / "whole")
    assert GeneratedQueries.open(tmp_path / "g").n_queries > 0
    assert read_manifest(tmp_path / "g", "generated", checksums=True).counts["passages"] == 24
