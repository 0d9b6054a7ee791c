"""`aurora replay`: runs an investigation again over its recorded tool results, and says where it came out otherwise."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from cli import options, session
from cli.terminal import plain, print_json
from shared.contracts.replays import REPLAY_INVESTIGATION, Difference, InvestigationReplay, StepReplay
from shared.contracts.wire import encode

_LENGTH = 160


@click.command("replay")
@click.argument("investigation", metavar="INVESTIGATION")
@options.data_dir
@options.url
@options.as_json
def command(investigation: str, data_dir: Path, url: str | None, as_json: bool) -> None:
    """Run an investigation again over its recorded tool results: same answers, same verdict, byte for byte.

    Nothing is read but the record, and nothing is stored. Exit code: 0 when all is identical, else 1.
    """
    replayed = asyncio.run(_replay(session.find(data_dir, url), investigation))
    if as_json:
        print_json(replayed)
    else:
        for line in lines_of(replayed):
            click.echo(plain(line))
    sys.exit(0 if replayed.identical else 1)


async def _replay(target: session.Target, investigation: str) -> InvestigationReplay:
    async with session.opened(target) as opened:
        return await opened.call(REPLAY_INVESTIGATION, path={"investigation_id": investigation})


def lines_of(replayed: InvestigationReplay) -> Iterator[str]:
    """What there is to say: a line for each step, what differs below it, and the verdict."""
    for step in replayed.steps:
        yield f"{step.agent} {step.method}: {step.status}{_versions(step)}"
        yield from (f"  altered record {identifier}" for identifier in step.altered)
        yield from (f"  not in the record: {call.tool} {_short(call.arguments)}" for call in step.unrecorded)
        if step.difference is not None:
            yield from _difference(step.difference)
        if step.error:
            yield f"  {step.error}"
    if replayed.difference is not None:
        yield "outcome: different"
        yield from _difference(replayed.difference)
    if replayed.identical:
        yield f"{replayed.investigation_id}: identical, {replayed.verdict}"
    else:
        yield f"{replayed.investigation_id}: different, {replayed.verdict} then, {replayed.replayed_verdict} now"


def _versions(step: StepReplay) -> str:
    if not step.version_then or step.version_then == step.version_now:
        return ""
    return f" (version {step.version_then} then, {step.version_now or 'unknown'} now)"


def _difference(difference: Difference) -> Iterator[str]:
    yield f"  at {difference.path or 'the top'}"
    yield f"    then {_short(difference.recorded)}"
    yield f"    now  {_short(difference.replayed)}"


def _short(value: object) -> str:
    text = encode(value).decode()
    return text if len(text) <= _LENGTH else text[: _LENGTH - 1] + "…"
