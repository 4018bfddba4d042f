"""What the user's words save: messages typed in their order, with and without learning from those before.

    python benches/personal.py --data DIR/chat/irc.txt

The model is that within the command. The first quarter of the messages is what there is to learn from; the figures are of the
rest: keys of all messages less those of the first quarter typed alone, which begins in the same way.
"""

import argparse
import hashlib
import tempfile
from pathlib import Path

from measure import POCKETLM, ROOT, built_from, machine, run_json, write_json

MODEL = ROOT / "crates/pocketlm-cli/assets/english.plm"


def typed(text: Path) -> list[dict]:
    """Without the personal layer and with it."""
    return run_json([POCKETLM, "eval", MODEL, "--data", text, "--typing", "--personal", "--json"])["results"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    a = parser.parse_args()
    lines = a.data.read_text().splitlines(keepends=True)
    with tempfile.TemporaryDirectory() as name:
        start = Path(name) / "quarter.txt"
        start.write_text("".join(lines[: len(lines) // 4]))
        whole, quarter = typed(a.data), typed(start)
    rows = {}
    for all_of, first in zip(whole, quarter):
        keys, words = all_of["keys"] - first["keys"], all_of["words"] - first["words"]
        rest = {key: (all_of[key] * all_of["keys"] - first[key] * first["keys"]) / keys for key in ("saved_at_1", "saved_at_3")}
        never = (all_of["never"] * all_of["words"] - first["never"] * first["words"]) / words
        rows["personal" if all_of["learns"] else "model"] = rest | {
            "never": never, "keys": keys, "words": words, "microseconds": all_of["microseconds"]}
    write_json(ROOT / "results/personal.json", {
        "commit": built_from(), "machine": machine(), "lines": len(lines),
        "sha256": hashlib.sha256(a.data.read_bytes()).hexdigest(), "rows": rows})


if __name__ == "__main__":
    main()
