"""Recurrent models of PyTorch's for `pocketlm import`, and ONNX Runtime's reading of what `pocketlm export` writes.

    python import_export.py fixtures                 write fixtures/import
    python import_export.py check POCKETLM           import, compress and export them with this program, run the results

The modules have the shapes and names of word_language_model (PyTorch's examples), awd-lstm-lm and icefall's rnn_lm; their
weights are random, or trained for a moment on a text of a random grammar. README.md says what the files hold.
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

FOLDER = Path(__file__).parent / "fixtures" / "import"
WORDS = 29
LINES, TRAINING = 40, 60


class WordLanguageModel(nn.Module):
    """RNNModel of word_language_model."""

    def __init__(self, kind: str, width: int, units: int, layers: int, tied: bool = False, proj_size: int = 0) -> None:
        super().__init__()
        self.encoder = nn.Embedding(WORDS, width)
        more = {"proj_size": proj_size} if proj_size else {}
        self.rnn = getattr(nn, kind)(width, units, layers, **more)
        self.decoder = nn.Linear(proj_size or units, WORDS)
        if tied:
            self.decoder.weight = self.encoder.weight

    def forward(self, ids: Tensor) -> Tensor:
        logits: Tensor = self.decoder(self.rnn(self.encoder(ids))[0])
        return logits


class WeightDrop(nn.Module):
    """Holds a recurrent weight by another name, as awd-lstm-lm does; nothing is dropped here."""

    def __init__(self, module: nn.LSTM) -> None:
        super().__init__()
        self.module = module
        weight = module.weight_hh_l0
        del module._parameters["weight_hh_l0"]
        module.register_parameter("weight_hh_l0_raw", nn.Parameter(weight.data))

    def forward(self, x: Tensor) -> Tensor:
        m = self.module
        weights = [m.weight_ih_l0, m.weight_hh_l0_raw, m.bias_ih_l0, m.bias_hh_l0]
        zero = x.new_zeros(1, x.shape[1], m.hidden_size)
        out: Tensor = torch._VF.lstm(x, (zero, zero), weights, True, 1, 0.0, False, False, False)[0]
        return out


class Awd(nn.Module):
    """RNNModel of awd-lstm-lm: a module for each layer, the last as wide as the embedding."""

    def __init__(self, width: int, units: list[int]) -> None:
        super().__init__()
        self.encoder = nn.Embedding(WORDS, width)
        widths = [width, *units]
        self.rnns = nn.ModuleList(WeightDrop(nn.LSTM(i, o)) for i, o in zip(widths, units))
        self.decoder = nn.Linear(width, WORDS)
        self.decoder.weight = self.encoder.weight

    def forward(self, ids: Tensor) -> Tensor:
        x = self.encoder(ids)
        for rnn in self.rnns:
            x = rnn(x)
        logits: Tensor = self.decoder(x)
        return logits


class Icefall(nn.Module):
    """RnnLmModel of icefall, but for the order of batch and steps."""

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        self.input_embedding = nn.Embedding(WORDS, width)
        self.rnn = nn.LSTM(width, width, layers)
        self.output_linear = nn.Linear(width, WORDS)
        self.output_linear.weight = self.input_embedding.weight

    def forward(self, ids: Tensor) -> Tensor:
        logits: Tensor = self.output_linear(self.rnn(self.input_embedding(ids))[0])
        return logits


# Name, module, whether it is trained, what its weights are stored as, the layout.
MODELS: list[tuple[str, Any, bool, torch.dtype, str]] = [
    ("lstm", lambda: WordLanguageModel("LSTM", 6, 10, 2), False, torch.float32, "pytorch"),
    ("lstm_tied_trained", lambda: WordLanguageModel("LSTM", 12, 12, 2, tied=True), True, torch.float32, "pytorch"),
    ("gru_trained", lambda: WordLanguageModel("GRU", 8, 12, 2), True, torch.float32, "pytorch"),
    ("lstm_projected", lambda: WordLanguageModel("LSTM", 8, 12, 2, tied=True, proj_size=8), False, torch.float32, "pytorch"),
    ("lstm_half", lambda: WordLanguageModel("LSTM", 6, 8, 1), False, torch.float16, "pytorch"),
    ("gru_brain", lambda: WordLanguageModel("GRU", 6, 8, 1), False, torch.bfloat16, "pytorch"),
    ("awd", lambda: Awd(8, [14, 11, 8]), False, torch.float32, "awd"),
    ("awd_trained", lambda: Awd(10, [16, 10]), True, torch.float32, "awd"),
    ("icefall_trained", lambda: Icefall(12, 2), True, torch.float32, "icefall"),
]


def words() -> list[str]:
    """`<eos>`, `<unk>` and made-up words."""
    return ["<eos>", "<unk>", *(f"w{k}" for k in range(2, WORDS))]


def text(lines: int, seed: int) -> list[list[int]]:
    """Lines of a random walk in which each word has three likely successors."""
    after = np.random.Generator(np.random.PCG64(0)).integers(1, WORDS, (WORDS, 3))
    rng = np.random.Generator(np.random.PCG64(seed))
    out = []
    for _ in range(lines):
        line, word = [], 0
        for _ in range(rng.integers(2, 9)):
            word = int(after[word, rng.integers(3)]) if rng.random() < 0.8 else int(rng.integers(1, WORDS))
            line.append(word)
        out.append(line)
    return out


def stream(lines: list[list[int]]) -> Tensor:
    """All lines, each with its end, after an end."""
    return torch.tensor([0, *(id for line in lines for id in [*line, 0])])


def nll(model: nn.Module, ids: Tensor) -> Tensor:
    """Sum of the negative log-likelihoods of what comes after the first id, in nats."""
    logits = model(ids[:-1, None])[:, 0]
    return F.cross_entropy(logits, ids[1:], reduction="sum")


def train(model: nn.Module) -> None:
    ids = stream(text(400, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for step in range(TRAINING):
        at = (step * 97) % (len(ids) - 101)
        loss = nll(model, ids[at : at + 101]) / 100
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def made(make: Any, is_trained: bool, dtype: torch.dtype, seed: int) -> nn.Module:
    """A module in float64 of weights rounded to `dtype`."""
    torch.manual_seed(seed)
    model: nn.Module = make()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.uniform_(-0.6, 0.6)
    if is_trained:
        train(model)
    return model.to(dtype).double().eval()


def stored(model: nn.Module, dtype: torch.dtype) -> dict[str, Tensor]:
    """The tensors of a module; tied ones once, as in files that people share, or twice."""
    return {name: value.to(dtype).clone() for name, value in model.state_dict().items()}


def fixtures() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    lines = text(LINES, 2)
    (FOLDER / "vocab.txt").write_text("".join(word + "\n" for word in words()))
    k2 = ["<sos/eos>", *words()[1:]]
    (FOLDER / "tokens.txt").write_text("".join(f"{word} {id}\n" for id, word in enumerate(k2)))
    (FOLDER / "text.txt").write_text("".join(" ".join(words()[id] for id in line) + "\n" for line in lines))
    expected = {}
    for seed, (name, make, is_trained, dtype, layout) in enumerate(MODELS):
        model = made(make, is_trained, dtype, seed)
        tensors = stored(model, dtype)
        if name == "lstm_tied_trained":
            del tensors["decoder.weight"]
        save_file(tensors, FOLDER / f"{name}.safetensors")
        ids = stream(lines)
        with torch.no_grad():
            each = [float(nll(model, torch.tensor([0, *line, 0]))) for line in lines]
            logits = model(ids[:8, None])[:, 0]
            perplexity = math.exp(float(nll(model, ids)) / (len(ids) - 1))
        expected[name] = {
            "layout": layout,
            "perplexity": perplexity,
            "line_nll": [round(value, 6) for value in each],
            "ids": ids[:8].tolist(),
            "logits": [[round(x, 7) for x in row] for row in logits.tolist()],
        }
        print(f"{name}: perplexity {perplexity:.4f}")
    (FOLDER / "expected.json").write_text(json.dumps(expected) + "\n")


def pocketlm(program: str, *arguments: Any) -> str:
    run = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True)
    if run.returncode != 0:
        sys.exit(f"{' '.join(map(str, arguments))}: {run.stderr}")
    return run.stdout


# Models trained here, for every kind of cell: name, settings of `pocketlm train`.
TRAINED = {
    "lstm-here": "cell=lstm hidden=[10,8]",
    "gru-here": "cell=gru hidden=[10,8]",
    "cifg-here": "cell=cifg hidden=[9]",
    "cifgp-tied-here": "cell=cifg hidden=[14,12] cell_projection=8 embedding=8 tied=true",
    "lstm-projection-here": "cell=lstm hidden=[11] projection=6 embedding=6 tied=true",
    "normalised-here": "cell=lstm hidden=[9] layer_norm=true",
    "gru-normalised-here": "cell=gru hidden=[9] layer_norm=true",
    "mogrified-here": "cell=lstm hidden=[9] mogrifier=3",
    "gru-mogrified-here": "cell=gru hidden=[9] mogrifier=2",
    "urnn-here": "cell=urnn hidden=[16]",
}


class Step:
    """A file of the contract `step`."""

    def __init__(self, path: Path) -> None:
        import onnxruntime

        self.session = onnxruntime.InferenceSession(path)
        self.metadata = self.session.get_modelmeta().custom_metadata_map
        self.eos = int(self.metadata["eos_id"])
        self.start = {i.name: np.zeros((1, i.shape[1]), np.float32) for i in self.session.get_inputs()[1:]}

    def nll(self, ids: list[int]) -> float:
        """Of what comes after the first id, in nats."""
        state, total = self.start, 0.0
        names = [output.name for output in self.session.get_outputs()]
        for token, target in zip(ids, ids[1:]):
            out = dict(zip(names, self.session.run(None, {"token": np.array([token]), **state})))
            total -= float(out["log_probabilities"][0, target])
            state = {name: out["next_" + name] for name in state}
        return total


def offline(path: Path, lines: list[list[int]]) -> np.ndarray:
    """Scores of sentences side by side, filled up with a number that is no id."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path)
    x = np.full((len(lines), max(map(len, lines))), -7)
    for row, line in zip(x, lines):
        row[: len(line)] = line
    out: np.ndarray = session.run(["nll"], {"x": x, "x_lens": np.array([len(line) for line in lines])})[0]
    return out


