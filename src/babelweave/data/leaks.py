"""Whether training data holds what a model is measured on: questions as they stand, passages by 8-grams.

Every text of a training source is compared both ways, whatever its role there: with the questions of the
evaluation sets by `question_key`, and with their passages by the overlap of `data.overlap`. So a leak is
found in a parallel sentence, or in the English side of a translated question, as well as in a passage.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal, NamedTuple

from babelweave import registry
from babelweave.artifact import write_text
from babelweave.data import mlqa, xor, xquad
from babelweave.data.collection import Collection
from babelweave.data.overlap import OverlapIndex, question_key
from babelweave.data.parallel.read import read_parallel
from babelweave.data.relevance import read_relevance
from babelweave.data.squad import read_squad_jsonl, text_sha1
from babelweave.errors import DataError, UsageError, nearest

THRESHOLD = 0.2
"""From here on two passages are a leak."""
_TEXTS_AT_ONCE = 4096
_SHOWN = 5

Progress = Callable[[Iterable["Text"], str, int | None], Iterable["Text"]]


class Text(NamedTuple):
    """A text with the id that tells it in its source."""

    text_id: str
    text: str


class Training(NamedTuple):
    """A training source; its texts are read once, in a stream."""

    name: str
    texts: Iterable[Text]


class Evaluation(NamedTuple):
    """An evaluation set in memory, in all its languages."""

    name: str
    passages: Sequence[Text]
    questions: Sequence[Text]


class Leak(NamedTuple):
    """A training text that holds an evaluation text.

    Attributes:
        overlap: of the passages, in [0, 1]; 1 for a question.
        shared: their common 8-grams; 0 for a question.
    """

    kind: Literal["question", "passage"]
    training: str
    text_id: str
    evaluation: str
    evaluation_id: str
    overlap: float
    shared: int
    text: str

    def __str__(self) -> str:
        held = f"{self.evaluation} {self.kind} {self.evaluation_id}"
        much = f" by {self.overlap:.0%} ({self.shared} 8-grams)" if self.kind == "passage" else ""
        return f"{self.training} {self.text_id} holds {held}{much}: {self.text[:80]}"


class Checked(NamedTuple):
    """Texts of a training source; those too short for 8-grams were compared with questions only."""

    n_texts: int
    n_short: int


@dataclass(frozen=True, slots=True)
class LeakReport:
    """What a check found.

    Attributes:
        checked: training source -> how many of its texts were compared.
        leaks: in the order of the sources and their texts.
        excepted: what would be a leak, if it were not excepted by name.
    """

    checked: dict[str, Checked]
    leaks: tuple[Leak, ...]
    excepted: tuple[Leak, ...]

    @property
    def exclusions(self) -> frozenset[str]:
        """sha1 of the training texts that leak: what `read_parallel` and `read_relevance` can leave out."""
        return frozenset(text_sha1(leak.text) for leak in self.leaks)

    def refuse(self) -> None:
        """Raise on the first leaks.

        Raises:
            DataError: there are leaks.
        """
        if self.leaks:
            shown = "".join(f"\n    {leak}" for leak in self.leaks[:_SHOWN])
            more = f"\n    and {len(self.leaks) - _SHOWN} more" if len(self.leaks) > _SHOWN else ""
            raise DataError(
                f"{len(self.exclusions)} training texts hold evaluation texts; leave them out of the "
                f"training, or except them by name{shown}{more}"
            )


def find_leaks(
    training: Iterable[Training],
    evaluations: Sequence[Evaluation],
    *,
    threshold: float = THRESHOLD,
    exceptions: Container[str] = (),
    progress: Progress | None = None,
) -> LeakReport:
    """Compare every training text with every evaluation text.

    Args:
        threshold: the overlap from which on two passages are a leak, in (0, 1].
        exceptions: sha1 of training texts that are let pass; they are reported.
        progress: wraps the texts of a source, for a bar.
    Raises:
        UsageError: the threshold is out of range, or there is nothing to compare with.
    Cost: the evaluation passages' 8-grams are held in memory, 16 bytes each; training texts stream by.
    """
    if not 0 < threshold <= 1:
        raise UsageError(f"threshold is {threshold}, expected more than 0 and at most 1")
    index = _Index(evaluations)
    checked: dict[str, Checked] = {}
    leaks: list[Leak] = []
    excepted: list[Leak] = []
    for name, texts in training:
        stream = iter(texts if progress is None else progress(texts, f"checking {name}", None))
        n_texts = n_short = 0
        while batch := list(islice(stream, _TEXTS_AT_ONCE)):
            found, short = index.leaks(name, batch, threshold)
            for leak in found:
                (excepted if text_sha1(leak.text) in exceptions else leaks).append(leak)
            n_texts, n_short = n_texts + len(batch), n_short + short
        checked[name] = Checked(n_texts, n_short)
    return LeakReport(checked, tuple(leaks), tuple(excepted))


class _Index:
    """All evaluation sets, to look training texts up in."""

    def __init__(self, evaluations: Sequence[Evaluation]) -> None:
        self._questions: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
        for evaluation in evaluations:
            for question_id, text in evaluation.questions:
                if key := question_key(text):
                    self._questions[key].append((evaluation.name, question_id))
        passages = [(e.name, p) for e in evaluations for p in e.passages]
        if not passages and not self._questions:
            raise UsageError("nothing to check against: the evaluation sets hold no text")
        self._passages = [(name, passage.text_id) for name, passage in passages]
        self._overlaps = OverlapIndex(passage.text for _, passage in passages)

    def leaks(self, training: str, batch: Sequence[Text], threshold: float) -> tuple[list[Leak], int]:
        """Those of a batch in the order of its texts, of one text questions first; and its short texts."""
        found: defaultdict[int, list[Leak]] = defaultdict(list)
        for at, (text_id, text) in enumerate(batch):
            for place in self._questions.get(question_key(text), ()):
                found[at].append(Leak("question", training, text_id, *place, 1.0, 0, text))
        compared = self._overlaps.compare([text for _, text in batch], threshold)
        for at, row, shared, overlap in compared.matches:
            text_id, text = batch[at]
            found[at].append(Leak("passage", training, text_id, *self._passages[row], overlap, shared, text))
        return [leak for at in sorted(found) for leak in found[at]], compared.n_short


def check_recipe_leaks(
    training: Sequence[str],
    root: Path | None,
    against: Sequence[str] | None = None,
    *,
    threshold: float = THRESHOLD,
    exceptions: Container[str] = (),
    progress: Progress | None = None,
) -> LeakReport:
    """Check the sources of a recipe, read as training reads them, by name.

    Args:
        training: names of the registry's kinds `relevance` and `parallel`, or collection folders.
        root: the data folder that the named sources lie in; None where only folders are named.
        against: names of `EVALUATIONS`, or collection folders; None is all of `EVALUATIONS`.
        threshold, exceptions, progress: as in `find_leaks`.
    Raises:
        UsageError: an unknown name, or a name without a data folder.
        DataError: a source is missing or broken.
    """
    sets = [_evaluation(name, root) for name in (EVALUATIONS if against is None else against)]
    sources = [open_training(name, root) for name in training]
    return find_leaks(sources, sets, threshold=threshold, exceptions=exceptions, progress=progress)


def write_exclusions(path: Path, leaks: Iterable[Leak]) -> int:
    """Write leaks as an exclusion list, which `exclusions.read_exclusions` reads; how many rows it has.

    A row is {eval, pool, why, overlap, title, sha1}, where the title is the text's id; one for each text
    and evaluation set.

    Raises:
        StorageError: the disk is full or refuses.
    """
    rows: dict[tuple[str, str], str] = {}
    for leak in leaks:
        sha1 = text_sha1(leak.text)
        row = {
            "eval": leak.evaluation,
            "pool": leak.training,
            "why": ["overlap" if leak.kind == "passage" else "question"],
            "overlap": round(leak.overlap, 2),
            "title": leak.text_id,
            "sha1": sha1,
        }
        rows.setdefault((leak.evaluation, sha1), json.dumps(row, ensure_ascii=False) + "\n")
    write_text(path, "".join(rows.values()))
    return len(rows)


def open_training(name: str, root: Path | None) -> Training:
    """The distinct texts of a source, opened but not read.

    Raises:
        UsageError: unknown, or no data folder was given.
    """
    for kind, read in (("relevance", _relevance_texts), ("parallel", _parallel_texts)):
        if name in registry.names(kind):
            return Training(name, read(name, _needed(root, name)))
    if Path(name).is_dir():
        return Training(name, _collection_texts(Collection.open(Path(name))))
    known = registry.names("relevance") + registry.names("parallel")
    raise UsageError(f"{name!r} is neither a training source nor a collection folder; {nearest(name, known)}")


def _evaluation(name: str, root: Path | None) -> Evaluation:
    if name in EVALUATIONS:
        return Evaluation(name, *EVALUATIONS[name](_needed(root, name)))
    if not Path(name).is_dir():
        raise UsageError(
            f"{name!r} is neither an evaluation set nor a collection folder; {nearest(name, EVALUATIONS)}"
        )
    opened = Collection.open(Path(name))
    return Evaluation(name, [Text(p.doc_id, p.text) for p in opened.passages()], list(_asked(opened)))


def _needed(root: Path | None, name: str) -> Path:
    if root is None:
        raise UsageError(f"{name!r} is read from the data folder; name it with --root or BABELWEAVE_DATA")
    return root


def _collection_texts(opened: Collection) -> Iterator[Text]:
    yield from (Text(p.doc_id, p.text) for p in opened.passages())
    yield from _asked(opened)


def _asked(opened: Collection) -> Iterator[Text]:
    if opened.query_file is not None:
        yield from (Text(q.query_id, q.text) for q in opened.queries())


def _relevance_texts(name: str, root: Path) -> Iterator[Text]:
    source = read_relevance(name, root)
    yield from (Text(p.doc_id, p.text) for p in source.passages)
    yield from (Text(q.query_id, q.text) for q in source.queries)


def _parallel_texts(name: str, root: Path) -> Iterator[Text]:
    """Both sides; English once for all its translations. Their ids are `group/lang`."""
    seen: set[str] = set()
    for pair in read_parallel(name, root):
        if pair.english not in seen:
            seen.add(pair.english)
            yield Text(f"{pair.group}/en", pair.english)
        yield Text(f"{pair.group}/{pair.lang}", pair.text)


Sides = tuple[list[Text], list[Text]]


def _mlqa(split: str) -> Callable[[Path], Sides]:
    def read(root: Path) -> Sides:
        source = root / "mlqa" / "MLQA_V1.zip"
        passages: dict[str, Text] = {}
        questions: dict[str, Text] = {}
        for name in mlqa.subset_names(source, split):
            subset = mlqa.read_subset(source, split, name)
            passages |= {p.doc_id: Text(f"{p.lang}-{p.doc_id}", p.text) for p in subset.passages}
            questions |= {
                f"{q.lang}-{q.query_id}": Text(f"{q.lang}-{q.query_id}", q.text) for q in subset.queries
            }
        return list(passages.values()), list(questions.values())

    return read


def _xquad(root: Path) -> Sides:
    release = xquad.read_release(root / "xquad-r")
    task = xquad.subset(release, xquad.POOLED)
    return [Text(p.doc_id, p.text) for p in task.passages], [Text(q.query_id, q.text) for q in task.queries]


def _squad_dev(root: Path) -> Sides:
    found = read_squad_jsonl(root / "squad" / "dev.jsonl.gz")
    return [Text(p.doc_id, p.text) for p in found.passages], [Text(q.query_id, q.text) for q in found.queries]


def _xor_dev(root: Path) -> Sides:
    return [], [Text(q.query_id, q.text) for q in xor.read_questions(root / "xor-tydi", "dev")]


EVALUATIONS: dict[str, Callable[[Path], Sides]] = {
    "mlqa-dev": _mlqa("dev"),
    "mlqa-test": _mlqa("test"),
    "xquad-r": _xquad,
    "squad-dev": _squad_dev,
    "xor-dev": _xor_dev,
}
"""Name -> its passages and questions under the data folder, in all languages."""
