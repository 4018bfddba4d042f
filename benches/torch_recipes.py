"""The training step of a recipe in PyTorch on the CPU, as one would write it.

    python torch_recipes.py ../crates/pocketlm-train/recipes/inan-small.toml --threads 2 --steps 10

The same cell, widths, batch, window, masks, losses, clipping and optimiser as the recipe file asks for, over
10,000 types; prints one JSON object. Layers are `torch.lstm` where it can do what the recipe asks for, with
DropConnect on its recurrent matrix; coupled gates and a locked mask on the recurrent state need a loop over the
steps. With `--compile` the step of that loop goes through `torch.compile`; the first update, which compiles, is
never timed. Adam is the fused one.

What is left out on both sides: random lengths of the window, averages of the parameters, schedules.
"""

import argparse
import json
import resource
import statistics
import time
import tomllib
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

VOCABULARY = 10_000
WARM_UP = 3
MODEL_KEYS = {"cell", "embedding", "hidden", "cell_projection", "projection", "tied"}

State = list[tuple[Tensor, Tensor]]


def locked(rate: float, shape: tuple[int, ...]) -> Tensor | None:
    """A mask for a whole window, scaled so that the mean stays."""
    return torch.empty(shape).bernoulli_(1 - rate).div_(1 - rate) if rate > 0 else None


def masked(x: Tensor, mask: Tensor | None) -> Tensor:
    return x if mask is None else x * mask


