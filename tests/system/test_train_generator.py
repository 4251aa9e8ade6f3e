"""Generators from recipe to folder: tiny models learn, are saved with their prompt, reopen and convert."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer
from transformers.trainer_pt_utils import LabelSmoother

import tiny_encoders
import tiny_generators
from babelweave.artifact import read_json, read_manifest
from babelweave.data.scripts import script_share
from babelweave.errors import DataError, UsageError
from babelweave.generate.convert import convert_generator
from babelweave.generate.seq2seq import Seq2SeqGenerator
from babelweave.generate.spec import open_generator
from babelweave.recipe import Status, load_recipe
from babelweave.records import Passage, Query
from babelweave.train.folder import KIND
from babelweave.train.generator import QueryGenerator
from babelweave.train.generator_data import GeneratorData, GeneratorDev, GeneratorSource, Item, read_split
from babelweave.train.generator_model import NewModel, learn_tokenizer
from babelweave.train.generator_trainer import IGNORED, Collator, token_losses, tokenise
from babelweave.train.log import read_log

WORDS = " ".join(tiny_encoders.SENTENCES[:2]).split()
BEGINS = {"ru": "какая река течёт через", "ar": "ما هي عاصمة البلاد وكم"}
TEMPLATE = "a {language} question: {title} {text}"
CLOCK = {"elapsed", "examples_per_second"}

RECIPE = """
kind = "generator"
[model]
base = "base"
[data]
[[data.sets]]
name = "gold"
dataset = "squad"
source = "gold.json"
lang = "en"
query_lang = ["ar", "ru"]
licence = "CC0"
[prompt]
template = "a {language} question: {title} {text}"
[lengths]
max_tokens_input = 64
max_tokens_target = 40
[optimisation]
max_steps = 150
batch_size = 16
learning_rate = 1e-2
precision = "float32"
log_every = 10
save_every = 1000
"""


def gold(n: int = 80) -> dict[str, Any]:
    """SQuAD JSON: paragraphs of six words, a question in each language that names the first of them."""
    rng = random.Random(0)
    paragraphs = []
    for i in range(n):
        words = rng.sample(WORDS, 6)
        questions = [
            {"id": f"{i}-{lang}", "question": f"{begin} {words[0]}", "answers": []}
            for lang, begin in BEGINS.items()
        ]
        paragraphs.append({"context": " ".join([*words, str(i)]), "qas": questions})
    return {"data": [{"title": "der Fuchs", "paragraphs": paragraphs}]}


Make = Callable[..., QueryGenerator]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    tiny_generators.build("mt5", tmp_path / "base", eager=False)
    (tmp_path / "gold.json").write_text(json.dumps(gold()), encoding="utf-8")
    return tmp_path


@pytest.fixture
def make(place: Path) -> Make:
    def recipe(*overrides: str, text: str = RECIPE) -> QueryGenerator:
        (place / "r.toml").write_text(text.replace('"base"', json.dumps(str(place / "base"))))
        found = load_recipe(place / "r.toml", [f"data.root={json.dumps(str(place))}", *overrides])
        assert isinstance(found, QueryGenerator)
        return found

    return recipe


def timeless(folder: Path) -> list[dict[str, Any]]:
    return [{k: v for k, v in line.items() if k not in CLOCK} for line in read_log(folder / "log.jsonl")]


def losses(folder: Path) -> list[float]:
    return [line["loss"] for line in read_log(folder / "log.jsonl") if "loss" in line]


def by_hand(folder: Path, passage: Passage, lang: str, prefix: list[int]) -> str:
    """The likeliest question, with transformers alone."""
    model = AutoModelForSeq2SeqLM.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    name = {"ru": "Russian", "ar": "Arabic"}[lang]
    tokens = tokenizer(f"a {name} question: {passage.title} {passage.text}", return_tensors="pt")
    out = model.generate(
        input_ids=tokens["input_ids"],
        attention_mask=tokens["attention_mask"],
        decoder_input_ids=torch.tensor([prefix]),
        decoder_start_token_id=prefix[0],
        max_new_tokens=40,
        do_sample=False,
        num_beams=1,
    )
    text: str = tokenizer.decode(out[0], skip_special_tokens=True)
    return " ".join(text.split())


@pytest.mark.parametrize("kind", ["mt5", "t5", "mbart", "mbart50"])
def test_the_families_learn_and_reopen_everywhere(make: Make, place: Path, kind: str) -> None:
    tiny_generators.build(kind, place / "base", eager=False)
    trained = make("optimisation.learning_rate=5e-3", "optimisation.max_steps=400").train(place / "model")
    assert trained.n_steps == 400
    found = losses(place / "model")
    assert found[-1] < 0.5 * found[0]

    own = read_json(place / "model" / "babelweave_generator.json")
    assert own == {
        "prompt": TEMPLATE,
        "languages": ["ar", "ru"],
        "max_input_tokens": 64,
        "max_new_tokens": 40,
    }
    generator = open_generator(f"{place / 'model'}?decoding=greedy&precision=float32")
    assert isinstance(generator, Seq2SeqGenerator)
    assert generator.languages == {"ar", "ru"}
    passages = [Passage(f"p{i}", " ".join(WORDS[i : i + 6]), "en", "der Fuchs") for i in range(3)]
    convert_generator(str(place / "model"), place / "ct2", quantization="float32")
    converted = open_generator(f"{place / 'ct2'}?decoding=greedy")
    for lang, begin in BEGINS.items():
        ours = generator.generate(passages, lang, 1, 0)
        assert all(text.startswith(begin) for (text,) in ours)  # told the language by the prompt, or a token
        assert converted.generate(passages, lang, 1, 0) == ours
        hand = [by_hand(place / "model", p, lang, generator._prefix(lang)) for p in passages]
        assert hand == [text for (text,) in ours]
    for file in ("config.json", "generation_config.json", "tokenizer_config.json"):
        assert str(place) not in (place / "model" / file).read_text(encoding="utf-8")
    assert not list((place / "model").glob("*.bin"))


@pytest.mark.parametrize(
    "changed",
    [
        (),
        ("optimisation.gradient_accumulation=2", "batches.language_exponent=0.5"),
        ("dev.share=0.2", "optimisation.eval_every=5", "batches.group_by_length=false"),
        ("optimisation.max_steps=25",),
    ],
    ids=["plain", "accumulation", "dev", "third epoch"],
)
def test_an_interrupted_run_goes_on_to_the_same_end(
    make: Make, place: Path, changed: tuple[str, ...]
) -> None:
    asked = ("optimisation.max_steps=12", "optimisation.save_every=4", "optimisation.log_every=2", *changed)
    recipe = make(*asked)
    recipe.train(place / "whole")
    n_steps = read_manifest(place / "whole", KIND).counts["steps"]

    class StopError(Exception):
        pass

    def stop(status: Status) -> None:
        if status.step == n_steps - 1:
            raise StopError

    with pytest.raises(StopError):
        recipe.train(place / "out", progress=stop)
    again: list[int] = []
    recipe.train(place / "out", progress=lambda status: again.append(status.step))
    assert 1 < again[0] <= n_steps
    assert timeless(place / "out") == timeless(place / "whole")
    same = read_manifest(place / "out", KIND)
    assert same == read_manifest(place / "whole", KIND)  # every file with its checksum


NEW = """
[model.new]
d_model = 32
d_ff = 64
d_kv = 16
n_heads = 2
n_layers = 2
n_decoder_layers = 1
vocabulary_size = 300
min_count = 1
"""


@pytest.mark.parametrize("family", ["t5", "mt5"])
def test_a_new_model_is_made_from_the_data_alone(make: Make, place: Path, family: str) -> None:
    text = RECIPE.replace('[model]\nbase = "base"', NEW)
    recipe = make(
        f'model.new.family="{family}"', 'model.weights="float16"', "optimisation.max_steps=200", text=text
    )
    assert recipe.plan().n_examples == 160

    def stop(status: Status) -> None:
        if status.step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        recipe.train(place / "model", progress=stop)
    recipe.train(place / "model")
    found = losses(place / "model")
    assert 2 < found[0] < 8  # log 300 is 5.7
    assert found[-1] < 0.5 * found[0]
    config = read_json(place / "model" / "config.json")
    assert (config["model_type"], config["num_decoder_layers"], config["dtype"]) == (family, 1, "float32")
    assert not list((place / "model").glob("checkpoints"))
    tokenizer = AutoTokenizer.from_pretrained(place / "model")
    for begin in BEGINS.values():
        assert tokenizer.decode(tokenizer(begin)["input_ids"], skip_special_tokens=True) == begin
    generator = open_generator(f"{place / 'model'}?decoding=greedy")
    passage = Passage("p", "the lazy dog near the river", "en")
    assert script_share(generator.generate([passage], "ru", 1, 0)[0][0], "ru") > 0.7


def test_an_interrupted_run_keeps_its_new_model(make: Make, place: Path) -> None:
    text = RECIPE.replace('[model]\nbase = "base"', NEW)
    recipe = make("optimisation.max_steps=8", "optimisation.save_every=2", text=text)
    recipe.train(place / "whole")

    def stop(status: Status) -> None:
        if status.step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        recipe.train(place / "out", progress=stop)
    assert (place / "out" / "checkpoints" / "start" / "tokenizer.json").is_file()
    recipe.train(place / "out")
    assert read_manifest(place / "out", KIND) == read_manifest(place / "whole", KIND)


def test_parallel_questions_stand_for_passages(make: Make, place: Path) -> None:
    rows = [
        {"id": "a", "question": "Who wrote it?", "translations": {"de": "Wer schrieb es?", "es": "¿Quién?"}},
        {"id": "b", "question": "Name the river.", "translations": {"de": "Nenne den Fluss."}},
    ]
    (place / "mintaka-dev").mkdir()
    (place / "mintaka-dev" / "mintaka_dev.json").write_text(json.dumps(rows), encoding="utf-8")
    german = '{parallel = "mintaka", languages = ["de"]}'
    items = read_split(make(f"data.sets=[{german}]").data, None).sets["mintaka"]
    assert [(p.text, p.lang, q.text, q.lang) for p, q in items] == [
        ("Who wrote it?", "en", "Wer schrieb es?", "de"),
        ("Name the river.", "en", "Nenne den Fluss.", "de"),
    ]
    asked = make('data.sets=[{parallel = "mintaka", questions_only = true}]')
    assert [q.text for _, q in read_split(asked.data, None).sets["mintaka"]] == ["Wer schrieb es?", "¿Quién?"]
    make("data.sets=[{parallel = 'mintaka'}]", "optimisation.max_steps=1", "optimisation.batch_size=2").train(
        place / "model"
    )
    card = (place / "model" / "README.md").read_text(encoding="utf-8")
    assert "| English texts, questions above all, to their translations | 3 | de es | CC BY 4.0 |" in card


def test_a_vocabulary_is_the_same_in_every_process() -> None:
    """The library's own order and scores change with the seed of its hash tables."""
    code = """if True:
        import hashlib, random
        import tiny_encoders
        from babelweave.train.generator_model import NewModel, learn_tokenizer
        rng, words = random.Random(0), " ".join(tiny_encoders.SENTENCES).split()
        texts = {"en": [" ".join(rng.sample(words, 6)) for _ in range(500)]}
        made = learn_tokenizer(NewModel(vocabulary_size=400, min_count=1), texts, ["a question"])
        print(len(made), hashlib.sha1(made.backend_tokenizer.to_str().encode()).hexdigest())
    """
    path = os.pathsep.join([str(Path(tiny_encoders.__file__).parent), *sys.path])
    ran = [
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONPATH": path},
        ).stdout
        for _ in range(2)
    ]
    assert ran[0] == ran[1]
    assert int(ran[0].split()[0]) > 100


