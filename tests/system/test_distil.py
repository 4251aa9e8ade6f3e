"""A student made, taught and reopened, from recipe to model, on a few sentences and the real teacher."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from babelweave.artifact import read_json, read_manifest
from babelweave.encode.packaged import minilm
from babelweave.encode.spec import open_encoder
from babelweave.errors import DataError, UsageError
from babelweave.protocols import Encoder
from babelweave.recipe import load_recipe

PAIRS = [
    ("The house is old.", "Das Haus ist alt."),
    ("The river is deep.", "Der Fluss ist tief."),
    ("The old house burns.", "Das alte Haus brennt."),
    ("A deep river flows.", "Ein tiefer Fluss strömt."),
    ("The teacher reads a book.", "Der Lehrer liest ein Buch."),
    ("The book is new.", "Das Buch ist neu."),
    ("A new teacher comes.", "Ein neuer Lehrer kommt."),
    ("The house and the river.", "Das Haus und der Fluss."),
    ("The teacher of the house.", "Der Lehrer des Hauses."),
    ("A book and a house.", "Ein Buch und ein Haus."),
    ("The river and the teacher.", "Der Fluss und der Lehrer."),
    ("The book of the teacher.", "Das Buch des Lehrers."),
]
PARAGRAPHS = [
    ("House", "The house was built in 1850 beside the river.", "When was the house built?"),
    ("Book", "The teacher wrote the book about deep water.", "Who wrote the book?"),
    ("River", "The river flows past the old house to the sea.", "Where does the river flow?"),
    ("Teacher", "A new teacher came to the town in spring.", "When did the teacher come?"),
    ("Sea", "The sea is old and no river is as deep.", "Is the river deep?"),
    ("Town", "The town has one old book and one new house.", "Is the house new?"),
]
RECIPE = """
kind = "distil"
[student]
max_tokens = 64
train_tokens = 32
[vocabulary]
english = 200
languages = { de = 60 }
words = 0.9
[[data.sets]]
name = "sentences"
form = "translations"
parallel = ["tatoeba"]
[[data.sets]]
name = "switched"
form = "switched"
relevance = ["squad"]
languages = ["de"]
[[data.sets]]
name = "english"
form = "english"
parallel = ["tatoeba"]
relevance = ["squad"]
[[data.sets]]
name = "relevance"
form = "relevance"
relevance = ["squad"]
[batches]
group_by_length = true
[optimisation]
max_steps = 12
batch_size = 4
learning_rate = 5e-5
learning_rates = { word_embeddings = 1e-3 }
log_every = 1
save_every = 4
precision = "float32"
"""


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The recipe, and data in the publishers' layouts where it looks for them."""
    data = tmp_path / "data"
    (data / "tatoeba").mkdir(parents=True)
    (data / "squad").mkdir()
    with gzip.open(data / "tatoeba" / "eng-deu.tsv.gz", "wt", encoding="utf-8") as file:
        file.writelines(f"{english}\t{german}\n" for english, german in PAIRS * 3)
    with gzip.open(data / "squad" / "train.jsonl.gz", "wt", encoding="utf-8") as file:
        for number, (title, text, question) in enumerate(PARAGRAPHS):
            asked = {"question": question, "answers": [text.split()[1]], "id": str(number)}
            file.write(json.dumps({"title": title, "para": number, "context": text, "qas": [asked]}) + "\n")
    with gzip.open(data / "leak_exclusions.jsonl.gz", "wt", encoding="utf-8") as file:
        file.write("")
    monkeypatch.setenv("BABELWEAVE_DATA", str(data))
    path = tmp_path / "small.toml"
    path.write_text(RECIPE, encoding="utf-8")
    return path


def losses(folder: Path) -> list[float]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    return [line["loss"] for line in lines if "loss" in line]


def test_a_run_goes_on_from_an_earlier_one(recipe: Path, tmp_path: Path) -> None:
    keep = [f"student.start={tmp_path / 'start'}", f"teacher.vectors={tmp_path / 'vectors'}"]
    load_recipe(recipe, [*keep, "optimisation.max_steps=2"]).train(tmp_path / "first")
    on = [*keep, f"student.base={tmp_path / 'first'}"]
    load_recipe(recipe, [*on, "optimisation.max_steps=0"]).train(tmp_path / "same")
    load_recipe(recipe, [*on, "optimisation.max_steps=2"]).train(tmp_path / "second")
    first, same, second = (
        (tmp_path / name / "model.safetensors").read_bytes() for name in ("first", "same", "second")
    )
    assert same == first != second
    manifest = read_manifest(tmp_path / "second", "model")
    assert manifest.inputs["base"] == open_encoder(str(tmp_path / "first")).signature.digest
    with pytest.raises(DataError, match="its vocabulary is not the one this recipe makes"):
        load_recipe(recipe, [on[2], "vocabulary.languages.de=30"]).train(tmp_path / "other")


