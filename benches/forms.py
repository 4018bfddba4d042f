"""What the forms cost in time: `python benches/forms.py` runs the runtime's benches. `forms` is every form's product
beside dense int8 of the same shape, bytes and numbers (results/forms.json), `entropy` the opening of entropy-coded
files beside that of plain ones (results/entropy.json). Stop other work first."""

import os
import subprocess

from measure import ROOT, machine, run_json, write_json


def main() -> None:
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for bench in ("entropy", "forms"):
        found = run_json(["cargo", "bench", "--quiet", "-p", "pocketlm", "--bench", bench, "--", "--json"])
        found = {"commit": commit.strip(), "machine": machine() | {"threads": 1}, "rows": found["rows"]}
        write_json(ROOT / f"results/{bench}.json", found)


if __name__ == "__main__":
    os.chdir(ROOT)
    main()
