"""The baseline: an LSTM language model in PyTorch on the CPU, as one would write it.

Run as a program it measures one thing in its own process and prints one JSON object:

    python torch_lm.py --threads 2 train --hidden 650 --steps 20
    python torch_lm.py --threads 2 evaluate [--checkpoint DIR --data DIR]

With a checkpoint, `evaluate` scores the validation split with its weights and prints the perplexity too;
without one it times random weights (2 layers of 200) on as many random tokens as PTB's validation split has.
`import_bytes` is the memory that `import torch` takes before any model exists.
"""

import argparse
import json
import math
import resource
import statistics
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

VOCABULARY = 10_000
BATCH, STEPS = 20, 35
CHUNKS = (35, 256)
VALID_TOKENS = 73_760

State = list[tuple[Tensor, Tensor]]


class Model(nn.Module):
    """Embedding, LSTM layers, softmax over the vocabulary: all of one width when made at random."""

    def __init__(self, vocabulary: int, embedding: int, hidden: list[int]) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, embedding)
        widths = [embedding, *hidden]
        if len(set(widths)) == 1:
            self.layers = nn.ModuleList([nn.LSTM(embedding, embedding, len(hidden))])
        else:
            self.layers = nn.ModuleList(nn.LSTM(i, h) for i, h in zip(widths, hidden))
        self.softmax = nn.Linear(hidden[-1], vocabulary)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -0.1, 0.1)

    def zero_state(self, batch: int) -> State:
        shapes = [(m.num_layers, batch, m.hidden_size) for m in self.layers]
        return [(torch.zeros(s), torch.zeros(s)) for s in shapes]

    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Logits [steps, batch, vocabulary] of inputs [steps, batch]."""
        x, after = self.embedding(inputs), []
        for layer, layer_state in zip(self.layers, state):
            x, layer_state = layer(x, layer_state)
            after.append(layer_state)
        return self.softmax(x), after


def load(checkpoint: Path) -> Model:
    """The model of a checkpoint folder: plain LSTM layers and an untied softmax."""
    tensors = load_file(checkpoint / "model.safetensors")
    layers = sum(name.endswith(".recurrent") for name in tensors)
    hidden = [tensors[f"cell.{k}.recurrent"].shape[1] for k in range(layers)]
    model = Model(*tensors["embedding"].shape, hidden)
    weights = {
        "embedding.weight": tensors["embedding"],
        "softmax.weight": tensors["softmax"],
        "softmax.bias": tensors["softmax.bias"],
    }
    for k in range(layers):
        at = f"layers.0.{{}}_l{k}" if len(model.layers) == 1 else f"layers.{k}.{{}}_l0"
        weights[at.format("weight_ih")] = tensors[f"cell.{k}.input"]
        weights[at.format("weight_hh")] = tensors[f"cell.{k}.recurrent"]
        weights[at.format("bias_ih")] = tensors[f"cell.{k}.bias"]
        weights[at.format("bias_hh")] = torch.zeros_like(tensors[f"cell.{k}.bias"])
    model.load_state_dict(weights)
    return model


def read_tokens(checkpoint: Path, data: Path) -> Tensor:
    """The validation split as ids, one `<eos>` a line, preceded by the `<eos>` that predicts the first."""
    words = (checkpoint / "vocab.txt").read_text(encoding="utf-8").splitlines()
    ids = {word: i for i, word in enumerate(words)}
    lines = (data / "valid.txt").read_text(encoding="utf-8").removesuffix("\n").split("\n")
    text = ["<eos>"] + [word for line in lines for word in [*line.split(), "<eos>"]]
    return torch.tensor([ids[w] if w in ids else ids["<unk>"] for w in text])


def train(hidden: int, layers: int, steps: int) -> dict:
    """Time of one step of SGD with clipping on a batch of 20 x 35, after a warm-up."""
    model = Model(VOCABULARY, hidden, [hidden] * layers)
    optimiser = torch.optim.SGD(model.parameters(), lr=1.0)
    state, times = model.zero_state(BATCH), []
    warm_up = 3
    for _ in range(warm_up + steps):
        words = torch.randint(VOCABULARY, (STEPS + 1, BATCH))
        begin = time.perf_counter()
        optimiser.zero_grad(set_to_none=True)
        logits, state = model(words[:-1], state)
        F.cross_entropy(logits.flatten(0, 1), words[1:].flatten()).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimiser.step()
        state = [(h.detach(), c.detach()) for h, c in state]
        times.append(time.perf_counter() - begin)
    times = [1e3 * t for t in times[warm_up:]]
    return {"median_ms": statistics.median(times), "min_ms": min(times)}


@torch.no_grad()
def score(model: Model, tokens: Tensor, chunk: int) -> float:
    """Total NLL in nats of tokens[1:], batch 1, state carried through."""
    state, total = model.zero_state(1), 0.0
    for begin in range(0, len(tokens) - 1, chunk):
        words = tokens[begin : begin + chunk + 1]
        logits, state = model(words[:-1, None], state)
        log_probabilities = F.log_softmax(logits[:, 0], dim=-1)
        total += float(F.nll_loss(log_probabilities, words[1:], reduction="sum"))
    return total


def evaluate(checkpoint: Path | None, data: Path | None) -> dict:
    """Tokens per second with each chunk length, and the best of them."""
    if checkpoint and data:
        model, tokens = load(checkpoint), read_tokens(checkpoint, data)
    else:
        model = Model(VOCABULARY, 200, [200] * 2)
        tokens = torch.randint(VOCABULARY, (VALID_TOKENS + 1,))
    speeds, count = {}, len(tokens) - 1
    for chunk in CHUNKS:
        score(model, tokens[:2_000], chunk)
        begin = time.perf_counter()
        total = score(model, tokens, chunk)
        speeds[str(chunk)] = count / (time.perf_counter() - begin)
    out = {"tokens_per_second": max(speeds.values()), "by_chunk": speeds, "tokens": count}
    return out | {"perplexity": math.exp(total / count)} if checkpoint else out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    commands = parser.add_subparsers(dest="command", required=True)
    training = commands.add_parser("train")
    training.add_argument("--hidden", type=int, required=True)
    training.add_argument("--layers", type=int, default=2)
    training.add_argument("--steps", type=int, default=20)
    evaluation = commands.add_parser("evaluate")
    evaluation.add_argument("--checkpoint", type=Path)
    evaluation.add_argument("--data", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    imported = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if args.command == "train":
        result = train(args.hidden, args.layers, args.steps)
    else:
        result = evaluate(args.checkpoint, args.data)
    print(json.dumps(result | {"import_bytes": imported}))


if __name__ == "__main__":
    main()
