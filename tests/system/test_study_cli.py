"""`study` from the command line: what it writes, that it equals benchmarks, kills, refusals."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from babelweave.artifact import Claim, read_json, read_manifest
from babelweave.cli.main import main
from babelweave.errors import UsageError
from babelweave.study.cells import plan_study
from babelweave.study.recipe import load_study
from babelweave.study.results import read_study
from babelweave.study.run import run_study
from conftest import Cli
from tiny_study import write_study_files
from tiny_training import spawn
from training_cases import write_english_pool, write_evaluations, write_xor_dev

N_ARMS, N_CONDITIONS, N_SEEDS = 6, 4, 2


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_study_files(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def finished(recipe: Path) -> Path:
    """A study that was run without a break."""
    out = recipe.parent / "finished"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["babelweave", "study", str(recipe), "--out", str(out)])
        with pytest.raises(SystemExit) as end:
            main()
    assert not end.value.code
    return out


def table(folder: Path, name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(folder / f"{name}.parquet").to_pylist()
    return rows


def test_files_have_the_stated_shape(finished: Path) -> None:
    cells, per_query = table(finished, "cells"), table(finished, "per_query")
    assert list(cells[0]) == ["arm", "shift", "severity", "seed", "subset", "measure", "mean", "n"]
    assert list(per_query[0]) == [
        "arm", "shift", "severity", "seed", "subset", "query_id", "measure", "value",
    ]  # fmt: skip
    # clean and two severities on two subsets, one shift on one; two measures
    assert len(cells) == N_ARMS * N_SEEDS * 2 * (3 * 2 + 1)
    assert len(per_query) == 4 * len(cells)
    for cell in cells[::7]:
        keys = ("arm", "shift", "severity", "seed", "subset", "measure")
        own = [r["value"] for r in per_query if all(r[k] == cell[k] for k in keys)]
        assert (cell["n"], cell["mean"]) == (4, pytest.approx(np.mean(own)))
    assert not (finished / "vectors").exists()


def test_what_is_shared_is_computed_once(finished: Path) -> None:
    counts = read_manifest(finished, "study").counts
    assert counts["trainings"] == 3 * N_SEEDS == len(list((finished / "models").iterdir()))
    assert counts["cells"] == N_ARMS * N_CONDITIONS * N_SEEDS
    # a start has one seed but for perturbations: 2 indexes x (clean, german, 2 severities x 2 seeds)
    assert counts["cells computed"] == 2 * (2 + 2 * N_SEEDS) + 4 * N_CONDITIONS * N_SEEDS
    assert len(list((finished / "generated").iterdir())) == 2  # for the training, and for the pools


@pytest.mark.parametrize(
    ("arm", "shift", "options"),
    [
        ("start", ("clean", 0), ()),
        ("start", ("swapped", 3), ("--perturb", "transpose", "--severity", 3, "--perturb-seed", 1)),
        ("start+woven", ("clean", 0), ("--generator", "LEXICAL", "--languages", "de", "--per-language", 1)),
        ("start", ("german", 0), ()),
    ],
)
def test_cells_equal_benchmarks(
    cli: Cli, recipe: Path, finished: Path, arm: str, shift: tuple[str, int], options: tuple[Any, ...]
) -> None:
    root = recipe.parent
    given = [f"lexical?lexicon={root}/lexicon.tsv" if o == "LEXICAL" else o for o in options]
    code, out, err = cli(
        "benchmark", "mlqa", "--source", root / "mlqa", "--encoder", f"{root}/base?precision=float32",
        "--subsets", "de-en" if shift[0] == "german" else "en-en,en-de", *given,
        *(("--alpha", 0.3) if "+" in arm else ()), "--json",
    )  # fmt: skip
    assert code == 0, err
    expected = json.loads(out)["subsets"]
    for cell in table(finished, "cells"):
        if (cell["arm"], cell["shift"], cell["severity"], cell["seed"]) == (arm, *shift, 1):
            assert cell["mean"] == pytest.approx(expected[cell["subset"]][cell["measure"]])


def test_passages_may_be_read_longer_or_shorter_than_in_training(cli: Cli, recipe: Path) -> None:
    root = recipe.parent
    small = [
        "--set",
        "max_tokens_passage=4",
        "--set",
        "arms=[{name='plain', train={}}]",
        "--set",
        "seeds=[1]",
    ]
    assert cli("study", recipe, *small, "--out", root / "short")[0] == 0
    [model] = (root / "short" / "models").iterdir()
    code, out, err = cli(
        "benchmark", "mlqa", "--source", root / "mlqa", "--subsets", "en-en,en-de", "--json",
        "--encoder", f"{model}?precision=float32&max_tokens_passage=4",
    )  # fmt: skip
    assert code == 0, err
    expected = json.loads(out)["subsets"]
    clean = [cell for cell in table(root / "short", "cells") if cell["shift"] == "clean"]
    assert len(clean) == 4
    for cell in clean:
        assert cell["mean"] == pytest.approx(expected[cell["subset"]][cell["measure"]])


def test_seeds_are_averaged_before_anything_is_tested(finished: Path) -> None:
    measured, found = read_study(finished)
    rows = [r for r in table(finished, "per_query") if (r["arm"], r["measure"]) == ("vat", "RR@10")]
    for condition in measured.conditions:
        subsets: dict[str, dict[str, list[float]]] = {}
        for r in rows:
            if (r["shift"], r["severity"]) == condition:
                subsets.setdefault(r["subset"], {}).setdefault(r["query_id"], []).append(r["value"])
        mean = np.mean([np.mean([np.mean(v) for v in own.values()]) for own in subsets.values()])
        assert found["arms"]["vat"]["RR@10"]["means"][condition.label] == pytest.approx(mean)
    tests = found["comparisons"]["RR@10"]
    assert len(tests) == (N_ARMS - 1) * (N_CONDITIONS + 1)
    assert {row["n_clusters"] for row in tests} == {4}  # a question stands in every subset and condition
    assert {row["correction"] for row in tests} == {"holm"}


def test_the_page_and_the_costs(cli: Cli, finished: Path, tmp_path: Path) -> None:
    seconds = read_json(finished / "costs.json")["seconds_per_step"]
    assert {arm: len(found) for arm, found in seconds.items()} == dict.fromkeys(
        ("plain", "plain+woven", "augmented", "vat"), N_SEEDS
    )
    page = (finished / "report.html").read_text(encoding="utf-8")
    assert "babelweave study" in page
    for words in (
        "What training costs",
        "drop from clean",
        "worst language",
        "gain over plain",
        "spared by shifts beside plain",
        "swapped 3",
        "start+woven",
    ):
        assert words in page
    code, out, err = cli("report", finished, "--out", tmp_path / "page.html")
    assert code == 0, err
    assert "R@100: tests" in out


def test_killed_it_goes_on_without_computing_again(
    cli: Cli, recipe: Path, finished: Path, tmp_path: Path
) -> None:
    out = tmp_path / "killed"
    process = spawn("study", recipe, "--out", out, output=tmp_path / "log")
    deadline = time.monotonic() + 300
    while not list(out.glob("models/*/manifest.json")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    process.join()
    done = {
        p: p.stat().st_mtime_ns for p in out.rglob("*") if p.suffix == ".parquet" or p.name == "manifest.json"
    }
    kept = [p for p in done if p.parent.name == "cells"]
    assert kept, "cells were measured before the kill"
    assert not (out / "manifest.json").exists()
    code, _, err = cli("study", recipe, "--out", out)
    assert code == 0, err
    assert "going on: " in err
    left = int(err.split("trainings, ")[1].split(" cells")[0])
    computed = read_manifest(finished, "study").counts["cells computed"]
    assert left == computed - len(kept)
    assert {path: path.stat().st_mtime_ns for path in done} == done
    assert table(out, "cells") == table(finished, "cells")
    assert table(out, "per_query") == table(finished, "per_query")


def test_another_study_gives_what_has_the_same_key(
    cli: Cli, recipe: Path, finished: Path, tmp_path: Path
) -> None:
    """An arm is added to a finished study, and its other arms are left out: one model is trained."""
    out = tmp_path / "added"
    arms = "arms=[{name='plain', train={}}, {name='fgm', train={adversaries=[{name='fgm'}]}}]"
    command = ["study", recipe, "--set", arms, "--set", "seeds=[0]", "--reuse", finished, "--out", out]
    code, told, err = cli(*command, "--dry-run", "--json")
    assert code == 0, err
    assert (json.loads(told)["trainings"], json.loads(told)["cells"]) == (1, N_CONDITIONS)
    assert not out.exists()
    code, _, err = cli(*command)
    assert code == 0, err
    assert f"taken over: 1 models, {N_CONDITIONS} cells" in err
    assert f"1 trainings, {N_CONDITIONS} cells to measure" in err
    own = [row for row in table(out, "per_query") if row["arm"] == "plain"]
    assert own == [r for r in table(finished, "per_query") if (r["arm"], r["seed"]) == ("plain", 0)]
    inodes = {path.name: path.stat().st_ino for path in (finished / "cells").iterdir()}
    taken = [path for path in (out / "cells").iterdir() if inodes.get(path.name) == path.stat().st_ino]
    assert len(taken) == N_CONDITIONS, "linked, not written again"
    assert len(read_json(out / "costs.json")["seconds_per_step"]["plain"]) == 1, "its log came with it"


def test_a_study_is_joined_from_its_parts(cli: Cli, recipe: Path, finished: Path, tmp_path: Path) -> None:
    """Seed by seed; a model half taken over, and one half trained, are in nobody's way."""
    parts = [tmp_path / "part0", tmp_path / "part1"]
    for seed, part in enumerate(parts):
        code, _, err = cli("study", recipe, "--set", f"seeds=[{seed}]", "--reuse", finished, "--out", part)
        assert code == 0, err
        assert "\n0 trainings, 0 cells to measure" in err
    out = tmp_path / "joined"
    plan = plan_study(load_study(recipe), lambda _: None)
    for other, told in ((tmp_path, "no study, finished or not"), (out, "that is --out itself")):
        with pytest.raises(UsageError, match=told):
            run_study(plan, out, overwrite=True, reuse=[other])
    assert not out.exists()
    model = plan.trainings[0].folder(out)
    for left in (model, model.with_name(model.name + ".aside")):
        left.mkdir(parents=True)
        (left / "plan.json").write_text('{"kind": "model"}', encoding="utf-8")
    Claim(out / "claimed", "study", plan.settings, overwrite=False)
    (out / "claimed" / "plan.json").replace(out / "plan.json")
    (out / "claimed").rmdir()
    code, _, err = cli("study", recipe, *(o for p in parts for o in ("--reuse", p)), "--out", out)
    assert code == 0, err
    assert "going on: 0 trainings, 0 cells" in err
    assert table(out, "per_query") == table(finished, "per_query")
    assert sorted(p.name for p in (out / "models").iterdir()) == sorted(
        p.name for p in (finished / "models").iterdir()
    )


