"""Prompts are data: templates with slots, the language to write named in English.

A template is a text with `{language}`, `{title}` and `{text}` (and `{n}`, for chat models) where the values
of a passage go; `{{` and `}}` stand for braces.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from string import Formatter
from typing import NamedTuple

from babelweave.data.languages import english_name, known_languages
from babelweave.errors import UsageError, nearest
from babelweave.records import Passage

REFERENCE = "Generate a {language} question for this passage: {title} {text}"
"""What the published xQG generators were trained with; other words would be another model.

Zhuang, Shou and Zuccon (2023), arXiv 2305.03950; ielabgroup/xor-tydi-docTquery-mt5-base."""

CHAT = (
    "Write {n} different questions in {language} that the passage below answers. Each must be a question "
    "that someone who has not seen the passage would type into a search engine: name what it is about, do "
    'not say "the passage". Answer with nothing but a JSON list of {n} strings.\n\n{title}\n{text}'
)
"""For models that follow instructions."""

NAMED = frozenset(known_languages()) | {"zh-Hant", "zh-HK"}
"""Languages a prompt can name."""


class Filled(NamedTuple):
    """A prompt with a passage in it."""

    text: str
    places: Mapping[str, tuple[int, int]]
    """Slot -> (start, end) of its value in `text`."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A template whose slots are known and complete.

    Attributes:
        template: recorded in the generator's signature.
        needed: slots it must have.
        known: slots it may have.
    Raises:
        UsageError: a needed slot is missing, another one is not known, or a brace stands alone.
    """

    template: str
    needed: frozenset[str] = frozenset({"language", "text"})
    known: frozenset[str] = frozenset({"language", "title", "text"})

    def __post_init__(self) -> None:
        slots = [slot for _, slot in self._pieces() if slot is not None]
        for slot in slots:
            if slot not in self.known:
                raise UsageError(f"prompt {self.template!r}: no slot {{{slot}}}; {nearest(slot, self.known)}")
        if missing := sorted(self.needed - set(slots)):
            wanted = ", ".join(f"{{{slot}}}" for slot in missing)
            raise UsageError(f"prompt {self.template!r}: lacks {wanted}, put it where the value belongs")

    def fill(self, passage: Passage, lang: str, n: int = 1) -> Filled:
        """The prompt for n questions in `lang`; without a title, the blank after its slot goes too."""
        values = {
            "language": english_name(lang),
            "title": passage.title,
            "text": passage.text,
            "n": str(n),
        }
        text = ""
        places: dict[str, tuple[int, int]] = {}
        untitled = False
        for literal, slot in self._pieces():
            text += literal[1:] if untitled and literal[:1].isspace() else literal
            untitled = slot == "title" and not passage.title
            if slot is not None:
                places[slot] = (len(text), len(text) + len(values[slot]))
                text += values[slot]
        return Filled(text, places)

    def _pieces(self) -> Iterator[tuple[str, str | None]]:
        """(literal text, the slot behind it) from front to back."""
        try:
            parts = list(Formatter().parse(self.template))
        except ValueError as error:
            raise UsageError(f"prompt {self.template!r}: {error}; write {{{{ for a brace") from None
        for literal, slot, form, conversion in parts:
            if form or conversion:
                raise UsageError(f"prompt {self.template!r}: {{{slot}}} stands alone, without a format")
            yield literal, slot
