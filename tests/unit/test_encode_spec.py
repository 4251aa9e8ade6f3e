"""Encoder SPECs: how they are read, and what each wrong one is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from babelweave.encode.remote import RemoteEncoder
from babelweave.encode.spec import open_encoder
from babelweave.encode.transformer import TransformerEncoder
from babelweave.errors import DataError, UsageError
from babelweave.spec import Spec, options_of, parse_spec


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("minilm", Spec("minilm", {})),
        ("owner/name?revision=v1&pooling=cls", Spec("owner/name", {"revision": "v1", "pooling": "cls"})),
        ("m?prompt_query=query: ", Spec("m", {"prompt_query": "query: "})),
        ("m?prompt_query=a%26b%20c+d=e", Spec("m", {"prompt_query": "a&b c+d=e"})),
        ("m?prompt_query=", Spec("m", {"prompt_query": ""})),
        ("openai:e5?url=http://host:80/v1", Spec("openai:e5", {"url": "http://host:80/v1"})),
    ],
)  # fmt: skip
def test_parse(text: str, expected: Spec) -> None:
    assert parse_spec(text) == expected


@pytest.mark.parametrize("text", ["", "?precision=float32", "m?precision", "m?revision=a&revision=b"])
def test_malformed(text: str) -> None:
    with pytest.raises(UsageError):
        parse_spec(text)


def test_options_are_the_keyword_arguments() -> None:
    assert options_of(TransformerEncoder) == {
        "precision": str,
        "max_tokens_query": int,
        "max_tokens_passage": int,
        "prompt_query": str,
        "prompt_passage": str,
        "revision": str,
        "pooling": str,
        "normalise": bool,
        "similarity": str,
        "batch_tokens": int,
    }
    assert options_of(RemoteEncoder)["timeout"] is float
    assert options_of(RemoteEncoder)["normalise"] is bool


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("minilm?precisoin=float32", "did you mean 'precision'"),
        ("minilm?precision=float16", "auto, float32, bfloat16"),
        ("minilm?max_tokens_query=many", "not a whole number"),
        ("minilm?normalise=perhaps", "not true or false"),
        ("minilm?batch_tokens=0", "at least 1"),
        ("minilm:more", "nothing after a colon"),
        ("openai:m?revision=1", "no option 'revision'"),
        ("openai:m?timeout=soon", "not a number"),
        ("openai:", "needs a model name"),
    ],
)
def test_wrong_options(spec: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        open_encoder(spec)


def test_limits_of_the_packaged_model() -> None:
    with pytest.raises(UsageError, match="reads 3 to 512 tokens"):
        open_encoder("minilm?max_tokens_passage=513")
    with pytest.raises(UsageError, match="unknown pooling 'median'"):
        open_encoder("minilm?pooling=median")


@pytest.mark.parametrize(
    ("target", "message"),
    [("./missing", "no such folder"), ("no-such-owner/no-such-model", "Hub did not give it")],
)
def test_no_model(target: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        open_encoder(target)


def test_folder_without_model(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no encoder here"):
        open_encoder(str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(DataError, match="cannot be opened"):
        open_encoder(str(tmp_path))
    (tmp_path / "config.json").write_text("{broken")
    with pytest.raises(DataError, match="cannot be opened"):
        open_encoder(str(tmp_path))
