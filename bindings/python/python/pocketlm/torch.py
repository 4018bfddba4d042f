"""Weights from and to PyTorch.

A model here is an embedding, `nn.LSTM` or `nn.GRU` layers (of several modules, too; with `proj_size`), and a linear layer
over the vocabulary, which may share the embedding's weight. PyTorch is imported only by `to_torch`.
"""

import json
import re
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any, Union

import numpy as np
from numpy.typing import NDArray

from ._pocketlm import Error, read_checkpoint, write_checkpoint

Array = NDArray[np.float32]
Path = Union[str, "PathLike[str]"]
_LAYER = re.compile(r"^(.*)weight_ih_l(\d+)$")


def from_torch(
    model: Any,
    words: Sequence[str],
    out: Path,
    *,
    eos: str = "<eos>",
    unk: str | None = "<unk>",
    embedding: str | None = None,
    softmax: str | None = None,
) -> None:
    """Writes a module, or its `state_dict()`, as a checkpoint into the folder `out`.

    `words` are the rows of the embedding in their order; `eos` and `unk` are what they call the end of a line and an
    unknown word. The names of the embedding and the output layer are found by their shapes; where several fit, name them:
    `embedding="encoder"`, `softmax="decoder"`.
    """
    arrays = {name: _array(value) for name, value in _state(model).items()}
    renamed = ["<eos>" if word == eos else "<unk>" if unk is not None and word == unk else word for word in words]
    table = _table(arrays, len(words), embedding, "embedding")
    output = _output(arrays, len(words), softmax, table)
    given = {"embedding.weight": arrays[table + ".weight"], **_layers(arrays)}
    if output != table:
        given["softmax.weight"] = arrays[output + ".weight"]
    if output + ".bias" in arrays:
        given["softmax.bias"] = arrays[output + ".bias"]
    write_checkpoint(out, renamed, given)


def to_torch(checkpoint: Path) -> tuple[Any, list[str]]:
    """A checkpoint as a PyTorch module and its words.

    The module takes ids `[steps, batch]` and maybe a state, and gives logits `[steps, batch, words]` and the state. A
    compressed model comes with its dense matrices.
    """
    import torch

    words, text, arrays = read_checkpoint(checkpoint)
    shape = json.loads(text)
    if shape["cell"] not in ("lstm", "gru") or shape["layer_norm"] or shape["mogrifier"]:
        raise Error(f"{checkpoint}: PyTorch has LSTM and GRU layers without layer_norm and mogrifier only")
    model = _module(shape, len(words))
    state = model.state_dict()
    tied = {"softmax.weight": arrays["embedding.weight"]} if shape["tied"] else {}
    for name, value in {**arrays, **tied}.items():
        state[name] = torch.from_numpy(np.array(value))
    model.load_state_dict(state)
    return model.eval(), words


def _state(model: Any) -> Mapping[str, Any]:
    state: Mapping[str, Any] = model if isinstance(model, Mapping) else model.state_dict()
    return state


def _array(value: Any) -> Array:
    """A tensor or an array as f32."""
    value = value.detach().cpu().float().numpy() if hasattr(value, "detach") else value
    return np.ascontiguousarray(value, dtype=np.float32)


def _table(arrays: Mapping[str, Array], words: int, name: str | None, what: str) -> str:
    """The name of a weight that has a row for each word."""
    if name is not None:
        if name + ".weight" not in arrays:
            raise Error(f"{what}={name!r}: the model has no {name}.weight")
        return name
    fits = [n.removesuffix(".weight") for n, a in arrays.items() if n.endswith(".weight") and a.shape[:1] == (words,) and a.ndim == 2]
    if not fits:
        raise Error(f"no weight has {words} rows, as there are words: is the list of words that of the model?")
    return fits[0]


def _output(arrays: Mapping[str, Array], words: int, name: str | None, table: str) -> str:
    """The name of the output layer: one with a bias, or the last that has a row for each word."""
    if name is not None:
        return _table(arrays, words, name, "softmax")
    fits = [n.removesuffix(".weight") for n, a in arrays.items() if n.endswith(".weight") and a.shape[:1] == (words,) and a.ndim == 2]
    others = [fit for fit in fits if fit != table]
    if len(others) > 1:
        raise Error(f"several layers may be the output, {', '.join(others)}: name it by softmax=")
    return others[0] if others else table


def _layers(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """The tensors of the recurrent layers, which get the names of a module for each layer."""
    found = [match for match in map(_LAYER.match, arrays) if match]
    if not found:
        raise Error("the model has no weight_ih_l0: give one with nn.LSTM or nn.GRU layers")
    out: dict[str, Array] = {}
    for k, match in enumerate(found):
        prefix, layer = match[1], match[2]
        if f"{prefix}weight_ih_l{layer}_reverse" in arrays:
            raise Error("the layers are bidirectional: a language model goes one way")
        for part in ("weight_ih", "weight_hh", "weight_hr", "bias_ih", "bias_hh"):
            name = f"{prefix}{part}_l{layer}"
            if name in arrays:
                out[f"layers.{k}.{part}_l0"] = arrays[name]
    return out


def _module(shape: Mapping[str, Any], words: int) -> Any:
    """A module of this shape with weights to be loaded."""
    import torch
    from torch import nn

    lstm, projection = shape["cell"] == "lstm", shape["cell_projection"]

    class LanguageModel(nn.Module):  # type: ignore[misc, unused-ignore]
        """Ids `[steps, batch]` to logits `[steps, batch, words]`."""

        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(words, shape["embedding"])
            width, layers = shape["embedding"], []
            for units in shape["hidden"]:
                layers.append(nn.LSTM(width, units, proj_size=projection) if lstm else nn.GRU(width, units))
                width = projection or units
            self.layers = nn.ModuleList(layers)
            self.projection = nn.Linear(width, shape["projection"], bias=False) if shape["projection"] else nn.Identity()
            self.softmax = nn.Linear(shape["projection"] or width, words)
            if shape["tied"]:
                self.softmax.weight = self.embedding.weight

        def forward(self, ids: torch.Tensor, state: Any = None) -> tuple[torch.Tensor, list[Any]]:
            x, after = self.embedding(ids), []
            for layer, before in zip(self.layers, state or [None] * len(self.layers)):
                x, here = layer(x, before)
                after.append(here)
            return self.softmax(self.projection(x)), after

    return LanguageModel()
