"""How an investigation reads on a terminal: the verdict, what it rests on, and what was not looked at.

Knows the shape of an investigation, and no command.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from cli.terminal import output, plain, safe, table
from shared.contracts.claims import Citation
from shared.contracts.investigations import Investigation
from shared.contracts.wire import encode

_RESULT_LENGTH = 160


def show(investigation: Investigation) -> None:
    """Prints all of it but the tool results' full text."""
    click.echo(plain(f"{investigation.id} {headline(investigation)}"))
    if investigation.position is not None:
        click.echo(_waiting(investigation))
    if investigation.summary:
        click.echo(plain(investigation.summary))
    _several("alerts", investigation.alert_ids)
    _several("techniques", investigation.mitre_techniques)
    _several("indicators", [f"{ioc.type} {ioc.value}" for ioc in investigation.iocs])
    _findings(investigation)
    _lines("disagree", [_disagreement(item.agents, item.claims) for item in investigation.contradictions])
    if investigation.plan is not None:
        _lines("planned, for approval", [f"{step.phase}: {step.title}" for step in investigation.plan.steps])
    _lines("ruled out", investigation.ruled_out)
    _lines("not checked", investigation.not_checked)
    rows = table("step", "round", "agent", "method", "status")
    for step in investigation.steps:
        told = f"{step.status}: {step.error}" if step.error else step.status
        rows.add_row(step.id, str(step.round), safe(step.agent), safe(step.method), safe(told))
    output().print(rows)


def headline(investigation: Investigation) -> str:
    """`completed: malicious, high, confidence 0.97`, or its state while there is no verdict."""
    state = "parked" if investigation.parked_at is not None else investigation.status
    if investigation.verdict is None:
        return state
    confidence = "" if investigation.confidence is None else f", confidence {investigation.confidence:.2f}"
    return f"{state}: {investigation.verdict}, {investigation.severity}{confidence}"


def _waiting(investigation: Investigation) -> str:
    estimate = investigation.estimate_seconds
    about = "" if estimate is None else f", about {estimate:.0f} s until its verdict"
    return f"number {investigation.position} in the queue{about}"


def _findings(investigation: Investigation) -> None:
    cited = {citation.id: citation for citation in investigation.citations}
    for finding in investigation.findings:
        click.echo(plain(f"- {finding.claim} ({finding.agent}, {finding.confidence:.2f})"))
        for citation in (cited[identifier] for identifier in finding.citations if identifier in cited):
            click.echo(plain(f"    {citation.id} {_told(citation)}"))


def _disagreement(agents: Sequence[str], claims: Sequence[str]) -> str:
    return "; ".join(f"{agent} {claim}" for agent, claim in zip(agents, claims, strict=False))


def _several(name: str, values: Sequence[str]) -> None:
    if values:
        click.echo(plain(f"{name}: {', '.join(values)}"))


def _lines(name: str, values: Sequence[str]) -> None:
    if values:
        click.echo(f"{name}:")
    for value in values:
        click.echo(plain(f"  {value}"))


def _told(citation: Citation) -> str:
    arguments = ", ".join(f"{name}={_short(value)}" for name, value in citation.arguments.items())
    return f"{citation.tool}({arguments}) = {_short(citation.result)}"


def _short(value: Any) -> str:
    text = encode(value).decode()
    return text if len(text) <= _RESULT_LENGTH else text[: _RESULT_LENGTH - 1] + "…"
