"""Questions per second of the generator back ends on the same passages, their memory, and their agreement.

    python benchmarks/generate_speed.py [--model FOLDER | --size small] [--passages 32] [--threads N]

Without --model a random mT5 of the published shape is made: its questions mean nothing, but every layer has
the size it would have, and nearly every question runs to the full length. Each back end runs in a process
of its own, in alternation; the ratio is the median over pairs. CPU seconds stand beside wall seconds, because
other work on the machine hardly touches them. Agreement is that of greedy questions with transformers in
float32: equal as a whole, and the share of words before the first difference.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

DATA = Path(os.environ.get("BABELWEAVE_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
SIZES = {
    "mini": {"d_model": 384, "d_ff": 1024, "num_layers": 6, "num_heads": 6, "vocab_size": 40_000},
    "small": {"d_model": 512, "d_ff": 1024, "num_layers": 8, "num_heads": 6, "vocab_size": 250_112},
    "base": {"d_model": 768, "d_ff": 2048, "num_layers": 12, "num_heads": 12, "vocab_size": 250_112},
}
"""mini is small enough to ship; the others are as published (Xue et al. 2021, arXiv 2010.11934)."""
BACK_ENDS = {
    "transformers float32": ("hf", "precision=float32"),
    "transformers bfloat16": ("hf", "precision=bfloat16"),
    "ctranslate2 float32": ("ct2-float32", ""),
    "ctranslate2 int8": ("ct2-int8", ""),
}
TARGET_RATIO = 3.0


def passages(n: int) -> list[Any]:
    """The first English passages of MLQA dev."""
    from babelweave.data.mlqa import read_subset

    return list(read_subset(DATA / "mlqa" / "MLQA_V1.zip", "dev", "en-en").passages[:n])


def write_random(folder: Path, size: str) -> None:
    """An mT5 of a published shape with random weights, and a tokenizer of its size."""
    import torch
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import MT5Config, MT5ForConditionalGeneration, PreTrainedTokenizerFast

    shape = SIZES[size]
    raw = Tokenizer(models.Unigram())
    trainer = trainers.UnigramTrainer(
        vocab_size=16_000,
        special_tokens=["<pad>", "</s>", "<unk>"],
        unk_token="<unk>",
        show_progress=False,
    )
    raw.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    raw.train_from_iterator([p.content for p in passages(1000)], trainer)
    pieces = json.loads(raw.to_str())["model"]["vocab"]
    lowest = min(score for _, score in pieces) - 10
    filler = [(f"filler{i}", lowest) for i in range(shape["vocab_size"] - len(pieces))]
    full = Tokenizer(models.Unigram([(p, s) for p, s in pieces] + filler, unk_id=2))
    full.normalizer = normalizers.NFKC()
    full.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    full.decoder = decoders.Metaspace()
    full.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=full, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )
    torch.manual_seed(0)
    config = MT5Config(**shape, d_kv=64, decoder_start_token_id=0)
    model = MT5ForConditionalGeneration(config)
    # An output layer of its own, as mT5 has it: tied to random embeddings, it would only repeat the start.
    model.lm_head.weight = torch.nn.Parameter(torch.randn(shape["vocab_size"], shape["d_model"]) * 0.05)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def prepare(folder: Path, options: argparse.Namespace) -> None:
    from babelweave.generate.convert import convert_generator

    if options.model is None:
        write_random(folder / "hf", options.size)
    else:
        (folder / "hf").symlink_to(options.model.resolve())
    for kind in ("float32", "int8"):
        convert_generator(str(folder / "hf"), folder / f"ct2-{kind}", quantization=kind)


def measure(folder: Path, name: str, options: argparse.Namespace) -> None:
    """One back end, printed as JSON: seconds per language, memory, greedy questions."""
    import torch

    from babelweave.generate.spec import open_generator

    torch.set_num_threads(options.threads)
    place, extra = BACK_ENDS[name]
    spec = f"{folder / place}?max_new_tokens={options.tokens}&{extra}"
    if place != "hf":
        spec += f"&threads={options.threads}"
    read = passages(options.passages)
    sampling, greedy = open_generator(spec), open_generator(f"{spec}&decoding=greedy")
    sampling.generate(read[:2], options.languages[0], 1, 0)
    found: dict[str, Any] = {"languages": {}}
    for lang in options.languages:
        wall, cpu = time.perf_counter(), time.process_time()
        made = sampling.generate(read, lang, options.per_language, 0)
        found["languages"][lang] = {
            "wall": time.perf_counter() - wall,
            "cpu": time.process_time() - cpu,
            "asked": len(read) * options.per_language,
            "made": sum(map(len, made)),
        }
    found["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    found["greedy"] = [" ".join(made) for made in greedy.generate(read, options.languages[0], 1, 0)]
    print(json.dumps(found))


def run(folder: Path, name: str, options: argparse.Namespace) -> dict[str, Any]:
    """`measure` in a process of its own."""
    command = [sys.executable, __file__, "--measure", name, "--folder", str(folder)]
    for option in ("passages", "threads", "tokens", "per_language"):
        command += [f"--{option.replace('_', '-')}", str(getattr(options, option))]
    command += ["--languages", ",".join(options.languages)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(options.threads)}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def shared(pair: tuple[str, str]) -> float:
    """The share of words before the first difference of two questions."""
    left, right = (text.split() for text in pair)
    longest = max(len(left), len(right), 1)
    same = next((i for i, (v, w) in enumerate(zip(left, right, strict=False)) if v != w), None)
    return (min(len(left), len(right)) if same is None else same) / longest if left or right else 1.0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, help="a Hugging Face folder; else a random model of --size")
    parser.add_argument("--size", default="small", choices=SIZES)
    parser.add_argument("--passages", type=int, default=32)
    parser.add_argument("--per-language", type=int, default=5)
    parser.add_argument("--languages", type=lambda text: text.split(","), default=["de"])
    parser.add_argument("--tokens", type=int, default=24, help="of a question")
    parser.add_argument("--pairs", type=int, default=1)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    options = arguments()
    if options.measure:
        measure(options.folder, options.measure, options)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        prepare(folder, options)
        runs: dict[str, list[dict[str, Any]]] = {name: [] for name in BACK_ENDS}
        for pair in range(options.pairs):
            for name in sorted(BACK_ENDS, reverse=bool(pair % 2)):
                runs[name].append(run(folder, name, options))
    show(runs, options)


def show(runs: dict[str, list[dict[str, Any]]], options: argparse.Namespace) -> None:
    model = options.model or f"random mT5-{options.size}"
    print(f"command    python {' '.join(sys.argv)}")
    print(f"machine    {platform.machine()}, {platform.system()}, {options.threads} threads")
    print(f"passages   {options.passages} of MLQA dev, English")
    print(f"asked      {options.per_language} questions per language, at most {options.tokens} tokens each")
    print(f"model      {model}, {options.pairs} pairs\n")
    columns = ("queries/s", "per CPU s", "memory GB", "greedy equal", "same words")
    print(f"{'back end':24}{'lang':5}" + "".join(f"{column:>14}" for column in columns))
    reference = runs["transformers float32"]
    for name, found in runs.items():
        greedy = list(zip(found[0]["greedy"], reference[0]["greedy"], strict=True))
        equal, words = statistics.mean(a == b for a, b in greedy), statistics.mean(map(shared, greedy))
        memory = max(f["memory"] for f in found) / 1e9
        for lang in options.languages:
            each = [f["languages"][lang] for f in found]
            speeds = [statistics.median(f["asked"] / f[clock] for f in each) for clock in ("wall", "cpu")]
            figures = (*speeds, memory, equal, words)
            print(f"{name:24}{lang:5}" + "".join(f"{figure:14.2f}" for figure in figures))
    print()
    for clock in ("wall", "cpu"):
        ratio = statistics.median(
            a["languages"][lang][clock] / b["languages"][lang][clock]
            for a, b in zip(reference, runs["ctranslate2 int8"], strict=True)
            for lang in options.languages
        )
        print(
            f"ratio      {ratio:.2f} by {clock} seconds, int8 to transformers float32; target {TARGET_RATIO}"
        )


if __name__ == "__main__":
    main()
