"""Generators converted to CTranslate2: the same models, several times as fast on a CPU in int8."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ctranslate2

from babelweave.artifact import digest_texts, read_json
from babelweave.errors import DataError, UsageError, nearest
from babelweave.generate.decoding import Decoding, distinct
from babelweave.generate.settings import read_settings
from babelweave.generate.tokens import PromptTokenizer
from babelweave.records import Passage
from babelweave.weights import digest_files, first_line, tokenizer_files

MODEL_FILE = "model.bin"


class CTranslate2Generator:
    """An encoder-decoder in the format of CTranslate2, see `convert.convert_generator`.

    CTranslate2 draws all samples of a thread from one stream, which it seeds when the thread starts.
    A call that samples therefore makes a new translator, with a seed from its arguments: the same call
    gives the same questions, but the other passages of the call matter. Runs keep to whole shards, so
    their questions still depend on the collection alone. Greedy and beam search do not depend on them.

    Args:
        folder: with `model.bin`, the tokenizer, and the generator's settings where it has some.
        prompt, languages, max_input_tokens, max_new_tokens: as of `Seq2SeqGenerator`.
        decoding, top_k, top_p, temperature, beams: as of `Seq2SeqGenerator`.
        compute_type: int8, float32, ...; by default that of the stored weights.
        batch_size: passages that run together.
        threads: of one translation; 0 leaves it to CTranslate2 (OMP_NUM_THREADS, else up to 4).
        device: "cpu", "cuda" or "auto".
    Raises:
        DataError: no converted model there, or it cannot be opened.
        UsageError: an option has no such value or no effect.
    """

    def __init__(
        self,
        folder: str,
        *,
        prompt: str | None = None,
        languages: str | None = None,
        decoding: str | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        temperature: float | None = None,
        beams: int | None = None,
        compute_type: str = "default",
        max_input_tokens: int | None = None,
        max_new_tokens: int | None = None,
        batch_size: int = 16,
        threads: int = 0,
        device: str = "cpu",
    ) -> None:
        if batch_size < 1 or threads < 0:
            raise UsageError(f"batch_size={batch_size}, threads={threads}: expected at least 1 and 0")
        place = Path(folder).expanduser()
        if not (place / MODEL_FILE).is_file():
            raise DataError(
                f"{folder}: no {MODEL_FILE}; convert a Hugging Face folder first, with `babelweave convert`"
            )
        self._decoding = Decoding.of(decoding, top_k, top_p, temperature, beams)
        self._settings = read_settings(place).given(
            prompt=prompt,
            languages=languages,
            max_input_tokens=max_input_tokens,
            max_new_tokens=max_new_tokens,
        )
        self._text = PromptTokenizer.open(place, self._settings)
        self._batch_size = batch_size
        self._options = {
            "model_path": str(place),
            "device": device,
            "compute_type": compute_type,
            "inter_threads": 1,
            "intra_threads": threads,
        }
        self._translator = self._open()
        # If the decoder starts with a token of its own, CTranslate2 counts that of the language as written.
        started = read_json(place / "config.json").get("decoder_start_token") is not None
        self._n_forced = int(started and self._text.language_tokens is not None)
        self._totals: Counter[str] = Counter()
        files = [place / MODEL_FILE, *sorted(place.glob("*vocabulary.*")), *tokenizer_files(place)]
        self._signature = {
            "name": "ctranslate2",
            "model": place.resolve().name,
            "digest": digest_files(place, files),
            "prompt": self._settings.prompt,
            "decoding": dict(self._decoding.signature),
            "max_input_tokens": self._settings.max_input_tokens,
            "max_new_tokens": self._settings.max_new_tokens,
            "batch_size": batch_size,
            "precision": self._translator.compute_type,
        }

    def _open(self) -> ctranslate2.Translator:
        try:
            return ctranslate2.Translator(**self._options)
        except (RuntimeError, ValueError) as error:
            if "compute type" in str(error) or "device" in str(error):
                raise UsageError(f"{self._options['model_path']}: {first_line(error)}") from error
            raise DataError(
                f"{self._options['model_path']}: CTranslate2 cannot open it ({first_line(error)})"
            ) from error

    @property
    def signature(self) -> Mapping[str, Any]:
        return self._signature

    @property
    def languages(self) -> frozenset[str]:
        return self._text.languages

    @property
    def totals(self) -> Mapping[str, int]:
        """Counted since it was opened; names as of `Seq2SeqGenerator`."""
        return self._totals

    def generate(self, passages: Sequence[Passage], lang: str, n: int, seed: int) -> list[list[str]]:
        """At most n distinct questions per passage; greedy search finds one.

        Raises:
            UsageError: a language it does not write, or n above the number of beams.
            DataError: the model has no token for the language of a passage.
        """
        if lang not in self.languages:
            raise UsageError(f"the generator does not write {lang!r}; {nearest(lang, self.languages)}")
        self._decoding.check_n(n)
        if not passages:
            return []
        inputs = self._text.read(passages, lang)
        tokenizer, tokens = self._text.tokenizer, self._text.language_tokens
        found = self._seeded(passages, lang, n, seed).translate_batch(
            [tokenizer.convert_ids_to_tokens(ids) for ids in inputs.ids],
            target_prefix=None if tokens is None else [[tokens[lang]]] * len(passages),
            max_batch_size=self._batch_size,
            max_input_length=0,  # the prompt was cut already, and counted
            max_decoding_length=self._settings.max_new_tokens + self._n_forced,
            return_end_token=True,
            **self._search(n),
        )
        rows = [
            tokenizer.convert_tokens_to_ids(h[self._n_forced :])
            for result in found
            for h in result.hypotheses
        ]
        texts = iter(self._text.write(rows))
        made = [distinct(next(texts) for _ in result.hypotheses) for result in found]
        self._totals.update(
            input_tokens=sum(map(len, inputs.ids)),
            output_tokens=sum(map(len, rows)),
            cut_passages=inputs.n_cut,
            cut_queries=sum(tokenizer.eos_token_id not in row for row in rows),
            dropped=len(rows) - sum(map(len, made)),
        )
        return made

    def _search(self, n: int) -> dict[str, Any]:
        d = self._decoding
        if d.mode == "beam":
            return {"beam_size": d.beams, "num_hypotheses": n}
        if d.mode == "greedy":
            return {"beam_size": 1}
        return {
            "beam_size": 1,
            "num_hypotheses": n,
            "sampling_topk": d.top_k,
            "sampling_topp": d.top_p,
            "sampling_temperature": d.temperature,
        }

    def _seeded(self, passages: Sequence[Passage], lang: str, n: int, seed: int) -> ctranslate2.Translator:
        """A translator whose first draw follows from the arguments; where nothing is drawn, the open one."""
        if self._decoding.mode != "sample":
            return self._translator
        texts = (text for p in passages for text in (p.lang, p.title, p.text))
        key = digest_texts([str(seed), lang, str(n), *texts])
        ctranslate2.set_random_seed(int(key[:8], 16))
        self._translator = self._open()
        return self._translator
