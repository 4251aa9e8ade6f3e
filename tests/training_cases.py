"""A data folder in miniature: every source of training texts and every evaluation set, by hand."""

from __future__ import annotations

import gzip
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from babelweave.data.squad import text_sha1

HELD_OUT = " ".join(f"held{i}" for i in range(107))
"""The passage that the evaluation sets ask about: 100 8-grams."""


def squad_json(*paragraphs: tuple[str, Sequence[tuple[str, str]]]) -> str:
    """SQuAD JSON of (context, [(question id, question)])."""
    rows = [
        {
            "context": context,
            "qas": [
                {"id": name, "question": text, "answers": [{"text": "x", "answer_start": 0}]}
                for name, text in questions
            ],
        }
        for context, questions in paragraphs
    ]
    return json.dumps({"data": [{"title": "T", "paragraphs": rows}]})


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = text.encode("utf-8")
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def write_rows(path: Path, *rows: Mapping[str, Any]) -> None:
    write(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def write_zip(path: Path, members: Mapping[str, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)


def write_parallel(root: Path) -> None:
    write(root / "tatoeba" / "eng-ces.tsv.gz", "Hi.\tAhoj!\nHi!\tAhoj.\nTom.\ttom.\nHi.\tAhoj!\n \tX\n")
    write(root / "tatoeba" / "eng-srp.tsv.gz", "Hello.\tЗдраво.\nI see.\tVidim.\n")
    ntrex = {
        "newstest2019-src.eng.txt": "One.\r\nTwo.\r\nThree.\r\nFour.\r\n",
        "newstest2019-ref.deu.txt": "Eins.\r\nZwei.\r\nDrei.\r\nVier.\r\n",
        "newstest2019-ref.zho-CN.txt": "一。\n二。\n\n四。\n",
        "newstest2019-ref-2.spa.txt": "Uno.\nDos.\nTres.\nCuatro.\n",
        "newstest2019-ref.spa.txt": "Un.\nDos.\nTres.\nCuatro.\n",
        "DOCUMENT_IDS.tsv": "bbc.1\nbbc.1\nbbc.1\ncnn.2\n",
        "LICENSE.md": "CC BY-SA",
    }
    write_zip(root / "ntrex128" / "ntrex128.zip", {f"ntrex128/{name}": text for name, text in ntrex.items()})
    quoted = '"He said, ""Yes."""'
    head = "index_id\tcategory\ttext\n"
    write(root / "sib200" / "eng_Latn" / "train.tsv", f"{head}7\tx\tSeven.\n2\tx\t{quoted}\n")
    write(root / "sib200" / "eng_Latn" / "dev.tsv", f"{head}5\tx\tFive.\n")
    write(root / "sib200" / "zho_Hant" / "train.tsv", f'{head}5\tx\t五\n7\tx\t"七"\n2\tx\t二\n9\tx\t九\n')
    write_rows(
        root / "tico19" / "tico19_en_xx.jsonl.gz",
        {"en": "Fever.", "kr": "Kawu.", "es-LA": "Fiebre.", "ti": "ረስኒ", "ti_ER": "ረስኒ።"},
        {"en": "Cough.", "es-LA": "Tos.", "kr": "K" * 1001, "ti_ER": "ሰዓል"},
    )
    pawsx = {
        "dev-en": "A b .\tB a .\t0\r\nC d .\tC d\t1\r\nE f .\tF e .\t0\r\n",
        "dev-de": "A be.\tB ah.\t0\r\nC de.\tC dah.\t1\r\nNS\tF eh.\t0\r\n",
        "test-en": "G h .\tH g .\n",
        "test-de": "G ha.\tH ge.\n",
    }
    for name, text in pawsx.items():
        write(root / "pawsx" / f"{name}.tsv", text)
    write_rows(
        root / "mkqa" / "queries.jsonl.gz",
        {"id": "1", "q": {"en": "who?", "zh_cn": "谁", "fi": "kuka?"}},
        {"id": "2", "q": {"en": "beatles", "zh_cn": "什么", "fi": "Beatles"}},
    )
    mintaka = [{"id": "m", "question": "Which?", "translations": {"de": "Welche?", "hi": "कौन?"}}]
    write(root / "mintaka-dev" / "mintaka_dev.json", json.dumps(mintaka))
    write(root / "xor-tydi" / "ja-en" / "ja.txt", "どこ?\n誰？\n\n")
    write(root / "xor-tydi" / "ja-en" / "en.txt", "Where?\nWho?\nWhy?\n")


def write_english_pool(root: Path, train: Sequence[str], dev: Sequence[str] = ()) -> None:
    """What `english_pool` reads: SQuAD's passages as given, the other sources with next to nothing."""
    write_rows(root / "leak_exclusions.jsonl.gz", {"sha1": text_sha1("listed"), "title": "L"})
    for split, texts in (("train", train), ("dev", dev)):
        rows = [{"title": "", "para": i, "context": text, "qas": []} for i, text in enumerate(texts)]
        write_rows(root / "squad" / f"{split}.jsonl.gz", *rows)
    for name in ("full_articles_paragraphs", "lead_snippets"):
        write_rows(root / "wiki-vital-en" / f"{name}.jsonl.gz", {"title": "", "text": "listed"})
    write(root / "multihop" / "2wikimultihopqa_corpus.json", "[]")
    write(root / "multihop" / "hotpotqa_train_corpus.json", "{}")
    for split in ("train", "dev"):
        write(
            root / "tydiqa-goldp" / f"tydiqa.goldp.en.{split}.json",
            squad_json(("tydi", [("english-1-1", "?")])),
        )
    write_rows(root / "nq-open-oracle" / "nq-open-oracle.jsonl.gz")


def write_xor_dev(root: Path, *rows: tuple[str, str, str, Sequence[str]]) -> Path:
    """XOR-Retrieve's dev questions: (id, language, question, answers)."""
    path = root / "xor_dev_retrieve_eng_span_v1_1.jsonl"
    keys = ("id", "lang", "question", "answers", "split")
    write_rows(path, *(dict(zip(keys, (*row, "dev"), strict=True)) for row in rows))
    return path


def write_evaluations(root: Path) -> None:
    write_zip(
        root / "mlqa" / "MLQA_V1.zip",
        {
            "dev-context-en-question-de.json": squad_json((HELD_OUT, [("q1", "Was wird gehalten?")])),
            "test-context-de-question-en.json": squad_json(("Kurz.", [("q2", "What is held?")])),
        },
    )
    for lang in ("en", "de"):
        write(root / "xquad-r" / f"{lang}.json", squad_json((f"{lang} text", [("x", f"{lang}?")])))
    row = {"title": "T", "para": 0, "context": "dev", "qas": [{"question": "Held out?", "answers": ["x"]}]}
    write_rows(root / "squad" / "dev.jsonl.gz", row)
    asked = {"id": "o", "question": "誰?", "answers": ["x"], "lang": "ja", "split": "dev"}
    write_rows(root / "xor-tydi" / "xor_dev_retrieve_eng_span_v1_1.jsonl", asked)