def test_rare_characters_are_given_no_piece() -> None:
    texts = {"en": ["the quick fox é", *["the quick fox"] * 9], "zh": ["快狐狸"] * 4}
    vocabulary = learn_tokenizer(NewModel(vocabulary_size=60), texts, []).get_vocab()
    assert "é" not in vocabulary
    assert {"快", "狐", "狸", "q"} <= set("".join(vocabulary))
    assert [vocabulary[token] for token in ("<pad>", "</s>", "<unk>")] == [0, 1, 2]


def test_dev_passages_are_not_trained_on(place: Path) -> None:
    source = {"dataset": "squad", "source": "gold.json", "lang": "en", "query_lang": ["ar", "ru"]}
    data = GeneratorData.model_validate_json(json.dumps({"root": str(place), "sets": [source]}))
    split = read_split(data, GeneratorDev(share=0.3, limit=None))
    trained = {item.passage.text for items in split.sets.values() for item in items}
    judged = {item.passage.text for item in split.dev}
    assert not trained & judged
    assert len(trained) + len(judged) == 80
    assert 10 < len(judged) < 40
    few = read_split(data, GeneratorDev(share=0.3, limit=5))
    assert len(few.dev) == 10  # of each language
    assert {item.passage.text for item in few.dev} <= judged
    assert read_split(data, GeneratorDev(share=0.3, limit=None)).digests() == split.digests()
    own = GeneratorDev(sets=(GeneratorSource.model_validate_json(json.dumps({**source, "limit": 7})),))
    apart = read_split(data, own)
    assert len(apart.dev) == 14
    assert not {i.passage.text for i in apart.dev} & {i.passage.text for i in apart.sets["squad"]}


