"""Generators that come with the installation, as folders."""

from __future__ import annotations

from pathlib import Path


def mini_qg() -> Path:
    """babelweave-mini-qg, a lexicon of 24 languages beside English; its card is README.md beside it."""
    return Path(__file__).resolve().parents[1] / "models" / "babelweave-mini-qg"
