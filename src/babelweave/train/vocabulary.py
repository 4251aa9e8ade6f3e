"""A multilingual vocabulary for an English encoder: its own pieces, and those of other languages beside.

English stays tokenised nearly as the teacher has it, with the teacher's rows, so it need not be learned
again. A piece of another language begins as the mean of the rows of its English translations
(`word_alignment`): the network meets, in every language, vectors it knows.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
from pydantic import Field, NonNegativeFloat, PositiveInt
from scipy.sparse import csr_array
from tokenizers import (
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast

from babelweave.errors import DataError
from babelweave.recipe import Strict
from babelweave.records import Float32
from babelweave.train.sections import Language
from babelweave.train.word_alignment import LOCALITY

SPECIAL = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
BEGIN = "▁"
"""What a piece that begins a word begins with."""
_SPACELESS = ("zh", "ja", "th", "km", "lo", "my", "yue")
_LONGEST, _LONGEST_SPACELESS = 16, 6
_INVISIBLE = "[\u00ad\u200b-\u200f\ufeff\u0640\u064b-\u0652]"
"""Zero-width marks, soft hyphens, Arabic vowel signs and elongation: written or not without a difference."""
_ENGLISH_SHARE = 0.4
"""Of the mixture that scores pieces; the other languages share the rest alike."""
_DIGITS = 4
"""Of a piece's log probability; more only make tokenizer.json longer."""
_FEWEST = 4
"""Times a whole word has to stand in the text to be given a row."""


class Vocabulary(Strict):
    """How many rows a language is given, and what they begin as."""

    english: PositiveInt
    """Most frequent pieces of the teacher that are kept."""
    languages: dict[Language, PositiveInt]
    """New rows of each language, beside those it shares with the ones before it."""
    words: Annotated[float, Field(ge=0, le=1)] = 0.65
    """Part of a language's rows that are its most frequent words; the rest are pieces of words."""
    words_of: dict[Language, Annotated[float, Field(ge=0, le=1)]] = Field(default_factory=dict)
    """The same for languages with many forms of a word, which pieces serve better."""
    characters: dict[Language, PositiveInt] = Field(default_factory=dict)
    """Times a character has to stand in the text to be given a row of its own; 4 by default."""
    max_characters: PositiveInt = 700_000
    """Text of a language that its pieces are learned from; half of it where no blanks are written."""
    align: bool = True
    """Begin the rows of a language at those of its translations; else all begin at their spelling."""
    locality: dict[Language, NonNegativeFloat] = Field(default_factory=dict)
    """Position prior of the word alignment where it is not `word_alignment.LOCALITY`."""
    sharpness: Annotated[float, Field(ge=1)] = 1.5
    """Exponent of the counts of translations: more than 1 makes the frequent ones count for more."""

    def locality_of(self, lang: str) -> float:
        return self.locality.get(lang, LOCALITY)


class Pieces(NamedTuple):
    """A vocabulary before it is a tokenizer."""

    log_probability: Mapping[str, float]
    teacher: Mapping[str, int]
    """Piece -> row of the teacher, for those taken from it."""


def normaliser() -> Any:
    """NFKC, lower case, no invisible marks, single blanks; accents stay, which tell words apart."""
    return normalizers.Sequence(
        [
            normalizers.NFKC(),
            normalizers.Lowercase(),
            normalizers.Replace(Regex(_INVISIBLE), ""),
            normalizers.Replace(Regex(r"\s+"), " "),
            normalizers.Strip(),
        ]
    )


def word_splitter() -> Any:
    """At blanks and around punctuation, as BERT does, so that English words are the teacher's."""
    return pre_tokenizers.Sequence(
        [pre_tokenizers.BertPreTokenizer(), pre_tokenizers.Metaspace(prepend_scheme="always")]
    )


