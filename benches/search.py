"""`pocketlm search` beside recipes that treat all matrices alike, at the bytes of each, without training.

`python benches/search.py --data ../shared/data/ptb --work runs/search` makes each recipe of RECIPES on assets/keyboard,
searches with its bytes as the budget, and writes results/search.json: bytes and validation perplexity of both, and of the
model that each search begins with, in which all matrices are coded at one price of a bit. What lies finished in --work is
not made again, and a search that was stopped goes on. --only makes some of the recipes.
"""

import argparse
import json
import math
from pathlib import Path

from measure import POCKETLM, ROOT, machine, run_json, write_json

MODEL = ROOT / "assets/keyboard"
ENTROPY = '[[step]]\nmethod = "entropy"\n'


def quantise(precision: str, compensate: bool = True) -> str:
    flag = "compensate = true\n" if compensate else ""
    return f'[[step]]\nmethod = "quantise"\nmatrices = ["*"]\nprecision = "{precision}"\n{flag}'


LOW_RANK = '[[step]]\nmethod = "low-rank"\nmatrices = ["*"]\nratio = 0.5\nweighted = true\n'
PRUNE = '[[step]]\nmethod = "prune"\nmatrices = ["*"]\nsparsity = 0.5\n'
RECIPES = {
    "int4, compensated, coded": quantise("int4") + ENTROPY,
    "int3, compensated, coded": quantise("int3") + ENTROPY,
    "int2, compensated, coded": quantise("int2") + ENTROPY,
    "half of the numbers in two factors, int8, coded": LOW_RANK + quantise("int8") + ENTROPY,
    "half of the numbers zero, int8, coded": PRUNE + quantise("int8", compensate=False) + ENTROPY,
}


def kept(path: Path, command: list[str | Path]) -> dict:
    """What a command prints as JSON, or printed before."""
    if not path.exists():
        path.write_text(json.dumps(run_json(command)))
    return json.loads(path.read_text())


def compare(name: str, text: str, data: Path, work: Path) -> list[dict]:
    """Rows of a recipe, and of one price for all matrices, beside the search at the recipe's bytes."""
    stem = work / name.replace(",", "").replace(" ", "-")
    recipe = stem.with_suffix(".toml")
    recipe.write_text(text)
    program = [POCKETLM, "--threads", 1]
    made = [*program, "compress", MODEL, "--recipe", recipe, "--data", data, "--force", "--json"]
    uniform = kept(stem.with_suffix(".json"), [*made, "-o", stem.with_suffix(".plm")])
    budget = stem.with_suffix(".plm").stat().st_size
    found = [*program, "search", MODEL, "--budget", budget, "--data", data, "--force", "--json"]
    path = stem.with_name(stem.name + "-search")
    found += ["--rounds", 1, "--work", path, "-o", path.with_suffix(".plm")]
    searched = kept(path.with_suffix(".json"), found)
    fitting = [model for model in searched["models"] if model["bytes"] <= budget]
    best = min(fitting, key=lambda model: model["valid"])
    ours = {"search_bytes": searched["bytes"], "search_valid_perplexity": math.exp(best["valid"])}
    ours |= {"budget": budget, "commit": searched["machine"]["commit"], "data_sha256": searched["data_sha256"]}
    first = searched["models"][0]
    one_price = {"recipe": "rate-distortion, one price", "bytes": first["bytes"]}
    one_price |= {"valid_perplexity": math.exp(first["valid"])}
    alike = {"recipe": name, "bytes": budget, "valid_perplexity": uniform["steps"][-1]["valid_perplexity"]}
    return [row | ours | {"steps": best["recipe"]} for row in (alike, one_price)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=ROOT / "runs/search")
    parser.add_argument("--only", nargs="*", choices=RECIPES, default=list(RECIPES))
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    each = [compare(name, RECIPES[name], arguments.data, arguments.work) for name in arguments.only]
    rows = [row for rows in each for row in rows]
    write_json(ROOT / "results/search.json", {"commit": rows[0]["commit"], "machine": machine() | {"threads": 1}, "rows": rows})


if __name__ == "__main__":
    main()
