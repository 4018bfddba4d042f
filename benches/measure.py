"""What every benchmark driver needs: children with their peak memory, and where it all ran."""

import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
POCKETLM = Path(os.environ.get("POCKETLM", TARGET / "release/pocketlm"))
LAB = Path(os.environ.get("POCKETLM_LAB", TARGET / "release/pocketlm-lab"))
FLAGS = ("avx2", "fma", "f16c", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8", "asimd")


def run_json(command: list[str | Path]) -> dict:
    """Runs a child whose standard output ends in one JSON object."""
    return wait_json(start(command))


def start(command: list[str | Path]) -> subprocess.Popen:
    """A child whose standard output can be read."""
    return subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, text=True)


def wait_json(child: subprocess.Popen) -> dict:
    """The JSON object that ends a child's output, with the child's peak memory if it gives none."""
    text = child.stdout.read().strip()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        sys.exit(f"{' '.join(child.args)}: exit code {child.returncode}")
    # Linux counts ru_maxrss in KiB.
    return {"peak_bytes": usage.ru_maxrss * 1024} | json.loads(text[text.index("{") :])


def machine() -> dict:
    """Processor, cores and the instruction sets that matter here."""
    fields = {}
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    flags = set((fields.get("flags") or fields.get("Features", "")).split())
    return {
        "cpu": fields.get("model name", "unknown"),
        "family_model_stepping": "/".join(
            fields.get(name, "?") for name in ("cpu family", "model", "stepping")
        ),
        "cores": os.cpu_count(),
        "flags": [flag for flag in FLAGS if flag in flags],
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
    }


# What makes either of our programs say in a moment where it is from.
TINY = {
    POCKETLM: ["bench", ROOT / "assets/keyboard", "--seconds", 0.01, "--json"],
    LAB: ["bench-train", "--hidden", 16, "--vocabulary", 16, "--steps", 1, "--json"],
}


def provenance(*packages: str, program: Path = POCKETLM) -> dict:
    """The commit that our program was built from, the machine and the versions of the others."""
    versions = {package: importlib.metadata.version(package) for package in packages}
    return {"commit": built_from(program), "machine": machine(), "versions": versions}


def built_from(program: Path = POCKETLM) -> str:
    """What the program itself says, since the checkout may have moved on since it was built."""
    return run_json([program, *TINY[program]])["machine"]["commit"] if program.exists() else "none"


def head() -> str:
    """The commit that is checked out, for what is built here and now, and whether its crates were changed."""

    def git(*command: str) -> str:
        return subprocess.run(["git", *command], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no", "--", "crates")
    return git("rev-parse", "HEAD") + ("+changes" if changed else "")


def write_json(path: Path, value: dict) -> None:
    """Writes to a temporary name, then renames."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(value, indent=2) + "\n")
    temporary.replace(path)
