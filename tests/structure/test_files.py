"""What every file of the repository must look like. ruff checks the rest (prints, complexity, broad handlers)."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.structure.source_tree import (
    INSTALLED,
    ROOT,
    calls_of,
    functions_of,
    last_name,
    listed,
    name_of,
    nodes_of,
    python_files,
    text_files,
    tree_of,
)

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "base", "common_utils", "misc"}

#: Who else may touch the environment, and why.
ENVIRONMENT_READERS = {
    "shared/config.py": "the one reader of the environment",
    "deploy/local/": "passes its own environment on to the servers and services it starts",
    "cli/": "reads where the user keeps data (XDG_DATA_HOME) and passes the environment on",
}

#: Who may start a task without a TaskGroup, and who awaits it instead.
TASK_OWNERS = {
    "shared/rpc/": "a connection keeps its calls in a table and ends them when it closes",
    "shared/tally.py": "a round trip lives as long as somebody waits for its answer, and close() awaits the last",
    "services/orchestrator/investigations/work.py": "a worker awaits its investigation, and ends it when it is let go",
    "deploy/local/": "a supervised process keeps its own tasks and awaits them in stop()",
}

# Written in pieces, so that this file doesn't name what it forbids.
_MACHINE = [
    re.compile(rf"(?<![\w.-])/{folder}/" + tail) for folder, tail in (("work", r"\w"), ("opt", "pypi"), ("tmp", "data"))
]
_REGISTRY = [re.compile(re.escape(name)) for name in ("pypi." + "org", "python" + "hosted", "registry." + "npmjs")]
_SECRETS = [
    re.compile("-----BEGIN " + r"[A-Z ]*PRIVATE KEY-----\s*\n[A-Za-z0-9+/=]{40}"),
    re.compile(r"\bAKIA[0-9A-Z]{16}\b"),
    re.compile(r"\bgh[pousr]_[A-Za-z0-9]{30,}\b"),
    re.compile(r"\beyJ[\w-]{16,}\.eyJ[\w-]{16,}\.[\w-]{16,}"),
]


def test_every_module_says_what_it_owns() -> None:
    silent = [name_of(path) for path in python_files() if path.stat().st_size and not ast.get_docstring(tree_of(path))]
    assert not silent, listed(silent, "Start each with a docstring: what it owns and what it refuses to know.")


def test_files_stay_small() -> None:
    sizes = {name_of(path): len(path.read_text().splitlines()) for path in python_files()}
    large = [f"{name}: {lines} lines" for name, lines in sizes.items() if lines > MAX_FILE_LINES]
    assert not large, listed(large, f"Split by responsibility; {MAX_FILE_LINES} lines is the limit.")


def test_functions_fit_a_screen() -> None:
    long = []
    for path in python_files():
        for function in functions_of(path):
            lines = (function.end_lineno or function.lineno) - function.lineno + 1
            if lines > MAX_FUNCTION_LINES:
                long.append(f"{name_of(path)}:{function.lineno} {function.name}: {lines} lines")
    assert not long, listed(long, f"Split by step; {MAX_FUNCTION_LINES} lines is the limit.")


def test_no_module_has_a_name_that_says_nothing() -> None:
    vague = [name_of(path) for path in python_files() if {path.stem, path.parent.name} & VAGUE_NAMES]
    assert not vague, listed(vague, "Name it for what it holds.")


def _reads_environment(path: Path) -> bool:
    for node in nodes_of(path):
        if isinstance(node, ast.Attribute) and last_name(node.value) == "os" and node.attr in _ENVIRONMENT:
            return True
        if isinstance(node, ast.ImportFrom) and node.module == "os" and _ENVIRONMENT & {a.name for a in node.names}:
            return True
    return False


_ENVIRONMENT = {"environ", "environb", "getenv", "getenvb", "putenv", "unsetenv"}


def test_the_environment_is_read_in_one_file() -> None:
    readers = [name_of(path) for path in python_files(*INSTALLED) if _reads_environment(path)]
    others = [name for name in readers if not name.startswith(tuple(ENVIRONMENT_READERS))]
    assert not others, listed(others, "Add a field to a settings dataclass and get it from shared.config.load.")


def test_background_tasks_are_named_and_owned() -> None:
    """A task that nobody owns can die unseen; one without a name can't be found in a log."""
    problems = []
    for path in python_files(*INSTALLED):
        for call in calls_of(path):
            if not isinstance(call.func, ast.Attribute) or call.func.attr not in {"create_task", "ensure_future"}:
                continue
            place = f"{name_of(path)}:{call.lineno}"
            if not any(keyword.arg == "name" for keyword in call.keywords):
                problems.append(f"{place}: has no name")
            in_group = last_name(call.func.value) not in {"asyncio", "loop"}
            if not in_group and not name_of(path).startswith(tuple(TASK_OWNERS)):
                problems.append(f"{place}: not owned by a TaskGroup")
    assert not problems, listed(problems, "Use platform.spawn(name, work), or group.create_task(work, name=...).")


def _hits(patterns: list[re.Pattern[str]]) -> list[str]:
    found = []
    for path in text_files():
        text = path.read_text(errors="replace")
        for pattern in patterns:
            found += [f"{name_of(path)}:{text.count(chr(10), 0, m.start()) + 1}" for m in pattern.finditer(text)]
    return found


def test_nothing_names_one_machine_or_a_registry() -> None:
    hits = _hits([*_MACHINE, *_REGISTRY])
    assert not hits, listed(
        hits, "Use a path relative to the repository; leave registries to the installer's settings."
    )


def test_no_secret_is_committed() -> None:
    hits = _hits(_SECRETS)
    assert not hits, listed(hits, "Make keys when they are needed: tests and the local stack generate their own.")


def test_lock_files_pin_every_dependency_with_a_hash() -> None:
    for name in ("requirements.lock", "requirements-runtime.lock"):
        text = (ROOT / name).read_text()
        entries = re.split(r"\n(?=\S)", text.strip())
        loose = [entry.splitlines()[0] for entry in entries if "==" not in entry or "--hash=sha256:" not in entry]
        assert not loose, listed(loose, "Run `make lock`.")
        assert "://" not in text, f"{name} names a host; run `make lock`"
