"""`kind = "distil"`: an English encoder taught other languages, with a vocabulary for them.

    read     parallel text and training questions
    start    a vocabulary over all languages under the teacher's body, rows from word alignment
    teach    the teacher's vectors of every English text of the data, kept as a vector store
    train    texts of every language against the vector of their English; questions against passages
    whiten   in part, where the recipe asks for it

What `start` and `teach` make is kept in the run's folder until it is done, so a killed run goes on behind it.
"""

from __future__ import annotations

import json
import logging
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from datasets import Dataset
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from torch import nn

from babelweave import registry
from babelweave.artifact import digest_texts, read_json, write_text
from babelweave.encode.spec import open_encoder
from babelweave.encode.store import VectorStore
from babelweave.encode.transformer import TransformerEncoder
from babelweave.errors import DataError
from babelweave.recipe import Progress, Recipe, Trained, TrainingPlan, dump_recipe
from babelweave.train.batches import batch_arguments, count_batches
from babelweave.train.card import Card, TrainingData, declared
from babelweave.train.dev import open_dev
from babelweave.train.distil_data import (
    Corpus,
    DistilData,
    Example,
    Form,
    switch,
    texts_by_language,
    translations,
)
from babelweave.train.folder import Outcome, TrainingFolder, is_first_process
from babelweave.train.run import run_trainer, seeded
from babelweave.train.saved import Weights, write_card, write_model
from babelweave.train.sections import CardText, DevData
from babelweave.train.settings import Batches, Checked, Optimisation
from babelweave.train.student import make_student, student_model, student_words, teacher_rows
from babelweave.train.teacher import NO_TWIN, TeacherLoss, teach
from babelweave.train.trainers import EncoderTrainer, arguments
from babelweave.train.vocabulary import Vocabulary
from babelweave.train.whitening import Whitening, append_whitening, fit_whitening, remove_whitening

logger = logging.getLogger(__name__)

_PLACES = ("teacher.vectors", "student.start", "student.base")
_CHARACTERS_PER_TOKEN = 3.5
"""Of a rough estimate, before there is a vocabulary to count with."""
Examples = Mapping[str, list[Example]]
_USE: dict[Form, str] = {
    "translations": "texts against the teacher's vector of their English",
    "passages": "joined sentences against the teacher's vector of their English",
    "english": "English against the teacher's own vector",
    "switched": "questions with words in other languages against the teacher's vector of the question",
    "relevance": "questions against the passages that answer them",
}


class Teacher(Checked):
    """The English encoder that is learned from; its body is what the student begins with."""

    model: str = "minilm"
    """SPEC of an encoder of BERT's family (WordPiece, mean pooling)."""
    max_tokens: PositiveInt = 160
    """It reads of a text; more only cost time where the student reads fewer."""
    vectors: str | None = None
    """Where its vectors are kept, so that several runs share them; in the run's folder by default."""


class StudentModel(Checked):
    """What the student reads."""

    max_tokens: PositiveInt = 256
    """It states, and reads of a text when it is used."""
    train_tokens: PositiveInt = 128
    """It reads of a text in training."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """0: the targets are vectors, of which there is no end of examples."""
    freeze_teacher_rows: bool = True
    """Keep the word embeddings that are the teacher's own: English is not unlearned through them."""
    weights: Weights = "float16"
    """How the trained model is stored."""
    base: str | None = None
    """A model folder that this kind of training made with the same vocabulary, to go on from; its whitening
    is undone first. With `optimisation.max_steps` = 0 it is only whitened anew."""
    start: str | None = None
    """Where the student is kept as it begins, so that several runs share it; as `teacher.vectors`."""


class DistilLoss(Checked):
    """`teacher.TeacherLoss`, and contrast over the passages of a batch for `relevance`."""

    mse_weight: NonNegativeFloat = 5.0
    score_weight: NonNegativeFloat = 1.0
    scale: PositiveFloat = 20.0
    """Factor of the cosine (sentence-transformers)."""
    n_candidates: NonNegativeInt = 4096


