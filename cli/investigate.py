"""`aurora investigate`: has an alert investigated; shows the steps as they come, and the verdict with its grounds."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from cli import options, session
from cli.failure import Failure
from cli.terminal import output, plain, print_json, safe, table
from shared.contracts.investigations import (
    GET_INVESTIGATION,
    INVESTIGATE,
    Citation,
    InvestigateRequest,
    Investigation,
)
from shared.contracts.wire import encode

_POLL_SECONDS = 0.3
#: Specialists have a minute each and may be asked in two rounds.
_PATIENCE_SECONDS = 300.0
ENDED = ("completed", "review_required", "failed", "cancelled")
_RESULT_LENGTH = 160


@click.command("investigate")
@click.argument("alert", metavar="ALERT")
@click.option("--agent", "agents", multiple=True, help="Ask only this specialist; may be given again.")
@click.option("--reason", default="", help="Why, for the record.")
@click.option("--follow", is_flag=True, help="Wait for the verdict, showing each step.")
@options.data_dir
@options.url
@options.as_json
def command(
    alert: str, agents: tuple[str, ...], reason: str, follow: bool, data_dir: Path, url: str | None, as_json: bool
) -> None:
    """Investigate an alert now; one that is under way is joined.

    Exit code: 0, or 1 when the investigation failed.
    """
    request = InvestigateRequest(alert_id=alert, agents=list(agents), reason=reason)
    told = _ignore if as_json else _tell_steps()
    last = asyncio.run(_investigate(session.find(data_dir, url), request, follow, told))
    if as_json:
        print_json(last)
    elif follow:
        show(last)
    else:
        click.echo(f"{last.id} {last.status}")
    sys.exit(1 if last.status in ("failed", "cancelled") else 0)


async def _investigate(
    target: session.Target, request: InvestigateRequest, follow: bool, told: Callable[[Investigation], None]
) -> Investigation:
    async with session.opened(target) as opened:
        started = await opened.call(INVESTIGATE, body=request)
        if not follow:
            return started
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                return await _end_of(opened, started, told)
        except TimeoutError:
            raise Failure(f"{started.id} has no end after {_PATIENCE_SECONDS:g} s") from None


async def _end_of(
    opened: session.Session, investigation: Investigation, told: Callable[[Investigation], None]
) -> Investigation:
    while True:
        told(investigation)
        if investigation.status in ENDED:
            return investigation
        await asyncio.sleep(_POLL_SECONDS)
        investigation = await opened.call(GET_INVESTIGATION, path={"investigation_id": investigation.id})


def _ignore(_investigation: Investigation) -> None:
    """Nothing is told while it runs."""


def _tell_steps() -> Callable[[Investigation], None]:
    known: dict[str, str] = {}

    def told(investigation: Investigation) -> None:
        for step in investigation.steps:
            if known.get(step.id) != step.status:
                known[step.id] = step.status
                error = f": {step.error}" if step.error else ""
                click.echo(plain(f"{step.agent} {step.method} {step.status}{error}"), err=True)

    return told


def show(investigation: Investigation) -> None:
    """Prints the verdict, what it rests on, and what was not looked at."""
    confidence = "" if investigation.confidence is None else f", confidence {investigation.confidence:.2f}"
    click.echo(plain(f"{investigation.id} {investigation.status}: {investigation.verdict}{confidence}"))
    click.echo(plain(investigation.summary))
    _list("techniques", investigation.mitre_techniques)
    _list("indicators", [f"{ioc.type} {ioc.value}" for ioc in investigation.iocs])
    cited = {citation.id: citation for citation in investigation.citations}
    for finding in investigation.findings:
        click.echo(plain(f"- {finding.claim} ({finding.agent}, {finding.confidence:.2f})"))
        for citation in (cited[identifier] for identifier in finding.citations if identifier in cited):
            click.echo(plain(f"    {citation.id} {_told(citation)}"))
    _list("ruled out", investigation.ruled_out)
    _list("not checked", investigation.not_checked)
    rows = table("step", "agent", "method", "status")
    for step in investigation.steps:
        rows.add_row(step.id, safe(step.agent), safe(step.method), step.status)
    output().print(rows)


def _list(name: str, values: list[str]) -> None:
    if values:
        click.echo(plain(f"{name}: {', '.join(values)}"))


def _told(citation: Citation) -> str:
    arguments = ", ".join(f"{name}={_short(value)}" for name, value in citation.arguments.items())
    return f"{citation.tool}({arguments}) = {_short(citation.result)}"


def _short(value: Any) -> str:
    text = encode(value).decode()
    return text if len(text) <= _RESULT_LENGTH else text[: _RESULT_LENGTH - 1] + "…"
