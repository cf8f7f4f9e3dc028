"""Figures of a tree's Python code: size, hints, docstrings, forwarders, layers, import circles and prose.

    python -m tools.measure_code [TREE]

Length is counted in lines, of a function from `def` to its last line. "The program" is what `LAYERS` names.
"""

import ast
import io
import re
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import chain
from pathlib import Path
from statistics import median

# A package may import from its own layer's package and from lower layers.
LAYERS = {"fer_model": 0, "results": 0, "workers": 1, "web": 2, "cli": 3}
ROOMS = (*LAYERS, "migrations", "examples", "tools", "benchmarks", "tests")
VAGUE = r"whoever|nobody|somebody"
SPEECH = r"said|told|asked|says|tells|asks"
TERMS = {
    "lease": r"leases?",
    "fencing token": r"fencing tokens?",
    "compare-and-set": r"compare-and-set",
    "idempotent": r"idempotent(?:ly)?",
    "backpressure": r"backpressure",
    "letterbox": r"letterbox(?:e[ds]|ing)?",
    "non-maximum suppression": r"non-maximum suppression",
    "look-ahead": r"look-?ahead",
}

Function = ast.FunctionDef | ast.AsyncFunctionDef
Graph = dict[str, set[str]]


@dataclass(frozen=True)
class Module:
    """One Python file: its dotted name and its text."""

    name: str
    text: str

    @property
    def room(self) -> str:
        return self.name.partition(".")[0]

    @property
    def lines(self) -> int:
        return len(self.text.splitlines())

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @cached_property
    def nodes(self) -> list[ast.AST]:
        return list(ast.walk(self.tree))


def read(root: Path) -> list[Module]:
    """All modules of the rooms below `root`, in order of their names."""
    paths = sorted(path for room in ROOMS for path in (root / room).rglob("*.py"))
    return [Module(_dotted(path.relative_to(root)), path.read_text()) for path in paths]


def _dotted(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def functions(module: Module) -> list[Function]:
    """All functions and methods, nested ones included."""
    return [node for node in module.nodes if isinstance(node, Function)]


def length(function: Function) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1


def is_hinted(function: Function) -> bool:
    """Whether the result and all parameters but `self` and `cls` have a type hint."""
    return function.returns is not None and all(parameter.annotation for parameter in _parameters(function))


def _parameters(function: Function) -> list[ast.arg]:
    found = function.args
    named = [*found.posonlyargs, *found.args, found.vararg, *found.kwonlyargs, found.kwarg]
    return [parameter for parameter in named if parameter and parameter.arg not in ("self", "cls")]


def public(module: Module) -> Iterator[ast.Module | ast.ClassDef | Function]:
    """What should have a docstring: the module unless it is empty, its public functions, classes and their methods."""

    def below(body: list[ast.stmt]) -> Iterator[ast.ClassDef | Function]:
        for node in body:
            if isinstance(node, ast.ClassDef | Function) and not node.name.startswith("_"):
                yield node
                if isinstance(node, ast.ClassDef):
                    yield from below(node.body)

    if module.tree.body:
        yield module.tree
    yield from below(module.tree.body)


def forwarders(module: Module) -> Iterator[str]:
    """Undecorated functions that only pass their own arguments on to another of our functions, and re-exports."""
    ours = {node.name for node in module.tree.body if isinstance(node, ast.ClassDef | Function)}
    for node in module.nodes:
        if isinstance(node, ast.ImportFrom) and _is_ours(node.module or ""):
            ours |= {alias.asname or alias.name for alias in node.names}
            yield from (f"{module.name}: {alias.name} as {alias.name}" for alias in node.names if _repeats(alias))
    for function in functions(module):
        call = _only_call(function)
        if call and not function.decorator_list and ast.unparse(call.func).partition(".")[0] in ours:
            given = [ast.unparse(value) for value in (*call.args, *(keyword.value for keyword in call.keywords))]
            if given == [parameter.arg for parameter in _parameters(function)]:
                yield f"{module.name}: {function.name}"


def _repeats(alias: ast.alias) -> bool:
    return alias.asname == alias.name


def _only_call(function: Function) -> ast.Call | None:
    body = function.body[1:] if ast.get_docstring(function) else function.body
    value = body[0].value if len(body) == 1 and isinstance(body[0], ast.Return | ast.Expr) else None
    return value if isinstance(value, ast.Call) else None


def _is_ours(name: str) -> bool:
    return name.partition(".")[0] in ROOMS


def imports(modules: list[Module], *, deferred: bool) -> Graph:
    """Which of our modules each one imports; with `deferred`, also within functions and for type checking alone."""
    names = {module.name for module in modules}
    graph: Graph = {}
    for module in modules:
        nodes = module.nodes if deferred else _run_on_import(module.tree.body)
        found = chain.from_iterable(_imported(node) for node in nodes)
        known = (name if name in names else name.rpartition(".")[0] for name in found)
        graph[module.name] = {name for name in known if name in names} - {module.name}
    return graph


def _run_on_import(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for node in body:
        if not isinstance(node, Function) and not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)):
            yield node
            yield from _run_on_import([child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)])


