"""Whitening in part: the directions in which all vectors vary together get less weight.

The vectors of an encoder fill a narrow cone, and a few directions carry most of their variance. An affine
map, fitted on texts without any judgement, moves their mean to the origin and divides each principal
direction by a power of its standard deviation. It becomes a dense layer of the model: every tool that
opens the model applies it, and an index and its search are what they were.

Source: Su et al. 2021, "Whitening Sentence Representations" (arXiv 2103.15316), equations 3 to 6, there
with the full power; a power below 1 and the shrinkage are ours.
"""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
from pydantic import Field, PositiveFloat, PositiveInt
from sentence_transformers.base.modules import Dense, Normalize
from torch import nn

from babelweave.errors import DataError
from babelweave.records import Float32, Float64
from babelweave.train.settings import Checked


class Whitening(Checked):
    """What follows training."""

    strength: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Power of the standard deviation that a direction is divided by: 0 adds no layer, 1 whitens (Su et
    al.)."""
    n_texts: PositiveInt = 20_000
    """Drawn from the training texts."""
    shrinkage: PositiveFloat = 1e-3
    """Added to each variance, in units of their mean: a direction that hardly varies is not blown up."""


class Affine(NamedTuple):
    """x -> weight x + bias."""

    weight: Float64
    """(d, d)."""
    bias: Float64
    """(d,)."""


def fit_whitening(vectors: Float32, strength: float, shrinkage: float) -> Affine:
    """The map for some vectors.

    With mean m and covariance V diag(l) V', lm the mean of l, and s the strength, it is

        W (x - m)   where   W = V diag((l / lm + shrinkage) ** (-s / 2)) V'

    Args:
        vectors: (n, d), n above d.
    Returns:
        weight W, symmetric, and bias -W m.
    Raises:
        DataError: no more vectors than dimensions, or all of them are equal.
    """
    n, d = vectors.shape
    if n <= d:
        raise DataError(f"whitening: {n} texts for {d} dimensions; give more than {d}")
    x = vectors.astype(np.float64)
    mean = x.mean(axis=0)
    values, directions = np.linalg.eigh(np.cov(x, rowvar=False))
    if not values.mean() > np.finfo(np.float32).eps:
        raise DataError("whitening: all texts have the same vector")
    scaled = np.maximum(values / values.mean(), 0) + shrinkage  # rounding makes some a little negative
    weight = (directions * scaled ** (-strength / 2)) @ directions.T
    return Affine(weight, -weight @ mean)


def append_whitening(model: Any, affine: Affine) -> None:
    """Put the map behind a SentenceTransformer that gives unit vectors; it still does."""
    d = len(affine.bias)
    dense = Dense(d, d, activation_function=nn.Identity())
    with torch.no_grad():
        dense.linear.weight.copy_(torch.from_numpy(affine.weight))
        dense.linear.bias.copy_(torch.from_numpy(affine.bias))
    model.append(dense.to(model.device))
    model.append(Normalize())


def remove_whitening(model: Any) -> None:
    """Take away what `append_whitening` added, where it did."""
    while any(isinstance(module, Dense) for module in model):
        del model[len(model) - 1]
