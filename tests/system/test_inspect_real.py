"""What the gates say of questions that people asked: MLQA dev, each about a passage in its own language."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from babelweave.data.mlqa import LANGUAGES, read_subset
from babelweave.data.scripts import script_share
from babelweave.data.words import terms
from babelweave.generate.card import IN_SCRIPT
from babelweave.generate.filters import parse_gates
from babelweave.generate.identify import Identifier
from babelweave.records import Subset

pytestmark = pytest.mark.data
DEFAULTS = parse_gates("copy,length")


@cache
def own_language(data_root: Path, lang: str) -> Subset:
    return read_subset(data_root / "mlqa" / "MLQA_V1.zip", "dev", f"{lang}-{lang}", None)


@pytest.mark.parametrize("lang", LANGUAGES)
def test_their_language_is_identified(lang: str, data_root: Path) -> None:
    questions = [q.text for q in own_language(data_root, lang).queries][:400]
    found = Identifier(LANGUAGES).identify(questions)
    assert np.mean([other == lang for other in found]) >= 0.995
    assert np.mean([script_share(question, lang) >= IN_SCRIPT for question in questions]) >= 0.995


@pytest.mark.parametrize("lang", LANGUAGES)
def test_the_default_gates_let_them_pass(lang: str, data_root: Path) -> None:
    subset = own_language(data_root, lang)
    passage_of = {p.doc_id: p for p in subset.passages}
    lengths, copied = [], []
    for question in subset.queries:
        (doc_id,) = subset.qrels[question.query_id]
        own, there = terms(question.text), set(terms(passage_of[doc_id].content))
        lengths.append(len(own))
        copied.append(np.mean([term in there for term in own]))
    assert DEFAULTS.length is not None
    assert np.mean([n < DEFAULTS.length[0] for n in lengths]) <= 0.005
    assert np.mean([n > DEFAULTS.length[1] for n in lengths]) <= 0.005
    assert np.mean([share > DEFAULTS.copy for share in copied]) <= 0.06
