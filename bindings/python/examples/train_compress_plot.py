"""Trains a small model for some seconds, compresses it, and plots both: `python train_compress_plot.py [FOLDER]`.

Without matplotlib it prints the figures and draws nothing.
"""

import random
import sys
import tempfile
from pathlib import Path

import pocketlm

# %% A text: sentences of a few words, in three splits. Take your own instead.
folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp())
text = folder / "text"
text.mkdir(parents=True)
draw = random.Random(1)
who, does, whom = ["the cook", "a sailor", "the old dog", "my child"], ["sees", "feeds", "likes"], ["bread", "the sea", "a cat"]
for split, lines in [("train", 3000), ("valid", 300), ("test", 300)]:
    sentences = [f"{draw.choice(who)} {draw.choice(does)} {draw.choice(whom)}" for _ in range(lines)]
    (text / f"{split}.txt").write_text("\n".join(sentences) + "\n", encoding="utf-8")

# %% Train
settings = {"hidden": [48], "embedding": 48, "epochs": 4, "lr": 1.0, "dropout": 0.0}
report = pocketlm.train(text, folder / "model", settings=settings,
                        progress=lambda e: print(f"epoch {e['epoch']}: {e['split']} {e['perplexity']:.2f}") if e.get("best") else None)
print(f"test perplexity {report['test']['perplexity']:.2f} of {report['vocabulary']} words")

# %% Compress
steps: list[dict[str, object]] = [
    {"method": "prune", "sparsity": 0.6, "matrices": ["*"]},
    {"method": "quantise", "precision": "int8", "matrices": ["*"]},
]
reports = pocketlm.compress(folder / "model", folder / "small.plm", steps, data=text)
for step in reports:
    print(f"{step['step']:9} {step['bytes']:7} bytes, valid perplexity {step['valid_perplexity']:.2f}")

# %% Use
session = pocketlm.Session(pocketlm.Model.open(folder / "small.plm"))
print("the cook …", session.complete("the cook ", k=3))

# %% Plot
try:
    from matplotlib import pyplot
except ImportError:
    sys.exit(print("no matplotlib: nothing is drawn"))
from pocketlm.plots import frontier, learning_curve

figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 4))
learning_curve(folder / "model", axes=left)
frontier(reports, axes=right)
figure.savefig(folder / "figures.svg")
print(folder / "figures.svg")
