#!/usr/bin/env python3
"""Draws results/field/BASE/*.json as results/field-BASE.svg: size against test perplexity of every method on one
base model, with the line of those that no other beats in both. Needs matplotlib."""

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
matplotlib.rcParams["svg.hashsalt"] = "pocketlm"  # the same points give the same bytes
import matplotlib.pyplot as plt
import matplotlib.ticker

RESULTS = Path(__file__).resolve().parent.parent / "results"

# Rows that are worse than the best by more than this factor would squeeze the others together: they are named below.
WORST = 1.35


def frontier(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Those points that none beats in size and in perplexity, by size."""
    found = []
    for size, perplexity in sorted(points):
        if not found or perplexity < found[-1][1]:
            found.append((size, perplexity))
    return found


def draw(base: str) -> None:
    paths = [path for path in sorted((RESULTS / "field" / base).glob("*.json")) if path.stem != "speed"]
    rows = [json.loads(path.read_text()) for path in paths]
    limit = WORST * min(row["test_perplexity"] for row in rows)
    shown = [row for row in rows if row["test_perplexity"] <= limit]
    beyond = [f"{row['name']} {row['test_perplexity']:.0f}" for row in rows if row["test_perplexity"] > limit]
    figure, axes = plt.subplots(figsize=(9, 6))
    points = [(row["bytes"] / 1e6, row["test_perplexity"]) for row in shown]
    best = frontier(points)
    axes.plot(*zip(*best), "-", color="tab:blue", alpha=0.4)
    for row, point in zip(shown, points):
        color = "tab:blue" if point in best else "tab:gray"
        axes.plot(*point, "o", color=color, markersize=4)
        axes.annotate(row["name"], point, xytext=(4, 4), textcoords="offset points", fontsize=7, color=color)
    axes.set_xscale("log")
    for axis in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
        axis(matplotlib.ticker.FormatStrFormatter("%g"))
    axes.set_xlabel("MB of the file")
    axes.set_ylabel("test perplexity, Penn Treebank")
    title = f"Every method on {base}; blue: nothing else is smaller and better"
    if beyond:
        title += f"\nbeyond the picture: {', '.join(beyond)}"
    axes.set_title(title, fontsize=8)
    axes.grid(alpha=0.3, which="both")
    figure.tight_layout()
    figure.savefig(RESULTS / f"field-{base}.svg", metadata={"Date": None})


if __name__ == "__main__":
    for name in sys.argv[1:] or sorted(path.name for path in (RESULTS / "field").iterdir()):
        draw(name)
