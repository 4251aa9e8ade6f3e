"""Speed, memory and start of an encoder and of its int8 export, against another encoder.

    python benchmarks/mini_speed.py [--encoder SPEC] [--against minilm] [--rounds 5] [--threads 2]

Texts: English passages and German questions of MLQA dev. In every round each encoder reads all of them, in
another order from round to round, and ratios are medians over rounds: other work on the machine then hits
all alike. CPU seconds stand beside wall seconds for the same reason. Start and memory are those of a process
that opens one encoder, as every verb does, and encodes the same texts.
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
from typing import NamedTuple

os.environ.setdefault("HF_HUB_OFFLINE", "1")

from babelweave.data.mlqa import read_subset
from babelweave.encode.spec import open_encoder
from babelweave.records import Role
from babelweave.registry import DEFAULT_ENCODER

DATA = Path(os.environ.get("BABELWEAVE_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


class Seconds(NamedTuple):
    wall: float
    cpu: float


def read_texts(options: argparse.Namespace) -> dict[Role, list[str]]:
    subset = read_subset(DATA / "mlqa" / "MLQA_V1.zip", "dev", "en-de")
    return {
        "passage": [p.content for p in subset.passages][: options.passages],
        "query": [q.text for q in subset.queries][: options.questions],
    }


def measure(spec: str, texts: dict[Role, list[str]]) -> None:
    """The child: one encoder, printed as JSON: seconds until it is open, peak memory in MB at the end."""
    start = time.perf_counter(), time.process_time()
    encoder = open_encoder(spec)
    encoder.encode(["ready"], "query")
    wall, cpu = time.perf_counter() - start[0], time.process_time() - start[1]
    for role, listed in texts.items():
        encoder.encode(listed, role)
    print(json.dumps({"wall": wall, "cpu": cpu, "peak_mb": peak_mb()}))


def peak_mb() -> float:
    """Of this program; Linux's `ru_maxrss` would count the process it was started from."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def in_a_process(spec: str, texts: dict[Role, list[str]], threads: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--measure", spec]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    given = json.dumps(texts)
    done = subprocess.run(
        command, env=environment, input=given, stdout=subprocess.PIPE, text=True, check=True
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def rounds(
    specs: dict[str, str], texts: dict[Role, list[str]], n_rounds: int
) -> dict[Role, dict[str, list[Seconds]]]:
    """role -> encoder -> seconds of each round, all in this process."""
    encoders = {name: open_encoder(spec) for name, spec in specs.items()}
    found: dict[Role, dict[str, list[Seconds]]] = {role: {name: [] for name in specs} for role in texts}
    names = list(specs)
    for n in range(n_rounds + 1):  # the first warms up
        for name in names[n % len(names) :] + names[: n % len(names)]:
            for role, listed in texts.items():
                start = time.perf_counter(), time.process_time()
                encoders[name].encode(listed, role)
                took = Seconds(time.perf_counter() - start[0], time.process_time() - start[1])
                if n:
                    found[role][name].append(took)
        print(f"round {n} of {n_rounds}", file=sys.stderr, flush=True)
    return found


def show(specs: dict[str, str], texts: dict[Role, list[str]], options: argparse.Namespace) -> None:
    import torch  # not at the top: the child of an ONNX encoder does without

    from encode_speed import cpu_name

    torch.set_num_threads(options.threads)
    alone = {name: in_a_process(spec, texts, options.threads) for name, spec in specs.items()}
    found = rounds(specs, texts, options.rounds)
    first = next(iter(specs))
    print(f"command    python {' '.join(sys.argv)}")
    print(
        f"machine    {cpu_name()}, {options.threads} threads, {platform.system()}, torch {torch.__version__}"
    )
    n_passages, n_questions = len(texts["passage"]), len(texts["query"])
    print(f"texts      {n_passages} English passages, {n_questions} German questions, MLQA dev")
    heads = f"{'open s':>8}{'CPU s':>7}{'peak MB':>9}{'passages/s':>12}{'x':>6}{'questions/s':>13}{'x':>6}"
    print(f"\n{'':24}{heads}")
    for name in specs:
        one = alone[name]
        cells = f"{name:24}{one['wall']:8.1f}{one['cpu']:7.1f}{one['peak_mb']:9.0f}"
        for role, width in (("passage", 12), ("query", 13)):
            took, base = found[role][name], found[role][first]
            rate = len(texts[role]) / statistics.median(s.wall for s in took)
            ratio = statistics.median(b.wall / s.wall for b, s in zip(base, took, strict=True))
            cells += f"{rate:{width}.1f}{ratio:6.2f}"
        print(cells)
    print("\nby CPU seconds")
    for name in specs:
        ratios = [
            statistics.median(b.cpu / s.cpu for b, s in zip(of[first], of[name], strict=True))
            for of in found.values()
        ]
        print(f"{name:24} x {ratios[0]:.2f} passages, x {ratios[1]:.2f} questions")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--encoder", default=DEFAULT_ENCODER, help="SPEC of a model")
    parser.add_argument("--against", default="minilm", help="SPEC")
    parser.add_argument("--passages", type=int, default=200)
    parser.add_argument("--questions", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.measure, json.load(sys.stdin))
        return
    from babelweave.train.export import export_model

    with tempfile.TemporaryDirectory() as folder:
        small = Path(folder) / "int8"
        texts = read_texts(options)
        made = export_model(options.encoder, "int8", small, {r: t[:32] for r, t in texts.items()})
        specs = {
            options.against: options.against,
            options.encoder: options.encoder,
            f"{options.encoder} int8": f"{small}?threads={options.threads}",
        }
        show(specs, texts, options)
        moved = ", ".join(f"{f.mean:.4f} of {role} vectors" for role, f in made.fidelity.items())
        print(f"\nint8       {made.n_bytes / 1e6:.1f} MB; mean cosine to the original {moved}")


if __name__ == "__main__":
    main()
