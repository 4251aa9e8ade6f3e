"""The encoder-decoder a generator's training begins with: a published one, or a small new one."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, PositiveInt
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    AutoTokenizer,
    MT5Config,
    MT5ForConditionalGeneration,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

from babelweave import registry
from babelweave.artifact import digest_texts, read_manifest, seal, write_folder
from babelweave.errors import DataError, UsageError
from babelweave.generate.models import model_folder
from babelweave.train.folder import n_processes
from babelweave.train.generator_data import spread
from babelweave.train.saved import Weights
from babelweave.train.settings import Checked
from babelweave.weights import first_line, quiet

logger = logging.getLogger(__name__)

KIND = "new generator"
_SPECIAL = ("<pad>", "</s>", "<unk>")
"""In the order of T5's own vocabulary."""
_LONGEST = 16
"""Characters of a piece, as SentencePiece has it."""
_DIGITS = 4
"""Of a piece's log probability; the last ones of a sum depend on its order."""
_STEP = 1e-4
"""Between the scores of characters that the trainer of pieces learned nothing about."""
_REPEATED = 200
"""Times the words of a prompt are read beside the texts, so that they become pieces."""


class NewModel(Checked):
    """A small encoder-decoder with random weights; defaults are those of t5-efficient-mini but for the
    decoder, which runs once for each token written."""

    family: Literal["t5", "mt5"] = "mt5"
    """Architecture as transformers has it: gated GELU, input and output embeddings shared. t5 scales its
    output down and begins with a large embedding, which AdamW moves slowly; mt5 begins with a small one."""
    d_model: PositiveInt = 384
    d_ff: PositiveInt = 1536
    """Width inside a feed-forward layer."""
    d_kv: PositiveInt = 32
    """Width of a head."""
    n_heads: PositiveInt = 8
    n_layers: PositiveInt = 4
    """Of the encoder."""
    n_decoder_layers: PositiveInt = 2
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Of T5."""
    tokenizer: str | None = None
    """Folder of a tokenizer with an end and a padding token. This or `vocabulary_size`."""
    vocabulary_size: PositiveInt | None = None
    """Pieces of a Unigram vocabulary learned from the texts of `data`, as SentencePiece does it; characters
    that are frequent enough are never left out for it."""
    max_characters: PositiveInt = 1_000_000
    """Text of a language that the vocabulary is learned from."""
    min_count: PositiveInt = 4
    """Times a character has to stand in the text of a language to be known."""

    def _contradictions(self) -> Iterator[str]:
        if (self.tokenizer is None) == (self.vocabulary_size is None):
            yield "give tokenizer or vocabulary_size"
        if self.tokenizer is not None:
            for key in sorted(self.model_fields_set & {"max_characters", "min_count"}):
                yield f"{key} has no effect on a tokenizer that exists"


class GeneratorModel(Checked):
    """The encoder-decoder that is trained."""

    base: str | None = None
    """A folder, Hub id or registered model of T5, mT5, umT5 or mBART. This or `new`."""
    revision: str | None = None
    """Branch, tag or commit on the Hub."""
    new: NewModel | None = None
    weights: Weights = "float32"
    """How the trained weights are stored. float16 halves the files; `config.json` says float32 all the same,
    so that transformers computes in it."""

    def _contradictions(self) -> Iterator[str]:
        if (self.base is None) == (self.new is None):
            yield "give base or new"
        if self.revision is not None and self.base is None:
            yield "revision has no effect on a new model"


def base_folder(base: str, revision: str | None) -> Path:
    """Where a base lies: that of a registered generator, a folder, or what the Hub gives.

    Raises:
        UsageError: a registered generator without weights.
        DataError: no such folder, or the Hub does not give it.
    """
    if not Path(base).is_dir() and base in registry.names("generator"):
        found = registry.load("generator", base)
        if isinstance(found, type):
            raise UsageError(f"model.base {base!r} has no weights to train; name a model folder or a Hub id")
        return Path(found())
    return model_folder(base, revision)


def make_new(
    settings: NewModel, texts: Mapping[str, Sequence[str]], prompts: Sequence[str], folder: Path, seed: int
) -> None:
    """Write a model that has seen no training step; nothing where `folder` holds the one asked for.

    Args:
        texts: language -> what a vocabulary is learned from.
        prompts: instructions without a passage, which the vocabulary shall hold.
        seed: of the weights.
    Raises:
        DataError: no tokenizer there, or one without an end or padding.
        UsageError: several processes, which would each make their own.
    Cost: of a vocabulary, about ten seconds for a million characters on one core.
    """
    asked = {
        "model": settings.model_dump(mode="json"),
        "texts": digest_texts(text for lang in sorted(texts) for text in (lang, *texts[lang])),
        "prompts": digest_texts(prompts),
        "seed": seed,
    }
    if folder.exists() and read_manifest(folder, KIND).settings == asked:
        return
    if n_processes() > 1:
        raise UsageError(
            "model.new is made by one process; save it with optimisation.max_steps=0, then train with it as "
            "base"
        )
    if settings.tokenizer is None:
        logger.info("learning a vocabulary of %s pieces", settings.vocabulary_size)
        tokenizer: Any = learn_tokenizer(settings, texts, prompts)
    else:
        tokenizer = _open_tokenizer(settings.tokenizer)
    model = new_model(settings, tokenizer, seed)
    with write_folder(folder, KIND, overwrite=True) as aside:
        with quiet():
            model.save_pretrained(aside)
        tokenizer.save_pretrained(aside)
        seal(aside, KIND, asked, counts={"parameters": model.num_parameters(), "pieces": len(tokenizer)})


def new_model(settings: NewModel, tokenizer: Any, seed: int) -> Any:
    """A T5 or mT5 with random weights.

    T5 scales what its shared embedding gives out by d_model ** -0.5, mT5 does not: its embedding begins so
    much smaller, or the first losses would be in the hundreds.
    """
    make_config, make_model = {
        "t5": (T5Config, T5ForConditionalGeneration),
        "mt5": (MT5Config, MT5ForConditionalGeneration),
    }[settings.family]
    config = make_config(
        vocab_size=len(tokenizer),
        d_model=settings.d_model,
        d_ff=settings.d_ff,
        d_kv=settings.d_kv,
        num_heads=settings.n_heads,
        num_layers=settings.n_layers,
        num_decoder_layers=settings.n_decoder_layers,
        dropout_rate=settings.dropout,
        feed_forward_proj="gated-gelu",
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        model = make_model(config)
    if settings.family == "mt5":
        with torch.no_grad():
            model.get_input_embeddings().weight.mul_(settings.d_model**-0.5)
    return model


def _open_tokenizer(folder: str) -> Any:
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, ImportError) as error:
        raise DataError(f"model.new.tokenizer {folder!r}: cannot be opened ({first_line(error)})") from error
    if tokenizer.eos_token_id is None or tokenizer.pad_token_id is None:
        raise DataError(
            f"model.new.tokenizer {folder!r}: has no end or no padding token (eos_token, pad_token); take "
            "one of the T5 family, or vocabulary_size"
        )
    return tokenizer


def learn_tokenizer(
    settings: NewModel, texts: Mapping[str, Sequence[str]], prompts: Sequence[str]
) -> PreTrainedTokenizerFast:
    """A Unigram vocabulary (Kudo 2018) over all languages alike, in the form of T5's: `pieces </s>`.

    Words begin with a mark; punctuation and digits stand alone. Text is normalised to NFKC, and keeps its
    case: it is what the model will write.
    """
    names = dict(zip(("pad", "eos", "unk"), _SPECIAL, strict=True))
    raw = Tokenizer(models.Unigram())
    raw.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
    )
    raw.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Metaspace(prepend_scheme="always"),
            pre_tokenizers.Punctuation(),
            pre_tokenizers.Digits(individual_digits=True),
        ]
    )
    raw.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=settings.vocabulary_size or 0,
        special_tokens=list(_SPECIAL),
        unk_token=names["unk"],
        max_piece_length=_LONGEST,
        show_progress=False,
    )
    raw.train_from_iterator(_known_characters(settings, texts, prompts, raw.normalizer), trainer)
    raw.model = _in_order(json.loads(raw.to_str())["model"]["vocab"])
    raw.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=raw,
        model_input_names=["input_ids", "attention_mask"],
        **{f"{role}_token": token for role, token in names.items()},
    )


def _in_order(learned: Sequence[tuple[str, float]]) -> Any:
    """The pieces by falling probability.

    The trainer gives characters that it learned nothing about scores a step apart near the lowest, in an
    order that changes from run to run; they share the lowest here.
    """
    pieces = [(piece, score) for piece, score in learned if piece not in _SPECIAL]
    lowest = min((score for piece, score in pieces if len(piece) > 1), default=0.0)
    unlearned = lowest + _STEP * (sum(len(piece) == 1 for piece, _ in pieces) + 1)
    rounded = [
        (piece, round(lowest if len(piece) == 1 and score < unlearned else score, _DIGITS))
        for piece, score in pieces
    ]
    ranked = sorted(rounded, key=lambda item: (-item[1], item[0]))
    return models.Unigram([*((token, 0.0) for token in _SPECIAL), *ranked], unk_id=_SPECIAL.index("<unk>"))


def _known_characters(
    settings: NewModel, texts: Mapping[str, Sequence[str]], prompts: Sequence[str], normaliser: Any
) -> Iterator[str]:
    """Texts without their rare characters, each of which would be given a piece."""
    for _ in range(_REPEATED):
        yield from prompts
    for lang in sorted(texts):
        sample = [normaliser.normalize_str(t) for t in spread(texts[lang], len, settings.max_characters)]
        counts: dict[str, int] = {}
        for text in sample:
            for character in text:
                counts[character] = counts.get(character, 0) + 1
        rare = {ord(c): None for c, n in counts.items() if n < settings.min_count}
        yield from (text.translate(rare) for text in sample)
