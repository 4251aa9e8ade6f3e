"""`babelweave tune`: sweep alpha, and on request language weights, on development questions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from babelweave.cli.console import Encoder, Json, Out, Overwrite, emit, say
from babelweave.cli.weave import Fuser, Generated, Normalise, Weights
from babelweave.registry import DEFAULT_ENCODER

if TYPE_CHECKING:
    from babelweave.weave.tune import Row, Tuning


def run(
    collection: Annotated[Path, typer.Argument(help="Collection folder (corpus, queries, qrels/).")],
    generated: Generated,
    out: Out,
    encoder: Encoder = DEFAULT_ENCODER,
    split: Annotated[str, typer.Option(help="Judgements to tune on; report on others.")] = "dev",
    fuser: Fuser = "mean",
    alphas: Annotated[
        str | None, typer.Option(help="Alphas to try, separated by commas; 0 is always tried.")
    ] = None,
    normalise: Normalise = False,
    language_weights: Weights = None,
    search_weights: Annotated[
        bool, typer.Option("--search-weights", help="Then try weights for one language after the other.")
    ] = False,
    languages: Annotated[
        str | None, typer.Option(help="Languages to weave, separated by commas; all if not given.")
    ] = None,
    per_language: Annotated[
        int | None, typer.Option(min=1, help="At most so many per passage and language; all if not given.")
    ] = None,
    lang: Annotated[str | None, typer.Option(help="Language of texts that name none.")] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Choose alpha by RR@10 on a split, with gains and losses per language; nothing is indexed.

    \b
    Example: babelweave tune beir/ --generated queries/ --alphas 0,0.1,0.2,0.3 --out tuned/
    """
    from babelweave.data.collection import Collection
    from babelweave.encode.spec import open_encoder
    from babelweave.evaluate.measures import evaluate
    from babelweave.generate.queries import GeneratedQueries
    from babelweave.weave.fusers.spec import is_linear, open_fuser, parse_weights
    from babelweave.weave.stream import uneven_numbers
    from babelweave.weave.tune import ALPHAS, encode_dev, parse_alphas, tune, write_tuning

    source = Collection.open(collection, lang)
    tried = ALPHAS if alphas is None else parse_alphas(alphas)
    queries = GeneratedQueries.open(generated)
    wanted = queries.check_languages(queries.languages if languages is None else languages.split(","))
    if uneven := uneven_numbers(open_fuser(fuser), queries, wanted, per_language):
        say(f"warning: {uneven}")
    qrels = source.qrels(split)
    judged = [query for query in source.queries() if query.query_id in qrels]
    dev = encode_dev(
        list(source.passages()),
        judged,
        queries,
        open_encoder(encoder),
        wanted,
        per_language=per_language,
        whole=not is_linear(fuser),
    )
    tuning = tune(
        dev,
        lambda found: evaluate(qrels, found, ["RR@10", "R@100"]),
        fuser=fuser,
        alphas=tried,
        normalise=normalise,
        language_weights=parse_weights(language_weights),
        search_weights=search_weights,
    )
    inputs = {"generated": queries.digest}
    write_tuning(
        tuning,
        out,
        settings={"encoder": dev.signature.to_dict(), "split": split},
        inputs=inputs,
        overwrite=overwrite,
    )
    for language, loss in tuning.losers.items():
        say(f"warning: {language} loses {100 * loss:.1f} points of {tuning.measures[0]} against plain")
    emit({**tuning.to_dict(), "out": out}, as_json=as_json, text=lambda: _table(tuning))


def _table(tuning: Tuning) -> str:
    """One block per measure: plain in full, then gains against it, in points."""
    columns = [*tuning.languages, "mean"]
    lines: list[str] = []
    for measure in tuning.measures:
        lines += [
            f"{measure} (points; below plain, gain or loss)",
            " " * 24 + "".join(f"{c:>8}" for c in columns),
        ]
        plain = tuning.plain.values[measure]
        lines.append(f"{'plain (alpha 0)':24}" + "".join(f"{100 * plain[c]:8.1f}" for c in columns))
        for row in tuning.rows[1:]:
            gains = tuning.gains(row)[measure]
            mark = " *" if row == tuning.best else ""
            lines.append(f"{_name(row):24}" + "".join(f"{100 * gains[c]:+8.1f}" for c in columns) + mark)
        lines.append("")
    best: dict[str, Any] = dict(tuning.best.language_weights)
    weights = f" --language-weights {','.join(f'{k}={v:g}' for k, v in best.items())}" if best else ""
    flag = " --normalise" if tuning.normalise else ""
    lines.append(f"chosen: --fuser {tuning.fuser} --alpha {tuning.best.alpha:g}{weights}{flag}")
    return "\n".join(lines)


def _name(row: Row) -> str:
    weights = " ".join(f"{lang}={weight:g}" for lang, weight in row.language_weights.items())
    return f"alpha {row.alpha:g} {weights}".strip()