def test_the_dev_loss_by_hand(make: Make, place: Path) -> None:
    recipe = make(
        "optimisation.max_steps=5", "dev.share=0.2", "optimisation.eval_every=5", "loss.label_smoothing=0.1"
    )
    recipe.train(place / "model")
    (figures,) = [
        line["evaluation"] for line in read_log(place / "model" / "log.jsonl") if "evaluation" in line
    ]
    model = AutoModelForSeq2SeqLM.from_pretrained(place / "model").eval()
    tokenizer = AutoTokenizer.from_pretrained(place / "model")
    sums: dict[str, list[float]] = {"ar": [0, 0], "ru": [0, 0]}
    with torch.inference_mode():
        for passage, query in read_split(recipe.data, recipe.dev).dev:
            name = {"ru": "Russian", "ar": "Arabic"}[query.lang]
            prompt = f"a {name} question: {passage.title} {passage.text}"
            labels = tokenizer(text_target=query.text, return_tensors="pt")["input_ids"]
            loss = model(**tokenizer(prompt, return_tensors="pt"), labels=labels).loss.item()
            sums[query.lang][0] += loss * labels.shape[1]
            sums[query.lang][1] += labels.shape[1]
    expected = {lang: -total / n for lang, (total, n) in sums.items()}
    assert figures["-loss ar"] == pytest.approx(expected["ar"], rel=1e-5)
    assert figures["-loss ru"] == pytest.approx(expected["ru"], rel=1e-5)
    assert figures["-loss"] == pytest.approx((expected["ar"] + expected["ru"]) / 2, rel=1e-5)


