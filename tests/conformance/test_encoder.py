"""What every `Encoder` promises, over the packaged MiniLM and random models of three families, as weights and
as graphs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest
from tokenizers import Tokenizer

import tiny_encoders
from babelweave.encode.spec import open_encoder
from babelweave.encode.transformer import TransformerEncoder
from babelweave.errors import UsageError
from babelweave.protocols import Encoder
from babelweave.records import Encoded, EncoderSignature, Role
from babelweave.registry import names
from babelweave.train.export import export_model

TEXTS = [*tiny_encoders.SENTENCES, "", "日本", "last " + " ".join(tiny_encoders.SENTENCES * 2)]
TOLERANCE = 2e-5
PROMPTS = {"prompt_query": "ask: ", "prompt_passage": "tell: "}


class Case(NamedTuple):
    encoder: Encoder
    tokenizer: Tokenizer


GRAPHS = {"bert-int8": "int8", "xlmr-int8": "int8", "mt5-onnx": "onnx"}


@pytest.fixture(scope="module", params=["minilm", *tiny_encoders.KINDS, *GRAPHS])
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    if request.param == "minilm":
        encoder: Any = open_encoder("minilm?precision=float32&batch_tokens=600")
        yield Case(encoder, encoder.model.tokenizer.backend_tokenizer)
        return
    kind = request.param.partition("-")[0]
    folder = tiny_encoders.build(kind, tmp_path_factory.mktemp(kind))
    if to := GRAPHS.get(request.param):
        out = tmp_path_factory.mktemp("graph") / kind
        export_model(f"{folder}?pooling=mean", to, out, {"passage": TEXTS})
        yield Case(open_encoder(str(out)), Tokenizer.from_file(str(out / "tokenizer.json")))
        return
    encoder = TransformerEncoder(str(folder), pooling="mean", precision="float32", batch_tokens=100)
    yield Case(encoder, encoder.model.tokenizer.backend_tokenizer)


@pytest.fixture(scope="module")
def encoder(case: Case) -> Encoder:
    return case.encoder


def check(encoder: Encoder) -> None:
    """The whole contract; raises AssertionError where it is broken."""
    signature = encoder.signature
    assert isinstance(encoder, Encoder)
    assert EncoderSignature.from_dict(signature.to_dict()) == signature
    vectors, n_truncated = encoder.encode(TEXTS, "passage")
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(TEXTS), signature.dimension)
    assert np.isfinite(vectors).all()
    assert n_truncated >= 0
    if signature.normalised:
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    distances = np.linalg.norm(vectors[:, None] - vectors[None], axis=-1)
    assert (distances[~np.eye(len(TEXTS), dtype=bool)] > 100 * TOLERANCE).all(), "texts are not told apart"

    again = encoder.encode(TEXTS, "passage")
    assert again.vectors.tobytes() == vectors.tobytes(), "the same call must give the same bits"
    order = np.random.default_rng(0).permutation(len(TEXTS))
    shuffled = encoder.encode([TEXTS[i] for i in order], "passage").vectors
    np.testing.assert_allclose(shuffled, vectors[order], atol=TOLERANCE)
    alone = np.concatenate([encoder.encode([text], "passage").vectors for text in TEXTS])
    np.testing.assert_allclose(alone, vectors, atol=TOLERANCE)

    empty = encoder.encode([], "query")
    assert empty.vectors.shape == (0, signature.dimension)
    assert empty.vectors.dtype == np.float32
    assert empty.n_truncated == 0
    assert encoder.signature == signature
    with pytest.raises(UsageError, match="document"):
        encoder.encode(["x"], "document")  # type: ignore[arg-type]


def test_contract(encoder: Encoder) -> None:
    check(encoder)


def test_truncated_texts_are_those_with_too_many_tokens(case: Case) -> None:
    encoder, tokenizer = case
    limit = encoder.signature.max_tokens_passage
    tokenizer.no_truncation()
    longer = [len(tokenizer.encode(text).ids) > limit for text in TEXTS]
    assert any(longer)
    assert not all(longer)
    assert encoder.encode(TEXTS, "passage").n_truncated == sum(longer)


def test_length_limit_is_where_a_text_stops_to_matter(encoder: Encoder) -> None:
    word = "a "
    long, longer = word * 600, word * 900
    vectors, n_truncated = encoder.encode([long, longer], "query")
    assert n_truncated == 2
    np.testing.assert_allclose(vectors[0], vectors[1], atol=TOLERANCE)


@pytest.mark.parametrize("kind", tiny_encoders.KINDS)
def test_prompt_of_a_role_stands_before_its_texts(
    kind: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = str(tiny_encoders.build(kind, tmp_path_factory.mktemp(kind)))
    plain = TransformerEncoder(folder, pooling="mean", precision="float32")
    prompted = TransformerEncoder(folder, pooling="mean", precision="float32", **PROMPTS)
    short = ["fox", "river"]
    for role, prompt in (("query", "ask: "), ("passage", "tell: ")):
        by_hand = plain.encode([prompt + text for text in short], role).vectors  # type: ignore[arg-type]
        np.testing.assert_allclose(prompted.encode(short, role).vectors, by_hand, atol=TOLERANCE)  # type: ignore[arg-type]
    asked, told = (prompted.encode(short, role).vectors for role in ("query", "passage"))  # type: ignore[arg-type]
    assert np.abs(asked - told).max() > 1e-3
    assert prompted.signature.differences(plain.signature) == [
        "prompt_query: 'ask: ' against ''",
        "prompt_passage: 'tell: ' against ''",
    ]


class Wrong:
    """An encoder that gives vectors back in order of text length: the contract must catch it."""

    def __init__(self, right: Encoder) -> None:
        self.right = right
        self.signature = replace(right.signature, name="wrong")

    def encode(self, texts: Sequence[str], role: Role) -> Encoded:
        return self.right.encode(sorted(texts, key=len), role)


def test_contract_catches_a_wrong_order(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tiny_encoders.build("bert", tmp_path_factory.mktemp("wrong"))
    with pytest.raises(AssertionError):
        check(Wrong(TransformerEncoder(str(folder), pooling="mean", precision="float32")))


def test_registered_names() -> None:
    assert {"minilm", "onnx", "openai"} <= set(names("encoder"))
