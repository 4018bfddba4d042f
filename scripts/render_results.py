#!/usr/bin/env python3
"""Rewrites the figures of README.md and docs/ from results/*.json; they come from nowhere else.

    render_results.py            rewrite what lies between <!-- results:NAME --> and <!-- /results:NAME -->
    render_results.py --check    fail if that would change anything in any of the documents

A block whose files are missing stays as it is.
"""

import json
import re
import sys
import tomllib
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "results"
LAB = ROOT / "crates/pocketlm-lab"

# The base models, in the order of the tables.
BASES = {base["name"]: base for base in tomllib.loads((LAB / "bases.toml").read_text())["base"]}


def load(name: str) -> dict | None:
    """A file of results/, or None where it is missing or empty."""
    path = RESULTS / name
    text = path.read_text() if path.exists() else ""
    return json.loads(text) if text.strip() else None


def table(header: str, rows: list[list[str]]) -> str:
    """A Markdown table; the first column to the left, all others to the right."""
    columns = header.split("|")
    lines = [[c.strip() for c in columns], ["---"] + ["---:"] * (len(columns) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def where(machine: dict, commit: str) -> str:
    cores = machine.get("threads") or machine.get("cores")
    flags = ", ".join(machine.get("flags", []))
    flags = f" ({flags})" if flags else ""
    return f"{machine['cpu']}{flags}, {cores} thread{'' if cores == 1 else 's'}; commit {short(commit)}"


def short(commit: str) -> str:
    commit, plus, changes = commit.partition("+")
    return f"`{commit[:9]}{plus}{changes}`"


def megabytes(count: float | None) -> str:
    return f"{count / 1e6:,.1f}" if count else "–"


# The model of the front page, and the precision that it is packed in there.
FRONT = ("keyboard", "int8")


def front() -> str | None:
    """What the front page promises: size, quality and speed of one packed model, and the size of the library."""
    base, form = FRONT
    row, size = load(f"field/{base}/{form}.json"), load("library_size.json")
    run = next((run for run in runs_of(load(f"field/{base}/speed.json")) if form in run["rows"]), None)
    trained = next((row for row in (load("bases.json") or {"rows": []})["rows"] if row["name"] == base), None)
    if not (row and size and run and trained):
        return None
    library = {target: f"{found['library_bytes'] / 1e3:.0f} KB" for target, found in size["targets"].items()}
    cores = run["setting"]["threads"]
    thread = "one thread" if cores == 1 else f"{cores} threads"
    return "\n".join([
        f"| `{base}`, a model of 10,000 words for a phone's keyboard | |",
        "| --- | --- |",
        f"| size of its file, {form} | {row['bytes'] / 1e6:.2f} MB |",
        f"| quality on the Penn Treebank (test) | perplexity {row['test_perplexity']:.2f}; the next word is among the "
        f"first three suggestions {100 * trained['recall_at_3']:.0f} % of the time (line ends and unknown words counted) |",
        f"| speed, each word with the probabilities of all words | {run['rows'][form]['tokens_per_second']:,.0f} "
        f"words/s on {thread} of an {run['machine']['cpu']} |",
        f"| size of the library in a program | {library['aarch64']} (AArch64), {library['x86_64']} (x86-64) |",
    ])


def ptb() -> str | None:
    """One row for each results/ptb-MODEL.json, the output of `pocketlm train --json`."""
    names = [path.stem.removeprefix("ptb-") for path in sorted(RESULTS.glob("ptb-*.json"))]
    runs = {name: run for name in names if (run := load(f"ptb-{name}.json")) and "test" in run}
    if not runs:
        return None
    header = "model | parameters | epochs | valid | test | published test | hours of training"
    rows, notes = [], []
    for name, run in runs.items():
        rows.append([
            f"`{name}`",
            f"{run['parameters']:,}",
            str(run["config"]["train"]["epochs"]),
            f"{run['valid']['perplexity']:.2f}",
            f"**{run['test']['perplexity']:.2f}**",
            str(BASES.get(name, {}).get("published", "–")),
            f"{run['seconds'] / 3600:.2f}",
        ])
        data = run["config"]["provenance"]["data_sha256"][:12]
        machine = where(run["machine"], run["machine"]["commit"])
        notes.append(f"`{name}`: data SHA-256 `{data}…`; {machine}.")
    return "\n\n".join([table(header, rows), "\n".join(notes), *packed()])


def packed() -> list[str]:
    """results/packed-ptb.json: the output of `pocketlm eval A.plm B.plm … --data ptb --json`."""
    found = load("packed-ptb.json")
    if not found:
        return []
    rows = [
        [f"`{Path(row['model']).name}`", row["split"], f"{row['tokens']:,}", f"{row['perplexity']:.2f}"]
        for row in found["results"]
    ]
    return ["Packed, measured by the runtime on the packed bytes:",
            table("model | split | tokens | perplexity", rows)]


def bases() -> str | None:
    """results/bases.json, written by `pocketlm-lab reproduce bases`."""
    rows = {row["name"]: row for row in (load("bases.json") or {"rows": []})["rows"]}
    found = [rows[name] for name in BASES if name in rows]
    if not found:
        return None
    header = ("base model | parameters | published test | valid | test | recall@1 | recall@3 | "
              "hours of training | device | state")
    machines = {where(row["machine"], row["machine"]["commit"]) for row in found}
    papers = "; ".join(f"`{row['name']}`: {row['paper']}" for row in found)
    hashes = sorted({row["data_sha256"][:12] for row in found if "data_sha256" in row})
    data = f"Data SHA-256 {', '.join(f'`{h}…`' for h in hashes)}; " if hashes else ""
    return "\n\n".join([
        table(header, [base_row(row) for row in found]),
        f"{papers}. Recall is of the test split.",
        f"{data}{'; '.join(sorted(machines))}.",
    ])


def base_row(row: dict) -> list[str]:
    name, published = f"`{row['name']}`", f"{row['published']:.1f}" if row["published"] else "–"
    if row["status"] == "not-run":
        state = f"not run; about {row['estimated_hours']:.0f} hours"
        return [name, "–", published, *["–"] * 5, row["device"], state]
    state = f"{row['epochs_done']} of {row['epochs']} epochs"
    if row["status"] == "partial":
        state += f"; about {row['estimated_hours']:.0f} hours in all"
    return [
        name,
        f"{row['parameters']:,}",
        published,
        f"{row['valid_perplexity']:.2f}",
        f"**{row['test_perplexity']:.2f}**",
        f"{100 * row['recall_at_1']:.1f} %",
        f"{100 * row['recall_at_3']:.1f} %",
        f"{row['hours']:.2f}",
        row["device"],
        state,
    ]


# The order of the rows of results/paper: that of the paper's two tables.
PAPER = ("original", "pruned", "pruned-retrained", "int8", "lstm-650", "lstm-1500", "low-rank-650",
         "tensor-train-600", "low-rank-1500")


def paper() -> str | None:
    """results/paper/ROW.json, written by `pocketlm-lab reproduce paper`."""
    found = [row for name in PAPER if (row := load(f"paper/{name}.json"))]
    if not found:
        return None
    header = ("row | paper MB | paper perplexity | MB of the file | MB without words | valid | test | words/s | "
              "state")
    machines = machines_of(found)
    parts = [table(header, [paper_row(row, mark(machines.index(machine_of(row)))) for row in found])]
    if (RESULTS / "paper.svg").exists():
        parts.append("![Size against perplexity](../results/paper.svg)")
    places = "; ".join(f"{mark(k)} {machine}".strip() for k, machine in enumerate(machines))
    commits = ", ".join(sorted({short(row["machine"]["commit"]) for row in found}))
    return "\n\n".join([*parts, f"Words/s and hours: {places}. Commits {commits}."])


# The paper's methods on its own model, and what came after it; rows of the field.
ANSWER = {"f16": "half precision, no method", "int8": "8 bits", "int4": "4 bits", "low-rank-100-weighted": "low rank, and 8 bits",
          "shared-low-rank-100": "low rank with a shared factor, and 8 bits", "prune-80": "embedding and softmax pruned by 80 %, and 8 bits, not retrained",
          "prune-80-entropy": "the same, entropy-coded", "tensor-train": "tensor trains of the cells, and 8 bits, not retrained"}


def paper_answer() -> str | None:
    """The paper's methods beside one another on one machine, from the rows of the field."""
    base = "zaremba-small"
    runs = runs_of(load(f"field/{base}/speed.json"))
    run = next((run for run in runs if set(ANSWER) <= set(run["rows"])), None)
    rows = {name: load(f"field/{base}/{name}.json") for name in ANSWER}
    if not (run and all(rows.values())):
        return None
    lines = [[ANSWER[name], f"{row['bytes'] / 1e6:.2f}", f"{row['test_perplexity']:.2f}",
              f"{run['rows'][name]['tokens_per_second']:,.0f}"] for name, row in rows.items()]
    place = where(run["machine"], rows["int8"]["machine"]["commit"]).replace(", 2 threads", ", 1 thread")
    return table("method | MB | test | words/s", lines) + f"\n\nWords/s: {place}."


def machine_of(row: dict) -> str:
    return where(row["machine"], "").partition(";")[0]


def machines_of(rows: list[dict]) -> list[str]:
    """The machines of some rows, that of the most rows first."""
    counts = Counter(machine_of(row) for row in rows)
    return sorted(counts, key=lambda machine: (-counts[machine], machine))


def frontier() -> str | None:
    """results/frontier/ROW.json, written by `pocketlm-lab reproduce frontier`."""
    found = [json.loads(path.read_text()) for path in (RESULTS / "frontier").glob("*.json")]
    if not found:
        return None
    rows = [
        [
            f"{row['budget_bytes'] / 1e6:g} MB",
            row["title"],
            f"{row['bytes']:,}",
            f"{row['valid_perplexity']:.2f}",
            f"**{row['test_perplexity']:.2f}**",
            f"{row['tokens_per_second']:,.0f}" if row["tokens_per_second"] else "–",
        ]
        for row in sorted(found, key=lambda row: row["budget_bytes"])
    ]
    places = "; ".join(sorted({where(row["machine"], row["machine"]["commit"]) for row in found}))
    return table("at most | model | bytes | valid | test | words/s", rows) + f"\n\n{places}."


def search() -> str | None:
    """results/search.json, written by benches/search.py."""
    if (found := load("search.json")) is None:
        return None
    rows = [
        [
            row["recipe"],
            f"{row['bytes']:,}",
            f"{row['valid_perplexity']:.2f}",
            f"{row['search_bytes']:,}",
            f"**{row['search_valid_perplexity']:.2f}**",
        ]
        for row in sorted(found["rows"], key=lambda row: (-row["search_bytes"], row["valid_perplexity"]))
    ]
    header = "one recipe for all matrices | bytes | valid | bytes of `search` | valid of `search`"
    return table(header, rows) + f"\n\n{where(found['machine'], found['commit'])}."


# The base models of the field.
FIELD_BASES = [name for name in BASES if (RESULTS / "field" / name).is_dir()]
# Its rows, in order: the registry of crates/pocketlm-lab/src/rows.rs.
METHODS = re.findall(r'"([^"]+)"', re.search(r'rows!\("methods":(.*?)\)', (LAB / "src/rows.rs").read_text(), re.S)[1])


def field() -> str | None:
    """results/field/BASE/ROW.json, written by `pocketlm-lab reproduce field --base BASE`."""
    tables = [table for base in FIELD_BASES if (table := methods(base))]
    return "\n\n".join(tables) or None


def cost(row: dict, base: str) -> str:
    """How long the steps took; or the training, of a row that has one of its own."""
    seconds = sum(step.get("seconds", 0.0) for step in row["steps"])
    if row["own_training"] or row["base"] != base:
        return f"{(seconds + row['training_seconds']) / 60:.0f} min from scratch"
    return f"{seconds / 60:.0f} min" if seconds >= 60 else f"{seconds:.0f} s"


def methods(base: str) -> str | None:
    found = [row for name in METHODS if (row := load(f"field/{base}/{name}.json"))]
    dense = load(f"field/{base}/int8.json")
    if not found or not dense:
        return None
    speeds = load(f"field/{base}/speed.json")
    rows = [
        [
            row["title"],
            f"{row['bytes'] / 1e6:.2f}",
            f"{row['valid_perplexity']:.2f}",
            f"{row['test_perplexity']:.2f}",
            *speed_cells(speeds, row),
            f"{dense['bytes_without_vocabulary'] / row['bytes_without_vocabulary']:.2f}",
            cost(row, base),
        ]
        for row in found
    ]
    header = (f"form of `{base}` | MB | valid | test | words/s | × speed of int8 | × smaller than int8 | "
              "time to compress")
    parts = [table(header, rows)]
    if (RESULTS / f"field-{base}.svg").exists():
        parts.append(f"![Size against perplexity](../results/field-{base}.svg)")
    if base == FIELD_BASES[0]:
        parts.append(published(found))
    machines = {where(row["machine"], row["machine"]["commit"]) for row in found}
    places = "; ".join(sorted(machines))
    if speeds:
        runs = [speed_run(k, run) for k, run in enumerate(runs_of(speeds))]
        places += ". Words/s, runs of their own: " + "; ".join(runs) + "; † as measured when the row was made"
    return "\n\n".join([*parts, f"{places}."])


def published(rows: list[dict]) -> str:
    """What is published of each row's method: of its recipe, which may be newer than the row. {ROW} or {ROW@BASE}
    stands for the change of test perplexity that the row makes to its model in half precision."""
    notes = []
    for row in rows:
        recipe = tomllib.loads((LAB / f"recipes/methods/{row['name']}.toml").read_text())
        if note := recipe.get("published"):
            notes.append(f"- {row['title']}: {re.sub('{(.*?)}', change, note)}")
    return "\n".join(["What is published of these methods, and why ours differs where it does; a sign is a change of "
                      "perplexity against the model before. (The figures of Grachev, Wen, Zhu & Gupta, and of HitNet's "
                      "base, are as others quote them: the papers themselves could not be read again.)", "", *notes])


def change(place: re.Match) -> str:
    name, _, base = place[1].partition("@")
    row, before = (load(f"field/{base or FIELD_BASES[0]}/{name}.json") for name in (name, "f16"))
    return f"{100 * (row['test_perplexity'] / before['test_perplexity'] - 1):+.1f} %".replace("-", "−")


def runs_of(speeds: dict | None) -> list[dict]:
    """The runs of benches/field.py, that of the most rows first."""
    return sorted(speeds["runs"], key=lambda run: -len(run["rows"])) if speeds else []


def mark(run: int) -> str:
    """What marks the figures of a run after the first."""
    return "\\*" * run


def speed_run(k: int, run: dict) -> str:
    """Where a run of benches/field.py was, what int8 made of it, and its note."""
    place = f"{mark(k)} {where(run['machine'] | run['setting'], run['commit'])}".strip()
    words = f"{place}, int8 {run['rows']['int8']['tokens_per_second']:,.0f}"
    return f"{words}; {run['note']}" if run.get("note") else words


def speed_cells(speeds: dict | None, row: dict) -> list[str]:
    """Words a second and the ratio to int8, from results/field/BASE/speed.json (benches/field.py), or as measured when
    the row was made."""
    name = row["name"]
    runs = enumerate(runs_of(speeds))
    found = next(((k, run["rows"][name]) for k, run in runs if name in run["rows"]), None)
    if not found:
        return [f"{speed:,.0f}†" if (speed := row["tokens_per_second"]) else "–", "–"]
    k, measured = found
    return [f"{measured['tokens_per_second']:,.0f}{mark(k)}", f"{measured['over_int8']:.2f}"]


def paper_row(row: dict, mark: str) -> list[str]:
    """A row; what depends on the machine has its mark."""
    published = [megabytes(row["paper"]["bytes"]), f"{row['paper']['perplexity']:.1f}"]
    epochs = f"{row['epochs_done']} of {row['training']['train']['epochs']} epochs"
    if row["status"] == "not-run":
        state = f"not run; about {row['estimated_hours']:.0f} hours{mark}"
        return [row["title"], *published, *["–"] * 5, state]
    return [
        row["title"],
        *published,
        f"{row['bytes'] / 1e6:.2f}",
        f"{row['bytes_without_vocabulary'] / 1e6:.2f}",
        f"{row['valid_perplexity']:.2f}",
        f"**{row['test_perplexity']:.2f}**",
        f"{row['tokens_per_second']:,.0f}{mark}",
        "done" if row["status"] == "done" else epochs,
    ]


def speed() -> str | None:
    parts = training_step() + recipes_step() + peers() + bulk() + library_size() + bindings()
    return "\n\n".join(parts) if parts else None


def training_step() -> list[str]:
    """results/training_step.json, written by benches/training_step.py."""
    found = load("training_step.json")
    if not found:
        return []
    rows = []
    for size, row in found["training"].items():
        for name in ("pocketlm", "torch"):
            if side := row.get(name):
                rows.append([
                    f"{size} {name}",
                    f"{side['median_ms']:.1f}",
                    f"{side['gflops']:.0f}",
                    f"{row['torch']['median_ms'] / side['median_ms']:.2f}",
                    megabytes(side.get("peak_bytes")),
                ])
    setting = found["setting"]
    parts = [
        f"A training step of {setting['batch']} × {setting['steps']} tokens, two layers, "
        f"{setting['vocabulary']:,} words, {setting['threads']} threads, beside PyTorch "
        f"{found['versions']['torch']} in the same run:",
        table("size | ms a step | GFLOP/s | × PyTorch | peak MB", rows),
    ]
    if evaluation := found.get("evaluation_2x200"):
        sides = [(name, evaluation[name]) for name in ("pocketlm", "torch") if name in evaluation]
        base = evaluation["torch"]["tokens_per_second"]
        rows = [
            [name, f"{side['tokens_per_second']:,.0f}", f"{side['tokens_per_second'] / base:.2f}"]
            for name, side in sides
        ]
        parts += ["Evaluation of a split in one stream, 2x200:", table("| tokens/s | × PyTorch", rows)]
    return [*parts, f"{where(found['machine'], found['commit'])}."]


def recipes_step() -> list[str]:
    """results/recipes_step.json, written by benches/recipes.py."""
    found = load("recipes_step.json")
    if not found or found["sanity_only"]:
        return []
    rows = []
    for name, row in found["recipes"].items():
        for side in ("pocketlm", "torch", "torch_compiled"):
            if figures := row.get(side):
                rows.append([
                    f"`{name}` {side.replace('_', ' ')}",
                    f"{figures['median_ms']:.1f}",
                    f"{row[row['baseline']]['median_ms'] / figures['median_ms']:.2f}",
                    megabytes(figures.get("peak_bytes")),
                ])
    setting = found["setting"]
    return [
        f"All of one update of a recipe, {setting['vocabulary']:,} words, {setting['threads']} threads, beside "
        f"PyTorch {found['versions']['torch']} in the same run (× is the ratio to the faster of its two forms):",
        table("recipe | ms a step | × PyTorch | peak MB", rows),
        f"{where(found['machine'], found['commit'])}.",
    ]


def library_size() -> list[str]:
    """results/library_size.json, written by benches/library_size.py."""
    found = load("library_size.json")
    if not found:
        return []
    features = list(next(iter(found["targets"].values()))["feature_bytes"])
    rows = [
        [target, f"{size['library_bytes'] / 1e3:.0f}",
         *(f"+{size['feature_bytes'][feature] / 1e3:.0f}" for feature in features), size["rustc"]]
        for target, size in found["targets"].items()
    ]
    return [
        "What the runtime adds to a stripped program (the example `keyboard`, profile `phone`, less a program that "
        "only prints a number), and what each feature adds when the program uses it:",
        table(f"target | library KB | {' | '.join(f'`{feature}`' for feature in features)} | compiler", rows),
        f"Commit `{found['commit'][:9]}`.",
    ]


def bindings() -> list[str]:
    """results/c_library_size.json and results/bindings.json, written by benches/c_library_size.py and
    bindings/overhead/overhead.py."""
    parts = []
    if size := load("c_library_size.json"):
        rows = [[target, f"{own['shared_bytes'] / 1e3:.0f}", f"{own['static_bytes'] / 1e3:.0f}"]
                for target, own in size["targets"].items()]
        parts += [
            "The library for C, with the standard library of Rust in it (profile `phone`): the shared one as a file, and "
            "what the static one adds to a program:",
            table("target | shared KB | static KB", rows),
            f"Commit {short(size['commit'])}.",
        ]
    if found := load("bindings.json"):
        names = {"feed": "feed one word", "suggest": "suggest three words", "score_text": "score a text"}
        rows = [
            [f"`{model}`, {title}", f"{languages['rust'][call]['us']:.2f}",
             *(f"{languages[other][call]['over_rust_us']:+.2f}" for other in ("c", "python", "java"))]
            for model, languages in found["calls"].items() for call, title in names.items()
        ]
        parts += [
            "One call in Rust, and what it takes more from the other languages, in microseconds: the least of many batches "
            "in turns. `keyboard` is a model of a phone's size (int8); `tiny` has hardly any work of its own.",
            table("call | Rust µs | C | Python | Java", rows),
            f"{where(found['machine'], found['commit'])}.",
        ]
    return parts


def peers() -> list[str]:
    """results/peers/KIND.json, written by benches/peers/report.py."""
    found = {path.stem: load(f"peers/{path.name}") for path in sorted(RESULTS.glob("peers/*.json"))}
    if not found:
        return []
    parts = [
        "One word at a time with the full distribution over 10,000 words, batch 1, one thread, the same "
        "weights everywhere: words/s, × ONNX Runtime int8, and, of ours, the share of the speed at which that "
        "machine reads the weights; then the words/s of 32 streams side by side. `results/peers/*.md` has latencies, "
        "memory, file sizes and a plot. `avx512_vnni` has a dot product of bytes, `avx2` has none."
    ]
    for kind, run in found.items():
        sizes = list(run["models"])
        columns = "".join(f" | {size} | × | bound | bulk" for size in sizes)
        names = sorted(run["models"][sizes[0]], key=lambda name: -run["models"][sizes[0]][name]["words_per_second"])
        rows = [peer_row(name, [run["models"][size][name] for size in sizes]) for name in names]
        versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
        parts.append(f"`{kind}`: {where(run['machine'] | {'threads': run['threads']}, run['commit'])}; {versions}.")
        parts.append(table(f"runtime{columns}", rows))
        parts.append(f"From opening the file to the first suggestions, in ms: {openings(run['models'])}.")
    return parts


def bulk() -> list[str]:
    """results/bulk.json, written by benches/bulk.py."""
    found = load("bulk.json")
    if not found:
        return []

    def ratio(row: dict, name: str) -> str:
        ratios = row.get(f"new_by_{name}")
        return f"{ratios['median']:.2f}" if ratios else "–"

    rows = [
        [
            f"2x{row['size']} {row['precision']}, {row['backend']}",
            f"{row['streams']}", f"{row['new']:,.0f}", ratio(row, "old"), ratio(row, "onnx"),
        ]
        for row in found["rows"]
    ]
    return [
        "Many texts at once, one thread, in turns: words/s, × an older build of ours, and × ONNX Runtime "
        f"{found['versions']['onnxruntime']} on the same weights in 32 streams (int8; f32 beside our f32), which chooses "
        "its instructions by itself and so stands beside our best alone.",
        table("model, instructions | texts | words/s | × older | × ONNX Runtime", rows),
        f"{where(found['machine'] | {'threads': 1}, found['new'])}, older {short(found['old'])}; other work ran on this "
        "machine at the same time, so that the ratios count, not the words/s.",
    ]


def openings(models: dict) -> str:
    """Milliseconds to open our packed models, with the size of each."""
    return "; ".join(
        f"{name.removeprefix('pocketlm ')} " + ", ".join(
            f"{sizes[name]['open_ms']:.1f} ({sizes[name]['bytes'] / 1e6:.0f} MB)" for sizes in models.values()
        )
        for name in next(iter(models.values())) if name.startswith("pocketlm")
    )


def peer_row(name: str, sizes: list[dict]) -> list[str]:
    cells = [f"**{name}**" if name.startswith("pocketlm") else name]
    for f in sizes:
        bound, bulk = f.get("bound_words_per_second"), f.get("bulk_words_per_second")
        cells += [
            f"{f['words_per_second']:,.0f}",
            f"{f['times_as_fast']:.2f}",
            f"{100 * f['words_per_second'] / bound:.0f} %" if bound else "–",
            f"{bulk:,.0f}" if bulk else "–",
        ]
    return cells


# The rows of results/ngram.json that docs/ngrams.md shows: order, pruning, bits.
NGRAMS = ((3, 0, 8), (5, 0, 32), (5, 0, 8), (5, 0, 4), (5, 1e-8, 8), (5, 1e-7, 8), (5, 3e-7, 8), (5, 1e-6, 8))


def export() -> str | None:
    """results/export.json, written by benches/export.py."""
    found = load("export.json")
    if not found:
        return None
    rows = [
        [f"`{row['model']}`", precision, f"{one['perplexity']:.2f}", f"{one['onnx_perplexity']:.2f}",
         megabytes(one["packed_bytes"]), megabytes(one["onnx_bytes"])]
        for row in found["models"] for precision, one in [("f32", row["f32"]), ("int8", row["int8"])]
    ]
    header = "model | precision | perplexity by pocketlm | by ONNX Runtime | MB as `.plm` | MB as ONNX, without words"
    runtime = found["versions"]["onnxruntime"]
    about = f"{found['data']}, contract `step`, ONNX Runtime {runtime}. {where(found['machine'], found['commit'])} (`benches/export.py`)."
    return f"{table(header, rows)}\n\n{about}"


def ngram() -> str | None:
    """results/ngram.json, written by benches/ngram.py."""
    found = load("ngram.json")
    if not found:
        return None
    ours = [row for row in found["pocketlm"] if (row["order"], row["prune"], row["bits"]) in NGRAMS]
    named = [(f"**pocketlm** order {row['order']}, {row['bits']} bits"
              + (f", pruned at {row['prune']:.0e}" if row["prune"] else ""), row) for row in ours]
    named += [(f"KenLM order {row['order']}, {row['form']}", row) for row in found["kenlm_models"]
              if row["order"] == 5]
    rows = [
        [
            name,
            f"{row['bytes'] / 1e6:.2f}",
            f"{row['valid_perplexity']:.2f}",
            f"{row['test_perplexity']:.2f}",
            f"{row['queries_per_cpu_second'] / 1e6:.1f}",
        ]
        for name, row in named
    ]
    header = "n-gram model | MB | valid | test | million queries/s"
    where_ = where(found["machine"], found["commit"])
    return "\n\n".join([table(header, rows), f"Penn Treebank, KenLM {found['kenlm']}, the same run; {where_}."])


def forms() -> str | None:
    """results/forms.json, written by benches/forms.py."""
    found = load("forms.json")
    if not found:
        return None
    parts = []
    for shape in dict.fromkeys(tuple(row["shape"]) for row in found["rows"]):
        rows = [
            [row["form"], f"{row['bytes'] / 1e3:,.0f}", f"{row['microseconds']:,.1f}"]
            + [f"{ratio:,.2f}" for ratio in row["time_to_dense"]]
            for row in found["rows"] if tuple(row["shape"]) == shape
        ]
        header = (f"{shape[0]:,} × {shape[1]:,} | KB | µs | time ÷ int8's of the same shape | of the same bytes | "
                  "of as many numbers")
        parts.append(table(header, rows))
    return "\n\n".join([*parts, where(found["machine"], found["commit"]) + "."])


def entropy() -> str | None:
    """results/entropy.json, written by benches/forms.py."""
    found = load("entropy.json")
    if not found:
        return None
    rows = [
        [
            row["precision"],
            f"{row['plain_bytes'] / 1e6:.2f}",
            f"{row['coded_bytes'] / 1e6:.2f}",
            f"{row['open_plain_ms']:.2f}",
            f"{row['open_coded_ms']:.2f}",
            f"{row['decoded_bytes'] / (row['open_coded_ms'] - row['open_plain_ms']) / 1e3:,.0f}",
        ]
        for row in found["rows"]
    ]
    header = "precision | MB plain | MB coded | ms to open, plain | coded | MB decoded a second"
    return table(header, rows) + f"\n\n{where(found['machine'], found['commit'])}."


def correction() -> str | None:
    """results/correction.json, written by benches/correction.py."""
    found = load("correction.json")
    if not found:
        return None
    rows = [
        [name, f"{row['threshold']:.2f}"] + [f"{100 * row[key]:.2f}" for key in ("mended", "broken", "mended_at_0.25", "mended_at_0.5", "first")]
        for name, row in found["rows"].items()
    ]
    rows += [[name, "–", f"{100 * row['mended']:.2f}", f"{100 * row['broken']:.2f}", "–", "–", "–"]
             for name, row in found["others"].items()]
    header = ("ranking | threshold | % of slips mended | % of right words broken | % mended where 0.25 % break | where 0.5 % break | "
              "% of slips with the right word first")
    data = ", ".join(f"{key} `{value[:12]}…`" for key, value in found["sha256"].items())
    first, wide = (found["rows"][name] for name in ("with context", "with context, lexicon of 50,000 words"))
    note = (f"{first['words']:,} words, {first['slips']:,} slips; the lexicon has {found['lexicon_bytes']:,} bytes. A call with "
            f"the model alone takes {first['p50_ms']:.2f} ms at the median, {first['p99_ms']:.2f} ms at the 99th percentile; with "
            f"the lexicon {wide['p50_ms']:.2f} and {wide['p99_ms']:.2f} ms."
            f" SHA-256: {data}; {where(found['machine'], found['commit'])}.")
    return table(header, rows) + f"\n\n{note}"


def rescoring() -> str | None:
    """results/rescoring/LIST.json, written by benches/rescoring.py."""
    found = [load(f"rescoring/{path.name}") for path in sorted((RESULTS / "rescoring").glob("*.json"))]
    if not found:
        return None
    names = {"model": "recurrent", "ngram": "n-gram", "mixture": "both"}

    def percent(rate: dict) -> str:
        return f"{100 * rate['value']:.1f} ({100 * rate['low']:.1f} to {100 * rate['high']:.1f})"

    rows = [
        [f"`{one['list']}`, {names[kind]}", f"{row['utterances']:,}", percent(row["before"]), percent(row["after"]),
         f"{100 * row['oracle']['value']:.1f}", f"{100 * row['reduction']:.1f} %", f"{row['hypotheses_per_cpu_second']:,.0f}"]
        for one in found for kind, row in one["rows"].items()
    ]
    header = "list, model | utterances | WER before, % | after, % | at best, % | fewer errors | hypotheses a second of processor time"
    one = found[0]
    sizes = f"Files: recurrent {one['model_bytes'] / 1e6:.2f} MB, n-gram {one['mix_bytes'] / 1e6:.1f} MB."
    note = "In brackets 95 % intervals. Of `hyporadise-cv` there are no scores but the order."
    return "\n\n".join([table(header, rows), f"{note} {sizes}", f"{where(one['machine'], one['commit'])}."])


def english() -> str | None:
    """results/english.json, written by benches/english.py."""
    found = load("english.json")
    if not found:
        return None
    row, typing = found["evaluation"], found["typing"]
    return "\n".join([
        "| on text that it has not seen | |",
        "| --- | ---: |",
        f"| bytes of the file | {found['bytes']:,} |",
        f"| perplexity | {row['perplexity']:.1f} |",
        f"| bits per byte, unknown words spelt | {row['bits_per_byte']:.3f} |",
        f"| unknown words | {100 * row['unknown_share']:.1f} % |",
        f"| keys that three suggestions save (first {found['typed_lines']:,} lines) | {100 * typing['saved_at_3']:.1f} % |",
        f"| milliseconds from the start of the command to its answer | {found['start_ms']:.0f} |",
        "",
        f"{where(found['machine'], found['commit'])}.",
    ])


def own_language() -> str | None:
    """results/own_language/TEXT.json, written by benches/own_language.py."""
    found = {path.stem: load(f"own_language/{path.name}") for path in sorted((RESULTS / "own_language").glob("*.json"))}
    if not found:
        return None
    names = {"words": "words, recurrent", "pieces": "subwords, recurrent", "ngram": "words, n-grams of order 5",
             "kenlm": "the same by KenLM", "mixture": "words, recurrent and n-grams"}
    rows = []
    for text, one in found.items():
        for kind, name in names.items():
            if not (row := one["rows"].get(kind)):
                continue
            typing, training = row.get("typing"), row.get("training")
            shares = [f"{100 * typing[key]:.1f} %" for key in ("saved_at_1", "saved_at_3", "never")] if typing else ["–"] * 3
            step = row.get("step_microseconds")
            rows.append([f"`{text}`, {name}", f"{row['bytes'] / 1e6:.2f}", f"{row['perplexity']:.1f}",
                         f"**{row['bits_per_byte']:.3f}**", *shares, f"{typing['microseconds']:,.0f}" if typing else "–",
                         f"{typing['microseconds'] / step:.1f}" if step else "–",
                         f"{training['seconds'] / 60:.0f}" if training else "–"])
    header = ("text, model | MB | perplexity | bits/byte | saved@1 | saved@3 | never offered | µs a list | steps a list | minutes of training")
    measured = [part for one in found.values() for part in (one, one["rows"].get("pieces", one))]
    places = "; ".join(sorted({where(part["machine"], part["commit"]) for part in measured}))
    lines = next(iter(found.values()))["typed_lines"]
    return (table(header, rows) + f"\n\nTest text; keys are those of its first {lines:,} lines. Perplexities of words and of "
            f"subwords do not compare, bits per byte do. Steps are the time of a list of three words beside that of one step of "
            f"the model. Training took one thread, beside other work. {places}.")


def subwords() -> str | None:
    """results/subwords.json, written by tests/oracle/subwords.py."""
    found = load("subwords.json")
    if not found:
        return None
    names = {"byte-level": "byte-level pairs, by `tokenizers`", "unigram": "SentencePiece, unigram",
             "unigram-bytes": "SentencePiece, unigram with bytes", "bpe": "SentencePiece, pairs",
             "bpe-bytes": "SentencePiece, pairs with bytes"}
    rows = [[names[row["tokenizer"]], row["text"], f"{row['bytes'] / 1e6:.1f}", f"{row['lines_that_differ']} of {row['lines']:,}",
             f"{row['mb_per_second']:.1f}", f"{row['mb_per_second'] / row['their_mb_per_second']:.1f}"] for row in found["rows"]]
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    return (table("tokenizer | text | MB | lines that differ | MB/s | × theirs", rows) + f"\n\nTokenizers of 4,096 pieces; "
            f"one thread, beside the Python packages ({versions}) in the same run. "
            f"{where(found['machine'], found['commit'])}.")


def personal() -> str | None:
    """results/personal.json, written by benches/personal.py."""
    found = load("personal.json")
    if not found:
        return None
    names = {"model": "the built-in model", "personal": "with the user's words"}
    rows = [[names[name], *(f"{100 * row[key]:.1f} %" for key in ("saved_at_1", "saved_at_3", "never")),
             f"{row['microseconds']:,.0f}"] for name, row in found["rows"].items()]
    rows.append(["more keys saved", *(f"{100 * (found['rows']['personal'][key] / found['rows']['model'][key] - 1):+.1f} %"
                                      for key in ("saved_at_1", "saved_at_3")), "", ""])
    return (table("suggestions of | saved@1 | saved@3 | never offered | µs a list", rows) + f"\n\n{found['lines']:,} messages of a "
            f"public chat in their order, the first quarter left out of the figures. SHA-256 `{found['sha256'][:12]}…`; "
            f"{where(found['machine'], found['commit'])}.")


DOCUMENTS = {
    ROOT / "README.md": {"front": front},
    ROOT / "docs/results.md": {"ptb": ptb, "bases": bases, "paper": paper, "paper-answer": paper_answer, "frontier": frontier, "field": field},
    ROOT / "crates/pocketlm-cli/assets/english.md": {"english": english},
    ROOT / "docs/benchmarks.md": {"speed": speed},
    ROOT / "docs/correction.md": {"correction": correction},
    ROOT / "docs/ngrams.md": {"ngram": ngram},
    ROOT / "docs/own-language.md": {"subwords": subwords, "own-language": own_language, "personal": personal},
    ROOT / "docs/rescoring.md": {"rescoring": rescoring},
    ROOT / "docs/import.md": {"export": export},
    ROOT / "docs/compression.md": {"search": search, "entropy": entropy, "forms": forms},
}


def render(document: Path, text: str) -> str:
    """The document with every block that has figures rewritten."""
    for name, make in DOCUMENTS[document].items():
        begin, end = f"<!-- results:{name} -->", f"<!-- /results:{name} -->"
        if text.count(begin) != 1 or text.count(end) != 1:
            sys.exit(f"{document.name}: needs {begin} and {end} exactly once")
        if (body := make()) is not None:
            block = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
            text = block.sub(lambda _: f"{begin}\n{body}\n{end}", text)
    return text


def main() -> None:
    if sys.argv[1:] not in ([], ["--check"]):
        sys.exit(__doc__)
    for document in DOCUMENTS:
        before = document.read_text()
        after = render(document, before)
        if sys.argv[1:] and after != before:
            sys.exit(f"{document.name} is not what results/ says: run scripts/render_results.py")
        temporary = document.with_suffix(".tmp")
        temporary.write_text(after)
        temporary.replace(document)


if __name__ == "__main__":
    main()
