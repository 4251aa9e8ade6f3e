"""A run of a trainer: what it logs, where it stops, what it leaves, and what it refuses."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.trainer import SentenceTransformerTrainer

import tiny_encoders
import tiny_training
from babelweave.artifact import PLAN, read_manifest
from babelweave.errors import BabelweaveError, DataError, UsageError
from babelweave.recipe import Status
from babelweave.train.batches import TextCollator, batch_arguments
from babelweave.train.folder import KIND, TrainingFolder
from babelweave.train.log import read_log
from babelweave.train.run import run_trainer, seeded
from babelweave.train.settings import Batches, Lora, Optimisation
from babelweave.train.trainers import SequenceTrainer, arguments
from tiny_training import TinyLoss, TinyRecipe, Trouble

CLOCK = {"elapsed", "examples_per_second"}


@pytest.fixture(scope="session")
def bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_encoders.build("bert", tmp_path_factory.mktemp("bert")))


Make = Callable[..., TinyRecipe]


@pytest.fixture
def make(bert: str) -> Make:
    """A recipe of 12 steps, its settings changed as asked."""

    def recipe(*, batches: Batches | None = None, **changed: Any) -> TinyRecipe:
        sections = {name: changed.pop(name) for name in ("lora", "trouble") if name in changed}
        base = {"max_steps": 12, "batch_size": 8, "learning_rate": 1e-3, "precision": "float32"}
        made = Optimisation(**{**base, "log_every": 2, "save_every": 4, **changed})
        return TinyRecipe(
            kind="tiny",
            model=bert,
            optimisation=made,
            batches=batches or Batches(distinct=False),
            **sections,
        )

    return recipe


def timeless(folder: Path) -> list[dict[str, Any]]:
    return [
        {key: value for key, value in line.items() if key not in CLOCK}
        for line in read_log(folder / "log.jsonl")
    ]


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


class StopError(Exception):
    pass


def stop_at(step: int) -> Callable[[Status], None]:
    def progress(status: Status) -> None:
        if status.step == step:
            raise StopError

    return progress


def test_log_and_artefact(make: Make, tmp_path: Path) -> None:
    seen: list[Status] = []
    trained = make(eval_every=5).train(tmp_path / "out", progress=seen.append)
    lines = timeless(tmp_path / "out")
    losses = [line for line in lines if "loss" in line]
    assert [line["step"] for line in losses] == [2, 4, 6, 8, 10, 12]
    for line in losses:
        assert line["loss"] == pytest.approx(sum(line["parts"].values()))
        assert set(line) == {"step", "epoch", "loss", "parts", "learning_rate", "grad_norm"}
    assert losses[-1]["loss"] < losses[0]["loss"]
    dev = [line for line in lines if "evaluation" in line]
    assert [line["step"] for line in dev] == [5, 10, 12]
    best = max(dev, key=lambda line: line["evaluation"]["score"])
    assert (trained.n_steps, trained.best_step, trained.best) == (
        12,
        best["step"],
        best["evaluation"]["score"],
    )
    assert [status.step for status in seen] == list(range(1, 13))
    assert seen[-1].seconds_left == 0
    assert seen[0].n_steps == 12
    manifest = read_manifest(tmp_path / "out", KIND, checksums=True)
    assert manifest == trained.manifest
    assert manifest.counts == {"examples": 78, "steps": 12, "best_step": best["step"]}
    assert manifest.settings["optimisation.batch_size"] == 8
    assert "log.jsonl" not in manifest.files
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {
        "log.jsonl",
        "recipe.toml",
        "manifest.json",
    }
    assert not (tmp_path / "out" / PLAN).exists()
    assert not (tmp_path / "out" / "checkpoints").exists()


def test_the_best_weights_are_saved(make: Make, tmp_path: Path) -> None:
    trained = make(eval_every=1, learning_rate=3e-2).train(tmp_path / "out")
    assert trained.best_step not in (None, 12)
    model = SentenceTransformer(str(tmp_path / "out"), device="cpu")
    score = tiny_training.drawn_score(model)["score"]
    assert score == pytest.approx(trained.best, rel=1e-6)  # the last bit moves with where memory lies


def test_the_same_losses_as_the_plain_trainer(make: Make, tmp_path: Path) -> None:
    """What we add to the library's trainer does not move a bit, dev figures included."""
    recipe = make(max_steps=12, log_every=1, gradient_accumulation=2)
    recipe.train(tmp_path / "ours")
    make(eval_every=5, max_steps=12, log_every=1, gradient_accumulation=2).train(tmp_path / "judged")
    judged = [line for line in timeless(tmp_path / "judged") if "loss" in line]
    assert judged == timeless(tmp_path / "ours")
    with seeded(0):
        model = tiny_training.open_model(recipe.model)
        place = TrainingFolder(tmp_path / "plain", recipe, {})
        made = arguments(recipe.optimisation, place, **batch_arguments(recipe.batches, recipe.data()))
        made.save_strategy = "no"
        loss = TinyLoss(model, Trouble())
        collator = TextCollator(model.preprocess)  # theirs would read the languages as texts
        plain = SentenceTransformerTrainer(model, made, recipe.data(), loss=loss, data_collator=collator)
        plain.train()
    theirs = [line["loss"] for line in plain.state.log_history if "loss" in line]
    ours = [line["loss"] for line in timeless(tmp_path / "ours") if "loss" in line]
    assert ours == pytest.approx(theirs, rel=1e-6)  # they add up in float32
    assert len(ours) == 12
    tiny_training.save(model, tmp_path / "saved")
    assert weights(tmp_path / "ours") == weights(tmp_path / "saved")


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"gradient_accumulation": 2},
        {"epochs": 2.0, "max_steps": None, "eval_every": 3, "save_every": 5, "log_every": 3},
        {"lora": Lora(r=2, trained=("word_embeddings",))},
        {"batches": Batches(languages="hybrid", group_by_length=True)},
        {"workers": 1},
    ],
    ids=["plain", "accumulation", "second epoch", "lora", "hybrid", "workers"],
)
def test_a_failed_run_goes_on_to_the_same_end(make: Make, tmp_path: Path, changed: dict[str, Any]) -> None:
    recipe = make(**changed)
    recipe.train(tmp_path / "whole")
    n_steps = read_manifest(tmp_path / "whole", KIND).counts["steps"]
    with pytest.raises(StopError):
        recipe.train(tmp_path / "out", progress=stop_at(n_steps - 1))
    again: list[int] = []
    recipe.train(tmp_path / "out", progress=lambda status: again.append(status.step))
    assert 1 < again[0] <= n_steps
    assert timeless(tmp_path / "out") == timeless(tmp_path / "whole")
    assert weights(tmp_path / "out") == weights(tmp_path / "whole")
    assert read_manifest(tmp_path / "out", KIND) == read_manifest(tmp_path / "whole", KIND)


