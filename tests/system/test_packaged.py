"""What comes in the box: small enough, opened by plain tools, and able to cross languages."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from babelweave.artifact import read_json, read_manifest
from babelweave.data.collection import Collection
from babelweave.demo.run import COLLECTION
from babelweave.encode.packaged import MODELS, mini
from babelweave.encode.spec import open_encoder
from babelweave.generate.lexicon import Lexicon
from babelweave.generate.packaged import mini_qg
from babelweave.generate.spec import open_generator
from babelweave.registry import DEFAULT_ENCODER, DEFAULT_GENERATOR

MB = 1_000_000
LANGUAGES = frozenset("en ar de es hi vi zh bn fi ja ko ru te el th tr id sw cs fr it nl pl pt sv".split())


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_sizes() -> None:
    assert size(mini()) <= 60 * MB
    assert size(MODELS) < 95 * MB, "both have to fit in one wheel"


def test_the_defaults_are_what_is_packaged() -> None:
    encoder = open_encoder(DEFAULT_ENCODER)
    assert encoder.signature.name == "babelweave-mini"
    assert encoder.signature.dimension == 384
    assert encoder.signature.normalised
    assert open_generator(DEFAULT_GENERATOR).languages == LANGUAGES


@pytest.mark.parametrize("folder", [mini(), mini_qg()], ids=lambda path: path.name)
def test_files_are_those_of_the_manifest(folder: Path) -> None:
    kind = "model" if folder == mini() else "lexicon"
    manifest = read_manifest(folder, kind, checksums=True)
    assert manifest.commit is not None
    assert not manifest.commit.endswith("-dirty"), "made from a state that can be had again"
    card = (folder / "README.md").read_text(encoding="utf-8")
    for licence in ("CC BY-SA 3.0", "CC BY 2.0 FR", "CC0"):
        assert licence in card


def test_plain_sentence_transformers_opens_it() -> None:
    from sentence_transformers import SentenceTransformer

    texts = [
        "Who discovered penicillin?",
        "Wer entdeckte das Penicillin?",
        "谁发现了青霉素？",
        "किसने पेनिसिलिन की खोज की?",
    ]
    theirs = SentenceTransformer(str(mini()), device="cpu", model_kwargs={"dtype": "float32"}).encode(texts)
    ours = open_encoder("babelweave-mini?precision=float32").encode(texts, "query").vectors
    assert np.allclose(ours, theirs, atol=1e-5)
    assert "auto_map" not in read_json(mini() / "config.json"), "no code of its own"


def test_questions_find_english_passages() -> None:
    """The demo's questions; the floors are about five points below what was measured."""
    collection = Collection.open(COLLECTION)
    passages, queries = list(collection.passages()), list(collection.queries())
    encoder = open_encoder("babelweave-mini?precision=float32")
    vectors = encoder.encode([p.content for p in passages], "passage").vectors
    scores = encoder.encode([q.text for q in queries], "query").vectors @ vectors.T
    row_of = {p.doc_id: row for row, p in enumerate(passages)}
    right = [row_of[q.query_id.rpartition(".")[0]] for q in queries]
    ranks = (scores > scores[np.arange(len(queries)), right][:, None]).sum(1) + 1
    reciprocal = np.where(ranks <= 10, 1 / ranks, 0.0)
    means = {
        lang: float(np.mean([rr for q, rr in zip(queries, reciprocal, strict=True) if q.lang == lang]))
        for lang in sorted({q.lang for q in queries})
    }
    floors = {"ar": 0.5, "de": 0.5, "en": 0.8, "es": 0.5, "hi": 0.5, "vi": 0.5, "zh": 0.5}
    assert all(means[lang] >= floor for lang, floor in floors.items()), means


def test_the_lexicon_knows_words_of_every_language() -> None:
    lexicon = Lexicon.open(mini_qg() / "lexicon.tsv.gz")
    for lang, word in (
        ("de", "krieg"),
        ("vi", "chiến tranh"),
        ("hi", "युद्ध"),
        ("zh", "战争"),
        ("es", "guerra"),
    ):
        assert word in lexicon.translate("war", "en", lang)
