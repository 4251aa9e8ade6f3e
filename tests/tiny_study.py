"""A study small enough for tests: four passages in MLQA's layout, an encoder of one layer."""

from __future__ import annotations

import json
from pathlib import Path

from tiny_models import write_word_encoder

TEXTS = {
    "en": ["red fox runs", "blue whale swims", "green frog jumps", "black crow flies"],
    "de": ["roter fuchs rennt", "blauer wal schwimmt", "grüner frosch springt", "schwarze krähe fliegt"],
}
QUESTIONS = {
    "en": ["red fox where", "whale swims where", "green jumps where", "black crow where"],
    "de": ["roter fuchs wo", "wal schwimmt wo", "grüner springt wo", "schwarze krähe wo"],
}
WORDS = sorted({w for texts in [*TEXTS.values(), *QUESTIONS.values()] for t in texts for w in t.split()})
RECIPE = """
kind = "study"
start = "base"
reference = "plain"
precision = "float32"
seeds = [0, 1]

[benchmark]
source = "mlqa"
subsets = "en-en,en-de"

[training.model]
pooling = "mean"
max_tokens_query = 12
max_tokens_passage = 12

[[training.data.sets]]
dataset = "tevatron"
source = "train.jsonl"
lang = "en"
query_lang = "de"

[training.optimisation]
max_steps = 2
batch_size = 4
learning_rate = 1e-3
precision = "float32"
log_every = 1

[queries]
generator = "lexical?lexicon=LEXICON"
languages = ["de"]
per_language = 1

[[starts]]
name = "tiny"

[[weaves]]
name = "woven"
generator = "lexical?lexicon=LEXICON"
languages = ["de"]
per_language = 1
alpha = 0.3

[[arms]]
name = "start"
weave = ["none", "woven"]

[[arms]]
name = "plain"
weave = ["none", "woven"]
train = {}

[[arms]]
name = "augmented"
train = { weaving = { per_step = 1 } }

[[arms]]
name = "vat"
train = { adversaries = [{ name = "vat" }] }

[[shifts]]
name = "swapped"
perturb = "transpose"
severities = [1, 3]

[[shifts]]
name = "german"
subsets = "de-en"

[profiles.quick]
arms = ["start", "plain"]
shifts = ["german"]
[profiles.quick.set]
seeds = [7]
[profiles.quick.set.benchmark]
questions = 2
"""


ADJUSTED = (
    "adjustments=[{name='centred', kind='centre', parallel=['tatoeba']},"
    " {name='erased', kind='erase', parallel=['tatoeba'], limit=3}]",
    "seeds=[0]",
    "arms=[{name='start', weave=['none', 'woven'], adjust=['none', 'centred', 'erased']},"
    " {name='plain', train={}, adjust=['none', 'centred']}]",
    "shifts=[{name='german', subsets='de-en'}, {name='swapped', perturb='transpose'}]",
)
"""Overrides of a study whose vectors are adjusted."""


def write_study_files(folder: Path) -> Path:
    """MLQA, training questions, a lexicon, an encoder and the recipe `study.toml`; gives the recipe."""
    for p in TEXTS:
        for q in QUESTIONS:
            paragraphs = [
                {
                    "context": context,
                    "qas": [
                        {"id": f"q{i}", "question": question, "answers": [{"text": "", "answer_start": 0}]}
                    ],
                }
                for i, (context, question) in enumerate(zip(TEXTS[p], QUESTIONS[q], strict=True))
            ]
            path = folder / "mlqa" / f"dev-context-{p}-question-{q}.json"
            path.parent.mkdir(exist_ok=True)
            path.write_text(
                json.dumps({"data": [{"title": "t", "paragraphs": paragraphs}]}), encoding="utf-8"
            )
    rows = [
        {
            "query_id": f"t{i}",
            "query": question,
            "answers": [],
            "positive_passages": [{"docid": f"p{i}", "title": "", "text": f"{text} where"}],
            "negative_passages": [],
        }
        for i, (text, question) in enumerate(zip(TEXTS["en"], QUESTIONS["de"], strict=True))
    ]
    (folder / "train.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    (folder / "tatoeba").mkdir()
    sentences = [
        f"{a}\t{b}\n" for said in (TEXTS, QUESTIONS) for a, b in zip(said["en"], said["de"], strict=True)
    ]
    (folder / "tatoeba" / "eng-deu.tsv").write_text("".join(sentences), encoding="utf-8")
    pairs = [
        f"{a}\tde\t{b}\n"
        for x, y in zip(TEXTS["en"], TEXTS["de"], strict=True)
        for a, b in zip(x.split(), y.split(), strict=True)
    ]
    (folder / "lexicon.tsv").write_text("".join(pairs), encoding="utf-8")
    base = write_word_encoder(folder / "base", WORDS, dimension=16)
    recipe = folder / "study.toml"
    text = RECIPE.replace('"base"', json.dumps(str(base))).replace("LEXICON", str(folder / "lexicon.tsv"))
    recipe.write_text(f"root = {json.dumps(str(folder))}\n{text}", encoding="utf-8")
    return recipe
