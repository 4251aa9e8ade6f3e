"""Which English passages hold an answer word for word, and which of them answers a question."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from babelweave.data.overlap import pieces, question_key
from babelweave.records import Int64

SHARE = 0.6
"""Of the weight of the English question's words that a passage has to hold."""
_NO_ANSWERS = frozenset({"", "yes", "no", "unknown"})


class AnswerIndex:
    """The words of some English passages, to find those that hold an answer.

    Cost: 70,000 passages of 100 words take about 10 seconds and 200 MB.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        rows: defaultdict[str, list[int]] = defaultdict(list)
        self._texts: list[str] = []
        for row, text in enumerate(texts):
            words = pieces(text)[0]
            self._texts.append(_spaced(words))
            for word in set(words):
                rows[word].append(row)
        self._rows: dict[str, Int64] = {word: np.array(found) for word, found in rows.items()}

    def holding(self, answers: Iterable[str]) -> Int64:
        """The rows in which the words of one of the answers stand one after the other, in order.

        `yes`, `no` and `unknown` are no answers that a passage could hold.
        """
        spans = [pieces(answer)[0] for answer in answers if question_key(answer) not in _NO_ANSWERS]
        held = [self._with(words) for words in spans]
        found: Int64 = np.unique(np.concatenate([np.empty(0, dtype=np.int64), *held]))
        return found

    def best(self, question: str, answers: Iterable[str]) -> int | None:
        """The row that holds an answer and the most of the question, the first of equals; None where none
        holds `SHARE` of it."""
        candidates = self.holding(answers)
        words = set(pieces(question)[0])
        if not len(candidates) or not words:
            return None
        scores = np.zeros(len(candidates))
        total = 0.0
        for word in sorted(words):
            rows = self._rows.get(word, np.empty(0, dtype=np.int64))
            weight = np.log(1 + len(self._texts) / (1 + len(rows)))
            total += weight
            scores += weight * np.isin(candidates, rows, assume_unique=True)
        place = int(scores.argmax())
        return int(candidates[place]) if scores[place] >= SHARE * total else None

    def _with(self, words: Sequence[str]) -> Int64:
        lists = [self._rows.get(word) for word in words]
        if not lists or any(rows is None for rows in lists):
            return np.empty(0, dtype=np.int64)
        rarest: Int64 = min((rows for rows in lists if rows is not None), key=len)
        sought = _spaced(words)
        return np.array([row for row in rarest.tolist() if sought in self._texts[row]], dtype=np.int64)


def _spaced(words: Sequence[str]) -> str:
    return f" {' '.join(words)} "
