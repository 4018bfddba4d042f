"""Words a second of the packed rows of `pocketlm-lab reproduce field`, all in one run.

`python benches/field.py --base zaremba-small --work runs` takes the files BASE-ROW.plm that the rows left in that
folder, measures them in rounds, one word at a time on one thread, and writes results/field/BASE/speed.json: for each
row the median over the rounds, and the median of its ratio to int8 in the same round. With --add the rows measured
before stay, each with the run that it is of. Stop other work first.
"""

import argparse
import json
import statistics
from pathlib import Path

from measure import POCKETLM, ROOT, built_from, machine, run_json, write_json

DENSE = "int8"


def measure(files: dict[str, Path], seconds: float) -> dict[str, float]:
    """One round: tokens a second of each row."""
    command = [POCKETLM, "bench", "--json", "--seconds", seconds]
    return {name: run_json([*command, path])["tokens_per_second"] for name, path in files.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", default="zaremba-small")
    parser.add_argument("--work", type=Path, default=ROOT / "runs")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--add", action="store_true", help="keep the rows of earlier runs")
    parser.add_argument("--note", help="what a reader of the figures should know")
    arguments = parser.parse_args()
    base = arguments.base
    names = sorted(path.stem for path in (ROOT / "results/field" / base).glob("*.json") if path.stem != "speed")
    files = {name: path for name in names if (path := arguments.work / f"{base}-{name}.plm").exists()}
    if DENSE not in files:
        parser.error(f"{arguments.work} has no {base}-{DENSE}.plm, which the others are compared with")
    rounds = [measure(files, arguments.seconds) for _ in range(arguments.rounds)]
    rows = {
        name: {
            "tokens_per_second": statistics.median(found[name] for found in rounds),
            "over_int8": statistics.median(found[name] / found[DENSE] for found in rounds),
        }
        for name in files
    }
    setting = {"rounds": arguments.rounds, "seconds": arguments.seconds, "threads": 1}
    run = {"commit": built_from(), "machine": machine(), "setting": setting, "note": arguments.note, "rows": rows}
    path = ROOT / "results/field" / base / "speed.json"
    earlier = json.loads(path.read_text())["runs"] if arguments.add and path.exists() else []
    for old in earlier:
        # The row that the others are compared with belongs to its run.
        old["rows"] = {name: row for name, row in old["rows"].items() if name == DENSE or name not in rows}
    write_json(path, {"runs": [*(old for old in earlier if old["rows"].keys() - {DENSE}), run]})
    missing = [name for name in names if name not in files]
    print(f"{len(files)} rows measured" + (f"; no file for {', '.join(missing)}" if missing else ""))


if __name__ == "__main__":
    main()
