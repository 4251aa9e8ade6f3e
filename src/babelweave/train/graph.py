"""A trained encoder as one ONNX graph: transformer, pooling and what follows, in float32 or int8."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import onnx
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic

from babelweave.encode.model import token_limit
from babelweave.encode.onnx import KIND, OUTPUT, OnnxEncoder, OnnxSettings
from babelweave.encode.tokens import InputForm
from babelweave.encode.transformer import TransformerEncoder
from babelweave.errors import DataError
from babelweave.train.formats import Format
from babelweave.train.saved import reading, write_model
from babelweave.weights import ONNX_GRAPH, first_line

TOKENS_OUTPUT = "last_hidden_state"
"""What other tools pool themselves."""
OPSET = 17
"""The newest that the tracing exporter of torch writes with layer normalisation as one operator."""
LARGEST_BYTES = 2_000_000_000
"""Of weights: a protobuf message, and so an ONNX file, ends at 2 GiB."""


def _write(encoder: TransformerEncoder, folder: Path, *, int8: bool) -> dict[str, Any]:
    """A model folder whose weights are a graph; the other files say to other tools what they always say."""
    write_model(encoder.model, folder, **reading(encoder.signature))
    for weights in folder.glob("*.safetensors*"):
        weights.unlink()
    form = InputForm.of(encoder.model[0].tokenizer)
    _, positions = token_limit(encoder.model, encoder.signature.name)
    graph = folder / ONNX_GRAPH
    graph.parent.mkdir()
    write_graph(encoder.model, form, graph, int8=int8)
    precision = "int8" if int8 else "float32"
    settings = OnnxSettings(replace(encoder.signature, precision=precision), form, positions)
    return {"format": "int8" if int8 else "onnx", **settings.to_dict()}


INT8 = Format(kind=KIND, bytes_per_weight=1, floor=0.9, write=partial(_write, int8=True), open=OnnxEncoder)
FLOAT32 = Format(
    kind=KIND, bytes_per_weight=4, floor=0.9999, write=partial(_write, int8=False), open=OnnxEncoder
)


def write_graph(model: Any, form: InputForm, path: Path, *, int8: bool) -> None:
    """Trace a SentenceTransformer and write `path`. The model is used up: attention and embedding change.

    In int8 the matrices are stored with a scale for each output channel, in 7 bits, because sums of products
    of 8 bits overflow their 16 on CPUs without VNNI; activations are scaled as they come. Word embeddings
    get a scale for each row, and no arithmetic in 8 bits.

    Args:
        form: which columns of tokens it takes.
    Raises:
        DataError: torch cannot trace it, or it is too large for one file.
    """
    network = model[0].auto_model
    network.set_attn_implementation("eager")
    if int8:
        _quantise_embeddings(network)
    n_bytes = sum(t.numel() * t.element_size() for t in model.state_dict().values())
    if n_bytes > LARGEST_BYTES:
        raise DataError(f"{n_bytes / 1e9:.1f} GB of weights; an ONNX file holds {LARGEST_BYTES / 1e9:.0f} GB")
    if not int8:
        _trace(model, form, path)
        return
    with tempfile.TemporaryDirectory(dir=path.parent) as aside, _without_advice():
        _trace(model, form, Path(aside) / path.name)
        quantize_dynamic(
            Path(aside) / path.name,
            path,
            op_types_to_quantize=["MatMul"],
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=True,
        )


class _Graph(torch.nn.Module):
    """The modules of a SentenceTransformer, from token columns to vectors."""

    def __init__(self, model: Any, columns: tuple[str, ...]) -> None:
        super().__init__()
        self.model, self.columns = model, columns

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features: dict[str, Any] = dict(zip(self.columns, inputs, strict=True))
        for module in self.model:
            features = module(features)
        return features["sentence_embedding"], features["token_embeddings"]


class _RowsInt8(torch.nn.Module):
    """An embedding table in int8, each row with its own scale."""

    rows: torch.Tensor
    scales: torch.Tensor

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        scales = weight.abs().amax(dim=1, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny) / 127
        self.register_buffer("rows", torch.round(weight / scales).to(torch.int8))
        self.register_buffer("scales", scales)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.rows[ids].float() * self.scales[ids]


def _quantise_embeddings(network: Any) -> None:
    """Every module that looks words up; in T5 the table is one and the modules are two."""
    weight = network.get_input_embeddings().weight
    table = _RowsInt8(weight.detach().float())
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if isinstance(child, torch.nn.Embedding) and child.weight is weight:
                setattr(parent, name, table)


def _trace(model: Any, form: InputForm, path: Path) -> None:
    columns = (*form.columns, "attention_mask")
    example = tuple(torch.ones(2, 5, dtype=torch.int64) for _ in columns)
    shape = {0: "texts", 1: "tokens"}
    axes = dict.fromkeys([*columns, TOKENS_OUTPUT], shape) | {OUTPUT: {0: "texts"}}
    try:
        with warnings.catch_warnings(), torch.inference_mode():
            warnings.simplefilter("ignore")  # the tracing exporter is old, and wary of every shape it meets
            torch.onnx.export(
                _Graph(model.to("cpu").eval(), columns).eval(),
                example,
                str(path),
                input_names=list(columns),
                output_names=[OUTPUT, TOKENS_OUTPUT],
                dynamic_axes=axes,
                opset_version=OPSET,
                dynamo=False,
            )
        onnx.checker.check_model(str(path))
    except OSError:
        raise
    except Exception as error:  # tracing runs the model's own code, which may raise anything
        raise DataError(f"the network cannot be written as ONNX ({first_line(error)})") from error


@contextmanager
def _without_advice() -> Iterator[None]:
    """Drop what the quantiser says of every operator it leaves alone; it goes to the root logger."""
    root = logging.getLogger()

    def drop(record: logging.LogRecord) -> bool:
        return record.levelno >= logging.ERROR

    root.addFilter(drop)
    try:
        yield
    finally:
        root.removeFilter(drop)
