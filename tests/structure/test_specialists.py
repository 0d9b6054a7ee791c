"""Specialists judge what is recorded and nothing else: the same record gives the same answer, in any process."""

from __future__ import annotations

import ast

from tests.structure.source_tree import ROOT, listed, name_of, nodes_of

ROSTER = ROOT / "services" / "agents" / "roster"
#: What gives another answer each time, or reads what isn't recorded.
UNREPEATABLE = {"aiohttp", "os", "random", "secrets", "shared.client", "shared.clock", "socket", "time", "uuid"}
CLOCKS = {"now", "today", "utcnow"}


def test_no_specialist_reads_a_clock_or_draws_lots() -> None:
    """`work.asked_at` is the time of the question; whatever else is needed is a tool, whose results are recorded."""
    found = []
    for path in sorted(ROSTER.rglob("*.py")):
        for node in nodes_of(path):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            found += [f"{name_of(path)}: {name}" for name in names if name in UNREPEATABLE]
            if isinstance(node, ast.Attribute) and node.attr in CLOCKS:
                found.append(f"{name_of(path)}: .{node.attr}")
    assert not found, listed(found, "Use work.asked_at, or make it a tool.")
