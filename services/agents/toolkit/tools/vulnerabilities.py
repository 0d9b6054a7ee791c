"""Tools for vulnerabilities: what imports say of them, which software a host's logs show, what followed an attempt, and
where words of an attempt stand in the logs. All within times that are given."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from services.agents.toolkit.queries import words
from services.agents.toolkit.software import packages_in
from services.agents.toolkit.sources import Sources
from services.agents.toolkit.tool import Tool
from services.agents.toolkit.tools.intel import vulnerability
from shared.contracts.common import Observable
from shared.contracts.constants import SIEM_READ
from shared.contracts.intel import VulnerabilityQuery
from shared.contracts.logs import LogEvent, LogQuery, log_term
from shared.contracts.wire import format_time

_LIMIT = 200
_KEPT = 20
_SOFTWARE = 60
_TEXT = 300
_Word = Annotated[str, Meta(min_length=2, max_length=120)]
_Words = Annotated[tuple[_Word, ...], Meta(max_length=60)]

_INSTALLING = (
    '("status installed" or "Commandline: apt" or Installed or Upgraded or "Product Version" or '
    '"resuming normal operations" or "SSH-2.0" or "Server listening")'
)


class KnownArguments(msgspec.Struct, frozen=True, kw_only=True):
    """Vulnerabilities by id, and products whose vulnerabilities are asked for."""

    cves: Annotated[tuple[Annotated[str, Meta(max_length=32)], ...], Meta(max_length=60)]
    products: Annotated[tuple[Annotated[str, Meta(min_length=2, max_length=128)], ...], Meta(max_length=4)] = ()
    at: datetime


class SoftwareArguments(msgspec.Struct, frozen=True, kw_only=True):
    """Whose software: a host; `since` included, `until` not."""

    host: str
    since: datetime
    until: datetime


class AftermathArguments(msgspec.Struct, frozen=True, kw_only=True):
    """What followed on a host: programmes that one of `parents` started, connections to `callbacks`, files with one of
    the `endings` that were written; `since` included, `until` not."""

    host: str
    parents: _Words
    callbacks: Annotated[tuple[_Word, ...], Meta(max_length=4)] = ()
    endings: Annotated[tuple[Annotated[str, Meta(pattern=r"^[a-z0-9]{2,8}$")], ...], Meta(max_length=20)] = ()
    since: datetime
    until: datetime


class AttemptArguments(msgspec.Struct, frozen=True, kw_only=True):
    """Where words stand in the logs, on one host or anywhere; `since` included, `until` not."""

    words: Annotated[tuple[_Word, ...], Meta(min_length=1, max_length=8)]
    host: str | None = None
    since: datetime
    until: datetime


async def _known(arguments: KnownArguments, sources: Sources) -> Any:
    asked = [Observable("cve", cve) for cve in arguments.cves]
    found = await sources.intel(asked, arguments.at)
    queries = [VulnerabilityQuery(q=product, limit=_KEPT) for product in arguments.products]
    listed = await asyncio.gather(*(sources.vulnerabilities(query) for query in queries))
    every = {(item.cve, item.source): item for page in (found.vulnerabilities, *listed) for item in page}
    return {"stored": found.indicators, "vulnerabilities": [vulnerability(every[key]) for key in sorted(every)]}


async def _software(arguments: SoftwareArguments, sources: Sources) -> Any:
    base = log_term("host.name", arguments.host)
    programmes, messages = await asyncio.gather(
        *(
            sources.logs(LogQuery(q=f"{base} {q}", since=arguments.since, until=arguments.until, limit=_LIMIT))
            for q in ("process.pe.product:*", _INSTALLING)
        )
    )
    seen: dict[tuple[str, str, str], LogEvent] = {}
    for event in sorted(programmes, key=lambda event: (event.timestamp, event.id)):
        product, version = _text(event, "process.pe.product"), _text(event, "process.pe.file_version")
        if product not in ("", "-", "?"):
            seen.setdefault((product, version, "programme"), event)
    for event in sorted(messages, key=lambda event: (event.timestamp, event.id)):
        for how, product, version in packages_in(event.message):
            seen.setdefault((product, version, how), event)
    return {
        "software": [
            {"product": product, "version": version, "how": how, "log_id": event.id}
            for (product, version, how), event in list(seen.items())[:_SOFTWARE]
        ],
        "read": len(programmes) + len(messages),
        "complete": len(seen) <= _SOFTWARE and max(len(programmes), len(messages)) < _LIMIT,
    }


async def _aftermath(arguments: AftermathArguments, sources: Sources) -> Any:
    base = log_term("host.name", arguments.host)
    parents = " or ".join(_value(parent) for parent in arguments.parents)
    queries = [f"{base} process.parent.name:({parents})"] if parents else []
    for callback in arguments.callbacks:
        value = _value(callback)
        queries.append(f"{base} (destination.ip:{value} or destination.domain:{value} or dns.question.name:{value})")
    if arguments.endings:
        paths = " or ".join(f"*.{ending}" for ending in arguments.endings)
        queries.append(f"{base} event.category:file file.path:({paths})")
    found = await asyncio.gather(
        *(sources.logs(LogQuery(q=q, since=arguments.since, until=arguments.until, limit=_LIMIT)) for q in queries)
    )
    pages = iter(found)
    started = next(pages) if parents else []
    connected = [next(pages) for _ in arguments.callbacks]
    written = next(pages) if arguments.endings else []
    return {
        "started": _briefs(started, ("process.parent.name", "process.name", "process.command_line")),
        "connected": {
            callback: _briefs(page, ("destination.ip", "destination.port", "dns.question.name", "process.name"))
            for callback, page in zip(arguments.callbacks, connected, strict=True)
        },
        "written": _briefs(written, ("file.path", "process.name", "event.action")),
        "complete": all(len(page) < _LIMIT for page in found),
    }


async def _attempts(arguments: AttemptArguments, sources: Sources) -> Any:
    asked = " or ".join(words(word) for word in arguments.words)
    base = "" if arguments.host is None else f"{log_term('host.name', arguments.host)} "
    query = LogQuery(q=f"{base}({asked})", since=arguments.since, until=arguments.until, limit=_LIMIT)
    events = await sources.logs(query)
    return {
        "events": [
            {
                "log_id": event.id,
                "timestamp": format_time(event.timestamp),
                "message": event.message[:_TEXT],
                "ecs": {
                    name: _text(event, name)[:_TEXT]
                    for name in (
                        "host.name", "source.ip", "url.original", "user_agent.original", "http.response.status_code",
                        "process.command_line", "rule.name",
                    )
                    if _text(event, name)
                },
            }
            for event in sorted(events, key=lambda event: (event.timestamp, event.id))[:_KEPT]
        ],
        "count": len(events),
        "at_least": len(events) == _LIMIT,
    }  # fmt: skip


def _value(text: str) -> str:
    """The value of a term, without its field."""
    return log_term("x", text).partition(":")[2]


def _text(event: LogEvent, field: str) -> str:
    value = event.ecs.get(field)
    if isinstance(value, list):
        value = value[0] if value else None
    return "" if value is None else str(value)


def _briefs(events: Sequence[LogEvent], fields: Sequence[str]) -> list[dict[str, str]]:
    """The oldest events first, each different one once."""
    kept: dict[tuple[str, ...], dict[str, str]] = {}
    for event in sorted(events, key=lambda event: (event.timestamp, event.id)):
        values = tuple(_text(event, field)[:_TEXT] for field in fields)
        brief = {"log_id": event.id, "timestamp": format_time(event.timestamp)}
        kept.setdefault(
            values, {**brief, **{field: value for field, value in zip(fields, values, strict=True) if value}}
        )
    return list(kept.values())[:_KEPT]


KNOWN_VULNERABILITIES = Tool(
    "known_vulnerabilities", "What imports say of vulnerabilities and products", KnownArguments, SIEM_READ, _known
)
SOFTWARE_SEEN = Tool("software_seen", "Which software a host's logs show", SoftwareArguments, SIEM_READ, _software)
AFTERMATH = Tool("aftermath", "What followed an attempt on a host", AftermathArguments, SIEM_READ, _aftermath)
EXPLOIT_ATTEMPTS = Tool(
    "exploit_attempts", "Where words of an attempt stand in the logs", AttemptArguments, SIEM_READ, _attempts
)
