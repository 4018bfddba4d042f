#!/usr/bin/env python3
"""Finds the files of a crate that import one another in a circle, and fails where a circle has more than six.

    scripts/import_circles.py [CRATE …]      # folders of crates; all of crates/ if none is given

A file imports another if a path in it (`use crate::a::B`, `super::a::f()`) names what the other defines. Paths go
through modules and re-exports to the file that defines the item. Tests do not count, nor does a re-export that its
file does not use itself. What no path names (a method, a field, what a macro makes) is not seen.
"""

import re
import sys
from pathlib import Path

MOST = 6
NOISE = re.compile(r'//[^\n]*|/\*.*?\*/|r(#+)".*?"\1|b?"(?:\\.|[^"\\])*"|b?\'(?:\\.[^\']*|[^\\\'\n])\'', re.S)
MODULE = re.compile(r"((?:#\[(?:[^\[\]]|\[[^\]]*\])*\]\s*)*)(?:pub(?:\([^)]*\))?\s+)?mod\s+(\w+)\s*([{;])")
USE = re.compile(r"(pub(?:\([^)]*\))?\s+)?\buse\s+([^;]+);")
PATH = re.compile(r"(?<![\w:])(?:\$?crate|self|super|\w+)(?:::\w+)+")
ITEM = r"\b(?:fn|struct|enum|union|trait|type|const|static|macro_rules!|mod)\s+(?:mut\s+)?%s\b"


def modules(text, at):
    """The modules in a file's text, each with its path and what is left of its text; those of tests are left out."""
    rest, done = "", 0
    for found in MODULE.finditer(text):
        if found.start() < done:
            continue
        is_test = re.search(r"cfg\(.*\btest\b", found[1]) is not None
        end = found.end()
        if found[3] == "{":
            depth = 1
            while depth and end < len(text):
                depth += {"{": 1, "}": -1}.get(text[end], 0)
                end += 1
            if not is_test:
                yield from modules(text[found.end() : end - 1], at + (found[2],))
        elif not is_test:
            yield at + (found[2],), None
        rest, done = rest + text[done : found.start()], end
    yield at, rest + text[done:]


def names(tree, before=()):
    """The paths of a use tree with the name that each binds."""
    tree = tree.strip()
    brace = tree.find("{")
    if brace < 0:
        path, _, name = tree.partition(" as ")
        path = before + tuple(part.strip() for part in path.split("::") if part.strip())
        path = path[:-1] if path[-1] == "self" else path
        yield path, name.strip() or path[-1]
        return
    before += tuple(part.strip() for part in tree[:brace].split("::") if part.strip())
    depth, part = 0, ""
    for letter in tree[brace + 1 : tree.rindex("}")] + ",":
        depth += {"{": 1, "}": -1}.get(letter, 0)
        if letter == "," and depth == 0:
            yield from names(part, before) if part.strip() else ()
            part = ""
        else:
            part += letter


class Crate:
    def __init__(self, folder):
        self.files, self.text, self.uses = {}, {}, {}
        self.read(next(p for p in (folder / "src/lib.rs", folder / "src/main.rs") if p.exists()), ())

    def read(self, file, at):
        text = NOISE.sub(" ", file.read_text())
        here = file.parent if file.name in ("lib.rs", "main.rs", "mod.rs") else file.with_suffix("")
        for path, body in list(modules(text, at)):
            if body is None:
                child = here.joinpath(*path[len(at) :])
                options = [child.with_suffix(".rs"), child / "mod.rs"]
                for option in filter(Path.exists, options):
                    self.read(option, path)
                continue
            self.files[path], self.text[path] = file, USE.sub(" ", body)
            self.uses[path] = [(bool(pub), *pair) for pub, tree in USE.findall(body) for pair in names(tree)]

    def absolute(self, path, module, seen=()):
        """The path from the crate's root, or nothing if it leads elsewhere."""
        first, *rest = path
        if first in ("crate", "$crate"):
            return tuple(rest)
        while first in ("self", "super"):
            module = module[:-1] if first == "super" else module
            if not rest:
                return module
            first, *rest = rest
            if first not in ("self", "super"):
                return module + (first, *rest)
        if module + (first,) in self.files:
            return module + tuple(path)
        for _, to, name in self.uses[module]:
            if name == first and to != tuple(path) and (module, name) not in seen:
                to = self.absolute(to, module, (*seen, (module, name)))
                return to and to + tuple(rest)
        return None

    def defines(self, path, seen=()):
        """The module that defines what an absolute path names; nothing for a module itself."""
        depth = max(n for n in range(len(path) + 1) if path[:n] in self.files)
        module, rest = path[:depth], path[depth:]
        if not rest:
            return None
        if not re.search(ITEM % re.escape(rest[0]), self.text[module]):
            for _, to, name in self.uses[module]:
                if name not in (rest[0], "*") or (module, name) in seen:
                    continue
                to = self.absolute(to, module)
                to = to and (to[:-1] + (rest[0],) if name == "*" else to + rest[1:])
                found = to and self.defines(to, (*seen, (module, name)))
                if found is not None and (name != "*" or re.search(ITEM % rest[0], self.text[found])):
                    return found
        return module

    def edges(self):
        """For each file those that it imports, with the paths."""
        all = {file: {} for file in self.files.values()}
        for module, text in self.text.items():
            paths = [tuple(path.split("::")) for path in PATH.findall(text)]
            for pub, path, name in self.uses[module]:
                if not pub or re.search(rf"\b{re.escape(name)}\b", text):
                    paths.append(path)
            for path in paths:
                to = self.absolute(path, module)
                found = self.defines(to) if to is not None else None
                if found is not None and self.files[found] != self.files[module]:
                    all[self.files[module]].setdefault(self.files[found], set()).add("::".join(path))
        return all


def circles(edges):
    """The strongly connected components, the largest first (Tarjan 1972)."""
    order, low, stack, found = {}, {}, [], []

    def visit(node):
        order[node] = low[node] = len(order)
        stack.append(node)
        for to in edges[node]:
            if to not in order:
                visit(to)
            if to in stack:
                low[node] = min(low[node], low[to])
        if low[node] == order[node]:
            at = stack.index(node)
            found.append(set(stack[at:]))
            del stack[at:]

    for node in edges:
        if node not in order:
            visit(node)
    return sorted(found, key=len, reverse=True)


def main(folders):
    sys.setrecursionlimit(10_000)
    root = Path(__file__).resolve().parent.parent / "crates"
    worst = 0
    for folder in [Path(f).resolve() for f in folders] or sorted(f.parent for f in root.glob("*/Cargo.toml")):
        edges = Crate(folder).edges()
        largest = circles(edges)[0]
        worst = max(worst, len(largest))
        found = f"the largest circle has {len(largest)}" if len(largest) > 1 else "no circle"
        print(f"{folder.name}: {len(edges)} files, {found}")
        for file in sorted(largest):
            for to in sorted(edges[file].keys() & largest):
                short = [path.relative_to(folder / "src") for path in (file, to)]
                paths = sorted(edges[file][to])
                more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
                print(f"  {short[0]} -> {short[1]}: {', '.join(paths[:3])}{more}")
    return worst > MOST


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
