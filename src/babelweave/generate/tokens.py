"""Passages to the token ids of prompts, and token ids back to questions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from babelweave.data.languages import canonical
from babelweave.errors import DataError, UsageError, nearest
from babelweave.generate.prompts import NAMED, Filled, Prompt
from babelweave.generate.settings import Settings
from babelweave.records import Passage
from babelweave.weights import first_line


class Inputs(NamedTuple):
    """Token ids of each prompt, special tokens included, and how many passages were cut to fit."""

    ids: list[list[int]]
    n_cut: int


class PromptTokenizer:
    """A model's tokenizer that knows the prompt, and the model's language tokens where it has them (mBART).

    Args:
        tokenizer: a fast one of transformers; `src_lang` tells that it has language tokens.
        settings: the prompt, the languages it may write, and `max_input_tokens`. What is too much is taken
            from the end of the passage's text, then of its title, wherever the template has them; the
            instruction always stays.
    Raises:
        UsageError: a prompt without its slots or longer than what is read, or a language it cannot be told.
    """

    def __init__(self, tokenizer: Any, settings: Settings) -> None:
        self.tokenizer, self._max_tokens = tokenizer, settings.max_input_tokens
        self.language_tokens = _language_tokens(tokenizer) if hasattr(tokenizer, "src_lang") else None
        needed = {"text"} if self.language_tokens else {"language", "text"}
        self._prompt = Prompt(settings.prompt, frozenset(needed))
        possible = NAMED if self.language_tokens is None else frozenset(self.language_tokens)
        self.languages = possible if settings.languages is None else frozenset(settings.languages)
        """That it may write: what nobody limited is all that the prompt can name, or that has a token."""
        if unknown := sorted(self.languages - possible):
            raise UsageError(
                f"languages: the model cannot be told {unknown[0]!r}; {nearest(unknown[0], possible)}"
            )
        alone = len(self._encode([self._prompt.fill(Passage("", "", "en"), "en")])[0].ids)
        if alone >= self._max_tokens:
            raise UsageError(
                f"max_input_tokens={self._max_tokens}: the prompt alone takes {alone}; allow more than that"
            )

    @classmethod
    def open(cls, folder: Path, settings: Settings) -> PromptTokenizer:
        """That of a model folder.

        Raises:
            DataError: missing, broken or slow.
        """
        from transformers import AutoTokenizer

        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        except (OSError, ValueError, LookupError, TypeError, AttributeError, ImportError) as error:
            raise DataError(f"{folder}: the tokenizer cannot be opened ({first_line(error)})") from error
        if not tokenizer.is_fast:
            raise DataError(
                f"{folder}: no fast tokenizer (tokenizer.json); convert it with transformers first"
            )
        return cls(tokenizer, settings)

    def read(self, passages: Sequence[Passage], lang: str) -> Inputs:
        """Prompts in the order of the passages.

        Raises:
            DataError: a model with language tokens has none for the language of a passage.
        """
        ids: list[list[int]] = [[] for _ in passages]
        n_cut = 0
        for source, places in self._by_source(passages).items():
            if source:
                self.tokenizer.src_lang = source
            filled = [self._prompt.fill(passages[i], lang) for i in places]
            for i, one, encoding in zip(places, filled, self._encode(filled), strict=True):
                ids[i] = _fit(encoding, one, self._max_tokens)
                n_cut += len(ids[i]) < len(encoding.ids)
        return Inputs(ids, n_cut)

    def targets(self, questions: Sequence[str], lang: str, max_tokens: int) -> tuple[list[list[int]], int]:
        """What a model is trained to write: questions with their end, and a language token if there is one.

        Args:
            max_tokens: special tokens included; what is too much is taken from the end of the question.
        Returns:
            Token ids in the order of the questions, and how many were cut.
        """
        if self.language_tokens is not None:
            self.tokenizer.tgt_lang = self.language_tokens[lang]
        encodings: Sequence[Any] = self.tokenizer(text_target=list(questions), verbose=False).encodings
        fitted = [_shortened(encoding, max_tokens) for encoding in encodings]
        n_cut = sum(len(ids) < len(e.ids) for ids, e in zip(fitted, encodings, strict=True))
        return fitted, n_cut

    def write(self, rows: Sequence[Sequence[int]]) -> list[str]:
        """The texts of generated rows, special tokens left out."""
        texts: list[str] = self.tokenizer.batch_decode(rows, skip_special_tokens=True)
        return texts

    def _by_source(self, passages: Sequence[Passage]) -> dict[str, list[int]]:
        """Language token of the passages ("" where the model has none) -> their places."""
        places: dict[str, list[int]] = defaultdict(list)
        for i, passage in enumerate(passages):
            if self.language_tokens is None:
                places[""].append(i)
            elif passage.lang in self.language_tokens:
                places[self.language_tokens[passage.lang]].append(i)
            else:
                raise DataError(
                    f"passage {passage.doc_id!r} is in {passage.lang!r}, for which the model has no token; "
                    f"it has {', '.join(sorted(self.language_tokens))}"
                )
        return places

    def _encode(self, filled: Sequence[Filled]) -> Sequence[Any]:
        encodings: Sequence[Any] = self.tokenizer([f.text for f in filled], verbose=False).encodings
        return encodings


def _language_tokens(tokenizer: Any) -> dict[str, str]:
    """Canonical language -> the special token that stands for it (`de` -> `de_DE`)."""
    found: dict[str, str] = {}
    for token in tokenizer.all_special_tokens:
        try:
            found.setdefault(canonical(token), token)
        except UsageError:
            continue
    return found


def _shortened(encoding: Any, max_tokens: int) -> list[int]:
    """Ids without as many of the last that are no special tokens as are too many."""
    excess = len(encoding.ids) - max_tokens
    if excess <= 0:
        return list(encoding.ids)
    own = [i for i, special in enumerate(encoding.special_tokens_mask) if not special]
    left_out = set(own[-excess:])
    return [token for i, token in enumerate(encoding.ids) if i not in left_out]


def _fit(encoding: Any, filled: Filled, max_tokens: int) -> list[int]:
    """The ids of a prompt without as many tokens from the end of text and title as are too many."""
    excess = len(encoding.ids) - max_tokens
    if excess <= 0:
        return list(encoding.ids)
    inside = [
        i
        for slot in ("title", "text")
        if slot in filled.places
        for i, (start, end) in enumerate(encoding.offsets)
        if start < filled.places[slot][1] and end > filled.places[slot][0]
    ]
    left_out = set(inside[-excess:])
    return [token for i, token in enumerate(encoding.ids) if i not in left_out]
