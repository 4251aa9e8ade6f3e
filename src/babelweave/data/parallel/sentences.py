"""Sentences with translations: Tatoeba, NTREX-128, SIB-200, TICO-19 and PAWS-X.

tatoeba/eng-{xxx}.tsv.gz                                  English <TAB> translation
ntrex128.zip: newstest2019-{src,ref}.{lang}.txt           line-parallel, DOCUMENT_IDS.tsv beside them
sib200/{lang_Script}/{train,dev,test}.tsv                 index_id, category, text; joined on index_id
tico19/tico19_en_xx.jsonl.gz                              {"en": text, "ar": text, ...}
pawsx/{dev,test}-{lang}.tsv                               line-parallel pairs of sentences; dev adds a label
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

from babelweave.data.archive import Archive
from babelweave.data.languages import canonical
from babelweave.data.lines import file_lines, json_objects
from babelweave.data.parallel.pairs import Counts, Languages, Line, ParallelCard, may_hold
from babelweave.errors import DataError

_TATOEBA = re.compile(r"eng-([a-z]{3})\.tsv(?:\.gz)?")
_NTREX = re.compile(r"newstest2019-(src|ref)(-\d+)?\.([A-Za-z-]+)\.txt")
_PAWSX = re.compile(r"(dev|test)-([a-z]{2})\.tsv")
_NOT_TRANSLATED = "NS"


def _read_tatoeba(folder: Path, languages: Languages, counts: Counts) -> Iterator[Line]:
    with Archive(folder) as archive:
        for name, match in _matching(archive, _TATOEBA):
            lang = canonical(match[1])
            if not may_hold(lang, languages):
                continue
            for number, line in archive.lines(name):
                cells = line.split("\t")
                if len(cells) != 2:
                    raise DataError(
                        f"{archive.where(name)}:{number}: {len(cells)} columns, expected English and {lang}"
                    )
                yield Line(cells[0], _serbian_script(cells[1]) if lang == "sr" else lang, cells[1])


def _serbian_script(text: str) -> str:
    """Tatoeba files both scripts of Serbian under one code."""
    letter = next((c for c in text if c.isalpha()), "")
    return "sr-Latn" if letter and unicodedata.name(letter, "").startswith("LATIN") else "sr"


def _read_ntrex(folder: Path, languages: Languages, counts: Counts) -> Iterator[Line]:
    with Archive(folder / "ntrex128.zip" if (folder / "ntrex128.zip").is_file() else folder) as archive:
        files = list(_matching(archive, _NTREX))
        sources = [name for name, match in files if match[1] == "src"]
        documents = [name for name in archive.names if name.rsplit("/", 1)[-1] == "DOCUMENT_IDS.tsv"]
        if len(sources) != 1 or len(documents) != 1:
            raise DataError(f"{archive.path}: expected one newstest2019-src.eng.txt and one DOCUMENT_IDS.tsv")
        english = [line for _, line in archive.lines(sources[0])]
        ids = [line for _, line in archive.lines(documents[0])]
        _same_length(archive.where(documents[0]), ids, english)
        for name, match in files:
            lang = canonical(match[3])
            if match[1] == "src" or not may_hold(lang, languages):
                continue
            texts = [line for _, line in archive.lines(name)]
            _same_length(archive.where(name), texts, english)
            for position, (source, text) in enumerate(zip(english, texts, strict=True)):
                yield Line(source, lang, text, ids[position], position)


def _read_sib(folder: Path, languages: Languages, counts: Counts) -> Iterator[Line]:
    with Archive(folder) as archive:
        files: dict[str, list[str]] = {}
        for name in archive.names:
            if name.endswith(".tsv"):
                files.setdefault(canonical(name.split("/")[-2]), []).append(name)
        if "en" not in files:
            raise DataError(f"{archive.path}: no eng_Latn/*.tsv to join the other languages with")
        english = _sib_texts(archive, files.pop("en"), counts)
        for lang in sorted(files):
            if may_hold(lang, languages):
                for index, text in _sib_texts(archive, files[lang], counts).items():
                    if index in english:
                        yield Line(english[index], lang, text)
                    else:
                        counts["without English dropped"] += 1


def _sib_texts(archive: Archive, names: list[str], counts: Counts) -> dict[int, str]:
    """index_id -> text, by index_id."""
    texts: dict[int, str] = {}
    for name in names:
        for number, line in archive.lines(name):
            cells = line.split("\t")
            if number == 1 and cells[0] == "index_id":
                continue
            where = f"{archive.where(name)}:{number}"
            if len(cells) != 3 or not cells[0].isdigit():
                raise DataError(f"{where}: expected index_id, category and text, tab-separated")
            if int(cells[0]) in texts:
                raise DataError(f"{where}: index_id {cells[0]} is used twice")
            texts[int(cells[0])] = _unquoted(cells[2], counts)
    return dict(sorted(texts.items()))


def _unquoted(text: str, counts: Counts) -> str:
    """Undo the CSV quoting that some texts went through: in quotes, each inner quote doubled."""
    inner = text[1:-1]
    if len(text) < 2 or text[0] != '"' or text[-1] != '"' or '"' in inner.replace('""', ""):
        return text
    if '""' not in inner:
        return text  # a sentence that is one quotation
    counts["CSV quoting undone"] += 1
    return inner.replace('""', '"')


def _read_tico(folder: Path, languages: Languages, counts: Counts) -> Iterator[Line]:
    path = folder / "tico19_en_xx.jsonl.gz"
    for position, (where, row) in enumerate(json_objects(file_lines(path), str(path))):
        if not all(isinstance(text, str) for text in row.values()) or "en" not in row:
            raise DataError(f"{where}: not a row of TICO-19; expected texts by language code, en among them")
        english = _unquoted(row["en"], counts)
        for code, text in row.items():
            lang = canonical(code.partition("_")[0])  # ti_ER, ti_ET: the regions' own translations
            if lang != "en" and may_hold(lang, languages):
                yield Line(english, lang, _unquoted(text, counts), f"tico19 {code}", position)


def _read_pawsx(folder: Path, languages: Languages, counts: Counts) -> Iterator[Line]:
    with Archive(folder) as archive:
        files = list(_matching(archive, _PAWSX))
        for name, match in files:
            lang = canonical(match[2])
            if lang == "en" or not may_hold(lang, languages):
                continue
            partner = name[: -len("xx.tsv")] + "en.tsv"
            if partner not in archive.names:
                raise DataError(f"{archive.where(name)}: its English partner {partner} is missing")
            for row, source in zip_longest(_pawsx_rows(archive, name), _pawsx_rows(archive, partner)):
                if row is None or source is None:
                    raise DataError(f"{archive.where(name)}: not of the same length as {partner}")
                if _NOT_TRANSLATED in row[:2]:
                    counts["NS rows dropped"] += 1
                    continue
                differ = source[2:] == ["0"]
                for side in (0, 1):
                    yield Line(source[side], lang, row[side], twin=source[1 - side] if differ else "")


def _pawsx_rows(archive: Archive, name: str) -> Iterator[list[str]]:
    for number, line in archive.lines(name):
        cells = [cell.strip() for cell in line.split("\t")]
        if len(cells) not in (2, 3) or cells[2:] not in ([], ["0"], ["1"]):
            raise DataError(f"{archive.where(name)}:{number}: expected two sentences and, in dev, 0 or 1")
        yield cells


def _matching(archive: Archive, pattern: re.Pattern[str]) -> Iterator[tuple[str, re.Match[str]]]:
    found = [(n, m) for n in archive.names if (m := pattern.fullmatch(n.rsplit("/", 1)[-1]))]
    if not found:
        raise DataError(f"{archive.path}: no file of this layout; expected names like {pattern.pattern}")
    yield from found


def _same_length(where: str, lines: list[str], english: list[str]) -> None:
    if len(lines) != len(english):
        raise DataError(f"{where}: {len(lines)} lines, the English file has {len(english)}; not parallel")


TATOEBA = ParallelCard(
    title="Tatoeba",
    licence="CC BY 2.0 FR",
    attribution="the contributors of tatoeba.org",
    languages=tuple(
        "ar bg ca cs da el et fi hi hr hu id is ja ko lt lv ms nb nl pl ro sk sl sr sr-Latn sv th vi "
        "zh".split()
    ),
    folder="tatoeba",
    layout="eng-{xxx}.tsv.gz of English and translation",
    unit="sentence",
    read=_read_tatoeba,
)
NTREX128 = ParallelCard(
    title="NTREX-128",
    licence="CC BY-SA 4.0",
    attribution="Federmann et al. 2022, NTREX-128; English from WMT19 newstest",
    languages=tuple(
        "ar bg bn ca cs da de el es et fa fi fr he hi hr hu id is it ja ko lt lv mr ms nb nl pl pt ro "
        "ru sk sl sr sv sw ta te th tl tr uk ur vi zh zh-Hant".split()
    ),
    folder="ntrex128",
    layout="ntrex128.zip, or newstest2019-{src,ref}.{lang}.txt and DOCUMENT_IDS.tsv",
    unit="sentence",
    read=_read_ntrex,
    ordered=True,
)
SIB200 = ParallelCard(
    title="SIB-200 (FLORES-200)",
    licence="CC BY-SA 4.0",
    attribution="Adelani et al. 2024, SIB-200; NLLB Team 2022, FLORES-200",
    languages=tuple(
        "ar bg bn ca cs da de el es fa fi fr he hi hu id it ja ko mr ms nb nl pl pt ro ru sv sw ta te "
        "th tl tr uk ur vi zh zh-Hant".split()
    ),
    folder="sib200",
    layout="{lang_Script}/{train,dev,test}.tsv of index_id, category, text",
    unit="sentence",
    read=_read_sib,
)
TICO19 = ParallelCard(
    title="TICO-19",
    licence="CC0",
    attribution="Anastasopoulos et al. 2020, TICO-19",
    languages=tuple(
        "ar bn ckb din es fa ff fr ha hi id km kr ku lg ln mr ms my ne nus om prs ps pt ru rw so sw "
        "ta ti tl ur zh zu".split()
    ),
    folder="tico19",
    layout="tico19_en_xx.jsonl.gz of texts by language code; without document ids, so one run of sentences",
    unit="sentence",
    read=_read_tico,
    ordered=True,
)
PAWSX = ParallelCard(
    title="PAWS-X",
    licence="free to use with credit to Google LLC",
    attribution="Yang et al. 2019, PAWS-X; Wikipedia",
    languages=("de", "es", "fr", "ja", "ko", "zh"),
    folder="pawsx",
    layout="{dev,test}-{lang}.tsv, line-parallel pairs of sentences (XTREME)",
    unit="sentence",
    read=_read_pawsx,
)