def online(path: Path, lines: list[list[int]]) -> list[float]:
    """Scores of sentences as sherpa-onnx fuses: the start with zero states, then a token a call."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path)
    meta = session.get_modelmeta().custom_metadata_map
    shape = (int(meta["num_layers"]), 1, int(meta["hidden_size"]))
    scores = []
    for line in lines:
        h, c, total, token = np.zeros(shape, np.float32), np.zeros(shape, np.float32), 0.0, int(meta["sos_id"])
        for target in [*line, int(meta["eos_id"])]:
            log_p, h, c = session.run(None, {"x": np.array([[token]]), "h0": h, "c0": c})
            total -= float(log_p[0, target])
            token = target
        scores.append(total)
    return scores


def close(what: str, got: Any, wanted: Any, tolerance: float) -> float:
    """Refuses numbers that differ by more than a share of the wanted ones; returns the largest difference."""
    difference = float(np.max(np.abs(np.asarray(got) / np.asarray(wanted) - 1)))
    if not difference <= tolerance:
        sys.exit(f"{what}: {got} differs from {wanted} by {difference:.2e}, more than {tolerance}")
    return difference


def exported(program: str, model: Path, contract: str, precision: str) -> Path:
    import onnx

    path = model.parent / f"{model.name}-{contract}-{precision}.onnx"
    pocketlm(program, "export", model, "-o", path, "--contract", contract, "--precision", precision, "--force")
    onnx.checker.check_model(str(path), full_check=True)
    return path


def compare(program: str, folder: Path, model: Path, vocabulary: Path) -> None:
    """Every contract and precision of a model against what pocketlm says of the text."""
    known = {word: id for id, word in enumerate(vocabulary.read_text().split("\n"))}
    sentences = (folder / "text.txt").read_text().splitlines()
    unknown = known.get("<unk>")
    lines = [[known.get(word, unknown) for word in line.split()] for line in sentences]
    lines[3:3] = [[]]
    (folder / "spaced.txt").write_text("\n".join([*sentences[:3], "", *sentences[3:]]) + "\n")
    eos = known["<eos>"]
    ids = [eos, *(id for line in lines for id in [*line, eos])]
    report = json.loads(pocketlm(program, "eval", model, "--data", folder / "spaced.txt", "--json"))
    scored = pocketlm(program, "score", "-m", model, "--json", "--", *sentences[:9]).splitlines()
    own = [json.loads(line)["nll_without_penalty"] for line in scored]
    differences = []
    for precision, share in [("f32", 1e-5), ("int8", 5e-3)]:
        step = Step(exported(program, model, "step", precision))
        total = step.nll(ids)
        perplexity = math.exp(total / (len(ids) - 1))
        what = f"{model.name}, {precision}"
        differences.append(close(f"{what}, step", perplexity, report["perplexity"], share))
        each = np.array([step.nll([eos, *line, eos]) for line in lines])
        loose = 1e-5 if precision == "f32" else 2e-2
        close(f"{what}, icefall-offline", offline(exported(program, model, "icefall-offline", precision), lines), each, loose)
        close(f"{what}, icefall-online", online(exported(program, model, "icefall-online", precision), lines), each, loose)
        without = np.delete(each, 3)
        # A session rounds what it multiplies int4 weights by.
        close(f"{what}, score", without[:9], own, 2e-2 if model.name.endswith("int4") else loose)
    print(f"{model.name}: perplexity {report['perplexity']:.4f}; off by {differences[0]:.1e} (f32), {differences[1]:.1e} (int8)")


FRAMES, PAIRS = 3, 6


def recogniser(folder: Path, table: np.ndarray, is_online: bool) -> dict[str, str]:
    """A transducer that hears nothing: frame t of any sound has the logits `table[t]`, whatever came before."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    size = table.shape[1]
    floats, longs = TensorProto.FLOAT, TensorProto.INT64

    def save(name: str, nodes: list[Any], inputs: list[Any], outputs: list[Any], numbers: dict[str, np.ndarray], meta: dict[str, int]) -> str:
        info = lambda parts: [helper.make_tensor_value_info(*part) for part in parts]  # noqa: E731
        held = [numpy_helper.from_array(value, key) for key, value in numbers.items()]
        graph = helper.make_graph(nodes, name, info(inputs), info(outputs), held)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
        helper.set_model_props(model, {key: str(value) for key, value in meta.items()})
        path = folder / f"{name}-{is_online}.onnx"
        onnx.save(model, path)
        return str(path)

    node = helper.make_node
    if is_online:
        # The state counts the frames.
        encoder = save("encoder", [
            node("Cast", ["h"], ["at"], to=longs), node("Reshape", ["at", "one"], ["row"]),
            node("Gather", ["table", "row"], ["frame"]), node("Unsqueeze", ["frame", "axis"], ["encoder_out"]),
            node("Add", ["h", "step"], ["next_h"]), node("Identity", ["c"], ["next_c"]),
        ], [("x", floats, ["N", "T", 80]), ("h", floats, [1, "N", 1]), ("c", floats, [1, "N", 1])],
            [("encoder_out", floats, [1, 1, size]), ("next_h", floats, [1, "N", 1]), ("next_c", floats, [1, "N", 1])],
            {"table": np.vstack([table, table[:1]]), "one": np.array([1]), "axis": np.array([0]), "step": np.array(1, np.float32)},
            {"num_encoder_layers": 1, "T": 9, "decode_chunk_len": 4, "rnn_hidden_size": 1, "d_model": 1})
    else:
        encoder = save("encoder", [
            node("Shape", ["x_lens"], ["n"]), node("Concat", ["n", "ones"], ["shape"], axis=0),
            node("Expand", ["table", "shape"], ["encoder_out"]), node("Expand", ["count", "n"], ["encoder_out_lens"]),
        ], [("x", floats, ["N", "T", 80]), ("x_lens", longs, ["N"])],
            [("encoder_out", floats, ["N", FRAMES, size]), ("encoder_out_lens", longs, ["N"])],
            {"table": table[None], "ones": np.array([1, 1]), "count": np.array([FRAMES])}, {})
    decoder = save("decoder", [
        node("Shape", ["y"], ["shape"]), node("Gather", ["shape", "zero"], ["n"]), node("Concat", ["n", "size"], ["all"], axis=0),
        node("ConstantOfShape", ["all"], ["decoder_out"]),
    ], [("y", longs, ["N", 2])], [("decoder_out", floats, ["N", size])],
        {"zero": np.array([0]), "size": np.array([size])}, {"vocab_size": size, "context_size": 2})
    joiner = save("joiner", [node("Add", ["encoder_out", "decoder_out"], ["logit"])],
                  [("encoder_out", floats, ["N", size]), ("decoder_out", floats, ["N", size])], [("logit", floats, ["N", size])], {},
                  {"joiner_dim": size})
    return {"encoder": encoder, "decoder": decoder, "joiner": joiner}