def learn_pieces(
    settings: Vocabulary, teacher: Any, english: Sequence[str], texts: Mapping[str, Sequence[str]]
) -> Pieces:
    """Choose the pieces and their probabilities in a mixture of the languages.

    Args:
        teacher: a WordPiece tokenizer of transformers (BERT's family).
        english: text that tells which of its pieces are frequent.
        texts: language -> text.
    Raises:
        DataError: a language of the settings without text.
    """
    kept, rows = _teacher_pieces(settings.english, teacher, english)
    mixture = {piece: _ENGLISH_SHARE * p for piece, p in kept.items()}
    share = (1 - _ENGLISH_SHARE) / max(len(settings.languages), 1)
    for lang, n_rows in settings.languages.items():
        if not texts.get(lang):
            raise DataError(f"vocabulary.languages.{lang}: the data sets hold no text in it")
        found = _language_pieces(lang, n_rows, settings, texts[lang], mixture.keys())
        for piece, p in found.items():
            mixture[piece] = mixture.get(piece, 0.0) + share * p
    return Pieces({piece: math.log(p) for piece, p in mixture.items()}, rows)


def _teacher_pieces(n: int, teacher: Any, english: Sequence[str]) -> tuple[dict[str, float], dict[str, int]]:
    counts: Counter[int] = Counter()
    for begin in range(0, len(english), 4096):
        texts = list(english[begin : begin + 4096])
        # counted, not encoded: how long they are is no matter to warn of
        for ids in teacher(texts, add_special_tokens=False, verbose=False)["input_ids"]:
            counts.update(ids)
    total = sum(counts.values())
    kept: dict[str, float] = {}
    rows: dict[str, int] = {}
    names = teacher.convert_ids_to_tokens(list(range(len(teacher))))
    specials = set(teacher.all_special_ids)
    for row, count in counts.most_common():
        if row in specials or len(kept) == n:
            continue
        piece = names[row][2:] if names[row].startswith("##") else BEGIN + names[row]
        kept[piece], rows[piece] = count / total, row
    return kept, rows