def test_a_study_of_another_version_is_not_reused(
    cli: Cli, recipe: Path, finished: Path, tmp_path: Path
) -> None:
    old = tmp_path / "old"
    old.mkdir()
    manifest = read_json(finished / "manifest.json")
    (old / "manifest.json").write_text(json.dumps(manifest | {"version": "0.0.1"}), encoding="utf-8")
    code, _, err = cli("study", recipe, "--reuse", old, "--out", tmp_path / "out")
    assert code == 2
    assert "of version 0.0.1" in err
    assert not (tmp_path / "out").exists()


def test_a_folder_of_another_study_is_refused(cli: Cli, recipe: Path, finished: Path, tmp_path: Path) -> None:
    code, _, err = cli("study", recipe, "--out", finished)
    assert code == 2
    assert "is finished" in err
    out = tmp_path / "other"
    out.mkdir()
    plan = {"kind": "study", "version": "0", "settings": {"seeds": [5]}}
    (out / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    code, _, err = cli("study", recipe, "--out", out)
    assert code == 2
    assert "started with other settings" in err
    assert "seeds" in err


def test_a_dry_run_tells_the_work_and_writes_nothing(cli: Cli, recipe: Path, tmp_path: Path) -> None:
    code, out, err = cli(
        "study", recipe, "--profile", "quick", "--out", tmp_path / "out", "--dry-run", "--json"
    )
    assert code == 0, err
    found = json.loads(out)
    assert found["arms"] == ["start", "start+woven", "plain", "plain+woven"]
    assert found["conditions"] == ["clean", "german"]
    assert (found["trainings"], found["cells"]) == (1, 8)
    # two models read both pools; each cell 2 questions of its subsets; a query per passage and index
    assert found["passages"] == 8
    assert found["texts"] == 2 * 8 + 4 * (4 + 2) + 2 * 8
    assert found["seconds"] > 0
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("overrides", "exit_code", "told"),
    [
        (["shifts=[{name='zh', subsets='zh-en'}]"], 2, "shift zh: subsets that are not there: 'zh-en'"),
        (["shifts=[{name='x', benchmark={name='xquad-r', source='xquad'}}]"], 3, "shift x: "),
        (["shifts=[{name='pool', distractors=[1000]}]"], 3, "shift pool: "),
        (
            ["shifts=[{name='d', perturb='transliterate'}]"],
            3,
            "claims none of the languages asked in, de, en",
        ),
        (["benchmark.source=nowhere"], 3, "nowhere"),
        (["start=basee"], 3, "basee"),
        (["weaves=[{name='woven', generator='lexicl'}]"], 2, "did you mean 'lexical'"),
        (["shifts=[{name='a', perturb='case', severities=[7]}]"], 2, "to 5"),
    ],
)
def test_bad_input(
    cli: Cli, recipe: Path, tmp_path: Path, overrides: list[str], exit_code: int, told: str
) -> None:
    options = [part for override in overrides for part in ("--set", override)]
    code, _, err = cli("study", recipe, "--out", tmp_path / "out", *options)
    assert (code, told in err) == (exit_code, True), err
    assert not (tmp_path / "out").exists()


