"""The sections of a retriever's recipe beside those of every training: data, model, loss, negatives, dev.

Every default is a library's own or names its source; the packaged recipes say what was published.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from babelweave import registry
from babelweave.data.languages import canonical
from babelweave.errors import UsageError, nearest
from babelweave.protocols import Fuser
from babelweave.recipe import Strict
from babelweave.shift.splits import provenance_shares
from babelweave.train.settings import Checked
from babelweave.weave.fusers.spec import open_fuser, vectors_per_passage

TEVATRON = "tevatron"
SQUAD = "squad"
_TOLD_BY_SCRIPT = (TEVATRON, SQUAD)
"""Loaders whose questions may be in several languages that the files do not name."""
_DATASET = {"dataset", "source", "corpus", "split", "subset", "lang", "query_lang", "drop_unanswerable"}


def _registered(kind: str) -> AfterValidator:
    def check(name: str) -> str:
        try:
            registry.entry(kind, name)
        except UsageError as error:
            raise ValueError(str(error)) from None
        return name

    return AfterValidator(check)


def _language(code: str) -> str:
    try:
        return canonical(code)
    except UsageError as error:
        raise ValueError(str(error)) from None


Language = Annotated[str, AfterValidator(_language)]
Parallel = Annotated[str, _registered("parallel")]
Relevance = Annotated[str, _registered("relevance")]


class Source(Checked):
    """Questions with the passages that answer them: one of `relevance`, `dataset`, `collection`, `rows`."""

    takes: ClassVar[Mapping[str, set[str]]] = {
        "relevance": {"relevance"},
        "dataset": _DATASET,
        "collection": {"collection", "split", "lang"},
        "rows": {"rows"},
    }
    """Key that names a source -> the keys it takes, beside those of every source."""
    common: ClassVar[frozenset[str]] = frozenset({"name", "languages", "licence"})

    name: str | None = None
    """What batches, weights and reports call it; the source's own name by default."""
    relevance: Relevance | None = None
    """A registered training source, every split of it, without passages near an evaluation set."""
    dataset: Annotated[str, _registered("dataset")] | None = None
    """A registered loader; `source` is what it reads."""
    collection: str | None = None
    """A collection folder with judgements."""
    rows: str | None = None
    """A folder of training rows, as mining negatives leaves it."""
    source: str | None = None
    """File or folder of `dataset`."""
    corpus: str | None = None
    """Passages of a `dataset` without its own, such as Tevatron v2."""
    split: str | None = None
    """Of a `dataset` or `collection`."""
    subset: str | None = None
    """Of a `dataset` that is several, such as MLQA's "en-de"."""
    lang: Language | None = None
    """Of texts that name none."""
    query_lang: Language | tuple[Language, ...] | None = None
    """Of Tevatron's and SQuAD's questions where it is not `lang`; of several, each question's is told by its
    script."""
    drop_unanswerable: bool = False
    """Leave out questions that SQuAD v2 marks impossible; else their passage is a negative."""
    languages: tuple[Language, ...] = ()
    """Only questions in these; () takes all."""
    licence: str | None = None
    """For the model card, where the source does not say."""

    @property
    def label(self) -> str:
        """The name given, else that of the source: the registered name, or the last part of the path."""
        own = next(value for kind in self.takes if (value := getattr(self, kind)) is not None)
        return self.name or str(own).rstrip("/").rsplit("/", 1)[-1]

    def _contradictions(self) -> Iterator[str]:
        given = [kind for kind in self.takes if getattr(self, kind) is not None]
        if len(given) != 1:
            named = f", not {' and '.join(given)}" if given else ""
            yield f"give one of {', '.join(self.takes)}{named}"
            return
        for key in sorted(self.model_fields_set - self.common - self.takes[given[0]]):
            yield f"{given[0]} takes no {key}"
        if given[0] == "dataset" and self.source is None:
            yield f"dataset {self.dataset!r} needs source, the file or folder to read"
        if self.dataset == "hub":
            yield "a data set of the Hub is a collection here; make it with: babelweave data prepare hub"
        if self.dataset == TEVATRON and self.lang is None:
            yield "tevatron rows name no language; give lang, and query_lang where it differs"
        if isinstance(self.query_lang, tuple) and self.dataset not in (None, *_TOLD_BY_SCRIPT):
            yield "several query_lang can be told apart for tevatron rows and squad files only"


class Provenance(Checked):
    """Questions drawn so that where they come from tells their language, more or less (`shift.splits`).

    A provenance is a data set, or several of a kind; each needs questions in every language.
    """

    aligned: dict[Language, str]
    """Language of questions -> the provenance most of them come from."""
    of: dict[str, str] = Field(default_factory=dict)
    """Set -> its provenance; by default its own name."""
    strength: Annotated[float, Field(ge=0, le=1)]
    """At 0 a language is spread evenly over provenances; at 1 all of it comes from the one aligned."""
    n: PositiveInt
    """Questions drawn, of every language alike."""
    reverse: bool = False
    """Shares as `provenance_shares` reverses them: at 1 nothing of a language comes from the one aligned."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Of the draw; the same questions for all seeds of a training."""

    def _contradictions(self) -> Iterator[str]:
        try:
            provenance_shares(self.aligned, self.strength)
        except UsageError as error:
            yield str(error)


