"""Every registered perturbation, and questions to perturb: a sample of our own, and what people asked."""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from functools import cache
from pathlib import Path

from babelweave.data import mlqa, xquad
from babelweave.data.languages import canonical
from babelweave.protocols import Perturbation
from babelweave.shift.spec import open_perturbation

SAMPLE = Path(__file__).resolve().parents[1] / "docs" / "questions.tsv"
SPECS = [
    "case",
    "case?form=lower",
    "case?form=upper",
    "code_switch?to=en,de",
    "code_switch?to=zh",
    "diacritics",
    "homoglyphs",
    "keyboard",
    "keywords",
    "punctuation",
    "punctuation?form=add",
    "punctuation?form=drop",
    "transliterate",
    "transpose",
    "truncate",
    "truncate?end=head",
    "word_order",
]
_MOST_READ = 400


def opened(spec: str, lexicon: Path | None = None) -> Perturbation:
    """A perturbation; `code_switch` with another lexicon than the packaged one where that is given."""
    named = lexicon is not None and spec.startswith("code_switch")
    return open_perturbation(f"{spec}&lexicon={lexicon}" if named else spec)


def sample() -> dict[str, list[str]]:
    """Language -> four questions."""
    questions = defaultdict(list)
    for line in SAMPLE.read_text(encoding="utf-8").splitlines():
        lang, question = line.split("\t")
        questions[lang].append(question)
    return dict(questions)


@cache
def real(data_root: Path) -> dict[tuple[str, str], list[str]]:
    """(data set, language) -> distinct questions of MLQA dev, XQuAD-R and MKQA."""
    found: dict[tuple[str, str], list[str]] = {}
    for lang in mlqa.LANGUAGES:
        subset = mlqa.read_subset(data_root / "mlqa" / "MLQA_V1.zip", "dev", f"{lang}-{lang}", None)
        found["mlqa", lang] = [q.text for q in subset.queries]
    release = xquad.read_release(data_root / "xquad-r")
    for name in xquad.subset_names(release):
        lang = name.partition("-")[0]
        if name == f"{lang}-{lang}":
            found["xquad-r", lang] = [q.text for q in xquad.subset(release, name, "passage").queries]
    mkqa = defaultdict(list)
    with gzip.open(data_root / "mkqa" / "queries_12lang.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            for code, text in row["q"].items():
                if isinstance(text, str):
                    mkqa[canonical(code)].append(text)
    found |= {("mkqa", lang): texts for lang, texts in mkqa.items()}
    return {key: list(dict.fromkeys(texts))[:_MOST_READ] for key, texts in found.items()}
