"""The system under test, as a command line names it, opened into a ranker."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from babelweave.data.languages import canonical
from babelweave.encode.spec import open_encoder
from babelweave.errors import UsageError
from babelweave.evaluate.benchmarks.rankers import Bm25Ranker, DenseRanker, Ranker, Weaving
from babelweave.generate.queries import GeneratedQueries
from babelweave.generate.spec import open_generator
from babelweave.protocols import Generator
from babelweave.registry import DEFAULT_GENERATOR
from babelweave.weave.fusers.spec import idle_weights, open_fuser
from babelweave.weave.stream import uneven_numbers

PER_LANGUAGE = 5
"""Queries of a generator per passage and language, as xQG released; on MLQA dev 4 and 5 of the packaged one
gain significantly, 1 and 2 do not (docs/results/weaving-mini.md)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """What to rank with.

    Attributes:
        encoder: SPEC of an encoder, or of BM25 (`bm25?k1=..&b=..`), which needs none.
        weave: weave with the packaged generator. Implied by `generator` and `generated`.
        generator: SPEC of a generator, run over the pools.
        generated: queries on disk instead.
        languages: of the generated queries; all the benchmark asks in, but English, when None.
        per_language: queries per passage and language; None is `PER_LANGUAGE` of a generator, and all of
            `generated`.
        alpha: None is the fuser's default.
    """

    encoder: str
    weave: bool = False
    generator: str | None = None
    generated: Path | None = None
    languages: Sequence[str] | None = None
    per_language: int | None = None
    fuser: str = "mean"
    alpha: float | None = None
    normalise: bool = False
    language_weights: Mapping[str, float] = field(default_factory=dict)
    seed: int = 0

    @property
    def weaves(self) -> bool:
        return self.weave or self.generator is not None or self.generated is not None

    def open(self, asked_in: Sequence[str], say: Callable[[str], None]) -> Ranker:
        """Open encoder, generator and fuser.

        Args:
            asked_in: the languages of the benchmark's questions.
            say: gets a line when the generator cannot write some of them.

        Raises:
            UsageError: a generator and generated queries at once, weaving with BM25, options of weaving
                without it, or an unknown name, language or value.
        """
        if not self.weaves:
            self._refuse_idle()
        if self.encoder.partition("?")[0] == "bm25":
            if self.weaves:
                raise UsageError("bm25 ranks by terms; there are no vectors to weave")
            return Bm25Ranker(self.encoder)
        weaving = self.weaving(asked_in, say) if self.weaves else None
        return DenseRanker(open_encoder(self.encoder), weaving)

    def _refuse_idle(self) -> None:
        given = {
            "--languages": self.languages is not None,
            "--per-language": self.per_language is not None,
            "--alpha": self.alpha is not None,
            "--normalise": self.normalise,
            "--language-weights": bool(self.language_weights),
        }
        if idle := ", ".join(option for option, is_given in given.items() if is_given):
            raise UsageError(f"{idle}: nothing is woven; pass --weave, --generator or --generated as well")

    def weaving(self, asked_in: Sequence[str], say: Callable[[str], None]) -> Weaving:
        """Open generator and fuser; arguments and errors as `open`."""
        if self.generator is not None and self.generated is not None:
            raise UsageError("give --generator or --generated, not both")
        source: GeneratedQueries | Generator
        per_language = self.per_language
        stored = GeneratedQueries.open(self.generated) if self.generated is not None else None
        if stored is not None:
            source = stored
        else:
            source = open_generator(self.generator or DEFAULT_GENERATOR)
            per_language = PER_LANGUAGE if per_language is None else per_language
        if self.languages is None:
            wanted = [lang for lang in asked_in if lang != "en"]
            languages = [lang for lang in wanted if lang in source.languages]
            if left_out := [lang for lang in wanted if lang not in source.languages]:
                name = self.generated or self.generator or DEFAULT_GENERATOR
                say(f"no generated queries in {', '.join(left_out)}: {name} has none")
        else:
            languages = [canonical(lang) for lang in self.languages]
        fuser = open_fuser(
            self.fuser,
            alpha=self.alpha,
            language_weights=self.language_weights,
            normalise=self.normalise,
        )
        if idle := idle_weights(fuser, languages):
            say(idle)
        if stored and (line := uneven_numbers(fuser, stored, languages, per_language)):
            say(f"warning: {line}")
        return Weaving(source, fuser, languages, per_language, self.seed)