class Distil(Recipe):
    """A recipe of distillation across languages."""

    kind: Literal["distil"]
    teacher: Teacher = Teacher()
    student: StudentModel = StudentModel()
    vocabulary: Vocabulary
    data: DistilData
    loss: DistilLoss = DistilLoss()
    batches: Batches = Batches(group_by_length=True)
    optimisation: Optimisation
    whitening: Whitening = Whitening()
    dev: DevData | None = None
    card: CardText = CardText()

    def settings(self) -> dict[str, Any]:
        """As of every recipe; where things are kept decides nothing."""
        kept = super().settings()
        kept = {key: value for key, value in kept.items() if not key.startswith("card.")}
        return {key: kept[key] for key in kept if key not in _PLACES}

    def plan(self) -> TrainingPlan:
        """Read the data; nothing is written. Tokens are estimated from characters."""
        sets = _read(Corpus(self.data), self.data)
        o = self.optimisation
        texts = {name: Dataset.from_dict({"text": [e.text for e in part]}) for name, part in sets.items()}
        counts = count_batches(self.batches, texts, o.batch_size, o.seed)
        n_steps = o.n_steps(counts["batches"])
        n_texts = sum(map(len, sets.values()))
        cut = self.student.train_tokens * _CHARACTERS_PER_TOKEN
        n_characters = sum(min(len(e.text), cut) for part in sets.values() for e in part)
        per_example = n_characters / n_texts / _CHARACTERS_PER_TOKEN
        return TrainingPlan(
            n_texts, n_steps, round(n_steps * o.batch_size * o.gradient_accumulation * per_example)
        )

    def train(self, folder: Path, *, overwrite: bool = False, progress: Progress | None = None) -> Trained:
        """Train and save; see `Recipe.train`."""
        corpus = Corpus(self.data)
        sets = _read(corpus, self.data)
        inputs = {name: _digest(examples) for name, examples in sets.items()}
        teacher = self._open_teacher()
        inputs["teacher"] = teacher.signature.digest
        if self.student.base is not None:
            inputs["base"] = open_encoder(self.student.base).signature.digest
        run = TrainingFolder(folder, self, inputs, overwrite=overwrite)
        if self.student.base is not None and self.optimisation.max_steps == 0:
            student = self._open_student(Path(self.student.base))
            outcome, counts = Outcome(0, None, None), dict(corpus.counts)
        else:
            ready = self._prepare(corpus, sets, teacher, run)
            student = self._open_student(self._weights(ready.start))
            batches = count_batches(self.batches, ready.data, self.optimisation.batch_size, 0)
            counts = {**corpus.counts, **batches}
            outcome = self._fit(student, sets, ready, run, progress)
        if self.whitening.strength:
            self._whiten(student, sets)
        student.model[0].tokenizer.model_max_length = self.student.max_tokens
        trained = run.finish(lambda path: _save(student.model, path, self.student.weights), outcome, counts)
        if is_first_process():
            write_card(folder, self.model_card(folder.resolve().name, corpus))
        return trained

    def _open_student(self, weights: Path) -> TransformerEncoder:
        n = self.student.train_tokens
        student = TransformerEncoder(str(weights), normalise=True, max_tokens_query=n, max_tokens_passage=n)
        remove_whitening(student.model)
        return student

    def _fit(
        self,
        student: TransformerEncoder,
        sets: Examples,
        ready: _Ready,
        run: TrainingFolder,
        progress: Progress | None,
    ) -> Outcome:
        dev = open_dev(self.dev, self.data.root, student) if self.dev else None
        _set_up(student.model, self.student, teacher_rows(ready.start))
        with seeded(self.optimisation.seed):
            trainer = EncoderTrainer(
                model=student.model,
                args=arguments(self.optimisation, run, **batch_arguments(self.batches, ready.data)),
                train_dataset=dict(ready.data),
                loss=self._losses(student.model, sets, ready.vectors),
            )
            return run_trainer(trainer, run, self.optimisation, dev=dev, progress=progress)

    def _whiten(self, student: TransformerEncoder, sets: Examples) -> None:
        """By texts of the translations, their English and the other sets; as many as there are, at most."""
        texts = sorted({t for part in sets.values() for e in part for t in (e.text, e.english) if t})
        n = min(self.whitening.n_texts, len(texts))
        drawn = random.Random(self.optimisation.seed).sample(texts, n)
        logger.info("whitening by %d of %d texts", n, len(texts))
        vectors = student.encode(drawn, "query").vectors
        affine = fit_whitening(vectors, self.whitening.strength, self.whitening.shrinkage)
        append_whitening(student.model, affine)

    def model_card(self, name: str, corpus: Corpus | None = None) -> Card:
        """What its README.md says; `corpus` is read again where none is given."""
        if corpus is None:
            corpus = Corpus(self.data)
            _read(corpus, self.data)
        return Card(
            name=name,
            summary=self.card.summary
            or f"{self.teacher.model}, taught {len(self.vocabulary.languages)} more languages.",
            licence=self.card.licence,
            languages=("en", *self.vocabulary.languages),
            data=tuple(_used(source, form, counts) for (source, form), counts in corpus.used.items()),
            intended_use=self.card.intended_use,
            limits=self.card.limits,
            base_model=self.teacher.model,
            recipe=dump_recipe(self),
            recipe_digest=digest_texts(f"{key} {json.dumps(v)}" for key, v in self.settings().items()),
            command=f"babelweave train recipe.toml --out {name}",
        )

    def _open_teacher(self) -> TransformerEncoder:
        """A fresh one each time: making a student changes it."""
        n = self.teacher.max_tokens
        sign = "&" if "?" in self.teacher.model else "?"
        spec = f"{self.teacher.model}{sign}max_tokens_query={n}&max_tokens_passage={n}"
        encoder = open_encoder(spec)
        if not isinstance(encoder, TransformerEncoder):
            raise DataError(f"teacher.model {self.teacher.model!r}: its weights are not here to begin with")
        return encoder

    def _weights(self, start: Path) -> Path:
        """Where the student's weights begin.

        Raises:
            DataError: `student.base` has another vocabulary than the student made here.
        """
        made = student_model(start)
        if self.student.base is None:
            return made
        base = Path(self.student.base)
        path = base / "tokenizer.json"
        if not path.is_file() or read_json(path)["model"] != read_json(made / "tokenizer.json")["model"]:
            raise DataError(f"student.base {base}: its vocabulary is not the one this recipe makes")
        return base

    def _prepare(
        self, corpus: Corpus, sets: dict[str, list[Example]], teacher: TransformerEncoder, run: TrainingFolder
    ) -> _Ready:
        start = Path(self.student.start) if self.student.start else run.checkpoints / "start"
        texts = texts_by_language(corpus, self.data)
        pairs = translations(corpus, self.data)
        logger.info("making the vocabulary")
        make_student(
            self._open_teacher(), self.vocabulary, texts, pairs, start, max_tokens=self.student.max_tokens
        )
        words = student_words(start)
        for part in self.data.sets:
            if part.form == "switched":
                sets[part.name] = list(switch(sets[part.name], part, words, self.optimisation.seed))
        taught = [part.name for part in self.data.sets if part.form != "relevance"]
        english = sorted({t for name in taught for e in sets[name] for t in (e.english, e.twin) if t})
        logger.info("encoding %d English texts with the teacher", len(english))
        store = Path(self.teacher.vectors) if self.teacher.vectors else run.checkpoints / "teacher"
        vectors = teach(english, teacher, store)
        rows = {text: row for row, text in enumerate(english)}
        data = {
            name: _targets(examples, rows) if name in taught else _pairs(examples)
            for name, examples in sets.items()
        }
        return _Ready(start, vectors, data)

    def _losses(self, model: Any, sets: Examples, vectors: VectorStore) -> dict[str, nn.Module]:
        s = self.loss
        taught = TeacherLoss(
            model,
            torch.from_numpy(vectors.rows(range(vectors.n_rows))),
            mse_weight=s.mse_weight,
            score_weight=s.score_weight,
            scale=s.scale,
            n_candidates=s.n_candidates,
        )
        contrast = MultipleNegativesRankingLoss(model, scale=s.scale)
        forms = {part.name: part.form for part in self.data.sets}
        return {name: contrast if forms[name] == "relevance" else taught for name in sets}


