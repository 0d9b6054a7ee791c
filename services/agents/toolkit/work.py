"""One handoff at work: runs tools within what was granted, records each result, and tells those who watch.

Beyond the budget, the deadline or the capabilities a tool isn't run and the assessment says what was not checked.
Judgement never happens here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Literal, TypeVar

import msgspec

from services.agents.toolkit.handing import (
    HAND_OFF,
    Answer,
    Grant,
    Others,
    Standing,
    bare,
    brought_by,
    cited_in,
    handed_on,
)
from services.agents.toolkit.records import MAX_RESULT_BYTES, Records, key_of, plain_json, record
from services.agents.toolkit.sources import Sources
from services.agents.toolkit.tool import Tool
from shared import telemetry
from shared.clock import new_id, utc_now
from shared.content import refusal_address
from shared.contracts.agents import AGENT_CAPABILITIES, Budget, Handoff, Thought
from shared.contracts.claims import Citation, Finding, Refusal
from shared.contracts.constants import ERROR_CODES, ErrorCode, Method
from shared.contracts.fleet import HandedOn, ToolCall
from shared.contracts.wire import encode
from shared.errors import AuroraError
from shared.rpc import CallContext

A = TypeVar("A")
P = TypeVar("P")
R = TypeVar("R")
S = TypeVar("S", bound=msgspec.Struct)
Publish = Callable[[Thought | ToolCall], Awaitable[None]]
Kind = Literal["started", "tool", "finding", "finished", "failed"]
_TEXT = 500
#: Characters of commands and scripts that are judged for one handoff.
_MAX_TEXT = 256 * 1024
#: How long a store that is away is waited for: a service restarts in less.
_AWAY_SECONDS = 25.0
_RETRY_SECONDS = 0.5


class Work:
    """The state of one handoff: what it may do, what it did, what it could not check."""

    def __init__(
        self, agent: str, context: CallContext, sources: Sources, publish: Publish, others: Others | None = None
    ) -> None:
        handoff = self._handoff = context.handoff
        self._others = others
        self.agent = agent
        self._caller = context.principal.id
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
        #: The time of the question. It is the same in a replay, so judgement uses it instead of a clock.
        self.asked_at = _asked_at(handoff)
        recorded = None if handoff is None else handoff.recorded
        self._records = None if recorded is None else Records(recorded, agent)
        self._outcomes: dict[str, Citation | Refusal] = {}
        self._brought: dict[str, Citation] = {}
        self._handed_on: dict[str, HandedOn] = {}
        self._turns: dict[str, asyncio.Lock] = {}
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

    @property
    def citations(self) -> list[Citation]:
        """The results so far, also those that other agents brought, in the order of their times, which is part of the
        record: calls that run together end in any order."""
        own = {outcome.id: outcome for outcome in self._outcomes.values() if isinstance(outcome, Citation)}
        found = {**self._brought, **own}.values()
        return sorted(found, key=lambda citation: (citation.executed_at, citation.id))

    @property
    def refused(self) -> list[Refusal]:
        """The calls that brought no result, by tool and arguments."""
        found = [outcome for outcome in self._outcomes.values() if isinstance(outcome, Refusal)]
        return sorted(found, key=lambda refusal: key_of(refusal.tool, refusal.arguments))

    @property
    def refusals(self) -> dict[str, ErrorCode]:
        """Tool -> how its source refused a call of it."""
        codes = ((refusal.tool, ERROR_CODES.get(refusal.code or "")) for refusal in self.refused)
        return {tool: code for tool, code in codes if code is not None}

    async def use(self, tool: Tool[A], arguments: A) -> Citation | None:
        """Runs a tool and records it; None, with a note under `not_checked`, when it could not be run.

        The same call again answers from its record: what was seen once, or refused, stays so for the whole handoff.
        """
        plain = plain_json(arguments)
        key = key_of(tool.name, plain)
        async with self._turns.setdefault(key, asyncio.Lock()):
            if key not in self._outcomes:
                attempt = partial(self._attempt, tool, arguments, plain)
                self._outcomes[key] = await self._call(tool.name, plain, attempt, tool.name)
        outcome = self._outcomes[key]
        return outcome if isinstance(outcome, Citation) else None

    async def hand_off(
        self,
        agent: str,
        method: Method[P, R],
        params: P,
        *,
        reason: str,
        capabilities: Collection[str] = AGENT_CAPABILITIES,
        budget: Budget | None = None,
    ) -> Answer[R] | None:
        """Asks another agent and records its answer; None, with a note under `not_checked`, when it could not be asked.

        `reason` ends the sentence "... was asked". It is granted no more than this handoff has: of `capabilities`
        those, and of the tool calls and seconds of `budget` what is left, which is spent with that (without one, half
        of the calls). The same question again is answered from its record. Whoever cancels this work cancels that too.
        """
        plain = plain_json({"agent": agent, "method": method.name, "params": params})
        key = key_of(HAND_OFF, plain)
        grant = Grant(budget or Budget(self._calls_left // 2, 600.0), capabilities, (), reason)
        async with self._turns.setdefault(key, asyncio.Lock()):
            if key not in self._outcomes:
                ask = partial(self._ask, agent, method, params, plain, grant)
                self._outcomes[key] = await self._call(HAND_OFF, plain, ask, f"{agent} did not answer {reason}")
        outcome = self._outcomes[key]
        if isinstance(outcome, Refusal):
            return None
        cited = cited_in(outcome)
        if self._records is not None:
            self._brought.update((item.id, item) for item in self._records.brought(cited))
        brought = [self._brought[name] for name in cited if name in self._brought]
        try:
            return Answer(msgspec.convert(outcome.result, method.returns), outcome, brought)
        except msgspec.ValidationError:
            # Cut to fit a record, in a place that the struct doesn't allow.
            self._note(f"the answer of {agent} is too long to be used: {reason}")
            return None

    async def _ask(
        self, agent: str, method: Method[P, R], params: P, plain: dict[str, Any], grant: Grant
    ) -> Citation | Refusal:
        """The other agent's answer as a record."""
        others, place = self._others, None if self._others is None else self._others.place(agent)
        reason = "it is not there" if place is None else self._spent()
        if others is None or reason is not None:
            return Refusal(tool=HAND_OFF, arguments=plain, reason=reason or "")
        calls = min(grant.budget.tool_calls, self._calls_left)
        budget, now = Budget(calls, grant.budget.seconds), utc_now()
        evidence = [citation.id for citation in self.citations]
        grant = replace(grant, budget=budget, evidence=evidence)
        try:
            handoff = handed_on(self._standing(), agent, (method.name, plain["params"]), grant, now=now, address=place)
            self._calls_left -= calls
            self._handed_on[key_of(HAND_OFF, plain)] = _told_of(handoff)
            timeout = (handoff.deadline - now).total_seconds()
            result = await others.call(agent, method, params, handoff=handoff, timeout=timeout)
        except AuroraError as error:
            reason = f"{error.code.code} {error.message}"
            return Refusal(tool=HAND_OFF, arguments=plain, reason=reason, code=error.code.code)
        self._brought.update((item.id, item) for item in brought_by(result))
        return record(
            self.agent, HAND_OFF, plain, bare(plain_json(result), method.returns, MAX_RESULT_BYTES), utc_now()
        )

    def _standing(self) -> Standing:
        handoff = self._handoff
        return Standing(
            agent=self.agent,
            handoff_id=self._handoff_id,
            hops=0 if handoff is None else handoff.hops,
            path=() if handoff is None else handoff.path,
            deadline=self._deadline,
            capabilities=self._capabilities,
            investigation_id=self._investigation_id,
        )

    async def _call(
        self, name: str, plain: dict[str, Any], attempt: Callable[[], Awaitable[Citation | Refusal]], about: str
    ) -> Citation | Refusal:
        """What came of a call. Where it brought nothing, the note begins with `about`."""
        started = utc_now()
        outcome = await attempt() if self._records is None else self._records.outcome(name, plain)
        if isinstance(outcome, Refusal):
            self._note(f"{about}: {outcome.reason}")
            await self._tell_call(outcome, started)
        else:
            thought = self.tell("tool", f"{name} {_short(plain)}", outcome.id)
            await asyncio.gather(thought, self._tell_call(outcome, started))
        return outcome

    async def _attempt(self, tool: Tool[A], arguments: A, plain: dict[str, Any]) -> Citation | Refusal:
        reason = self._refusal(tool)
        if reason is not None:
            return Refusal(tool=tool.name, arguments=plain, reason=reason)
        self._calls_left -= 1
        try:
            async with asyncio.timeout((self._deadline - utc_now()).total_seconds()):
                result = await self._run(tool, arguments)
        except TimeoutError:
            return Refusal(tool=tool.name, arguments=plain, reason="out of time")
        except AuroraError as error:
            code = error.code.code
            return Refusal(tool=tool.name, arguments=plain, reason=f"{code} {error.message}", code=code)
        return record(self.agent, tool.name, arguments, result, utc_now())

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
        return self._spent()

    def _spent(self) -> str | None:
        if self._calls_left <= 0:
            return "the budget of tool calls is spent"
        return "out of time" if utc_now() >= self._deadline else None

    def _note(self, note: str) -> None:
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
        """Publishes a thought; a replay is silent."""
        if self._records is not None:
            return
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

    async def _tell_call(self, outcome: Citation | Refusal, started: datetime) -> None:
        if self._records is not None:
            return
        refused = outcome if isinstance(outcome, Refusal) else None
        await self._publish(
            ToolCall(
                id=outcome.id if isinstance(outcome, Citation) else refusal_address(outcome),
                agent=self.agent,
                tool=outcome.tool,
                arguments=outcome.arguments,
                status="completed" if refused is None else "refused",
                result=outcome.result if isinstance(outcome, Citation) else None,
                error=None if refused is None else refused.reason,
                code=None if refused is None else refused.code,
                started_at=started,
                finished_at=outcome.executed_at if isinstance(outcome, Citation) else utc_now(),
                caller=self._caller,
                handoff_id=self._handoff_id,
                investigation_id=self._investigation_id,
                handed_on=self._handed_on.get(key_of(outcome.tool, outcome.arguments)),
            )
        )

    def settle(self, answer: S) -> S:
        """The answer with all that was called, also in vain, as far as its shape has a place for it, in an order that
        doesn't depend on which call ended first: so a replay over the same records gives the same bytes."""
        settled = {
            "citations": self.citations,
            "refused": self.refused,
            "ruled_out": sorted(getattr(answer, "ruled_out", ())),
            "not_checked": sorted({*getattr(answer, "not_checked", ()), *self.not_checked}),
        }
        has = answer.__struct_fields__
        return msgspec.structs.replace(answer, **{name: value for name, value in settled.items() if name in has})


def _capabilities(context: CallContext, handoff: Handoff | None) -> frozenset[str]:
    """What the handoff grants of what its caller may do itself; a bare request has all of that."""
    own = context.principal.permissions.intersection(AGENT_CAPABILITIES)
    return own if handoff is None else own.intersection(handoff.capabilities)


def _asked_at(handoff: Handoff | None) -> datetime:
    if handoff is None:
        return utc_now()
    if handoff.recorded is not None:
        return handoff.recorded.asked_at
    at = handoff.deadline - timedelta(seconds=handoff.budget.seconds)
    # As a record gives it back.
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


def _told_of(handoff: Handoff) -> HandedOn:
    return HandedOn(
        handoff_id=handoff.handoff_id,
        to=handoff.to,
        hops=handoff.hops,
        path=handoff.path,
        traceparent=telemetry.traceparent(),
    )


def _short(arguments: Any) -> str:
    return encode(arguments).decode("utf-8", "replace")[:_TEXT]