def test_a_run_killed_while_it_saves_the_model_trains_no_further(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = make(
        eval_every=4, patience=1, max_steps=20, learning_rate=0.0
    )  # nothing gets better: stops at 8
    recipe.train(tmp_path / "whole")

    def fail(model: Any, folder: Path) -> None:
        raise StopError

    with monkeypatch.context() as patch:
        patch.setattr(tiny_training, "save", fail)
        with pytest.raises(StopError):
            recipe.train(tmp_path / "out")
    steps: list[int] = []
    trained = recipe.train(tmp_path / "out", progress=lambda status: steps.append(status.step))
    assert steps == []
    assert (trained.n_steps, trained.best_step) == (8, 4)
    assert weights(tmp_path / "out") == weights(tmp_path / "whole")
    assert timeless(tmp_path / "out") == timeless(tmp_path / "whole")


def test_a_loss_that_is_no_number_stops_and_leaves_the_last_checkpoint(make: Make, tmp_path: Path) -> None:
    with pytest.raises(
        BabelweaveError, match=r"^step 6: the loss is nan; .* \(the checkpoint of step 4 stands\)"
    ):
        make(trouble=Trouble(nan_at=6)).train(tmp_path / "out")
    last = tmp_path / "out" / "checkpoints" / "checkpoint-4"
    assert (last / "complete.json").is_file()
    assert all(tensor.isfinite().all() for tensor in load_file(last / "model.safetensors").values())
    with pytest.raises(BabelweaveError, match=r"^step 2: the loss is nan; .* \(there is no checkpoint yet\)"):
        make(trouble=Trouble(nan_at=2)).train(tmp_path / "early")


def test_weights_that_are_not_finite_are_never_saved(make: Make, tmp_path: Path) -> None:
    recipe = make(trouble=Trouble(inf_at=8), learning_rate=0.0)
    with pytest.raises(
        BabelweaveError, match=r"^step 8: .*word_embeddings\S* is no longer finite; .*step 4 stands"
    ):
        recipe.train(tmp_path / "out")
    assert [path.name for path in (tmp_path / "out" / "checkpoints").iterdir()] == ["checkpoint-4"]


def test_another_recipe_is_refused_by_its_keys(make: Make, tmp_path: Path) -> None:
    with pytest.raises(StopError):
        make().train(tmp_path / "out", progress=stop_at(5))
    other = make(learning_rate=2e-3, seed=1)
    with pytest.raises(UsageError, match=r"optimisation\.learning_rate, optimisation\.seed differ"):
        other.train(tmp_path / "out")
    other.train(tmp_path / "out", overwrite=True)
    with pytest.raises(UsageError, match="is finished"):
        other.train(tmp_path / "out")


def test_other_data_and_other_processes_are_refused(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = TrainingFolder(tmp_path / "out", make(), {"train": "a", "dev": "b"})
    begun.checkpoint(2).mkdir(parents=True)
    begun.mark(2, {})
    with pytest.raises(UsageError, match=r"\(inputs\.train differ\)"):
        TrainingFolder(tmp_path / "out", make(), {"train": "c", "dev": "b"})
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match=r"\(processes differ\)"):
        TrainingFolder(tmp_path / "out", make(), {"train": "a", "dev": "b"})


def test_a_run_without_a_checkpoint_gives_way_to_another_recipe(make: Make, tmp_path: Path) -> None:
    with pytest.raises(StopError):
        make().train(tmp_path / "out", progress=stop_at(3))
    assert make(learning_rate=2e-3).train(tmp_path / "out").n_steps == 12
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / PLAN).write_text('{"kind": "store"}')
    with pytest.raises(UsageError, match="kind 'store'"):
        make().train(tmp_path / "store")