class Data(Checked):
    """What is trained on."""

    root: str | None = None
    """Where relative paths of the recipe begin; BABELWEAVE_DATA by default."""
    exclusions: str | None = None
    """A file of passages near evaluation sets ({"sha1": of the raw text, ...} a line), left out of every
    source but `relevance`, which has read it."""
    sets: Annotated[tuple[Source, ...], Field(min_length=1)]
    half: Literal["train", "test"] | None = None
    """Only questions whose first passage falls into this half, by a hash of its text: what is trained on and
    what is asked of the same sources then share no such passage."""
    provenance: Provenance | None = None
    """Which of the questions are drawn; all by default."""

    def _contradictions(self) -> Iterator[str]:
        labels = Counter(source.label for source in self.sets)
        for name, n in labels.items():
            if n > 1:
                yield f"{n} sets are called {name!r}; give each a name"
        if self.provenance is not None:
            of, known = self.provenance.of, set(self.provenance.aligned.values())
            for name in sorted(of.keys() - labels.keys()):
                yield f"provenance.of: unknown set {name!r}; {nearest(name, labels)}"
            for name in labels:
                if (provenance := of.get(name, name)) not in known:
                    yield f"set {name!r}: provenance.aligned names no provenance {provenance!r}"


class Model(Checked):
    """The encoder that is trained, of questions and passages alike."""

    base: str
    """A model folder, a Hub id or a registered model: any encoder of sentence-transformers or
    transformers."""
    revision: str | None = None
    """Branch, tag or commit on the Hub."""
    pooling: Literal["mean", "cls", "last", "max"] | None = None
    """How token vectors become one; the base's own where it says."""
    normalise: bool | None = None
    """Vectors of unit length; the base's own where it says, else not."""
    max_tokens_query: PositiveInt | None = None
    """Tokens read of a question, special tokens included; as many as the base states by default."""
    max_tokens_passage: PositiveInt | None = None
    """The same of a passage; the saved model keeps both."""
    prompt_query: str | None = None
    """Put before every question, in training and ever after; the base's own by default."""
    prompt_passage: str | None = None
    """The same for passages."""


class Loss(Checked):
    """InfoNCE over the passages of a batch (`losses.ContrastiveLoss`)."""

    similarity: Literal["dot", "cosine"] = "cosine"
    """What is trained, and what the saved model is compared by."""
    scale: PositiveFloat | None = None
    """Factor of the similarity; 20 for a cosine (sentence-transformers), 1 for a dot product (DPR)."""
    temperature: PositiveFloat | None = None
    """1 / scale. This or `scale`."""
    symmetric: bool = False
    """Average with the loss of finding the question of each passage."""
    mask_known: bool = True
    """Leave out passages of the batch that are known to answer the question."""
    mask_margin: Annotated[float, Field(ge=0)] | None = None
    """Leave out passages whose similarity is above the positive's by more than this."""
    grad_cache: PositiveInt | None = None
    """Texts embedded at a time, so that a large batch fits; None embeds the batch at once."""
    gather: bool = True
    """Passages of all processes are candidates; without effect in one process."""

    def _contradictions(self) -> Iterator[str]:
        scale, temperature = self.scale, self.temperature
        if scale is not None and temperature is not None and not math.isclose(scale * temperature, 1):
            yield f"temperature {temperature:g} is a scale of {1 / temperature:g}, not {scale:g}; give one"

    @property
    def factor(self) -> float:
        """What similarities are multiplied by."""
        if self.scale is not None:
            return self.scale
        if self.temperature is not None:
            return 1 / self.temperature
        return 20.0 if self.similarity == "cosine" else 1.0


class Negatives(Checked):
    """The passages of a training group beside its positive."""

    per_question: NonNegativeInt = 0
    """Negatives given to each question beside those of its batch; Tevatron's `train_n_passages` - 1."""
    positive: Literal["rotate", "first"] = "rotate"
    """Positives take turns over the epochs, or only the first is used."""
    negative: Literal["rotate", "first"] = "rotate"
    """Other negatives every epoch, or always the first ones."""
    missing: Literal["error", "drop", "random"] = "error"
    """A question without any negative: an error, left out, or given random passages of the data."""

    def _contradictions(self) -> Iterator[str]:
        if not self.per_question:
            for key in sorted(self.model_fields_set & {"negative", "missing"}):
                yield f"{key} has no effect without per_question"


