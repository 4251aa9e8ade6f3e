"""Woven passages and adversaries from recipe to weights: equal at weight 0, resumed, combined."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

import tiny_encoders
from babelweave.artifact import read_json
from babelweave.encode.spec import open_encoder
from babelweave.errors import DataError, UsageError
from babelweave.generate.queries import GeneratedQueries
from babelweave.recipe import Recipe, Status, dump_recipe, load_recipe
from babelweave.train.log import read_log
from babelweave.weave.fusers.spec import open_fuser

WORDS = " ".join(tiny_encoders.SENTENCES).split()
N = 48
RECIPE = """
kind = "retriever"
[model]
base = "base"
pooling = "mean"
max_tokens_query = 12
max_tokens_passage = 24
[[data.sets]]
dataset = "tevatron"
source = "train.jsonl"
lang = "en"
query_lang = "de"
[negatives]
per_question = 1
[optimisation]
max_steps = 8
batch_size = 8
learning_rate = 1e-3
precision = "float32"
log_every = 1
save_every = 3
"""
WEAVING = "weaving={generated='generated.parquet', per_step=3, negatives=true}"


def rows() -> list[dict[str, Any]]:
    """Tevatron v1: questions made of three words of their passage, one negative each."""
    rng = np.random.default_rng(0)
    found = []
    for i in range(N):
        words = [str(w) for w in rng.choice(WORDS, 6, replace=False)]
        other = " ".join(map(str, rng.choice(WORDS, 6, replace=False)))
        found.append(
            {
                "query_id": str(i),
                "query": f"{words[1]} {words[3]} {words[4]} {i}",
                "answers": [],
                "positive_passages": [{"docid": f"p{i}", "title": "", "text": " ".join(words)}],
                "negative_passages": [{"docid": f"n{i}", "title": "", "text": other}],
            }
        )
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    base = tiny_encoders.build("bert", tmp_path / "base")
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, rows())), encoding="utf-8")
    (tmp_path / "r.toml").write_text(RECIPE.replace('"base"', json.dumps(str(base))))
    queries = [
        (passage["docid"], lang, rank, f"{lang} {' '.join(passage['text'].split()[rank : rank + 3])}")
        for row in rows()
        for passage in (*row["positive_passages"], *row["negative_passages"])
        for lang in ("ar", "es", "zh")
        for rank in range(2)
    ]
    write_generated(tmp_path / "generated.parquet", queries)
    return tmp_path


def write_generated(path: Path, queries: list[tuple[str, str, int, str]]) -> None:
    names = ("doc_id", "lang", "rank", "query")
    pq.write_table(pa.table(dict(zip(names, map(list, zip(*queries, strict=True)), strict=True))), path)


def recipe(folder: Path, *overrides: str) -> Recipe:
    return load_recipe(folder / "r.toml", [f"data.root={json.dumps(str(folder))}", *overrides])


def log(folder: Path) -> list[dict[str, Any]]:
    clock = {"elapsed", "examples_per_second"}
    return [{k: v for k, v in line.items() if k not in clock} for line in read_log(folder / "log.jsonl")]


def losses(folder: Path) -> list[float]:
    return [line["loss"] for line in log(folder)]


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


ALL = (
    "adversaries=[{name='fgm'}, {name='pgd', n_steps=2}, {name='freelb', start_step=2}, {name='smart'}, "
    "{name='vat', weight=0.5, side='both'}, {name='output_space', moves='both'}, {name='worst_mixture'}, "
    "{name='worst_mixture', over='languages'}, {name='consistency', n=2, back=0.2}, "
    "{name='consistency', variants='generated', start_step=5}, {name='language_confusion'}]"
)


@pytest.mark.parametrize(
    "changed",
    [
        ("adversaries=[{name='vat', weight=0.0}, {name='consistency', weight=0.0}]",),
        ("weaving={generated='generated.parquet', alpha=0.0}",),
        ("weaving={generated='generated.parquet', alpha=0.0}", "adversaries=[{name='fgm', weight=0.0}]"),
        ("adversaries=[{name='freelb', start_step=100}, {name='consistency', start_step=100}]",),
    ],
    ids=["weights", "alpha", "both", "not begun"],
)
def test_weight_0_is_plain_training_to_the_bit(folder: Path, changed: tuple[str, ...]) -> None:
    recipe(folder).train(folder / "plain")
    recipe(folder, *changed).train(folder / "other")
    assert losses(folder / "other") == losses(folder / "plain")
    assert weights(folder / "other") == weights(folder / "plain")


def test_an_adversary_does_not_move_the_dropout_of_what_is_beside_it(folder: Path) -> None:
    """With a learning rate of 0 the clean part of every step is that of the plain run."""
    still = ("optimisation.learning_rate=0.0",)
    recipe(folder, *still).train(folder / "plain")
    names = ("fgm", "pgd", "freelb", "smart", "vat", "output_space", "language_confusion")
    listed = ", ".join(f"{{name='{name}'}}" for name in names)
    recipe(folder, *still, f"adversaries=[{listed}]").train(folder / "other")
    clean = [line["parts"]["contrastive"] for line in log(folder / "other")]
    assert clean == losses(folder / "plain")
    for line in log(folder / "other"):
        assert set(line["parts"]) == {"contrastive", *names}
        assert line["loss"] == pytest.approx(sum(line["parts"].values()), rel=1e-5)
        assert line["parts"]["fgm"] > line["parts"]["contrastive"]


@pytest.mark.parametrize(
    "changed",
    [
        (WEAVING, ALL),
        (WEAVING, ALL, "optimisation.gradient_accumulation=2"),
        (
            "weaving={generated='generated.parquet', languages_per_step=1, learn_alpha=true}",
            "adversaries=[{name='language_confusion', vectors='query'}]",
            "optimisation.learning_rates={'alpha_logit' = 0.1, 'language_confusion' = 0.1}",
        ),
        (
            "weaving={generated='generated.parquet', alpha=0.0, alpha_end=0.5, alpha_steps=6}",
            "adversaries=[{name='output_space'}, {name='worst_mixture'}, {name='consistency'}]",
            "loss.grad_cache=3",
        ),
    ],
    ids=["all", "accumulation", "learned", "gradcache"],
)
def test_a_resumed_run_ends_as_it_would_have(folder: Path, changed: tuple[str, ...]) -> None:
    whole = recipe(folder, *changed).train(folder / "whole")

    def stop(status: Status) -> None:
        if status.step == 7:
            raise ConnectionError("the machine is gone")

    with pytest.raises(ConnectionError):
        recipe(folder, *changed).train(folder / "stopped", progress=stop)
    assert recipe(folder, *changed).train(folder / "stopped").manifest == whole.manifest
    assert log(folder / "stopped") == log(folder / "whole")
    assert weights(folder / "stopped") == weights(folder / "whole")
    assert np.isfinite(losses(folder / "whole")).all()


def test_what_a_loss_learns_at_the_encoder_s_rate_is_said(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A classifier that begins at 0 moves nothing at 2e-5, and an arm with it would be plain training."""
    adversary = "adversaries=[{name='language_confusion'}]"
    recipe(folder, adversary).train(folder / "slow")
    assert "optimisation.learning_rates.language_confusion" in caplog.text
    caplog.clear()
    rates = "optimisation.learning_rates={'language_confusion' = 0.1}"
    recipe(folder, adversary, rates).train(folder / "own")
    assert "learning_rates" not in caplog.text