def heard(folder: Path, table: np.ndarray, tokens: Path, lm: Path, is_online: bool, scale: float) -> list[int]:
    """What sherpa-onnx decodes with this language model."""
    import sherpa_onnx

    kind = sherpa_onnx.OnlineRecognizer if is_online else sherpa_onnx.OfflineRecognizer
    found = kind.from_transducer(
        **recogniser(folder, table, is_online), tokens=str(tokens), lm=str(lm), lm_scale=scale, num_threads=1,
        decoding_method="modified_beam_search", max_active_paths=2**FRAMES, model_type="lstm" if is_online else "transducer",
    )
    stream = found.create_stream()
    # A chunk of nine features of ten milliseconds moves on by four; two more are held back.
    stream.accept_waveform(16000, np.zeros(160 * (9 + 4 * (FRAMES - 1) + 2), np.float32))
    if is_online:
        while found.is_ready(stream):
            found.decode_stream(stream)
        return [int(token[1:]) for token in found.get_result_all(stream).tokens]
    found.decode_stream(stream)
    return [int(token[1:]) for token in stream.result.tokens]


def sherpa(program: str, folder: Path, model: Path, precision: str) -> None:
    """Of words that sound alike sherpa-onnx takes those that the model finds likeliest (or, by a negative scale, least likely)."""
    import itertools

    step = Step(exported(program, model, "step", precision))
    known = (model / "vocab.txt").read_text().splitlines()
    tokens = folder / "sherpa.txt"
    # Its blank is 0, which no language model is asked for.
    tokens.write_text("".join(f"{'<blk>' if id == 0 else word} {id}\n" for id, word in enumerate(known)))
    if known[0] != "<eos>":
        sys.exit(f"{model.name}: the end of a line is not 0")
    rng = np.random.Generator(np.random.PCG64(5))
    for _ in range(PAIRS):
        pairs = [sorted(rng.choice(np.arange(2, len(known)), 2, replace=False).tolist()) for _ in range(FRAMES)]
        table = np.full((FRAMES, len(known)), -40, np.float32)
        for t, pair in enumerate(pairs):
            table[t, pair] = 0
        for contract, end in [("icefall-offline", [0]), ("icefall-online", [])]:
            scored = {line: step.nll([0, *line, *end]) for line in itertools.product(*pairs)}
            names = {tuple(int(known[id][1:]) for id in line): nll for line, nll in scored.items()}
            for scale, best in [(1.0, min(names.values())), (-1.0, max(names.values()))]:
                path = exported(program, model, contract, precision)
                got = tuple(heard(folder, table, tokens, path, contract == "icefall-online", scale))
                # Bytes of several streams share a scale, so that near hypotheses may change places.
                slack = 1e-4 if precision == "f32" else 5e-2
                if got not in names or abs(names[got] - best) > slack:
                    sys.exit(f"sherpa-onnx, {model.name}, {contract}, {precision}: heard {got} of {names}")
    print(f"{model.name}, {precision}: sherpa-onnx chooses by the model's scores, offline and online")


