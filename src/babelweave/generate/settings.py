"""What a generator's model folder says about itself: prompt, languages, lengths.

    babelweave_generator.json   {"prompt": "...", "languages": ["ar", ...] or null,
                                 "max_input_tokens": 256, "max_new_tokens": 64}

Training writes it, conversion carries it over, and every option of a SPEC goes before it. A folder without it
takes the values of the reference (Zhuang, Shou and Zuccon 2023, arXiv 2305.03950, and its code).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from babelweave.artifact import read_json, write_json
from babelweave.data.languages import canonical
from babelweave.errors import DataError, UsageError
from babelweave.generate.prompts import REFERENCE

FILE = "babelweave_generator.json"


@dataclass(frozen=True, slots=True)
class Settings:
    """Attributes:
    prompt: template, see `prompts`.
    languages: it was trained to write, as canonical codes; None where nobody said.
    max_input_tokens: of prompt and passage, special tokens included; the passage is cut to fit.
    max_new_tokens: of a question.
    """

    prompt: str = REFERENCE
    languages: tuple[str, ...] | None = None
    max_input_tokens: int = 256
    max_new_tokens: int = 64

    def __post_init__(self) -> None:
        if self.max_input_tokens < 1 or self.max_new_tokens < 1:
            raise UsageError("max_input_tokens and max_new_tokens must be at least 1")

    def given(self, *, languages: str | None, **options: Any) -> Settings:
        """With the options of a SPEC that are not None; `languages` is a list separated by commas."""
        changed = {name: value for name, value in options.items() if value is not None}
        if languages is not None:
            changed["languages"] = tuple(canonical(code) for code in languages.split(","))
        return replace(self, **changed)


def read_settings(folder: Path) -> Settings:
    """The settings of a model folder; the defaults where it has no such file.

    Raises:
        DataError: the file is broken or has other keys.
    """
    path = folder / FILE
    if not path.is_file():
        return Settings()
    data = read_json(path)
    known = [f.name for f in fields(Settings)]
    try:
        if unknown := sorted(data.keys() - set(known)):
            raise DataError(f"{path}: unknown keys {', '.join(unknown)}; expected {', '.join(known)}")
        languages = data.get("languages")
        if languages is not None:
            data["languages"] = tuple(canonical(code) for code in languages)
        kinds = {"prompt": str, "max_input_tokens": int, "max_new_tokens": int}
        if wrong := [k for k, kind in kinds.items() if type(data.get(k, kind())) is not kind]:
            raise DataError(f"{path}: {', '.join(wrong)}: of the wrong type")
        return Settings(**data)
    except (AttributeError, TypeError, UsageError) as error:
        raise DataError(f"{path}: {error}") from error


def write_settings(folder: Path, settings: Settings) -> None:
    """Write them beside the weights."""
    write_json(folder / FILE, asdict(settings))
