"""Recipes: what is read, what is refused and in which words, and what is written back."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import Field

from babelweave import registry
from babelweave.errors import UsageError
from babelweave.recipe import (
    PACKAGED,
    Recipe,
    Strict,
    Trained,
    TrainingPlan,
    data_path,
    dump_recipe,
    load_recipe,
)
from babelweave.train.settings import Batches, Optimisation

TEXT = """\
kind = "example"  # a comment
title = "ein Bär"

[optimisation]
epochs = 2
batch_size = 16
learning_rate = 2e-5
learning_rates = { "word_embeddings" = 1e-3 }

[[data]]
source = "a.jsonl"
[[data]]
source = "b.jsonl"
languages = ["de", "no"]

[batches.weights]
a = 1
"""


class Source(Strict):
    source: str
    languages: tuple[str, ...] = ()
    weight: float = 1.0


class Example(Recipe):
    kind: Literal["example"]
    title: str = ""
    optimisation: Optimisation
    data: tuple[Source, ...] = ()
    batches: Batches = Field(default_factory=Batches)

    def plan(self) -> TrainingPlan:
        raise NotImplementedError

    def train(self, folder: Path, **kwargs: Any) -> Trained:
        raise NotImplementedError


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        registry.TABLE["training"], "example", registry.Entry(f"{__name__}:Example", "for these tests")
    )


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write(text: str) -> Path:
        path = tmp_path / "recipe.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def faults(path: Path, *overrides: str) -> list[str]:
    with pytest.raises(UsageError) as caught:
        load_recipe(path, overrides)
    head, *lines = str(caught.value).splitlines()
    assert head.startswith(f"{path}: {len(lines)} fault")
    return [line.strip() for line in lines]


def test_what_is_written_is_read(write: Any) -> None:
    recipe = load_recipe(write(TEXT))
    assert isinstance(recipe, Example)
    assert recipe.title == "ein Bär"
    assert recipe.optimisation.epochs == 2.0
    assert recipe.optimisation.learning_rates == {"word_embeddings": 1e-3}
    assert recipe.data[1].languages == ("de", "no")
    assert recipe.batches.weights == {"a": 1.0}


def test_a_resolved_recipe_reads_back_equal(write: Any) -> None:
    recipe = load_recipe(write(TEXT))
    resolved = dump_recipe(recipe)
    assert 'scheduler = "linear"' in resolved
    assert load_recipe(write(resolved)) == recipe


def test_settings_are_dotted_and_do_not_hold_the_place_of_the_data(write: Any) -> None:
    settings = load_recipe(write(TEXT)).settings()
    assert settings["optimisation.learning_rates.word_embeddings"] == 1e-3
    assert settings["data"][0] == {"source": "a.jsonl", "languages": [], "weight": 1.0}
    assert "optimisation.max_steps" not in settings


@pytest.mark.parametrize(
    ("override", "read", "value"),
    [
        ("optimisation.learning_rate=1", lambda r: r.optimisation.learning_rate, 1.0),
        ("optimisation.scheduler=cosine", lambda r: r.optimisation.scheduler, "cosine"),
        ('optimisation.scheduler = "cosine"', lambda r: r.optimisation.scheduler, "cosine"),
        ("batches.weights.b=0.5", lambda r: dict(r.batches.weights), {"a": 1.0, "b": 0.5}),
        ('optimisation.report_to=["wandb"]', lambda r: r.optimisation.report_to, ("wandb",)),
        ("title=a = b", lambda r: r.title, "a = b"),
    ],
)
def test_overrides(write: Any, override: str, read: Any, value: Any) -> None:
    assert read(load_recipe(write(TEXT), [override])) == value


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("optimisation.learning_rate", "is not section.key=value"),
        ("=1", "is not section.key=value"),
        ("optimisation..x=1", "is not section.key=value"),
        ("title.x=1", "title is no section"),
        ("optimisation.epochs.x=1", "optimisation.epochs is no section"),
    ],
)
def test_overrides_that_are_none(write: Any, override: str, words: str) -> None:
    with pytest.raises(UsageError, match=words.replace(".", r"\.")):
        load_recipe(write(TEXT), [override])


def test_every_fault_at_once_with_its_line_and_the_nearest_key(write: Any) -> None:
    text = (
        TEXT.replace("learning_rate = 2e-5", 'learning_rat = 2e-5\nseed = "0"')
        .replace("languages = ", "language = ")
        .replace("[batches.weights]", "[batchs.weights]")
    )
    top = ("batches", "data", "kind", "optimisation", "title")
    assert faults(write(text), "optimisation.save_every=0", "titel=x") == [
        "optimisation.learning_rate (line 4): is missing",
        'optimisation.seed (line 8): Input should be a valid integer, not "0"',
        "--set optimisation.save_every: Input should be greater than 0, not 0",
        "optimisation.learning_rat (line 7): unknown key; did you mean 'learning_rate'? known: "
        + ", ".join(sorted(Optimisation.model_fields)),
        "data.1.language (line 15): unknown key; did you mean 'languages'? known: languages, source, weight",
        f"batchs (line 17): unknown key; did you mean 'batches'? known: {', '.join(top)}",
        f"--set titel: unknown key; did you mean 'title'? known: {', '.join(top)}",
    ]


def test_contradictions_are_told_together(write: Any) -> None:
    text = TEXT.replace(
        "epochs = 2", "epochs = 2\nmax_steps = 5\npatience = 1\nwarmup_steps = 9\nwarmup_ratio = 0.1"
    )
    assert faults(write(text)) == [
        "optimisation (line 4): give epochs or max_steps, not both; "
        "give warmup_steps or warmup_ratio, not both; patience counts evaluations; set eval_every; "
        "9 warmup_steps are more than 5 max_steps"
    ]


def test_an_unknown_kind(write: Any) -> None:
    with pytest.raises(UsageError, match="unknown training 'exampel'; did you mean 'example'"):
        load_recipe(write('kind = "exampel"'))
    with pytest.raises(UsageError, match=r"kind is missing; known: .*example"):
        load_recipe(write("title = 'x'"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("kind = ", "not TOML"),
        ('kind = "example"\ntitle = 2020-01-01', "date is not JSON serializable"),
        ('kind = "example"\n[optimisation]\nlearning_rate = nan', "Out of range float"),
    ],
)
def test_what_is_no_recipe(write: Any, text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        load_recipe(write(text))


def test_a_place_without_a_recipe(tmp_path: Path) -> None:
    (tmp_path / "latin.toml").write_bytes(b"title = '\xe4'")
    for path in (tmp_path / "none.toml", tmp_path, tmp_path / "latin.toml"):
        with pytest.raises(UsageError, match="no recipe can be read here"):
            load_recipe(path)
    with pytest.raises(UsageError, match=r"no recipe 'nothing-like-it'; .*or a \.toml file"):
        load_recipe("nothing-like-it")


STUDIES = {"robustness", "robustness-splits"}


@pytest.mark.parametrize("name", sorted({Path(file.name).stem for file in PACKAGED.iterdir()} - STUDIES))
def test_packaged_recipes_open_by_name_and_read_back(write: Any, name: str) -> None:
    recipe = load_recipe(name)
    assert load_recipe(write(dump_recipe(recipe))) == recipe


def test_a_study_is_not_trained() -> None:
    with pytest.raises(UsageError, match="babelweave study robustness"):
        load_recipe("robustness")


def test_where_sources_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BABELWEAVE_DATA", str(tmp_path))
    assert data_path("squad/train.json") == tmp_path / "squad" / "train.json"
    assert data_path("squad", "/data") == Path("/data/squad")
    assert data_path("/elsewhere/squad", "/data") == Path("/elsewhere/squad")
    monkeypatch.delenv("BABELWEAVE_DATA")
    with pytest.raises(UsageError, match="squad: relative to no folder; set BABELWEAVE_DATA"):
        data_path("squad")
