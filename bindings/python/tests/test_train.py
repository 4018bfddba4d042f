"""Training, compressing and packing from Python."""

import random
from pathlib import Path
from typing import Any

import pocketlm
import pytest

RECIPE = {"hidden": [16], "embedding": 16, "epochs": 2, "batch": 4, "steps": 8, "lr": 1.0, "dropout": 0.0}


def write_text(folder: Path) -> Path:
    """Sentences of a subject, a verb and an object, in three splits."""
    draw = random.Random(1)
    nouns, verbs = ["cook", "sailor", "dog", "child"], ["sees", "bakes", "likes"]
    folder.mkdir()
    for split, lines in [("train", 400), ("valid", 50), ("test", 50)]:
        text = [f"the {draw.choice(nouns)} {draw.choice(verbs)} the {draw.choice(nouns)}" for _ in range(lines)]
        (folder / f"{split}.txt").write_text("\n".join(text) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, dict[str, Any], list[dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("trained")
    text, events = write_text(folder / "text"), list[dict[str, Any]]()
    report = pocketlm.train(text, folder / "model", settings=RECIPE, progress=events.append)
    return folder / "model", text, report, events


def test_a_training_learns_and_tells(trained: Any) -> None:
    model, _, report, events = trained
    assert report["test"]["perplexity"] < report["vocabulary"] / 2
    best = [event for event in events if event["split"] == "valid"]
    assert [event["epoch"] for event in best] == [1, 2]
    assert min(event["perplexity"] for event in best) == pytest.approx(report["valid"]["perplexity"])
    found = dict(pocketlm.Session(pocketlm.Model.open(model)).complete("the cook bakes ", 1))
    assert list(found) == ["the"] and found["the"] > 0.5
    assert {event["epoch"] for event in pocketlm_metrics(model)} == {1, 2}


def pocketlm_metrics(folder: Path) -> list[dict[str, Any]]:
    from pocketlm.plots import metrics

    return metrics(folder)


def test_compressing_and_packing(trained: Any, tmp_path: Path) -> None:
    model, text, _, _ = trained
    steps: list[dict[str, Any]] = [{"method": "prune", "sparsity": 0.5, "matrices": ["softmax"]},
             {"method": "quantise", "precision": "int8", "matrices": ["*"]}]
    out, again, told = tmp_path / "small.plm", tmp_path / "small", list[dict[str, Any]]()
    reports = pocketlm.compress(model, out, steps, data=text, checkpoint_out=again, progress=told.append)
    assert [report["step"] for report in reports] == ["start", "prune", "quantise"] and told == reports
    assert out.stat().st_size == reports[-1]["bytes"] < reports[0]["bytes"]
    assert pocketlm.Model.open(out).score("the cook bakes") < 0
    with pytest.raises(FileExistsError, match="force"):
        pocketlm.compress(model, out, steps)
    packed = tmp_path / "packed.plm"
    assert pocketlm.pack(model, packed, precision="int4") == packed.stat().st_size
    with pytest.raises(pocketlm.Error, match="int8"):
        pocketlm.pack(model, packed, precision="int9", force=True)
    assert pocketlm.Model.open(again).score("the cook bakes") == pytest.approx(
        pocketlm.Model.open(out).score("the cook bakes"), abs=0.1)


def test_faults_are_told_before_any_work(trained: Any, tmp_path: Path) -> None:
    model, text, _, _ = trained
    with pytest.raises(FileNotFoundError):
        pocketlm.train(tmp_path / "none", tmp_path / "out")
    with pytest.raises(pocketlm.Error, match="hiden"):
        pocketlm.train(text, tmp_path / "out", settings={"hiden": [3]})
    with pytest.raises(pocketlm.Error, match="zaremba-small"):
        pocketlm.train(text, tmp_path / "out", model="zaremba")
    with pytest.raises(pocketlm.Error, match="holds a training"):
        pocketlm.train(text, model, settings=RECIPE)
    with pytest.raises(pocketlm.Error, match="sparsity"):
        pocketlm.compress(model, tmp_path / "out.plm", [{"method": "prune", "sparsity": 2.0, "matrices": ["*"]}])
    with pytest.raises(TypeError, match="steps or recipe"):
        pocketlm.compress(model, tmp_path / "out.plm")
    assert not (tmp_path / "out").exists() and not (tmp_path / "out.plm").exists()


def test_what_progress_raises_stops_and_the_training_resumes(trained: Any, tmp_path: Path) -> None:
    _, text, report, _ = trained

    def stop(event: dict[str, Any]) -> None:
        if event["epoch"] == 2:
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        pocketlm.train(text, tmp_path / "model", settings=RECIPE, progress=stop)
    again = pocketlm.train(text, tmp_path / "model", settings=RECIPE, resume=True)
    assert again["valid"]["perplexity"] == report["valid"]["perplexity"]


def test_plots(trained: Any) -> None:
    pyplot = pytest.importorskip("matplotlib.pyplot", reason="plots need matplotlib")
    from pocketlm.plots import frontier, learning_curve

    assert len(learning_curve(trained[0]).lines) == 2
    assert len(frontier({"a": (1e6, 90.0), "b": (2e6, 95.0), "c": (3e6, 80.0)}).lines[1].get_xdata()) == 2
    pyplot.close("all")