def test_a_woven_loss_is_that_of_the_index_s_own_vectors(folder: Path) -> None:
    """With one step of rate 0, all queries and no dropout, the loss follows from encoder and fuser."""
    config = read_json(folder / "base" / "config.json")
    config["hidden_dropout_prob"] = config["attention_probs_dropout_prob"] = 0.0
    (folder / "base" / "config.json").write_text(json.dumps(config))
    for spec, alpha in (("sum", 0.05), ("mean", 0.4)):
        recipe(
            folder,
            f"weaving={{generated='generated.parquet', per_step=6, fuser='{spec}', alpha={alpha}, "
            "language_weights={ar=2.0}}",
            "optimisation.max_steps=1",
            "optimisation.learning_rate=0.0",
            f"optimisation.batch_size={N}",
            "negatives.per_question=0",
            'loss.similarity="dot"',
        ).train(folder / spec)
        encoder = open_encoder(f"{folder / spec}?precision=float32")
        data = rows()
        questions = encoder.encode([row["query"] for row in data], "query").vectors
        passages = encoder.encode([row["positive_passages"][0]["text"] for row in data], "passage").vectors
        found = GeneratedQueries.open(folder / "generated.parquet").lookup([f"p{i}" for i in range(N)])
        languages = ["ar", "ar", "es", "es", "zh", "zh"]
        texts = [text for i in range(N) for lang in ("ar", "es", "zh") for text in found[f"p{i}"][lang]]
        generated = encoder.encode(texts, "query").vectors.reshape(N, 6, -1)
        fuser = open_fuser(spec, alpha=alpha, language_weights={"ar": 2.0})
        woven = fuser.fuse(passages, generated, np.ones((N, 6), bool), languages)[:, 0]
        expected = torch.nn.functional.cross_entropy(torch.tensor(questions @ woven.T), torch.arange(N))
        assert losses(folder / spec)[0] == pytest.approx(expected.item(), rel=1e-5)


def test_bfloat16_and_adapters_run_with_everything(folder: Path) -> None:
    changed = ("optimisation.precision='bfloat16'", "optimisation.max_steps=6", "lora={r=2}", WEAVING, ALL)
    recipe(folder, *changed).train(folder / "model")
    assert np.isfinite(losses(folder / "model")).all()
    parts = log(folder / "model")[-1]["parts"]
    assert set(parts) >= {"worst_mixture_2", "consistency_2", "language_confusion"}
    assert all(value > 0 for value in parts.values())


