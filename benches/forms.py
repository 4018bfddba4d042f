"""Products in every form beside dense int8 of the same shape, bytes and numbers: `python benches/forms.py` runs the
bench `forms` of the runtime and writes results/forms.json. Stop other work first."""

import os
import subprocess

from measure import ROOT, machine, run_json, write_json


def main() -> None:
    found = run_json(["cargo", "bench", "--quiet", "-p", "pocketlm", "--bench", "forms", "--", "--json"])
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    found = {"commit": commit.strip(), "machine": machine() | {"threads": 1}, "rows": found["rows"]}
    write_json(ROOT / "results/forms.json", found)


if __name__ == "__main__":
    os.chdir(ROOT)
    main()
