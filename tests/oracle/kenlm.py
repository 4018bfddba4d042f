"""Golden n-gram fixtures from KenLM: what its lmplz and query say, word by word.

Builds both programs from the source distribution of PyPI's kenlm, of which pip builds the query side only.
Needs g++, zlib and Boost (Debian: libboost-dev libboost-thread-dev libboost-program-options-dev).

    python tests/oracle/kenlm.py --build BUILD --ptb DIR/ptb
"""

import argparse
import json
import random
import re
import subprocess
import sys
import tarfile
from pathlib import Path

VERSION = "0.3.0"
HERE = Path(__file__).resolve().parent / "fixtures"
PARTS = ["util", "util/double-conversion", "util/stream", "lm", "lm/common", "lm/builder"]
PTB_LINES = 500


def build(folder: Path) -> None:
    """Compiles lmplz, build_binary, query and kenlm_benchmark into `folder`, unless they are there."""
    programs = {"lmplz": "lm/builder/lmplz_main.cc", "build_binary": "lm/build_binary_main.cc",
                "query": "lm/query_main.cc", "kenlm_benchmark": "lm/kenlm_benchmark_main.cc"}
    if all((folder / program).exists() for program in programs):
        return
    folder.mkdir(parents=True, exist_ok=True)
    run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "kenlm",
         f"kenlm=={VERSION}", "--dest", folder])
    with tarfile.open(folder / f"kenlm-{VERSION}.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    root = folder / f"kenlm-{VERSION}"
    flags = ["-std=c++11", "-O3", "-DNDEBUG", "-DKENLM_MAX_ORDER=6", "-w", "-I", root]
    objects = []
    for part in PARTS:
        for source in sorted((root / part).glob("*.cc")):
            if source.stem.endswith(("_main", "_test")):
                continue
            objects.append(folder / f"{part.replace('/', '_')}_{source.stem}.o")
            if not objects[-1].exists():
                run(["g++", *flags, "-c", source, "-o", objects[-1]])
    libraries = ["-lboost_program_options", "-lboost_thread", "-lboost_system", "-lz", "-lpthread", "-lrt"]
    for program, source in programs.items():
        run(["g++", *flags, root / source, *objects, "-o", folder / program, *libraries])


def run(command: list, text: str | None = None) -> subprocess.CompletedProcess:
    command = [str(part) for part in command]
    done = subprocess.run(command, input=text, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: {done.stderr}")
    return done


def lmplz(folder: Path, text: str, order: int, cutoffs: str) -> tuple[str, list[list[float]]]:
    """The ARPA file of a text and the discounts of each order."""
    prune = ["--prune", *cutoffs.split()] if cutoffs else []
    done = run([folder / "lmplz", "-o", order, "-S", "200M", "-T", folder, "--discount_fallback", *prune], text)
    discounts = re.findall(r"D1=(\S+) D2=(\S+) D3\+=(\S+)", done.stderr)
    return done.stdout, [[float(amount) for amount in amounts] for amounts in discounts]


def log10s(folder: Path, arpa: str, text: str) -> list[float]:
    """log10 p of each token of a text, line by line from <s> to </s>."""
    path = folder / "model.arpa"
    path.write_text(arpa)
    lines = run([folder / "query", "-v", "word", path], text).stdout.splitlines()
    words = [field for line in lines for field in line.split("\t")]
    found = [re.fullmatch(r"\S+=\d+ \d+ (-?[\d.e-]+)", field) for field in words]
    return [float(match[1]) for match in found if match]


def sentences(seed: int, count: int) -> str:
    """Text in which some words often follow others, so that n-grams of every length come again."""
    draw = random.Random(seed)
    lines = []
    for _ in range(count):
        word, line = int(500 * draw.random() ** 5), []
        while len(line) < 25 and (len(line) < 2 or draw.random() > 0.1):
            line.append(f"w{word}")
            follows = (word * 7 + draw.choice([1, 1, 1, 2, 3])) % 500
            word = follows if draw.random() < 0.7 else int(500 * draw.random() ** 5)
        lines.append(" ".join(line))
    return "\n".join(lines) + "\n"


def small(folder: Path) -> None:
    train, test = sentences(1, 700), sentences(2, 60) + "w3 nobody w5 knows\n"
    cases = []
    for order, cutoffs in [(2, ""), (3, ""), (5, ""), (6, ""), (3, "0 0 1"), (4, "0 1 1 2")]:
        arpa, discounts = lmplz(folder, train, order, cutoffs)
        cutoffs = [int(cutoff) for cutoff in cutoffs.split()]
        cases.append({"order": order, "cutoffs": cutoffs, "discounts": discounts,
                      "log10": log10s(folder, arpa, test)})
    object_ = {"program": f"lmplz and query of kenlm {VERSION}", "train": train, "test": test, "cases": cases}
    (HERE / "kenlm.json").write_text(json.dumps(object_) + "\n")


def ptb(folder: Path, data: Path) -> None:
    """Order 5 on Penn Treebank, whose <unk> goes by another name since lmplz keeps it to itself."""
    read = lambda name: (data / name).read_text().replace("<unk>", "UNK")
    arpa, discounts = lmplz(folder, read("train.txt"), 5, "")
    log10 = log10s(folder, arpa, read("test.txt"))
    lines = read("test.txt").splitlines()[:PTB_LINES]
    tokens = sum(len(line.split()) + 1 for line in lines)
    object_ = {"program": f"lmplz and query of kenlm {VERSION}", "order": 5, "discounts": discounts,
               "tokens": len(log10), "log10_of_all": sum(log10), "lines": PTB_LINES, "log10": log10[:tokens]}
    (HERE / "kenlm_ptb.json").write_text(json.dumps(object_) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=Path("target/kenlm"), help="folder for KenLM's programs")
    parser.add_argument("--ptb", type=Path, help="folder with train.txt and test.txt of Penn Treebank")
    arguments = parser.parse_args()
    build(arguments.build)
    small(arguments.build)
    if arguments.ptb:
        ptb(arguments.build, arguments.ptb)
