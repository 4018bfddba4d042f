"""The calls of measure.rs through the Python package."""

import struct
import sys
import time
from collections.abc import Callable

import pocketlm

CALLS = 200


def measure(name: str, batches: int, call: Callable[[int], object]) -> None:
    best = float("inf")
    for _ in range(batches):
        begin = time.perf_counter()
        for at in range(CALLS):
            call(at)
        best = min(best, (time.perf_counter() - begin) * 1e6 / CALLS)
    print(f"{name} {best:.4f}")


def main() -> None:
    path, text, batches = sys.argv[1], sys.argv[2], int(sys.argv[3])
    model = pocketlm.Model.open(path)
    session = pocketlm.Session(model)
    print("score", struct.pack(">d", -session.score(text).nll).hex())
    words = len(model)
    ids = [[at % words] for at in range(CALLS)]
    measure("feed", batches, lambda at: session.feed(ids[at]))
    measure("suggest", batches, lambda at: session.suggest(3))
    measure("score_text", batches, lambda at: session.score(text))


if __name__ == "__main__":
    main()
