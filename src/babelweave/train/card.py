"""Model cards: what a user, a reviewer or a lawyer asks of a model, as Markdown with the Hub's header."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from babelweave import __version__, registry
from babelweave.data.languages import english_name
from babelweave.records import EncoderSignature, Role

TAGS = ("sentence-transformers", "feature-extraction", "sentence-similarity", "cross-lingual", "babelweave")
_PART = r"""[^\s"'=,;`/\\]+"""
_FOLDERS = re.compile(
    rf"(?<![\w:/.~-])(?:file://|~|\.{{1,2}}|[A-Za-z]:)?[/\\](?:{_PART}[/\\])*({_PART})[/\\]?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingData:
    """One data set a model was trained on.

    Attributes:
        languages: BCP-47 codes.
        attribution: whom to name.
        n_examples: pairs, questions or texts used.
        use: what for: "relevance", "alignment", "teacher's vectors", ...
    """

    title: str
    licence: str
    languages: tuple[str, ...]
    n_examples: int
    use: str
    attribution: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Figures of one benchmark and the command that gives them again.

    Attributes:
        benchmark: what was measured, for instance "MLQA dev, x-en, mean of 6 languages".
        figures: measure -> value in [0, 1].
        n_queries: over all subsets.
    """

    benchmark: str
    figures: Mapping[str, float]
    n_queries: int
    command: str
    commit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What only its maker knows of a model; the rest is read off the model itself.

    Attributes:
        name: of the model.
        summary: one paragraph.
        licence: of the weights, as the Hub names licences ("apache-2.0").
        languages: BCP-47 codes it was trained for.
        base_model: Hub id, or the name of what training began with.
        limits: what it does badly, a sentence each.
        recipe: the resolved recipe as TOML.
        recipe_digest: sha256 of the recipe's settings.
        command: that remakes it.
        library, task: what opens it and what it is for, as the Hub names them.
    """

    name: str
    summary: str
    licence: str
    languages: tuple[str, ...]
    data: tuple[TrainingData, ...]
    intended_use: str
    limits: tuple[str, ...]
    base_model: str = ""
    results: tuple[Result, ...] = ()
    recipe: str = ""
    recipe_digest: str = ""
    command: str = ""
    tags: tuple[str, ...] = field(default=TAGS)
    library: str = "sentence-transformers"
    task: str = "sentence-similarity"


def declared(
    kind: Literal["parallel", "relevance"],
    name: str,
    n_examples: int,
    use: str,
    languages: Sequence[str] | None = None,
) -> TrainingData:
    """A data set as the registry declares it.

    Args:
        languages: those used; by default all it has.
    Raises:
        UsageError: no such source.
    """
    source = registry.load(kind, name)
    return TrainingData(
        title=source.title,
        licence=source.licence,
        languages=tuple(languages or source.languages),
        n_examples=n_examples,
        use=use,
        attribution=source.attribution,
    )


def model_card(card: Card, signature: EncoderSignature, *, weights: str, commit: str | None) -> str:
    """The card as Markdown: a function of its arguments alone, and without folders of this machine.

    Args:
        signature: of the saved model.
        weights: type they are stored in.
        commit: of babelweave when it was saved.
    """
    sections = [
        section("Use", _use(card, weights)),
        section("What it is", table(("", ""), _facts(card, signature, weights))),
    ]
    return compose_card(card, sections, signature.digest, commit)


def compose_card(card: Card, about: Sequence[str], digest: str, commit: str | None) -> str:
    """The sections that every card has, around those of a kind of model.

    Args:
        about: sections that stand first, how it is used and what it is.
        digest: of weights and tokenizer.
    """
    sections = [
        _header(card),
        f"# {card.name}\n\n{card.summary}\n",
        *about,
        section("Training data", _data(card.data)),
        section("Intended use", card.intended_use),
        section("Limits", "\n".join(f"- {limit}" for limit in card.limits)),
        section("Results", _results(card.results)),
        section("Where it comes from", _provenance(card, digest, commit)),
    ]
    return "\n".join(part for part in sections if part)


class Fidelity(NamedTuple):
    """How near the vectors of an export are to those of its model.

    Attributes:
        mean, lowest: cosine of the two vectors of a text.
        largest_change: of a single component.
    """

    n_texts: int
    mean: float
    lowest: float
    largest_change: float


def export_card(
    card: str | None,
    source: EncoderSignature,
    signature: EncoderSignature,
    *,
    to: str,
    n_bytes: int,
    fidelity: Mapping[Role, Fidelity],
) -> str:
    """The card of the model it was made from, and below it what the export is and how far it moved.

    Args:
        card: Markdown; without one the export's card has its own section only.
        source, signature: of the model, and of the export.
        to: the format.
        n_bytes: of all files.
    """
    rows = [
        (role, f.n_texts, f"{f.mean:.4f}", f"{f.lowest:.4f}", f"{f.largest_change:.1e}")
        for role, f in fidelity.items()
    ]
    shown = table(("vectors", "texts", "mean cosine to the original", "lowest", "largest change"), rows)
    opened = (
        'babelweave, transformers, sentence-transformers (`model_kwargs={"dtype": "float32"}` for speed)'
        if to == "fp16"
        else "babelweave, with onnxruntime; the graph is `onnx/model.onnx`"
    )
    body = (
        f"{source.name} exported to {to} by babelweave {__version__}: {n_bytes / 1e6:.1f} MB, opened by "
        f"{opened}.\n\n{shown}\n\n"
        f"Weights and tokenizer, sha256: `{signature.digest}`, of the original `{source.digest}`."
    )
    head = f"# {signature.name}\n" if card is None else card.rstrip() + "\n"
    return f"{head}\n{section(f'Export: {to}', body)}"


def without_folders(text: str) -> str:
    """Paths that begin at a root, a home or a parent folder, cut to their last part; URLs stay."""
    return _FOLDERS.sub(lambda found: found[1], text)


def table(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(
        f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in line)} |" for line in lines
    )


def section(title: str, body: str) -> str:
    return f"## {title}\n\n{body}\n" if body else ""


def _header(card: Card) -> str:
    """YAML; every JSON string is one of its scalars."""
    values: dict[str, str | Sequence[str]] = {
        "language": card.languages,
        "license": card.licence,
        "library_name": card.library,
        "pipeline_tag": card.task,
        "base_model": without_folders(card.base_model),
        "datasets": list(dict.fromkeys(data.title for data in card.data)),
        "tags": card.tags,
    }
    return "\n".join(["---", *_yaml(values), "---", ""])


def _yaml(values: Mapping[str, str | Sequence[str]]) -> Iterator[str]:
    for key, value in values.items():
        if isinstance(value, str):
            if value:
                yield f"{key}: {_scalar(value)}"
        elif value:
            yield f"{key}:"
            yield from (f"- {_scalar(item)}" for item in value)


def _scalar(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


def _use(card: Card, weights: str) -> str:
    options, note = "", ""
    if weights != "float32":
        options = ', model_kwargs={"dtype": "float32"}'
        note = (
            f"\n\nThe weights are stored in {weights}. babelweave computes in float32; sentence-transformers "
            f"does where it is asked to as above, and else in {weights}, which is slow on a CPU."
        )
    return (
        f"```bash\nbabelweave encode COLLECTION --encoder {card.name} --out STORE\n```\n\n"
        "```python\nfrom sentence_transformers import SentenceTransformer\n\n"
        f'model = SentenceTransformer("{card.name}"{options})\n'
        'questions = model.encode_query(["a question"])\n'
        'passages = model.encode_document(["a passage"])\n'
        f"scores = model.similarity(questions, passages)\n```{note}"
    )


def _facts(card: Card, signature: EncoderSignature, weights: str) -> list[tuple[str, Any]]:
    shown = "dot product of unit vectors" if signature.normalised else signature.similarity
    return [
        *begin_facts(card),
        ("dimensions", signature.dimension),
        ("pooling", signature.pooling),
        ("compared by", shown),
        ("tokens read of a question", signature.max_tokens_query),
        ("tokens read of a passage", signature.max_tokens_passage),
        ("prompt of a question", f"`{signature.prompt_query}`" if signature.prompt_query else "none"),
        ("prompt of a passage", f"`{signature.prompt_passage}`" if signature.prompt_passage else "none"),
        ("weights", weights),
    ]


def begin_facts(card: Card) -> list[tuple[str, Any]]:
    """The rows that every model has of what it is."""
    return [
        ("begun from", without_folders(card.base_model) or "random weights"),
        ("languages", _languages(card.languages)),
    ]


def _languages(codes: Sequence[str]) -> str:
    return ", ".join(f"{english_name(code)} ({code})" for code in codes)


def _data(data: Sequence[TrainingData]) -> str:
    if not data:
        return ""
    rows = [
        (d.title, d.use, f"{d.n_examples:,}", " ".join(d.languages), d.licence, d.attribution) for d in data
    ]
    return table(("data", "used for", "examples", "languages", "licence", "by"), rows)


def _results(results: Sequence[Result]) -> str:
    if not results:
        return ""
    measures = list(dict.fromkeys(name for result in results for name in result.figures))
    rows = [
        (
            result.benchmark,
            *(f"{100 * result.figures[m]:.1f}" if m in result.figures else "" for m in measures),
            result.n_queries,
        )
        for result in results
    ]
    commands = dict.fromkeys((without_folders(r.command), r.commit) for r in results)
    listed = "\n".join(f"{command}  # babelweave {commit}" for command, commit in commands)
    shown = table(("", *measures, "questions"), rows)
    return f"In percent.\n\n{shown}\n\n```bash\n{listed}\n```"


def _provenance(card: Card, digest: str, commit: str | None) -> str:
    at = f" (commit {commit})" if commit else ""
    rows = [
        ("weights and tokenizer, sha256", f"`{digest}`"),
        *([("recipe, sha256", f"`{card.recipe_digest}`")] if card.recipe_digest else []),
        *([("made with", f"`{without_folders(card.command)}`")] if card.command else []),
        ("saved by", f"babelweave {__version__}{at}"),
    ]
    recipe = f"\n\n```toml\n{without_folders(card.recipe).strip()}\n```" if card.recipe else ""
    return table(("", ""), rows) + recipe
