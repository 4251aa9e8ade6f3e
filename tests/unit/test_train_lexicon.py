"""A lexicon from parallel text: what is aligned, what is kept, and what the folder opens as."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest

from babelweave.artifact import read_manifest
from babelweave.errors import DataError, UsageError
from babelweave.generate.lexical import LexicalGenerator
from babelweave.generate.lexicon import FILE, Lexicon
from babelweave.generate.spec import open_generator
from babelweave.recipe import load_recipe
from babelweave.records import Passage
from babelweave.train.lexicon import KIND, Alignment, Cutter, LexiconRecipe

GERMAN = [
    ("the house", "das haus"),
    ("the river", "der fluss"),
    ("a house", "ein haus"),
    ("a river", "ein fluss"),
    ("old house", "altes haus"),
    ("deep river", "tiefer fluss"),
    ("the deep sea", "das tiefe meer"),
    ("a sea", "ein meer"),
    ("the sea", "das meer"),
    ("Berlin sea", "Berlin meer"),
    ("Berlin house", "Berlin haus"),
]
RUSSIAN = [
    ("the house", "дом"),
    ("a house", "дом"),
    ("Berlin", "Berlin"),
    ("Berlin house", "Berlin дом"),
    ("a river", "река"),
    ("the river", "река"),
    ("Berlin river", "Berlin река"),
    ("Berlin", "Berlin дом река"),
]
RECIPE = """
kind = "lexicon"
languages = ["de", "ru"]
[data]
parallel = ["tatoeba"]
[alignment]
segmenter = "minilm"
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "data" / "tatoeba"
    folder.mkdir(parents=True)
    for code, rows in (("deu", GERMAN), ("rus", RUSSIAN)):
        lines = "".join(f"{english}\t{text}\n" for english, text in rows)
        (folder / f"eng-{code}.tsv.gz").write_bytes(gzip.compress(lines.encode()))
    return folder.parent


@pytest.fixture
def recipe(root: Path, tmp_path: Path) -> LexiconRecipe:
    path = tmp_path / "words.toml"
    path.write_text(RECIPE)
    found = load_recipe(str(path), [f'data.root="{root}"'])
    assert isinstance(found, LexiconRecipe)
    return found


def test_words_that_go_together_are_found(recipe: LexiconRecipe, tmp_path: Path) -> None:
    trained = recipe.train(tmp_path / "out")
    lexicon = Lexicon.open(tmp_path / "out" / FILE)
    assert lexicon.languages == {"en", "de", "ru"}
    for english, german in (("house", "haus"), ("river", "fluss"), ("sea", "meer"), ("Berlin", "berlin")):
        assert lexicon.translate(english, "en", "de")[0] == german
    assert lexicon.translate("house", "en", "ru") == ("дом",)
    # Latin letters are no Russian word, however often a name stands there.
    assert lexicon.translate("Berlin", "en", "ru") == ()
    # Through English, from any language to any other.
    assert lexicon.translate("haus", "de", "ru") == ("дом",)
    counts = read_manifest(tmp_path / "out", KIND, checksums=True).counts
    assert counts == trained.manifest.counts
    lines = gzip.decompress((tmp_path / "out" / FILE).read_bytes()).decode().splitlines()
    assert counts["ru: English words"] == sum("\tru\t" in line for line in lines) > 0


def test_the_surer_translation_goes_first(recipe: LexiconRecipe) -> None:
    pairs = [(["meer"], ["sea"])] * 5 + [(["see"], ["sea"])] * 2 + [(["see"], ["lake"])] * 3
    found = recipe.translations("de", pairs)
    assert found == {"sea": ["meer", "see"], "lake": ["see"]}
    # 5 of 5 are surer than 2 of 5, and one word is not enough for a pair that stands once.
    assert "ozean" not in recipe.translations("de", [*pairs, (["ozean"], ["sea"])])["sea"]


def test_a_name_stands_for_itself_only_where_nothing_else_does(recipe: LexiconRecipe) -> None:
    river = [(["river"], ["river"])] * 6 + [(["fluss"], ["river"])] * 3
    assert recipe.translations("de", river) == {"river": ["fluss"]}
    assert recipe.translations("de", river[:6]) == {"river": ["river"]}


def test_the_same_bytes_again(recipe: LexiconRecipe, tmp_path: Path) -> None:
    for name in ("one", "two"):
        recipe.train(tmp_path / name)
    assert (tmp_path / "one" / FILE).read_bytes() == (tmp_path / "two" / FILE).read_bytes()
    with pytest.raises(UsageError, match="overwrite"):
        recipe.train(tmp_path / "one")


def test_the_card_names_the_sources(recipe: LexiconRecipe, tmp_path: Path) -> None:
    recipe.train(tmp_path / "words")
    card = (tmp_path / "words" / "README.md").read_text()
    assert card.startswith("# words\n")
    n_pairs = len(GERMAN) + len(RUSSIAN) - 1  # "Berlin" beside "Berlin" is no translation
    assert re.search(rf"\| Tatoeba \| CC BY 2.0 FR \| de, ru \| {n_pairs} \|", card)


def test_a_folder_of_words_is_a_generator(recipe: LexiconRecipe, tmp_path: Path) -> None:
    recipe.train(tmp_path / "words")
    generator = open_generator(f"{tmp_path / 'words'}?form=keywords&terms=2")
    assert isinstance(generator, LexicalGenerator)
    found = generator.generate([Passage("1", "The house by the river.", "en")], "de", 1, 0)
    assert set(found[0][0].split()) == {"haus", "fluss"}


def test_nothing_left_is_an_error(recipe: LexiconRecipe, root: Path, tmp_path: Path) -> None:
    strict = load_recipe(str(tmp_path / "words.toml"), [f'data.root="{root}"', "kept.fewest=100"])
    with pytest.raises(DataError, match=r"de: no word is translated often enough; lower kept\.fewest"):
        strict.train(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_language_without_text(root: Path, tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text(RECIPE.replace('"ru"', '"fi"'))
    with pytest.raises(DataError, match=r"no parallel text in fi; the sources have \['de'\]"):
        load_recipe(str(tmp_path / "other.toml"), [f'data.root="{root}"']).train(tmp_path / "out")


def test_parts_of_a_word_are_joined_where_asked() -> None:
    texts = [("đại học lớn", "x"), ("đại học mới", "x"), ("một đại học", "x"), ("học đại học", "x")]
    texts += [(f"{word} {word}", "x") for word in "abcdefgh"]
    cut = Cutter(Alignment(fewest_joined=4, least_joined=2))
    joined = [text for text, _ in cut.pairs(texts[:4] + texts[4:], "vi")]
    assert joined[:4] == [["đại học", "lớn"], ["đại học", "mới"], ["một", "đại học"], ["học", "đại học"]]
    assert [text for text, _ in cut.pairs(texts[:1], "de")] == [["đại", "học", "lớn"]]


def test_words_have_no_case_no_numbers_and_keep_their_marks() -> None:
    assert Cutter(Alignment()).words("Im Jahr 1850: O'Neills हिन्दी-Buch!") == [
        "im",
        "jahr",
        "o'neills",
        "हिन्दी",
        "buch",
    ]


def test_the_best_translation_of_a_plain_list_goes_first(tmp_path: Path) -> None:
    path = tmp_path / "list.tsv"
    path.write_text("river\tde\tstrom|fluss\nstream\tde\tfluss|bach\n")
    assert Lexicon.open(path).translate("river", "en", "de") == ("strom", "fluss")