def test_questions_judged_by_their_answers(cli: Cli, tmp_path: Path) -> None:
    """XOR-Retrieve as a shift and as the benchmark itself, over passages of the English pool."""
    recipe = write_study_files(tmp_path)
    texts = ["red fox runs", "blue whale swims", "green frog jumps", *(f"black crow {i}" for i in range(12))]
    write_evaluations(tmp_path)
    write_english_pool(tmp_path, texts)
    asked = [("1", "ja", "red fox", ["runs"]), ("2", "ja", "whale", ["no"]), ("3", "fi", "red", ["red fox"])]
    write_xor_dev(tmp_path / "xor", *asked, ("4", "fi", "black", ["crow"]), ("5", "fi", "who", ["badger"]))
    command = [
        "study",
        recipe,
        "--set",
        "arms=[{name='start'}, {name='plain', train={}}]",
        "--set",
        "seeds=[0]",
    ]
    shift = (
        "shifts=[{name='german', subsets='de-en'}, {name='xor', of='german',"
        " benchmark={name='xor-retrieve', source='xor', distractors=4}}]"
    )
    code, _, err = cli(*command, "--set", shift, "--out", tmp_path / "out")
    assert code == 0, err
    told = "1 where the answer is yes or no; 1 where more than 10 passages hold an answer; 1 where no passage"
    assert f"xor: questions not asked: {told} holds an answer" in err
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert told in page
    measured, found = read_study(tmp_path / "out")
    assert found["unasked"]["xor"] == {
        "the answer is yes or no": 1,
        "more than 10 passages hold an answer": 1,
        "no passage holds an answer": 1,
    }
    assert measured.before == {"xor": "german"}
    own, other = (
        measured.mean("start", c, "RR@10") - measured.mean("plain", c, "RR@10") for c in ("xor", "german")
    )
    less = {(row["arm"], row["family"]): row["difference"] for row in found["spared"]["RR@10"]}
    assert less["start", "xor"] == pytest.approx(own - other)
    assert "xor is told from german, not from clean." in page
    scores = measured.under("start", "xor", "RR@10")
    assert {name: s.query_ids for name, s in scores.items()} == {"en-fi": ("3",), "en-ja": ("1",)}
    assert scores["en-ja"].values.tolist() == [1.0], "an encoder of words finds its words"
    itself = ["--set", "benchmark={name='xor-retrieve', source='xor'}", "--set", "weaves=[]", "--json"]
    grown = ["--set", "shifts=[{name='pool', distractors=[2, 5]}]", "--dry-run", "--out", tmp_path / "grown"]
    code, out, err = cli(*command, *itself, *grown)
    assert code == 0, err
    assert json.loads(out)["conditions"] == ["clean", "pool 2", "pool 5"]
    assert err.count("questions not asked") == 1, "what three conditions share is said once"


