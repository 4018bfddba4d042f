"""ONNX Runtime on one thread: f32, or int8 by `quantize_dynamic` (which gives DynamicQuantizeLSTM).

The graph takes words and the state and gives log-probabilities and the state after. Plain
`run` is used: `run_with_iobinding` was up to a tenth slower on these small graphs.
"""

import argparse

import numpy as np
import onnxruntime as ort

import protocol


class OrtPeer:
    def __init__(self, path: str) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.widths = {i.name: i.shape[-1] for i in self.session.get_inputs() if i.name != "words"}

    def reset(self, streams: int) -> None:
        self.state = {n: np.zeros((1, streams, w), np.float32) for n, w in self.widths.items()}

    def feed(self, words: np.ndarray) -> np.ndarray:
        outputs = self.session.run(None, {"words": words} | self.state)
        self.state = dict(zip(self.state, outputs))
        return outputs[-1]


def main() -> None:
    args = protocol.arguments(argparse.ArgumentParser())
    protocol.run(OrtPeer(str(args.model)), args)


if __name__ == "__main__":
    main()
