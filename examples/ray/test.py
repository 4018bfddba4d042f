"""Tests the examples on a local cluster of two workers, one of which is killed midway.

    python examples/ray/test.py --pocketlm target/release/pocketlm [--speed LINES]

Needs Ray (`pip install "ray[data,tune]"`) and this repository's Python package. With --speed it also times the scoring of
so many lines beside as many plain processes, and writes results/ray.json.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pyarrow.parquet as parquet
import ray

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(HERE), str(ROOT / "benches")]

import score as scoring  # noqa: E402

WORKERS = 2
WORDS = "the a of to and in company said it market share price year new".split()


def lines(count: int) -> list[str]:
    """Different lines, so that one that is lost or done twice is seen."""
    return [" ".join(WORDS[(i * 7 + k * k + i // 13) % len(WORDS)] for k in range(4 + i % 9)) + f" {i}" for i in range(count)]


def rows(out: Path) -> list[dict]:
    return [row for file in sorted(out.glob("*.parquet")) for row in parquet.read_table(file).to_pylist()]


def scorers() -> list[int]:
    """The processes that score now."""
    found = subprocess.run(["pgrep", "-f", "ray::.*Scorer"], capture_output=True, text=True).stdout.split()
    return [int(pid) for pid in found]


def kill_one(after: float, killed: list[int]) -> None:
    """Kills a worker, once it has worked for a while."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (pids := scorers()):
        time.sleep(0.05)
    time.sleep(after)
    for pid in scorers()[:1]:
        os.kill(pid, signal.SIGKILL)
        killed.append(pid)


def check_scores(model: Path, folder: Path) -> None:
    import pocketlm

    texts, out, killed = lines(120_000), folder / "scored", []
    (folder / "texts.txt").write_text("".join(line + "\n" for line in texts))
    killer = threading.Thread(target=kill_one, args=(1.0, killed))
    killer.start()
    scoring.score(str(model), str(folder / "texts.txt"), str(out), WORKERS, 1024)
    killer.join()
    assert killed, "no worker was killed: the text is too short"
    found = rows(out)
    assert sorted(row["text"] for row in found) == sorted(texts), "a line is missing or there twice"
    by_text = {row["text"]: row for row in found}
    sample = texts[::997]
    nll, tokens, unknown = pocketlm.Model.open(model).score_batch(sample)
    for text, *own in zip(sample, nll, tokens, unknown):
        row = by_text[text]
        assert abs(row["nll"] - own[0]) < 1e-6 and [row["tokens"], row["unknown"]] == own[1:], text
    print(f"scores: {len(found)} lines, a worker killed, nothing lost, nothing twice")


SPEC = """
[model]
embedding = 8
hidden = [8]
[train]
batch = 4
steps = 10
epochs = 40
[grid]
"train.lr" = [0.1, 0.2, 0.4, 0.8]
"""


def cut_off(out: Path, cut: list[int]) -> None:
    """Kills the first training that has validated."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not cut:
        for metrics in out.glob("*/metrics.jsonl"):
            if '"valid"' in metrics.read_text():
                found = subprocess.run(["pgrep", "-f", "--", f"--out {metrics.parent} "], capture_output=True, text=True).stdout
                for pid in found.split()[:1]:
                    os.kill(int(pid), signal.SIGKILL)
                    cut.append(int(pid))
                    return
        time.sleep(0.02)


def check_sweep(pocketlm: Path, folder: Path) -> None:
    (folder / "spec.toml").write_text(SPEC)
    (folder / "text.txt").write_text("".join(" ".join(line.split()[:-1]) + "\n" for line in lines(4000)))
    out, cut = folder / "sweep", []
    cutter = threading.Thread(target=cut_off, args=(out, cut))
    cutter.start()
    command = [sys.executable, HERE / "sweep.py", folder / "spec.toml", folder / "text.txt", out, "--workers", WORKERS,
               "--pocketlm", pocketlm]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    cutter.join()
    assert done.returncode == 0, done.stderr[-2000:]
    assert cut, "no training was cut off"
    assert done.stdout.count("done") == 4, done.stdout
    # An epoch is measured once, in the training that was cut off too.
    for number in range(1, 5):
        events = (out / f"{number:03}/metrics.jsonl").read_text().splitlines()
        assert sum('"valid"' in event for event in events) == 40, number
    print("sweep: 4 trials, one cut off and resumed, no epoch twice")


def plain(model: Path, text: Path, workers: int) -> float:
    """Seconds of as many plain processes, each of which scores a share of the text."""
    program = ("import sys, pocketlm\n"
               "model, texts = pocketlm.Model.open(sys.argv[1]), open(sys.argv[2]).read().splitlines()\n"
               "own = texts[int(sys.argv[3])::int(sys.argv[4])]\n"
               "print('ready', flush=True); sys.stdin.readline()\n"
               "for at in range(0, len(own), 4096): model.score_batch(own[at:at + 4096])\n")
    command = [sys.executable, "-c", program, str(model), str(text)]
    children = [subprocess.Popen([*command, str(k), str(workers)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
                for k in range(workers)]
    for child in children:
        child.stdout.readline()
    start = time.monotonic()
    for child in children:
        child.stdin.write("\n")
        child.stdin.flush()
    for child in children:
        child.wait()
    return time.monotonic() - start


def time_scores(model: Path, folder: Path, count: int) -> None:
    from measure import head, machine, write_json

    text = folder / "many.txt"
    text.write_text("".join(line + "\n" for line in lines(count)))
    # A small run first: what starts the cluster and its workers is not counted.
    start = time.monotonic()
    scoring.score(str(model), str(folder / "texts.txt"), str(folder / "warm"), WORKERS, 4096)
    warm = time.monotonic() - start
    pairs = []
    for turn in range(3):
        start = time.monotonic()
        scoring.score(str(model), str(text), str(folder / f"many-{turn}"), WORKERS, 4096)
        pairs.append({"ray_seconds": time.monotonic() - start, "plain_seconds": plain(model, text, WORKERS)})
    shares = sorted(pair["plain_seconds"] / pair["ray_seconds"] for pair in pairs)
    write_json(ROOT / "results/ray.json", {"commit": head(), "machine": machine(), "ray": ray.__version__, "lines": count,
                                           "workers": WORKERS, "first_run_seconds": warm, "pairs": pairs, "share": shares[1]})
    print(f"{count} lines: Ray has {100 * shares[1]:.0f} % of the speed of plain processes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pocketlm", type=Path, required=True)
    parser.add_argument("--model", type=Path, help="a .plm file (default: assets/keyboard, packed in int8)")
    parser.add_argument("--speed", type=int, metavar="LINES")
    a = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = a.model or folder / "model.plm"
        if not a.model:
            subprocess.run([a.pocketlm, "pack", ROOT / "assets/keyboard", "-o", model], check=True, capture_output=True)
        ray.init(num_cpus=WORKERS, include_dashboard=False, logging_level="ERROR")
        check_scores(model, folder)
        check_sweep(a.pocketlm.resolve(), folder)
        if a.speed:
            time_scores(model, folder, a.speed)
        ray.shutdown()


if __name__ == "__main__":
    main()
