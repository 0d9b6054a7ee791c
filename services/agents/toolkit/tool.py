"""What a tool is: a name, typed arguments, the permission it needs, and a function from arguments to plain data.

A tool reads; none changes anything. What it returns is recorded as it is and cited by the id of that record.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec

from services.agents.toolkit.sources import Sources
from shared.contracts.agents import AgentTool

A = TypeVar("A")


@dataclass(frozen=True)
class Tool(Generic[A]):
    """`arguments` is a msgspec struct; `run` returns what has a JSON form. `permission` None: needs no store."""

    name: str
    description: str
    arguments: type[A]
    permission: str | None
    run: Callable[[A, Sources], Awaitable[Any]]


def described(tool: Tool[Any]) -> AgentTool:
    """The tool as others may see it."""
    return AgentTool(
        name=tool.name,
        description=tool.description,
        arguments=msgspec.json.schema(tool.arguments),
        permission=tool.permission,
    )
