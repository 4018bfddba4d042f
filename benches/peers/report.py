"""Medians over the rounds that run.py measured: results/peers/KIND.{json,md,svg}, with KIND the instruction set of the
processor's products of bytes. Without rounds, the tables and pictures of what is there are drawn again."""

import json
import statistics
from collections import defaultdict

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

from runtimes import HERE, LAYERS, ROUNDS, VOCABULARY

from measure import ROOT, provenance, write_json
from protocol import BULK_STEPS, BULK_STREAMS

RESULTS = ROOT / "results/peers"
# The first that a processor has names its results.
KINDS = ("amx_int8", "avx512_vnni", "avx_vnni", "avx2", "asimd")
PACKAGES = ("torch", "onnxruntime", "onnx", "numpy")
YARDSTICK = "ONNX Runtime int8"

Table = dict[str, dict[str, dict]]  # size -> runtime -> figures


def read_rounds() -> Table:
    """Median of every figure over the rounds, the number of rounds and the ratio to the yardstick."""
    runs: dict[tuple[int, str], list[dict]] = defaultdict(list)
    for line in ROUNDS.read_text().splitlines():
        row = json.loads(line)
        runs[row.pop("size"), row.pop("runtime")].append(row)
    table: Table = defaultdict(dict)
    for (size, runtime), rows in sorted(runs.items()):
        figures = {key: statistics.median(row[key] for row in rows) for key in rows[0]}
        table[f"{LAYERS}x{size}"][runtime] = figures | {"rounds": len(rows)}
    for runtimes in table.values():
        base = runtimes[YARDSTICK]["words_per_second"]
        for figures in runtimes.values():
            figures["times_as_fast"] = figures["words_per_second"] / base
    return table


def rust_versions() -> dict[str, str]:
    """Versions of the Rust peers, from their lock files."""
    found = {}
    for project, package in (("tract", "tract-onnx"), ("candle", "candle-core")):
        lines = (HERE / project / "Cargo.lock").read_text().splitlines()
        found[package] = lines[lines.index(f'name = "{package}"') + 1].split('"')[1]
    return found


def by_speed(runtimes: dict[str, dict]) -> list[tuple[str, dict]]:
    return sorted(runtimes.items(), key=lambda item: -item[1]["words_per_second"])


def markdown(kind: str, found: dict) -> str:
    """One table per size, the fastest first."""
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    parts = [
        "# Words per second of the same weights in several runtimes",
        f"One thread of {found['machine']['cpu']} "
        f"({', '.join(found['machine']['flags'])}); {versions}. One word at a time with carried "
        f"state and log-softmax over {VOCABULARY:,} words; bulk is {BULK_STREAMS} streams side by "
        f"side, {BULK_STEPS} words a call in the peers. Medians over the interleaved rounds on record, which may be a single one; `x` is the "
        f"ratio to {YARDSTICK}, bound the speed at which this machine reads the weights. Rendered by `benches/peers/report.py`.",
        f"![words per second]({kind}.svg)",
    ]
    for size, runtimes in found["models"].items():
        rows = [
            f"## {size}",
            "| runtime | words/s | x | bound | p50 ms | p99 ms | bulk words/s | file MB | peak MB | start to first word ms |",
            "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        ]
        rows += [markdown_row(runtime, figures) for runtime, figures in by_speed(runtimes)]
        parts.append("\n".join([rows[0], "", *rows[1:]]))
    return "\n\n".join(parts) + "\n"


def markdown_row(runtime: str, f: dict) -> str:
    def whole(key: str) -> str:
        return f"{f[key]:,.0f}" if key in f else "–"

    cells = [
        f"**{runtime}**" if runtime.startswith("pocketlm") else runtime,
        whole("words_per_second"),
        f"{f['times_as_fast']:.2f}",
        whole("bound_words_per_second"),
        f"{f['p50_us'] / 1e3:.3f}",
        f"{f['p99_us'] / 1e3:.3f}",
        whole("bulk_words_per_second"),
        f"{f['bytes'] / 1e6:.1f}",
        f"{f['peak_bytes'] / 1e6:.0f}",
        f"{f['first_word_ms']:.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def plot(kind: str, table: Table) -> None:
    """Words per second as bars, one panel per size, on a logarithmic axis."""
    matplotlib.rcParams["svg.hashsalt"] = "peers"
    figure, panels = plt.subplots(1, len(table), figsize=(4.2 * len(table), 3.4), squeeze=False)
    for panel, (size, runtimes) in zip(panels[0], table.items()):
        rows = by_speed(runtimes)[::-1]
        speeds = [figures["words_per_second"] for _, figures in rows]
        colours = ["#1f77b4" if name.startswith("pocketlm") else "#b0b0b0" for name, _ in rows]
        bars = panel.barh([name for name, _ in rows], speeds, color=colours)
        panel.bar_label(bars, [f"{speed:,.0f}" for speed in speeds], padding=2, fontsize=7)
        panel.set_xscale("log")
        panel.set_xlim(min(speeds) / 2, max(speeds) * 4)
        panel.tick_params(labelsize=7)
        panel.set_title(f"{size}: words/s, one thread", fontsize=9)
        panel.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(RESULTS / f"{kind}.svg", metadata={"Date": None})


def main() -> None:
    if ROUNDS.exists():
        where = provenance(*PACKAGES)
        where["versions"] |= rust_versions()
        kind = next(kind for kind in KINDS if kind in where["machine"]["flags"])
        write_json(RESULTS / f"{kind}.json", where | {"threads": 1, "models": read_rounds()})
    for path in sorted(RESULTS.glob("*.json")):
        found = json.loads(path.read_text())
        path.with_suffix(".md").write_text(markdown(path.stem, found))
        plot(path.stem, found["models"])


if __name__ == "__main__":
    main()