def hub(program: str, folder: Path, model: Path) -> None:
    """The folder of safetensors: its list of words by tokenizers, its tensors by a module of PyTorch's."""
    from safetensors.torch import load_file
    from tokenizers import Tokenizer

    pocketlm(program, "export", model, "-o", folder / "hub", "--force")
    config = json.loads((folder / "hub" / "config.json").read_text())
    tokenizer = Tokenizer.from_file(str(folder / "hub" / "tokenizer.json"))
    known = (model / "vocab.txt").read_text().splitlines()
    line = " ".join(["w5", "unheard", *known])
    wanted = [known.index("w5"), config["unk_token_id"], *range(len(known))]
    if tokenizer.encode(line).ids != wanted:
        sys.exit(f"{model.name}: tokenizers has other ids")
    tensors = load_file(folder / "hub" / "model.safetensors")
    width = config["embedding_size"]
    x = tensors["embedding.weight"][:8, None]
    for k, units in enumerate(config["hidden_sizes"]):
        more = {"proj_size": config["proj_size"]} if config["proj_size"] else {}
        layer = getattr(nn, config["cell"].upper())(width, units, **more)
        start = f"layers.{k}."
        layer.load_state_dict({name[len(start):]: value for name, value in tensors.items() if name.startswith(start)})
        x, width = layer(x)[0], config["proj_size"] or units
    weight = tensors.get("softmax.weight", tensors["embedding.weight"])
    logits = (x[:, 0] @ weight.T + tensors["softmax.bias"]).double()
    own = Step(exported(program, model, "step", "f32")).nll([*range(8), 1])
    nll = float(F.cross_entropy(logits, torch.tensor([*range(1, 8), 1]), reduction="sum").detach())
    close(f"{model.name}, folder", nll, own, 1e-5)


