"""What every peer does, whatever runs the model.

A peer is a process of its own. It opens a model, prints the line `first` as soon as it has the first
word's log-probabilities (the driver times that from outside), and then one JSON object. It works in
one of three ways:

    --check FILE     log-probabilities of the first words, [CHECKED, vocabulary] float32, into FILE
    --seconds S      one word at a time for S seconds
    --bulk S         BULK_STREAMS streams side by side, BULK_STEPS words a call, for S seconds

State is carried from word to word, and log-softmax runs over the whole vocabulary.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np

CHECKED = 64
BULK_STREAMS, BULK_STEPS = 32, 35


class Peer(Protocol):
    """A model with a state, in some runtime."""

    def reset(self, streams: int) -> None:
        """Zero state for so many streams."""

    def feed(self, words: np.ndarray) -> np.ndarray:
        """Log-probabilities [steps, streams, vocabulary] after each of words [steps, streams]."""


def arguments(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The arguments that all peers share, added to a parser that may have some of its own."""
    parser.add_argument("model", type=Path)
    parser.add_argument("--words", type=Path, required=True, help="int64 ids")
    parser.add_argument("--check", type=Path)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--bulk", type=float)
    return parser.parse_args()


def run(peer: Peer, args: argparse.Namespace) -> None:
    """The whole life of a peer once its model is open."""
    words = np.fromfile(args.words, dtype=np.int64)
    peer.reset(1)
    peer.feed(words[:1, None])
    print("first", flush=True)
    if args.check:
        peer.reset(1)
        rows = [peer.feed(word.reshape(1, 1)).reshape(-1).copy() for word in words[:CHECKED]]
        np.stack(rows).astype(np.float32).tofile(args.check)
        print(json.dumps({"checked": CHECKED}))
    elif args.seconds:
        print(json.dumps(one_by_one(peer, words, args.seconds)))
    elif args.bulk:
        print(json.dumps(bulk(peer, words, args.bulk)))
    else:
        sys.exit("give --check, --seconds or --bulk")


def durations(step: Callable[[int], object], seconds: float, warm_up: int) -> np.ndarray:
    """Seconds that each call of `step` took, for so long, after a warm-up."""
    for i in range(warm_up):
        step(i)
    times, begin = [], time.perf_counter()
    end = begin + seconds
    while begin < end:
        step(len(times))
        now = time.perf_counter()
        times.append(now - begin)
        begin = now
    return np.array(times)


def one_by_one(peer: Peer, words: np.ndarray, seconds: float) -> dict:
    peer.reset(1)
    calls = list(words.reshape(-1, 1, 1))
    times = durations(lambda i: peer.feed(calls[i % len(calls)]), seconds, warm_up=20)
    p50, p99 = np.percentile(times, [50, 99]) * 1e6
    return {"words_per_second": len(times) / times.sum(), "p50_us": p50, "p99_us": p99}


def bulk(peer: Peer, words: np.ndarray, seconds: float) -> dict:
    peer.reset(BULK_STREAMS)
    size = BULK_STEPS * BULK_STREAMS
    whole = words[: len(words) // size * size]
    calls = list(whole.reshape(-1, BULK_STEPS, BULK_STREAMS))
    times = durations(lambda i: peer.feed(calls[i % len(calls)]), seconds, warm_up=1)
    return {"words_per_second": len(times) * size / times.sum()}