def test_a_tracker_that_is_not_installed(make: Make, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="report_to: no 'tensorbord' installed"):
        make(report_to=("tensorbord",)).train(tmp_path / "out")


@pytest.mark.parametrize("name", ["optimizer.pt", "rng_state.pth", "scheduler.pt", "trainer_state.json"])
def test_a_checkpoint_without_a_file_is_refused(make: Make, tmp_path: Path, name: str) -> None:
    with pytest.raises(StopError):
        make().train(tmp_path / "out", progress=stop_at(5))
    (tmp_path / "out" / "checkpoints" / "checkpoint-4" / name).unlink()
    with pytest.raises(DataError, match=rf"{name}: missing or changed"):
        make().train(tmp_path / "out")


def test_what_a_kill_cuts_short_is_not_used(make: Make, tmp_path: Path) -> None:
    """A checkpoint without its marker, a log without the end of its last line."""
    recipe = make()
    recipe.train(tmp_path / "whole")
    with pytest.raises(StopError):
        recipe.train(tmp_path / "out", progress=stop_at(7))
    checkpoints, log = tmp_path / "out" / "checkpoints", tmp_path / "out" / "log.jsonl"
    shutil.copytree(checkpoints / "checkpoint-4", checkpoints / "checkpoint-6")
    (checkpoints / "checkpoint-6" / "complete.json").unlink()
    log.write_text(log.read_text() + json.dumps({"step": 10})[:5])
    recipe.train(tmp_path / "out")
    assert weights(tmp_path / "out") == weights(tmp_path / "whole")
    assert timeless(tmp_path / "out") == timeless(tmp_path / "whole")


