"""The training step of each recipe against PyTorch on the CPU, alternating, two threads each.

    python benches/recipes.py                        inan-small, keyboard, melis-10m and awd
    python benches/recipes.py --recipes inan-small   some of them
    python benches/recipes.py --sanity               one short round, marked as such

One step is all of what a recipe asks for in one update: masks, forward and backward pass, the losses, clipping
and the optimiser, over 10,000 types in f32. Every round starts a fresh process of either side; the figures are
medians over the rounds. Where PyTorch needs a loop over the steps, that loop is also run through torch.compile,
and the faster of the two is the baseline. Build ours first (`cargo build --release`), or name another build of
`pocketlm-lab` in the environment variable POCKETLM_LAB.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from measure import LAB, ROOT, provenance, run_json, write_json
from training_step import alternate, medians

BASELINE = Path(__file__).parent / "torch_recipes.py"
RECIPES = ROOT / "crates/pocketlm-train/recipes"
NAMES = ("inan-small", "keyboard", "melis-10m", "awd")


def ours(name: str, args: argparse.Namespace) -> dict:
    command = [LAB, "bench-train", "--model", name, "--steps", args.steps]
    return run_json([*command, "--threads", args.threads, "--json"])


def torch(name: str, args: argparse.Namespace, compiled: bool = False) -> dict:
    command = [sys.executable, BASELINE, RECIPES / f"{name}.toml", "--steps", args.steps]
    command += ["--threads", args.threads]
    return run_json([*command, "--compile"] if compiled else command)


def compiles(name: str, args: argparse.Namespace) -> bool:
    """Whether torch.compile gets through its first steps in the time allowed for it."""
    command = [sys.executable, BASELINE, RECIPES / f"{name}.toml", "--steps", 1, "--compile"]
    command += ["--threads", args.threads]
    command = [str(part) for part in command]
    try:
        quiet = subprocess.DEVNULL
        return subprocess.run(command, stdout=quiet, stderr=quiet, timeout=args.patience).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def step(name: str, args: argparse.Namespace) -> dict:
    first = torch(name, argparse.Namespace(steps=1, threads=args.threads))
    sides = {"torch": lambda: torch(name, args), "pocketlm": lambda: ours(name, args)}
    tried = not first["by_library"] and not args.no_compile
    if tried and compiles(name, args):
        sides["torch_compiled"] = lambda: torch(name, args, compiled=True)
    runs = alternate(sides, args.rounds)
    out = {side: medians(results) for side, results in runs.items()}
    if tried and "torch_compiled" not in out:
        out["compile"] = f"not done within {args.patience} s"
    baselines = [side for side in out if side.startswith("torch")]
    out["baseline"] = min(baselines, key=lambda side: out[side]["median_ms"])
    out["times_as_fast"] = out[out["baseline"]]["median_ms"] / out["pocketlm"]["median_ms"]
    out["rounds_ms"] = {side: [run["median_ms"] for run in results] for side, results in runs.items()}
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipes", nargs="+", default=NAMES, metavar="NAME")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=10, help="timed steps of each round")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--patience", type=int, default=60, help="seconds for torch.compile")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    parser.add_argument("--sanity", action="store_true", help="one round of two steps, no figure")
    parser.add_argument("--output", type=Path, default=ROOT / "results/recipes_step.json")
    args = parser.parse_args()
    if args.sanity:
        args.rounds, args.steps = 1, 2
    result = provenance("torch", program=LAB) | {
        "sanity_only": args.sanity,
        "setting": {"vocabulary": 10_000, "threads": args.threads, "rounds": args.rounds, "steps": args.steps},
        "recipes": {},
    }
    for name in args.recipes:
        row = result["recipes"][name] = step(name, args)
        write_json(args.output, result)
        for side, times in row["rounds_ms"].items():
            print(f"{name} {side}: {', '.join(f'{ms:.1f}' for ms in times)} ms a step")
        print(f"{name}: {row['times_as_fast']:.2f} times as fast as {row['baseline']}", flush=True)
    print(f"written to {args.output}")


if __name__ == "__main__":
    main()
