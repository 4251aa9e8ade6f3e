"""Random encoders of a few kilobytes, built in seconds, for tests that need a model and not its meaning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig,
    BertModel,
    MT5Config,
    MT5EncoderModel,
    PreTrainedTokenizerFast,
    XLMRobertaConfig,
    XLMRobertaModel,
)
from transformers.utils import logging as transformers_logging

transformers_logging.disable_progress_bar()

SENTENCES = [
    "the quick brown fox jumps over the lazy dog near the river bank",
    "a vector store keeps the passages and the questions of a collection",
    "der schnelle braune Fuchs springt über den faulen Hund am Flussufer",
    "welche Stadt ist die Hauptstadt und wie viele Menschen wohnen dort",
    "какая река течёт через столицу и впадает в море",
    "ما هي عاصمة البلاد وكم عدد سكانها اليوم",
    "नदी के किनारे एक पुराना शहर है",
    "这 座 城市 位于 河流 旁边 历史 悠久",
    "el zorro marrón salta sobre el perro perezoso",
    "con cáo nâu nhanh nhẹn nhảy qua con chó lười",
]
MAX_TOKENS = 24
KINDS = ("bert", "xlmr", "mt5")


def tokenizer(kind: str, *, model_max_length: int | None = MAX_TOKENS) -> PreTrainedTokenizerFast:
    """A Unigram tokenizer with the special tokens and the template of the model family."""
    names = {
        "bert": {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]"},
        "xlmr": {"cls": "<s>", "pad": "<pad>", "sep": "</s>", "unk": "<unk>"},
        "mt5": {"pad": "<pad>", "eos": "</s>", "unk": "<unk>"},
    }[kind]
    raw = Tokenizer(models.Unigram())
    raw.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(r"\s+"), " ")])
    raw.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    raw.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=300, special_tokens=list(names.values()), unk_token=names["unk"], show_progress=False
    )
    raw.train_from_iterator(SENTENCES * 3, trainer)
    end = names.get("sep") or names["eos"]
    start = f"{names['cls']} " if "cls" in names else ""
    used = [names[n] for n in ("cls", "sep", "eos") if n in names]
    raw.post_processor = processors.TemplateProcessing(
        single=f"{start}$A {end}", special_tokens=[(token, raw.token_to_id(token)) for token in used]
    )
    inputs = ["input_ids", "attention_mask"] + (["token_type_ids"] if kind == "bert" else [])
    length: dict[str, Any] = {} if model_max_length is None else {"model_max_length": model_max_length}
    special = {f"{name}_token": token for name, token in names.items()}
    return PreTrainedTokenizerFast(tokenizer_object=raw, model_input_names=inputs, **special, **length)


def build(kind: str, folder: Path, *, seed: int = 0, model_max_length: int | None = MAX_TOKENS) -> Path:
    """Save a plain Hugging Face encoder folder: random weights, 32 dimensions, 2 layers."""
    tok = tokenizer(kind, model_max_length=model_max_length)
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if kind == "bert":
            config: Any = BertConfig(vocab_size=len(tok), max_position_embeddings=MAX_TOKENS, **shape)
            model: Any = BertModel(config)
        elif kind == "xlmr":
            config = XLMRobertaConfig(
                vocab_size=len(tok),
                max_position_embeddings=MAX_TOKENS + 2,
                pad_token_id=tok.pad_token_id,
                **shape,
            )
            model = XLMRobertaModel(config)
        else:
            config = MT5Config(vocab_size=len(tok), d_model=32, d_kv=16, d_ff=64, num_layers=2, num_heads=2)
            model = MT5EncoderModel(config)
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    tok.save_pretrained(folder)
    return folder