def test_checkpoints_kept(make: Make, tmp_path: Path) -> None:
    recipe = make(save_every=2, keep=2, eval_every=3)
    with pytest.raises(StopError):
        recipe.train(tmp_path / "out", progress=stop_at(11))
    kept = {int(path.name.split("-")[1]) for path in (tmp_path / "out" / "checkpoints").iterdir()}
    best = [line["step"] for line in timeless(tmp_path / "out") if line.get("best")][-1]
    assert kept == {8, 10, best} or kept == {9, 10, best}


def test_early_stopping(make: Make, tmp_path: Path) -> None:
    trained = make(eval_every=2, patience=3, max_steps=40, learning_rate=0.0).train(tmp_path / "out")
    assert (trained.n_steps, trained.best_step) == (8, 2)


def test_no_steps_is_the_model_as_it_begins(make: Make, bert: str, tmp_path: Path) -> None:
    trained = make(max_steps=0).train(tmp_path / "out")
    assert (trained.n_steps, trained.best_step) == (0, None)
    begun = SentenceTransformer(bert, device="cpu").encode(["a 1", "b"])
    assert np.array_equal(
        SentenceTransformer(str(tmp_path / "out"), device="cpu").encode(["a 1", "b"]), begun
    )


def test_the_random_state_of_the_caller_stays(make: Make, tmp_path: Path) -> None:
    random.seed(1), np.random.seed(1), torch.manual_seed(1)  # noqa: NPY002
    expected = random.random(), np.random.rand(), torch.rand(1)  # noqa: NPY002
    random.seed(1), np.random.seed(1), torch.manual_seed(1)  # noqa: NPY002
    make().train(tmp_path / "out")
    assert (random.random(), np.random.rand(), torch.rand(1)) == expected  # noqa: NPY002


def test_gradient_checkpointing_changes_no_loss(make: Make, tmp_path: Path) -> None:
    make().train(tmp_path / "plain")
    make(gradient_checkpointing=True).train(tmp_path / "less")
    assert timeless(tmp_path / "less") == timeless(tmp_path / "plain")


def test_attention_is_computed_plainly_on_a_cpu(make: Make, tmp_path: Path) -> None:
    for name, chosen in (("auto", {}), ("eager", {"attention": "eager"}), ("sdpa", {"attention": "sdpa"})):
        undropped = make(**chosen).model_copy(
            update={"dropout": 0.0}
        )  # with dropout torch has no fused kernel
        undropped.train(tmp_path / name)
    assert weights(tmp_path / "auto") == weights(tmp_path / "eager") != weights(tmp_path / "sdpa")
    assert len({(tmp_path / name / "config.json").read_bytes() for name in ("auto", "eager", "sdpa")}) == 1
    eager, sdpa = ([line["loss"] for line in timeless(tmp_path / name)] for name in ("eager", "sdpa"))
    assert eager == pytest.approx(sdpa, rel=1e-3)


def test_learning_rates_by_name(make: Make, bert: str, tmp_path: Path) -> None:
    make(learning_rates={"word_embeddings": 0.0}).train(tmp_path / "out")
    before = load_file(Path(bert) / "model.safetensors")
    after = load_file(tmp_path / "out" / "model.safetensors")
    moved = {name: not torch.equal(before[name], after[name]) for name in after}
    assert not moved["embeddings.word_embeddings.weight"]
    assert moved["encoder.layer.0.output.dense.weight"]
    with pytest.raises(UsageError, match="name matches 'wordembeddings'; did you mean 'word_emb"):
        make(learning_rates={"wordembeddings": 0.0}).train(tmp_path / "other")


