"""Write docs/reference/cli.md, catalogue.md, recipes.md and perturbations.md from the program itself.

Run `python docs/generate.py` after changing a verb, an option, a registry row, an error or a section of a
recipe; a test fails while the committed pages differ from what this prints.
"""

from __future__ import annotations

import inspect
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args, get_origin

import typer
from pydantic import BaseModel

from babelweave import errors, registry
from babelweave.cli.main import app
from babelweave.data.prepare import catalogue
from babelweave.evaluate.measures import DEFAULT, KNOWN
from babelweave.evaluate.token_recall import LIMITS
from babelweave.shift.spec import open_perturbation
from babelweave.study.recipe import Study

REFERENCE = Path(__file__).parent / "reference"
WIDTH = 100
QUESTIONS = Path(__file__).parent / "questions.tsv"
PLURALS = {
    "adversary": "adversaries",
    "index": "indexes",
    "parallel": "parallel texts",
    "relevance": "training questions",
}
NOTE = "<!-- Written by docs/generate.py; do not edit. -->\n"


def commands(command: Any, path: tuple[str, ...] = ("babelweave",)) -> Iterator[tuple[tuple[str, ...], Any]]:
    """(words, command) of a command and all below it, in the order of the help."""
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, (*path, name))


def cli_page() -> str:
    """The help of every verb."""
    parts = [
        NOTE,
        "# Command line\n",
        "Results go to standard output, everything else to standard error. `--json` prints the result as "
        "one JSON value. A SPEC is a name, a folder or a Hub id with options: `minilm?precision=float32`. "
        "Exit codes are in [the catalogue](catalogue.md#errors-and-exit-codes).\n",
    ]
    for path, command in commands(typer.main.get_command(app)):
        context = typer.Context(
            command, info_name=" ".join(path), terminal_width=WIDTH, max_content_width=WIDTH
        )
        text = "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
        parts += [f"## {' '.join(path)}\n", f"```text\n{text}\n```\n"]
    return "\n".join(parts)


def catalogue_page() -> str:
    """Every registered part, the measures, and the error tree."""
    parts = [
        NOTE,
        "# Catalogue\n",
        'A part with an extra needs `pip install "babelweave[EXTRA]"`; the others come with babelweave.\n',
    ]
    for kind in registry.TABLE:
        parts.append(f"## {PLURALS.get(kind, f'{kind}s').capitalize()}\n")
        parts.append(_datasets() if kind == "dataset" else _rows(kind))
    limits = ", ".join(f"{name} (the first {limit} tokens)" for name, limit in LIMITS.items())
    parts += [
        "## Measures\n",
        f"Default: {', '.join(DEFAULT)}. Known by name: {', '.join(KNOWN)}; any measure of ir_measures that "
        "trec_eval, MS MARCO's scorer or Judged@k computes works, with any cutoff.\n",
        f"Where questions have answers: {limits}.\n",
        "## Errors and exit codes\n",
        "0 done, 2 also for what the command line itself refuses, 130 interrupted (Ctrl-C).\n",
        f"```text\n{inspect.cleandoc(errors.__doc__ or '')}\n```\n",
    ]
    return "\n".join(parts)


def _rows(kind: str) -> str:
    rows = [(f"`{name}`", entry.help, entry.extra or "") for name, entry in registry.TABLE[kind].items()]
    return _table(("name", "what it is", "extra"), sorted(rows))


def _datasets() -> str:
    rows = []
    for row in catalogue():
        options = " ".join(f"`{option}`" for option in row["options"].split())
        what = f"{row['help']}. Source: {row['source']}"
        rows.append((f"`{row['name']}`", what, row["languages"], options, row["licence"], row["extra"]))
    return _table(("name", "what it is", "languages", "options", "licence", "extra"), rows)


Section = type[BaseModel]


def recipes_page() -> str:
    """Every section of every kind of recipe, those that kinds share once."""
    kinds: dict[str, Section] = {name: registry.load("training", name) for name in registry.TABLE["training"]}
    used = Counter(section for model in kinds.values() for section in set(dict(_sections(model)).values()))
    common = {section for section, n in used.items() if n > 1}
    parts = [
        NOTE,
        "# Recipes\n",
        'A recipe is a TOML file for `babelweave train`, or of kind "study" for `babelweave study`. Unknown '
        "keys and contradictions are refused, all at once. `--set section.key=value` changes one value, "
        "`--dry-run` prints the recipe with every default resolved, and a trained folder keeps that as "
        "`recipe.toml`. Relative paths begin at `BABELWEAVE_DATA`, or at `--set data.root=FOLDER`, of a "
        "study `--set root=FOLDER`.\n",
        "## Sections that kinds share\n",
    ]
    written: set[Section] = set()
    for model in kinds.values():
        for head, section in _sections(model):
            if section in common and section not in written:
                parts += _section(head, section)
                written.add(section)
    for kind, model in sorted(kinds.items()):
        entry = registry.entry("training", kind)
        shared = sorted({head for head, section in _sections(model) if section in common})
        beside = f" Beside these: {', '.join(f'`{head}`' for head in shared)}." if shared else ""
        parts += [f'## `kind = "{kind}"`\n', f"{entry.help[0].upper()}{entry.help[1:]}.{beside}\n"]
        for head, section in _sections(model):
            parts += _section(head, section) if section not in common else []
            parts += [_options()] if head == "[[adversaries]]" else []
    parts += [
        '## `kind = "study"`\n',
        "Many models, woven in many ways, measured under many shifts, by `babelweave study`. `--profile` "
        "chooses one of `[profiles.NAME]`. A `train` is a table of the sections of "
        '`kind = "retriever"`.\n',
        *_section("study", Study),
    ]
    told: set[Section] = {section for model in kinds.values() for _, section in _sections(model)}
    for head, section in _sections(Study):
        parts += _section(head, section) if section not in told else []
        told.add(section)
    return "\n".join(parts)


