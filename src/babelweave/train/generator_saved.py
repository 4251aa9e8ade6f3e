"""Save a generator as the folder that transformers and `babelweave generate` open, with its card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from babelweave.artifact import read_json, read_manifest, write_json, write_text
from babelweave.generate.decoding import Decoding
from babelweave.generate.settings import Settings, read_settings, write_settings
from babelweave.train.card import Card, begin_facts, compose_card, section, table
from babelweave.train.folder import KIND
from babelweave.train.saved import CARD, Weights, store_as, system_errors, write_older_tokenizer
from babelweave.weights import model_digest, quiet

TAGS = ("question-generation", "cross-lingual", "babelweave")
LIBRARY, TASK = "transformers", "text2text-generation"


def write_generator(model: Any, tokenizer: Any, folder: Path, settings: Settings, weights: Weights) -> None:
    """Write the files of a generator into a folder that exists; equal calls give equal bytes.

    Args:
        model: an encoder-decoder of transformers.
        tokenizer: as it was opened; what a call has set would be saved.
        settings: prompt, languages and lengths it is used with.
        weights: how they are stored; `config.json` says float32.
    Raises:
        DataError: weights that float16 cannot hold.
    """
    with quiet(), system_errors():
        model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    config = read_json(folder / "config.json")
    write_json(folder / "config.json", {k: v for k, v in config.items() if k != "_name_or_path"})
    write_older_tokenizer(folder, settings.max_input_tokens)
    store_as(folder, weights, computed_in="float32")
    write_settings(folder, settings)


def write_generator_card(folder: Path, card: Card, weights: Weights) -> None:
    """Write README.md of a generator that lies there.

    Raises:
        DataError: no model babelweave saved.
    """
    commit = read_manifest(folder, KIND).commit
    settings, config = read_settings(folder), read_json(folder / "config.json")
    sections = [
        section("Use", _use(card, settings)),
        section("What it is", table(("", ""), _facts(card, settings, config, weights))),
    ]
    write_text(folder / CARD, compose_card(card, sections, model_digest(folder), commit))


def _use(card: Card, settings: Settings) -> str:
    languages = ",".join(settings.languages or ())
    return (
        f"```bash\nbabelweave generate COLLECTION --generator {card.name} --languages {languages} "
        f"--per-language 5 --out QUERIES\nbabelweave convert {card.name} --out {card.name}-int8  "
        "# faster on a CPU\n```\n\n"
        "Prompt, languages and lengths stand in the folder; the prompt names the language to write in "
        f"English:\n\n```text\n{settings.prompt}\n```"
    )


def _facts(card: Card, settings: Settings, config: Any, weights: str) -> list[tuple[str, Any]]:
    drawn = Decoding.of(None, None, None, None, None)
    return [
        *begin_facts(card),
        ("architecture", f"{config['model_type']}, {config['d_model']} dimensions"),
        ("tokens read of prompt and passage", settings.max_input_tokens),
        ("tokens of a question", settings.max_new_tokens),
        ("made for", f"drawing from the {drawn.top_k} likeliest tokens, several questions of a passage"),
        ("weights", f"stored in {weights}; computed in float32 or bfloat16"),
    ]
