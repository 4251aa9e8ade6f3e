"""Retrievers from recipe to folder: tiny models of the field's architectures learn, are saved, and reopen."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from transformers import AutoModel, AutoTokenizer

import tiny_encoders
from babelweave.artifact import read_json
from babelweave.data.collection import write_collection
from babelweave.data.relevance import read_relevance
from babelweave.encode.spec import open_encoder
from babelweave.errors import DataError, UsageError
from babelweave.recipe import Recipe, Status, load_recipe
from babelweave.records import Passage, Query
from babelweave.train.log import read_log
from tiny_models import write_static_encoder, write_word_encoder

WORDS = " ".join(tiny_encoders.SENTENCES).split()

RECIPE = """
kind = "retriever"
[model]
base = "base"
pooling = "cls"
max_tokens_query = 12
max_tokens_passage = 24
[[data.sets]]
dataset = "tevatron"
source = "train.jsonl"
lang = "en"
[loss]
similarity = "dot"
[negatives]
per_question = 2
[batches]
distinct = false
[optimisation]
max_steps = 120
batch_size = 16
learning_rate = 5e-3
warmup_ratio = 0.1
precision = "float32"
log_every = 10
save_every = 1000
"""


def rows(n: int = 64) -> list[dict[str, Any]]:
    """Tevatron v1: questions made of three words of their passage, and one to three negatives."""
    rng = random.Random(0)
    found = []
    for i in range(n):
        words = rng.sample(WORDS, 6)
        negatives = [" ".join(rng.sample(WORDS, 6)) for _ in range(rng.randint(1, 3))]
        found.append(
            {
                "query_id": str(i),
                "query": " ".join(rng.sample(words, 3)),
                "answers": [],
                "positive_passages": [{"docid": f"p{i}", "title": words[0], "text": " ".join(words[1:])}],
                "negative_passages": [
                    {"docid": f"n{i}-{j}", "title": "", "text": text} for j, text in enumerate(negatives)
                ],
            }
        )
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny_encoders.build("bert", tmp_path / "base")
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, rows())), encoding="utf-8")
    (tmp_path / "r.toml").write_text(RECIPE.replace('"base"', json.dumps(str(tmp_path / "base"))))
    return tmp_path


def recipe(folder: Path, *overrides: str) -> Recipe:
    return load_recipe(folder / "r.toml", [f"data.root={json.dumps(str(folder))}", *overrides])


def losses(folder: Path) -> list[float]:
    return [line["loss"] for line in read_log(folder / "log.jsonl") if "loss" in line]


@pytest.mark.parametrize("kind", ["bert", "xlmr"])
def test_the_architectures_of_the_recipes_learn_and_reopen_everywhere(tmp_path: Path, kind: str) -> None:
    tiny_encoders.build(kind, tmp_path / "base")
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, rows())), encoding="utf-8")
    (tmp_path / "r.toml").write_text(RECIPE.replace('"base"', json.dumps(str(tmp_path / "base"))))
    trained = recipe(tmp_path).train(tmp_path / "model")
    assert trained.n_steps == 120
    found = losses(tmp_path / "model")
    assert found[0] > 3.5  # of 48 candidates: log 48 is 3.87
    assert found[-1] < 0.7 * found[0]

    encoder = open_encoder(f"{tmp_path / 'model'}?precision=float32")
    signature = encoder.signature
    assert (signature.pooling, signature.similarity, signature.normalised) == ("cls", "dot", False)
    assert (signature.max_tokens_query, signature.max_tokens_passage) == (12, 24)
    assert signature.dimension == 32
    texts = [*tiny_encoders.SENTENCES, "", "  ".join(tiny_encoders.SENTENCES)]
    ours = encoder.encode(texts, "passage").vectors
    library = SentenceTransformer(str(tmp_path / "model"), device="cpu")
    np.testing.assert_allclose(library.encode(texts), ours, atol=2e-6)
    assert library.similarity_fn_name == "dot"
    np.testing.assert_allclose(_by_hand(tmp_path / "model", texts, 24), ours, atol=2e-6)
    questions = encoder.encode(texts, "query").vectors
    np.testing.assert_allclose(_by_hand(tmp_path / "model", texts, 12), questions, atol=2e-6)
    assert np.abs(questions - ours).max() > 0.01  # a question is cut sooner
    card = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    assert "| tevatron | relevance | 64 | en | that of the data |" in card
    assert str(tmp_path) not in card


def _by_hand(folder: Path, texts: list[str], max_tokens: int) -> Any:
    """The first token's vector, with transformers alone."""
    tokenizer, network = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    with torch.inference_mode():
        tokens = tokenizer(texts, truncation=True, max_length=max_tokens, padding=True, return_tensors="pt")
        return network(**tokens).last_hidden_state[:, 0].numpy()


