"""What the forms cost in time: `python benches/forms.py` runs the runtime's benches. `forms` is every form's product
beside dense int8 of the same shape, bytes and numbers (results/forms.json), `entropy` the opening of entropy-coded
files beside that of plain ones (results/entropy.json). Stop other work first."""

import os

from measure import ROOT, head, machine, run_json, write_json


def main() -> None:
    commit = head()
    for bench in ("entropy", "forms"):
        found = run_json(["cargo", "bench", "--quiet", "-p", "pocketlm", "--bench", bench, "--", "--json"])
        found = {"commit": commit, "machine": machine() | {"threads": 1}, "rows": found["rows"]}
        write_json(ROOT / f"results/{bench}.json", found)


if __name__ == "__main__":
    os.chdir(ROOT)
    main()
