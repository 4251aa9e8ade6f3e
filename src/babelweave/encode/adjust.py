"""Vectors adjusted for language, so that what is compared tells less about the language a text is in.

    centre   x - mean of the vectors of its language
    erase    the affine map nearest to the identity after which no linear probe tells languages apart (LEACE)

Both are fitted on texts that say the same in every language, so that language is all that differs, and are
applied to passages, generated queries and questions alike: before anything is fused or compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from babelweave.errors import DataError, MissingExtraError, UsageError, nearest
from babelweave.records import Float32, Float64

Kind = Literal["centre", "erase"]


@dataclass(frozen=True, slots=True)
class Centring:
    """The mean of each language taken away (Libovický et al. 2020, arXiv 2004.05160).

    Attributes:
        means: language -> float32 (d,).
        unit: scale what is left to length 1; a vector of zeros stays.
    """

    means: Mapping[str, Float32]
    unit: bool

    def apply(self, vectors: Float32, languages: Sequence[str]) -> Float32:
        """(n, d) and the language of each row -> (n, d); nothing is written into `vectors`.

        Raises:
            UsageError: a language whose mean was not fitted.
        """
        if unknown := sorted(set(languages) - self.means.keys()):
            raise UsageError(f"no mean of {unknown[0]!r} was fitted; {nearest(unknown[0], self.means)}")
        moved: Float32 = vectors.copy()
        told = np.array(languages)
        for lang in set(languages):
            moved[told == lang] -= self.means[lang]
        return _unit(moved) if self.unit else moved


@dataclass(frozen=True, slots=True)
class Erasure:
    """An affine map that takes languages out of vectors: x - (x - centre) right' left'.

    Attributes:
        left: float32 (d, l), for l languages.
        right: float32 (l, d).
        centre: float32 (d,), the mean of all that it was fitted on, which stays where it is.
        unit: as `Centring`.
    """

    left: Float32
    right: Float32
    centre: Float32
    unit: bool

    def apply(self, vectors: Float32, languages: Sequence[str]) -> Float32:
        """(n, d) -> (n, d); the map is one for all, so the languages are not looked at."""
        told = (vectors - self.centre) @ self.right.T
        moved = (vectors - told @ self.left.T).astype(np.float32, copy=False)
        return _unit(moved) if self.unit else moved


Adjustment = Centring | Erasure


def fit(kind: Kind, vectors: Float32, languages: Sequence[str], *, unit: bool) -> Adjustment:
    """An adjustment by its kind; arguments and errors as `fit_centring` and `fit_erasure`."""
    return (fit_centring if kind == "centre" else fit_erasure)(vectors, languages, unit=unit)


def fit_centring(vectors: Float32, languages: Sequence[str], *, unit: bool) -> Centring:
    """The mean vector of every language.

    Args:
        vectors: (n, d), best of texts that say the same in each language.
        languages: (n,), the language of each.
        unit: whether the encoder gives vectors of length 1, and adjusted ones are to be so too.
    Raises:
        DataError: fewer than two languages.
    """
    told = _checked(vectors, languages)
    means = {lang: vectors[told == lang].mean(axis=0, dtype=np.float64) for lang in sorted(set(languages))}
    return Centring({lang: mean.astype(np.float32) for lang, mean in means.items()}, unit)


def fit_erasure(vectors: Float32, languages: Sequence[str], *, unit: bool) -> Erasure:
    """LEACE (Belrose et al. 2023, arXiv 2306.03819) of the language, by its authors' library at its defaults.

    Linear guardedness holds for the map; scaling to length 1 behind it is not linear, so a probe may find
    a little of the language again.

    Args:
        vectors, languages, unit: as `fit_centring`.
    Raises:
        DataError: fewer than two languages.
        MissingExtraError: concept-erasure is not installed.
    Cost: O(n d^2 + d^3) in float64, a second for 384 dimensions and 10,000 texts.
    """
    told = _checked(vectors, languages)
    check_erasure()
    import torch
    from concept_erasure import LeaceEraser

    known = sorted(set(languages))
    concept: Float64 = (told[:, None] == np.array(known)).astype(np.float64)
    eraser = LeaceEraser.fit(torch.from_numpy(vectors.astype(np.float64)), torch.from_numpy(concept))
    left, right, centre = (part.numpy() for part in (eraser.proj_left, eraser.proj_right, eraser.bias))
    return Erasure(left.astype(np.float32), right.astype(np.float32), centre.astype(np.float32), unit)


def check_erasure() -> None:
    """Refuse early where `fit_erasure` could not run.

    Raises:
        MissingExtraError: concept-erasure is not installed.
    """
    from importlib.util import find_spec

    if find_spec("concept_erasure") is None:
        raise MissingExtraError(
            "erasing languages needs 'concept_erasure'; install it with: pip install 'babelweave[erase]'"
        )


def _checked(vectors: Float32, languages: Sequence[str]) -> np.ndarray[tuple[int], np.dtype[np.str_]]:
    if len(set(languages)) < 2:
        raise DataError(
            f"an adjustment is fitted on {len(set(languages))} language, "
            f"{', '.join(sorted(set(languages))) or 'none'}; two are needed for it to tell them apart"
        )
    if len(vectors) != len(languages):
        raise DataError(f"{len(vectors)} vectors of {len(languages)} languages; expected one for each")
    return np.array(languages)


def _unit(vectors: Float32) -> Float32:
    lengths: Float32 = np.linalg.norm(vectors, axis=1, keepdims=True).astype(np.float32)
    lengths[lengths == 0] = 1
    return vectors / lengths