def test_training_reads_as_encoding_does(folder: Path) -> None:
    """With one step of learning rate 0 the loss is that of the saved model's own vectors."""
    asked = recipe(
        folder,
        "optimisation.max_steps=1",
        "optimisation.learning_rate=0.0",
        "optimisation.warmup_ratio=0.0",
        "optimisation.log_every=1",
        "optimisation.batch_size=64",
        "negatives.per_question=0",
        'model.prompt_query="der "',
    )
    base = tiny_encoders.build("bert", folder / "base")
    config = read_json(base / "config.json")
    config["hidden_dropout_prob"] = config["attention_probs_dropout_prob"] = 0.0
    (base / "config.json").write_text(json.dumps(config))
    asked.train(folder / "model")
    (found,) = losses(folder / "model")
    encoder = open_encoder(str(folder / "model"))
    assert encoder.signature.prompt_query == "der "
    data = rows()
    questions = encoder.encode([row["query"] for row in data], "query").vectors
    texts = [f"{p['title']} {p['text']}" for row in data for p in row["positive_passages"]]
    scores = torch.tensor(questions @ encoder.encode(texts, "passage").vectors.T)
    expected = torch.nn.functional.cross_entropy(scores, torch.arange(len(data))).item()
    assert found == pytest.approx(expected, rel=1e-4)


SHORT = ("optimisation.max_steps=12", "optimisation.log_every=1", "optimisation.save_every=4")


def test_an_interrupted_run_goes_on_to_the_same_weights(folder: Path) -> None:
    """Stopped in the second epoch, whose groups are other than the first's; a checkpoint ended that one."""
    whole = recipe(folder, *SHORT).train(folder / "whole")

    def stop(status: Status) -> None:
        if status.step == 7:
            raise ConnectionError("the machine is gone")

    with pytest.raises(ConnectionError):
        recipe(folder, *SHORT).train(folder / "stopped", progress=stop)
    assert len(losses(folder / "stopped")) == 6
    assert recipe(folder, *SHORT).train(folder / "stopped").manifest == whole.manifest
    assert losses(folder / "stopped") == losses(folder / "whole")
    with pytest.raises(UsageError, match="finished"):
        recipe(folder, *SHORT).train(folder / "stopped")


def test_gradcache_and_accumulation_and_adapters_and_masks_run(folder: Path) -> None:
    trained = recipe(
        folder,
        *SHORT,
        "optimisation.max_steps=6",
        "loss={similarity='cosine', temperature=0.05, symmetric=true, mask_margin=0.1, grad_cache=4}",
        "lora={r=4, target_modules=['query', 'value']}",
        "optimisation.gradient_accumulation=2",
        "batches.distinct=true",
    ).train(folder / "model")
    assert trained.n_steps == 6
    assert np.isfinite(losses(folder / "model")).all()
    before, after = (AutoModel.from_pretrained(folder / name).state_dict() for name in ("base", "model"))
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert {name.split(".")[-2] for name in moved} == {"query", "value"}  # adapters merged into these


def test_the_best_on_dev_is_what_is_kept(folder: Path) -> None:
    data = rows()
    passages = [
        Passage(p["docid"], p["text"], "en", p["title"]) for r in data for p in r["positive_passages"]
    ]
    questions = [Query(r["query_id"], r["query"], "en") for r in data]
    qrels = {q.query_id: {p.doc_id: 1} for q, p in zip(questions, passages, strict=True)}
    write_collection(folder / "dev", passages, questions, {"dev": qrels})
    dev = "dev={collection='dev'}"
    asked = recipe(
        folder,
        dev,
        "optimisation.max_steps=240",
        "optimisation.eval_every=80",
        "optimisation.patience=5",
    )
    trained = asked.train(folder / "model")
    figures = [
        (line["step"], line["evaluation"]["RR@10"])
        for line in read_log(folder / "model" / "log.jsonl")
        if "evaluation" in line
    ]
    assert [step for step, _ in figures] == [80, 160, 240]
    assert (trained.best_step, trained.best) == max(figures, key=lambda pair: pair[1])
    assert trained.best is not None
    assert trained.best > 0.3  # by chance 0.046, the mean of 1/rank to 10 over 64; mostly about 0.7
    encoder = open_encoder(str(folder / "model"))
    scores = (
        encoder.encode([q.text for q in questions], "query").vectors
        @ encoder.encode([p.content for p in passages], "passage").vectors.T
    )
    ranks = 1 + (scores > np.diag(scores)[:, None]).sum(axis=1)
    # Where the processor has bfloat16 both encode in it, in other batches: near ties fall otherwise.
    assert trained.best == pytest.approx(np.where(ranks <= 10, 1 / ranks, 0).mean(), abs=0.015)


