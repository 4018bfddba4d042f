"""Models of raw text in a language, packed: bits per byte and keys saved, beside n-grams of the same bytes.

    D=DIR/open-en
    FAST="--model keyboard --set batch=12 --set betas=[0.9,0.999] --lr 0.006 --set warmup=200"
    pocketlm train --data $D $FAST --epochs 3 --out runs/words
    pocketlm train --data $D $FAST --epochs 3 --unit bpe --max-vocab 4096 --out runs/pieces
    python benches/own_language.py --name open-en --data $D --words runs/words --pieces runs/pieces --kenlm target/kenlm

Without --words the models of words stay as they were measured last. The n-gram models are pruned until they are no larger than the packed model of words. KenLM's (tests/oracle/kenlm.py builds
it) counts the same tokens; it leaves out n-grams by their counts alone. Bits per byte of all of them have the unknown
words spelt by the same model of characters. Keys are those of the first lines of the test text.
"""

import argparse
import json
import math
import re
import subprocess
import tempfile
from pathlib import Path

from measure import POCKETLM, ROOT, TARGET, built_from, machine, run_json, write_json

LINES = 1000
# Thresholds of entropy pruning, from the largest model to the smallest, and KenLM's counts.
PRUNE = [10 ** (k / 8) for k in range(-72, -39)]
CUTOFFS = ["0 0 1", "0 1 1", "0 1 2", "0 1 2 3", "0 2 3 4", "0 2 4 6 8", "0 3 6 9 12", "0 5 10 15 20", "0 10 20 30 40",
           "0 20 40 60 80", "0 40 80 120 160", "0 80 160 240 320"]


def packed(checkpoint: Path, out: Path, precision: str) -> Path:
    subprocess.run([POCKETLM, "pack", checkpoint, "--precision", precision, "--entropy", "-o", out], check=True,
                   capture_output=True)
    return out


def measured(model: Path, data: Path, sample: Path) -> dict:
    row = run_json([POCKETLM, "eval", model, "--data", data, "--json"])
    typing = run_json([POCKETLM, "eval", model, "--data", sample, "--typing", "--json"])
    step = run_json([POCKETLM, "bench", model, "--threads", 1, "--json"])
    keys = ("words", "keys", "saved_at_1", "saved_at_3", "hits_at_1", "hits_at_3", "never", "microseconds")
    return {"bytes": model.stat().st_size} | {key: row[key] for key in (
        "tokens", "perplexity", "bits_per_byte", "spelling_bits", "unknown_share", "sha256")} | {
        "step_microseconds": step["p50_us"], "typing": {key: typing[key] for key in keys}}


def ours(folder: Path, data: Path, vocabulary: int, limit: int) -> tuple[Path, float]:
    """The largest order-5 model of at most `limit` bytes, by bisection of the threshold."""
    low, high, best = 0, len(PRUNE) - 1, None
    while low <= high:
        middle = (low + high) // 2
        file = folder / f"five-{middle}.plm"
        subprocess.run([str(part) for part in (POCKETLM, "ngram", "--data", data, "--order", 5, "--max-vocab", vocabulary,
                        "--prune", PRUNE[middle], "--bits", 6, "-o", file, "--force")], check=True, capture_output=True)
        if file.stat().st_size <= limit:
            best, high = (file, PRUNE[middle]), middle - 1
        else:
            low = middle + 1
    return best


def tokens(model: Path, text: Path) -> str:
    """What the model makes of a text; lmplz keeps <unk> to itself, so it goes by another name."""
    example = TARGET / "release/examples/tokens"
    with open(text) as lines:
        out = subprocess.run([example, model], stdin=lines, capture_output=True, text=True, check=True).stdout
    lines = [re.sub(r"(?<!\S)<unk>(?!\S)", "UNK", line) for line in out.splitlines() if line]
    return "\n".join(lines) + "\n"


