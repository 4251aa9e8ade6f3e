"""What the adjustments of a study are fitted on: texts that say the same in every language it meets."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from babelweave.artifact import digest_texts
from babelweave.data.parallel.read import read_parallel
from babelweave.encode.adjust import Adjustment, check_erasure, fit
from babelweave.errors import DataError, UsageError
from babelweave.protocols import Encoder
from babelweave.recipe import data_path
from babelweave.records import Float32, Role
from babelweave.study.sections import Adjust

ROLES: tuple[Role, ...] = ("passage", "query")
"""Texts are encoded as both, since both are compared; a map that fits one of them alone would part them."""

Keep = Callable[[Sequence[str], Callable[[], Float32]], Float32]
"""Vectors under a key, made where they are not there yet."""


@dataclass(frozen=True, slots=True)
class Fitting:
    """An adjustment to be fitted for a model.

    Attributes:
        settings: of the recipe.
        languages: sorted.
        texts: language -> its texts; the i-th of each say the same.
    """

    settings: Adjust
    languages: tuple[str, ...]
    texts: Mapping[str, Sequence[str]]

    @property
    def n_texts(self) -> int:
        """To be encoded, in both roles."""
        return len(ROLES) * sum(map(len, self.texts.values()))

    @property
    def digest(self) -> str:
        """Of the texts and their languages."""
        return digest_texts(part for lang in self.languages for part in (lang, *self.texts[lang]))

    @property
    def key(self) -> str:
        """Of all that decides the adjustment, but the model."""
        return json.dumps([self.settings.kind, self.digest])

    def told(self) -> dict[str, Any]:
        """JSON values for results and report."""
        return {
            "kind": self.settings.kind,
            "parallel": list(self.settings.parallel),
            "languages": list(self.languages),
            "texts_per_language": len(self.texts[self.languages[0]]),
        }

    def fit(self, encoder: Encoder, model: str, keep: Keep) -> Adjustment:
        """The adjustment of a model.

        Args:
            model: its key.
            keep: where vectors of the texts lie; adjustments of the same texts share them.
        Raises:
            DataError, MissingExtraError: as `encode.adjust.fit`.
        """
        texts = [text for lang in self.languages for text in self.texts[lang]]
        told = [lang for lang in self.languages for _ in self.texts[lang]]
        parts = [
            keep([model, "fitting", self.digest, role], lambda role=role: encoder.encode(texts, role).vectors)  # type: ignore[misc]
            for role in ROLES
        ]
        unit = encoder.signature.normalised
        return fit(self.settings.kind, np.concatenate(parts), told * len(ROLES), unit=unit)


def read_fitting(settings: Adjust, root: str | None, languages: Collection[str]) -> Fitting:
    """Read what an adjustment is fitted on.

    Args:
        languages: that are asked, searched or woven; fitted on where the recipe names none.
    Raises:
        UsageError: languages named by the recipe that leave out one of these, where it matters.
        DataError: parallel text that is missing or broken, or fewer than two texts in all the languages.
        MissingExtraError: languages are to be erased, and concept-erasure is not installed.
    """
    if settings.kind == "erase":
        check_erasure()
    wanted = tuple(sorted(settings.languages or languages))
    if settings.kind == "centre" and (unfitted := sorted(set(languages) - set(wanted))):
        raise UsageError(
            f"adjustment {settings.name}: {', '.join(unfitted)} will be met, but no mean of it is fitted; "
            "add it to languages, or name none"
        )
    found: dict[str, dict[str, str]] = {lang: {} for lang in wanted}
    for source in settings.parallel:
        for pair in read_parallel(source, data_path(".", root), [lang for lang in wanted if lang != "en"]):
            found[pair.lang].setdefault(pair.group, pair.text)
            if "en" in found:
                found["en"].setdefault(pair.group, pair.english)
    empty = [lang for lang, texts in found.items() if not texts]
    shared = [group for group in found[wanted[0]] if all(group in found[lang] for lang in wanted)]
    if empty or len(shared) < 2:
        lack = f"nothing in {', '.join(empty)}" if empty else f"{len(shared)} texts in all of them"
        raise DataError(
            f"adjustment {settings.name}: {', '.join(settings.parallel)} have {lack} "
            f"(of {', '.join(wanted)}); name other parallel text, or fewer languages"
        )
    n = min(settings.limit, len(shared))
    groups = [shared[i * len(shared) // n] for i in range(n)]
    return Fitting(settings, wanted, {lang: [found[lang][group] for group in groups] for lang in wanted})
