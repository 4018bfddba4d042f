"""Many texts at once: two builds of pocketlm, and ONNX Runtime on the same weights, in turns on one thread.

    python benches/peers/prepare.py --size 200 650     makes the models
    python benches/bulk.py --old OLD/pocketlm --new NEW/pocketlm

Ours score 32 or 256 texts of equal length; ONNX Runtime takes 32 streams, 35 words a call, and chooses its instructions
by itself, so it stands beside our best instruction set alone. What counts are medians of the ratios of neighbours.
Writes results/bulk.json.
"""

import argparse
import importlib.metadata
import statistics
import sys
from pathlib import Path

from measure import ROOT, machine, run_json, write_json

sys.path.insert(0, str(Path(__file__).resolve().parent / "peers"))

from runtimes import PEERS, PRECISIONS, ours

STREAMS = (32, 256)
# Whose words a second ours are held against: int4 as int8, since ONNX Runtime's dynamic quantisation has no 4 bits.
RIVALS = {"f32": "ONNX Runtime f32", "int8": "ONNX Runtime int8", "int4": "ONNX Runtime int8"}


def rate(program: Path, model: Path, backend: str, streams: int, seconds: float) -> float:
    command = [program, "bench", model, "--batch", streams, "--backend", backend, "--seconds", seconds, "--json"]
    return run_json(command)["tokens_per_second"]


def rival(name: str, size: int, seconds: float) -> float:
    peer = next(peer for peer in PEERS if peer.name == name)
    return run_json(peer.command(size, "--bulk", str(seconds)))["words_per_second"]


def in_turns(sides: dict, rounds: int) -> dict:
    """Medians of what each side measures, and of its ratios to `new` in the same round; the order turns."""
    found = {name: [] for name in sides}
    for turn in range(rounds):
        for name in list(sides)[:: 1 if turn % 2 == 0 else -1]:
            found[name].append(sides[name]())
    row = {name: statistics.median(values) for name, values in found.items()}
    for name in set(sides) - {"new"}:
        ratios = [new / other for new, other in zip(found["new"], found[name])]
        row[f"new_by_{name}"] = {"median": statistics.median(ratios), "lowest": min(ratios), "highest": max(ratios)}
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--old", type=Path, required=True)
    parser.add_argument("--new", type=Path, required=True)
    parser.add_argument("--size", type=int, nargs="+", default=[200, 650])
    parser.add_argument("--backend", nargs="+", default=["avx512", "avx2"], help="ours; the first is this machine's best")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    a = parser.parse_args()
    rows = []
    for size in a.size:
        for precision in PRECISIONS:
            for backend in a.backend:
                for streams in STREAMS:
                    model = ours(precision, size)
                    sides = {
                        side: lambda program=program: rate(program, model, backend, streams, a.seconds)
                        for side, program in (("old", a.old), ("new", a.new))
                    }
                    if backend == a.backend[0]:
                        sides["onnx"] = lambda: rival(RIVALS[precision], size, a.seconds)
                    row = in_turns(sides, a.rounds)
                    rows.append({"size": size, "precision": precision, "backend": backend, "streams": streams} | row)
                    print(rows[-1], flush=True)
    tiny = ["bench", ROOT / "assets/keyboard", "--seconds", 0.01, "--json"]
    commits = {side: run_json([program, *tiny])["machine"]["commit"] for side, program in (("old", a.old), ("new", a.new))}
    versions = {"onnxruntime": importlib.metadata.version("onnxruntime")}
    setting = {"rounds": a.rounds, "seconds": a.seconds, "machine": machine(), "versions": versions}
    write_json(ROOT / "results/bulk.json", commits | setting | {"rows": rows})


if __name__ == "__main__":
    main()
