"""How many bytes the C library takes: `python benches/c_library_size.py` writes results/c_library_size.json.

Builds it as for a phone by `bindings/c/build`. `shared_bytes` is the file of the shared library; `static_bytes` is what
`bindings/c/example.c`, linked with the static library, is larger by than an empty program. AArch64 needs Debian's cross
compiler and its standard library, which `.ci/cross` installs; without them it is left out.
"""

import os
import shutil
import tempfile
from pathlib import Path

from library_size import ARM, CROSS, DEBIAN, output
from measure import ROOT, head, machine, write_json

SMALL = ("-Os", "-s", "-Wl,--gc-sections")


def program(folder: Path, compiler: str, *arguments: str | Path) -> int:
    """Bytes of a C program."""
    output([compiler, *SMALL, "-o", folder / "program", *arguments])
    return (folder / "program").stat().st_size


def sizes(folder: Path, compiler: str, rustc: str, **settings: str) -> dict:
    prefix = folder / "prefix"
    output(["bindings/c/build", prefix], CARGO_TARGET_DIR=str(folder / "target"), **settings)
    empty = folder / "empty.c"
    empty.write_text('#include <stdio.h>\nint main(void) { return printf("%.3f\\n", 1.0) < 0; }\n')
    system = (prefix / "lib/pkgconfig/system").read_text().split()
    whole = program(folder, compiler, f"-I{prefix}/include", "bindings/c/example.c", prefix / "lib/libpocketlm.a", *system)
    return {
        "shared_bytes": (prefix / "lib/libpocketlm.so").stat().st_size,
        "static_bytes": whole - program(folder, compiler, empty),
        "rustc": output([rustc, "--version"]).strip(),
    }


def main() -> None:
    found = {}
    with tempfile.TemporaryDirectory() as name:
        own, arm = Path(name) / "own", Path(name) / "arm"
        own.mkdir(), arm.mkdir()
        found[os.uname().machine] = sizes(own, "cc", "rustc")
        if shutil.which(CROSS) and Path(DEBIAN).exists():
            found["aarch64"] = sizes(arm, CROSS, DEBIAN, TARGET=ARM, RUSTC=DEBIAN,
                                     CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=CROSS)
    write_json(ROOT / "results/c_library_size.json", {"commit": head(), "machine": machine(), "targets": found})
    for target, size in found.items():
        print(f"{target}: shared {size['shared_bytes']:,} bytes, static {size['static_bytes']:,}")


if __name__ == "__main__":
    main()