def test_a_learned_alpha_moves_and_is_kept(folder: Path) -> None:
    changed = (
        "weaving={generated='generated.parquet', learn_alpha=true, alpha=0.5}",
        "optimisation.learning_rates={'alpha_logit' = 0.5}",
    )
    seen: list[float] = []

    def look(status: Status) -> None:
        for path in sorted((folder / "model" / "checkpoints").glob("checkpoint-*/loss.safetensors")):
            from safetensors.torch import load_file

            (value,) = load_file(path).values()
            seen.append(float(value))

    recipe(folder, *changed).train(folder / "model", progress=look)
    assert seen
    assert seen[-1] != 0.0


def test_passages_without_queries_are_told(folder: Path) -> None:
    write_generated(folder / "few.parquet", [("p3", "es", 0, "zorro"), ("p4", "es", 0, "perezoso")])
    few = "weaving={generated='few.parquet'}"
    with pytest.raises(DataError, match=rf"46 of {N} passages to weave have no generated query.*missing"):
        recipe(folder, few).plan()
    plain = "weaving={generated='few.parquet', missing='plain', per_step=1}"
    manifest = recipe(folder, plain).train(folder / "model").manifest
    assert manifest.counts["weaving: passages without, left as they are"] == 46
    write_generated(folder / "none.parquet", [("x", "es", 0, "zorro")])
    with pytest.raises(DataError, match="generate queries for the passages"):
        recipe(folder, "weaving={generated='none.parquet', missing='plain'}").plan()
    with pytest.raises(UsageError, match="no queries in 'de'"):
        recipe(folder, "weaving={generated='few.parquet', languages=['de']}").plan()
    with pytest.raises(UsageError, match="languages_per_step is 2, expected at most 1"):
        recipe(folder, "weaving={generated='few.parquet', languages_per_step=2, missing='plain'}").plan()


def test_ids_of_the_texts(folder: Path) -> None:
    from babelweave.data.squad import text_id

    queries = [(text_id(row["positive_passages"][0]["text"]), "es", 0, "zorro marrón") for row in rows()]
    write_generated(folder / "hashed.parquet", queries)
    with pytest.raises(DataError, match=r'48 have some under ids of the text: set weaving\.ids = "text"'):
        recipe(folder, "weaving={generated='hashed.parquet'}").plan()
    assert recipe(folder, "weaving={generated='hashed.parquet', ids='text'}").plan().n_steps == 8


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (("adversaries=[{name='vatt'}]",), "unknown adversary 'vatt'; did you mean 'vat'"),
        (("adversaries=[{name='vat', epsilom=0.1}]",), "no option 'epsilom'; did you mean 'epsilon'"),
        (("adversaries=[{name='vat', epsilon=1.5}]",), "epsilon is 1.5, expected above 0 to 1"),
        (("adversaries=[{name='vat', epsilon='x'}]",), "adversary vat: epsilon"),
        (("adversaries=[{name='fgm', side='passage'}]",), "side"),
        (("adversaries=[{name='fgm', weight=-1.0}]",), "adversaries.0.weight"),
        (("adversaries=[{name='worst_mixture'}]",), "worst_mixture needs woven passages; add a [weaving]"),
        (("adversaries=[{name='consistency', variants='generated'}]",), "add a [weaving]"),
        (("adversaries=[{name='consistency', variants='typos'}]",), "no variants 'typos'"),
        (("adversaries=[{name='fgm'}]", "loss.grad_cache=4"), "which loss.grad_cache cannot do"),
        (("adversaries=[{name='language_confusion'}]", "loss.grad_cache=4"), "would not scale"),
        (("weaving={generated='g', fuser='max'}",), "keeps 4 vectors of a passage"),
        (("weaving={generated='g', fuser='maen'}",), "did you mean 'mean'"),
        (("weaving={generated='g', alpha=2.0}",), "weaving.alpha"),
        (("weaving={generated='g', alpha_end=0.5}",), "alpha_end and alpha_steps belong together"),
        (("weaving={generated='g', learn_alpha=true, alpha=0.0}",), "learn_alpha begins between"),
    ],
)
def test_faults_are_told_before_anything_is_read(folder: Path, changed: tuple[str, ...], told: str) -> None:
    with pytest.raises(UsageError) as raised:
        recipe(folder, *changed)
    assert told in str(raised.value)


def test_a_resolved_recipe_holds_every_option_and_reads_back(folder: Path) -> None:
    asked = recipe(folder, WEAVING, ALL)
    text = dump_recipe(asked)
    assert "epsilon = 0.05" in text
    assert "xi = 0.01" in text
    (folder / "resolved.toml").write_text(text)
    assert load_recipe(folder / "resolved.toml") == asked
