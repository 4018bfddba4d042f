"""Keeps a trained checkpoint under assets/ in half precision, with a card that says what it is.

    python scripts/make_asset.py runs/inan-small --data ../shared/data/ptb

The model's numbers are rounded to f16 by `pocketlm compress`, and the perplexity in the card is measured on what
was written. tests/assets.rs of the trainer measures it again.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LICENCE = ("The numbers were trained on the Penn Treebank (Mikolov's preprocessing of Marcus, Santorini & Marcinkiewicz "
           "1993), which is licensed by the Linguistic Data Consortium for research; the text is not part of this "
           "repository. Use the weights as you may use that text: for research.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path, help="a finished training, its folder named as its base model")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--pocketlm", type=Path, default=ROOT / "target/release/pocketlm")
    args = parser.parse_args()
    name = args.checkpoint.resolve().name
    bases = tomllib.loads((ROOT / "crates/pocketlm-lab/bases.toml").read_text())["base"]
    base = next((base for base in bases if base["name"] == name), None)
    if not base:
        sys.exit(f"{args.checkpoint}: crates/pocketlm-lab/bases.toml has no base model {name}: name the folder as one")
    asset = ROOT / "assets" / name
    shutil.rmtree(asset, ignore_errors=True)
    packed = args.checkpoint.resolve().parent / f"{name}-f16.plm"
    run(args.pocketlm, "compress", args.checkpoint, "--quantise", "f16", "--checkpoint-out", asset,
        "-o", packed, "--force")
    packed.unlink()
    rows = json.loads(run(args.pocketlm, "eval", asset, "--data", args.data, "--split", "valid", "--split", "test",
                          "--json"))
    quality = {row["split"]: row for row in rows["results"]}
    config = json.loads((asset / "config.json").read_text())
    finished = [json.loads(line) for line in (args.checkpoint / "metrics.jsonl").read_text().splitlines()]
    best = [event for event in finished if event["split"] == "valid" and event["best"]][-1]
    start = f"--from assets/{base['from']} " if "from" in base else ""
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)
    card = {
        "name": name,
        "data": "Penn Treebank, word level (929,589 / 73,760 / 82,430 tokens, 10,000 types)",
        "data_sha256": config["provenance"]["data_sha256"],
        "licence": LICENCE,
        "command": f"pocketlm train {start}--model {name} --data PTB --out {name}",
        "epoch": best["epoch"],
        "seed": config["provenance"]["seed"],
        "precision": "f16",
        "valid_perplexity": quality["valid"]["perplexity"],
        "test_perplexity": quality["test"]["perplexity"],
        "commit": commit.stdout.strip(),
    }
    (asset / "card.json").write_text(json.dumps(card, indent=2) + "\n")
    print(f"{asset.relative_to(ROOT)}: valid {card['valid_perplexity']:.2f}, test {card['test_perplexity']:.2f}")


def run(*command: object) -> str:
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(done.returncode)
    return done.stdout


if __name__ == "__main__":
    main()
