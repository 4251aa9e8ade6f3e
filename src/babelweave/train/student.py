"""Where a student begins: the teacher's body over a vocabulary of many languages, written as a folder."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from babelweave.artifact import digest_texts, read_json, read_manifest, seal, write_folder, write_json
from babelweave.encode.transformer import TransformerEncoder
from babelweave.errors import DataError, UsageError
from babelweave.generate.code_switch import WordLexicon
from babelweave.records import Float32
from babelweave.train.saved import write_model
from babelweave.train.vocabulary import (
    SPECIAL,
    Vocabulary,
    adapt,
    initial_rows,
    learn_pieces,
    make_tokenizer,
)
from babelweave.train.word_alignment import Ids, align, aligned_words

logger = logging.getLogger(__name__)

KIND = "student"
_MODEL, _WORDS, _ROWS = "model", "words.json", "teacher_rows.json"


class WordTable:
    """Translations of English words, as a `code_switch.WordLexicon`."""

    def __init__(self, words: Mapping[str, Mapping[str, str]]) -> None:
        self._words = words

    def translate(self, word: str, lang: str) -> Sequence[str]:
        if lang not in self._words:
            raise UsageError(f"no words of {lang!r} were aligned; vocabulary.languages has to name it")
        found = self._words[lang].get(word.lower())
        return () if found is None else (found,)


def make_student(
    teacher: TransformerEncoder,
    settings: Vocabulary,
    texts: Mapping[str, Sequence[str]],
    translations: Mapping[str, Sequence[tuple[str, str]]],
    folder: Path,
    *,
    max_tokens: int,
) -> None:
    """Write a student that has seen no training step; nothing where `folder` holds the one asked for.

    Args:
        teacher: an English encoder of BERT's family; it is changed, so open it for this alone.
        texts: language -> what its pieces are learned from, "en" among them.
        translations: language -> (text, English), what the rows of its pieces begin from.
        max_tokens: stated by the student, special tokens included.
    Raises:
        DataError: a teacher of another family, or a language without texts.
        UsageError: `folder` holds a student of other settings or texts.
    Cost: about ten seconds a language on one core, and a few GB for 50,000 pairs of one.
    """
    asked = {
        "vocabulary": settings.model_dump(mode="json"),
        "max_tokens": max_tokens,
        "teacher": teacher.signature.digest,
        "texts": digest_texts(text for lang in sorted(texts) for text in (lang, *texts[lang])),
        "translations": digest_texts(
            text for lang in sorted(translations) for pair in translations[lang] for text in (lang, *pair)
        ),
    }
    if folder.exists():
        if read_manifest(folder, KIND).settings != asked:
            raise UsageError(f"{folder}: holds a student of other settings or texts; pass --overwrite")
        return
    english = teacher.model[0].tokenizer
    if not hasattr(teacher.model[0].auto_model, "resize_token_embeddings") or english.unk_token != "[UNK]":
        raise DataError(
            f"{teacher.signature.name}: only a teacher of BERT's family (WordPiece) can be adapted"
        )
    pieces = learn_pieces(settings, english, texts["en"], texts)
    tokenizer = make_tokenizer(pieces, max_tokens)
    tables = {}
    for lang in settings.languages:
        pairs = _ids(tokenizer, translations.get(lang, ()))
        tables[lang] = align(pairs, len(tokenizer), locality=settings.locality_of(lang))
    used = tables.values() if settings.align else ()
    theirs: Float32 = teacher.model[0].auto_model.get_input_embeddings().weight.detach().cpu().numpy()
    rows = initial_rows(tokenizer, pieces, english, theirs, used, settings.sharpness)
    counts = {
        "rows": len(rows.rows),
        "rows of the teacher": rows.n_teacher,
        "rows from translations": rows.n_aligned,
        "rows from spelling": rows.n_spelled,
    }
    logger.info("%s", counts)
    adapt(teacher.model, tokenizer, rows.rows)
    with write_folder(folder, KIND, overwrite=False) as aside:
        (aside / _MODEL).mkdir()
        write_model(teacher.model, aside / _MODEL)
        write_json(aside / _WORDS, {lang: aligned_words(t, tokenizer, lang) for lang, t in tables.items()})
        write_json(
            aside / _ROWS, sorted(tokenizer.convert_tokens_to_ids([*pieces.teacher, *SPECIAL.values()]))
        )
        seal(aside, KIND, asked, counts=counts)


def _ids(tokenizer: object, pairs: Sequence[tuple[str, str]]) -> list[tuple[Ids, Ids]]:
    if not pairs:
        return []
    text, english = zip(*pairs, strict=True)
    read = tokenizer.backend_tokenizer.encode_batch_fast  # type: ignore[attr-defined]
    sides = ([e.ids for e in read(list(side), add_special_tokens=False)] for side in (text, english))
    return list(zip(*sides, strict=True))


def student_model(folder: Path) -> Path:
    """The model folder of a student."""
    return folder / _MODEL


def student_words(folder: Path) -> WordLexicon:
    """The most frequent translations its word alignment found."""
    return WordTable(read_json(folder / _WORDS))


def teacher_rows(folder: Path) -> list[int]:
    """The rows of a student's word embeddings that are the teacher's own."""
    return list(read_json(folder / _ROWS))
