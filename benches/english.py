"""The model within the command: made from a trained one, measured on text that it has not seen.

    pocketlm train --data DIR/open-en --model keyboard --set batch=12 --set betas=[0.9,0.999] --lr 0.006 --set warmup=200 \\
        --set variational.word=0 --set variational.input=0.05 --set variational.state=0.05 --set variational.output=0.1 \\
        --set augmented.weight=0 --epochs 3 --out runs/english
    python benches/english.py --data DIR/open-en --checkpoint runs/english
"""

import argparse
import subprocess
import tempfile
from pathlib import Path

from measure import POCKETLM, ROOT, built_from, machine, run_json, write_json

MODEL = ROOT / "crates/pocketlm-cli/assets/english.plm"
LINES = 2000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, help="make the model of this first; without it, measure the one there")
    parser.add_argument("--budget", default="1MB")
    a = parser.parse_args()
    if a.checkpoint:
        subprocess.run([str(part) for part in (POCKETLM, "compress", a.checkpoint, "--budget", a.budget, "--data", a.data,
                                               "-o", MODEL, "--force")], check=True)
    row = run_json([POCKETLM, "eval", MODEL, "--data", a.data, "--json"])
    with tempfile.TemporaryDirectory() as name:
        sample = Path(name) / "typed.txt"
        lines = (a.data / "test.txt").read_text().splitlines()[:LINES]
        sample.write_text("".join(line + "\n" for line in lines))
        typing = run_json([POCKETLM, "eval", MODEL, "--data", sample, "--typing", "--json"])
    # Microseconds from the program's start to its answer, the least of some.
    starts = [run_json(["bash", "-c", f"t=$EPOCHREALTIME; {POCKETLM} suggest 'I will see you' >/dev/null 2>&1; "
                        "echo \"{\\\"us\\\": $(( ${EPOCHREALTIME/./} - ${t/./} ))}\""])["us"] for _ in range(20)]
    write_json(ROOT / "results/english.json", {
        "commit": built_from(), "machine": machine(), "bytes": MODEL.stat().st_size, "typed_lines": LINES,
        "start_ms": min(starts) / 1000, "evaluation": row, "typing": typing})


if __name__ == "__main__":
    main()