def _language_pieces(
    lang: str, n_rows: int, settings: Vocabulary, texts: Sequence[str], known: Iterable[str]
) -> dict[str, float]:
    """Piece -> probability: every character, frequent words, pieces of words; at most `n_rows` not in `known`
    beside the characters."""
    spaceless = lang.partition("-")[0] in _SPACELESS
    normalise = normaliser().normalize_str
    normal = [normalise(text) for text in texts]
    sample = _evenly(normal, settings.max_characters // (2 if spaceless else 1))
    fewest = settings.characters.get(lang, 4)
    frequent = {c for c, count in Counter("".join(sample)).items() if count >= fewest}
    sample = ["".join(c for c in text if c in frequent) for text in sample]
    longest = _LONGEST_SPACELESS if spaceless else _LONGEST
    learned = _unigram(sample, max(2 * n_rows, len(frequent) + 200), longest)
    words = {} if spaceless else _words(normal, longest)
    old = set(known)
    new_words = [word for word in words if word not in old]
    first = dict.fromkeys(new_words[: int(n_rows * settings.words_of.get(lang, settings.words))])
    ranked = [*first, *sorted(learned.keys() - first.keys(), key=lambda p: (len(p) > 1, -learned[p], p))]
    pieces: dict[str, float] = {}
    n_new = 0
    for piece in ranked:
        is_new = piece not in old
        if is_new and n_new >= n_rows and len(piece) > 1:
            continue
        n_new += is_new
        pieces[piece] = max(learned.get(piece, 0.0), words.get(piece, 0.0))
    return pieces


def _evenly(texts: Sequence[str], max_characters: int) -> list[str]:
    """Every k-th text, so that about `max_characters` are taken from the whole."""
    k = max(math.ceil(sum(map(len, texts)) / max_characters), 1)
    return list(texts[::k])


def _words(texts: Iterable[str], longest: int) -> dict[str, float]:
    """Words by falling frequency -> probability.

    A trainer of pieces finds only what stands in several different words, hence no whole word that begins no
    other.
    """
    split = word_splitter()
    counts = Counter(word for text in texts for word, _ in split.pre_tokenize_str(text))
    total = sum(counts.values())
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return {w: n / total for w, n in ranked if n >= _FEWEST and 2 < len(w) <= longest + 1}


def _unigram(texts: Sequence[str], n: int, longest: int) -> dict[str, float]:
    """Unigram language model (Kudo 2018): piece -> probability."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = word_splitter()
    trainer = trainers.UnigramTrainer(
        vocab_size=n,
        unk_token="[UNK]",
        special_tokens=["[UNK]"],
        max_piece_length=longest,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    learned = json.loads(tokenizer.to_str())["model"]["vocab"]
    return {piece: math.exp(score) for piece, score in learned if piece != "[UNK]"}


def make_tokenizer(pieces: Pieces, max_tokens: int) -> PreTrainedTokenizerFast:
    """A Unigram tokenizer in the form of BERT's: `[CLS] pieces [SEP]`."""
    ranked = sorted(pieces.log_probability.items(), key=lambda item: (-item[1], item[0]))
    rounded = ((piece, round(score, _DIGITS)) for piece, score in ranked)
    vocabulary = [*((token, 0.0) for token in SPECIAL.values()), *rounded]
    names = list(SPECIAL.values())
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=names.index("[UNK]")))
    tokenizer.normalizer = normaliser()
    tokenizer.pre_tokenizer = word_splitter()
    tokenizer.decoder = decoders.Metaspace()
    ends = [(token, names.index(token)) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ends
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        **{f"{role}_token": token for role, token in SPECIAL.items()},
        model_max_length=max_tokens,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


class Rows(NamedTuple):
    """What the rows of a vocabulary begin as."""

    rows: Float32
    """(V, d)"""
    n_teacher: int
    n_aligned: int
    n_spelled: int
    """Rows without a translation: the mean of the teacher's pieces of their spelling."""


def initial_rows(
    tokenizer: PreTrainedTokenizerFast,
    pieces: Pieces,
    teacher: Any,
    teacher_rows: Float32,
    alignments: Iterable[csr_array],
    sharpness: float,
) -> Rows:
    """The teacher's own rows, means of the rows of translations, or means over the spelling.

    A mean of many rows is shorter than a row; its length is brought half way back to theirs.

    Args:
        teacher: the teacher's tokenizer.
        teacher_rows: its word embeddings, (W, d).
        alignments: of `word_alignment.align` over this tokenizer's ids, one per language.
    """
    ids = tokenizer.get_vocab()
    rows = np.zeros((len(ids), teacher_rows.shape[1]), dtype=np.float32)
    known = np.zeros(len(ids), dtype=bool)
    theirs = teacher.get_vocab()
    for token in SPECIAL.values():
        rows[ids[token]], known[ids[token]] = teacher_rows[theirs[token]], True
    for piece, row in pieces.teacher.items():
        rows[ids[piece]], known[ids[piece]] = teacher_rows[row], True
    counts = sum(alignments, csr_array((len(ids), len(ids)), dtype=np.float64))
    weights = counts.multiply(known[None, :]).tocsr().power(sharpness)
    total = weights.sum(axis=1)
    aligned = (total > 0) & ~known
    means = (weights @ rows)[aligned] / total[aligned, None]
    length = np.linalg.norm(means, axis=1, keepdims=True)
    usual = np.linalg.norm(rows[known], axis=1).mean()
    rows[aligned] = means * (0.5 + 0.5 * usual / np.maximum(length, 1e-6))
    rest = np.flatnonzero(~(known | aligned))
    usual_row = rows[known].mean(axis=0)
    names = tokenizer.convert_ids_to_tokens(rest.tolist())
    for row, name in zip(rest.tolist(), names, strict=True):
        spelled = teacher(name.replace(BEGIN, ""), add_special_tokens=False)["input_ids"]
        spelled = [i for i in spelled if i != teacher.unk_token_id]
        rows[row] = teacher_rows[spelled].mean(axis=0) if spelled else usual_row
    return Rows(rows, int(known.sum()), int(aligned.sum()), len(rest))


def adapt(model: Any, tokenizer: PreTrainedTokenizerFast, rows: Float32) -> None:
    """Put a tokenizer and its rows under the body of a SentenceTransformer, in place."""
    network = model[0].auto_model
    network.resize_token_embeddings(len(rows), mean_resizing=False)
    embeddings = network.get_input_embeddings()
    with torch.no_grad():
        embeddings.weight.copy_(torch.from_numpy(rows))
    network.config.pad_token_id = embeddings.padding_idx = tokenizer.pad_token_id
    model[0].processor = tokenizer
