"""Encoder-decoders of Hugging Face, tiny and random: sampling, seeds, cutting, families, errors."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

import tiny_encoders
import tiny_generators
from babelweave.errors import DataError, UsageError
from babelweave.generate.decoding import Decoding
from babelweave.generate.seq2seq import Seq2SeqGenerator, _SeededDraw, uniform_draws
from babelweave.generate.settings import Settings, write_settings
from babelweave.generate.spec import open_generator
from babelweave.generate.tokens import PromptTokenizer
from babelweave.records import Passage
from tiny_generators import PASSAGES

PLAIN = {"max_input_tokens": 64, "max_new_tokens": 10, "precision": "float32"}
WITHOUT_WORDS = {**PLAIN, "prompt": "{title} {text}"}


@pytest.fixture(scope="module")
def mt5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_generators.build("mt5", tmp_path_factory.mktemp("mt5"))


@pytest.fixture(scope="module")
def mbart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_generators.build("mbart50", tmp_path_factory.mktemp("mbart50"))


def opened(folder: Path, **options: Any) -> Seq2SeqGenerator:
    return Seq2SeqGenerator(str(folder), **{**PLAIN, **options})


class TestSampling:
    def test_a_draw_inverts_the_distribution(self) -> None:
        """Probabilities 0.5, 0.3, 0.2 of tokens 2, 0, 1: u in [0, 0.5) draws 2, [0.5, 0.8) 0, then 1."""
        scores = torch.log(torch.tensor([[0.3, 0.2, 0.5]])).repeat(5, 1)
        uniforms = torch.tensor([[0.0], [0.49], [0.51], [0.79], [0.81]], dtype=torch.float64)
        start = torch.zeros((5, 1), dtype=torch.long)

        def drawn(**options: Any) -> list[int]:
            decoding = Decoding.of(
                "sample", options.get("k"), options.get("p"), options.get("temperature"), None
            )
            left: list[int] = _SeededDraw(uniforms, 1, decoding)(start, scores).argmax(1).tolist()
            return left

        assert drawn() == [2, 2, 0, 0, 1]
        assert drawn(k=0) == [2, 2, 0, 0, 1]
        assert drawn(k=1) == [2] * 5
        assert drawn(k=2) == [2, 2, 2, 0, 0]  # 0.5 / 0.8 = 0.625 goes to token 2
        assert drawn(p=0.5) == [2] * 5
        assert drawn(p=0.6) == [2, 2, 2, 0, 0]
        # Squared: 0.25, 0.09, 0.04 of 0.38: edges at 0.658 and 0.895.
        assert drawn(temperature=0.5) == [2, 2, 2, 0, 0]

    def test_first_tokens_are_as_frequent_as_the_model_says(self, mt5: Path) -> None:
        generator = opened(mt5, max_new_tokens=1, top_k=5)
        passage = PASSAGES[0]
        ids = generator._text.read([passage], "de").ids
        with torch.inference_mode():
            out = generator._model(
                input_ids=torch.tensor(ids), decoder_input_ids=torch.tensor([[generator._start]])
            )
        top = out.logits[0, -1].topk(5)
        n = 4000
        rows = generator._decode(ids, [passage], "de", n, seed=0)
        found = Counter(row[0] for row in rows)
        assert set(found) <= set(top.indices.tolist())
        for token, p in zip(top.indices.tolist(), torch.softmax(top.values, 0).tolist(), strict=True):
            assert found[token] / n == pytest.approx(p, abs=4 * (p * (1 - p) / n) ** 0.5 + 1e-9)

    def test_seed_language_and_passage_matter_and_nothing_else(self, mt5: Path) -> None:
        generator = opened(mt5)
        torch.manual_seed(1)
        state = torch.get_rng_state()
        made = generator.generate(PASSAGES, "de", 3, 0)
        assert torch.equal(state, torch.get_rng_state())
        assert opened(mt5, batch_size=2).generate(PASSAGES, "de", 3, 0) == made
        assert generator.generate(PASSAGES[::-1], "de", 3, 0)[::-1] == made
        assert generator.generate(PASSAGES, "de", 3, 1) != made
        assert generator.generate(PASSAGES, "ar", 3, 0) != made

    def test_a_smaller_n_gives_the_first_questions(self, mt5: Path) -> None:
        generator = opened(mt5)
        for long, short in zip(
            generator.generate(PASSAGES, "de", 5, 0), generator.generate(PASSAGES, "de", 2, 0), strict=True
        ):
            assert long[: len(short)] == short

    def test_uniform_draws(self) -> None:
        draws = uniform_draws(PASSAGES[0], "de", 50, 40, 0)
        assert draws.shape == (50, 40)
        assert 0 <= draws.min() < draws.max() < 1
        assert abs(draws.mean() - 0.5) < 0.02
        other = PASSAGES[0]._replace(doc_id="another")
        np.testing.assert_array_equal(uniform_draws(other, "de", 50, 40, 0), draws)

    def test_questions_and_tokens_are_counted(self, mt5: Path) -> None:
        generator = opened(mt5, max_new_tokens=2, top_k=1)
        made = generator.generate(PASSAGES, "de", 3, 0)
        assert [len(q) for q in made] == [1] * 5  # only the likeliest token is ever drawn
        assert generator.totals["dropped"] == 10
        assert generator.totals["output_tokens"] == 30
        assert generator.totals["cut_queries"] == 15


class TestSearch:
    @pytest.mark.parametrize("kind", tiny_generators.T5_KINDS)
    def test_greedy_is_that_of_transformers(self, kind: str, tmp_path: Path) -> None:
        generator = opened(tiny_generators.build(kind, tmp_path), decoding="greedy")
        made = generator.generate(PASSAGES, "de", 3, 0)
        assert [len(q) for q in made] == [1] * 5
        tokenizer = generator._text.tokenizer
        for passage, (question,) in zip(PASSAGES, made, strict=True):
            ids = generator._text.read([passage], "de").ids
            out = generator._model.generate(
                torch.tensor(ids),
                max_new_tokens=10,
                do_sample=False,
                decoder_start_token_id=0,
                eos_token_id=1,
            )
            assert question == " ".join(tokenizer.decode(out[0], skip_special_tokens=True).split())

    def test_beams_are_those_of_transformers(self, mt5: Path) -> None:
        generator = opened(mt5, decoding="beam", beams=5)
        ids = generator._text.read(PASSAGES[:1], "de").ids
        out = generator._model.generate(
            torch.tensor(ids),
            max_new_tokens=10,
            num_beams=5,
            num_return_sequences=3,
            decoder_start_token_id=0,
            eos_token_id=1,
        )
        rows = generator._decode(ids, PASSAGES[:1], "de", 3, 0)
        assert [row + [0] * (10 - len(row)) for row in rows] == out[:, 1:].tolist()
        with pytest.raises(UsageError, match="beams=6"):
            generator.generate(PASSAGES, "de", 6, 0)

    def test_the_encoder_runs_once_per_passage_and_language(
        self, mt5: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        generator = opened(mt5)
        rows: list[int] = []
        encoder = generator._model.get_encoder()
        encoder.register_forward_hook(lambda *call: rows.append(len(call[2].last_hidden_state)))
        for lang in ("de", "ar"):
            generator.generate(PASSAGES, lang, 7, 0)
        assert sum(rows) == 2 * len(PASSAGES)

    def test_bfloat16(self, mt5: Path) -> None:
        generator = opened(mt5, precision="bfloat16", decoding="greedy")
        assert generator.signature["precision"] == "bfloat16"
        assert all(generator.generate(PASSAGES, "de", 1, 0))


class TestCutting:
    def test_the_passage_is_cut_and_the_instruction_stays(self, mt5: Path) -> None:
        generator = opened(mt5)
        inputs = generator._text.read(PASSAGES, "de")
        whole = [generator._text.tokenizer(p.text).input_ids for p in PASSAGES]
        assert inputs.n_cut == sum(len(ids) > 64 for ids in inputs.ids) + sum(
            len(ids) == 64 for ids in inputs.ids
        )
        assert inputs.n_cut >= 1
        assert len(whole[2]) > 64
        assert len(inputs.ids[2]) == 64
        assert inputs.ids[2][-1] == 1, "the end token stays"

    @pytest.mark.parametrize(
        "template", ["{language}: {title} {text}", "{text} ({title}) in {language}, please"]
    )
    def test_any_place_of_the_text(self, mt5: Path, template: str) -> None:
        """Cutting the text by hand gives the same tokens, wherever the template has it."""
        reader = PromptTokenizer(opened(mt5)._text.tokenizer, Settings(template, None, 40, 8))
        long = Passage("d", " ".join(["river"] * 60), "en", "lazy fox")
        (ids,), n_cut = reader.read([long], "de")
        assert (len(ids), n_cut) == (40, 1)
        text = reader.write([ids])[0]
        by_hand = long._replace(text=" ".join(["river"] * text.count("river")))
        short = reader.read([by_hand], "de")
        assert short.n_cut == 0
        whole = [word for word in text.split() if word == "river" or not "river".startswith(word)]
        assert reader.write(short.ids)[0].split() == whole
        assert "lazy fox" in text
        assert "erman" in text  # the tiny vocabulary has few capitals

    def test_a_long_title_is_cut_after_the_text(self, mt5: Path) -> None:
        reader = PromptTokenizer(
            opened(mt5)._text.tokenizer, Settings("{language}: {title} | {text}", None, 30, 8)
        )
        (ids,), n_cut = reader.read([Passage("d", "lazy dog", "en", "river " * 80)], "de")
        text = reader.write([ids])[0]
        assert (len(ids), n_cut) == (30, 1)
        assert "dog" not in text
        assert text.count("river") == 5

    def test_a_prompt_longer_than_what_is_read(self, mt5: Path) -> None:
        with pytest.raises(UsageError, match=r"max_input_tokens=8: the prompt alone takes \d+"):
            opened(mt5, max_input_tokens=8)

    def test_no_warning_about_long_texts(self, mt5: Path, caplog: pytest.LogCaptureFixture) -> None:
        opened(mt5).generate([Passage("d", "river " * 5000, "en")], "de", 1, 0)
        assert not caplog.records


class TestLanguageTokens:
    def test_the_token_decides_the_language(self, mbart: Path) -> None:
        generator = opened(mbart, prompt="{title} {text}")
        assert {"ar", "de", "en", "zh", "vi"} <= generator.languages
        assert "la" not in generator.languages
        assert generator._prefix("de") == [2, generator._text.tokenizer.convert_tokens_to_ids("de_DE")]
        assert generator.generate(PASSAGES, "de", 2, 0) != generator.generate(PASSAGES, "ar", 2, 0)

    def test_the_first_mbart_starts_with_the_language(self, tmp_path: Path) -> None:
        generator = opened(tiny_generators.build("mbart", tmp_path), prompt="{title} {text}")
        assert generator._prefix("de") == [generator._text.tokenizer.convert_tokens_to_ids("de_DE")]
        ids = generator._text.read(PASSAGES[:1], "de").ids[0]
        assert generator._text.tokenizer.convert_ids_to_tokens(ids[-2:]) == ["</s>", "en_XX"]

    def test_forced_as_transformers_forces_it(self, mbart: Path) -> None:
        generator = opened(mbart, prompt="{title} {text}", decoding="greedy")
        token = generator._text.tokenizer.convert_tokens_to_ids("ar_AR")
        ids = generator._text.read(PASSAGES[:1], "ar").ids
        out = generator._model.generate(
            torch.tensor(ids),
            max_new_tokens=11,
            forced_bos_token_id=token,
            decoder_start_token_id=2,
            eos_token_id=2,
        )
        row = generator._decode(ids, PASSAGES[:1], "ar", 1, 0)[0]
        assert out[0].tolist()[: 2 + len(row)] == [2, token, *row]

    def test_passages_of_several_languages(self, mbart: Path) -> None:
        mixed = [PASSAGES[0], PASSAGES[1]._replace(lang="zh"), PASSAGES[3]]
        generator = opened(mbart, prompt="{text}")
        ids = generator._text.read(mixed, "de").ids
        starts = generator._text.tokenizer.convert_ids_to_tokens([row[0] for row in ids])
        assert starts == ["en_XX", "zh_CN", "en_XX"]
        with pytest.raises(DataError, match="passage 'd0' is in 'la'"):
            generator.generate([PASSAGES[0]._replace(lang="la")], "de", 1, 0)
        with pytest.raises(UsageError, match="cannot be told 'la'"):
            opened(mbart, prompt="{text}", languages="la,de")


class TestOpening:
    def test_the_signature(self, mt5: Path, tmp_path: Path) -> None:
        generator = opened(mt5, top_p=0.9)
        assert generator.signature == {
            "name": "seq2seq",
            "model": mt5.name,
            "digest": generator.signature["digest"],
            "prompt": "Generate a {language} question for this passage: {title} {text}",
            "decoding": {"mode": "sample", "top_k": 10, "top_p": 0.9, "temperature": 1.0},
            "max_input_tokens": 64,
            "max_new_tokens": 10,
            "precision": "float32",
        }
        json.dumps(generator.signature)
        other = tiny_generators.build("mt5", tmp_path, seed=1)
        assert opened(other).signature["digest"] != generator.signature["digest"]

    def test_the_folder_says_how_it_was_trained(self, mt5: Path, tmp_path: Path) -> None:
        folder = Path(shutil.copytree(mt5, tmp_path / "m"))
        write_settings(folder, Settings("{language}? {text}", ("de", "vi"), 32, 6))
        generator = Seq2SeqGenerator(str(folder), precision="float32")
        assert generator.languages == {"de", "vi"}
        assert generator.signature["prompt"] == "{language}? {text}"
        assert generator.signature["max_input_tokens"] == 32
        with pytest.raises(UsageError, match="does not write 'ar'"):
            generator.generate(PASSAGES, "ar", 1, 0)
        assert Seq2SeqGenerator(str(folder), languages="ar").languages == {"ar"}

    def test_a_folders_own_generation_config_does_not_leak(self, mt5: Path, tmp_path: Path) -> None:
        folder = Path(shutil.copytree(mt5, tmp_path / "m"))
        path = folder / "generation_config.json"
        path.write_text(
            json.dumps({**json.loads(path.read_text()), "min_length": 9, "repetition_penalty": 9.0})
        )
        assert opened(folder).generate(PASSAGES, "de", 2, 0) == opened(mt5).generate(PASSAGES, "de", 2, 0)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"precision": "float16"}, "overflows in models of the T5 family; take bfloat16"),
            ({"precision": "float8"}, "unknown precision"),
            ({"batch_size": 0}, "batch_size=0"),
            ({"device": "cuda:77"}, "device=cuda:77"),
            ({"device": "abacus"}, "device=abacus"),
            ({"prompt": "no slots"}, "lacks"),
            ({"languages": "xx"}, "unknown language 'xx'"),
            ({"decoding": "greedy", "top_k": 3}, "without effect"),
        ],
    )
    def test_bad_options(self, mt5: Path, options: dict[str, Any], message: str) -> None:
        with pytest.raises(UsageError, match=message):
            opened(mt5, **options)

    def test_float16_is_for_gpus(self, mbart: Path) -> None:
        with pytest.raises(UsageError, match="is for GPUs"):
            opened(mbart, prompt="{text}", precision="float16")

    def test_other_families(self, tmp_path: Path) -> None:
        tiny_encoders.build("bert", tmp_path / "bert")
        config = GPT2Config(vocab_size=30, n_embd=8, n_layer=1, n_head=1, n_positions=8)
        GPT2LMHeadModel(config).save_pretrained(tmp_path / "gpt2")
        for name, message in [
            ("bert", "type 'bert' has no decoder and cannot write; supported: t5, mt5"),
            ("gpt2", "type 'gpt2' has a decoder only; serve it .* as chat:MODEL"),
            ("missing", "no such folder|neither a registry name"),
        ]:
            with pytest.raises(DataError, match=message):
                opened(tmp_path / name)

    def test_an_encoder_of_a_known_family(self, tmp_path: Path) -> None:
        """An mT5 encoder has the right config and no decoder weights: transformers would invent them."""
        with pytest.raises(DataError, match=r"has no weights for decoder\."):
            opened(tiny_encoders.build("mt5", tmp_path))

    def test_weights_that_are_not_finite(self, mt5: Path) -> None:
        generator = opened(mt5)
        with torch.no_grad():
            generator._model.shared.weight.fill_(float("nan"))
        with pytest.raises(DataError, match="not finite"):
            generator.generate(PASSAGES, "de", 1, 0)

    def test_damaged_folders(self, mt5: Path, tmp_path: Path) -> None:
        def damaged(name: str) -> Path:
            return Path(shutil.copytree(mt5, tmp_path / name))

        (damaged("a") / "config.json").write_text("{")
        (damaged("b") / "config.json").unlink()
        (damaged("c") / "model.safetensors").write_bytes(b"x" * 100)
        (damaged("d") / "tokenizer.json").write_text("{}")
        (damaged("e") / "model.safetensors").unlink()
        for name, message in [
            ("a", "cannot be opened as a generator"),
            ("b", "no config.json"),
            ("c", "the weights cannot be loaded"),
            ("d", "tokenizer cannot be opened"),
            ("e", "cannot be opened as a generator"),
        ]:
            with pytest.raises(DataError, match=message):
                opened(tmp_path / name)


def test_a_hub_id_from_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    commit = "0" * 40
    repository = tmp_path / "models--owner--mini"
    snapshot = tiny_generators.build("mt5", repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    generator = open_generator("owner/mini?max_new_tokens=8&precision=float32")
    assert generator.signature["model"] == "owner/mini"
    local = Seq2SeqGenerator(str(snapshot), max_new_tokens=8, precision="float32")
    assert generator.signature["digest"] == local.signature["digest"]
    assert generator.generate(PASSAGES, "de", 2, 0) == local.generate(PASSAGES, "de", 2, 0)
    with pytest.raises(DataError, match="Hub did not give it"):
        open_generator("owner/mini?revision=other")
