"""Hugging Face encoder-decoders as generators: T5, mT5, umT5 and mBART, on CPU or GPU."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList
from transformers.modeling_outputs import BaseModelOutput

from babelweave.artifact import digest_texts
from babelweave.errors import DataError, UsageError, nearest
from babelweave.generate.decoding import Decoding, distinct
from babelweave.generate.models import (
    model_folder,
    open_model,
    read_config,
    read_device,
    read_precision,
    special_ids,
)
from babelweave.generate.settings import read_settings
from babelweave.generate.tokens import PromptTokenizer
from babelweave.records import Passage
from babelweave.weights import model_digest

Precision = Literal["auto", "float32", "bfloat16", "float16"]


class Seq2SeqGenerator:
    """An encoder-decoder that writes questions when prompted with a passage.

    The encoder runs once per passage and language, whatever n is. Each question draws from a stream of its
    own, seeded by (seed, language, passage, number of the question): other passages of the call, batch
    sizes and numbers of workers do not matter, and the first questions of a larger n are those of a smaller.

    Args:
        target: a model folder or a Hub id.
        prompt: template, see `prompts`; the folder's own, else the reference's.
        languages: codes separated by commas, of which it may write; the folder's own, else all that the
            prompt can name, or that the model has a token for.
        decoding: "sample", "greedy" or "beam".
        top_k: of sampling, 10 by default as in the reference; 0 draws from all tokens.
        top_p, temperature: of sampling, both 1 by default.
        beams: of beam search, 4 by default; n may not be larger.
        precision: of the weights. auto takes bfloat16 where it is faster, else
            float32. float16 overflows in the T5 family and is refused there, and on a CPU.
        max_input_tokens: of prompt and passage; 256 by default, as the reference reads. Passages that
            are longer are cut and counted.
        max_new_tokens: of a question, 64 by default; questions without an end by then are counted.
        batch_size: passages that run together.
        device: "cpu", "cuda:1", ...; a GPU if there is one.
        revision: branch, tag or commit on the Hub.
    Raises:
        DataError: no model there, one that cannot be opened, or one of another family.
        UsageError: an option has no such value or no effect.
    """

    def __init__(
        self,
        target: str,
        *,
        prompt: str | None = None,
        languages: str | None = None,
        decoding: str | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        temperature: float | None = None,
        beams: int | None = None,
        precision: Precision = "auto",
        max_input_tokens: int | None = None,
        max_new_tokens: int | None = None,
        batch_size: int = 16,
        device: str | None = None,
        revision: str | None = None,
    ) -> None:
        if batch_size < 1:
            raise UsageError(f"batch_size={batch_size}: must be at least 1")
        self._decoding = Decoding.of(decoding, top_k, top_p, temperature, beams)
        folder = model_folder(target, revision)
        config = read_config(folder)
        self._device = read_device(device)
        dtype = read_precision(precision, config.model_type, self._device)
        self._settings = read_settings(folder).given(
            prompt=prompt,
            languages=languages,
            max_input_tokens=max_input_tokens,
            max_new_tokens=max_new_tokens,
        )
        self._text = PromptTokenizer.open(folder, self._settings)
        self._model = open_model(folder, dtype).to(self._device)
        self._start, self._end, self._pad = special_ids(self._model, self._text.tokenizer)
        self._model.generation_config = GenerationConfig()  # the folder's own would mix with what is asked
        self._batch_size = batch_size
        self._totals: Counter[str] = Counter()
        self._signature = {
            "name": "seq2seq",
            "model": folder.resolve().name if Path(target).expanduser().is_dir() else target,
            "digest": model_digest(folder),
            "prompt": self._settings.prompt,
            "decoding": dict(self._decoding.signature),
            "max_input_tokens": self._settings.max_input_tokens,
            "max_new_tokens": self._settings.max_new_tokens,
            "precision": str(dtype).removeprefix("torch."),
        }

    @property
    def signature(self) -> Mapping[str, Any]:
        return self._signature

    @property
    def languages(self) -> frozenset[str]:
        return self._text.languages

    @property
    def totals(self) -> Mapping[str, int]:
        """Counted since it was opened: tokens read and written; passages cut; questions without an end,
        blank or repeated."""
        return self._totals

    def generate(self, passages: Sequence[Passage], lang: str, n: int, seed: int) -> list[list[str]]:
        """At most n distinct questions per passage; greedy search finds one.

        Raises:
            UsageError: a language it does not write, or n above the number of beams.
            DataError: the model has no token for the language of a passage, or damaged weights.
        """
        if lang not in self.languages:
            raise UsageError(f"the generator does not write {lang!r}; {nearest(lang, self.languages)}")
        self._decoding.check_n(n)
        inputs = self._text.read(passages, lang)
        made: list[list[str]] = [[] for _ in passages]
        n_cut = n_tokens = n_written = 0
        for batch in self._batches(inputs.ids):
            rows = self._decode([inputs.ids[i] for i in batch], [passages[i] for i in batch], lang, n, seed)
            texts = self._text.write(rows)
            per_passage = len(texts) // len(batch)
            for place, i in enumerate(batch):
                made[i] = distinct(texts[place * per_passage : (place + 1) * per_passage])
            n_written += len(rows)
            n_cut += sum(self._end not in row for row in rows)
            n_tokens += sum(map(len, rows))
        self._totals.update(
            input_tokens=sum(map(len, inputs.ids)),
            output_tokens=n_tokens,
            cut_passages=inputs.n_cut,
            cut_queries=n_cut,
            dropped=n_written - sum(map(len, made)),
        )
        return made

    def _batches(self, ids: Sequence[Sequence[int]]) -> Iterator[list[int]]:
        """Places by falling length, so that passages that run together are about as long."""
        order = sorted(range(len(ids)), key=lambda i: -len(ids[i]))
        for start in range(0, len(order), self._batch_size):
            yield order[start : start + self._batch_size]

    @torch.inference_mode()
    def _decode(
        self, ids: Sequence[list[int]], passages: Sequence[Passage], lang: str, n: int, seed: int
    ) -> list[list[int]]:
        """Token ids after the start, padding left out; the rows of a passage stand together."""
        width = max(map(len, ids))
        padded = torch.tensor([row + [self._pad] * (width - len(row)) for row in ids], device=self._device)
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in ids], device=self._device)
        encoded = self._model.get_encoder()(padded, attention_mask=mask).last_hidden_state
        if not torch.isfinite(encoded).all():
            raise DataError(
                f"{self._signature['model']}: its encoder gives numbers that are not finite; the weights are "
                "damaged, or the precision is too low for this model"
            )
        draws = LogitsProcessorList()
        mode, steps = self._decoding.mode, self._settings.max_new_tokens
        prefix = self._prefix(lang)
        if mode == "sample":
            encoded, mask = encoded.repeat_interleave(n, 0), mask.repeat_interleave(n, 0)
            uniforms = np.concatenate([uniform_draws(p, lang, n, steps, seed) for p in passages])
            draws.append(
                _SeededDraw(torch.from_numpy(uniforms).to(self._device), len(prefix), self._decoding)
            )
        beams = self._decoding.beams if mode == "beam" else 1
        out = self._model.generate(
            encoder_outputs=BaseModelOutput(encoded),
            attention_mask=mask,
            decoder_input_ids=torch.tensor([prefix], device=self._device).expand(len(mask), -1),
            logits_processor=draws,
            generation_config=GenerationConfig(
                max_new_tokens=steps,
                do_sample=False,
                num_beams=beams,
                num_return_sequences=n if mode == "beam" else 1,
                decoder_start_token_id=prefix[0],
                eos_token_id=self._end,
                pad_token_id=self._pad,
            ),
        )
        rows: list[list[int]] = out[:, len(prefix) :].tolist()
        return [_until(row, self._end) for row in rows]

    def _prefix(self, lang: str) -> list[int]:
        """What the decoder begins with: the start, and the language where a token tells it.

        mBART-50 starts with the end token, then the language; the first mBART with the language itself.
        """
        if self._text.language_tokens is None:
            return [self._start]
        token = int(self._text.tokenizer.convert_tokens_to_ids(self._text.language_tokens[lang]))
        return [self._start, token] if self._start == self._end else [token]


class _SeededDraw(LogitsProcessor):  # type: ignore[misc]
    """Draw each row's next token by inverting its distribution at a number given beforehand.

    The token drawn is left as the only possible one, so greedy search takes it. Exact, and without
    the global random state that `do_sample=True` would share between the rows of a batch.

    Args:
        uniforms: (rows, steps) in [0, 1).
        n_prefix: tokens of a row before the first drawn one.
    """

    def __init__(self, uniforms: torch.Tensor, n_prefix: int, decoding: Decoding) -> None:
        self._uniforms, self._n_prefix, self._decoding = uniforms, n_prefix, decoding

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        k = min(self._decoding.top_k or scores.shape[1], scores.shape[1])
        logits, tokens = scores.topk(k)  # (rows, k), falling
        p = torch.softmax(logits.double() / self._decoding.temperature, dim=1)
        below = p.cumsum(1) - p
        p = p.masked_fill(below >= self._decoding.top_p, 0)
        edges = p.cumsum(1)
        u = self._uniforms[:, input_ids.shape[1] - self._n_prefix, None] * edges[:, -1:]
        drawn = tokens.gather(1, (edges <= u).sum(1, keepdim=True).clamp(max=k - 1))
        return torch.full_like(scores, -torch.inf).scatter_(1, drawn, 0.0)


def uniform_draws(passage: Passage, lang: str, n: int, steps: int, seed: int) -> Any:
    """float64 (n, steps) in [0, 1), the same for a passage wherever it stands."""
    key = digest_texts([str(seed), lang, passage.lang, passage.title, passage.text])
    return np.random.default_rng(int(key, 16)).random((n, steps))


def _until(row: list[int], end: int) -> list[int]:
    """A row up to its end token, which stays; what follows is padding."""
    return row[: row.index(end) + 1] if end in row else row
