"""Training step and evaluation against PyTorch on the CPU, alternating, two threads each.

    python benches/training_step.py                          training step, 2x200 and 2x650
    python benches/training_step.py --checkpoint DIR --data DIR     evaluation as well
    python benches/training_step.py --torch-only             the baseline alone

One step is embedding, two LSTM layers, full softmax cross-entropy over 10,000 words, backward pass,
clipping of the gradient's norm and SGD, on a batch of 20 x 35 in f32. Every round starts a fresh
process of either side; the figures are medians over the rounds. Build ours first
(`cargo build --release`), or name other builds of `pocketlm-lab` and `pocketlm` in the environment variables
POCKETLM_LAB and POCKETLM. The evaluation is of the validation split.
"""

import argparse
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

from measure import LAB, POCKETLM, ROOT, provenance, run_json, write_json

SIZES = (200, 650)
LAYERS, THREADS = 2, 2
BASELINE = Path(__file__).parent / "torch_lm.py"


def torch_training(hidden: int, steps: int) -> dict:
    command = [sys.executable, BASELINE, "--threads", THREADS, "train"]
    return run_json([*command, "--hidden", hidden, "--layers", LAYERS, "--steps", steps])


def our_training(hidden: int, steps: int) -> dict:
    command = [LAB, "bench-train", "--hidden", hidden, "--layers", LAYERS]
    return run_json([*command, "--steps", steps, "--threads", THREADS, "--json"])


def torch_evaluation(checkpoint: Path | None, data: Path | None) -> dict:
    command = [sys.executable, BASELINE, "--threads", THREADS, "evaluate"]
    if checkpoint and data:
        command += ["--checkpoint", checkpoint, "--data", data]
    return run_json(command)


def our_evaluation(checkpoint: Path, data: Path) -> dict:
    command = [POCKETLM, "eval", checkpoint, "--data", data, "--split", "valid"]
    return run_json([*command, "--threads", THREADS, "--json"])


def alternate(sides: dict[str, Callable[[], dict]], rounds: int) -> dict[str, list[dict]]:
    """Every side once per round, in turn, so that drift of the machine meets all alike."""
    results = {name: [] for name in sides}
    for _ in range(rounds):
        for name, measure in sides.items():
            results[name].append(measure())
    return results


def medians(runs: list[dict]) -> dict:
    """Median over the rounds of every measured number; the largest for memory; the rest as it is."""
    out = {}
    for key, value in runs[0].items():
        if key in ("machine", "model", "data"):
            continue  # the machine stands once, at the top; paths mean nothing elsewhere
        values = [run[key] for run in runs]
        if key == "peak_bytes":
            out[key] = max(values)
        elif isinstance(value, dict):
            out[key] = medians(values)
        elif isinstance(value, float):
            out[key] = statistics.median(values)
        else:
            out[key] = value
    return out


def step_gflop(hidden: int) -> float:
    """Products alone: 2 per weight and token forwards, twice that backwards."""
    weights = LAYERS * 8 * hidden * hidden + 10_000 * hidden
    return 6 * weights * 20 * 35 / 1e9


def training(hidden: int, args: argparse.Namespace) -> dict:
    sides = {"torch": lambda: torch_training(hidden, args.steps)}
    if not args.torch_only:
        sides["pocketlm"] = lambda: our_training(hidden, args.steps)
    runs = alternate(sides, args.rounds)
    out = {"gflop": step_gflop(hidden)} | {name: medians(r) for name, r in runs.items()}
    out["torch"]["gflops"] = 1e3 * out["gflop"] / out["torch"]["median_ms"]
    out["rounds_ms"] = {name: [run["median_ms"] for run in r] for name, r in runs.items()}
    if "pocketlm" in out:
        out["times_as_fast"] = out["torch"]["median_ms"] / out["pocketlm"]["median_ms"]
    return out


def evaluation(args: argparse.Namespace) -> dict:
    sides = {"torch": lambda: torch_evaluation(args.checkpoint, args.data)}
    if not args.torch_only:
        sides["pocketlm"] = lambda: our_evaluation(args.checkpoint, args.data)
    runs = alternate(sides, args.rounds)
    out: dict = {name: medians(r) for name, r in runs.items()}
    if "pocketlm" in out:
        ours, theirs = (out[name]["tokens_per_second"] for name in ("pocketlm", "torch"))
        out["times_as_fast"] = ours / theirs
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--torch-only", action="store_true", help="leave our side out")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=15, help="timed steps of each round")
    parser.add_argument("--checkpoint", type=Path, help="2x200 checkpoint, for the evaluation")
    parser.add_argument("--data", type=Path, help="folder with valid.txt, for the evaluation")
    parser.add_argument("--output", type=Path, default=ROOT / "results/training_step.json")
    args = parser.parse_args()
    if bool(args.checkpoint) != bool(args.data):
        parser.error("--checkpoint and --data go together")
    result = provenance("torch", "numpy", program=LAB) | {
        "setting": {"batch": 20, "steps": 35, "vocabulary": 10_000, "threads": THREADS},
        "training": {f"{LAYERS}x{hidden}": training(hidden, args) for hidden in SIZES},
    }
    if args.torch_only or args.checkpoint:
        result["evaluation_2x200"] = evaluation(args)
    write_json(args.output, result)
    for size, row in result["training"].items():
        for name, times in row["rounds_ms"].items():
            print(f"{size} {name}: {', '.join(f'{ms:.1f}' for ms in times)} ms a step")
    print(f"written to {args.output}")


if __name__ == "__main__":
    main()
