"""Peak memory of encoding a small and a large collection with the same encoder and shard size.

    python benchmarks/encode_memory.py [--small 10000] [--large 60000] [--shard-size 8192]

Each size runs in a process of its own that streams paragraphs of English articles (told apart by a number,
repeated when they run out) through `encode_collection` and reports its peak resident set before and after.
The encoder is a random BERT of one narrow layer behind MiniLM's tokenizer: memory for texts, tokens and
vectors is that of real work, the run takes minutes, and large weights do not hide what grows.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

from babelweave.records import Passage

DATA = Path(os.environ.get("BABELWEAVE_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


def passages(n: int) -> Iterator[Passage]:
    """n passages, never more than one paragraph in memory."""

    def paragraphs() -> Iterator[str]:
        while True:
            with gzip.open(DATA / "wiki-vital-en" / "full_articles_paragraphs.jsonl.gz", "rt") as file:
                for line in file:
                    yield json.loads(line)["text"]

    for i, text in enumerate(itertools.islice(paragraphs(), n)):
        yield Passage(f"p{i}", f"{i} {text}", "en")


def make_encoder(folder: Path) -> None:
    """A BERT of one layer, 32 dimensions and random weights with MiniLM's tokenizer."""
    from transformers import BertConfig, BertModel

    from babelweave.encode.packaged import minilm

    config = BertConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64)
    BertModel(config).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json"):
        shutil.copy(minilm() / name, folder / name)


def peak_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def measure(n: int, shard_size: int, folder: Path) -> None:
    """The child: encode n passages, print the peak before and after."""
    from babelweave.encode.spec import open_encoder
    from babelweave.encode.store import encode_collection

    encoder = open_encoder(f"{folder / 'model'}?pooling=mean")
    encoder.encode(["warm up"], "passage")
    before = peak_mb()
    manifest = encode_collection(passages(n), encoder, folder / f"store-{n}", shard_size=shard_size)
    print(json.dumps({"n": manifest.counts["passages"], "before": before, "peak": peak_mb()}))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--small", type=int, default=10_000)
    parser.add_argument("--large", type=int, default=60_000)
    parser.add_argument("--shard-size", type=int, default=8192)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        measure(options.small, options.shard_size, options.child)
        return
    peaks = []
    with tempfile.TemporaryDirectory() as name:
        make_encoder(Path(name) / "model")
        for n in (options.small, options.large):
            child = [sys.executable, __file__, "--child", name, "--small", str(n)]
            child += ["--shard-size", str(options.shard_size)]
            found = json.loads(subprocess.run(child, check=True, stdout=subprocess.PIPE).stdout)
            peaks.append(found["peak"])
            print(f"{found['n']:7} passages: peak {found['peak']:.0f} MB ({found['before']:.0f} MB before)")
    print(f"ratio {peaks[1] / peaks[0]:.3f} at a shard of {options.shard_size} passages")


if __name__ == "__main__":
    main()
