"""The product's source, as the tests of its architecture read it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

ROOT = Path(__file__).parents[2]
FLOORS = ("proxy", "middlewares", "config")
"""Top-level packages, the upper floor first."""


@dataclass(frozen=True)
class Module:
    """One module of the product."""

    name: str
    """Dotted; of a package the package's own."""
    path: Path

    @cached_property
    def text(self) -> str:
        """The source text."""
        return self.path.read_text()

    @cached_property
    def tree(self) -> ast.Module:
        """The parsed source."""
        return ast.parse(self.text)

    def docstrings(self) -> Iterator[tuple[int, str]]:
        """Yield line and text of every docstring, those below an attribute included."""
        for node in ast.walk(self.tree):
            if (
                isinstance(node, ast.Expr)
                and isinstance(node.value, ast.Constant)
                and isinstance(node.value.value, str)
            ):
                yield node.lineno, node.value.value

    def classes(self) -> Iterator[str]:
        """Yield the name of every class."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ClassDef):
                yield node.name


@cache
def modules() -> dict[str, Module]:
    """Return every module of the product by its name. Raises `AssertionError` where there are none."""
    found: dict[str, Module] = {}
    for floor in FLOORS:
        for path in sorted((ROOT / floor).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            found[name] = Module(name, path)
    assert len(found) > 100, "the listing of the product's modules is not what it was"
    return found


def imports(module: Module, known: dict[str, Module]) -> set[str]:
    """Return the modules of the product that `module` imports, also inside functions and for type checkers."""
    found: set[str] = set()
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.update(
                name if (name := f"{node.module}.{alias.name}") in known else node.module for alias in node.names
            )
    return {name for name in found if name in known and name != module.name}


@cache
def graph() -> dict[str, set[str]]:
    """Return the import graph of the product."""
    known = modules()
    return {name: imports(module, known) for name, module in known.items()}
