"""The publishers' real training texts: how many there are, what is dropped, and which leak."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from babelweave.data.leaks import check_recipe_leaks
from babelweave.data.parallel.read import card, passages, read_parallel
from babelweave.data.relevance import card as relevance_card
from babelweave.data.relevance import read_relevance

pytestmark = pytest.mark.data


@pytest.mark.parametrize(
    ("name", "n_pairs", "some_languages", "dropped"),
    [
        ("mintaka", 16_000, {"de": 2000, "hi": 2000}, {}),
        ("mkqa", 74_290, {"fi": 6755, "zh": 6756}, {"identical to English": 48}),
        (
            "ntrex128",
            94_415,  # 48 translations of 1,997 sentences; two into Spanish that agree on 1,391 or so
            {"vi": 1997, "zh": 1997, "zh-Hant": 1997, "de": 1995, "es": 2595},
            {"identical to English": 50, "repeated": 1391},
        ),
        (
            "pawsx",
            45_429,
            {"de": 7472, "zh": 7238},
            {"NS rows": 339, "repeated": 1887, "identical to English": 6},
        ),
        ("sib200", 39_156, {"vi": 1004, "zh-Hant": 1004}, {}),
        (
            "tico19",
            112_189,
            {"kr": 3065, "hi": 3069, "ti": 7894},
            {"repeated": 1313, "identical to English": 50, "longer than 1000 characters": 38},
        ),
        (
            "xor-tydi",
            32_167,
            {"ko": 4540, "te": 4760},
            {
                "questions of XOR-Retrieve dev": 50,
                "repeated": 247,
                "identical to English": 412,
                "blank": 1,
            },
        ),
    ],
)
def test_parallel_text(
    data_root: Path, name: str, n_pairs: int, some_languages: dict[str, int], dropped: dict[str, int]
) -> None:
    stream = read_parallel(name, data_root)
    counts = Counter(pair.lang for pair in stream)
    assert counts.total() == n_pairs
    assert tuple(sorted(counts)) == card(name).languages
    assert {lang: counts[lang] for lang in some_languages} == some_languages
    found = {reason.removesuffix(" dropped"): n for reason, n in stream.counts.items()}
    found.pop("CSV quoting undone", None)
    assert found == dropped


def test_tatoeba(data_root: Path) -> None:
    counts = Counter(p.lang for p in read_parallel("tatoeba", data_root, ["sr", "sr-Latn", "vi", "sl"]))
    assert counts == {"sr": 1135, "sr-Latn": 7014, "vi": 2306, "sl": 10}


def test_joined_passages(data_root: Path) -> None:
    joined = list(passages(read_parallel("ntrex128", data_root, ["de", "zh"]), 3))
    # 1,997 sentences in 123 documents of which some end with one or two sentences.
    assert Counter(p.lang for p in joined) == {"de": 667, "zh": 669}
    assert joined[0].document == "bbc.381790"
    assert joined[0].english.startswith("Welsh AMs worried about 'looking like muppets' There is constern")


@pytest.mark.parametrize(
    ("name", "n_passages", "n_questions"),
    [
        ("arcd", 460, 1395),
        ("cmrc2018", 1104, 4219),
        ("drcd", 2000, 7017),
        ("iapp", 1904, 7242),
        ("jaquad", 11_144, 35_687),
        ("nq", 2597, 2651),
        ("squad", 18_780, 87_121),
        ("tydi", 10_795, 13_146),
    ],
)
def test_training_questions(data_root: Path, name: str, n_passages: int, n_questions: int) -> None:
    data = read_relevance(name, data_root)
    queries = list(data.queries)
    assert (len(list(data.passages)), len(queries)) == (n_passages, n_questions)
    assert data.qrels["train"].keys() == {query.query_id for query in queries}
    assert tuple(sorted({query.lang for query in queries})) == relevance_card(name).languages


def test_leaks(data_root: Path) -> None:
    """Three Wikipedia articles of CMRC 2018 are also MLQA's; two questions of TyDi are XOR-Retrieve's."""
    report = check_recipe_leaks(["cmrc2018", "tydi"], data_root, ["mlqa-test", "xor-dev"])
    found = [(leak.training, leak.kind, leak.evaluation, leak.overlap) for leak in report.leaks]
    assert found == [
        *[("cmrc2018", "passage", "mlqa-test", 1.0)] * 3,
        *[("tydi", "question", "xor-dev", 1.0)] * 2,
    ]
    data = read_relevance("cmrc2018", data_root, exclude=report.exclusions)
    assert data.counts["passages excluded as leaks"] == 3
    assert check_recipe_leaks(["arcd", "drcd"], data_root, ["xor-dev", "xquad-r"]).leaks == ()