def check(program: str, folder: Path) -> None:
    for name in ["text.txt", "vocab.txt", "tokens.txt"]:
        (folder / name).write_text((FOLDER / name).read_text())
    expected = json.loads((FOLDER / "expected.json").read_text())
    for name, numbers in expected.items():
        list_ = "tokens.txt" if name.startswith("icefall") else "vocab.txt"
        pocketlm(program, "import", FOLDER / f"{name}.safetensors", "--vocab", folder / list_, "-o", folder / name)
        got = json.loads(pocketlm(program, "eval", folder / name, "--data", folder / "text.txt", "--json"))
        close(f"{name}, imported", got["perplexity"], numbers["perplexity"], 1e-4)
        compare(program, folder, folder / name, folder / name / "vocab.txt")
        if name.endswith("trained"):
            small = folder / f"{name}-int4"
            pocketlm(program, "compress", folder / name, "--quantise", "int4", "-o", f"{small}.plm", "--checkpoint-out", small)
            compare(program, folder, small, small / "vocab.txt")
        hub(program, folder, folder / name)
    training = "".join(" ".join(words()[id] for id in line) + "\n" for line in text(300, 1))
    for split in ["train", "valid", "test"]:
        (folder / "data").mkdir(exist_ok=True)
        (folder / "data" / f"{split}.txt").write_text(training)
    for name, settings in TRAINED.items():
        model = folder / name
        sets = [part for setting in settings.split() for part in ("--set", f"model.{setting}")]
        pocketlm(program, "train", "--data", folder / "data", "--out", model, "--set", "model.embedding=8", *sets,
                 "--set", "batch=4", "--set", "steps=10", "--set", "optimizer=adam", "--set", "lr=0.02", "--epochs", 3)
        compare(program, folder, model, model / "vocab.txt")
        packed = folder / f"{name}.plm"
        pocketlm(program, "pack", model, "-o", packed, "--precision", "f32")
        list_ = folder / f"{name}.words"
        pocketlm(program, "export", packed, "-o", folder / "x.onnx", "--vocab", list_, "--force")
        compare(program, folder, packed, list_)
    for name in ["icefall_trained", "awd_trained", "gru_trained", "lstm_projected"]:
        for precision in ["f32", "int8"]:
            sherpa(program, folder, folder / name, precision)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["fixtures", "check"])
    parser.add_argument("program", nargs="?", help="the program pocketlm")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.what == "fixtures":
        fixtures()
    else:
        with tempfile.TemporaryDirectory() as folder:
            check(str(Path(arguments.program).resolve()), Path(folder))


if __name__ == "__main__":
    main()