class Weaving(Checked):
    """Passages woven with their generated queries in training, by the fuser an index weaves with."""

    generated: str
    """What `babelweave generate` wrote, or any file of generated queries."""
    ids: Literal["collection", "text"] = "collection"
    """What names a passage there: the id it has in its data set, or the hash of its text (the first 20
    digits of its sha1, as the loaders of SQuAD and kin name passages)."""
    missing: Literal["error", "plain"] = "error"
    """Passages without a query: an error, or what the fuser makes of them (a mean leaves them, a sum scales
    them), and counted."""
    languages: tuple[Language, ...] = ()
    """Of the queries; () takes all there are."""
    per_step: PositiveInt = 4
    """Queries drawn per passage and step (g); what they cost is their encoding. Ours."""
    languages_per_step: PositiveInt | None = None
    """Languages the queries of a batch are in, drawn anew for each; all take turns by default."""
    negatives: bool = False
    """Weave the negatives of a group too, as an index does with every passage; else its positive alone."""
    fuser: str = "mean"
    """`mean` or `sum`; the alpha of a sum belongs to the number of queries, here `per_step`."""
    alpha: Annotated[float, Field(ge=0, le=1)] | None = None
    """Share of the queries; the fuser's own default. 0 trains plainly, to the bit, and encodes no query."""
    alpha_end: Annotated[float, Field(ge=0, le=1)] | None = None
    """Alpha moves in a line from `alpha` at the first step to this one, and stays."""
    alpha_steps: PositiveInt | None = None
    """Steps it takes to get there."""
    learn_alpha: bool = False
    """Alpha is learned from `alpha` on, as the sigmoid of a parameter `alpha_logit`; give it a rate of its
    own in optimisation.learning_rates, 1e-2 for instance."""
    language_weights: dict[str, NonNegativeFloat] = Field(default_factory=dict)
    """Language -> weight of its queries, 1 where absent."""
    normalise: bool = False
    """Scale woven vectors to length 1."""

    def _contradictions(self) -> Iterator[str]:
        if (self.alpha_end is None) != (self.alpha_steps is None):
            yield "alpha_end and alpha_steps belong together"
        if self.alpha_end is not None and self.learn_alpha:
            yield "alpha is scheduled (alpha_end) or learned (learn_alpha), not both"
        if self.learn_alpha and self.alpha in (0.0, 1.0):
            yield f"learn_alpha begins between 0 and 1, not at {self.alpha:g}"
        if self.is_plain and self.normalise:
            yield "normalise has no effect at alpha = 0, which trains plainly"
        if self.languages_per_step is not None and self.languages_per_step > self.per_step:
            yield f"{self.languages_per_step} languages_per_step need as many queries per_step"
        try:
            if (n := vectors_per_passage(self.open_at(self.alpha), ())) != 1:
                yield f"fuser {self.fuser!r} keeps {n} vectors of a passage, a loss one; take mean or sum"
        except UsageError as error:
            yield str(error)

    def open_at(self, alpha: Any) -> Fuser:
        """The fuser at an alpha, None for its own.

        Raises:
            UsageError: an unknown fuser, option or language.
        """
        return open_fuser(
            self.fuser, alpha=alpha, language_weights=self.language_weights, normalise=self.normalise
        )

    @property
    def is_plain(self) -> bool:
        """Whether nothing is woven: alpha is 0 and stays so."""
        return self.alpha == 0 and not self.alpha_end and not self.learn_alpha


class DevData(Checked):
    """Questions a model is judged by while it trains: a collection, or subsets of MLQA's dev."""

    benchmark: Literal["mlqa"] | None = None
    """MLQA's dev by MTEB's protocol. This or `collection`."""
    source: str | None = None
    """The benchmark's zip or folder."""
    subsets: str = "all"
    """Of the benchmark: passage language, question language, separated by commas."""
    half: Literal["tune", "report"] | None = "tune"
    """Of MLQA dev's questions; settings are chosen on "tune"."""
    collection: str | None = None
    """A collection folder with judgements, held in memory."""
    split: str = "dev"
    """Of the collection's judgements."""
    measure: str = "RR@10"
    """An ir_measures name; the best step is chosen by its mean over the subsets."""

    def _contradictions(self) -> Iterator[str]:
        if (self.benchmark is None) == (self.collection is None):
            yield "give benchmark or collection"
        if self.benchmark is not None and self.source is None:
            yield f"benchmark {self.benchmark!r} needs source, its zip or folder"
        alien = {"split"} if self.benchmark else {"source", "subsets", "half"}
        for key in sorted(self.model_fields_set & alien):
            yield f"{key} has no effect on a {'benchmark' if self.benchmark else 'collection'}"
        from babelweave.evaluate.measures import check_measures

        try:
            check_measures([self.measure], depth=1000)
        except UsageError as error:
            yield str(error)


class CardText(Strict):
    """What the model card says beside what the run knows."""

    summary: str | None = None
    """A paragraph; by default base and data."""
    licence: str = "other"
    """Of the weights, as the Hub names licences; "other" until you have decided."""
    intended_use: str = "Search of passages by questions, in the languages it was trained on."
    """What it is for, a paragraph."""
    limits: tuple[str, ...] = ()
    """What it does badly, a sentence each."""
