"""Model cards: what stands in them, that the Hub can read them, and that no folder of the maker is told."""

from __future__ import annotations

from dataclasses import replace

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from babelweave.errors import UsageError
from babelweave.records import EncoderSignature
from babelweave.train.card import (
    Card,
    Fidelity,
    Result,
    TrainingData,
    declared,
    export_card,
    model_card,
    without_folders,
)

SIGNATURE = EncoderSignature(
    name="tiny",
    digest="abc123",
    dimension=384,
    pooling="mean",
    normalised=True,
    similarity="dot",
    prompt_query="query: ",
    prompt_passage="",
    max_tokens_query=64,
    max_tokens_passage=256,
)
CARD = Card(
    name="tiny",
    summary="A small encoder.",
    licence="apache-2.0",
    languages=("en", "zh"),
    base_model="sentence-transformers/all-MiniLM-L6-v2",
    data=(
        TrainingData(
            title="Tatoeba",
            licence="CC BY 2.0 FR",
            languages=("ar", "de"),
            n_examples=12345,
            use="alignment",
            attribution="the contributors of tatoeba.org",
        ),
    ),
    intended_use="Search across languages.",
    limits=("Thai is weak.", "Long | texts are cut."),
    results=(
        Result(
            benchmark="MLQA dev, x-en",
            figures={"RR@10": 0.5034, "R@100": 0.9215},
            n_queries=3000,
            command="babelweave benchmark mlqa --source /home/me/MLQA_V1.zip --encoder tiny --out out",
            commit="ba5c7c3",
        ),
        Result(benchmark="XQuAD-R", figures={"AP": 0.61}, n_queries=1190, command="b", commit="ba5c7c3"),
    ),
    recipe='kind = "distil"\n[data]\nroot = "/home/me/data"\n',
    recipe_digest="def456",
    command="babelweave train ~/recipes/tiny.toml --out ../models/tiny",
)


def text(card: Card = CARD, signature: EncoderSignature = SIGNATURE, weights: str = "float32") -> str:
    return model_card(card, signature, weights=weights, commit="ba5c7c3")


def test_header_is_what_the_hub_reads() -> None:
    _, header, body = text().split("---\n", 2)
    assert yaml.safe_load(header) == {
        "language": ["en", "zh"],
        "license": "apache-2.0",
        "library_name": "sentence-transformers",
        "pipeline_tag": "sentence-similarity",
        "base_model": "sentence-transformers/all-MiniLM-L6-v2",
        "datasets": ["Tatoeba"],
        "tags": list(CARD.tags),
    }
    assert body.startswith("\n# tiny\n\nA small encoder.\n")


@pytest.mark.parametrize(
    "line",
    [
        "| Tatoeba | alignment | 12,345 | ar de | CC BY 2.0 FR | the contributors of tatoeba.org |",
        "| languages | English (en), Chinese (zh) |",
        "| dimensions | 384 |",
        "| pooling | mean |",
        "| compared by | dot product of unit vectors |",
        "| tokens read of a question | 64 |",
        "| tokens read of a passage | 256 |",
        "| prompt of a question | `query: ` |",
        "| prompt of a passage | none |",
        "- Thai is weak.",
        "|  | RR@10 | R@100 | AP | questions |",
        "| MLQA dev, x-en | 50.3 | 92.2 |  | 3000 |",
        "| XQuAD-R |  |  | 61.0 | 1190 |",
        "babelweave benchmark mlqa --source MLQA_V1.zip --encoder tiny --out out  # babelweave ba5c7c3",
        "| weights and tokenizer, sha256 | `abc123` |",
        "| recipe, sha256 | `def456` |",
        "| made with | `babelweave train tiny.toml --out tiny` |",
        "| saved by | babelweave 0.1.0 (commit ba5c7c3) |",
        'root = "data"',
        'model = SentenceTransformer("tiny")',
    ],
)
def test_lines(line: str) -> None:
    assert line in text().splitlines()


def test_same_arguments_same_text() -> None:
    assert text() == text()
    assert text() != text(replace(CARD, summary="Another."))


