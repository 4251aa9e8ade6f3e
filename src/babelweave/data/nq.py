"""Natural Questions (Kwiatkowski et al. 2019) with gold passages of about 100 words, one question a line.

    nq-open-oracle.jsonl[.gz]    {question, answers, ctxs: [{title, text, isgold, ...}], ...}

The questions come without ids, so they are `nq-` and their number in the file, from 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from babelweave.data.dataset import Card, Dataset, Request
from babelweave.data.lines import fault, file_objects
from babelweave.data.squad import Paragraph, Question, to_task
from babelweave.errors import DataError


def read_nq_oracle(path: Path, split: str = "all") -> Dataset:
    """The questions of a file, each with its gold passage.

    Args:
        split: what to call the judgements.
    Raises:
        DataError: missing, broken, or a question without exactly one gold passage.
    """
    task = to_task(read_paragraphs(path), "en", "en", str(path))
    return Dataset(task.passages, task.queries, {split: task.qrels}, task.counts)


def read_paragraphs(path: Path) -> Iterator[Paragraph]:
    """The gold passage of each line with its question."""
    for number, (where, row) in enumerate(file_objects(path)):
        try:
            gold = [context for context in row["ctxs"] if context["isgold"]]
            if len(gold) != 1:
                raise ValueError(f"{len(gold)} gold passages, expected one")
            question = Question(f"nq-{number}", str(row["question"]), _distinct(row))
            yield Paragraph(str(gold[0]["title"]), str(gold[0]["text"]), (question,))
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{where}: not a row of Natural Questions ({fault(error)})") from error


def _distinct(row: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(answer) for answer in row["answers"]))


def _dataset(request: Request) -> Dataset:
    return read_nq_oracle(request.source, request.split or "all")


CARD = Card(
    licence="CC BY-SA 3.0",
    languages="en",
    layout="one .jsonl or .jsonl.gz of {question, answers, ctxs}; --split names the judgements",
    options=("split",),
    read=_dataset,
)
