"""Reads the repository as text and syntax trees, so that the structure tests can ask about it.

Nothing here imports the code it reads: a module that can't be imported is still checked.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: The folders that hold Python; the first four are what an installation has.
INSTALLED = ("shared", "services", "cli", "deploy")
PYTHON_FOLDERS = (*INSTALLED, "tests", "benchmarks", "samples")
_GENERATED = {"node_modules", "__pycache__", "build", "data", "results", "recorded"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def name_of(path: Path) -> str:
    """The path as the messages show it, from the root of the repository."""
    return path.relative_to(ROOT).as_posix()


def _kept(path: Path) -> bool:
    parts = path.relative_to(ROOT).parts
    hidden = any(part.startswith(".") and part not in {".ci", ".gitignore"} for part in parts)
    return not hidden and not any(part in _GENERATED or part.endswith(".egg-info") for part in parts)


@cache
def python_files(*folders: str) -> tuple[Path, ...]:
    """Every .py file below these folders, or below all folders that hold Python."""
    found = (path for folder in folders or PYTHON_FOLDERS for path in (ROOT / folder).rglob("*.py"))
    return tuple(sorted(path for path in found if _kept(path)))


@cache
def text_files() -> tuple[Path, ...]:
    """Every file of the repository that a person wrote: no recordings, caches or lock files."""
    found = (path for path in ROOT.rglob("*") if _kept(path) and path.is_file() and path.suffix != ".lock")
    return tuple(sorted(path for path in found if b"\0" not in path.read_bytes()[:1024]))


@cache
def tree_of(path: Path) -> ast.Module:
    """The syntax tree of one file."""
    return ast.parse(path.read_text(), str(path))


@cache
def nodes_of(path: Path) -> tuple[ast.AST, ...]:
    """Every node of a file's tree: walked once, however many tests ask."""
    return tuple(ast.walk(tree_of(path)))


def functions_of(path: Path) -> Iterator[Function]:
    """Every function and method of a file, nested ones too."""
    return (node for node in nodes_of(path) if isinstance(node, Function))


def calls_of(path: Path) -> Iterator[ast.Call]:
    """Every call of a file."""
    return (node for node in nodes_of(path) if isinstance(node, ast.Call))


def last_name(node: ast.expr) -> str | None:
    """`alerts.LIST_ALERTS` and `LIST_ALERTS` are both "LIST_ALERTS"; anything else is None."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else None


@cache
def ids_of_tests() -> frozenset[str]:
    """The node id of every test, as `tests/unit/test_x.py::test_name` or `...::TestClass::test_name`."""
    found: set[str] = set()
    for path in python_files("tests"):
        if path.name.startswith("test_"):
            found.update(f"{name_of(path)}::{name}" for name in _tests_in(tree_of(path).body))
    return frozenset(found)


def _tests_in(body: list[ast.stmt]) -> Iterator[str]:
    for node in body:
        if isinstance(node, Function) and node.name.startswith("test_"):
            yield node.name
        elif isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
            yield from (f"{node.name}::{name}" for name in _tests_in(node.body))


def listed(problems: list[str], advice: str) -> str:
    """The message of a failed structure test: what is wrong, one a line, and what to do about it."""
    return "\n".join(["", *problems, advice])