def kenlm(programs: Path, folder: Path, model: Path, data: Path, limit: int, row: dict) -> dict:
    """The best of KenLM's quantised tries of at most `limit` bytes."""
    train, test = (tokens(model, data / f"{split}.txt") for split in ("train", "test"))
    best = None
    for cutoffs in CUTOFFS:
        arpa, file = folder / "kenlm.arpa", folder / "kenlm.trie"
        with open(arpa, "w") as out:
            subprocess.run([programs / "lmplz", "-o", "5", "-S", "2G", "-T", folder, "--prune", *cutoffs.split()],
                           input=train, text=True, stdout=out, stderr=subprocess.DEVNULL, check=True)
        subprocess.run([programs / "build_binary", "-q", "6", "-b", "6", "-a", "255", "trie", arpa, file],
                       capture_output=True, check=True)
        if file.stat().st_size > limit:
            continue
        done = subprocess.run([programs / "query", "-v", "summary", file], input=test, text=True, capture_output=True,
                              check=True)
        perplexity = float(re.search(r"including OOVs:\s*(\S+)", done.stdout)[1])
        count = int(re.search(r"Tokens:\s*(\d+)", done.stdout)[1])
        if count != row["tokens"]:
            raise SystemExit(f"KenLM counts {count} tokens instead of {row['tokens']}")
        # The same tokens, and the same spelling of unknown words.
        text_bytes = (row["tokens"] * math.log2(row["perplexity"]) + row["spelling_bits"]) / row["bits_per_byte"]
        bits = (count * math.log2(perplexity) + row["spelling_bits"]) / text_bytes
        if best is None or bits < best["bits_per_byte"]:
            best = {"bytes": file.stat().st_size, "cutoffs": cutoffs, "perplexity": perplexity, "bits_per_byte": bits}
    return best


def training(checkpoint: Path) -> dict:
    events = [json.loads(line) for line in (checkpoint / "metrics.jsonl").read_text().splitlines()]
    last = [event for event in events if event["split"] == "valid"][-1]
    config = json.loads((checkpoint / "config.json").read_text())
    return {"seconds": last["seconds"], "epochs": last["epoch"], "model": config["model"], "train": config["train"],
            "vocabulary": config["vocabulary"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--words", type=Path, help="checkpoint of a model of words")
    parser.add_argument("--pieces", type=Path, help="checkpoint of a model of subwords")
    parser.add_argument("--kenlm", type=Path, help="folder of KenLM's programs")
    parser.add_argument("--precision", default="int8")
    a = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lines = (a.data / "test.txt").read_text().splitlines()[:LINES]
        sample = folder / "typed.txt"
        sample.write_text("".join(line + "\n" for line in lines))
        stored = ROOT / f"results/own_language/{a.name}.json"
        if a.words:
            here = {"commit": built_from(), "machine": machine()}
            report = here | {"precision": a.precision, "typed_lines": LINES, "rows": words(a, folder, sample)}
        else:
            report = json.loads(stored.read_text())
        if a.pieces:
            model = packed(a.pieces, folder / "pieces.plm", a.precision)
            report["rows"]["pieces"] = measured(model, a.data, sample) | {
                "training": training(a.pieces), "precision": a.precision, "commit": built_from(), "machine": machine()}
        write_json(stored, report)


def words(a: argparse.Namespace, folder: Path, sample: Path) -> dict:
    """The model of words, the n-grams of the same bytes, and both as one."""
    model = packed(a.words, folder / "words.plm", a.precision)
    rows = {"words": measured(model, a.data, sample) | {"training": training(a.words)}}
    vocabulary = json.loads((a.words / "config.json").read_text())["vocabulary"]
    limit = rows["words"]["bytes"]
    five, prune = ours(folder, a.data, vocabulary, limit)
    rows["ngram"] = measured(five, a.data, sample) | {"order": 5, "prune": prune, "bits": 6}
    mixture = folder / "mixture.plm"
    subprocess.run([POCKETLM, "mix", model, five, "--data", a.data, "--entropy", "-o", mixture], check=True,
                   capture_output=True)
    rows["mixture"] = measured(mixture, a.data, sample)
    if a.kenlm:
        rows["kenlm"] = kenlm(a.kenlm, folder, model, a.data, limit, rows["words"])
    return rows


if __name__ == "__main__":
    main()
