"""Writes the golden fixtures of the trainer: small recurrent language models, run through PyTorch.

Everything is computed in float64 from float32-rounded parameters and stored as float32.
Each cell is computed twice, by PyTorch's own module and by the equations spelled out, and the
two must agree to 1e-12 before a file is written. README.md says what each file holds.

    python fixtures.py            write fixtures/*.safetensors
    python fixtures.py --check    recompute, compare with the committed files, write nothing
"""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.numpy import save_file
from torch import Tensor, nn

FOLDER = Path(__file__).parent / "fixtures"
VOCABULARY, STEPS, BATCH = 23, 5, 3
OPTIMISER_STEPS = 3
SGD_RATE = 0.5
ADAM = {"lr": 0.01, "betas": (0.9, 0.999), "eps": 1e-8}
WEIGHT_DECAY = 0.1
# Terms of the loss beside the likelihood: Inan et al. 2017, and AR and TAR of Merity et al. 2018.
AUGMENTED = {"weight": 0.7, "temperature": 3.0}
LESSON = {"keep": 3, "share": 0.3, "temperature": 2.0}
ACTIVATION_PENALTY, TEMPORAL_PENALTY = 2.0, 1.0
# Adam divides by the gradient's size, so a float32 trainer can only be held to the reference
# where no gradient drowns in rounding; a fixture that breaks this needs another seed.
SMALLEST_GRADIENT = 1e-6

Params = dict[str, Tensor]
State = list[tuple[Tensor, ...]]  # per layer: (h,) or (h, c)
Layer = Callable[[Params, int, Tensor, tuple[Tensor, ...]], tuple[Tensor, tuple[Tensor, ...]]]


@dataclass(frozen=True)
class Config:
    """Shape of one model; `cell_projection` and `projection` are widths, 0 where absent."""

    cell: str
    embedding: int
    hidden: list[int]
    cell_projection: int = 0
    projection: int = 0
    tied: bool = False
    layer_norm: bool = False
    mogrifier: int = 0

    @property
    def gates(self) -> int:
        return {"lstm": 4, "cifg": 3, "gru": 3, "urnn": 1}[self.cell]

    def recurrent(self, k: int) -> int:
        """Width of layer k's fed-back state, which is its output."""
        return self.cell_projection or self.hidden[k]

    def input(self, k: int) -> int:
        return self.recurrent(k - 1) if k else self.embedding


FIXTURES: dict[str, tuple[int, Config]] = {
    "lstm_untied": (55, Config("lstm", 5, [7, 6])),
    "lstm_tied": (26, Config("lstm", 5, [7, 6, 5], tied=True)),
    "gru_untied": (17, Config("gru", 5, [7, 6])),
    "gru_tied": (57, Config("gru", 6, [7, 6], tied=True)),
    "cifg_untied": (5, Config("cifg", 5, [7, 6])),
    "cifg_tied": (4, Config("cifg", 6, [7, 6], tied=True)),
    "lstmp_untied": (24, Config("lstm", 5, [7, 6], cell_projection=4)),
    "lstmp_tied": (35, Config("lstm", 4, [7, 6], cell_projection=4, tied=True)),
    "cifgp_tied": (41, Config("cifg", 4, [9], cell_projection=4, tied=True)),
    "lstm_projection_untied": (53, Config("lstm", 5, [7, 6], projection=4)),
    "lstm_projection_tied": (38, Config("lstm", 4, [9], projection=4, tied=True)),
    "gru_projection_tied": (52, Config("gru", 4, [7, 6], projection=4, tied=True)),
    "lstm_normalised": (61, Config("lstm", 5, [7, 6], layer_norm=True)),
    "gru_normalised": (62, Config("gru", 5, [7, 6], layer_norm=True)),
    "cifgp_normalised": (73, Config("cifg", 5, [9], cell_projection=4, layer_norm=True)),
    "lstm_mogrified": (164, Config("lstm", 5, [7], mogrifier=5)),
    "gru_mogrified": (65, Config("gru", 5, [7], mogrifier=2)),
    "cifgp_mogrified_normalised": (66, Config("cifg", 5, [9], 4, layer_norm=True, mogrifier=3)),
    "urnn_untied": (71, Config("urnn", 5, [8, 4])),
    "urnn_projection_tied": (72, Config("urnn", 6, [8], projection=6, tied=True)),
    "lstmp_projection_untied": (16, Config("lstm", 5, [7, 6], cell_projection=4, projection=3)),
}