def test_dev_data_and_evaluations_belong_together(make: Make, tmp_path: Path) -> None:
    recipe = make()
    place = TrainingFolder(tmp_path / "out", recipe, {})
    with pytest.raises(UsageError, match="eval_every and dev data belong together"):
        run_trainer(None, place, recipe.optimisation, dev=tiny_training.drawn_score)  # type: ignore[arg-type]


def test_batches_that_fill_nothing(make: Make, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="78 examples fill no batch of 100"):
        make(batch_size=100).train(tmp_path / "out")


def test_precision(make: Make, tmp_path: Path) -> None:
    if not torch.cuda.is_available():
        with pytest.raises(UsageError, match='"float16" needs a GPU'):
            make(precision="float16").train(tmp_path / "half")
    make().train(tmp_path / "plain")
    make(precision="bfloat16").train(tmp_path / "bf16")
    ours, theirs = (timeless(tmp_path / name)[-1]["loss"] for name in ("bf16", "plain"))
    assert ours != theirs
    assert ours == pytest.approx(theirs, abs=0.05)


def test_a_sequence_model_resumes(make: Make, tmp_path: Path) -> None:
    """transformers' own trainer, with weights that are shared between modules."""
    from transformers import MT5Config, MT5ForConditionalGeneration, Seq2SeqTrainingArguments

    shape = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2}
    rows = [{"input_ids": [i, i + 1, 1], "labels": [i + 1, 1]} for i in range(2, 40)]
    o = make(batch_size=4, max_steps=11, learning_rate=1e-2, save_every=3).optimisation

    def train(folder: Path, stop: Callable[[Status], None] | None = None) -> bytes:
        place = TrainingFolder(folder, make(), {})
        with seeded(0):
            model = MT5ForConditionalGeneration(MT5Config(vocab_size=64, decoder_start_token_id=0, **shape))
            made = arguments(o, place, Seq2SeqTrainingArguments)
            trainer = SequenceTrainer(model, made, train_dataset=Dataset.from_list(rows))
            outcome = run_trainer(trainer, place, o, progress=stop)
        place.finish(lambda f: model.save_pretrained(f), outcome, {})
        return weights(folder)

    whole = train(tmp_path / "whole")
    with pytest.raises(StopError):
        train(tmp_path / "out", stop_at(8))
    assert train(tmp_path / "out") == whole
    assert timeless(tmp_path / "out") == timeless(tmp_path / "whole")
    rates = make(learning_rates={"shared": 0.1})
    place = TrainingFolder(tmp_path / "rates", rates, {})
    with pytest.raises(UsageError, match="learning_rates: only retrievers"):
        arguments(rates.optimisation, place, Seq2SeqTrainingArguments)


def test_adapters_are_merged(make: Make, tmp_path: Path) -> None:
    """What is saved is a stock model: no name of an adapter, other weights than it began with."""
    make(lora=Lora(r=2, target_modules=("query", "value"))).train(tmp_path / "out")
    saved, begun = (
        load_file(tmp_path / "out" / "model.safetensors"),
        load_file(Path(make().model) / "model.safetensors"),
    )
    assert set(saved) == set(begun)
    moved = {name for name in saved if not torch.equal(saved[name], begun[name])}
    assert moved == {
        f"encoder.layer.{i}.attention.self.{n}.weight" for i in range(2) for n in ("query", "value")
    }


@pytest.mark.parametrize("lora", [Lora(target_modules=("qurey",)), Lora(trained=("qurey",))])
def test_adapters_of_no_module(make: Make, tmp_path: Path, lora: Lora) -> None:
    with pytest.raises(UsageError, match=r"lora\.\w+: no module 'qurey'; did you mean 'query'"):
        make(lora=lora).train(tmp_path / "out")
