"""Checkpoints with random weights, in the layout that `pocketlm train` writes: good for timing."""

import json
import tomllib
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from measure import ROOT

RECIPE = ROOT / "crates/pocketlm-train/recipes/zaremba-small.toml"


def make_checkpoint(folder: Path, vocabulary: int, width: int, layers: int) -> None:
    """An untied LSTM model whose embedding and layers are all `width` wide."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.Generator(np.random.PCG64(width))
    shapes = {"embedding": (vocabulary, width)}
    for k in range(layers):
        shapes |= {f"cell.{k}.{part}": (4 * width, width) for part in ("input", "recurrent")}
        shapes[f"cell.{k}.bias"] = (4 * width,)
    shapes |= {"softmax": (vocabulary, width), "softmax.bias": (vocabulary,)}

    def draw(name: str, shape: tuple[int, ...]) -> np.ndarray:
        # Scales at which gates and logits spread about as in a trained model, and about normal as there: products
        # of bytes may take longer where most activations are as large as the largest.
        scale = {"embedding": 0.6, "softmax": 4.6 / width**0.5}.get(name, 1.15 / width**0.5)
        return rng.standard_normal(shape, np.float32) * np.float32(scale)

    tensors = {name: draw(name, shape) for name, shape in shapes.items()}
    save_file(tensors, folder / "model.safetensors")
    words = ["<eos>", "<unk>"] + [f"w{i}" for i in range(vocabulary - 2)]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    model = {
        "cell": "lstm",
        "embedding": width,
        "hidden": [width] * layers,
        "cell_projection": 0,
        "projection": 0,
        "tied": False,
    }
    config = {
        "version": 1,
        "unit": "word",
        "vocabulary": vocabulary,
        "model": model,
        "train": tomllib.loads(RECIPE.read_text())["train"],
        "provenance": {"data_sha256": "", "train_tokens": 0, "seed": width, "version": "random"},
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
