"""A Hub id, served from the cache of the Hugging Face libraries as without a network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import tiny_encoders
from babelweave.encode.transformer import TransformerEncoder
from babelweave.records import EncoderSignature

SCRIPT = """
import json, sys
from babelweave.encode.spec import open_encoder
from babelweave.errors import DataError

encoder = open_encoder("owner/mini?pooling=mean")
vectors = encoder.encode(["fox"], "query").vectors
try:
    open_encoder("owner/mini?revision=other")
except DataError as error:
    print(json.dumps([encoder.signature.to_dict(), vectors.tolist(), str(error)]))
"""


def test_cached_model_equals_its_folder(tmp_path: Path) -> None:
    commit = "0" * 40
    repository = tmp_path / "models--owner--mini"
    snapshot = tiny_encoders.build("bert", repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    found = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, "HF_HUB_CACHE": str(tmp_path), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    signature, vectors, message = json.loads(found.stdout.splitlines()[-1])
    local = TransformerEncoder(str(snapshot), pooling="mean", name="mini")
    assert EncoderSignature.from_dict(signature) == local.signature
    assert vectors[0] == pytest.approx(local.encode(["fox"], "query").vectors[0].tolist(), abs=1e-6)
    assert "Hub did not give it" in message
