"""The runtimes that are compared, and where their files of each model lie."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from measure import ROOT

# One thread, whatever a runtime takes its number from.
os.environ |= {"RAYON_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

SIZES = (200, 650, 1500)
LAYERS, VOCABULARY = 2, 10_000
WORK = ROOT / "target/peers"
ROUNDS, WORDS = WORK / "rounds.jsonl", WORK / "words.i64"
PRECISIONS = ("f32", "int8", "int4")


@dataclass(frozen=True)
class Peer:
    """A program that speaks protocol.py, and the file of the model that it takes."""

    name: str
    program: list[str | Path]
    model: str
    precision: str
    bulk: bool

    def available(self) -> bool:
        return Path(self.program[0]).exists()

    def file(self, size: int) -> Path:
        return WORK / str(size) / self.model

    def command(self, size: int, *mode: str | Path) -> list[str | Path]:
        return [*self.program, self.file(size), "--words", WORDS, *mode]


def python(script: str) -> list[str | Path]:
    return [sys.executable, HERE / script]


def rust(name: str) -> list[str | Path]:
    return [HERE / f"{name}/target/release/{name}-peer"]


PEERS = [
    Peer("PyTorch f32", python("torch_peer.py"), "checkpoint", "f32", True),
    Peer("PyTorch int8", python("torch_peer.py"), "model.int8.pt", "int8", True),
    Peer("ONNX Runtime f32", python("ort_peer.py"), "model.onnx", "f32", True),
    Peer("ONNX Runtime int8", python("ort_peer.py"), "model.int8.onnx", "int8", True),
    Peer("tract f32", rust("tract"), "model.onnx", "f32", False),
    Peer("candle Q8_0", rust("candle"), "model.gguf", "int8", False),
]


def ours(precision: str, size: int) -> Path:
    """Our packed model."""
    return WORK / str(size) / f"model.{precision}.plm"
