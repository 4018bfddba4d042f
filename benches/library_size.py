"""How many bytes the runtime adds to a program: `python benches/library_size.py` writes results/library_size.json.

Builds the example `keyboard` as for a phone (profile `phone`: link-time optimisation, no unwinding, stripped;
without the writer of packed files and the kernels for several texts at once) and a program that only prints a
number with the same settings: what the first file is larger by is the library. Then once more with each feature of
FEATURES, whose code the example uses if it is there. On x86-64 it holds the kernels for
three instruction sets, on AArch64 for two. AArch64 needs Debian's cross compiler and its standard library, which
`.ci/cross` installs; without them it is left out.
"""

import os
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path

from measure import ROOT, head, machine, write_json

ARM = "aarch64-unknown-linux-gnu"
CROSS = "aarch64-linux-gnu-gcc"
DEBIAN = "/usr/bin/rustc"
# Each is measured by itself, beside a build with none of them; the last takes others in.
FEATURES = ("raw", "subword", "correct", "keyboard")
PHONE = ("-Copt-level=3", "-Clto=fat", "-Cpanic=abort", "-Cstrip=symbols", "-Ccodegen-units=1")


def loaded(program: Path) -> int:
    """Bytes of a 64-bit ELF file that are loaded; what lies between its segments is only there for alignment."""
    data = program.read_bytes()
    start, = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    headers = (struct.unpack_from("<IIQQQQQQ", data, start + n * size) for n in range(count))
    return sum(header[5] for header in headers if header[0] == 1)


def output(command: list, **settings: str) -> str:
    text = [str(part) for part in command]
    return subprocess.run(text, cwd=ROOT, check=True, env=os.environ | settings, capture_output=True, text=True).stdout


def empty(folder: Path, rustc: str, *flags: str) -> int:
    """Bytes of a program that only prints a number, as the example does."""
    source, program = folder / "empty.rs", folder / "empty"
    source.write_text("fn main() {\n    println!(\"{:.3}\", std::env::args().count() as f64);\n}\n")
    output([rustc, *PHONE, *flags, source, "-o", program])
    return loaded(program)


def keyboard(folder: Path, *flags: str, features: tuple = (), **settings: str) -> int:
    """Bytes of the example."""
    build = ["cargo", "build", "--quiet", "--profile", "phone", "-p", "pocketlm", "--no-default-features"]
    all_features = ",".join(("std", *features))
    output([*build, "--features", all_features, "--example", "keyboard", *flags], CARGO_TARGET_DIR=str(folder), **settings)
    return loaded(next(folder.glob("**/examples/keyboard")))


def sizes(folder: Path, baseline: int, rustc: str, *flags: str, **settings: str) -> dict:
    """What the library adds, and what each feature adds to that."""
    compiler = output([rustc, "--version"]).strip()
    program = keyboard(folder, *flags, **settings)
    more = {feature: keyboard(folder, *flags, features=(feature,), **settings) - program for feature in FEATURES}
    return {"program_bytes": program, "empty_bytes": baseline, "library_bytes": program - baseline,
            "feature_bytes": more, "rustc": compiler}


def main() -> None:
    found = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found[os.uname().machine] = sizes(folder / "own", empty(folder, "rustc"), "rustc")
        if shutil.which(CROSS) and Path(DEBIAN).exists():
            linker = f"-Clinker={CROSS}"
            baseline = empty(folder, DEBIAN, "--target", ARM, linker)
            found["aarch64"] = sizes(folder / "arm", baseline, DEBIAN, "--target", ARM, RUSTC=DEBIAN,
                                     CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=CROSS)
    write_json(ROOT / "results/library_size.json", {"commit": head(), "machine": machine(), "targets": found})
    for target, size in found.items():
        print(f"{target}: {size['library_bytes']:,} bytes of library in a program of {size['program_bytes']:,}")


if __name__ == "__main__":
    main()
