"""MLQA dev, x -> English: plain passages, all languages woven into one index, and one index per language.

    python benchmarks/weaving_mlqa.py [--encoder minilm] [--half report] [--alpha-all 0.26] [--alpha-own 0.5]

Texts and generated queries are encoded once for all three. The lexical generator uses the Open Multilingual
Wordnet of the data folder: BABELWEAVE_DATA, default ../shared/data beside the repository.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

from babelweave.artifact import source_commit
from babelweave.encode.spec import open_encoder
from babelweave.evaluate.benchmarks import mlqa
from babelweave.evaluate.compare import compare, correct
from babelweave.evaluate.measures import evaluate
from babelweave.generate.lexical import LexicalGenerator
from babelweave.index.exact import ExactIndex
from babelweave.ranking import tie_keys, to_run
from babelweave.records import Float32, Scores
from babelweave.report.summaries import comparison_table
from babelweave.report.tables import render
from babelweave.weave.fusers.mean import MeanFuser
from babelweave.weave.stream import query_means

DATA = Path(os.environ.get("BABELWEAVE_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
LANGUAGES = ("ar", "de", "es", "hi", "vi", "zh")
MEASURES = ("RR@10", "R@100")
DEPTH = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--encoder", default="minilm")
    parser.add_argument("--half", choices=["tune", "report"], default="report")
    parser.add_argument("--per-language", type=int, default=2)
    parser.add_argument("--alpha-all", type=float, default=0.26)
    parser.add_argument("--alpha-own", type=float, default=0.5)
    args = parser.parse_args()
    start = time.perf_counter()
    tasks = mlqa.read(
        DATA / "mlqa" / "MLQA_V1.zip", subsets=",".join(f"en-{q}" for q in LANGUAGES), half=args.half
    )
    passages = list({p.doc_id: p for s in tasks.subsets for p in s.passages}.values())
    row_of = {p.doc_id: i for i, p in enumerate(passages)}
    encoder = open_encoder(args.encoder)
    vectors = encoder.encode([p.content for p in passages], "passage").vectors
    questions = {s.name: encoder.encode([q.text for q in s.queries], "query").vectors for s in tasks.subsets}

    generator = LexicalGenerator(lexicon=str(DATA / "omw" / "omw_synset_lemmas.tsv.gz"))
    queries: dict[str, dict[str, list[str]]] = {p.doc_id: {} for p in passages}
    for lang in LANGUAGES:
        for passage, found in zip(
            passages, generator.generate(passages, lang, args.per_language, 0), strict=True
        ):
            queries[passage.doc_id][lang] = found
    generated = query_means(list(row_of), lambda _: queries, encoder, LANGUAGES)

    def woven(alpha: float, only: str | None) -> Float32:
        weights = {lang: float(only in (None, lang)) for lang in LANGUAGES}
        fuser = MeanFuser(alpha=alpha, language_weights=weights)
        rows: Float32 = fuser.fuse(vectors, generated.vectors, generated.counts, LANGUAGES)[:, 0]
        return rows

    def scores(vectors_of: Mapping[str, Float32]) -> dict[str, dict[str, Scores]]:
        table: dict[str, dict[str, Scores]] = {}
        for subset in tasks.subsets:
            doc_ids = [p.doc_id for p in subset.passages]
            index = ExactIndex(vectors.shape[1], keys=tie_keys(doc_ids))
            index.add(vectors_of[subset.name][[row_of[d] for d in doc_ids]])
            hits = index.search(questions[subset.name], min(DEPTH, len(doc_ids)))
            run = to_run([q.query_id for q in subset.queries], hits, doc_ids)
            for found in evaluate(subset.qrels, run, MEASURES):
                table.setdefault(found.measure, {})[subset.name] = found
        return table

    names = [s.name for s in tasks.subsets]
    everyone = woven(args.alpha_all, None)
    plain = scores(dict.fromkeys(names, vectors))
    others = {
        f"one index, alpha {args.alpha_all}": scores(dict.fromkeys(names, everyone)),
        f"one per language, alpha {args.alpha_own}": scores(
            {f"en-{lang}": woven(args.alpha_own, lang) for lang in LANGUAGES}
        ),
    }
    print(f"command: python {' '.join(sys.argv)}; commit {source_commit()}; seed 0")
    print(f"{encoder.signature.name}, {encoder.signature.precision}; {len(passages)} passages\n")
    for name, table in others.items():
        rows = []
        for measure in MEASURES:
            a, b = plain[measure], table[measure]
            family = [compare({s: a[s]}, {s: b[s]}, family=s) for s in names]
            rows += correct([*family, compare(a, b, family="mean")])
        print(
            render(
                [
                    comparison_table(
                        rows, name, name_a="plain", name_b="woven", family="the rows of a measure"
                    )
                ],
                "markdown",
            ),
            "\n",
        )
    print(f"{time.perf_counter() - start:.0f} seconds")


if __name__ == "__main__":
    main()