def _imported(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if _is_ours(alias.name))
    elif isinstance(node, ast.ImportFrom) and node.module and _is_ours(node.module):
        yield from (f"{node.module}.{alias.name}" for alias in node.names)


def upwards(graph: Graph) -> list[str]:
    """Imports against the layers, as "importer -> imported"."""
    return [
        f"{module} -> {name}"
        for module, targets in graph.items()
        for name in sorted(targets)
        if (here := module.partition(".")[0]) in LAYERS and (there := name.partition(".")[0]) != here
        if there not in LAYERS or LAYERS[there] >= LAYERS[here]
    ]


def circles(graph: Graph) -> list[set[str]]:
    """Groups of modules that all reach each other by imports."""
    reach = {module: _reached(module, graph) for module in graph}
    groups = {frozenset({other for other in reach[module] if module in reach[other]}) for module in graph}
    return [set(group) for group in groups if len(group) > 1]


def _reached(module: str, graph: Graph) -> set[str]:
    found: set[str] = set()
    waiting = [module]
    while waiting:
        new = graph[waiting.pop()] - found
        found |= new
        waiting += new
    return found


@cache
def prose(module: Module) -> str:
    """Docstrings and comments, in lower case, with single spaces."""
    documented = (node for node in module.nodes if isinstance(node, ast.Module | ast.ClassDef | Function))
    docstrings = [ast.get_docstring(node) or "" for node in documented]
    tokens = tokenize.generate_tokens(io.StringIO(module.text).readline)
    comments = [token.string.lstrip("#") for token in tokens if token.type == tokenize.COMMENT]
    return " ".join(" ".join([*docstrings, *comments]).lower().split())


def count(pattern: str, text: str) -> int:
    return len(re.findall(rf"\b(?:{pattern})\b", text))


def table(modules: list[Module]) -> Iterator[tuple[str, object]]:
    """The rows of the report."""
    program = [module for module in modules if module.room in LAYERS]
    files, lines = Counter(module.room for module in modules), Counter[str]()
    for module in modules:
        lines[module.room] += module.lines
    yield from ((f"{room}: files, lines", f"{files[room]}, {lines[room]}") for room in ROOMS if files[room])
    yield from _sizes(program)
    passed = [entry for module in program for entry in forwarders(module)]
    yield from _listed("forwarders and re-exports", passed)
    yield from _listed("imports upwards", upwards(imports(modules, deferred=True)))
    for label, deferred in (("import circles", False), ("import circles, deferred imports too", True)):
        yield from _listed(label, [", ".join(sorted(group)) for group in circles(imports(modules, deferred=deferred))])
    for label, chosen in (("program", program), ("all", modules)):
        text = " ".join(prose(module) for module in chosen)
        words = count(r"[a-z']+", text)
        yield f"prose, {label}: words", words
        yield "  whoever, nobody, somebody: per 1,000", round(1000 * count(VAGUE, text) / words, 2)
        yield "  said, told, asked, says, tells, asks: per 1,000", round(1000 * count(SPEECH, text) / words, 2)
        yield "  terms of the field", ", ".join(f"{term} {count(pattern, text)}" for term, pattern in TERMS.items())


def _sizes(program: list[Module]) -> Iterator[tuple[str, object]]:
    largest = max(program, key=lambda module: module.lines)
    found = [(length(each), f"{module.name}.{each.name}") for module in program for each in functions(module)]
    hinted = [is_hinted(each) for module in program for each in functions(module)]
    documented = [bool(ast.get_docstring(node)) for module in program for node in public(module)]
    sizes = [module.lines for module in program if module.tree.body]
    yield "the program: files, lines", f"{len(program)}, {sum(module.lines for module in program)}"
    yield "median file (empty ones left out)", f"{median(sizes):g}"
    yield "largest file", f"{largest.lines} ({largest.name})"
    yield "median function", f"{median(lines for lines, _ in found):g}"
    yield "largest function", "{} ({})".format(*max(found))
    yield "functions with complete hints", _share(hinted)
    yield "public names with a docstring", _share(documented)


def _share(answers: list[bool]) -> str:
    return f"{100 * sum(answers) / len(answers):.1f} % of {len(answers)}"


def _listed(label: str, entries: list[str]) -> Iterator[tuple[str, object]]:
    yield label, len(entries)
    yield from ((f"  {entry}", "") for entry in sorted(entries))


def main(root: Path) -> None:
    for label, value in table(read(root)):
        print(f"{label:<50} {value}".rstrip())


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent)
