"""Random models of a few kilobytes in the layouts of the field."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any


def write_cross_encoder(
    folder: Path, words: Sequence[str], *, max_tokens: int = 32, n_labels: int = 1, seed: int = 0
) -> Path:
    """A random BERT cross-encoder that knows some words."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    tokenizer = _tokenizer(words, max_tokens)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        num_labels=n_labels,
        initializer_range=1.0,  # scores far apart
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = BertForSequenceClassification(config).eval()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_word_encoder(
    folder: Path, words: Sequence[str], *, dimension: int = 64, max_tokens: int = 64, seed: int = 0
) -> Path:
    """A plain BERT of one layer that knows some words and nothing of them yet."""
    import torch
    from transformers import BertConfig, BertModel

    tokenizer = _tokenizer(words, max_tokens)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=dimension,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=dimension,
        max_position_embeddings=max_tokens,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_static_encoder(folder: Path, words: Sequence[str], *, dimension: int = 16, seed: int = 0) -> Path:
    """A sentence-transformers encoder that averages random word vectors."""
    import numpy as np
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    tokenizer = _tokenizer(words, 512)
    weights = np.random.default_rng(seed).standard_normal((len(tokenizer), dimension)).astype(np.float32)
    embedding = StaticEmbedding(tokenizer.backend_tokenizer, embedding_weights=weights)
    SentenceTransformer(modules=[embedding], similarity_fn_name="dot").save_pretrained(
        str(folder), create_model_card=False
    )
    return folder


def _tokenizer(words: Sequence[str], max_tokens: int) -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = {word: i for i, word in enumerate([*special, *words])}
    splitter = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    splitter.pre_tokenizer = pre_tokenizers.Whitespace()
    splitter.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=splitter,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=max_tokens,
    )