def test_several_sets_in_several_languages(folder: Path) -> None:
    data = rows(40)
    for row in data:
        row["negative_passages"] = []
    (folder / "second.jsonl").write_text("\n".join(map(json.dumps, data)), encoding="utf-8")
    sets = (
        "[{dataset='tevatron', source='train.jsonl', lang='en', name='first'},"
        " {dataset='tevatron', source='second.jsonl', lang='en', query_lang='de', name='second'}]"
    )
    asked = recipe(
        folder,
        *SHORT,
        f"data.sets={sets}",
        "negatives.missing='random'",
        "batches={languages='single', weights={first=1.0, second=3.0}}",
    )
    counts = asked.train(folder / "model").manifest.counts
    assert counts["second: questions without a negative, given random passages"] == 40
    assert counts["batches.second"] > counts["batches.first"]


def test_data_that_cannot_be_trained_on(folder: Path) -> None:
    data = rows(40)
    for row in data:
        row["negative_passages"] = []
    (folder / "bare.jsonl").write_text("\n".join(map(json.dumps, data)), encoding="utf-8")
    sets = "data.sets=[{dataset='tevatron', source='bare.jsonl', lang='en'}]"
    with pytest.raises(DataError, match=r"40 of 40 questions have no negative \(first: '0'\); mine some"):
        recipe(folder, sets).train(folder / "model")
    with pytest.raises(DataError, match="no question has a negative"):
        recipe(folder, sets, "negatives.missing='drop'").train(folder / "model")
    with pytest.raises(UsageError, match="max_tokens_passage=25: base reads 3 to 24 tokens"):
        recipe(folder, "model.max_tokens_passage=25").plan()
    with pytest.raises(DataError, match="no encoder here"):
        recipe(folder, f"model.base={json.dumps(str(folder))}").plan()
    static = write_static_encoder(folder / "static", WORDS)
    asked = recipe(folder, f"model={{base={json.dumps(str(static))}}}", "loss.similarity='cosine'")
    with pytest.raises(UsageError, match="is a static embedding; take a transformer"):
        asked.plan()
    with pytest.raises(DataError, match=r"tevatron: no questions in de; known: en"):
        recipe(
            folder, "data.sets=[{dataset='tevatron', source='train.jsonl', lang='en', languages=['de']}]"
        ).plan()
    assert not (folder / "model").exists()


def test_the_plan_counts_what_a_run_reads(folder: Path) -> None:
    plan = recipe(folder, "optimisation={epochs=2, batch_size=16, learning_rate=1e-4}").plan()
    assert (plan.n_examples, plan.n_steps) == (64, 8)
    per_example = plan.n_tokens / (8 * 16)
    assert 30 < per_example <= 12 + 3 * 24


@pytest.mark.data
def test_real_questions_are_learned(tmp_path: Path, data_root: Path) -> None:
    """One layer over the words of 2,651 questions of Natural Questions and their passages."""
    data = read_relevance("nq", data_root)
    words = Counter(w for p in data.passages for w in p.content.split())
    words.update(w for q in data.queries for w in q.text.split())
    write_word_encoder(tmp_path / "base", [word for word, _ in words.most_common(8000)])
    text = RECIPE.replace('"base"', json.dumps(str(tmp_path / "base"))).replace('"cls"', '"mean"')
    source = 'dataset = "tevatron"\nsource = "train.jsonl"\nlang = "en"'
    (tmp_path / "r.toml").write_text(text.replace(source, 'relevance = "nq"'))
    asked = recipe(
        tmp_path,
        f"data.root={json.dumps(str(data_root))}",
        "model.max_tokens_passage=48",
        "negatives={per_question=1, missing='random'}",
        "loss.similarity=cosine",
        "optimisation.max_steps=60",
    )
    manifest = asked.train(tmp_path / "model").manifest
    assert manifest.counts["examples"] == 2651
    assert manifest.counts["passage texts sampled, truncated"] > 1000
    found = losses(tmp_path / "model")
    assert found[0] > 3.3  # of 32 candidates: log 32 is 3.47
    assert found[-1] < 3.1
