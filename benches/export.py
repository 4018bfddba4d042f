"""Trained models as ONNX files: perplexity on Penn Treebank by pocketlm and by ONNX Runtime, f32 and int8.

Every token of the test split goes through the contract `step` with carried state, as `pocketlm eval` reads it. Bytes are
those of the files; an ONNX file holds no words.

    python benches/export.py --data DIR/ptb
"""

import argparse
import math
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime

from measure import POCKETLM, ROOT, provenance, run_json, write_json

MODELS = ["inan-small", "keyboard"]


def perplexity(path: Path, ids: list[int]) -> float:
    """Of all tokens after the first, which is the end of a line before them."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options)
    state = {i.name: np.zeros((1, i.shape[1]), np.float32) for i in session.get_inputs()[1:]}
    names = [output.name for output in session.get_outputs()]
    nll = 0.0
    for token, target in zip(ids, ids[1:]):
        out = dict(zip(names, session.run(None, {"token": np.array([token]), **state})))
        nll -= float(out["log_probabilities"][0, target])
        state = {name: out["next_" + name] for name in state}
    return math.exp(nll / (len(ids) - 1))


def measure(name: str, data: Path, folder: Path) -> dict:
    model = ROOT / "assets" / name
    known = {word: id for id, word in enumerate((model / "vocab.txt").read_text().split("\n"))}
    lines = (data / "test.txt").read_text().splitlines()
    ids = [known["<eos>"]]
    for line in lines:
        ids += [known.get(word, known["<unk>"]) for word in line.split()] + [known["<eos>"]]
    row: dict = {"model": name, "tokens": len(ids) - 1}
    for precision in ["f32", "int8"]:
        packed, path = folder / f"{name}-{precision}.plm", folder / f"{name}-{precision}.onnx"
        run = [POCKETLM, "export", model, "-o", path, "--precision", precision, "--json"]
        exported = run_json(run)
        own = model
        if precision == "int8":
            subprocess.run([POCKETLM, "pack", model, "-o", packed, "--precision", "int8"], check=True, capture_output=True)
            own = packed
        here = run_json([POCKETLM, "eval", own, "--data", data, "--json"])
        row[precision] = {
            "perplexity": here["perplexity"],
            "onnx_perplexity": perplexity(path, ids),
            "onnx_bytes": exported["bytes"],
            "packed_bytes": packed.stat().st_size if packed.exists() else None,
        }
        assert here["tokens"] == row["tokens"], "the same tokens"
        print(name, precision, row[precision], flush=True)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = [measure(name, arguments.data, Path(folder)) for name in MODELS]
    write_json(ROOT / "results/export.json", {**provenance("numpy", "onnxruntime"), "data": "Penn Treebank, test", "models": rows})


if __name__ == "__main__":
    main()
