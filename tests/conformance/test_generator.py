"""What every `Generator` promises, over the registry."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

import chat_server
import lexicon_cases
import tiny_generators
from babelweave.errors import UsageError
from babelweave.generate.chat import ChatGenerator
from babelweave.generate.convert import convert_generator
from babelweave.generate.ctranslate2 import CTranslate2Generator
from babelweave.generate.lexical import LexicalGenerator
from babelweave.generate.seq2seq import Seq2SeqGenerator
from babelweave.generate.shard import Counting
from babelweave.generate.spec import open_generator
from babelweave.protocols import Generator
from babelweave.records import Passage
from babelweave.registry import names

PASSAGES = [*lexicon_cases.PASSAGES[:2], lexicon_cases.PASSAGES[0]._replace(doc_id="d5")]
SMALL = {"languages": "de,ar", "max_input_tokens": 64, "max_new_tokens": 8}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("generators")
    tiny_generators.build("mt5", place / "mt5")
    convert_generator(str(place / "mt5"), place / "ct2", quantization="float32")
    return place


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = chat_server.ChatServer()
    yield server.url
    server.close()


Opens = Callable[[Path, str], Generator]
MADE: dict[str, Opens] = {
    "babelweave-mini-qg": lambda folder, url: open_generator("babelweave-mini-qg"),
    "lexical": lambda folder, url: LexicalGenerator(lexicon=lexicon_cases.lexicon()),
    "seq2seq": lambda folder, url: Seq2SeqGenerator(str(folder / "mt5"), precision="float32", **SMALL),
    "seq2seq, beam": lambda folder, url: Seq2SeqGenerator(
        str(folder / "mt5"), precision="float32", decoding="beam", **SMALL
    ),
    "ctranslate2": lambda folder, url: CTranslate2Generator(str(folder / "ct2"), **SMALL),
    "ctranslate2, greedy": lambda folder, url: CTranslate2Generator(
        str(folder / "ct2"), decoding="greedy", **SMALL
    ),
    "chat": lambda folder, url: ChatGenerator("m", url=url, prompt=chat_server.PROMPT, languages="de,ar"),
}
DRAWS_FOR_THE_CALL = {"ctranslate2"}
"""Where one stream of random numbers serves all passages of a call, as the protocol allows."""


def check(generator: Generator, *, alone: bool = True) -> None:
    """The whole contract; raises AssertionError where it is broken."""
    assert isinstance(generator, Generator)
    json.dumps(dict(generator.signature), allow_nan=False)
    assert generator.signature["name"]
    for lang in sorted(generator.languages):
        for n in (1, 4):
            made = generator.generate(PASSAGES, lang, n, 7)
            assert len(made) == len(PASSAGES)
            for queries in made:
                assert len(queries) <= n
                assert len(set(queries)) == len(queries), "queries of a passage must be distinct"
                assert all(q == q.strip() != "" for q in queries)
            assert generator.generate(PASSAGES, lang, n, 7) == made, "the same seed must give the same"
            if alone:
                each = [generator.generate([p], lang, n, 7)[0] for p in reversed(PASSAGES)]
                assert each[::-1] == made, "other passages must not matter"
            assert generator.generate([], lang, n, 7) == []
    if isinstance(generator, Counting):
        assert all(type(total) is int and total >= 0 for total in generator.totals.values())
    with pytest.raises(UsageError):
        generator.generate(PASSAGES, "xx", 1, 0)


@pytest.mark.parametrize("case", MADE)
def test_contract(case: str, folder: Path, url: str) -> None:
    check(MADE[case](folder, url), alone=case not in DRAWS_FOR_THE_CALL)


def test_every_registered_generator_is_tested() -> None:
    assert {case.partition(",")[0] for case in MADE} == set(names("generator"))


class RemembersPassages(LexicalGenerator):
    """Wrong on purpose: the number of passages in the call shows in the queries."""

    def generate(self, passages: Sequence[Passage], lang: str, n: int, seed: int) -> list[list[str]]:
        return [[f"{q} {len(passages)}" for q in qs] for qs in super().generate(passages, lang, n, seed)]


def test_the_suite_can_fail() -> None:
    with pytest.raises(AssertionError, match="other passages"):
        check(RemembersPassages(lexicon=lexicon_cases.lexicon()))