def test_a_start_made_by_a_recipe(cli: Cli, recipe: Path, tmp_path: Path) -> None:
    """It is trained once, before the arms that begin with it."""
    base = json.dumps(str(recipe.parent / "base"))
    (recipe.parent / "made.toml").write_text(
        f"""
kind = "retriever"
model = {{ base = {base}, pooling = "mean", max_tokens_query = 12, max_tokens_passage = 12 }}
data = {{ sets = [{{ dataset = "tevatron", source = "train.jsonl", lang = "en", query_lang = "de" }}] }}
optimisation = {{ max_steps = 1, batch_size = 4, learning_rate = 1e-3 }}
""",
        encoding="utf-8",
    )
    code, out, err = cli(
        "study", recipe, "--out", tmp_path / "out", "--json",
        "--set", "seeds=[0]",
        "--set", "starts=[{name='made', recipe='made.toml'}]",
        "--set", "arms=[{name='start'}, {name='plain', train={}}]",
        "--set", "shifts=[{name='german', subsets='de-en'}]",
    )  # fmt: skip
    assert code == 0, err
    assert "2 trainings, 4 cells" in err
    assert json.loads(out)["rows"] == [
        {"label": label, "start": "made", "reference": "plain"} for label in ("start", "plain")
    ]
    made, plain = (
        next(m for m in (tmp_path / "out" / "models").iterdir() if text in (m / "recipe.toml").read_text())
        for text in (base, "models/")
    )
    assert str(made) in (plain / "recipe.toml").read_text()
