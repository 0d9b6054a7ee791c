"""`aurora investigate`: has an alert investigated; shows what specialists do as they do it, and the verdict."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

import click
import msgspec
from rich.console import Console
from rich.text import Text

from cli import options, session, verdict
from cli.failure import Failure
from cli.terminal import plain, print_json, safe
from shared.contracts.agents import Thought
from shared.contracts.investigations import GET_INVESTIGATION, INVESTIGATE, InvestigateRequest, Investigation
from shared.contracts.system import WS_AGENT_THOUGHTS, StreamQuery
from shared.errors import AuroraError
from shared.tasks import end

_POLL_SECONDS = 0.3
#: Specialists have a minute each and are asked in some rounds.
_PATIENCE_SECONDS = 600.0
ENDED = ("completed", "review_required", "failed", "cancelled")
_STYLES = {"started": "dim", "tool": "cyan", "finding": "yellow", "finished": "green", "failed": "red"}


@click.command("investigate")
@click.argument("alert", metavar="ALERT")
@click.option("--agent", "agents", multiple=True, help="Ask only this specialist; may be given again.")
@click.option("--reason", default="", help="Why, for the record.")
@click.option("--follow", is_flag=True, help="Show what specialists do, then the verdict with its grounds.")
@options.data_dir
@options.url
@options.as_json
def command(
    alert: str, agents: tuple[str, ...], reason: str, follow: bool, data_dir: Path, url: str | None, as_json: bool
) -> None:
    """Investigate an alert now; one that is under way is joined.

    Progress goes to stderr, the verdict to stdout. Exit code: 0, or 1 when the investigation failed, was cancelled, or
    has no end after ten minutes.
    """
    request = InvestigateRequest(alert_id=alert, agents=list(agents), reason=reason)
    told = Quiet() if as_json else Progress()
    last = asyncio.run(_investigate(session.find(data_dir, url), request, follow, told))
    if as_json:
        print_json(last)
    elif follow:
        verdict.show(last)
    else:
        click.echo(f"{last.id} {verdict.headline(last)}")
    sys.exit(1 if last.status in ("failed", "cancelled") else 0)


class Audience(Protocol):
    """Told of steps and thoughts while an investigation runs."""

    def steps(self, investigation: Investigation) -> None: ...

    def thought(self, thought: Thought) -> None: ...


class Quiet:
    """For programs: nothing is told while it runs."""

    def steps(self, _investigation: Investigation) -> None:
        """Nothing."""

    def thought(self, _thought: Thought) -> None:
        """Nothing."""


class Progress:
    """Lines on stderr, in colour on a terminal. What specialists quote is somebody else's text and shown as such."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._known: dict[str, str] = {}

    def steps(self, investigation: Investigation) -> None:
        """A line for each step whose state is new."""
        for step in investigation.steps:
            if self._known.get(step.id) != step.status:
                self._known[step.id] = step.status
                error = f": {step.error}" if step.error else ""
                round_ = f"round {step.round}: " if investigation.round > 1 else ""
                self._console.print(safe(f"{round_}{step.agent} {step.method} {step.status}{error}", "bold"))

    def thought(self, thought: Thought) -> None:
        """A line of who does what."""
        line = Text.assemble(
            safe(f"{thought.timestamp:%H:%M:%S} {thought.agent} "),
            safe(thought.kind, _STYLES.get(thought.kind, "")),
            " ",
        )
        self._console.print(line.append_text(safe(thought.text)))


async def _investigate(
    target: session.Target, request: InvestigateRequest, follow: bool, told: Audience
) -> Investigation:
    async with session.opened(target) as opened:
        if not follow:
            return await opened.call(INVESTIGATE, body=request)
        heard = _Thoughts(told)
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS), _listening(heard, opened):
                await heard.ready.wait()
                started = await opened.call(INVESTIGATE, body=request)
                heard.are_of(started.id)
                return await _end_of(opened, started, told)
        except TimeoutError:
            raise Failure(f"{request.alert_id}: no verdict after {_PATIENCE_SECONDS:g} s") from None


@asynccontextmanager
async def _listening(heard: _Thoughts, opened: session.Session) -> AsyncIterator[None]:
    """Thoughts are heard inside the block. Raises what the block does."""
    failure: Exception | None = None
    try:
        async with asyncio.TaskGroup() as group:
            listening = group.create_task(heard.listen(opened), name="thoughts")
            try:
                yield
            finally:
                await end([listening])
    except* (AuroraError, click.ClickException) as group_error:
        failure = group_error.exceptions[0]
    if failure is not None:
        raise failure


async def _end_of(opened: session.Session, investigation: Investigation, told: Audience) -> Investigation:
    while True:
        told.steps(investigation)
        if investigation.status in ENDED:
            return investigation
        await asyncio.sleep(_POLL_SECONDS)
        investigation = await opened.call(GET_INVESTIGATION, path={"investigation_id": investigation.id})


class _Thoughts:
    """The thoughts of one investigation; those that come before its id is known wait for it. `ready` is set when they
    are listened to, so that nothing is said before, or when they can't be."""

    def __init__(self, told: Audience) -> None:
        self.ready = asyncio.Event()
        self._told = told
        self._of: str | None = None
        self._early: list[Thought] = []

    def are_of(self, investigation_id: str) -> None:
        """Says whose thoughts are told."""
        self._of = investigation_id
        for thought in self._early:
            self._tell(thought)
        self._early.clear()

    async def listen(self, opened: session.Session) -> None:
        """Runs until cancelled. Without the stream the steps are still told."""
        try:
            async for frame in opened.stream(WS_AGENT_THOUGHTS, StreamQuery(), opened=self.ready):
                thought = _thought(frame.data)
                if thought is not None and self._of is None:
                    self._early.append(thought)
                elif thought is not None:
                    self._tell(thought)
        except AuroraError as error:
            click.echo(plain(f"what specialists do can't be shown: {error}"), err=True)
            self.ready.set()

    def _tell(self, thought: Thought) -> None:
        if thought.investigation_id == self._of:
            self._told.thought(thought)


def _thought(data: object) -> Thought | None:
    try:
        return msgspec.convert(data, Thought)
    except msgspec.ValidationError:
        return None
