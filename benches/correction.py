"""Correction with and without context, with and without a lexicon, and beside Hunspell and SymSpell.

    cargo build --release -p pocketlm --example correction
    python benches/correction.py target/release/examples/correction DIR/open-en

The model is that within the command (`crates/pocketlm-cli/assets/english.plm`), of raw text. What has no context is a unigram model
of the same text and as many words; the lexicon is one of 50,000 words. The example says what the slips are. Hunspell (Debian:
hunspell, hunspell-en-us; left out where there is none) and SymSpell (`pip install symspellpy`, the most frequent words of the training text)
replace what they do not know by their first suggestion; small letters and capitals are the same to both.
"""

import argparse
import hashlib
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from pathlib import Path

from measure import POCKETLM, ROOT, head, machine, run_json, write_json

WORDS = 10_000
MODEL = ROOT / "crates/pocketlm-cli/assets/english.plm"


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def shares(cases: list[list[str]], replaced: dict[str, str]) -> dict:
    """Share of slips that became what was meant, and of right words that became something else."""
    slips = [(typed, meant) for typed, meant in cases if typed != meant]
    right = [typed for typed, meant in cases if typed == meant]
    return {"mended": sum(replaced.get(typed) == meant for typed, meant in slips) / len(slips),
            "broken": sum(typed in replaced for typed in right) / len(right)}


def hunspell(typed: list[str]) -> dict[str, str]:
    done = subprocess.run(["hunspell", "-d", "en_US", "-a"], input="".join(f"^{word}\n" for word in typed), text=True,
                          capture_output=True, check=True)
    answers = [line for line in done.stdout.splitlines()[1:] if line]
    if len(answers) != len(typed):
        raise SystemExit(f"hunspell gave {len(answers)} answers to {len(typed)} words")
    found = {}
    for word, answer in zip(typed, answers):
        if answer.startswith("&"):
            # `& word count offset: first, second`
            found[word] = answer.partition(": ")[2].split(", ")[0].lower()
        elif answer.startswith("#"):
            continue
    return found


def symspell(typed: list[str], counts: Counter, words: int) -> dict[str, str]:
    """With the most frequent words of a text."""
    from symspellpy import SymSpell, Verbosity

    speller = SymSpell(max_dictionary_edit_distance=2)
    for word, count in counts.most_common(words):
        speller.create_dictionary_entry(word, count)
    found = {}
    for word in typed:
        best = speller.lookup(word, Verbosity.TOP, max_edit_distance=2)
        if best and best[0].term != word:
            found[word] = best[0].term
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("example", type=Path)
    parser.add_argument("data", type=Path, help="folder with train.txt, valid.txt and test.txt, raw")
    a = parser.parse_args()
    train, valid, test = (a.data / f"{split}.txt" for split in ("train", "valid", "test"))
    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        lists = {words: here / f"{words}.plm" for words in (10_000, 50_000)}
        for words, path in lists.items():
            subprocess.run([str(part) for part in (POCKETLM, "ngram", "--data", a.data, "--text", "raw", "--max-vocab", words,
                                                   "--order", 1, "--bits", 4, "-o", path)], check=True)
        rankings = {"with context": MODEL, "without context": lists[10_000],
                    "with context, lexicon of 50,000 words": f"{MODEL}+{lists[50_000]}",
                    "without context, 50,000 words": lists[50_000]}
        rows = run_json([a.example, valid, test, WORDS, here / "cases.tsv", *(f"{key}={path}" for key, path in rankings.items())])
        peak = rows.pop("peak_bytes")
        lexicon = lists[50_000].stat().st_size
        cases = [line.lower().split("\t") for line in (here / "cases.tsv").read_text().splitlines()]
    typed = sorted({case[0] for case in cases})
    counts = Counter(re.findall("[a-z]+", train.read_text().lower()))
    others = {f"SymSpell, {count:,} words": shares(cases, symspell(typed, counts, count)) for count in (10_000, 50_000)}
    if shutil.which("hunspell"):
        others["Hunspell"] = shares(cases, hunspell(typed))
    files = {"model": MODEL, "train": train, "valid": valid, "test": test}
    write_json(ROOT / "results/correction.json", {
        "commit": head(), "machine": machine() | {"threads": 1}, "profile": a.example.parent.parent.name,
        "sha256": {key: sha256(path) for key, path in files.items()}, "peak_bytes": peak, "lexicon_bytes": lexicon, "rows": rows, "others": others})


if __name__ == "__main__":
    main()
