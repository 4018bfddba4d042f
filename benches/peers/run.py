"""Words per second of the same models in several runtimes, one thread each: one round.

    run.py [--size N ...]

Every runtime runs once, in turn, in a process of its own, and its figures are appended to the list
of rounds; run it several times, then report.py. The driver itself imports nothing large, since the
system counts a parent's memory into the peak of the children it starts.
"""

import argparse
import json
import subprocess
import time

from runtimes import PEERS, PRECISIONS, ROUNDS, SIZES, Peer, ours

from measure import POCKETLM, run_json, start, wait_json

SECONDS = "2"


def measure_peer(peer: Peer, size: int) -> dict:
    begin = time.monotonic()
    child = start(peer.command(size, "--seconds", SECONDS))
    child.stdout.readline()
    first_ms = 1e3 * (time.monotonic() - begin)
    row = wait_json(child) | {"first_word_ms": first_ms}
    if peer.bulk:
        bulk = run_json(peer.command(size, "--bulk", SECONDS))
        row["bulk_words_per_second"] = bulk["words_per_second"]
    file = peer.file(size)
    file = file / "model.safetensors" if file.is_dir() else file
    return row | {"bytes": file.stat().st_size}


def measure_ours(precision: str, size: int) -> dict:
    model = ours(precision, size)
    begin = time.monotonic()
    suggest = [POCKETLM, "suggest", "-m", model, "w1", "--json"]
    subprocess.run(suggest, check=True, stdout=subprocess.DEVNULL)
    first_ms = 1e3 * (time.monotonic() - begin)
    one = run_json([POCKETLM, "bench", model, "--json"])
    bulk = run_json([POCKETLM, "bench", model, "--batch", "32", "--json"])
    return {
        "words_per_second": one["tokens_per_second"],
        "p50_us": one["p50_us"],
        "p99_us": one["p99_us"],
        "peak_bytes": one["peak_bytes"],
        "first_word_ms": first_ms,
        "bulk_words_per_second": bulk["tokens_per_second"],
        "bytes": model.stat().st_size,
        "open_ms": one["open_ms"],
        "bound_words_per_second": one["bound_tokens_per_second"],
    }


def measure(size: int) -> None:
    sides = {peer.name: (measure_peer, peer) for peer in PEERS if peer.available()}
    if POCKETLM.exists():
        sides |= {f"pocketlm {precision}": (measure_ours, precision) for precision in PRECISIONS}
    for name, (function, subject) in sides.items():
        row = {"size": size, "runtime": name} | function(subject, size)
        with ROUNDS.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(f"2x{size} {name}: {row['words_per_second']:.0f} words/s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, nargs="+", choices=SIZES, default=SIZES)
    for size in parser.parse_args().size:
        measure(size)


if __name__ == "__main__":
    main()