def shapes(config: Config) -> dict[str, tuple[int, ...]]:
    """Name and shape of every parameter."""
    out: dict[str, tuple[int, ...]] = {"embedding": (VOCABULARY, config.embedding)}
    for k, hidden in enumerate(config.hidden):
        rows = config.gates * hidden
        out[f"cell.{k}.input"] = (rows, config.input(k))
        out[f"cell.{k}.recurrent"] = (rows, config.recurrent(k))
        out[f"cell.{k}.bias"] = ({"gru": 4 * hidden, "urnn": hidden // 2}.get(config.cell, rows),)
        if config.cell_projection:
            out[f"cell.{k}.projection"] = (config.cell_projection, hidden)
        if config.layer_norm:
            out[f"cell.{k}.gain"] = out[f"cell.{k}.bias"]
        widths = (config.input(k), config.recurrent(k))
        for i in range(config.mogrifier):
            out[f"cell.{k}.mogrifier.{i}"] = (widths[i % 2], widths[1 - i % 2])
    top = config.recurrent(len(config.hidden) - 1)
    if config.projection:
        out["projection"] = (config.projection, top)
    if not config.tied:
        out["softmax"] = (VOCABULARY, config.projection or top)
    out["softmax.bias"] = (VOCABULARY,)
    return out


def float32(values: np.ndarray) -> Tensor:
    """Values rounded to float32, as float64."""
    return torch.from_numpy(values.astype(np.float32).astype(np.float64))


def draw(config: Config, seed: int) -> tuple[Params, Tensor, Tensor, State]:
    """Parameters, inputs, targets (both [steps, batch]) and a non-zero initial state."""
    rng = np.random.Generator(np.random.PCG64(seed))
    params = {name: float32(rng.random(s) * 1.4 - 0.7) for name, s in shapes(config).items()}
    words = torch.from_numpy((rng.random((2, STEPS, BATCH)) * VOCABULARY).astype(np.int64))
    state: State = []
    for k, hidden in enumerate(config.hidden):
        widths = [config.recurrent(k)] + ([] if config.cell in ("gru", "urnn") else [hidden])
        state.append(tuple(float32(rng.random((BATCH, w)) - 0.5) for w in widths))
    return params, words[0], words[1], state


def mogrify(p: Params, k: int, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    """Melis et al. 2020, equations 1 and 2: odd rounds gate the input, even ones the state."""
    pair, i = [x, h], 0
    while (name := f"cell.{k}.mogrifier.{i}") in p:
        pair[i % 2] = 2 * torch.sigmoid(pair[1 - i % 2] @ p[name].T) * pair[i % 2]
        i += 1
    return pair[0], pair[1]


def normalise(p: Params, k: int, blocks: Tensor, first: int, count: int) -> Tensor:
    """`count` blocks of pre-activations from block `first` on, normalised each, with gain and bias."""
    width = blocks.shape[1] // count
    gain, bias = (p[f"cell.{k}.{name}"].split(width)[first : first + count] for name in ("gain", "bias"))
    parts = zip(blocks.chunk(count, dim=1), gain, bias)
    return torch.cat([F.layer_norm(x, (width,), g, b, eps=1e-5) for x, g, b in parts], dim=1)


def lstm_equations(p: Params, k: int, x: Tensor, state: tuple[Tensor, ...], coupled: bool):
    """Hochreiter and Schmidhuber 1997 with forget gate; `coupled` is CIFG (Greff et al. 2017)."""
    h, c = state
    outputs = []
    for step in x:
        step, fed = mogrify(p, k, step, h)
        gates = step @ p[f"cell.{k}.input"].T + fed @ p[f"cell.{k}.recurrent"].T
        if f"cell.{k}.gain" in p:
            gates = normalise(p, k, gates, 0, 3 if coupled else 4)
        else:
            gates = gates + p[f"cell.{k}.bias"]
        if coupled:
            f, g, o = gates.chunk(3, dim=1)
            f = torch.sigmoid(f)
            i = 1 - f
        else:
            i, f, g, o = gates.chunk(4, dim=1)
            i, f = torch.sigmoid(i), torch.sigmoid(f)
        c = f * c + i * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        if f"cell.{k}.projection" in p:
            h = h @ p[f"cell.{k}.projection"].T
        outputs.append(h)
    return torch.stack(outputs), (h, c)


def gru_equations(p: Params, k: int, x: Tensor, state: tuple[Tensor, ...]):
    """Cho et al. 2014 in the variant of cuDNN and PyTorch: the reset gate acts after the product."""
    (h,) = state
    b_r, b_z, b_in, b_hn = p[f"cell.{k}.bias"].chunk(4)
    outputs = []
    for step in x:
        step, fed = mogrify(p, k, step, h)
        xr, xz, xn = (step @ p[f"cell.{k}.input"].T).chunk(3, dim=1)
        hr, hz, hn = (fed @ p[f"cell.{k}.recurrent"].T).chunk(3, dim=1)
        if f"cell.{k}.gain" in p:
            r, z = normalise(p, k, torch.cat([xr + hr, xz + hz], dim=1), 0, 2).chunk(2, dim=1)
            xn, hn = normalise(p, k, xn, 2, 1), normalise(p, k, hn, 3, 1)
        else:
            r, z, xn, hn = xr + hr + b_r, xz + hz + b_z, xn + b_in, hn + b_hn
        r, z = torch.sigmoid(r), torch.sigmoid(z)
        n = torch.tanh(xn + r * hn)
        h = (1 - z) * n + z * h
        outputs.append(h)
    return torch.stack(outputs), (h,)


def urnn_equations(p: Params, k: int, x: Tensor, state: tuple[Tensor, ...]):
    """Arjovsky et al. 2016, equations 8 and 9; the state is real parts, then imaginary ones."""
    (h,) = state
    outputs = []
    for step in x:
        z = step @ p[f"cell.{k}.input"].T + h @ p[f"cell.{k}.recurrent"].T
        z = torch.complex(*z.chunk(2, dim=1))
        z = z * F.relu(z.abs() + p[f"cell.{k}.bias"]) / (z.abs() + 1e-5)
        h = torch.cat([z.real, z.imag], dim=1)
        outputs.append(h)
    return torch.stack(outputs), (h,)


def equations(config: Config) -> Layer:
    """The layer as explicit equations."""
    if config.cell == "urnn":
        return urnn_equations
    if config.cell == "gru":
        return gru_equations
    return lambda p, k, x, s: lstm_equations(p, k, x, s, coupled=config.cell == "cifg")


def module_layer(config: Config) -> Layer:
    """The layer as nn.LSTM or nn.GRU, where there is one. Our one bias is split unevenly over PyTorch's two."""
    if config.layer_norm or config.mogrifier or config.cell == "urnn":
        return equations(config)

    def lstm(p: Params, k: int, x: Tensor, state: tuple[Tensor, ...]):
        module = nn.LSTM(x.shape[2], config.hidden[k], proj_size=config.cell_projection)
        w, u, b = (p[f"cell.{k}.{part}"] for part in ("input", "recurrent", "bias"))
        if config.cell == "cifg":
            # sigmoid(-x) = 1 - sigmoid(x): an input gate with the negated forget gate's weights.
            w, u, b = (torch.cat([-m[: config.hidden[k]], m]) for m in (w, u, b))
        weights = {"weight_ih_l0": w, "weight_hh_l0": u, "bias_ih_l0": b / 4, "bias_hh_l0": b * 3 / 4}
        if config.cell_projection:
            weights["weight_hr_l0"] = p[f"cell.{k}.projection"]
        y, (h, c) = call(module, weights, x, tuple(s[None] for s in state))
        return y, (h[0], c[0])

    def gru(p: Params, k: int, x: Tensor, state: tuple[Tensor, ...]):
        module = nn.GRU(x.shape[2], config.hidden[k])
        b_rz, b_n, b_hn = p[f"cell.{k}.bias"].split([2 * config.hidden[k], *[config.hidden[k]] * 2])
        weights = {
            "weight_ih_l0": p[f"cell.{k}.input"],
            "weight_hh_l0": p[f"cell.{k}.recurrent"],
            "bias_ih_l0": torch.cat([b_rz / 4, b_n]),
            "bias_hh_l0": torch.cat([b_rz * 3 / 4, b_hn]),
        }
        y, h = call(module, weights, x, state[0][None])
        return y, (h[0],)

    return gru if config.cell == "gru" else lstm


def call(module: nn.Module, weights: Params, *inputs):
    """The module's output with `weights` in place of its own, differentiable in them."""
    return torch.func.functional_call(module.double(), weights, inputs)


def forward(layer: Layer, p: Params, inputs: Tensor, state: State) -> tuple[Tensor, State, Tensor]:
    """Logits [steps*batch, V], the final state, and the top layer's output [steps, batch, width]."""
    x = p["embedding"][inputs]
    final: State = []
    for k, layer_state in enumerate(state):
        x, after = layer(p, k, x, layer_state)
        final.append(after)
    top = x
    x = x.flatten(0, 1)
    if "projection" in p:
        x = x @ p["projection"].T
    return x @ p.get("softmax", p["embedding"]).T + p["softmax.bias"], final, top


def penalties(p: Params, logits: Tensor, targets: Tensor, top: Tensor) -> Tensor:
    """Augmented loss, activation and temporal activation penalties."""
    temperature = AUGMENTED["temperature"]
    embedding = p["embedding"].detach()
    soft = F.log_softmax(embedding[targets.flatten()] @ embedding.T / temperature, dim=1)
    predicted = F.log_softmax(logits / temperature, dim=1)
    divergence = F.kl_div(predicted, soft, reduction="batchmean", log_target=True)
    activation = ACTIVATION_PENALTY * top.pow(2).mean()
    temporal = TEMPORAL_PENALTY * (top[1:] - top[:-1]).pow(2).mean()
    return AUGMENTED["weight"] * temperature * divergence + activation + temporal


def lesson(logits: Tensor) -> tuple[Tensor, Tensor]:
    """What a teacher says of each token: its likeliest types, rising, and their probabilities."""
    q = F.softmax(logits.detach().roll(1, 0) + logits.detach().flip(1), dim=1)
    ids = q.topk(LESSON["keep"], dim=1).indices.sort(dim=1).values
    return ids, q.gather(1, ids).float().double()


def taught(logits: Tensor, targets: Tensor, ids: Tensor, q: Tensor) -> Tensor:
    """The text's share of the loss, and the rest towards the lesson: all types that are not kept are one class."""
    share, temperature = LESSON["share"], LESSON["temperature"]
    own = F.log_softmax(logits / temperature, dim=1)
    others = torch.ones_like(own).scatter(1, ids, 0.0).bool()
    rest = own.masked_fill(~others, float("-inf")).logsumexp(1, keepdim=True)
    predicted = torch.cat([own.gather(1, ids), rest], 1)
    wanted = torch.cat([q, 1 - q.sum(1, keepdim=True)], 1)
    divergence = F.kl_div(predicted, wanted, reduction="batchmean")
    return share * F.cross_entropy(logits, targets) + (1 - share) * temperature**2 * divergence


class Problem:
    """One model on one batch: what every optimiser starts from."""

    def __init__(self, config: Config, seed: int) -> None:
        self.initial, self.inputs, self.targets, self.state = draw(config, seed)
        self.layer = module_layer(config)
        self.check_layer = equations(config)

    def leaves(self) -> Params:
        return {name: p.clone().requires_grad_() for name, p in self.initial.items()}

    def loss(self, p: Params, layer: Layer | None = None) -> tuple[Tensor, Tensor, State]:
        """Mean NLL in nats over steps * batch, logits and final state."""
        logits, final, _ = forward(layer or self.layer, p, self.inputs, self.state)
        return F.cross_entropy(logits, self.targets.flatten()), logits, final

    def gradients(self, layer: Layer) -> dict[str, Tensor]:
        """Everything one forward and backward pass yields, under its name in the file."""
        p = self.leaves()
        loss, logits, final = self.loss(p, layer)
        loss.backward()
        out = {"logits": logits, "loss": loss[None]}
        out |= named_state("final", final)
        out |= {f"grad.{name}": leaf.grad for name, leaf in p.items()}
        return {name: value.detach() for name, value in out.items()}

    def penalised(self) -> dict[str, Tensor]:
        """Gradients of the mean NLL and the penalties together."""
        p = self.leaves()
        logits, _, top = forward(self.layer, p, self.inputs, self.state)
        targets = self.targets.flatten()
        (F.cross_entropy(logits, targets) + penalties(p, logits, targets, top)).backward()
        return {f"penalised.{name}": leaf.grad for name, leaf in p.items()}

    def taught(self) -> dict[str, Tensor]:
        """A lesson and the gradients of the loss that it makes."""
        p = self.leaves()
        logits, _, _ = forward(self.layer, p, self.inputs, self.state)
        ids, q = lesson(logits)
        taught(logits, self.targets.flatten(), ids, q).backward()
        out = {"lesson.ids": ids, "lesson.q": q}
        return out | {f"taught.{name}": leaf.grad for name, leaf in p.items()}

    def sgd(self, clip: float) -> dict[str, Tensor]:
        p = self.leaves()
        optimiser = torch.optim.SGD(p.values(), lr=SGD_RATE)
        out = {}
        for i in range(1, OPTIMISER_STEPS + 1):
            norm = self.step(p, optimiser, clip)
            out |= {f"sgd.{i}.{name}": leaf.detach().clone() for name, leaf in p.items()}
            out[f"sgd.{i}.norm"] = norm[None]
        return out

    def adam(self, prefix: str, optimiser_type: type, **settings) -> dict[str, Tensor]:
        p = self.leaves()
        optimiser = optimiser_type(p.values(), **(ADAM | settings))
        for _ in range(OPTIMISER_STEPS):
            self.step(p, optimiser, float("inf"))
        return {f"{prefix}.{OPTIMISER_STEPS}.{name}": leaf.detach() for name, leaf in p.items()}

    def step(self, p: Params, optimiser: torch.optim.Optimizer, clip: float) -> Tensor:
        """One step; returns the gradient's norm before clipping."""
        optimiser.zero_grad()
        self.loss(p)[0].backward()
        norm = nn.utils.clip_grad_norm_(p.values(), clip)
        optimiser.step()
        return norm


def named_state(prefix: str, state: State) -> dict[str, Tensor]:
    return {f"{prefix}.{n}.{k}": s for k, layer in enumerate(state) for n, s in zip("hc", layer)}


def require(condition: bool, what: str) -> None:
    if not condition:
        sys.exit(f"fixtures.py: {what}")


def choose_clip(problem: Problem) -> float:
    """A bound between the largest and the smallest norm of the run, so that both branches occur."""
    free = problem.sgd(float("inf"))
    norms = [float(free[f"sgd.{i}.norm"]) for i in range(1, OPTIMISER_STEPS + 1)]
    return float(np.float32((max(norms) + min(norms)) / 2))


def build(name: str) -> dict[str, np.ndarray]:
    """All tensors of one fixture, checked against the explicit equations."""
    seed, config = FIXTURES[name]
    problem = Problem(config, seed)
    once = problem.gradients(problem.layer)
    for key, value in problem.gradients(problem.check_layer).items():
        error = float((value - once[key]).abs().max())
        require(error < 1e-12, f"{name}: PyTorch's module and the equations differ in {key}: {error}")
    smallest = min(float(g[g != 0].abs().min()) for k, g in once.items() if k.startswith("grad."))
    require(smallest > SMALLEST_GRADIENT, f"{name}: a gradient of {smallest:.1e}: take another seed")
    clip = choose_clip(problem)
    sgd = problem.sgd(clip)
    active = [float(sgd[f"sgd.{i}.norm"]) > clip for i in range(1, OPTIMISER_STEPS + 1)]
    require(any(active) and not all(active), f"{name}: clipping active in steps {active}")
    tensors = {f"param.{key}": value for key, value in problem.initial.items()}
    tensors |= named_state("state", problem.state) | once | sgd
    tensors |= {"sgd.clip": torch.tensor([clip])}
    tensors |= problem.adam("adam", torch.optim.Adam)
    tensors |= problem.penalised()
    lesson = problem.taught()
    ids = lesson.pop("lesson.ids").numpy()
    tensors |= lesson
    tensors |= problem.adam("adam0", torch.optim.Adam, betas=(0.0, 0.999))
    tensors |= problem.adam("adamw", torch.optim.AdamW, weight_decay=WEIGHT_DECAY)
    arrays = {key: np.ascontiguousarray(value.numpy(), np.float32) for key, value in tensors.items()}
    whole = {"inputs": problem.inputs.numpy(), "targets": problem.targets.numpy()}
    return arrays | whole | {"lesson.ids": ids}


def compare(name: str, arrays: dict[str, np.ndarray]) -> float:
    """Largest difference to the committed file, relative to each tensor's largest entry."""
    with safe_open(FOLDER / f"{name}.safetensors", "numpy") as file:
        require(set(file.keys()) == set(arrays), f"{name}: the committed file has other tensors")
        config = json.loads(file.metadata()["config"])
        require(config == asdict(FIXTURES[name][1]), f"{name}: the committed file has {config}")
        worst = 0.0
        for key, value in arrays.items():
            stored = file.get_tensor(key)
            require(stored.shape == value.shape, f"{name}: {key} is {stored.shape} in the file")
            scale = max(float(np.abs(value).max()), 1e-30)
            worst = max(worst, float(np.abs(stored - value).max()) / scale)
    require(worst <= 1e-6, f"{name}: differs from the committed file by {worst:.1e}")
    return worst


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare with the committed files")
    check = parser.parse_args().check
    torch.set_num_threads(1)
    FOLDER.mkdir(exist_ok=True)
    for name, (_, config) in FIXTURES.items():
        arrays = build(name)
        path = FOLDER / f"{name}.safetensors"
        if check:
            print(f"{name}: agrees within {compare(name, arrays):.1e}")
        else:
            save_file(arrays, path, metadata={"config": json.dumps(asdict(config))})
            print(f"{name}: {len(arrays)} tensors, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
