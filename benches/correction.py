"""Correction beside that without context, and beside Hunspell and SymSpell.

    python benches/rescoring.py --write-text text --data DIR/open-en
    pocketlm ngram --data text --text tokenised --max-vocab 50000 --order 2 -o large.plm
    cargo build --release -p pocketlm --example correction
    python benches/correction.py target/release/examples/correction MODEL.plm text DIR/open-en/test.txt --large large.plm

MODEL is a model of small letters without marks, as benches/rescoring.py makes one of `text`. The example says what the slips
are. Hunspell (Debian: hunspell, hunspell-en-us) and SymSpell (`pip install symspellpy`, the most frequent words of the
training text: as many as the model has, and 50,000) replace what they do not know by their first suggestion. `large` is a model of 50,000 words, for the time of a call.
"""

import argparse
import hashlib
import subprocess
import tempfile
from collections import Counter
from pathlib import Path

from measure import POCKETLM, ROOT, head, machine, run_json, write_json

WORDS = 10_000


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


def symspell(typed: list[str], train: Path, words: int) -> dict[str, str]:
    """With the most frequent words of a text."""
    from symspellpy import SymSpell, Verbosity

    speller = SymSpell(max_dictionary_edit_distance=2)
    for word, count in Counter(train.read_text().split()).most_common(words):
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
    parser.add_argument("model", type=Path)
    parser.add_argument("text", type=Path, help="folder with train.txt, valid.txt and test.txt, tokenised")
    parser.add_argument("names", type=Path, help="text with words that the vocabulary lacks")
    parser.add_argument("--large", type=Path, help="a model of 50,000 words")
    a = parser.parse_args()
    train, valid, test = (a.text / f"{split}.txt" for split in ("train", "valid", "test"))
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "cases.tsv"
        found = run_json([a.example, a.model, train, valid, test, a.names, WORDS, file])
        cases = [line.split("\t") for line in file.read_text().splitlines()]
        typed = sorted({case[0] for case in cases})
        words = run_json([POCKETLM, "inspect", a.model, "--json"])["vocabulary"]
        others = {"Hunspell": shares(cases, hunspell(typed))} | {
            f"SymSpell, {count:,} words": shares(cases, symspell(typed, train, count)) for count in (words, 50_000)}
        if a.large:
            large = run_json([a.example, a.large, train, valid, test, a.names, WORDS])
            found["large"] = {key: large[key] for key in ("p50_ms", "p99_ms")}
    files = {"model": a.model, "train": train, "valid": valid, "test": test, "names": a.names}
    # `target/debug` is whatever the profile of the day was.
    write_json(ROOT / "results/correction.json", {
        "commit": head(), "machine": machine() | {"threads": 1}, "profile": a.example.parent.parent.name,
        "sha256": {key: sha256(path) for key, path in files.items()}} | found | {"others": others})


if __name__ == "__main__":
    main()
