"""CTranslate2 against transformers: equal log-probabilities, so equal questions; and its own seeds."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import tiny_encoders
import tiny_generators
from babelweave.artifact import read_manifest
from babelweave.errors import DataError, UsageError
from babelweave.generate import convert
from babelweave.generate.convert import convert_generator
from babelweave.generate.ctranslate2 import CTranslate2Generator
from babelweave.generate.seq2seq import Seq2SeqGenerator
from babelweave.generate.settings import Settings, read_settings, write_settings
from tiny_generators import PASSAGES

SMALL = {"max_input_tokens": 64, "max_new_tokens": 10}
TARGETS = ["the river", "a quick brown fox and the questions"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("engines")


@pytest.fixture(scope="module", params=tiny_generators.KINDS)
def folders(request: pytest.FixtureRequest, place: Path) -> tuple[Path, Path]:
    """A model in both formats; mBART folders say that their prompt is the passage alone."""
    source = tiny_generators.build(request.param, place / request.param)
    if request.param.startswith("mbart"):
        write_settings(source, Settings(prompt="{title} {text}"))
    convert_generator(str(source), place / f"{request.param}-ct2", quantization="float32")
    return source, place / f"{request.param}-ct2"


@pytest.fixture(scope="module")
def mt5(place: Path) -> tuple[Path, Path]:
    source = tiny_generators.build("mt5", place / "own-mt5")
    convert_generator(str(source), place / "own-mt5-ct2", quantization="float32")
    return source, place / "own-mt5-ct2"


def both(folders: tuple[Path, Path], **options: Any) -> tuple[Seq2SeqGenerator, CTranslate2Generator]:
    return (
        Seq2SeqGenerator(str(folders[0]), precision="float32", **SMALL, **options),
        CTranslate2Generator(str(folders[1]), **SMALL, **options),
    )


def test_log_probabilities(folders: tuple[Path, Path]) -> None:
    """Of given targets: the likeliest token would stay the likeliest under a wrong scale, these would not."""
    hf, ct2 = both(folders)
    tokenizer, prefix = hf._text.tokenizer, hf._prefix("de")
    ids = hf._text.read(PASSAGES[:2], "de").ids
    targets = [tokenizer(text, add_special_tokens=False).input_ids for text in TARGETS]
    forced = prefix[-1:] if hf._text.language_tokens else []
    scored = ct2._translator.score_batch(
        [tokenizer.convert_ids_to_tokens(row) for row in ids],
        [tokenizer.convert_ids_to_tokens([*forced, *target]) for target in targets],
    )
    for row, target, found in zip(ids, targets, scored, strict=True):
        decoder = [*prefix, *target, hf._end]
        with torch.inference_mode():
            logits = hf._model(
                input_ids=torch.tensor([row]), decoder_input_ids=torch.tensor([decoder[:-1]])
            ).logits[0]
        expected = logits.log_softmax(-1).gather(1, torch.tensor(decoder[1:])[:, None])[:, 0].tolist()
        # a wrong scale is off by whole units; float32 of two libraries by some 3e-4, by the machine
        assert found.log_probs == pytest.approx(expected, abs=2e-3)


def test_greedy_questions_and_counts(folders: tuple[Path, Path]) -> None:
    hf, ct2 = both(folders, decoding="greedy")
    assert hf.languages == ct2.languages
    assert hf.generate(PASSAGES, "de", 1, 0) == ct2.generate(PASSAGES, "de", 1, 0)
    assert hf.totals == ct2.totals
    assert hf.totals["cut_passages"] > 0


def test_beams(folders: tuple[Path, Path]) -> None:
    hf, ct2 = both(folders, decoding="beam", beams=4)
    pairs = zip(hf.generate(PASSAGES, "de", 2, 0), ct2.generate(PASSAGES, "de", 2, 0), strict=True)
    assert sum(a == b for a, b in pairs) >= 4  # nearly equal hypotheses may change places


def test_sampling_repeats_with_its_seed(mt5: tuple[Path, Path]) -> None:
    _, ct2 = both(mt5)
    made = ct2.generate(PASSAGES, "de", 4, 3)
    ct2.generate(PASSAGES[:2], "ar", 2, 9)
    assert ct2.generate(PASSAGES, "de", 4, 3) == made
    assert both(mt5)[1].generate(PASSAGES, "de", 4, 3) == made
    assert ct2.generate(PASSAGES, "de", 4, 4) != made
    assert ct2.generate(PASSAGES, "ar", 4, 3) != made
    threads = CTranslate2Generator(str(mt5[1]), threads=2, **SMALL)
    assert threads.generate(PASSAGES, "de", 4, 3) == made


def test_sampled_first_tokens_are_as_frequent_as_transformers_says(mt5: tuple[Path, Path]) -> None:
    options = {"max_input_tokens": 64, "max_new_tokens": 1, "top_k": 5}
    hf = Seq2SeqGenerator(str(mt5[0]), precision="float32", **options)  # type: ignore[arg-type]
    ct2 = CTranslate2Generator(str(mt5[1]), **options)  # type: ignore[arg-type]
    ids = hf._text.read(PASSAGES[:1], "de").ids
    with torch.inference_mode():
        logits = hf._model(input_ids=torch.tensor(ids), decoder_input_ids=torch.tensor([[hf._start]])).logits[
            0, -1
        ]
    top = logits.topk(5)
    n = 2000
    translator = ct2._seeded(PASSAGES[:1], "de", n, 0)
    tokens = hf._text.tokenizer.convert_ids_to_tokens(ids[0])
    found = translator.translate_batch(
        [tokens] * n, **ct2._search(1), max_decoding_length=1, return_end_token=True
    )
    drawn = [hf._text.tokenizer.convert_tokens_to_ids(r.hypotheses[0][0]) for r in found]
    for token, p in zip(top.indices.tolist(), top.values.softmax(0).tolist(), strict=True):
        assert drawn.count(token) / n == pytest.approx(p, abs=4 * (p * (1 - p) / n) ** 0.5)


def test_int8_writes_mostly_the_same(mt5: tuple[Path, Path], tmp_path: Path) -> None:
    manifest = convert_generator(str(mt5[0]), tmp_path / "int8")
    assert manifest.settings == {"family": "mt5", "quantization": "int8"}
    sizes = {name: entry["bytes"] for name, entry in manifest.files.items()}
    assert sizes["model.bin"] < read_manifest(mt5[1], "ctranslate2").files["model.bin"]["bytes"] / 2.5
    int8 = CTranslate2Generator(str(tmp_path / "int8"), **SMALL)
    assert int8.signature["precision"].startswith("int8")
    assert all(int8.generate(PASSAGES, "de", 2, 0))


def test_the_converted_folder_is_complete(mt5: tuple[Path, Path], tmp_path: Path) -> None:
    source = Path(shutil.copytree(mt5[0], tmp_path / "source"))
    settings = Settings("{language}? {text}", ("de", "vi"), 40, 7)
    write_settings(source, settings)
    convert_generator(str(source), tmp_path / "ct2")
    shutil.rmtree(source)
    assert read_settings(tmp_path / "ct2") == settings
    generator = CTranslate2Generator(str(tmp_path / "ct2"))
    assert generator.languages == {"de", "vi"}
    assert generator.signature["prompt"] == "{language}? {text}"
    with pytest.raises(UsageError, match="not empty"):
        convert_generator(str(mt5[0]), tmp_path / "ct2")
    convert_generator(str(mt5[0]), tmp_path / "ct2", overwrite=True)
    assert read_settings(tmp_path / "ct2") == Settings()


def test_bad_requests(mt5: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'int8'"):
        convert_generator(str(mt5[0]), tmp_path / "x", quantization="int9")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="has no decoder"):
        convert_generator(str(tiny_encoders.build("bert", tmp_path / "bert")), tmp_path / "x")
    assert not (tmp_path / "x").exists()
    with pytest.raises(DataError, match=r"no model\.bin; convert"):
        CTranslate2Generator(str(mt5[0]))
    with pytest.raises(UsageError, match="compute type"):
        CTranslate2Generator(str(mt5[1]), compute_type="int3")
    with pytest.raises(UsageError, match="threads"):
        CTranslate2Generator(str(mt5[1]), threads=-1)
    broken = Path(shutil.copytree(mt5[1], tmp_path / "broken"))
    (broken / "model.bin").write_bytes(b"x" * 50)
    with pytest.raises(DataError, match="CTranslate2 cannot open it"):
        CTranslate2Generator(str(broken))


def test_a_tokenizer_with_gaps_is_not_converted(mt5: tuple[Path, Path], tmp_path: Path) -> None:
    source = Path(shutil.copytree(mt5[0], tmp_path / "source"))
    tokenizer = tiny_encoders.tokenizer("mt5")
    tokenizer.add_tokens(["gap"])
    tokenizer.save_pretrained(source)
    path = source / "tokenizer.json"
    last = max(tokenizer.get_vocab().values())
    path.write_text(path.read_text().replace(f'"id": {last}', f'"id": {last + 2}'))
    with pytest.raises(DataError, match=r"gaps|cannot be opened"):
        convert_generator(str(source), tmp_path / "x")


def test_the_stock_loader_is_noticed(
    mt5: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When CTranslate2 no longer scales the logits of mT5, this fails and the mended loaders can go."""
    monkeypatch.setattr(convert, "_mended_loaders", contextlib.nullcontext)
    convert_generator(str(mt5[0]), tmp_path / "stock", quantization="float32")
    with pytest.raises(AssertionError):
        test_log_probabilities((mt5[0], tmp_path / "stock"))