def lstm_cell(x: Tensor, h: Tensor, c: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """One step from the gates' inputs x (bias included), the state as the gates see it, and the memory."""
    i, f, g, o = (x + h @ weight.t()).chunk(4, 1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def cifg_cell(x: Tensor, h: Tensor, c: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """The same with the input gate coupled to the forget gate."""
    f, g, o = (x + h @ weight.t()).chunk(3, 1)
    f = torch.sigmoid(f)
    c = f * c + (1 - f) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


CELLS = {"lstm": (lstm_cell, 4), "cifg": (cifg_cell, 3)}


class Layer(nn.Module):
    """A recurrent layer over a window."""

    def __init__(self, cell: str, inputs: int, hidden: int, projection: int, train: dict, compiled: bool):
        super().__init__()
        step, gates = CELLS[cell]
        self.step = torch.compile(step) if compiled else step
        self.hidden, self.out = hidden, projection or hidden
        self.input = nn.Parameter(torch.empty(gates * hidden, inputs))
        self.recurrent = nn.Parameter(torch.empty(gates * hidden, self.out))
        self.bias = nn.Parameter(torch.empty(gates * hidden))
        self.projection = nn.Parameter(torch.empty(projection, hidden)) if projection else None
        self.weight_drop = train.get("weight_drop", 0.0)
        self.state_drop = train.get("variational", {}).get("state", 0.0)
        self.by_library = cell == "lstm" and not projection and not self.state_drop

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        recurrent = F.dropout(self.recurrent, self.weight_drop) if self.weight_drop else self.recurrent
        if self.by_library:
            weights = [self.input, recurrent, self.bias, torch.zeros_like(self.bias)]
            start = [part.unsqueeze(0) for part in state]
            x, h, c = torch.lstm(x, start, weights, True, 1, 0.0, True, False, False)
            return x, (h[0], c[0])
        h, c = state
        mask = locked(self.state_drop, h.shape)
        gates = F.linear(x, self.input, self.bias)
        outputs = []
        for step in gates.unbind(0):
            h, c = self.step(step, masked(h, mask), c, recurrent)
            if self.projection is not None:
                h = h @ self.projection.t()
            outputs.append(h)
        return torch.stack(outputs), (h, c)


class Model(nn.Module):
    """The network of a recipe."""

    def __init__(self, model: dict, train: dict, compiled: bool) -> None:
        super().__init__()
        self.train_config = train
        width, inner = model["embedding"], model.get("cell_projection", 0)
        self.embedding = nn.Parameter(torch.empty(VOCABULARY, width))
        layers = []
        for hidden in model["hidden"]:
            layers.append(Layer(model["cell"], width, hidden, inner, train, compiled))
            width = layers[-1].out
        self.layers = nn.ModuleList(layers)
        narrow = model.get("projection", 0)
        self.projection = nn.Parameter(torch.empty(narrow, width)) if narrow else None
        tied = model.get("tied", False)
        self.softmax = None if tied else nn.Parameter(torch.empty(VOCABULARY, narrow or width))
        self.bias = nn.Parameter(torch.zeros(VOCABULARY))
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -train["init"], train["init"])

    def zero_state(self, batch: int) -> State:
        return [(torch.zeros(batch, m.out), torch.zeros(batch, m.hidden)) for m in self.layers]

    def between(self, x: Tensor, kind: str) -> Tensor:
        """Dropout before the first layer (input), between layers, and after the last (output)."""
        if rate := self.train_config.get("dropout", 0.0):
            return F.dropout(x, rate)
        rate = self.train_config.get("variational", {}).get(kind, 0.0)
        return masked(x, locked(rate, (1, *x.shape[1:])))

    def loss(self, inputs: Tensor, targets: Tensor, state: State) -> tuple[Tensor, State]:
        """Everything that the recipe minimises, a mean over tokens, of inputs and targets [steps, batch]."""
        word = self.train_config.get("variational", {}).get("word", 0.0)
        x = F.embedding(inputs, self.embedding)
        if word:
            x = x * locked(word, (VOCABULARY, 1))[inputs]
        x, after = self.between(x, "input"), []
        for k, (layer, layer_state) in enumerate(zip(self.layers, state)):
            raw, layer_state = layer(x, layer_state)
            after.append((layer_state[0].detach(), layer_state[1].detach()))
            x = self.between(raw, "output" if k == len(self.layers) - 1 else "between")
        loss = self.penalties(raw, x)
        if self.projection is not None:
            x = x @ self.projection.t()
        matrix = self.embedding if self.softmax is None else self.softmax
        logits = F.linear(x, matrix, self.bias).flatten(0, 1)
        loss = loss + F.cross_entropy(logits, targets.flatten())
        return loss + self.augmented(logits, targets.flatten()), after

    def penalties(self, raw: Tensor, dropped: Tensor) -> Tensor:
        """AR and TAR of Merity et al. 2018."""
        loss = torch.zeros(())
        if weight := self.train_config.get("activation_penalty", 0.0):
            loss = loss + weight * dropped.pow(2).mean()
        if weight := self.train_config.get("temporal_penalty", 0.0):
            loss = loss + weight * (raw[1:] - raw[:-1]).pow(2).mean()
        return loss

    def augmented(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The augmented loss of Inan et al. 2017."""
        if not (augmented := self.train_config.get("augmented")):
            return torch.zeros(())
        temperature = augmented["temperature"]
        types, place = targets.unique(return_inverse=True)
        with torch.no_grad():
            soft = F.softmax(self.embedding[types] @ self.embedding.t() / temperature, dim=-1)
        predicted = F.log_softmax(logits / temperature, dim=-1)
        divergence = F.kl_div(predicted, soft[place], reduction="batchmean")
        return augmented["weight"] * temperature * divergence


def optimiser(train: dict, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    decay = train.get("weight_decay", 0.0)
    if train["optimizer"] == "sgd":
        return torch.optim.SGD(parameters, lr=train["lr"], weight_decay=decay, fused=True)
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[train["optimizer"]]
    betas = tuple(train.get("betas", (0.9, 0.999)))
    return kind(parameters, lr=train["lr"], betas=betas, weight_decay=decay, fused=True)


def measure(recipe: dict, steps: int, compiled: bool) -> dict:
    train = recipe["train"]
    if extra := recipe["model"].keys() - MODEL_KEYS:
        raise SystemExit(f"this baseline has no {min(extra)}")
    model = Model(recipe["model"], train, compiled)
    parameters = list(model.parameters())
    rule = optimiser(train, parameters)
    batch, window = train["batch"], train["steps"]
    state, times, losses = model.zero_state(batch), [], []
    for _ in range(WARM_UP + steps):
        words = torch.randint(VOCABULARY, (window + 1, batch))
        begin = time.perf_counter()
        rule.zero_grad(set_to_none=True)
        loss, state = model.loss(words[:-1], words[1:], state)
        loss.backward()
        if train["clip"] > 0:
            nn.utils.clip_grad_norm_(parameters, train["clip"])
        rule.step()
        times.append(1e3 * (time.perf_counter() - begin))
        losses.append(float(loss.detach()))
    return {
        "median_ms": statistics.median(times[WARM_UP:]),
        "min_ms": min(times[WARM_UP:]),
        "first_ms": times[0],
        "parameters": sum(p.numel() for p in parameters),
        "by_library": all(layer.by_library for layer in model.layers),
        "compiled": compiled,
        "last_loss": losses[-1],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--compile", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    result = measure(tomllib.loads(args.recipe.read_text()), args.steps, args.compile)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps(result | {"peak_bytes": peak}))


if __name__ == "__main__":
    main()
