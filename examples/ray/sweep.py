"""Runs the trials of a sweep on a Ray cluster: trainings, or the compressions of a trained model.

    python examples/ray/sweep.py SPEC.toml DATA OUT [--workers N] [--pocketlm PROGRAM]

Each trial is a process of `pocketlm sweep --trial K` in the folder OUT, which all machines share. A trial that is cut off
continues where it last saved; one that is done is not run again. At the end `pocketlm sweep --collect` prints the table.
Other machines may run other trials of the same folder by hand, with --trial or --shard.
"""

import argparse
import json
import subprocess
from pathlib import Path

import ray
from ray import tune


def command(a: argparse.Namespace, *rest: object) -> list[str]:
    return [str(part) for part in (a.pocketlm, "sweep", a.spec, "--data", a.data, "--out", a.out, *rest)]


def trial(config: dict, a: argparse.Namespace) -> dict:
    number = config["trial"]
    done = subprocess.run(command(a, "--trial", number, "--jobs", 1, "--threads", 1), capture_output=True, text=True)
    result = a.out / f"{number:03}/result.json"
    if done.returncode or not result.exists():
        raise RuntimeError(done.stderr)
    found = json.loads(result.read_text())
    # A training that diverged has no perplexity.
    return {"valid_perplexity": found["valid_perplexity"] or float("inf"), "state": found["state"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("spec", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--workers", type=int, help="trials at a time (default: one for each core of the cluster)")
    parser.add_argument("--pocketlm", default="pocketlm", help="the program, on every machine")
    parser.add_argument("--retries", type=int, default=3, help="how often a trial is tried again that failed or was cut off")
    a = parser.parse_args()
    # Ray's workers have folders of their own.
    a.spec, a.data, a.out = (path.resolve() for path in (a.spec, a.data, a.out))
    trials = len(subprocess.run(command(a, "--dry-run"), check=True, capture_output=True, text=True).stdout.splitlines())
    ray.init(ignore_reinit_error=True)
    tuner = tune.Tuner(
        tune.with_parameters(trial, a=a),
        param_space={"trial": tune.grid_search(list(range(1, trials + 1)))},
        tune_config=tune.TuneConfig(max_concurrent_trials=a.workers),
        run_config=tune.RunConfig(failure_config=tune.FailureConfig(max_failures=a.retries), verbose=0,
                                  storage_path=str(a.out / "ray")),
    )
    failed = [result for result in tuner.fit() if result.error]
    subprocess.run(command(a, "--collect"), check=not failed)
    if failed:
        raise SystemExit(f"{len(failed)} trials failed; see their log.txt; the same command tries them again")


if __name__ == "__main__":
    main()
