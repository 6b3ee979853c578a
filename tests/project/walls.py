"""What the modules of a project import, and where that crosses a wall.

Imports that run count, also those inside functions; those under ``if TYPE_CHECKING:`` do not.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

Graph = dict[str, set[str]]  # module -> what it imports: modules of ours, others by name


def source_files(root: Path, *folders: str) -> dict[str, Path]:
    """Every module below the folders, by its dotted name; a package goes by its folder's."""
    files = [path for folder in folders for path in sorted((root / folder).rglob("*.py"))]
    return {".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path for path in files}


def import_graph(files: dict[str, Path]) -> Graph:
    """``from package import module`` is an import of the module, ``from module import name`` one of the module."""
    graph = {}
    for module, path in files.items():
        graph[module] = set()
        for node in _running(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                graph[module] |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                base = _base(node, module, path)
                names = [f"{base}.{alias.name}" for alias in node.names]
                graph[module] |= {name if name in files else base for name in names}
    return graph


def chains(graph: Graph, start: set[str], forbidden: set[str]) -> list[str]:
    """The shortest chain of imports from each module of ``start`` into what is forbidden, as "a -> b -> c"."""
    found = []
    for module in sorted(start):
        paths, seen = [[module]], {module}
        for path in paths:  # grows: the nearest first
            if below(path[-1], forbidden) and len(path) > 1:
                found.append(" -> ".join(path))
                break
            after = sorted(graph.get(path[-1], set()) - seen)
            seen |= set(after)
            paths += [[*path, name] for name in after]
    return found


def below(module: str, places: set[str]) -> bool:
    """Whether a module is one of the places or lies inside one."""
    return any(module == place or module.startswith(f"{place}.") for place in places)


def circle(graph: Graph) -> list[str]:
    """The modules of one circle of imports; [] if there is none."""
    ours = {module: names & graph.keys() - {module} for module, names in graph.items()}
    try:
        TopologicalSorter(ours).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def private_names(files: dict[str, Path]) -> list[str]:
    """Each private name of another module of ours that is imported, or read from something imported."""
    packages = {module.split(".")[0] for module in files}
    faults = []
    for module, path in files.items():
        tree, imported = ast.parse(path.read_text()), set()
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and _base(node, module, path).split(".")[0] in packages:
                imported |= {alias.asname or alias.name for alias in node.names}
                faults += [f"{module}: {alias.name}" for alias in node.names if _private(alias.name)]
            elif isinstance(node, ast.Import):
                ours = [alias for alias in node.names if alias.name.split(".")[0] in packages]
                imported |= {alias.asname or alias.name for alias in ours}
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and _private(node.attr) and ast.unparse(node.value) in imported:
                faults.append(f"{module}: {ast.unparse(node)}")
    return faults


def unexplained_lengths(files: dict[str, Path], limit: int = 350) -> list[str]:
    """Modules of more lines than the limit whose docstring has no sentence "Longer than ..."."""
    return [
        f"{module}: {length} lines"
        for module, path in files.items()
        if (length := len(path.read_text().splitlines())) > limit
        if "Longer than " not in (ast.get_docstring(ast.parse(path.read_text())) or "").replace("\n", " ")
    ]


def _running(node: ast.AST) -> Iterator[ast.AST]:
    """The node and all below it, but for what only a type checker reads."""
    if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
        children = node.orelse
    else:
        yield node
        children = ast.iter_child_nodes(node)
    for child in children:
        yield from _running(child)


def _base(node: ast.ImportFrom, module: str, path: Path) -> str:
    """The absolute name of what stands after ``from``."""
    if not node.level:
        return node.module or ""
    parts = module.split(".")
    package = parts if path.name == "__init__.py" else parts[:-1]
    return ".".join([*package[: len(package) - node.level + 1], *([node.module] if node.module else [])])


def _private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")
