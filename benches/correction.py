"""Correction beside that without context: `python benches/correction.py EXAMPLE MODEL.plm TRAIN VALID TEST NAMES` runs
the built example `correction` of the runtime on tokenised texts and writes results/correction.json. Build it by
`cargo build --release -p pocketlm --example correction`; the example says what is measured."""

import hashlib
import sys
from pathlib import Path

from measure import ROOT, head, machine, run_json, write_json


def sha256(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def main() -> None:
    if len(sys.argv) != 7:
        sys.exit(__doc__)
    example, *files = sys.argv[1:]
    found = run_json([example, *files])
    hashes = {key: sha256(path) for key, path in zip(("model", "train", "valid", "test", "names"), files)}
    # `target/debug` is whatever the profile of the day was.
    profile = Path(example).parent.parent.name
    write_json(
        ROOT / "results/correction.json",
        {"commit": head(), "machine": machine() | {"threads": 1}, "profile": profile, "sha256": hashes} | found,
    )


if __name__ == "__main__":
    main()
