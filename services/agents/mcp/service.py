"""The use-cases of the MCP server: which tools a caller has, one call of one, and whether they can read.

A call runs like an agent's: bounded, recorded under its content address, told as aurora.agents.mcp.tool-calls. It knows
neither HTTP nor the protocol.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from http import HTTPStatus
from typing import Any

import msgspec

from services.agents.toolkit.sources import Sources
from services.agents.toolkit.tool import Tool
from services.agents.toolkit.version import version
from services.agents.toolkit.work import Publish, Work
from shared import moments
from shared.clock import new_id
from shared.contracts.alerts import AlertQuery
from shared.contracts.claims import Refusal
from shared.contracts.constants import ERROR_CODES
from shared.contracts.fleet import MCP_CALLER
from shared.contracts.mcp import PROTOCOL_VERSIONS, McpHealth, McpServer, McpToolResult
from shared.errors import (
    DEADLINE_EXCEEDED,
    INSUFFICIENT_PERMISSIONS,
    UNAVAILABLE,
    VALIDATION,
    AuroraError,
)
from shared.identity import Principal
from shared.invalid import problems_of
from shared.rpc import CallContext

NAME = "aurora"
_CALL_SECONDS = 30.0
#: Calls of one caller that run at the same time; more wait for their turn.
_AT_ONCE = 8
_PROBE_SECONDS = 3.0


class UnknownToolError(Exception):
    """There is no tool of that name."""


class ToolDesk:
    """Hands the tools out. `sources` is what they read, `publish` tells of each call."""

    def __init__(self, tools: Iterable[Tool[Any]], sources: Sources, publish: Publish) -> None:
        self._tools = {tool.name: tool for tool in tools}
        self._sources = sources
        self._publish = publish
        self._turns = _Turns(_AT_ONCE)

    def about(self) -> McpServer:
        """Name and version of the server."""
        return McpServer(name=NAME, version=version())

    def tools(self) -> list[Tool[Any]]:
        """Every tool, by name."""
        return [self._tools[name] for name in sorted(self._tools)]

    def tools_of(self, principal: Principal) -> list[Tool[Any]]:
        """The tools that this caller may use, by name."""
        return [tool for tool in self.tools() if _may(principal, tool)]

    async def call(self, principal: Principal, name: str, arguments: Mapping[str, Any]) -> McpToolResult:
        """Runs a tool in the caller's name and records it.

        Raises UnknownToolError; AURORA-4030 naming the scope that is missing, 4220 naming the arguments that aren't
        valid, 5040 after 30 s, and what the source of the tool refuses with.
        """
        tool = self._tools.get(name)
        if tool is None:
            raise UnknownToolError(name)
        typed = _typed(tool, arguments)
        try:
            async with asyncio.timeout(_CALL_SECONDS), self._turns.of(principal.id):
                return await self._run(principal, tool, typed)
        except TimeoutError as error:
            raise AuroraError(DEADLINE_EXCEEDED, {"seconds": _CALL_SECONDS}) from error

    async def _run(self, principal: Principal, tool: Tool[Any], arguments: Any) -> McpToolResult:
        context = CallContext(principal=principal, handoff=None, request_id=new_id(), traceparent=None)
        work = Work(MCP_CALLER, context, self._sources, self._publish)
        errors: list[AuroraError] = []
        citation = await work.use(_listened_to(tool, errors), arguments)
        if citation is None:
            raise _refused(work.refused[0], None if _may(principal, tool) else tool.permission, errors)
        return McpToolResult(
            id=citation.id,
            tool=citation.tool,
            arguments=citation.arguments,
            result=citation.result,
            executed_at=citation.executed_at,
        )

    async def health(self) -> McpHealth:
        """Whether what the tools read is there."""
        away = []
        try:
            async with asyncio.timeout(_PROBE_SECONDS):
                await self._sources.alerts(AlertQuery(limit=1))
        except (AuroraError, TimeoutError):
            away.append("siem")
        return McpHealth(
            status="degraded" if away else "healthy",
            server=self.about(),
            protocol_versions=list(PROTOCOL_VERSIONS),
            tools=len(self._tools),
            degraded=away,
        )


class _Turns:
    """So many at once of each caller; who isn't calling is forgotten."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: dict[str, tuple[asyncio.Semaphore, int]] = {}

    @asynccontextmanager
    async def of(self, caller: str) -> AsyncIterator[None]:
        """Waits for a place."""
        places, waiting = self._known.get(caller, (asyncio.Semaphore(self._most), 0))
        self._known[caller] = places, waiting + 1
        try:
            async with places:
                yield
        finally:
            places, waiting = self._known[caller]
            if waiting == 1:
                del self._known[caller]
            else:
                self._known[caller] = places, waiting - 1


def _typed(tool: Tool[Any], arguments: Mapping[str, Any]) -> Any:
    unknown = sorted(set(arguments) - {field.encode_name for field in msgspec.structs.fields(tool.arguments)})
    if unknown:
        raise AuroraError(VALIDATION, [{"path": f"arguments.{name}", "message": "is not known"} for name in unknown])
    try:
        typed = msgspec.convert(arguments, tool.arguments)
    except msgspec.ValidationError as error:
        problems = problems_of(error, arguments, tool.arguments, "arguments", strict=True)
        raise AuroraError(VALIDATION, problems) from error
    values = {name: getattr(typed, name) for name in typed.__struct_fields__}
    bare = [name for name, value in values.items() if isinstance(value, datetime) and value.tzinfo is None]
    wrong = [{"path": f"arguments.{name}", "message": "has no zone"} for name in bare]
    wrong += [{"path": path, "message": moments.MESSAGE} for path in moments.not_held(typed, "arguments")]
    since, until = values.get("since"), values.get("until")
    if not wrong and isinstance(since, datetime) and isinstance(until, datetime) and since >= until:
        # Nothing would be found, which reads like an answer.
        wrong = [{"path": "arguments.until", "message": "must be after since"}]
    if wrong:
        raise AuroraError(VALIDATION, wrong)
    return typed


def _may(principal: Principal, tool: Tool[Any]) -> bool:
    return tool.permission is None or principal.may(tool.permission)


def _listened_to(tool: Tool[Any], errors: list[AuroraError]) -> Tool[Any]:
    """The tool; what its source refuses with is noted, since a record keeps the code alone."""

    async def run(arguments: Any, sources: Sources) -> Any:
        try:
            return await tool.run(arguments, sources)
        except AuroraError as error:
            errors.append(error)
            raise

    return replace(tool, run=run)


def _refused(refusal: Refusal, missing: str | None, errors: list[AuroraError]) -> AuroraError:
    """`missing` is the permission that the caller lacks."""
    if missing is not None:
        return AuroraError(INSUFFICIENT_PERMISSIONS, {"required": missing})
    if errors and errors[-1].code.status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return errors[-1]
    code = ERROR_CODES.get(refusal.code or "")
    return AuroraError(UNAVAILABLE, message=refusal.reason) if code is None else AuroraError(code)
