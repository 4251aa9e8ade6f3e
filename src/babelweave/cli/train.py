"""`babelweave train`: a recipe to a model."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer

from babelweave.cli.console import DryRun, Json, Live, Out, Overwrite, emit, say


def run(
    recipe: Annotated[str, typer.Argument(help="A TOML file, or the name of a packaged recipe.")],
    out: Out,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", help="section.key=value in TOML, over the recipe's; repeatable."),
    ] = None,
    dry_run: DryRun = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Train a model by a recipe; killed, the same command goes on from the last checkpoint.

    The folder is a sentence-transformers or transformers model with `recipe.toml` (every default resolved)
    and `log.jsonl` (losses, learning rate, examples per second, dev figures) beside it. Relative sources
    of a recipe lie under BABELWEAVE_DATA, or under --set data.root=FOLDER.

    \b
    Several processes:
      torchrun --nproc-per-node 2 -m babelweave train RECIPE --out model/

    \b
    Example: babelweave train recipe.toml --set optimisation.learning_rate=2e-5 --out model/
    """
    from babelweave.recipe import dump_recipe, load_recipe

    found = load_recipe(recipe, overrides or ())
    if dry_run:
        plan = found.plan()
        resolved = dump_recipe(found)
        say(resolved)
        emit(
            {**plan._asdict(), "recipe": resolved},
            as_json=as_json,
            text=lambda: (
                f"{plan.n_examples:,} examples, {plan.n_steps:,} steps, "
                f"about {plan.n_tokens:,} tokens; writes {out}"
            ),
        )
        return
    trained = found.train(out, overwrite=overwrite, progress=Live())
    if int(os.environ.get("RANK", 0)) > 0:  # torchrun: the first process speaks
        return
    best = "" if trained.best is None else f", best at step {trained.best_step} ({trained.best:.4f} on dev)"
    result: dict[str, Any] = {
        "model": out,
        "steps": trained.n_steps,
        "best_step": trained.best_step,
        "best": trained.best,
        "counts": trained.manifest.counts,
    }
    if trained.manifest.kind == "model":
        text = f"{out}: {trained.n_steps:,} steps{best}"
    else:
        counts = (f"  {what}: {n:,}" for what, n in trained.manifest.counts.items())
        text = "\n".join([f"{out}: {trained.manifest.kind}", *counts])
    emit(result, as_json=as_json, text=lambda: text)
