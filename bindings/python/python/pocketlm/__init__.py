"""Trains, compresses and runs small language models: recurrent ones and n-grams, each packed into one file.

    model = pocketlm.Model.open("keyboard.plm")
    session = pocketlm.Session(model)
    session.complete("the company sa", k=3)      # [("said", 0.83), ...]
    model.score("the cat sat")                   # log10, with <s> and </s>, as KenLM
    session.score("the cat sat")                 # nats, tokens, unknown words

Work is done without Python's lock. A model may be used by threads; a session by one at a time, others wait. Models are
pickled by their path, and mapped again where they arrive.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from typing import Any, Union

from ._pocketlm import Error, Model, Score, Session, __version__
from . import _pocketlm
from .torch import from_torch, to_torch

__all__ = ["Error", "Model", "Score", "Session", "compress", "from_torch", "pack", "to_torch", "train", "__version__"]

Path = Union[str, "PathLike[str]"]
Progress = Callable[[dict[str, Any]], object]


def _told(progress: Progress | None) -> Callable[[str], object] | None:
    """What the trainer calls with an event."""
    if progress is None:
        return None
    call = progress
    return lambda text: call(json.loads(text))


def train(
    data: Path,
    out: Path,
    *,
    model: str = "zaremba-small",
    recipe: Path | None = None,
    settings: Mapping[str, Any] | None = None,
    unit: str = "word",
    text: str = "auto",
    case: str = "true",
    max_vocab: int | None = None,
    min_count: int | None = None,
    unk: str | None = None,
    tokenizer: Path | None = None,
    seed: int = 1,
    resume: bool = False,
    device: str = "cpu",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Trains a model on text and leaves the epoch that validated best in the folder `out`, as `pocketlm train` does.

    `data` is a folder with train.txt, valid.txt and maybe test.txt, or one file, which is cut in three. `settings` lie
    over those of `recipe` (a TOML file), and these over those of the base model: `{"hidden": [128], "epochs": 4}`.
    `progress` is called ten times an epoch with what `metrics.jsonl` holds, and at its end. What it raises, as an
    interrupt, stops the training and saves it; `resume` goes on from there.

    Returns parameters, vocabulary, notes, and the measures on the splits `valid` and `test` (None without one).
    """
    words = {"unit": unit, "text": text, "case": case, "max_vocab": max_vocab, "min_count": min_count, "unk": unk}
    words["tokenizer"] = None if tokenizer is None else str(tokenizer)
    report = _pocketlm.train(
        data,
        out,
        model=model,
        recipe_file=recipe,
        settings=json.dumps(dict(settings or {})),
        text=json.dumps(words),
        seed=seed,
        resume=resume,
        device=device,
        progress=_told(progress),
    )
    result: dict[str, Any] = json.loads(report)
    return result


def compress(
    checkpoint: Path,
    output: Path,
    steps: Sequence[Mapping[str, Any]] | None = None,
    *,
    recipe: Path | None = None,
    data: Path | None = None,
    work: Path | None = None,
    checkpoint_out: Path | None = None,
    force: bool = False,
    device: str = "cpu",
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """Compresses a checkpoint into the packed file `output`, by steps or by a recipe of them, as `pocketlm compress` does.

    A step is what a recipe's `[[step]]` holds: `{"method": "prune", "sparsity": 0.5, "matrices": ["softmax"]}`; see
    `docs/compression.md`. `data` is the text that steps calibrate, train and measure on. A compression that was stopped
    goes on from `work` (by default OUTPUT.compress).

    Returns for the start and each step its bytes, parameters, perplexity where there is text, and matrices.
    """
    if (steps is None) == (recipe is None):
        raise TypeError("give either steps or recipe")
    reports = _pocketlm.compress(
        checkpoint,
        output,
        steps=None if steps is None else json.dumps([dict(step) for step in steps]),
        recipe_file=recipe,
        data=data,
        work=work,
        checkpoint_out=checkpoint_out,
        force=force,
        device=device,
        progress=_told(progress),
    )
    result: list[dict[str, Any]] = json.loads(reports)
    return result


def pack(
    checkpoint: Path, output: Path, *, precision: str | None = None, entropy: bool = False, force: bool = False
) -> int:
    """Packs a checkpoint into the file `output` and returns its bytes.

    `precision` is that of every matrix: int8 unless given, or for a compressed model what its recipe says.
    """
    return _pocketlm.pack(checkpoint, output, precision=precision, entropy=entropy, force=force)
