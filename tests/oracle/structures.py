"""Writes the fixtures of factored matrices: leaves, the dense matrix that they make, and their gradients, by
PyTorch's autograd in float64.

    python structures.py            write fixtures/structures/*.safetensors
    python structures.py --check    recompute, compare with the committed files, write nothing
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.numpy import save_file

FOLDER = Path(__file__).parent / "fixtures" / "structures"
ROWS, COLUMNS = 22, 15
TRAIN = {"row_modes": [4, 3, 2], "column_modes": [2, 3, 3], "ranks": [3, 2]}


def leaf(*shape: int) -> torch.Tensor:
    return torch.randn(*shape).float().double().requires_grad_()


def low_rank() -> tuple[dict, list[torch.Tensor], torch.Tensor]:
    left, right = leaf(ROWS, 4), leaf(4, COLUMNS)
    return {"kind": "low-rank", "rank": 4}, [left, right], left @ right


def diagonal_low_rank() -> tuple[dict, list[torch.Tensor], torch.Tensor]:
    left, right, diagonal = leaf(ROWS, 4), leaf(4, COLUMNS), leaf(ROWS, 1)
    places = torch.nn.functional.one_hot(torch.arange(ROWS) % COLUMNS, COLUMNS)
    return {"kind": "diagonal-low-rank", "rank": 4}, [left, right, diagonal], left @ right + diagonal * places


def tensor_train() -> tuple[dict, list[torch.Tensor], torch.Tensor]:
    """Stored cores are [m r, r' n]: row i r + beta, column alpha n + j."""
    ranks = [1, *TRAIN["ranks"], 1]
    leaves, cores = [], []
    for k, (m, n) in enumerate(zip(TRAIN["row_modes"], TRAIN["column_modes"])):
        stored = leaf(m * ranks[k + 1], ranks[k] * n)
        leaves.append(stored)
        cores.append(stored.reshape(m, ranks[k + 1], ranks[k], n).permute(2, 0, 3, 1))
    whole = torch.einsum("aijb,bklc,cmnd->ikmjln", *cores)
    rows, columns = np.prod(TRAIN["row_modes"]), np.prod(TRAIN["column_modes"])
    dense = whole.reshape(rows, columns)[:ROWS, :COLUMNS]
    return {"kind": "tensor-train", **TRAIN}, leaves, dense


def turned(vectors: torch.Tensor, sign: int = 1) -> torch.Tensor:
    """[..., n] to [..., n, n]: element r, c is element r - c, or sign times element r - c + n."""
    n = vectors.shape[-1]
    r, c = torch.arange(n)[:, None], torch.arange(n)[None, :]
    return vectors[..., (r - c) % n] * torch.where(r < c, float(sign), 1.0).double()


def blocks(whole: torch.Tensor) -> torch.Tensor:
    """[rows of blocks, columns of blocks, n, n] to the matrix."""
    high, wide, n, _ = whole.shape
    return whole.permute(0, 2, 1, 3).reshape(high * n, wide * n)[:ROWS, :COLUMNS]


def block_circulant() -> tuple[dict, list[torch.Tensor], torch.Tensor]:
    n = 4
    stored = leaf(-(-ROWS // n), -(-COLUMNS // n) * n)
    return {"kind": "block-circulant", "block": n}, [stored], blocks(turned(stored.reshape(len(stored), -1, n)))


def toeplitz_like() -> tuple[dict, list[torch.Tensor], torch.Tensor]:
    n, rank = 6, 2
    high, wide = -(-ROWS // n), -(-COLUMNS // n)
    g, h = leaf(high * wide * rank, n), leaf(high * wide * rank, n)
    products = turned(g) @ turned(h, -1)
    whole = products.reshape(high, wide, rank, n, n).sum(2)
    return {"kind": "toeplitz-like", "block": n, "rank": rank}, [g, h], blocks(whole)


def learned_scales() -> tuple[dict, list[torch.Tensor], torch.Tensor]:
    """LSQ as Esser et al. 2020 write it for autograd (appendix B): what is detached passes straight through."""
    weights = leaf(ROWS, COLUMNS)
    scales = (torch.rand(ROWS, 1) * 0.4 + 0.2).half().double().requires_grad_()
    below, above = -4, 3
    share = 1 / (COLUMNS * above) ** 0.5
    step = (scales - scales * share).detach() + scales * share
    clipped = (weights / step).clamp(below, above)
    return {"kind": "learned-scales", "precision": "int3"}, [weights, scales], ((clipped.round() - clipped).detach() + clipped) * step


def unitary() -> tuple[dict, list[torch.Tensor], torch.Tensor]:
    """Arjovsky et al. 2016, equation 6, with the permutation of triangular numbers, as a real matrix."""
    n = 16
    phases, reflections = leaf(3, n), leaf(4, n)
    d1, d2, d3 = (torch.diag(torch.polar(torch.ones(n).double(), row)) for row in phases)
    r1, r2 = (torch.eye(n) - 2 * torch.outer(v, v.conj()) / v.abs().pow(2).sum()
              for v in (torch.complex(reflections[k], reflections[k + 1]) for k in (0, 2)))
    f = torch.fft.fft(torch.eye(n).cdouble(), dim=0, norm="ortho")
    j = torch.arange(n)
    w = d3 @ r2 @ f.conj().T @ d2 @ (r1 @ f @ d1)[j * (j + 1) // 2 % n]
    return {"kind": "unitary"}, [phases, reflections], torch.cat([torch.cat([w.real, -w.imag], 1), torch.cat([w.imag, w.real], 1)])


def arrays(make) -> tuple[dict, dict[str, np.ndarray]]:
    torch.manual_seed(7)
    structure, leaves, dense = make()
    weights = torch.randn(*dense.shape).float().double()
    (dense * weights).sum().backward()
    tensors = {"dense": dense, "d_dense": weights}
    for k, own in enumerate(leaves):
        tensors |= {f"leaf.{k}": own, f"d_leaf.{k}": own.grad}
    found = {key: np.ascontiguousarray(value.detach().numpy(), np.float32) for key, value in tensors.items()}
    return structure, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare with the committed files")
    check = parser.parse_args().check
    FOLDER.mkdir(parents=True, exist_ok=True)
    for make in (low_rank, diagonal_low_rank, tensor_train, block_circulant, toeplitz_like, learned_scales, unitary):
        name = make.__name__
        structure, found = arrays(make)
        path = FOLDER / f"{name}.safetensors"
        if check:
            with safe_open(path, "numpy") as file:
                assert set(file.keys()) == set(found), name
                worst = max(float(np.abs(file.get_tensor(key) - value).max()) for key, value in found.items())
            assert worst < 1e-5, f"{name}: differs from the committed file by {worst}"
            print(f"{name}: agrees within {worst:.1e}")
        else:
            save_file(found, path, metadata={"structure": json.dumps(structure)})
            print(f"{name}: {len(found)} tensors, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
