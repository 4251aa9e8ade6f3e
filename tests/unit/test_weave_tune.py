"""Tuning: the linear sweep equals fusing anew, and the choice follows the rule."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from babelweave.artifact import read_json
from babelweave.errors import DataError, UsageError
from babelweave.evaluate.measures import evaluate
from babelweave.generate.queries import GeneratedQueries
from babelweave.index.dense import build_index, open_index
from babelweave.index.exact import ExactIndex
from babelweave.ranking import tie_keys, to_run, top_k
from babelweave.records import Passage, Query, Run, Scores
from babelweave.weave.fusers.spec import open_fuser
from babelweave.weave.stream import QueryVectors
from babelweave.weave.tune import Dev, Tuning, encode_dev, parse_alphas, tune, write_tuning
from vector_cases import LetterEncoder, signature, write_store

N, D = 30, 6
LANG = {f"q{i}": "de" if i % 2 else "fr" for i in range(N)}


def dev(seed: int = 0) -> Dev:
    """Questions lie near the German mean of their passage and have nothing to do with the Arabic one."""
    draw = np.random.default_rng(seed)
    passages = draw.standard_normal((N, D), dtype=np.float32)
    means = draw.standard_normal((N, 2, D), dtype=np.float32)
    counts = np.array([[3, i % 3] for i in range(N)])
    means[counts == 0] = 0
    questions = means[:, 0] + 0.3 * draw.standard_normal((N, D), dtype=np.float32)
    queries = [Query(query_id, "?", lang) for query_id, lang in LANG.items()]
    doc_ids = [f"d{i}" for i in range(N)]
    return Dev(queries, questions, doc_ids, passages, QueryVectors(("de", "ar"), means, counts), signature(D))


QRELS = {f"q{i}": {f"d{i}": 1} for i in range(N)}


def score(run: Run) -> list[Scores]:
    return evaluate(QRELS, run, ["RR@10", "R@100"])


@pytest.mark.parametrize("fuser", ["sum", "mean"])
@pytest.mark.parametrize("normalise", [False, True])
def test_every_row_is_what_fusing_and_searching_gives(fuser: str, normalise: bool) -> None:
    data = dev()
    weights = {"ar": 0.5}
    tuning = tune(data, score, fuser=fuser, alphas=[0.3, 0.8], normalise=normalise, language_weights=weights)
    assert [row.alpha for row in tuning.rows] == [0.0, 0.3, 0.8]
    for row in tuning.rows:
        how = open_fuser(fuser, alpha=row.alpha, language_weights=weights, normalise=normalise)
        woven = how.fuse(data.passage_vectors, data.generated.vectors, data.generated.counts, ("de", "ar"))[
            :, 0
        ]
        hits = top_k(data.query_vectors @ woven.T, 100, tie_keys(data.doc_ids))
        found = evaluate(QRELS, to_run([q.query_id for q in data.queries], hits, data.doc_ids), ["RR@10"])[0]
        by_lang = {
            lang: np.mean([v for q, v in zip(found.query_ids, found.values, strict=True) if LANG[q] == lang])
            for lang in ("de", "fr")
        }
        assert row.values["RR@10"]["de"] == pytest.approx(by_lang["de"])
        assert row.values["RR@10"]["fr"] == pytest.approx(by_lang["fr"])
        assert row.values["RR@10"]["mean"] == pytest.approx(np.mean(list(by_lang.values())))


@pytest.mark.parametrize("fuser", ["sum", "mean"])
def test_an_encoder_compared_by_cosine_is_tuned_by_cosine(fuser: str) -> None:
    """Each row is what an index over the woven vectors of such an encoder gives."""
    data = dev()
    lengths = np.random.default_rng(1).uniform(0.1, 10, (N, 1)).astype(np.float32)
    data = replace(
        data,
        passage_vectors=lengths * data.passage_vectors,
        signature=signature(D, similarity="cosine", normalised=False),
    )
    for row in tune(data, score, fuser=fuser, alphas=[0.3, 0.8]).rows:
        woven = open_fuser(fuser, alpha=row.alpha).fuse(
            data.passage_vectors, data.generated.vectors, data.generated.counts, ("de", "ar")
        )
        index = ExactIndex(D, keys=tie_keys(data.doc_ids), cosine=True)
        index.add(woven[:, 0])
        run = to_run(list(LANG), index.search(data.query_vectors, N), data.doc_ids)
        found = score(run)[0]
        for lang in ("de", "fr"):
            values = [v for q, v in zip(found.query_ids, found.values, strict=True) if LANG[q] == lang]
            assert row.values["RR@10"][lang] == pytest.approx(np.mean(values))


@pytest.mark.parametrize("spec", ["max?centroids=2", "max?by=language"])
@pytest.mark.parametrize("cosine", [False, True])
def test_a_fuser_of_several_rows_is_tuned_by_the_best_of_them(
    spec: str, cosine: bool, tmp_path: Path
) -> None:
    """Each row is what searching an index over the rows gives."""
    data = dev()
    slots = QueryVectors(("de", "ar"), data.generated.vectors, np.minimum(data.generated.counts, 1))
    data = replace(data, generated=slots, signature=signature(D, similarity="cosine" if cosine else "dot"))
    tuning = tune(data, score, fuser=spec, alphas=[0.3, 0.8])
    assert tuning.rows[2].values != tuning.plain.values
    for row in tuning.rows:
        rows = open_fuser(spec, alpha=row.alpha).fuse(
            data.passage_vectors, slots.vectors, slots.counts, ("de", "ar")
        )
        v = rows.shape[1]
        store = write_store(
            tmp_path / f"{row.alpha}", rows.reshape(-1, D), data.doc_ids, made_by=data.signature
        )
        assert store.n_rows == N * v
        build_index(store, "exact", tmp_path / f"{row.alpha}i")
        index = open_index(tmp_path / f"{row.alpha}i")
        run = to_run(list(LANG), index.search(data.query_vectors, N), index.doc_ids)
        found = score(run)[0]
        for lang in ("de", "fr"):
            values = [v for q, v in zip(found.query_ids, found.values, strict=True) if LANG[q] == lang]
            assert row.values["RR@10"][lang] == pytest.approx(np.mean(values))


def test_a_fuser_that_needs_single_queries_refuses_means() -> None:
    with pytest.raises(UsageError, match="whole=True"):
        tune(dev(), score, fuser="max")


def test_the_best_mean_wins_and_weights_find_the_language_that_helps() -> None:
    tuning = tune(dev(), score, alphas=[0.2, 0.5, 0.9], search_weights=True)
    means = [row.values["RR@10"]["mean"] for row in tuning.rows]
    assert tuning.best.values["RR@10"]["mean"] == max(means)
    assert tuning.best.alpha > 0
    assert tuning.best.language_weights.get("ar", 1.0) < 1.0
    assert tuning.plain == tuning.rows[0]
    gains = tuning.gains(tuning.best)["RR@10"]
    assert gains["de"] == tuning.best.values["RR@10"]["de"] - tuning.plain.values["RR@10"]["de"]


def test_a_tie_goes_to_the_smaller_alpha_and_losers_are_named() -> None:
    def flat(run: Run) -> list[Scores]:
        return [Scores("RR@10", tuple(QRELS), np.full(N, 0.5))]

    assert tune(dev(), flat, alphas=[0.9, 0.1]).best.alpha == 0

    calls: list[Run] = []

    def trading(run: Run) -> list[Scores]:
        calls.append(run)
        german = np.array([0.2 if i % 2 else 0.9 for i in range(N)])
        return [Scores("RR@10", tuple(QRELS), german if len(calls) > 1 else np.full(N, 0.5))]

    tuning = tune(dev(), trading, alphas=[0.5])
    assert tuning.best.alpha == 0.5
    assert tuning.losers == {"de": pytest.approx(0.3)}


def test_refusals() -> None:
    with pytest.raises(UsageError, match="alpha"):
        tune(dev(), score, alphas=[2])
    with pytest.raises(UsageError, match="unknown fuser"):
        tune(dev(), score, fuser="max product")
    with pytest.raises(DataError, match="no measure"):
        tune(dev(), lambda _: [])
    assert parse_alphas("0,.5") == (0.0, 0.5)
    with pytest.raises(UsageError, match="alphas"):
        parse_alphas("0,half")


@pytest.mark.parametrize("per_language", [0, -1])
def test_fewer_than_one_query_per_language_is_refused(tmp_path: Path, per_language: int) -> None:
    path = tmp_path / "queries.json"
    path.write_text('{"d0": {"de": ["a", "b"]}}')
    generated = GeneratedQueries.open(path)
    passages, queries = [Passage("d0", "text", "en")], [Query("q", "?", "de")]
    with pytest.raises(UsageError, match="must be at least 1"):
        encode_dev(passages, queries, generated, LetterEncoder(), ["de"], per_language=per_language)


def test_what_is_written_can_be_read(tmp_path: Path) -> None:
    tuning: Tuning = tune(dev(), score, alphas=[0.5])
    write_tuning(tuning, tmp_path / "t", settings={}, inputs={})
    data = read_json(tmp_path / "t" / "tuning.json")
    assert data["best"]["alpha"] == tuning.best.alpha
    assert len(data["rows"]) == 2
    with pytest.raises(UsageError, match="overwrite"):
        write_tuning(tuning, tmp_path / "t", settings={}, inputs={})
