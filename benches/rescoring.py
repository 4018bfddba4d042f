"""Word error rates of n-best lists before and after rescoring, and hypotheses a second.

The models are trained on one sentence a line, in small letters and without punctuation, as a recogniser writes:

    python benches/rescoring.py --write-text text --data DIR/open-en
    pocketlm train --data text --text tokenised --model keyboard --max-vocab 13000 --set batch=12 \\
        --set 'betas=[0.9, 0.999]' --lr 0.006 --set warmup=200 --epochs 1 --out runs
    pocketlm pack runs -o asr.plm --precision int8
    pocketlm ngram --data text --text tokenised --max-vocab 13000 --order 5 -o five.plm
    python benches/rescoring.py --data DIR/open-en --nbest DIR/nbest --model asr.plm --mix five.plm

Hypotheses a second are those of a second of processor time, the opening of the models included, so that other work on
the machine counts little. The weights of a list are fitted on one half and applied to the other, and the other way round, so no utterance is
rescored with weights that have seen its reference.
"""

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from measure import POCKETLM, ROOT, machine, write_json

LISTS = ("flite-pocketsphinx-scored", "hyporadise-cv")
SENTENCE = re.compile(r"(?<=[.!?])[\"')]*\s+")


def words(text: str) -> list[str]:
    """What `rescore` makes of a text: small letters, no punctuation but the apostrophes within words."""
    text = text.lower().replace("\u2019", "'")
    kept = "".join(letter if letter.isalnum() or letter == "'" else " " for letter in text)
    return [word for word in (word.strip("'") for word in kept.split()) if word]


def write_text(data: Path, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for split in ("train", "valid", "test"):
        sentences = (words(s) for line in open(data / f"{split}.txt") for s in SENTENCE.split(line))
        (out / f"{split}.txt").write_text("".join(" ".join(s) + "\n" for s in sentences if s))


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def rescore(part: Path, tune: Path, models: list, scored: Path) -> dict:
    """The report of one half, and the rescored lists in `scored`."""
    flags = ["--tune", tune, "--length-bonus", 0, "--write", "ranked", "-o", scored, "--force", "--json", "--threads", 2]
    command = [POCKETLM, "rescore", part, *models, *flags]
    done = subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def speed(whole: Path, models: list, count: int) -> float:
    """Hypotheses a second of processor time."""
    command = [POCKETLM, "rescore", whole, *models, "--write", "none", "--threads", 2]
    child = subprocess.Popen([str(word) for word in command], stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        sys.exit(f"{' '.join(child.args)}: exit code {child.returncode}")
    return count / (usage.ru_utime + usage.ru_stime)


def both(ranked: list[Path], whole: Path, models: list) -> dict:
    """Rates of all utterances together: the lists are in their new order, whose first hypothesis is chosen, and this is
    counted beside the given order by the same program."""
    def rates(path: Path) -> dict:
        command = [POCKETLM, "rescore", path, *models, "--lm-scale", 0, "--write", "none", "--json"]
        done = subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True)
        return json.loads(done.stdout)["rates"]

    joined = whole.with_suffix(".ranked")
    joined.write_text("".join(path.read_text() for path in ranked))
    before, after = rates(whole)["before"], rates(joined)
    return {"utterances": after["utterances"], "words": after["words"], "before": before, "after": after["after"],
            "oracle": after["oracle"], "reduction": 1 - after["after"]["value"] / before["value"]}


def measure(name: str, a: argparse.Namespace, folder: Path) -> dict:
    lines = (a.nbest / f"{name}.jsonl").read_text().splitlines(keepends=True)
    whole = folder / "whole.jsonl"
    whole.write_text("".join(lines))
    halves = [folder / "even.jsonl", folder / "odd.jsonl"]
    for k, half in enumerate(halves):
        half.write_text("".join(lines[k::2]))
    rows = {}
    for kind, models in {"model": ["-m", a.model], "ngram": ["-m", a.mix], "mixture": ["-m", a.model, "--mix", a.mix]}.items():
        ranked = [folder / f"{kind}-{k}.jsonl" for k in (0, 1)]
        reports = [rescore(halves[k], halves[1 - k], models, ranked[k]) for k in (0, 1)]
        count = sum(r["hypotheses"] for r in reports)
        rows[kind] = both(ranked, whole, models) | {
            "weights": [r["weights"] for r in reports], "oov": sum(r["oov"] for r in reports), "hypotheses": count,
            "hypotheses_per_cpu_second": speed(whole, models, count)}
        commit = reports[0]["machine"]["commit"]
    return {"list": name, "sha256": sha256(a.nbest / f"{name}.jsonl"), "commit": commit, "machine": machine() | {"threads": 2},
            "model_bytes": a.model.stat().st_size, "mix_bytes": a.mix.stat().st_size,
            "model_sha256": sha256(a.model), "mix_sha256": sha256(a.mix),
            "train_sha256": sha256(a.data / "train.txt"), "rows": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder open-en")
    parser.add_argument("--write-text", type=Path, help="write the text to train on into this folder, and stop")
    parser.add_argument("--nbest", type=Path, help="the folder of the lists")
    parser.add_argument("--model", type=Path, help="recurrent model (.plm)")
    parser.add_argument("--mix", type=Path, help="n-gram model of the same words (.plm)")
    parser.add_argument("--lists", nargs="*", default=LISTS)
    parser.add_argument("--out", type=Path, default=ROOT / "results/rescoring")
    a = parser.parse_args()
    if a.write_text:
        return write_text(a.data, a.write_text)
    for name in a.lists:
        with tempfile.TemporaryDirectory() as folder:
            write_json(a.out / f"{name}.json", measure(name, a, Path(folder)))


if __name__ == "__main__":
    main()