def test_training_reads_as_generation_does(make: Make, place: Path) -> None:
    make("optimisation.max_steps=0").train(place / "model")
    generator = Seq2SeqGenerator(str(place / "model"), precision="float32")
    long = Passage("p", "the lazy dog near the river " * 20, "en", "der Fuchs")
    item = Item(long, Query("q", "какая река течёт " * 20, "ru"))
    read = tokenise([item], generator._text, 24)
    assert (read.n_cut_inputs, read.n_cut_questions) == (1, 1)
    assert read.data[0]["input_ids"] == generator._text.read([long], "ru").ids[0]
    assert len(read.data[0]["input_ids"]) == 64
    assert len(read.data[0]["labels"]) == 24
    assert read.data[0]["labels"][-1] == generator._end


def test_the_loss_does_not_depend_on_how_a_step_is_cut(make: Make, place: Path) -> None:
    config = place / "base" / "config.json"
    config.write_text(json.dumps({**read_json(config), "dropout_rate": 0.0}))
    same = ("optimisation.max_steps=1", "optimisation.learning_rate=0.0", "optimisation.log_every=1")
    make(*same, "optimisation.batch_size=160").train(place / "whole")
    make(*same, "optimisation.batch_size=40", "optimisation.gradient_accumulation=4").train(place / "parts")
    assert losses(place / "parts") == pytest.approx(losses(place / "whole"), rel=1e-5)


