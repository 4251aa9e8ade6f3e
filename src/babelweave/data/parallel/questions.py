"""Questions with translations: MKQA, Mintaka and those XOR-TyDi had translated."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from babelweave.data.archive import Archive
from babelweave.data.languages import canonical
from babelweave.data.lines import fault
from babelweave.data.mkqa import read_mkqa
from babelweave.data.overlap import question_key
from babelweave.data.parallel.pairs import Counts, Languages, Line, ParallelCard, may_hold
from babelweave.data.xor import read_questions, read_translations
from babelweave.errors import DataError


def _read_mkqa(folder: Path, languages: Languages, counts: Counts) -> Iterator[Line]:
    questions = read_mkqa(folder)
    if "en" not in questions:
        raise DataError(f"{folder}: MKQA without English questions")
    english = {q.query_id: q.text for q in questions.pop("en")}
    for lang, asked in questions.items():
        if may_hold(lang, languages):
            for question in asked:
                if question.query_id in english:
                    yield Line(english[question.query_id], lang, question.text)
                else:
                    counts["without English dropped"] += 1


def _read_mintaka(folder: Path, languages: Languages, counts: Counts) -> Iterator[Line]:
    with Archive(folder) as archive:
        for name in (n for n in archive.names if n.endswith(".json")):
            for number, row in enumerate(archive.json(name)):
                try:
                    for code, text in row["translations"].items():
                        yield Line(row["question"], canonical(code), text)
                except (KeyError, TypeError, AttributeError) as error:
                    where = f"{archive.where(name)}: entry {number}"
                    raise DataError(f"{where} is not a row of Mintaka ({fault(error)})") from error


def _read_xor(folder: Path, languages: Languages, counts: Counts) -> Iterator[Line]:
    held_out = {(q.lang, question_key(q.text)) for q in read_questions(folder, "dev")}
    for translation in read_translations(folder):
        if (translation.lang, question_key(translation.text)) in held_out:
            counts["questions of XOR-Retrieve dev dropped"] += 1
        else:
            yield Line(translation.english, translation.lang, translation.text)


MKQA = ParallelCard(
    title="MKQA",
    licence="CC BY-SA 3.0",
    attribution="Longpre et al. 2021, MKQA; Natural Questions",
    languages=("ar", "es", "fi", "ja", "km", "ko", "ms", "ru", "sv", "tr", "zh"),
    folder="mkqa",
    layout="one .jsonl.gz of questions by language",
    unit="question",
    read=_read_mkqa,
)
MINTAKA = ParallelCard(
    title="Mintaka (dev)",
    licence="CC BY 4.0",
    attribution="Sen et al. 2022, Mintaka",
    languages=("ar", "de", "es", "fr", "hi", "it", "ja", "pt"),
    folder="mintaka-dev",
    layout="mintaka_*.json, a list of {id, question, translations}",
    unit="question",
    read=_read_mintaka,
)
XOR_TYDI = ParallelCard(
    title="XOR-TyDi translations",
    licence="MIT, Apache 2.0 (TyDi QA)",
    attribution="Asai et al. 2021, XOR QA; Clark et al. 2020, TyDi QA",
    languages=("ar", "bn", "fi", "ja", "ko", "ru", "te"),
    folder="xor-tydi",
    layout="{lang}-en/{lang}.txt beside en.txt, and the questions of XOR-Retrieve dev, which are left out",
    unit="question",
    read=_read_xor,
)