def test_half_precision_is_told_with_the_way_back() -> None:
    card = text(weights="float16")
    assert 'SentenceTransformer("tiny", model_kwargs={"dtype": "float32"})' in card
    assert "stored in float16" in card
    assert "float16" not in text()


def test_what_is_not_known_is_left_out() -> None:
    bare = Card(name="x", summary="s", licence="mit", languages=("en",), data=(), intended_use="u", limits=())
    card = model_card(
        bare, replace(SIGNATURE, normalised=False, similarity="cosine"), weights="float32", commit=None
    )
    for heading in ("Training data", "Limits", "Results", "toml", "recipe", "base_model", "datasets"):
        assert heading not in card
    assert "| begun from | random weights |" in card
    assert "| compared by | cosine |" in card


@pytest.mark.parametrize(
    ("given_text", "expected"),
    [
        ("--source ../shared/data/MLQA.zip --out /home/me/x", "--source MLQA.zip --out x"),
        ('root = "/home/me/data/"', 'root = "data"'),
        ("C:\\Users\\me\\model", "model"),
        ("file:///home/me/model", "model"),
        ("a=/tmp/b,c=~/d", "a=b,c=d"),
        ("sentence-transformers/all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2"),
        ("data/train.jsonl", "data/train.jsonl"),
        ("https://tatoeba.org/en/x and/or 3 / 4", "https://tatoeba.org/en/x and/or 3 / 4"),
        ("openai:m?url=http://localhost:8000/v1", "openai:m?url=http://localhost:8000/v1"),
    ],
)
def test_folders_of_the_maker_are_left_out(given_text: str, expected: str) -> None:
    assert without_folders(given_text) == expected


NAME = st.text("abcdefgh0123-_.", min_size=1).filter(lambda name: name.strip("."))


@given(
    st.lists(NAME, min_size=2, max_size=5), st.sampled_from(["/", "~/", "../", "./", "/home/", "file:///"])
)
def test_no_path_survives_in_a_card(parts: list[str], start: str) -> None:
    path = start + "/".join(parts)
    card = text(
        replace(
            CARD,
            base_model=path,
            command=f"babelweave train {path}",
            recipe=f'base = "{path}"',
            results=(Result(benchmark="b", figures={}, n_queries=1, command=f"x --out={path}", commit="c"),),
        )
    )
    assert path not in card
    assert f'base = "{parts[-1]}"' in card


def test_declared_data_says_what_the_registry_says() -> None:
    data = declared("parallel", "tatoeba", 10, "alignment", ["de"])
    assert (data.title, data.licence, data.languages) == ("Tatoeba", "CC BY 2.0 FR", ("de",))
    assert "tatoeba.org" in data.attribution
    squad = declared("relevance", "squad", 10, "relevance")
    assert squad.licence == "CC BY-SA 4.0"
    assert squad.languages == ("en",)
    with pytest.raises(UsageError, match="did you mean 'tatoeba'"):
        declared("parallel", "tatoba", 10, "alignment")


def test_card_of_an_export_stands_below_that_of_its_model() -> None:
    moved = {"query": Fidelity(64, 0.98812, 0.97544, 0.0213)}
    small = replace(SIGNATURE, name="tiny-int8", digest="fff", precision="int8")
    card = export_card(
        "# tiny\n\nWords.\n\n", SIGNATURE, small, to="int8", n_bytes=24_400_000, fidelity=moved
    )  # type: ignore[arg-type]
    assert card.startswith(
        "# tiny\n\nWords.\n\n## Export: int8\n\ntiny exported to int8 by babelweave 0.1.0: 24.4 MB"
    )
    assert "| query | 64 | 0.9881 | 0.9754 | 2.1e-02 |" in card
    assert "`fff`, of the original `abc123`" in card
    alone = export_card(None, SIGNATURE, small, to="int8", n_bytes=1, fidelity=moved)  # type: ignore[arg-type]
    assert alone.startswith("# tiny-int8\n\n## Export: int8\n")
