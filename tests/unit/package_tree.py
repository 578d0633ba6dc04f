"""The modules of the package as syntax trees, and what they import."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import agentpool

ROOT: Final = Path(agentpool.__file__).parent


@cache
def modules() -> dict[str, ast.Module]:
    """Parse every module of the package, by its dotted name."""
    return {_name(path): ast.parse(path.read_text("utf-8")) for path in ROOT.rglob("*.py")}


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(tree: ast.AST) -> Iterator[str]:
    """List the modules that a tree imports, or imports names from."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            yield from _imported(node.module or "", node.names)


def _imported(module: str, names: list[ast.alias]) -> Iterator[str]:
    """Tell ``from package import module`` from ``from module import name``."""
    for alias in names:
        dotted = f"{module}.{alias.name}"
        yield dotted if dotted in modules() else module


@cache
def imports() -> dict[str, set[str]]:
    """List what each module imports."""
    return {name: set(imports_of(tree)) for name, tree in modules().items()}


def is_below(module: str, package: str) -> bool:
    """Say whether a module is a package or in it."""
    return module == package or module.startswith(f"{package}.")
