"""N-gram models of Penn Treebank beside KenLM's: bytes, perplexity, queries a second, in one run.

KenLM's programs are built by tests/oracle/kenlm.py. Queries are timed on token ids that are in memory, the test split
over and over: pocketlm by `bench --data`, KenLM by its own kenlm_benchmark, in turns. Both figures are queries a second
of processor time, so that other work on the machine counts little.

    python benches/ngram.py --data DIR/ptb --kenlm target/kenlm
"""

import argparse
import os
import re
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from measure import POCKETLM, ROOT, machine, built_from, run_json, write_json

OURS = [(order, prune, bits) for order in (3, 4, 5) for prune, bits in
        [(0, 32), (0, 8), (0, 4), (1e-8, 8), (1e-7, 8), (3e-7, 8), (1e-6, 8)]]
THEIRS = {"probing": ["probing"], "trie": ["trie"], "trie 8 bits": ["-q", "8", "-b", "8", "-a", "255", "trie"],
          "trie 4 bits": ["-q", "4", "-b", "4", "-a", "255", "trie"]}


def ours(folder: Path, data: Path, order: int, prune: float, bits: int) -> dict:
    file = folder / f"{order}-{prune}-{bits}.plm"
    report = run_json([POCKETLM, "ngram", "--data", data, "--order", order, "--prune", prune, "--bits", bits,
                       "-o", file, "--force", "--json"])
    valid, test = report["written"]["perplexity"]
    return {"file": file, "order": order, "prune": prune, "bits": bits, "ngrams": report["ngrams"],
            "bytes": report["written"]["bytes"], "valid_perplexity": valid["value"],
            "test_perplexity": test["value"], "test_tokens": test["tokens"], "data_sha256": report["data_sha256"]}


def text(data: Path, split: str) -> str:
    """lmplz keeps <unk> to itself, so it goes by another name."""
    return (data / f"{split}.txt").read_text().replace("<unk>", "UNK")


def kenlm(programs: Path, folder: Path, data: Path, order: int) -> list[dict]:
    arpa = folder / f"{order}.arpa"
    with open(arpa, "w") as out:
        subprocess.run([programs / "lmplz", "-o", str(order), "-S", "500M", "-T", folder], input=text(data, "train"),
                       text=True, stdout=out, stderr=subprocess.DEVNULL, check=True)
    rows = []
    for name, flags in THEIRS.items():
        file = folder / f"{order}-{name.replace(' ', '-')}.kenlm"
        subprocess.run([programs / "build_binary", *flags, arpa, file], capture_output=True, check=True)
        row = {"file": file, "order": order, "form": name, "bytes": file.stat().st_size}
        for split in ("valid", "test"):
            done = subprocess.run([programs / "query", "-v", "summary", file], input=text(data, split), text=True,
                                  capture_output=True, check=True)
            row[f"{split}_perplexity"] = float(re.search(r"including OOVs:\s*(\S+)", done.stdout)[1])
        ids = subprocess.run([programs / "kenlm_benchmark", "-v", "-m", file], input=text(data, "test").encode(),
                             capture_output=True, check=True).stdout
        # As long a text as takes about a second.
        file.with_suffix(".ids").write_bytes(ids * 20)
        rows.append(row)
    return rows


def our_speed(row: dict, data: Path, seconds: float) -> float:
    """Queries a second of processor time, opening left out by running long."""
    start = time.monotonic()
    command = [POCKETLM, "bench", row["file"], "--data", data, "--seconds", seconds, "--threads", 1, "--json"]
    child = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, text=True)
    report = child.stdout.read()
    _, _, usage = os.wait4(child.pid, 0)
    wall = time.monotonic() - start
    rate = float(re.search(r'"tokens_per_second": ([\d.]+)', report)[1])
    return rate * wall / (usage.ru_utime + usage.ru_stime)


def their_speed(programs: Path, row: dict) -> float:
    with open(row["file"].with_suffix(".ids"), "rb") as ids:
        done = subprocess.run([programs / "kenlm_benchmark", "-q", "-m", row["file"]], stdin=ids, text=True,
                              capture_output=True, check=True)
    return float(re.search(r"Queries per second excluding load, CPU: (\S+)", done.stdout + done.stderr)[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--kenlm", type=Path, required=True, help="folder of KenLM's programs")
    parser.add_argument("--orders", type=int, nargs="*", default=[3, 4, 5])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--out", type=Path, default=ROOT / "results/ngram.json")
    a = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        own = [ours(folder, a.data, *settings) for settings in OURS if settings[0] in a.orders]
        other = [row for order in a.orders for row in kenlm(a.kenlm, folder, a.data, order)]
        rates = {id(row): [] for row in own + other}
        for _ in range(a.rounds):
            for row in own:
                rates[id(row)].append(our_speed(row, a.data, a.seconds))
            for row in other:
                rates[id(row)].append(their_speed(a.kenlm, row))
        for row in own + other:
            row["queries_per_cpu_second"] = statistics.median(rates[id(row)])
            del row["file"]
    write_json(a.out, {"commit": built_from(), "machine": machine(), "kenlm": "0.3.0",
                       "data_sha256": own[0]["data_sha256"], "rounds": a.rounds, "pocketlm": own, "kenlm_models": other})


if __name__ == "__main__":
    main()
