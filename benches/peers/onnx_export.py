"""Writes a checkpoint as an ONNX graph, node by node, and quantises it with ONNX Runtime's tool."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from safetensors.numpy import load_file

from measure import machine

OPSET = 17


def onnx_gates(matrix: np.ndarray) -> np.ndarray:
    """Gate rows i, f, g, o put into ONNX's order: input, output, forget, cell."""
    i, f, g, o = np.split(matrix, 4)
    return np.concatenate([i, o, f, g])


def export(checkpoint: Path, output: Path) -> None:
    """Graph with inputs `words` [steps, streams] and `h.K`, `c.K` [1, streams, width]."""
    tensors = load_file(checkpoint / "model.safetensors")
    layers = sum(name.endswith(".recurrent") for name in tensors)
    weights = {"embedding": tensors["embedding"], "softmax": tensors["softmax"].T.copy()}
    weights["softmax.bias"] = tensors["softmax.bias"]
    weights["streams_axis"] = np.array([1])
    nodes = [helper.make_node("Gather", ["embedding", "words"], ["x.0"])]
    inputs = [info("words", TensorProto.INT64, ["steps", "streams"])]
    outputs = []
    for k in range(layers):
        names = ("input", "recurrent", "bias")
        w, u, b = (onnx_gates(tensors[f"cell.{k}.{name}"]) for name in names)
        width = u.shape[1]
        weights |= {f"W.{k}": w[None], f"R.{k}": u[None]}
        weights[f"B.{k}"] = np.concatenate([b, np.zeros_like(b)])[None]
        lstm_inputs = [f"x.{k}", f"W.{k}", f"R.{k}", f"B.{k}", "", f"h.{k}", f"c.{k}"]
        lstm_outputs = [f"y.{k}", f"h.{k}_after", f"c.{k}_after"]
        nodes.append(helper.make_node("LSTM", lstm_inputs, lstm_outputs, hidden_size=width))
        nodes.append(helper.make_node("Squeeze", [f"y.{k}", "streams_axis"], [f"x.{k + 1}"]))
        for name in (f"h.{k}", f"c.{k}"):
            inputs.append(info(name, TensorProto.FLOAT, [1, "streams", width]))
            outputs.append(info(f"{name}_after", TensorProto.FLOAT, [1, "streams", width]))
    nodes.append(helper.make_node("MatMul", [f"x.{layers}", "softmax"], ["product"]))
    nodes.append(helper.make_node("Add", ["product", "softmax.bias"], ["logits"]))
    nodes.append(helper.make_node("LogSoftmax", ["logits"], ["log_probabilities"], axis=-1))
    shape = ["steps", "streams", len(tensors["softmax.bias"])]
    outputs.append(info("log_probabilities", TensorProto.FLOAT, shape))
    initializers = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "language_model", inputs, outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    onnx.save(model, output)


def info(name: str, kind: int, shape: list) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def quantise(model: Path, output: Path) -> None:
    """Dynamic int8 of everything that ONNX Runtime can: embedding, LSTMs, output layer.

    Without VNNI its products of signed weights saturate at 16 bits, and its own guide says to give weights 7 bits
    there; the instructions and so the speed are the same.
    """
    saturates = not {"avx512_vnni", "avx_vnni"} & set(machine()["flags"])
    quantize_dynamic(model, output, weight_type=QuantType.QInt8, reduce_range=saturates)
