"""One handoff at work: runs tools within what was granted, records each result, and tells those who watch.

Beyond the budget, the deadline or the capabilities a tool isn't run and the assessment says what was not checked.
Judgement never happens here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, Literal, TypeVar

from services.agents.toolkit.records import record
from services.agents.toolkit.sources import Sources
from services.agents.toolkit.tool import Tool
from shared.clock import new_id, utc_now
from shared.contracts.agents import AGENT_CAPABILITIES, Budget, Handoff, Thought
from shared.contracts.constants import ErrorCode
from shared.contracts.investigations import Citation, Finding
from shared.contracts.wire import encode
from shared.errors import AuroraError
from shared.rpc import CallContext

A = TypeVar("A")
Publish = Callable[[Thought], Awaitable[None]]
Kind = Literal["started", "tool", "finding", "finished", "failed"]
_TEXT = 500
#: Characters of commands and scripts that are judged for one handoff.
_MAX_TEXT = 256 * 1024
#: How long a store that is away is waited for: a service restarts in less.
_AWAY_SECONDS = 25.0
_RETRY_SECONDS = 0.5


class Work:
    """The state of one handoff: what it may do, what it did, what it could not check."""

    def __init__(self, agent: str, context: CallContext, sources: Sources, publish: Publish) -> None:
        handoff = context.handoff
        self.agent = agent
        self._handoff_id = handoff.handoff_id if handoff is not None else new_id()
        self._investigation_id = None if handoff is None else handoff.investigation_id
        self._capabilities = _capabilities(context, handoff)
        budget = Budget() if handoff is None else handoff.budget
        self._calls_left = budget.tool_calls
        self._deadline = utc_now() + timedelta(seconds=budget.seconds)
        if handoff is not None:
            self._deadline = min(self._deadline, handoff.deadline)
        self._sources = sources
        self._publish = publish
        self._patience = _AWAY_SECONDS
        self._text_left = _MAX_TEXT
        self._known: dict[bytes, Citation] = {}
        #: tool -> how the last call of it was refused by its source
        self.refusals: dict[str, ErrorCode] = {}
        self.citations: list[Citation] = []
        self.findings: list[Finding] = []
        self.ruled_out: list[str] = []
        self.not_checked: list[str] = []

    def may_read(self, characters: int) -> bool:
        """Whether so much more text may be judged: attackers choose its length, and 32 KiB may take half a second."""
        self._text_left -= characters
        note = "the texts are too long to be read to their end"
        if self._text_left < 0 and note not in self.not_checked:
            self.not_checked.append(note)
        return self._text_left >= 0

    async def use(self, tool: Tool[A], arguments: A) -> Citation | None:
        """Runs a tool and records it; None, with a note under `not_checked`, when it could not be run.

        The same call again answers from its record: what was seen once stays true for the whole handoff.
        """
        key = tool.name.encode() + encode(arguments)
        if key in self._known:
            return self._known[key]
        reason = self._refusal(tool)
        if reason is not None:
            self._skip(tool, reason)
            return None
        self._calls_left -= 1
        try:
            async with asyncio.timeout((self._deadline - utc_now()).total_seconds()):
                result = await self._run(tool, arguments)
        except TimeoutError:
            self._skip(tool, "out of time")
            return None
        except AuroraError as error:
            self.refusals[tool.name] = error.code
            self._skip(tool, f"{error.code.code} {error.message}")
            return None
        citation = record(self.agent, tool.name, arguments, result, utc_now())
        self._known[key] = citation
        if citation.id not in {item.id for item in self.citations}:
            self.citations.append(citation)
        await self.tell("tool", f"{tool.name} {_short(arguments)}", citation.id)
        return citation

    async def _run(self, tool: Tool[A], arguments: A) -> Any:
        """The tool's result. A store that restarts is waited for, once: in some seconds it can answer again."""
        loop = asyncio.get_running_loop()
        give_up = loop.time() + self._patience
        while True:
            try:
                return await tool.run(arguments, self._sources)
            except AuroraError as error:
                if not error.code.retryable:
                    raise
                if loop.time() >= give_up:
                    self._patience = 0.0
                    raise
                await asyncio.sleep(_RETRY_SECONDS)

    def _refusal(self, tool: Tool[Any]) -> str | None:
        if tool.permission is not None and tool.permission not in self._capabilities:
            return f"not granted ({tool.permission})"
        if self._calls_left <= 0:
            return "the budget of tool calls is spent"
        return "out of time" if utc_now() >= self._deadline else None

    def _skip(self, tool: Tool[Any], reason: str) -> None:
        note = f"{tool.name}: {reason}"
        if note not in self.not_checked:
            self.not_checked.append(note)

    async def find(self, claim: str, confidence: float, *citations: Citation) -> None:
        """Adds a finding. Raises ValueError without a citation: a claim that nothing carries is none."""
        if not citations:
            raise ValueError("a finding needs a citation")
        ids = list(dict.fromkeys(citation.id for citation in citations))
        self.findings.append(Finding(agent=self.agent, claim=claim, confidence=confidence, citations=ids))
        await self.tell("finding", claim, ids[0])

    async def tell(self, kind: Kind, text: str, tool_result_id: str | None = None) -> None:
        """Publishes a thought."""
        await self._publish(
            Thought(
                agent=self.agent,
                handoff_id=self._handoff_id,
                investigation_id=self._investigation_id,
                kind=kind,
                text=text[:_TEXT],
                tool_result_id=tool_result_id,
                timestamp=utc_now(),
            )
        )


def _capabilities(context: CallContext, handoff: Handoff | None) -> frozenset[str]:
    """What the handoff grants; a bare request has what its caller may do itself."""
    if handoff is not None:
        return frozenset(handoff.capabilities).intersection(AGENT_CAPABILITIES)
    return context.principal.permissions.intersection(AGENT_CAPABILITIES)


def _short(arguments: Any) -> str:
    return encode(arguments).decode("utf-8", "replace")[:_TEXT]
