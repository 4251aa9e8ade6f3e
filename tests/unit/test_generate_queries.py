"""Generated queries: writing, resuming, and reading every layout back."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import lexicon_cases
from babelweave.artifact import read_json, read_manifest
from babelweave.errors import DataError, UsageError
from babelweave.generate.lexical import LexicalGenerator
from babelweave.generate.queries import SCHEMA, GeneratedQueries, write_queries
from babelweave.generate.run import generate_queries, plan_generation
from babelweave.records import GeneratedQuery, Passage

GENERATOR = LexicalGenerator(lexicon=lexicon_cases.lexicon(), topic=0)
PASSAGES = [p._replace(doc_id=f"{p.doc_id}-{i}") for i in range(5) for p in lexicon_cases.PASSAGES]
WANTED = {
    "a": {"de": ["eins", "zwei"], "ar": ["واحد"]},
    "b": {"de": ["drei"]},
    "c": {"ar": ["اثنان", "ثلاثة"]},
}


def write(folder: Path, passages: list[Passage] = PASSAGES, **options: object) -> None:
    generate_queries(passages, GENERATOR, ["de", "arb"], 2, folder, shard_size=6, **options)  # type: ignore[arg-type]


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


def test_what_is_written_is_what_was_generated(tmp_path: Path) -> None:
    write(tmp_path / "g", seed=3)
    manifest = read_manifest(tmp_path / "g", "generated", checksums=True)
    assert manifest.settings["generator"] == GENERATOR.signature
    assert manifest.settings["languages"] == ["de", "ar"]
    assert manifest.settings["seed"] == 3
    assert manifest.counts["passages"] == 20
    assert manifest.counts["asked.de"] == 40
    assert manifest.counts["passages_without.de"] == 5  # d4 has no terms
    opened = GeneratedQueries.open(tmp_path / "g")
    assert opened.languages == ("ar", "de")
    assert opened.n_documents == 15
    assert opened.n_queries == manifest.counts["kept.de"] + manifest.counts["kept.ar"]
    assert opened.signature == GENERATOR.signature
    found = opened.lookup([p.doc_id for p in PASSAGES])
    for lang in ("de", "ar"):
        made = GENERATOR.generate(PASSAGES, lang, 2, 3)
        assert [found.get(p.doc_id, {}).get(lang, []) for p in PASSAGES] == made


def test_resuming_gives_the_same_bytes(tmp_path: Path) -> None:
    write(tmp_path / "whole")

    def interrupted() -> Iterator[Passage]:
        yield from PASSAGES[:14]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate_queries(interrupted(), GENERATOR, ["de", "ar"], 2, tmp_path / "killed", shard_size=6)
    with pytest.raises(DataError, match="unfinished"):
        GeneratedQueries.open(tmp_path / "killed")
    write(tmp_path / "killed")
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def test_a_finished_folder_and_other_settings_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "g")
    with pytest.raises(UsageError, match="overwrite"):
        write(tmp_path / "g")
    write(tmp_path / "g", overwrite=True)


def test_bad_requests(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'fr'"):
        generate_queries(PASSAGES, GENERATOR, ["fr"], 1, tmp_path / "g")
    with pytest.raises(UsageError, match="at least 1"):
        generate_queries(PASSAGES, GENERATOR, ["de"], 0, tmp_path / "g")
    with pytest.raises(DataError, match="no passages"):
        generate_queries([], GENERATOR, ["de"], 1, tmp_path / "g")
    assert not (tmp_path / "g").exists()


def test_the_plan_counts(tmp_path: Path) -> None:
    plan = plan_generation(iter(PASSAGES), GENERATOR, ["de", "ar"], 2, shard_size=6)
    assert (plan.n_passages, plan.n_queries, plan.n_shards) == (20, 80, 4)
    assert plan.disk_bytes > 0


def rows() -> list[GeneratedQuery]:
    return [
        GeneratedQuery(d, lang, rank, q)
        for d, by_lang in WANTED.items()
        for lang, queries in by_lang.items()
        for rank, q in enumerate(queries)
    ]


def as_parquet(folder: Path) -> Path:
    table = pa.Table.from_pylist([r._asdict() for r in reversed(rows())], SCHEMA)
    pq.write_table(table, folder / "q.parquet", row_group_size=2)
    return folder / "q.parquet"


def as_parquet_without_ranks(folder: Path) -> Path:
    table = pa.Table.from_pylist([r._asdict() for r in rows()], SCHEMA).select(["query", "doc_id", "lang"])
    pq.write_table(table, folder / "q.parquet")
    return folder / "q.parquet"


def as_json(folder: Path) -> Path:
    (folder / "q.json").write_text(json.dumps(WANTED), encoding="utf-8")
    return folder / "q.json"


def as_lines(folder: Path) -> Path:
    lines = [json.dumps({"docid": d, "text": "x", "generated_queries": q}) for d, q in WANTED.items()]
    (folder / "q.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    return folder / "q.jsonl.gz"


@pytest.mark.parametrize("layout", [as_parquet, as_parquet_without_ranks, as_json, as_lines])
def test_every_layout_reads_the_same(tmp_path: Path, layout: Callable[[Path], Path]) -> None:
    opened = GeneratedQueries.open(layout(tmp_path))
    assert opened.lookup(["c", "absent", "a"]) == {"a": WANTED["a"], "c": WANTED["c"]}
    assert opened.lookup(["b"]) == {"b": WANTED["b"]}
    assert (opened.n_documents, opened.n_queries) == (3, 6)
    assert opened.lookup([]) == {}
    assert opened.contains(["c", "absent", "a"]).tolist() == [True, False, True]
    assert opened.in_memory == (layout in (as_json, as_lines))
    assert opened.check_languages(["deu", "ar"]) == ("de", "ar")
    with pytest.raises(UsageError, match="'fi'"):
        opened.check_languages(["fi"])


def test_without_ranks_the_order_holds_across_row_groups(tmp_path: Path) -> None:
    """A passage that is the last row of one group and the first of the next."""
    table = pa.table({"doc_id": ["b", "a", "a", "b"], "lang": ["de"] * 4, "query": list("1234")})
    pq.write_table(table, tmp_path / "q.parquet", row_group_size=2)
    opened = GeneratedQueries.open(tmp_path / "q.parquet")
    assert opened.lookup(["a", "b"]) == {"a": {"de": ["2", "3"]}, "b": {"de": ["1", "4"]}}
    assert opened.n_documents == 2


def test_integer_ids_and_foreign_codes_are_normalised(tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").write_text(
        '{"docid": 7, "generated_queries": {"zh_cn": ["问"]}}', encoding="utf-8"
    )
    assert GeneratedQueries.open(tmp_path / "q.jsonl").lookup(["7"]) == {"7": {"zh": ["问"]}}


def test_the_same_queries_give_the_same_file(tmp_path: Path) -> None:
    write_queries(tmp_path / "a", rows())
    write_queries(tmp_path / "b", rows())
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert pq.read_schema(tmp_path / "a").equals(SCHEMA)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("q.jsonl", b"", "no generated queries"),
        ("q.json", b"[1]", "JSON list"),
        ("q.json", b'{"a": {"de": "eins"}}', "not a list of texts"),
        ("q.jsonl", b'{"docid": "a"}', "q.jsonl:1"),
        ("q.jsonl", b'{"docid": "a", "generated_queries": {"de": ["x"]}}\n{', "q.jsonl:2"),
        ("q.parquet", b"PAR1 and no more", "not a Parquet file"),
        ("q.csv", b"a,b", "not generated queries"),
    ],
)
def test_broken_files(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        GeneratedQueries.open(tmp_path / name)


def test_missing_columns_empty_cells_and_unknown_codes(tmp_path: Path) -> None:
    path = tmp_path / "q.parquet"
    pq.write_table(pa.table({"doc_id": ["a"], "query": ["x"]}), path)
    with pytest.raises(DataError, match="no column lang"):
        GeneratedQueries.open(path)
    pq.write_table(pa.table({"doc_id": ["a", None], "query": ["x", "y"], "lang": ["de", "de"]}), path)
    with pytest.raises(DataError, match="empty cells"):
        GeneratedQueries.open(path)
    pq.write_table(pa.table({"doc_id": ["a"], "query": ["x"], "lang": ["klingon"]}), path)
    with pytest.raises(DataError, match=r"q\.parquet: unknown language 'klingon'"):
        GeneratedQueries.open(path)
    pq.write_table(pa.table({"doc_id": ["a"], "query": ["x"], "lang": ["de"], "rank": ["first"]}), path)
    with pytest.raises(DataError, match="wrong type"):
        GeneratedQueries.open(path).lookup(["a"])
    with pytest.raises(DataError, match="no such file"):
        GeneratedQueries.open(tmp_path / "absent")


def test_a_cut_shard_is_noticed(tmp_path: Path) -> None:
    write(tmp_path / "g")
    shard = tmp_path / "g" / "queries-00001.parquet"
    shard.write_bytes(shard.read_bytes()[:-9])
    with pytest.raises(DataError, match="cut or changed"):
        GeneratedQueries.open(tmp_path / "g")
    assert read_json(tmp_path / "g" / "manifest.json")["kind"] == "generated"
