"""Plots, through matplotlib where it is installed: `pip install matplotlib`."""

import json
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path as _Path
from typing import Any, Union

Path = Union[str, "PathLike[str]"]


def _axes(axes: Any) -> Any:
    if axes is not None:
        return axes
    from matplotlib import pyplot

    return pyplot.figure().add_subplot()


def metrics(folder: Path) -> list[dict[str, Any]]:
    """The events of a training so far: the lines of its `metrics.jsonl`, of which the last may be half-written."""
    events = []
    for line in (_Path(folder) / "metrics.jsonl").read_text(encoding="utf-8").splitlines():
        try:
            events.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return events


def learning_curve(*folders: Path, axes: Any = None) -> Any:
    """Perplexity over epochs, of the training text so far and of the validation text, of one or several trainings."""
    axes = _axes(axes)
    for folder in folders:
        events, name = metrics(folder), _Path(folder).name
        for split, line in [("train", "--"), ("valid", "-")]:
            own = [event for event in events if event["split"] == split]
            epochs = [event["epoch"] - 1 + event["fraction"] for event in own]
            axes.plot(epochs, [event["perplexity"] for event in own], line, label=f"{name}, {split}")
    axes.set(xlabel="epoch", ylabel="perplexity", yscale="log")
    axes.legend()
    return axes


def frontier(models: Mapping[str, tuple[float, float]] | Sequence[Mapping[str, Any]], axes: Any = None) -> Any:
    """Perplexity over the size of the file. `models` gives for a name bytes and perplexity, or is what `compress` returned;
    a line joins those that no other is both smaller and better than."""
    axes = _axes(axes)
    if not isinstance(models, Mapping):
        models = {report["step"]: (report["bytes"], report["valid_perplexity"]) for report in models}
    points = sorted((size / 1e6, perplexity, name) for name, (size, perplexity) in models.items())
    best: list[tuple[float, float]] = []
    for size, perplexity, name in points:
        axes.annotate(name, (size, perplexity), textcoords="offset points", xytext=(4, 4))
        if not best or perplexity < best[-1][1]:
            best.append((size, perplexity))
    axes.plot([size for size, _, _ in points], [perplexity for _, perplexity, _ in points], "o")
    axes.plot([size for size, _ in best], [perplexity for _, perplexity in best], "-")
    axes.set(xlabel="MB", ylabel="perplexity")
    return axes
