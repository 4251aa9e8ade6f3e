"""R@2kt against a second, plain writing of the official rules over NLTK's own `word_tokenize`."""

from __future__ import annotations

import nltk
import numpy as np
import pytest

from babelweave.evaluate.token_recall import sentence_splitter, token_recall, tokenise
from babelweave.records import Query, Run

TEXTS = [
    'Good muffins cost $3.88 in New York. "Please," he said, "buy me two of them." Thanks!',
    "I can't believe it's Dr. Smith's — he cannot, won't, and didn't go (1914–1918) [1].",
    "О'Нил родился в 1941 году... Москва, столица России; 50% населения & AT&T @ #1?",
    "東京は日本の首都です。人口は1,400万人。「大阪」も大きい。",
    "عاصمة فرنسا هي باريس، وهي «مدينة النور». عدد السكان: 2,1 مليون.",
    "ঢাকা বাংলাদেশের রাজধানী। It's 10:30 a.m. -- 'tis the gonna-wanna ``quoted'' '60s; e.g. this...",
]


@pytest.mark.parametrize("text", TEXTS)
def test_tokens_are_word_tokenizes_of_each_sentence(text: str) -> None:
    splitter = sentence_splitter()
    expected = [t for s in splitter.split(text) for t in nltk.word_tokenize(s, preserve_line=True)]
    assert tokenise(text, splitter) == expected


@pytest.mark.parametrize("seed", range(3))
def test_hits_follow_the_rules_as_the_official_script_states_them(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pieces = " ".join(TEXTS).split()
    split = sentence_splitter().split
    texts = {f"d{i}": " ".join(rng.choice(pieces, rng.integers(20, 200))) for i in range(40)}
    queries, ids, ranked = [], [], []
    for i in range(60):
        start = int(rng.integers(0, len(pieces) - 3))
        answers = [
            " ".join(pieces[start : start + int(rng.integers(1, 3))]),
            str(rng.choice(["yes", "no", "2,1"])),
        ]
        queries.append(Query(f"q{i}", "?", str(rng.choice(["ar", "ko"])), tuple(answers)))
        ids.append(f"q{i}")
        ranked.append(tuple(f"d{j}" for j in rng.permutation(40)[: rng.integers(0, 30)]))
    run = Run(tuple(ids), tuple(ranked), tuple(tuple(-float(k) for k in range(len(r))) for r in ranked))

    tokens_of = {
        doc: [t for s in split(text) for t in nltk.word_tokenize(s, preserve_line=True)]
        for doc, text in texts.items()
    }
    expected = {}
    for query, docs in zip(queries, ranked, strict=True):
        spans = [a for a in query.answers if a != "yes" and a != "no"]
        tokens = [token for doc in docs for token in tokens_of[doc]]
        read = " ".join(tokens[:2000])
        expected[query.query_id] = float(any(span in read for span in spans))

    found = token_recall(queries, run, texts)
    assert dict(zip(found.scores.query_ids, found.scores.values.tolist(), strict=True)) == expected
    assert 0 < found.scores.mean < 1
