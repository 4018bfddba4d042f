"""The keyboard in Chromium: milliseconds of a key and of a cold start, bytes of the module. Writes results/web.json.

    python benches/web.py       runs web/check, which builds and tests the page, and installs what that takes
"""

import json
import subprocess
import tempfile
from pathlib import Path

from measure import head, machine, write_json

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder) / "web.json"
        subprocess.run([str(ROOT / "web/check"), "--json", str(found)], check=True)
        measured = json.loads(found.read_text())
    write_json(ROOT / "results/web.json", {"commit": head(), "machine": machine()} | measured)


if __name__ == "__main__":
    main()