def test_whitened_by_texts_of_the_recipe(recipe: Path, tmp_path: Path) -> None:
    """A layer behind the model, fitted anew each time, and undone before training goes on."""
    data = tmp_path / "data" / "tatoeba" / "eng-deu.tsv.gz"
    with gzip.open(data, "wt", encoding="utf-8") as file:
        file.writelines(f"{e} {n}\t{g} {n}\n" for n in range(40) for e, g in PAIRS)
    keep = [f"student.start={tmp_path / 'start'}", f"teacher.vectors={tmp_path / 'vectors'}"]
    load_recipe(recipe, [*keep, "optimisation.max_steps=2"]).train(tmp_path / "plain")
    whiten = [f"student.base={tmp_path / 'plain'}", "optimisation.max_steps=0", "whitening.strength=0.5"]
    load_recipe(recipe, whiten).train(tmp_path / "white")
    again = [f"student.base={tmp_path / 'white'}", *whiten[1:]]
    load_recipe(recipe, again).train(tmp_path / "again")
    layer = Path("3_Dense", "model.safetensors")
    plain, white, same = (open_encoder(str(tmp_path / name)) for name in ("plain", "white", "again"))
    assert (tmp_path / "white" / layer).read_bytes() == (tmp_path / "again" / layer).read_bytes()
    texts = [f"{text} {n}" for n in range(40) for pair in PAIRS for text in pair]
    assert np.array_equal(white.encode(texts, "query").vectors, same.encode(texts, "query").vectors)

    def cone(encoder: Encoder) -> float:
        return float(np.linalg.norm(encoder.encode(texts, "query").vectors.mean(axis=0)))

    assert cone(white) < 0.1 < cone(plain)
    with pytest.raises(DataError, match="whitening: 50 texts for 384 dimensions; give more than 384"):
        load_recipe(recipe, [*whiten, "whitening.n_texts=50"]).train(tmp_path / "few")


def test_from_recipe_to_encoder(
    recipe: Path, tmp_path: Path, cli: Callable[..., tuple[int, str, str]]
) -> None:
    folder = tmp_path / "mini"
    keep = (
        "--set",
        f"student.start={tmp_path / 'start'}",
        "--set",
        f"teacher.vectors={tmp_path / 'vectors'}",
    )
    code, _, told = cli("train", recipe, "--out", folder, *keep)
    assert code == 0, told
    assert len(losses(folder)) == 12
    manifest = read_manifest(folder, "model", checksums=True)
    assert manifest.counts["steps"] == 12
    assert manifest.counts["examples.sentences"] == len(PAIRS)

    student = open_encoder(str(folder))
    assert student.signature.max_tokens_passage == 64
    assert student.signature.normalised
    before = open_encoder(str(tmp_path / "start" / "model"))
    teacher = open_encoder("minilm")
    english, german = zip(*PAIRS, strict=True)
    target = teacher.encode(english, "query").vectors

    def distance(encoder: object, texts: tuple[str, ...]) -> float:
        return float(np.square(encoder.encode(texts, "query").vectors - target).sum(axis=1).mean())  # type: ignore[attr-defined]

    assert distance(student, german) < distance(before, german) < distance(teacher, german)
    assert distance(before, english) < 0.05  # English needs no training


def test_the_teachers_rows_do_not_move(recipe: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    start = tmp_path / "start"
    load_recipe(recipe, [f"student.start={start}", "student.weights=float32"]).train(tmp_path / "mini")
    name = "embeddings.word_embeddings.weight"
    before = load_file(start / "model" / "model.safetensors")[name]
    after = load_file(tmp_path / "mini" / "model.safetensors")[name]
    frozen = read_json(start / "teacher_rows.json")
    moved = (before != after).any(dim=1)
    assert not moved[frozen].any()
    assert moved.any()


def test_untrained_and_unaligned_students(recipe: Path, tmp_path: Path) -> None:
    """Zero steps save the student as it begins; without alignment German begins at its spelling."""
    for name, choice in (("aligned", "true"), ("spelled", "false")):
        changes = ["optimisation.max_steps=0", f"vocabulary.align={choice}"]
        assert load_recipe(recipe, changes).train(tmp_path / name).n_steps == 0
    english, german = zip(*PAIRS, strict=True)
    target = open_encoder("minilm").encode(english, "query").vectors
    near = {
        name: (open_encoder(str(tmp_path / name)).encode(german, "query").vectors * target).sum(axis=1).mean()
        for name in ("aligned", "spelled")
    }
    assert near["aligned"] > near["spelled"] + 0.1


def test_plan_writes_nothing(recipe: Path) -> None:
    plan = load_recipe(recipe).plan()
    assert plan.n_steps == 12
    assert plan.n_examples == len(PAIRS) + 6 + (len(PAIRS) + 12) + 6


def test_a_student_kept_elsewhere_must_be_the_one_asked_for(recipe: Path, tmp_path: Path) -> None:
    keep = [f"student.start={tmp_path / 'start'}", "optimisation.max_steps=0"]
    load_recipe(recipe, keep).train(tmp_path / "one")
    with pytest.raises(UsageError, match="student of other settings"):
        load_recipe(recipe, [*keep, "vocabulary.languages.de=30"]).train(tmp_path / "two")


def test_only_an_encoder_with_weights_can_teach(recipe: Path, tmp_path: Path) -> None:
    remote = load_recipe(recipe, ["teacher.model=openai:x?url=http://127.0.0.1:9&dimension=4"])
    with pytest.raises((DataError, UsageError)):
        remote.train(tmp_path / "mini")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("data.sets=[]", "data.sets"),
        ("vocabulary.langages={ de = 5 }", "languages"),
        ("teacher.model=5", "teacher.model"),
        ("student.dropout=1.5", "student.dropout"),
    ],
)
def test_faults_name_the_key(recipe: Path, change: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        load_recipe(recipe, [change])


def test_the_packaged_recipe_is_whole() -> None:
    recipe = load_recipe("babelweave-mini")
    assert recipe.settings()["teacher.model"] == "minilm"
    assert minilm().is_dir()
