"""Every source of parallel text through one door, checked and counted, and sentences joined to passages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Container, Iterable, Iterator
from pathlib import Path

from babelweave import registry
from babelweave.data.languages import canonical
from babelweave.data.overlap import question_key
from babelweave.data.parallel.pairs import Counts, Line, Pair, ParallelCard
from babelweave.data.squad import text_id, text_sha1
from babelweave.errors import UsageError

MAX_CHARACTERS = 1000
"""About the 256 word pieces that small encoders read."""
_JOINED_WITHOUT_SPACE = ("zh", "ja", "yue")


class Pairs(Iterator[Pair]):
    """The pairs of a source as a stream; `counts` says what was dropped, and is whole at its end.

    Every pair of the files is either given or counted under one `... dropped`.
    """

    def __init__(self, pairs: Iterator[Pair], counts: Counts) -> None:
        self._pairs = pairs
        self.counts = counts

    def __next__(self) -> Pair:
        return next(self._pairs)


def card(name: str) -> ParallelCard:
    """What a source declares: licence, languages, whom to credit, whether its sentences keep their order.

    Raises:
        UsageError: unknown; the message holds the nearest name and the list.
    """
    found: ParallelCard = registry.load("parallel", name)
    return found


def read_parallel(
    name: str,
    root: Path,
    languages: Collection[str] | None = None,
    *,
    exclude: Container[str] = (),
    max_characters: int = MAX_CHARACTERS,
) -> Pairs:
    """The pairs of one source, in the same order every time.

    Args:
        name: of the registry's kind `parallel`.
        root: the data folder; a source lies in its own folder below it.
        languages: only these; those that the source does not have give nothing.
        exclude: sha1 of texts whose pairs are dropped (`leaks.LeakReport.exclusions`, or a list of them).
        max_characters: a longer English text or translation is dropped, with its pair.
    Raises:
        UsageError: an unknown source or language code.
        DataError: the source is missing, broken, of another layout or not parallel (while it is read).
    """
    source = card(name)
    wanted = None if languages is None else frozenset(canonical(code) for code in languages)
    counts: Counts = Counter()
    if max_characters < 1:
        raise UsageError(f"max_characters is {max_characters}, expected at least 1")
    lines = source.read(root / source.folder, wanted, counts)
    if wanted is not None:
        lines = (line for line in lines if line.lang in wanted)
    return Pairs(_checked(name, lines, exclude, max_characters, counts), counts)


def _checked(
    name: str, lines: Iterable[Line], exclude: Container[str], max_characters: int, counts: Counts
) -> Iterator[Pair]:
    seen: set[tuple[str, str, str]] = set()
    groups: dict[str, str] = {}
    for line in lines:
        english, text = line.english.strip(), line.text.strip()
        if not english or not text:
            counts["blank dropped"] += 1
        elif english.casefold() == text.casefold():
            counts["identical to English dropped"] += 1
        elif len(english) > max_characters or len(text) > max_characters:
            counts[f"longer than {max_characters} characters dropped"] += 1
        elif (english, line.lang, text) in seen:
            counts["repeated dropped"] += 1
        elif exclude and (text_sha1(english) in exclude or text_sha1(text) in exclude):
            counts["excluded as leaks dropped"] += 1
        else:
            seen.add((english, line.lang, text))
            group = groups.get(english) or groups.setdefault(english, group_id(english))
            twin = group_id(line.twin) if line.twin else ""
            yield Pair(name, group, english, line.lang, text, line.document, line.position, twin)


def group_id(english: str) -> str:
    """The id of an English text, whatever its case and punctuation."""
    return text_id(question_key(english) or english)


def passages(pairs: Iterable[Pair], sentences: int = 3) -> Iterator[Pair]:
    """Consecutive sentences of a document joined, in English and in translation: parallel passages.

    A document is cut from its start into runs of `sentences` that do not overlap; what is left at its
    end, or before a sentence that was dropped, is a shorter run, kept from two sentences on. Pairs of
    sources without order, which name no document, give nothing. Sentences are joined by a blank, and by
    nothing where the script writes none (Chinese, Japanese).

    Args:
        pairs: the sentences of each document in order; sources, languages and documents may be mixed.
        sentences: of a passage, at least 2.
    Raises:
        UsageError: fewer than 2 sentences.
    """
    if sentences < 2:
        raise UsageError(f"{sentences} sentences make no passage, expected at least 2")
    runs: dict[tuple[str, str, str], list[Pair]] = {}
    for pair in pairs:
        if not pair.document:
            continue
        run = runs.setdefault((pair.source, pair.lang, pair.document), [])
        if run and (len(run) == sentences or pair.position != run[-1].position + 1):
            if len(run) > 1:
                yield _joined(run)
            run.clear()
        run.append(pair)
    yield from (_joined(run) for run in runs.values() if len(run) > 1)


def _joined(run: list[Pair]) -> Pair:
    first = run[0]
    english = " ".join(pair.english for pair in run)
    blank = "" if first.lang.partition("-")[0] in _JOINED_WITHOUT_SPACE else " "
    text = blank.join(pair.text for pair in run)
    return first._replace(group=group_id(english), english=english, text=text, twin="")
