"""What a call costs from C, Python and Java over the same call in Rust: writes results/bindings.json.

    python bindings/overhead/overhead.py           measures; needs what bindings/check builds
    python bindings/overhead/overhead.py --bits    only compares the bits of int8 scores from all of them, and from JavaScript

The programs take turns, several times, and the least time of each call counts: what others do on the machine only adds.
The large model, `keyboard`, gives the share that a call costs; the tiny one, whose own work takes hardly any time, what a
call costs in microseconds.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benches"))
from measure import head, machine, write_json  # noqa: E402

TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
BUILT = TARGET / "bindings"
TINY = ROOT / "fuzz/seeds/open/lstm-int8.plm"
TEXT = "the under a then Zug\nthem été an unknown"
SENTENCE = "the company said it expects to report a loss for the third quarter"
TURNS, BATCHES = 5, 20


def programs() -> dict[str, list[str]]:
    """The command of each language that is built; says which are not."""
    java = BUILT / "jvm"
    all_of = {
        "rust": [str(TARGET / "phone/examples/measure")],
        "c": [str(BUILT / "overhead/measure")],
        "python": [str(BUILT / "venv/bin/python"), str(ROOT / "bindings/overhead/measure_python.py")],
        "java": ["java", f"-Dorg.pocketlm.library={java}/libpocketlm_jni.so", "-cp", f"{java}/pocketlm.jar:{BUILT}/overhead",
                 "Measure"],
    }
    needed = {"rust": all_of["rust"][0], "c": all_of["c"][0], "python": all_of["python"][0],
              "java": str(BUILT / "overhead/Measure.class")}
    for language in [language for language in all_of if not Path(needed[language]).exists()]:
        print(f"SKIPPED: {language}: {needed[language]} is not there: bindings/check builds it")
        del all_of[language]
    return all_of


def javascript() -> dict[str, list[str]]:
    """The command of JavaScript, whose bits are compared and whose calls are not: it runs another build."""
    package = BUILT / "web"
    if not (package / "index.js").exists() or not shutil.which("node"):
        print(f"SKIPPED: javascript: {package} is not there: bindings/check builds it")
        return {}
    return {"javascript": ["node", str(ROOT / "bindings/overhead/measure.mjs"), str(package)]}


def run(command: list[str], model: Path, text: str, batches: int) -> dict[str, str]:
    """What a program prints, by its names."""
    whole = [*command, str(model), text, str(batches)]
    lines = subprocess.run(whole, check=True, capture_output=True, text=True, cwd=BUILT).stdout.splitlines()
    return dict(line.split(" ", 1) for line in lines)


def compare_bits(commands: dict[str, list[str]]) -> None:
    """Ends the program unless all give the same bits."""
    for model in (TINY, ROOT / "fuzz/seeds/open/lstm-int2.plm", ROOT / "fuzz/seeds/open/cifg-int4.plm"):
        bits = {language: run(command, model, TEXT, 0)["score"] for language, command in commands.items()}
        if len(set(bits.values())) != 1:
            sys.exit(f"{model.name}: the scores differ: {bits}")
        print(f"{model.name}: {next(iter(bits.values()))} from {', '.join(bits)}")


def least(commands: dict[str, list[str]], model: Path, text: str) -> dict[str, dict[str, float]]:
    """Microseconds of each call in each language."""
    best: dict[str, dict[str, float]] = {language: {} for language in commands}
    for _ in range(TURNS):
        for language, command in commands.items():
            found = run(command, model, text, BATCHES)
            del found["score"]
            for call, value in found.items():
                best[language][call] = min(float(value), best[language].get(call, float("inf")))
    return best


def over_rust(best: dict[str, dict[str, float]]) -> dict[str, dict[str, dict[str, float]]]:
    """What the others cost more, in microseconds and as a share."""
    rust = best["rust"]

    def beside(call: str, value: float) -> dict[str, float]:
        more = value - rust[call]
        return {"us": value, "over_rust_us": round(more, 4), "over_rust_share": round(more / rust[call], 4)}

    return {language: {call: beside(call, value) for call, value in calls.items()} for language, calls in best.items()}


def main() -> None:
    commands = programs()
    compare_bits(commands | javascript())
    if "--bits" in sys.argv[1:]:
        return
    with tempfile.TemporaryDirectory() as folder:
        keyboard = Path(folder) / "keyboard.plm"
        packs = "import sys, pocketlm; pocketlm.pack(sys.argv[1], sys.argv[2], precision='int8')"
        subprocess.run([commands["python"][0], "-c", packs, str(ROOT / "assets/keyboard"), str(keyboard)], check=True, cwd=folder)
        models = {"keyboard": over_rust(least(commands, keyboard, SENTENCE)), "tiny": over_rust(least(commands, TINY, TEXT))}
    write_json(ROOT / "results/bindings.json", {"commit": head(), "machine": machine(), "calls": models})
    print(json.dumps(models, indent=2))


if __name__ == "__main__":
    main()