def _options() -> str:
    """The options of every adversary, from their docstrings."""
    rows = []
    for name in registry.names("adversary"):
        made = registry.load("adversary", name)
        texts = _arguments(inspect.getdoc(made) or "")
        rows += [
            (f"`{name}`", f"`{field.name}`", _value(field.default), texts[field.name])
            for field in fields(made)
        ]
    return _table(("adversary", "option", "default", "what it is"), rows)


def _arguments(doc: str) -> dict[str, str]:
    """Argument -> its text, of the `Args` of a docstring."""
    found: dict[str, str] = {}
    listed = doc.partition("\nArgs:\n")[2].partition("\nRaises:")[0]
    for line in listed.splitlines():
        name, colon, text = line.strip().partition(": ")
        if line.startswith("    ") and not line.startswith("     ") and colon:
            found[name] = text
        elif found:
            last = next(reversed(found))
            found[last] += f" {line.strip()}"
    return found


def _sections(model: Section, path: str = "") -> Iterator[tuple[str, Section]]:
    """(`[head]` or `[[head]]`, model) of the sections of a recipe, outer ones first."""
    for name, field in model.model_fields.items():
        for section, repeated in _models(field.annotation):
            inner = f"{path}{name}"
            yield (f"[[{inner}]]" if repeated else f"[{inner}]"), section
            yield from _sections(section, f"{inner}.")


def _models(annotation: Any, repeated: bool = False) -> Iterator[tuple[Section, bool]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation, repeated
    for argument in get_args(annotation):
        yield from _models(argument, repeated or get_origin(annotation) is tuple)


def _section(head: str, model: Section) -> list[str]:
    schema = model.model_json_schema()
    rows = []
    for key, field in schema["properties"].items():
        if not any(_models(model.model_fields[key].annotation)):
            default = "required" if key in schema.get("required", ()) else _value(field.get("default"))
            rows.append((f"`{key}`", _type(field), default, " ".join(field.get("description", "").split())))
    table = [_table(("key", "value", "default", "what it is"), rows)] if rows else []
    return [f"### `{head}`\n", inspect.cleandoc(model.__doc__ or "") + "\n", *table]


def _value(default: Any) -> str:
    return "" if default in (None, {}, [], ()) else f"`{json.dumps(default, ensure_ascii=False)}`"


def _type(schema: Mapping[str, Any]) -> str:
    """What may be written, from a JSON schema."""
    if "anyOf" in schema:
        return " or ".join(_type(option) for option in schema["anyOf"] if option.get("type") != "null")
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{json.dumps(value)}`" for value in schema.get("enum", [schema.get("const")]))
    if schema["type"] == "array":
        return f"list of {_type(schema['items'])}" if "items" in schema else "list"
    if schema["type"] == "object" and schema.get("additionalProperties") is True:
        return "table"
    if schema["type"] == "object":
        return f"table of {_type(schema['additionalProperties'])}"
    name = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false"}
    bounds = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "to", "exclusiveMaximum": "below"}
    limits = [f"{word} {schema[key]:g}" for key, word in bounds.items() if key in schema]
    return " ".join([name[schema["type"]], *limits])


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    escaped = ([cell.replace("|", "\\|") for cell in line] for line in lines)
    return "".join(f"| {' | '.join(cells)} |\n" for cells in escaped)


def perturbations_page() -> str:
    """Every perturbation, and three questions of each language it claims, perturbed more and more."""
    questions: dict[str, list[str]] = {}
    for line in QUESTIONS.read_text(encoding="utf-8").splitlines():
        lang, question = line.split("\t")
        questions.setdefault(lang, []).append(question)
    parts = [
        NOTE,
        "# Perturbations\n",
        "What they make of the questions of [questions.tsv](../questions.tsv), with seed 0; three for each "
        "language claimed. How to use them: [shift questions](../how-to/shift-questions.md).\n",
    ]
    for name, entry in sorted(registry.TABLE["perturbation"].items()):
        spec = f"{name}?to=en,de" if name == "code_switch" else name
        perturbation = open_perturbation(spec)
        rows = [
            (lang, question, str(severity), perturbation.perturb(question, lang, severity, 0))
            for lang in sorted(perturbation.languages & questions.keys())
            for question, severity in zip(questions[lang], (1, 3, 5), strict=False)
        ]
        made = registry.load("perturbation", name)
        parts += [
            f"## `{name}`\n",
            f"{entry.help[0].upper()}{entry.help[1:]}.\n",
            f"```text\n{inspect.cleandoc(made.__doc__ or '')}\n```\n",
            _table(("language", "question", "severity", "perturbed"), rows),
        ]
    return "\n".join(parts)


PAGES = {
    "cli.md": cli_page,
    "catalogue.md": catalogue_page,
    "recipes.md": recipes_page,
    "perturbations.md": perturbations_page,
}


def main() -> None:
    for name, page in PAGES.items():
        (REFERENCE / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
