#!/usr/bin/env python3
"""Draws results/paper/*.json as results/paper.svg and results/paper.png: size against test perplexity, the
published points beside ours. Needs matplotlib."""

import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
matplotlib.rcParams["svg.hashsalt"] = "pocketlm"  # the same points give the same bytes
import matplotlib.pyplot as plt

RESULTS = Path(__file__).resolve().parent.parent / "results"


def main() -> None:
    rows = [json.loads(path.read_text()) for path in sorted((RESULTS / "paper").glob("*.json"))]
    figure, axes = plt.subplots(figsize=(8, 5))
    for row in rows:
        theirs = (row["paper"]["bytes"] / 1e6, row["paper"]["perplexity"])
        axes.plot(*theirs, "o", color="tab:gray")
        axes.annotate(row["name"], theirs, xytext=(4, 4), textcoords="offset points", fontsize=7, color="tab:gray")
        if row["status"] == "not-run":
            continue
        ours = (row["bytes_without_vocabulary"] / 1e6, row["test_perplexity"])
        axes.plot(*ours, "D" if row["status"] == "done" else "d", color="tab:blue")
        axes.annotate(row["name"], ours, xytext=(4, -9), textcoords="offset points", fontsize=7, color="tab:blue")
        axes.annotate("", ours, theirs, arrowprops={"arrowstyle": "->", "color": "tab:blue", "alpha": 0.3})
    axes.set_xscale("log")
    axes.set_xlabel("MB without the vocabulary")
    axes.set_ylabel("test perplexity, Penn Treebank")
    axes.set_title("Grey: Grachev, Ignatov & Savchenko 2017; blue: pocketlm (small: training unfinished)", fontsize=9)
    axes.grid(alpha=0.3, which="both")
    figure.tight_layout()
    figure.savefig(RESULTS / "paper.svg", metadata={"Date": None})
    figure.savefig(RESULTS / "paper.png", dpi=120)


if __name__ == "__main__":
    main()
