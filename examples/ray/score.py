"""Scores the lines of texts that outgrow one machine, on Ray Data.

    python examples/ray/score.py MODEL.plm TEXTS OUT [--workers N] [--batch 4096]

TEXTS is a file, a folder or a pattern; OUT is a folder of Parquet files with a row for each line: text, nll (nats), tokens,
unknown. A worker that dies is started again, and its blocks are scored again by another: a block is written once, when all
of it is done. The model's file must be at the same path on every machine.
"""

import argparse

import numpy as np
import ray


class Scorer:
    """Cheap to make from a path: a machine's workers share the mapped file."""

    def __init__(self, path: str) -> None:
        import pocketlm  # on the worker, which may be another machine

        self.model = pocketlm.Model.open(path)

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        nll, tokens, unknown = self.model.score_batch(batch["text"].tolist())
        return {"text": batch["text"], "nll": nll, "tokens": tokens, "unknown": unknown}


def score(model: str, texts: str, out: str, workers: int, batch: int) -> None:
    data = ray.data.read_text(texts, override_num_blocks=4 * workers)
    # Ray Data starts actors again when they die, and gives out again what they had not finished.
    scored = data.map_batches(Scorer, fn_constructor_args=(model,), batch_size=batch, batch_format="numpy",
                              compute=ray.data.ActorPoolStrategy(size=workers))
    scored.write_parquet(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("texts")
    parser.add_argument("out")
    parser.add_argument("--workers", type=int, help="processes (default: one for each core of the cluster)")
    parser.add_argument("--batch", type=int, default=4096, help="lines that are scored together")
    a = parser.parse_args()
    ray.init(ignore_reinit_error=True)
    score(a.model, a.texts, a.out, a.workers or int(ray.cluster_resources()["CPU"]), a.batch)


if __name__ == "__main__":
    main()
