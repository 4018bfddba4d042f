"""PyTorch on one thread: eager f32 from a checkpoint, or a dynamically quantised model of it.

    torch_peer.py DIR ...              eager f32
    torch_peer.py MODEL.pt ...         dynamic int8, as `quantise` saved it
"""

import argparse
import sys
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import protocol
import torch_lm

warnings.filterwarnings("ignore")


def quantise(checkpoint: Path, output: Path) -> None:
    """Dynamic int8 of the LSTM and the output layer; the embedding stays f32."""
    model = torch_lm.load(checkpoint).eval()
    quantised = torch.ao.quantization.quantize_dynamic(model, {nn.LSTM, nn.Linear}, torch.qint8)
    torch.save(quantised, output)


class TorchPeer:
    def __init__(self, model: nn.Module) -> None:
        self.model = model.eval()

    def reset(self, streams: int) -> None:
        self.state = self.model.zero_state(streams)

    def feed(self, words: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            logits, self.state = self.model(torch.from_numpy(words), self.state)
            return torch.log_softmax(logits, dim=-1).numpy()


def main() -> None:
    args = protocol.arguments(argparse.ArgumentParser())
    torch.set_num_threads(1)
    if args.model.is_dir():
        model = torch_lm.load(args.model)
    else:
        model = torch.load(args.model, weights_only=False)
    protocol.run(TorchPeer(model), args)


if __name__ == "__main__":
    main()