class _Ready(NamedTuple):
    start: Path
    vectors: VectorStore
    data: Mapping[str, Dataset]


def _read(corpus: Corpus, data: DistilData) -> dict[str, list[Example]]:
    return {part.name: list(corpus.examples(part)) for part in data.sets}


def _used(source: str, form: Form, counts: Counter[str]) -> TrainingData:
    kind: Literal["parallel", "relevance"] = (
        "parallel" if source in registry.names("parallel") else "relevance"
    )
    return declared(kind, source, counts.total(), _USE[form], sorted(counts))


def _digest(examples: Iterable[Example]) -> str:
    return digest_texts(field for example in examples for field in example)


def _targets(examples: list[Example], rows: Mapping[str, int]) -> Dataset:
    return Dataset.from_dict(
        {
            "text": [e.text for e in examples],
            "label": [[rows[e.english], rows[e.twin] if e.twin else NO_TWIN] for e in examples],
            "lang": [e.lang for e in examples],
        }
    )


def _pairs(examples: list[Example]) -> Dataset:
    return Dataset.from_dict(
        {
            "anchor": [e.text for e in examples],
            "positive": [e.english for e in examples],
            "lang": [e.lang for e in examples],
        }
    )


def _save(model: Any, folder: Path, weights: Weights) -> None:
    """Write the model, its tokenizer.json without blanks: a third of the size, for a vocabulary."""
    write_model(model, folder, weights=weights)
    path = folder / "tokenizer.json"
    write_text(path, json.dumps(read_json(path), ensure_ascii=False, separators=(",", ":")))


def _set_up(model: Any, settings: StudentModel, rows: Sequence[int]) -> None:
    model[0].tokenizer.model_max_length = settings.train_tokens
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = settings.dropout
    if settings.freeze_teacher_rows:
        frozen = torch.tensor(rows)
        weight = model[0].auto_model.get_input_embeddings().weight
        weight.register_hook(lambda gradient: gradient.index_fill(0, frozen.to(gradient.device), 0.0))
