"""How features have a rule's text compiled: by whoever knows the lists that placeholders stand for.

Owns the port and what is used where there are no lists. Knows no store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from services.siem.detections.engine.compile import compile_rule
from services.siem.detections.engine.compiled import CompiledRule

Compile: TypeAlias = Callable[[str], Awaitable[CompiledRule]]
"""A Sigma document -> the rule; raises AURORA-4222 as compile_rule."""


async def without_lists(sigma: str) -> CompiledRule:
    """Compiled in a thread; a rule with placeholders has a `problem`."""
    return await asyncio.to_thread(compile_rule, sigma)
