"""Two builds of pocketlm side by side: what a change of the code costs or gains in speed.

Each figure is measured in turns, one build after the other, so that other work on the machine meets both; what counts is
the median of the ratios of neighbours.

    python benches/builds.py --old OLD/pocketlm --new NEW/pocketlm [--new-lab NEW/pocketlm-lab]

A build in which `bench-train` is a command of its own (pocketlm-lab) is given by both programs.
"""

import argparse
import statistics
import subprocess
import tempfile
from pathlib import Path

from measure import ROOT, machine, run_json, write_json

MODELS = ("keyboard", "inan-small-averaged")
PRECISIONS = ("f32", "int8", "int4")
TRAINING = (200, 650)


def commit(program: Path) -> str:
    return run_json([program, "bench", ROOT / "assets/keyboard", "--seconds", 0.01, "--json"])["machine"]["commit"]


def pairs(old, new, rounds: int) -> dict:
    """Ratios new / old of what two functions measure, in turns; which one begins changes."""
    found = []
    for turn in range(rounds):
        first, second = (old, new) if turn % 2 == 0 else (new, old)
        a, b = first(), second()
        found.append((a, b) if turn % 2 == 0 else (b, a))
    ratios = [b / a for a, b in found]
    return {"old": statistics.median(a for a, _ in found), "new": statistics.median(b for _, b in found),
            "ratio": statistics.median(ratios), "lowest": min(ratios), "highest": max(ratios)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--old", type=Path, required=True)
    parser.add_argument("--new", type=Path, required=True)
    parser.add_argument("--old-lab", type=Path, help="the build's program with bench-train, if it is another")
    parser.add_argument("--new-lab", type=Path)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=1.0)
    a = parser.parse_args()
    rows = {}
    with tempfile.TemporaryDirectory() as name:
        for model in MODELS:
            for precision in PRECISIONS:
                file = Path(name) / f"{model}-{precision}.plm"
                # The same file for both: the format has not changed.
                subprocess.run([a.old, "pack", ROOT / "assets" / model, "--precision", precision, "-o", file], check=True,
                               capture_output=True)
                for batch in (1, 32):
                    def rate(program: Path) -> float:
                        flags = ["--batch", batch] if batch > 1 else []
                        report = run_json([program, "bench", file, *flags, "--seconds", a.seconds, "--threads", 1, "--json"])
                        return report["tokens_per_second"]
                    rows[f"{model} {precision}, batch {batch}"] = pairs(lambda: rate(a.old), lambda: rate(a.new), a.rounds)
        for units in TRAINING:
            def step(program: Path) -> float:
                report = run_json([program, "bench-train", "--hidden", units, "--steps", 8, "--threads", 1, "--json"])
                return 1000 / report["median_ms"]
            old, new = a.old_lab or a.old, a.new_lab or a.new
            rows[f"training step, 2 x {units}"] = pairs(lambda: step(old), lambda: step(new), max(3, a.rounds // 3))
    for name, row in rows.items():
        print(f"{name:40} {row['ratio']:.3f} ({row['lowest']:.3f} to {row['highest']:.3f})")
    write_json(ROOT / "results/builds.json", {"old": commit(a.old), "new": commit(a.new), "machine": machine(), "rows": rows})


if __name__ == "__main__":
    main()
