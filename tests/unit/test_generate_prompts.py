"""Prompts, decoding options and the settings of a generator's folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from babelweave.errors import DataError, UsageError
from babelweave.generate.decoding import Decoding, distinct
from babelweave.generate.prompts import CHAT, NAMED, REFERENCE, Prompt
from babelweave.generate.settings import FILE, Settings, read_settings, write_settings
from babelweave.records import Passage

PASSAGE = Passage("d", "a {deep} model", "en", "Transformer")


class TestPrompt:
    def test_the_reference_prompt_is_that_of_the_published_model(self) -> None:
        assert Prompt(REFERENCE).fill(PASSAGE, "te").text == (
            "Generate a Telugu question for this passage: Transformer a {deep} model"
        )

    def test_places(self) -> None:
        filled = Prompt("{text} / {title} in {language}").fill(PASSAGE, "zh")
        assert filled.text == "a {deep} model / Transformer in Chinese"
        assert {slot: filled.text[a:b] for slot, (a, b) in filled.places.items()} == {
            "text": "a {deep} model",
            "title": "Transformer",
            "language": "Chinese",
        }

    def test_without_a_title_its_blank_goes(self) -> None:
        bare = PASSAGE._replace(title="")
        assert Prompt(REFERENCE).fill(bare, "ar").text.endswith("for this passage: a {deep} model")
        filled = Prompt("{title} {text} {language}").fill(bare, "ar")
        assert filled.text == "a {deep} model Arabic"
        assert filled.places["text"] == (0, 14)

    def test_braces(self) -> None:
        assert Prompt('{{"{language}"}} {text}').fill(PASSAGE, "de").text == '{"German"} a {deep} model'

    def test_chat(self) -> None:
        slots = frozenset({"n", "language", "text"})
        assert "Write 7 different" in Prompt(CHAT, slots, slots | {"title"}).fill(PASSAGE, "de", 7).text

    @pytest.mark.parametrize(
        ("template", "message"),
        [
            ("Question: {text}", r"lacks \{language\}"),
            ("", r"lacks \{language\}, \{text\}"),
            ("{language} {text} {titel}", "did you mean 'title'"),
            ("{language} {text} {}", r"no slot \{\}"),
            ("{language} {text:>10}", "without a format"),
            ("{language!r} {text}", "without a format"),
            ("{language} {text", "write {{"),
            ("{language} {text} }", "write {{"),
            ("{language} {text.__class__}", "no slot"),
        ],
    )
    def test_bad_templates(self, template: str, message: str) -> None:
        with pytest.raises(UsageError, match=message):
            Prompt(template)

    def test_every_language_has_a_name(self) -> None:
        assert {"ar", "bn", "fi", "ja", "ko", "ru", "te", "zh-Hant"} <= NAMED
        for lang in NAMED:
            assert Prompt("{language}{text}").fill(PASSAGE, lang).text[0].isalpha()


class TestDecoding:
    def test_the_default_is_the_reference(self) -> None:
        assert Decoding.of(None, None, None, None, None).signature == {
            "mode": "sample",
            "top_k": 10,
            "top_p": 1.0,
            "temperature": 1.0,
        }

    def test_only_what_has_an_effect_is_in_the_signature(self) -> None:
        assert Decoding.of("greedy", None, None, None, None).signature == {"mode": "greedy"}
        assert Decoding.of("beam", None, None, None, 6).signature == {"mode": "beam", "beams": 6}

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (("samples", None, None, None, None), "did you mean 'sample'"),
            (("greedy", 5, None, 0.7, None), "top_k, temperature: without effect"),
            (("beam", None, 0.9, None, None), "top_p: without effect"),
            (("greedy", None, None, None, 4), "beams: without effect"),
            (("sample", None, None, None, 4), "beams: without effect"),
            ((None, -1, None, None, None), "top_k >= 0"),
            ((None, None, 0.0, None, None), "top_p"),
            ((None, None, 1.1, None, None), "top_p"),
            ((None, None, None, 0.0, None), "temperature"),
            ((None, None, None, float("nan"), None), "temperature"),
            (("beam", None, None, None, 0), "beams"),
        ],
    )
    def test_bad_options(self, options: tuple[Any, ...], message: str) -> None:
        with pytest.raises(UsageError, match=message):
            Decoding.of(*options)

    def test_more_questions_than_beams(self) -> None:
        with pytest.raises(UsageError, match="beams=5"):
            Decoding.of("beam", None, None, None, 4).check_n(5)

    def test_distinct(self) -> None:
        assert distinct(["b ", "a\n a", " ", "", "b", "a a"]) == ["b", "a a"]


class TestSettings:
    def test_a_folder_without_them_takes_the_reference(self, tmp_path: Path) -> None:
        assert read_settings(tmp_path) == Settings(REFERENCE, None, 256, 64)

    def test_round_trip_and_options(self, tmp_path: Path) -> None:
        settings = Settings("{language}: {text}", ("ar", "zh-Hant"), 128, 32)
        write_settings(tmp_path, settings)
        assert read_settings(tmp_path) == settings
        given = settings.given(languages="deu,zh_cn", prompt=None, max_input_tokens=64, max_new_tokens=None)
        assert given == Settings("{language}: {text}", ("de", "zh"), 64, 32)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ('{"promt": "x"}', "unknown keys promt"),
            ("[]", "no attribute"),
            ('{"languages": ["xx"]}', "'xx'"),
            ('{"languages": 3}', "not iterable"),
            ('{"max_new_tokens": "64"}', "max_new_tokens: of the wrong type"),
            ('{"max_new_tokens": 0}', "at least 1"),
            ("{", "not valid JSON"),
        ],
    )
    def test_broken_files(self, tmp_path: Path, content: str, message: str) -> None:
        (tmp_path / FILE).write_text(content)
        with pytest.raises(DataError, match=message):
            read_settings(tmp_path)

    def test_the_file_is_plain_json(self, tmp_path: Path) -> None:
        write_settings(tmp_path, Settings())
        assert json.loads((tmp_path / FILE).read_text())["languages"] is None
