"""`aurora tail`: the events of a running stack, straight from JetStream, as they come or from an earlier place on.

Reads with the operator's credentials, so it works on the machine of the stack and shows everything that is stored.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import Callable
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any

import click
import msgspec

from cli import options, session
from cli.terminal import plain
from deploy.local.runtime_file import Nats
from shared import log
from shared.bus import Bus, Delivered
from shared.config import ConfigError, read_secret
from shared.contracts.events import CloudEvent, DeadLetter
from shared.contracts.wire import decode, encode, format_time

_DEAD_LETTERS = "aurora.dead-letter."
_SUMMARY_LENGTH = 160
#: NATS answers nothing at all to a filter outside the stream.
_SUBJECT = re.compile(r"aurora(\.[^\s.>*]+|\.\*)*(\.[^\s.>*]+|\.\*|\.>)")


class _Credentials(msgspec.Struct):
    username: str | None
    password: str | None


def _subject(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    if not _SUBJECT.fullmatch(value):
        raise click.BadParameter("events are under aurora.>, for example 'aurora.alerts.*'")
    return value


@click.command("tail")
@click.argument("subject", default="aurora.>", callback=_subject)
@click.option("--since", type=click.IntRange(0), metavar="SEQUENCE", help="Begin after this one; 0: with the oldest.")
@click.option("--count", type=click.IntRange(1), help="End after so many events.")
@options.data_dir
@options.as_json
def command(subject: str, since: int | None, count: int | None, data_dir: Path, as_json: bool) -> None:
    """Print events as they come: sequence, time, subject and what happened. SUBJECT may have NATS wildcards."""
    log.configure("tail", "error")
    write = _json if as_json else _line
    try:
        asyncio.run(_tail(session.running(data_dir).nats, subject, since, count, write))
    except BrokenPipeError:
        # The reader has gone: that is how `aurora tail | head` ends. Nothing more may be written, at exit neither.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


async def _tail(
    nats: Nats, subject: str, since: int | None, count: int | None, write: Callable[[Delivered], None]
) -> None:
    """Ctrl-C and SIGTERM are how it ends: nothing failed then."""
    task = asyncio.current_task()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, lambda: task.cancel() if task else None)
    credentials = _read(Path(nats.credentials_file))
    with suppress(asyncio.CancelledError):
        bus = await Bus.connect(nats.url, user=credentials.username, password=credentials.password, name="aurora tail")
        try:
            await _write_all(bus, subject, since, count, write)
        finally:
            await bus.close()


async def _write_all(
    bus: Bus, subject: str, since: int | None, count: int | None, write: Callable[[Delivered], None]
) -> None:
    left = count
    async with aclosing(bus.read([subject], since=since)) as events:
        async for event in events:
            write(event)
            left = None if left is None else left - 1
            if left == 0:
                return


def _read(file: Path) -> _Credentials:
    try:
        return msgspec.json.decode(read_secret(file), type=_Credentials)
    except msgspec.DecodeError as error:
        raise ConfigError(f"{file} holds no credentials") from error


def _json(event: Delivered) -> None:
    # As it is stored; `plain` keeps it the same JSON.
    click.echo(plain(event.payload.decode("utf-8", "replace")))


def _line(event: Delivered) -> None:
    time, summary = _told(event)
    click.echo(f"{event.sequence} {time} {plain(event.subject)} {plain(summary)}")


def _told(event: Delivered) -> tuple[str, str]:
    """When, and what happened in one line."""
    try:
        if event.subject.startswith(_DEAD_LETTERS):
            letter = decode(event.payload, DeadLetter)
            return "-", f"{letter.consumer} gave up on {letter.sequence} {letter.subject}: {letter.reason}"
        envelope = decode(event.payload, CloudEvent)
        return format_time(envelope.time), summary_of(msgspec.json.decode(envelope.data))
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError):
        return "-", f"{len(event.payload)} bytes that are no event"


def summary_of(data: Any) -> str:
    """The few words of an event that a person reads: an alert, an investigation, a match, a call, a thought."""
    if not isinstance(data, dict):
        return _cut(encode(data).decode())
    for member, told in _SUMMARIES.items():
        if member in data:
            return _cut(told(data))
    return _cut(encode(data).decode())


def _alert(data: dict[str, Any]) -> str:
    alert, changed = data["alert"], ",".join(data.get("changed") or [])
    words = [alert.get("id"), alert.get("severity"), alert.get("status"), f"x{alert.get('count')}", alert.get("title")]
    return " ".join(str(word) for word in words) + (f" ({changed})" if changed else "")


def _investigation(data: dict[str, Any]) -> str:
    found = data["investigation"]
    words = [found.get("id"), *(found.get("alert_ids") or []), found.get("status"), found.get("verdict") or ""]
    return " ".join(str(word) for word in words)


def _match(data: dict[str, Any]) -> str:
    return f"{data.get('rule_title')} matched {data.get('count')}, {data.get('alert_id')}"


def _tool_call(data: dict[str, Any]) -> str:
    told = data.get("error") or data.get("id")
    return f"{data.get('agent')} {data.get('tool')} {encode(data.get('arguments')).decode()}: {told}"


def _thought(data: dict[str, Any]) -> str:
    return f"{data.get('agent')} {data.get('kind')}: {data.get('text')}"


#: The member that tells an event's kind -> how it is summed up. Shapes of later topics fall back to their JSON.
_SUMMARIES: dict[str, Callable[[dict[str, Any]], str]] = {
    "alert": _alert,
    "investigation": _investigation,
    "rule_title": _match,
    "caller": _tool_call,
    "handoff_id": _thought,
}


def _cut(text: str) -> str:
    return text if len(text) <= _SUMMARY_LENGTH else text[: _SUMMARY_LENGTH - 1] + "…"
