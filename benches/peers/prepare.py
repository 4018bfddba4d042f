"""Random checkpoints of every size, every runtime's file of them, and a check of each runtime.

    prepare.py [--size N ...]

It also empties the list of rounds that run.py fills.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

from runtimes import LAYERS, PEERS, PRECISIONS, ROUNDS, SIZES, VOCABULARY, WORDS, WORK, Peer, ours, rust

import onnx_export
import torch_lm
import torch_peer
from checkpoint import make_checkpoint
from measure import POCKETLM, run_json
from protocol import CHECKED

# Largest difference of a log-probability to PyTorch's f32.
BOUNDS = {"f32": 1e-3, "int8": 0.1}
# Ours are held to the mean negative log-likelihood of a text.
NLL_BOUNDS = {"f32": 1e-4, "int8": 0.01, "int4": 0.05}


def prepare(size: int) -> None:
    folder = WORK / str(size)
    checkpoint = folder / "checkpoint"
    make_checkpoint(checkpoint, VOCABULARY, size, LAYERS)
    torch_peer.quantise(checkpoint, folder / "model.int8.pt")
    onnx_export.export(checkpoint, folder / "model.onnx")
    onnx_export.quantise(folder / "model.onnx", folder / "model.int8.onnx")
    candle = rust("candle")
    if Path(candle[0]).exists():
        weights = checkpoint / "model.safetensors"
        subprocess.run([*candle, "quantise", weights, folder / "model.gguf"], check=True)
    if POCKETLM.exists():
        for precision in PRECISIONS:
            pack(checkpoint, ours(precision, size), precision)


def pack(checkpoint: Path, output: Path, precision: str) -> None:
    output.unlink(missing_ok=True)
    command = [POCKETLM, "pack", checkpoint, "-o", output, "--precision", precision]
    subprocess.run(command, check=True)


def forget(size: int) -> None:
    """Takes the models' files out of the system's cache, so that they are read as after a start of the machine: a
    file that was just written lies in small pages."""
    for path in filter(Path.is_file, (WORK / str(size)).rglob("*")):
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def check(size: int) -> None:
    """Every peer's log-probabilities of the first words against PyTorch's in f32."""
    reference = None
    for peer in filter(Peer.available, PEERS):
        output = WORK / "check.f32"
        run_json(peer.command(size, "--check", output))
        found = np.fromfile(output, np.float32).reshape(CHECKED, VOCABULARY)
        reference = found if reference is None else reference
        error = float(np.abs(found - reference).max())
        print(f"2x{size} {peer.name}: log-probabilities within {error:.1e}", flush=True)
        if not error < BOUNDS[peer.precision]:
            sys.exit(f"{peer.name} computes something else: {error} > {BOUNDS[peer.precision]}")


def check_ours(size: int) -> None:
    """The mean NLL that our packed models give a text, against PyTorch's of the checkpoint."""
    folder = WORK / str(size) / "checkpoint"
    words = (folder / "vocab.txt").read_text().splitlines()
    ids = np.fromfile(WORDS, np.int64)[:CHECKED]
    ids = ids[ids > 1]  # neither <eos> nor <unk>
    tokens = torch.tensor([0, *ids, 0])
    expected = torch_lm.score(torch_lm.load(folder), tokens, len(tokens)) / (len(tokens) - 1)
    text = " ".join(words[i] for i in ids)
    for precision in PRECISIONS:
        found = run_json([POCKETLM, "score", "-m", ours(precision, size), text, "--json"])
        error = abs(found["nll"] / found["tokens"] - expected)
        print(f"2x{size} pocketlm {precision}: nats per word within {error:.1e}", flush=True)
        if not (error < NLL_BOUNDS[precision] and found["tokens"] == len(tokens) - 1):
            sys.exit(f"pocketlm {precision} gives {found}, PyTorch {expected} nats per word")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, nargs="+", choices=SIZES, default=SIZES)
    sizes = parser.parse_args().size
    WORK.mkdir(parents=True, exist_ok=True)
    rng = np.random.Generator(np.random.PCG64(1))
    (rng.random(20_000) * VOCABULARY).astype(np.int64).tofile(WORDS)
    ROUNDS.unlink(missing_ok=True)
    for size in sizes:
        prepare(size)
        check(size)
        if POCKETLM.exists():
            check_ours(size)
        forget(size)


if __name__ == "__main__":
    main()
