"""Random encoder-decoders of a few kilobytes, and passages for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import (
    MBartConfig,
    MBartForConditionalGeneration,
    MT5Config,
    MT5ForConditionalGeneration,
    T5Config,
    T5ForConditionalGeneration,
    UMT5Config,
    UMT5ForConditionalGeneration,
)
from transformers.models.mbart.tokenization_mbart import MBartTokenizer
from transformers.models.mbart50.tokenization_mbart50 import MBart50Tokenizer

import tiny_encoders
from babelweave.records import Passage

T5_KINDS = ("t5", "t5v1.1", "mt5", "umt5")
KINDS = (*T5_KINDS, "mbart", "mbart50")
PASSAGES = [
    Passage(f"d{i}", text, "en", title)
    for i, (title, text) in enumerate(
        [
            ("The fox", "the quick brown fox jumps over the lazy dog near the river bank"),
            ("", "a vector store keeps the passages"),
            ("Cities", "the old city near the river " * 9),
            ("", "questions of a collection"),
            ("River bank", "a quick brown dog keeps the river and the questions of the lazy fox"),
        ]
    )
]


def build(kind: str, folder: Path, *, seed: int = 0, eager: bool = True) -> Path:
    """Save a generator folder: random weights, 32 dimensions, 2 layers.

    Args:
        kind: of `KINDS`; "t5v1.1" has an output layer of its own and does not scale before it.
        eager: weights so large that some tokens are far likelier than others.
    """
    tokenizer = _mbart(kind) if kind.startswith("mbart") else tiny_encoders.tokenizer("mt5")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _model(kind, tokenizer)
        if eager:
            with torch.no_grad():
                for name, weight in model.named_parameters():
                    if weight.dim() > 1 and "shared" not in name and "relative" not in name:
                        weight.mul_(3.0)
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _model(kind: str, tokenizer: Any) -> Any:
    if kind.startswith("mbart"):
        start = tokenizer.eos_token_id if kind == "mbart50" else None
        config = MBartConfig(
            vocab_size=len(tokenizer),
            d_model=32,
            encoder_layers=2,
            decoder_layers=2,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            encoder_ffn_dim=64,
            decoder_ffn_dim=64,
            max_position_embeddings=320,
            decoder_start_token_id=start,
            init_std=0.3,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
            bos_token_id=tokenizer.bos_token_id,
        )
        return MBartForConditionalGeneration(config)
    configs = {
        "t5": (T5Config, T5ForConditionalGeneration),
        "t5v1.1": (T5Config, T5ForConditionalGeneration),
        "mt5": (MT5Config, MT5ForConditionalGeneration),
        "umt5": (UMT5Config, UMT5ForConditionalGeneration),
    }
    make_config, make_model = configs[kind]
    options: dict[str, Any] = {"tie_word_embeddings": False} if kind == "t5v1.1" else {}
    return make_model(
        make_config(
            vocab_size=len(tokenizer),
            d_model=32,
            d_kv=16,
            d_ff=64,
            num_layers=2,
            num_heads=2,
            decoder_start_token_id=0,
            feed_forward_proj="relu" if kind == "t5" else "gated-gelu",
            **options,
        )
    )


def _mbart(kind: str) -> Any:
    words = [piece for piece, _ in _pieces()]
    # The newer class takes the order of sentencepiece and puts its own special tokens first.
    special = ["<unk>", "<s>", "</s>"] if kind == "mbart50" else ["<s>", "<pad>", "</s>", "<unk>"]
    vocabulary = [(token, 0.0) for token in special] + [(w, -float(i)) for i, w in enumerate(words)]
    made = MBart50Tokenizer if kind == "mbart50" else MBartTokenizer
    return made(vocab=vocabulary, src_lang="en_XX")


def _pieces() -> list[tuple[str, int]]:
    vocabulary = tiny_encoders.tokenizer("mt5").get_vocab()
    pieces = sorted(vocabulary.items(), key=lambda item: item[1])
    return [(piece, i) for piece, i in pieces if not piece.startswith("<")]
