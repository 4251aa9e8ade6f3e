"""`kind = "retriever"`: a bi-encoder trained by contrast, on sentence-transformers' trainer."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self
from urllib.parse import quote

import numpy as np
from datasets import Dataset
from pydantic import model_validator

from babelweave.artifact import digest_texts
from babelweave.encode.spec import open_encoder
from babelweave.encode.tokens import PaddedReader
from babelweave.encode.transformer import TransformerEncoder
from babelweave.errors import DataError, UsageError
from babelweave.generate.queries import GeneratedQueries
from babelweave.protocols import Perturbation
from babelweave.recipe import Progress, Recipe, Trained, TrainingPlan, data_path, dump_recipe
from babelweave.records import Role
from babelweave.train.adversarial import AdversarialLoss, FollowStep, asks_for_variants, check_together
from babelweave.train.adversaries.spec import AdversarySection, open_entries
from babelweave.train.augmented import (
    GENERATED,
    Extras,
    GeneratedDraw,
    Layout,
    check_per_step,
    read_generated,
)
from babelweave.train.batches import batch_arguments, count_batches
from babelweave.train.card import Card
from babelweave.train.dev import open_dev
from babelweave.train.folder import TrainingFolder, is_first_process
from babelweave.train.groups import GroupCollator, Groups, Redraw, to_datasets
from babelweave.train.lora import add_lora, merge_lora
from babelweave.train.losses import ContrastiveLoss
from babelweave.train.rows import RowPool
from babelweave.train.run import run_trainer, seeded
from babelweave.train.saved import reading, write_card, write_model
from babelweave.train.sections import CardText, Data, DevData, Loss, Model, Negatives, Weaving
from babelweave.train.settings import Batches, Lora, Optimisation
from babelweave.train.sources import digests, read_data, training_data
from babelweave.train.trainers import EncoderTrainer, arguments
from babelweave.train.weaving import Weaver

logger = logging.getLogger(__name__)

_SAMPLE = 1000
"""Texts per role tokenised beforehand, to say how long they are."""


class Retriever(Recipe):
    """A recipe of contrastive training."""

    kind: Literal["retriever"]
    model: Model
    data: Data
    loss: Loss = Loss()
    negatives: Negatives = Negatives()
    weaving: Weaving | None = None
    adversaries: tuple[AdversarySection, ...] = ()
    batches: Batches = Batches()
    optimisation: Optimisation
    lora: Lora | None = None
    dev: DevData | None = None
    card: CardText = CardText()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        check_together(
            open_entries(self.adversaries),
            weaves=self._weaves is not None,
            grad_cache=self.loss.grad_cache is not None,
            generated=self.weaving is not None,
            learns_alpha=self.weaving is not None and self.weaving.learn_alpha,
        )
        return self

    @property
    def _weaves(self) -> Weaving | None:
        """The section, where passages are woven at any step."""
        return None if self.weaving is None or self.weaving.is_plain else self.weaving

    def plan(self) -> TrainingPlan:
        """Read the data and open the base model; nothing is written."""
        ready = self._prepare()
        n_steps = self.optimisation.n_steps(ready.counts["batches"])
        per_step = self.optimisation.batch_size * self.optimisation.gradient_accumulation
        tokens = _tokens_per_example(ready.collator, self.optimisation.batch_size, self.optimisation.seed)
        return TrainingPlan(ready.counts["examples"], n_steps, round(n_steps * per_step * tokens))

    def train(self, folder: Path, *, overwrite: bool = False, progress: Progress | None = None) -> Trained:
        """Train and save in the layout every tool of the field opens; see `Recipe.train`."""
        ready = self._prepare()
        encoder = ready.encoder
        dev = open_dev(self.dev, self.data.root, encoder) if self.dev else None
        inputs = {"base": encoder.signature.digest, **digests(ready.pool), **ready.inputs}
        run = TrainingFolder(folder, self, inputs, overwrite=overwrite)
        with seeded(self.optimisation.seed):
            if self.lora is not None:
                encoder.model[0].model = add_lora(encoder.model[0].model, self.lora)
            contrastive = self._contrastive(encoder)
            loss = self._loss(contrastive, ready)
            trainer = EncoderTrainer(
                model=encoder.model,
                args=arguments(self.optimisation, run, **batch_arguments(self.batches, ready.data)),
                train_dataset=ready.data,
                loss=loss,
                data_collator=ready.collator,
                callbacks=[Redraw(ready.collator.groups), FollowStep(loss)],
            )
            outcome = run_trainer(trainer, run, self.optimisation, dev=dev, progress=progress)
        logger.info(
            "%d of %d wrong candidates were left out as possible answers",
            contrastive.n_masked,
            contrastive.n_candidates,
        )
        encoder.model[0].model = merge_lora(encoder.model[0].model)
        model, reads = encoder.model, reading(encoder.signature)
        trained = run.finish(lambda path: write_model(model, path, **reads), outcome, ready.counts)
        if is_first_process():
            write_card(folder, self._card(folder.resolve().name, encoder.signature.name, ready.pool))
        return trained

    def settings(self) -> dict[str, Any]:
        """As `Recipe.settings`; the words of the card decide nothing, nor does a list without adversaries."""
        decisive = {k: v for k, v in super().settings().items() if not k.startswith("card.")}
        return {key: value for key, value in decisive.items() if key != "adversaries" or value}

    def _prepare(self) -> _Ready:
        pool = read_data(self.data)
        counts = {f"{name}: {what}": n for name, c in pool.counts.items() for what, n in c.items()}
        counts |= _settle_shortages(pool, self.negatives)
        encoder = open_base(self.model, self.loss)
        counts |= _count_truncated(pool, encoder)
        groups = Groups(pool, self.negatives, self.optimisation.seed)
        extras, found, inputs = self._extras(pool)
        counts |= found
        sets = to_datasets(pool)
        data = next(iter(sets.values())) if len(sets) == 1 else sets
        counts |= count_batches(self.batches, data, self.optimisation.batch_size, self.optimisation.seed)
        return _Ready(pool, encoder, data, GroupCollator(groups, encoder.readers, extras), counts, inputs)

    def _extras(self, pool: RowPool) -> tuple[Extras | None, dict[str, int], dict[str, str]]:
        """What batches hold beside their groups, what was counted, and digests of what was read; nothing
        where training is plain."""
        asking: list[Any] = [
            e.adversary for e in open_entries(self.adversaries) if asks_for_variants(e.adversary)
        ]
        takes_queries = any(adversary.variants == GENERATED for adversary in asking)
        if not (self._weaves or open_entries(self.adversaries)):
            return None, {}, {}
        queries, draw, n_woven = None, None, 0
        counts: dict[str, int] = {}
        inputs: dict[str, str] = {}
        if self.weaving is not None and (self._weaves or takes_queries):
            generated = GeneratedQueries.open(data_path(self.weaving.generated, self.data.root))
            languages = generated.check_languages(self.weaving.languages or generated.languages)
            check_per_step(self.weaving, languages)
            queries, counts = read_generated(generated, self.weaving, pool)
            inputs["generated"] = generated.digest
            if self._weaves:
                draw = GeneratedDraw(queries, self.weaving, languages, self.optimisation.seed)
                n_woven = 1 + self.negatives.per_question * self.weaving.negatives
        layout = Layout(
            n_passages=1 + self.negatives.per_question,
            n_woven=n_woven,
            per_passage=self.weaving.per_step if self.weaving and n_woven else 0,
            variants=tuple(adversary.n for adversary in asking),
        )
        sources = [adversary.source() for adversary in asking]
        for number, source in enumerate(sources, 1):
            if source.perturbation is not None:
                inputs[f"variants_{number}"] = digest_texts([json.dumps(dict(source.perturbation.signature))])
                counts |= _count_unclaimed(pool, source.perturbation)
        seed = self.optimisation.seed
        extras = Extras(pool, layout, generated=draw, sources=sources, queries=queries, seed=seed)
        return extras, counts, inputs

    def _loss(self, contrastive: ContrastiveLoss, ready: _Ready) -> ContrastiveLoss | AdversarialLoss:
        """The contrastive loss itself where training is plain: weight 0 is then equal to the bit."""
        extras = ready.collator.extras
        if extras is None:
            return contrastive
        return AdversarialLoss(
            contrastive,
            extras.layout,
            open_entries(self.adversaries),
            _weaver(self._weaves) if self._weaves else None,
            languages=extras.languages,
            generated=extras.generated.languages if extras.generated else (),
            dimension=ready.encoder.signature.dimension,
            seed=self.optimisation.seed,
        )

    def _contrastive(self, encoder: TransformerEncoder) -> ContrastiveLoss:
        return ContrastiveLoss(
            encoder.model,
            scale=self.loss.factor,
            similarity=self.loss.similarity,
            symmetric=self.loss.symmetric,
            mask_known=self.loss.mask_known,
            mask_margin=self.loss.mask_margin,
            mini_batch_size=self.loss.grad_cache,
            gather=self.loss.gather,
        )

    def _card(self, name: str, base: str, pool: RowPool) -> Card:
        data = training_data(self.data, pool)
        titles = ", ".join(part.title for part in data)
        summary = f"A bi-encoder for questions and passages: {base}, trained by contrast on {titles}."
        return Card(
            name=name,
            summary=self.card.summary or summary,
            licence=self.card.licence,
            languages=pool.languages,
            data=data,
            intended_use=self.card.intended_use,
            limits=self.card.limits,
            base_model=self.model.base,
            recipe=dump_recipe(self),
            recipe_digest=digest_texts(f"{key} {json.dumps(v)}" for key, v in self.settings().items()),
            command=f"babelweave train recipe.toml --out {name}",
        )


class _Ready(NamedTuple):
    """Everything a run needs, read and checked."""

    pool: RowPool
    encoder: TransformerEncoder
    data: Dataset | Mapping[str, Dataset]
    collator: GroupCollator
    counts: dict[str, int]
    inputs: dict[str, str]
    """What was read beside the pool, name -> digest."""


def _weaver(settings: Weaving) -> Weaver:
    return Weaver(
        settings.open_at,
        alpha=settings.alpha,
        alpha_end=settings.alpha_end,
        alpha_steps=settings.alpha_steps,
        learn=settings.learn_alpha,
    )


def open_base(model: Model, loss: Loss) -> TransformerEncoder:
    """The base as an encoder that reads, pools and prompts as the recipe says; its `model` is to be trained.

    Raises:
        DataError: no encoder there.
        UsageError: more tokens than the base has positions for, or no weights to train.
    """
    given = {**model.model_dump(exclude={"base"}), "similarity": loss.similarity}
    options = [f"{key}={quote(str(value), safe='')}" for key, value in given.items() if value is not None]
    encoder = open_encoder(f"{model.base}?{'&'.join(options)}")
    if not isinstance(encoder, TransformerEncoder):
        raise UsageError(f"model.base {model.base!r} has no weights here to train")
    if not isinstance(encoder.readers["passage"], PaddedReader):
        raise UsageError(f"model.base {model.base!r} is a static embedding; take a transformer")
    return encoder


def _settle_shortages(pool: RowPool, settings: Negatives) -> dict[str, int]:
    """Deal with questions that have fewer negatives than a group takes, and count them by data set.

    Raises:
        DataError: a question has none and the recipe does not say what to do about it, or none is left.
    """
    counts: dict[str, int] = {}
    n = settings.per_question
    if not n:
        return counts
    for name, questions in pool.questions.items():
        without = [q for q in questions if not q.negatives]
        repeated = sum(0 < len(q.negatives) < n for q in questions)
        counts |= {f"{name}: questions with fewer than {n} negatives, repeated": repeated} if repeated else {}
        if not without:
            continue
        if settings.missing == "error":
            raise DataError(
                f"{name}: {len(without)} of {len(questions)} questions have no negative (first: "
                f"{without[0].query.query_id!r}); mine some, or set negatives.missing to drop or random"
            )
        fate = "dropped" if settings.missing == "drop" else "given random passages"
        counts[f"{name}: questions without a negative, {fate}"] = len(without)
        if settings.missing == "drop":
            pool.questions[name] = [q for q in questions if q.negatives]
            if not pool.questions[name]:
                raise DataError(f"{name}: no question has a negative; nothing is left to train on")
    return counts


def _count_truncated(pool: RowPool, encoder: TransformerEncoder) -> dict[str, int]:
    """How many of a sample of texts are longer than the model reads; said where there are any."""
    questions = [q.query.text for listed in pool.questions.values() for q in listed]
    samples: dict[Role, list[str]] = {
        "query": questions[:: max(len(questions) // _SAMPLE, 1)],
        "passage": [p.content for p in pool.passages[:: max(len(pool.passages) // _SAMPLE, 1)]],
    }
    counts: dict[str, int] = {}
    for role, texts in samples.items():
        n_truncated = encoder.readers[role].read(texts).n_truncated
        counts |= {f"{role} texts sampled": len(texts), f"{role} texts sampled, truncated": n_truncated}
        if n_truncated:
            limit = encoder.readers[role].max_tokens
            logger.warning(
                "%d of %d %s texts sampled are cut at %d tokens", n_truncated, len(texts), role, limit
            )
    return counts


def _count_unclaimed(pool: RowPool, perturbation: Perturbation) -> dict[str, int]:
    """Questions that are their own variants, as the perturbation does not know their language."""
    langs = [q.query.lang for listed in pool.questions.values() for q in listed]
    n = sum(lang not in perturbation.languages for lang in langs)
    name = perturbation.signature["name"]
    return {f"variants: questions in languages {name} does not claim": n} if n else {}


def _tokens_per_example(collator: GroupCollator, batch_size: int, seed: int) -> float:
    """Padded tokens of all columns, a mean over a few batches drawn at random."""
    n_rows = len(collator.groups.questions)
    rng = np.random.default_rng(seed)
    size = min(batch_size, n_rows, 64)
    totals = []
    for _ in range(4):
        batch = collator([{"row": row} for row in rng.choice(n_rows, size, replace=False).tolist()])
        totals.append(sum(v.numel() for name, v in batch.items() if name.endswith("_input_ids")) / size)
    return float(np.mean(totals))
