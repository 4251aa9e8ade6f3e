"""Which language a text is in; needs the extra `langid` (py3langid, a model of 5 MB inside its package)."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.metadata import version
from typing import Any

from babelweave.data.languages import canonical
from babelweave.errors import MissingExtraError, UsageError


class Identifier:
    """The most probable of some languages, by py3langid (naive Bayes over byte n-grams).

    Short questions are easily taken for one in a related language, so only the languages that can be
    expected compete.

    Args:
        candidates: languages that compete; those it does not know are left out (`knows`).
    Raises:
        MissingExtraError: py3langid is not installed.
        UsageError: it knows fewer than two of the candidates.
    """

    def __init__(self, candidates: Iterable[str]) -> None:
        self._model = copy.copy(_model())  # the languages that compete are a state of its own
        known = {canonical(label): label for label in self._model.labels if _is_known(label)}
        wanted = sorted({_base(lang) for lang in candidates})
        self.candidates = tuple(lang for lang in wanted if lang in known)
        if len(self.candidates) < 2:
            raise UsageError(
                f"of {', '.join(wanted)} py3langid knows {', '.join(self.candidates) or 'none'}; it "
                "tells apart two or more. Name more candidates, or inspect without language identification"
            )
        self._model.set_languages([known[lang] for lang in self.candidates])
        self.signature = {"name": f"py3langid {version('py3langid')}", "candidates": list(self.candidates)}

    def knows(self, lang: str) -> bool:
        """Whether a language competes; of Chinese its two ways of writing count as one."""
        return _base(lang) in self.candidates

    def identify(self, texts: Sequence[str]) -> list[str]:
        """The most probable candidate of each text, as a tag without script."""
        return [canonical(self._model.classify(text)[0]) for text in texts]


@cache
def _model() -> Any:
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "telling languages apart needs 'py3langid'; install it with: pip install 'babelweave[langid]'"
        ) from error
    return LanguageIdentifier.from_model_file(MODEL_FILE)


def _base(lang: str) -> str:
    return canonical(lang).partition("-")[0]


def _is_known(label: str) -> bool:
    try:
        canonical(label)
    except UsageError:
        return False
    return True
