"""`kind = "generator"`: an encoder-decoder that learns to write questions, on transformers' trainer.

    read     passages with questions, and the dev examples among them
    begin    a published model, or a new one with a vocabulary of the texts read
    train    a prompt that names the question's language, and the passage, against the question

Training and generation make their prompts with the same code, and the saved folder knows its own.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from datasets import Dataset
from pydantic import AfterValidator, Field, PositiveInt
from transformers import Seq2SeqTrainingArguments

from babelweave.artifact import digest_texts
from babelweave.errors import UsageError
from babelweave.generate.models import open_model, read_config
from babelweave.generate.prompts import REFERENCE, Prompt
from babelweave.generate.settings import Settings
from babelweave.generate.tokens import PromptTokenizer
from babelweave.recipe import Progress, Recipe, Trained, TrainingPlan, dump_recipe
from babelweave.records import Passage
from babelweave.train.batches import LENGTH, batch_arguments, count_batches
from babelweave.train.card import Card, without_folders
from babelweave.train.folder import TrainingFolder, is_first_process
from babelweave.train.generator_data import (
    GeneratorData,
    GeneratorDev,
    Split,
    read_split,
    texts_by_language,
    training_data,
)
from babelweave.train.generator_model import GeneratorModel, base_folder, make_new
from babelweave.train.generator_saved import LIBRARY, TAGS, TASK, write_generator, write_generator_card
from babelweave.train.generator_trainer import (
    Collator,
    GeneratorBatches,
    GeneratorTrainer,
    grouped,
    open_dev,
    tokenise,
)
from babelweave.train.run import run_trainer, seeded
from babelweave.train.sections import CardText
from babelweave.train.settings import Checked, Optimisation
from babelweave.train.trainers import arguments
from babelweave.weights import model_digest

logger = logging.getLogger(__name__)

_CHARACTERS_PER_TOKEN = 3.5
"""Of a rough estimate, before there is a vocabulary to count with."""


def _template(text: str) -> str:
    try:
        return Prompt(text, frozenset({"text"})).template
    except UsageError as error:
        raise ValueError(str(error)) from None


class PromptSection(Checked):
    """What the model reads around a passage, in training, in dev and ever after."""

    template: Annotated[str, AfterValidator(_template)] = REFERENCE
    """With {language}, {title} and {text}; mBART, which is told the language by a token, needs no {language}.
    That of the published xQG generators by default."""


class Lengths(Checked):
    """Tokens, special tokens included. Passages are cut to fit, questions at their end; both are counted."""

    max_tokens_input: PositiveInt = 128
    """Of prompt and passage in training."""
    max_tokens_target: PositiveInt = 64
    """Of a question, in training and when it is used."""
    generate_tokens_input: PositiveInt | None = None
    """Of prompt and passage when it is used; `max_tokens_input` by default."""


class GeneratorLoss(Checked):
    """Cross entropy of the question's tokens, a mean over all tokens of a step."""

    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Part of the probability that is spread over the whole vocabulary; dev figures are without."""


class GeneratorCardText(CardText):
    """What the model card says beside what the run knows."""

    intended_use: str = (
        "Questions that a passage answers, to be woven into its vector or trained on; people should not read "
        "them unchecked."
    )
    """What it is for, a paragraph."""


class QueryGenerator(Recipe):
    """A recipe of a query generator."""

    kind: Literal["generator"]
    model: GeneratorModel
    data: GeneratorData
    prompt: PromptSection = PromptSection()
    lengths: Lengths = Lengths()
    loss: GeneratorLoss = GeneratorLoss()
    batches: GeneratorBatches = GeneratorBatches()
    optimisation: Optimisation
    dev: GeneratorDev | None = None
    card: GeneratorCardText = GeneratorCardText()

    def settings(self) -> dict[str, Any]:
        """As `Recipe.settings`; the words of the card decide nothing."""
        return {key: value for key, value in super().settings().items() if not key.startswith("card.")}

    def plan(self) -> TrainingPlan:
        """Read the data; nothing is written. Of a new vocabulary tokens are estimated from characters."""
        split = read_split(self.data, self.dev)
        o = self.optimisation
        sets = grouped(split.sets, self.batches.weights)
        if self.model.base is not None:
            folder = base_folder(self.model.base, self.model.revision)
            text = self._open_text(folder, split)
            n_read = self.lengths.max_tokens_target
            data = {name: tokenise(items, text, n_read).data for name, items in sets.items()}
        else:
            data = {name: self._estimated(items) for name, items in sets.items()}
        counts = count_batches(self.batches.of_texts(), _one_or_all(data), o.batch_size, o.seed)
        n_steps = o.n_steps(counts["batches"])
        mean = sum(sum(rows[LENGTH]) for rows in data.values()) / counts["examples"]
        return TrainingPlan(
            counts["examples"], n_steps, round(n_steps * o.batch_size * o.gradient_accumulation * mean)
        )

    def train(self, folder: Path, *, overwrite: bool = False, progress: Progress | None = None) -> Trained:
        """Train and save in transformers' layout; see `Recipe.train`."""
        split = read_split(self.data, self.dev)
        inputs = split.digests()
        base = None
        if self.model.base is not None:
            base = base_folder(self.model.base, self.model.revision)
            self._check_precision(read_config(base).model_type)
            inputs["base"] = model_digest(base)
        elif self.model.new is not None:
            self._check_precision(self.model.new.family)
        run = TrainingFolder(folder, self, inputs, overwrite=overwrite)
        ready = self._prepare(split, base or self._begin(split, run.checkpoints / "start"))
        o = self.optimisation
        with seeded(o.seed):
            trainer = GeneratorTrainer(
                model=ready.model,
                args=arguments(o, run, Seq2SeqTrainingArguments),
                data=ready.data,
                batches=self.batches.of_texts(),
                smoothing=self.loss.label_smoothing,
                data_collator=ready.collator,
            )
            dev = open_dev(ready.dev, ready.collator, o.batch_size) if ready.dev is not None else None
            outcome = run_trainer(trainer, run, o, dev=dev, progress=progress)
        fresh = PromptTokenizer.open(ready.folder, self._settings(split)).tokenizer
        used = self._settings(split, generating=True)
        trained = run.finish(
            lambda path: write_generator(ready.model, fresh, path, used, self.model.weights),
            outcome,
            ready.counts,
        )
        if is_first_process():
            write_generator_card(folder, self._card(folder.resolve().name, split), self.model.weights)
        return trained

    def _check_precision(self, family: str) -> None:
        if self.optimisation.precision == "float16" and family.endswith("t5"):
            raise UsageError(
                f"optimisation.precision float16 overflows in models of the T5 family ({family}); take "
                "bfloat16 or float32"
            )

    def _settings(self, split: Split, *, generating: bool = False) -> Settings:
        lengths = self.lengths
        read = (generating and lengths.generate_tokens_input) or lengths.max_tokens_input
        return Settings(self.prompt.template, split.languages, read, lengths.max_tokens_target)

    def _open_text(self, folder: Path, split: Split) -> PromptTokenizer:
        read_config(folder)
        return PromptTokenizer.open(folder, self._settings(split))

    def _begin(self, split: Split, folder: Path) -> Path:
        """Make the new model in the run's folder, where a killed run finds it again."""
        assert self.model.new is not None
        prompt = Prompt(self.prompt.template, frozenset({"language", "text"}))
        alone = [prompt.fill(Passage("", "", "en"), lang).text for lang in split.languages]
        make_new(self.model.new, texts_by_language(split.sets), alone, folder, self.optimisation.seed)
        return folder

    def _prepare(self, split: Split, folder: Path) -> _Ready:
        text = self._open_text(folder, split)
        import torch

        model = open_model(folder, torch.float32)
        counts = dict(split.counts)
        data = {}
        for name, items in grouped(split.sets, self.batches.weights).items():
            tokens = tokenise(items, text, self.lengths.max_tokens_target)
            data[name] = tokens.data
            told = f"{name}: " if name else ""
            cut = {"inputs cut": tokens.n_cut_inputs, "questions cut": tokens.n_cut_questions}
            counts |= {f"{told}{what}": n for what, n in cut.items()}
            if any(cut.values()):
                logger.warning(
                    "%sof %d examples %d passages are cut to %d tokens with their prompt, %d questions to %d",
                    *(told, len(items), tokens.n_cut_inputs, self.lengths.max_tokens_input),
                    *(tokens.n_cut_questions, self.lengths.max_tokens_target),
                )
        o = self.optimisation
        batch_arguments(self.batches.of_texts(), _one_or_all(data))
        counts |= count_batches(self.batches.of_texts(), _one_or_all(data), o.batch_size, o.seed)
        dev = tokenise(split.dev, text, self.lengths.max_tokens_target).data if split.dev else None
        collator = Collator(text.tokenizer.pad_token_id, model.prepare_decoder_input_ids_from_labels)
        return _Ready(folder, model, data, dev, collator, counts)

    def _estimated(self, items: Any) -> Dataset:
        """Languages and lengths in about as many tokens as a new vocabulary will give."""
        most = self.lengths.max_tokens_input
        prompt = len(self.prompt.template)
        lengths = [
            min(round((len(p.content) + prompt) / _CHARACTERS_PER_TOKEN), most)
            + round(len(q.text) / _CHARACTERS_PER_TOKEN)
            for p, q in items
        ]
        return Dataset.from_dict({"lang": [q.lang for _, q in items], LENGTH: lengths})

    def _card(self, name: str, split: Split) -> Card:
        data = training_data(self.data, split.sets)
        titles = ", ".join(part.title for part in data)
        begun = without_folders(self.model.base or "") or "an encoder-decoder with random weights"
        return Card(
            name=name,
            summary=self.card.summary
            or f"A generator of questions for passages: {begun}, trained on {titles}.",
            licence=self.card.licence,
            languages=split.languages,
            data=data,
            intended_use=self.card.intended_use,
            limits=self.card.limits,
            base_model=self.model.base or "",
            recipe=dump_recipe(self),
            recipe_digest=digest_texts(f"{key} {json.dumps(v)}" for key, v in self.settings().items()),
            command=f"babelweave train recipe.toml --out {name}",
            tags=TAGS,
            library=LIBRARY,
            task=TASK,
        )


class _Ready(NamedTuple):
    """Everything a run needs, read and checked."""

    folder: Path
    """Of the model it begins with."""
    model: Any
    data: dict[str, Dataset]
    dev: Dataset | None
    collator: Collator
    counts: dict[str, int]


def _one_or_all(data: dict[str, Dataset]) -> Any:
    return next(iter(data.values())) if list(data) == [""] else data