def test_smoothing_is_that_of_transformers() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(3, 5, 7), torch.randint(0, 7, (3, 5))
    labels[0, 3:] = labels[2, 1:] = IGNORED
    theirs = LabelSmoother(epsilon=0.1)({"logits": logits}, labels)
    ours = token_losses(logits, labels, 0.1)
    assert float(ours.sum() / (labels != IGNORED).sum()) == pytest.approx(float(theirs), rel=1e-6)
    assert ours[0, 3:].tolist() == [0, 0]


def test_padding() -> None:
    batch = Collator(9, lambda labels: labels + 1)(
        [{"input_ids": [4, 5, 6], "labels": [1]}, {"input_ids": [7], "labels": [2, 3]}]
    )
    assert batch["input_ids"].tolist() == [[4, 5, 6], [7, 9, 9]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch["labels"].tolist() == [[1, IGNORED], [2, 3]]
    assert batch["decoder_input_ids"].tolist() == [[2, IGNORED + 1], [3, 4]]


def test_one_example_of_a_question(make: Make, place: Path) -> None:
    data = gold(20)
    again = {"context": "another gold paragraph", "qas": data["data"][0]["paragraphs"][0]["qas"]}
    data["data"][0]["paragraphs"].append(again)
    (place / "gold.json").write_text(json.dumps(data), encoding="utf-8")
    assert len(read_split(make().data, None).sets["gold"]) == 42
    once = read_split(make("data.once_per_question=true").data, None).sets["gold"]
    assert len(once) == 40
    assert "another gold paragraph" not in {item.passage.text for item in once}


def test_sets_by_weight_languages_and_limits(make: Make, place: Path) -> None:
    more = '[[data.sets]]\nname = "ru"\ndataset = "squad"\nsource = "gold.json"\nlang = "en"\n'
    text = RECIPE.replace("[prompt]", more + 'query_lang = "ru"\nlimit = 20\n[prompt]')
    recipe = make("optimisation.max_steps=2", "batches.weights={gold = 1.0, ru = 1.0}", text=text)
    counts = recipe.train(place / "model").manifest.counts
    assert (counts["examples.gold"], counts["examples.ru"]) == (160, 20)
    assert abs(counts["batches.gold"] - counts["batches.ru"]) <= 1
    with pytest.raises(UsageError, match=r"batches\.weights: none for ru"):
        make("batches.weights={gold = 1.0}", text=text).train(place / "other")


def test_the_card(make: Make, place: Path) -> None:
    make("optimisation.max_steps=1", 'card.licence="apache-2.0"').train(place / "model")
    card = (place / "model" / "README.md").read_text(encoding="utf-8")
    assert str(place) not in card
    for line in (
        'license: "apache-2.0"',
        'library_name: "transformers"',
        'pipeline_tag: "text2text-generation"',
        TEMPLATE,
        "| begun from | base |",
        "| languages | Arabic (ar), Russian (ru) |",
        "| tokens read of prompt and passage | 64 |",
        "| gold | passages to questions | 160 | ar ru | CC0 |  |",
        "babelweave generate COLLECTION --generator model --languages ar,ru",
    ):
        assert line in card, line


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ('prompt.template="Ask: {language}"', r"prompt\.template: .*lacks \{text\}"),
        ('prompt.template="{text} {langage}"', r"no slot \{langage\}; did you mean 'language'"),
        ('data.sets=[{relevance = "tydi", languages = ["klingon"]}]', "unknown language 'klingon'"),
        ('data.sets=[{relevance = "tydi", questions_only = true}]', "relevance takes no questions_only"),
        ('data.sets=[{parallel = "mkqq"}]', "mkqa"),
        ("model.new={vocabulary_size = 8}", "give base or new"),
        ("dev.limit=3", "give share or sets"),
        ("dev={share = 0.1, sets = [{relevance = 'tydi'}]}", "give share or sets"),
        ("batches.weights={gold = 0.0}", "all weights are 0"),
    ],
)
def test_faults_are_told_before_anything_is_read(make: Make, override: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        make(override)


def test_what_cannot_be_trained(make: Make, place: Path) -> None:
    with pytest.raises(UsageError, match=r"float16 overflows in models of the T5 family \(mt5\)"):
        make('optimisation.precision="float16"').train(place / "x")
    with pytest.raises(UsageError, match=r"lacks \{language\}"):
        make('prompt.template="Ask: {text}"').train(place / "x")
    with pytest.raises(UsageError, match="max_input_tokens=5: the prompt alone takes"):
        make("lengths.max_tokens_input=5").train(place / "x")
    with pytest.raises(DataError, match="no questions in fi; known: ar, ru"):
        make(
            'data.sets=[{name = "gold", dataset = "squad", source = "gold.json", lang = "en", '
            'query_lang = ["ar", "ru"], languages = ["fi"]}]'
        ).train(place / "x")
    with pytest.raises(DataError, match="fill no batch of 500"):
        make("optimisation.batch_size=500").train(place / "x")
    with pytest.raises(DataError, match=r"dev\.of: no data set 'glod'; did you mean 'gold'"):
        make('dev={share = 0.1, of = ["glod"]}', "optimisation.eval_every=5").train(place / "x")
    with pytest.raises(UsageError, match="eval_every and dev data belong together"):
        make("dev.share=0.1").train(place / "y")
    (place / "gold.json").write_text(json.dumps({"data": []}))
    with pytest.raises(DataError, match="gold: no question has a passage to train on"):
        make().train(place / "x")


def test_a_base_of_another_kind(make: Make, place: Path) -> None:
    tiny_encoders.build("bert", place / "base")
    with pytest.raises(DataError, match=r"a model of type 'bert' has no decoder and cannot write"):
        make().train(place / "x")
    with pytest.raises(UsageError, match="'lexical' has no weights to train"):
        make('model.base="lexical"').train(place / "x")
    with pytest.raises(DataError, match="no such folder"):
        make('model.base="./nowhere"').train(place / "x")


def test_a_tokenizer_without_an_end(make: Make, place: Path) -> None:
    tiny_encoders.build("bert", place / "encoder")
    text = RECIPE.replace('[model]\nbase = "base"', f'[model.new]\ntokenizer = "{place / "encoder"}"')
    with pytest.raises(DataError, match="has no end or no padding token"):
        make(text=text).train(place / "x")


def test_language_balance(make: Make, place: Path) -> None:
    """Of 80 Arabic and 20 Russian examples, exponent 0 draws as many of each."""
    data = gold(80)
    for paragraph in data["data"][0]["paragraphs"][20:]:
        paragraph["qas"] = paragraph["qas"][1:]
    (place / "gold.json").write_text(json.dumps(data), encoding="utf-8")
    seen = {}
    for exponent in (0.0, 1.0):
        folder = place / str(exponent)
        make(f"batches.language_exponent={exponent}", "optimisation.max_steps=1").train(folder)
        seen[exponent] = read_manifest(folder, KIND).counts["left_out"]
    assert seen[1.0] == 100 - 96
    assert seen[0.0] > 20  # 50 of 80 are seen in a pass, the others come again
