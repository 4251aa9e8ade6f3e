"""What every `Generator` promises, over the registry."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

import lexicon_cases
from babelweave.errors import UsageError
from babelweave.generate.lexical import LexicalGenerator
from babelweave.protocols import Generator
from babelweave.records import Passage
from babelweave.registry import names

MADE = {"lexical": lambda: LexicalGenerator(lexicon=lexicon_cases.lexicon())}
PASSAGES = [*lexicon_cases.PASSAGES, lexicon_cases.PASSAGES[0]._replace(doc_id="d5")]


def check(generator: Generator) -> None:
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
            alone = [generator.generate([p], lang, n, 7)[0] for p in reversed(PASSAGES)]
            assert alone[::-1] == made, "other passages must not matter"
            assert generator.generate([], lang, n, 7) == []
    with pytest.raises(UsageError):
        generator.generate(PASSAGES, "xx", 1, 0)


@pytest.mark.parametrize("name", names("generator"))
def test_contract(name: str) -> None:
    check(MADE[name]())


class RemembersPassages(LexicalGenerator):
    """Wrong on purpose: the number of passages in the call shows in the queries."""

    def generate(self, passages: Sequence[Passage], lang: str, n: int, seed: int) -> list[list[str]]:
        return [[f"{q} {len(passages)}" for q in qs] for qs in super().generate(passages, lang, n, seed)]


def test_the_suite_can_fail() -> None:
    with pytest.raises(AssertionError, match="other passages"):
        check(RemembersPassages(lexicon=lexicon_cases.lexicon()))
