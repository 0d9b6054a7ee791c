"""Tools that look past one host: where else a value was seen, where an account logged on, where a rule fired.

The siem counts; only what must be shown is read. Each search has a time range, and says when there is more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta

from services.agents.toolkit.queries import words
from services.agents.toolkit.sources import Sources
from services.agents.toolkit.tool import Tool
from shared.contracts.alerts import AlertQuery
from shared.contracts.constants import ALERTS_READ, SIEM_READ
from shared.contracts.logs import LogEvent, LogPage, LogQuery, log_term
from shared.contracts.wire import format_time

PivotKind = Literal["ip", "domain", "hash", "user", "file", "command"]
_Value = Annotated[str, Meta(min_length=1, max_length=1024)]
#: So many values the siem counts for one field.
_TOP = 10
_PAGE = 200
_MAX_LOGONS = 20
_MAX_ALERTS = 100
_HASHES = {32: "md5", 40: "sha1", 64: "sha256"}
#: Words of the parsers for a login that succeeded.
_LOGGED_IN = '("logged-in" or "ssh_login" or "logged-in-explicit" or "started-session" or "session-reconnected")'


class PivotArguments(msgspec.Struct, frozen=True, kw_only=True):
    """A value of a kind; `since` included, `until` not. `times` asks when it was seen first, too, and how often."""

    kind: PivotKind
    value: _Value
    since: datetime
    until: datetime
    times: bool = False


class TalkingArguments(msgspec.Struct, frozen=True, kw_only=True):
    """A time; `since` included, `until` not."""

    since: datetime
    until: datetime


class LogonArguments(msgspec.Struct, frozen=True, kw_only=True):
    """An account; `since` included, `until` not. Logons to `except_host` are left out."""

    user: _Value
    since: datetime
    until: datetime
    except_host: str


class RuleArguments(msgspec.Struct, frozen=True, kw_only=True):
    """A rule; `since` included, `until` not. Alerts of `except_host` are left out."""

    rule_id: _Value
    since: datetime
    until: datetime
    except_host: str


def _ip(value: str) -> str:
    return f"({log_term('source.ip', value)} or {log_term('destination.ip', value)})"


def _domain(value: str) -> str:
    # As words too: it stands in the command lines and messages of whoever asked for it.
    return f"({log_term('dns.question.name', value)} or {log_term('destination.domain', value)} or {words(value)})"


def _hash(value: str) -> str:
    name = _HASHES.get(len(value), "sha256")
    return f"({log_term(f'process.hash.{name}', value)} or {log_term(f'file.hash.{name}', value)})"


def _user(value: str) -> str:
    return f"{log_term('user.name', value)} event.category:(authentication or session)"


def _file(value: str) -> str:
    return f"({log_term('file.path', value)} or {log_term('process.executable', value)})"


def _command(value: str) -> str:
    return log_term("process.command_line", value)


_SEARCHES: Mapping[PivotKind, Callable[[str], str]] = {
    "ip": _ip, "domain": _domain, "hash": _hash, "user": _user, "file": _file, "command": _command,
}  # fmt: skip


async def _pivot(arguments: PivotArguments, sources: Sources) -> Any:
    q = f"{_SEARCHES[arguments.kind](arguments.value)} host.name:*"
    page = await sources.page(_counting(q, arguments.since, arguments.until, times=arguments.times))
    hosts = _hosts(page)
    result: dict[str, Any] = {
        "hosts": hosts,
        "more_hosts": len(hosts) >= _TOP,
        "last_seen": format_time(page.items[0].timestamp) if page.items else None,
        "latest": [_brief(event) for event in page.items],
    }
    if page.histogram is not UNSET:
        counts = page.histogram
        result["count"] = sum(item.count for item in counts)
        result["first_seen"] = format_time(max(counts[0].time, arguments.since)) if counts else None
    return result


async def _talking(arguments: TalkingArguments, sources: Sources) -> Any:
    page = await sources.page(_counting("host.name:*", arguments.since, arguments.until, times=False))
    hosts = _hosts(page)
    return {"hosts": hosts, "more_hosts": len(hosts) >= _TOP}


def _counting(q: str, since: datetime, until: datetime, *, times: bool) -> LogQuery:
    histogram = "1h" if times else None
    return LogQuery(q=q, since=since, until=until, limit=1, histogram=histogram, top="host.name")


def _hosts(page: LogPage) -> dict[str, int]:
    return {} if page.top is UNSET else {item.value: item.count for item in page.top}


def _brief(event: LogEvent) -> dict[str, Any]:
    return {"log_id": event.id, "timestamp": format_time(event.timestamp), "message": event.message[:200]}


async def _logons(arguments: LogonArguments, sources: Sources) -> Any:
    q = (
        f"{log_term('user.name', arguments.user)} event.action:{_LOGGED_IN}"
        f" not event.outcome:failure not {log_term('host.name', arguments.except_host)}"
    )
    query = LogQuery(q=q, since=arguments.since, until=arguments.until, limit=_PAGE)
    found = await sources.pages(query, 1)
    first: dict[tuple[str, str], dict[str, Any]] = {}
    for event in reversed(found.events):
        host, source = str(event.ecs.get("host.name", "")), str(event.ecs.get("source.ip", ""))
        if host and host != arguments.except_host:
            known = first.setdefault((host, source), {**_brief(event), "host": host, "source_ip": source, "count": 0})
            known["count"] += 1
    logons: Sequence[dict[str, Any]] = list(first.values())
    return {"logons": logons[:_MAX_LOGONS], "complete": found.complete and len(logons) <= _MAX_LOGONS}


async def _rule_elsewhere(arguments: RuleArguments, sources: Sources) -> Any:
    query = AlertQuery(rule_id=arguments.rule_id, since=arguments.since, until=arguments.until, limit=_MAX_ALERTS)
    alerts = await sources.alerts(query)
    others = [alert for alert in alerts if alert.entities.get("host", "") not in ("", arguments.except_host)]
    hosts: dict[str, str] = {}
    for alert in sorted(others, key=lambda alert: alert.id):
        hosts.setdefault(alert.entities["host"][:200], alert.id)
    return {"hosts": dict(sorted(hosts.items())[:_MAX_LOGONS]), "complete": len(alerts) < _MAX_ALERTS}


#: {hosts: {host: count}, more_hosts, last_seen, latest: [one event]}; with `times` also count and first_seen (to the
#: hour)
PIVOT = Tool("pivot", "On which hosts a value was seen, how often and when", PivotArguments, SIEM_READ, _pivot)
#: {hosts: {host: count}, more_hosts}
TALKING_HOSTS = Tool("talking_hosts", "Which hosts sent logs", TalkingArguments, SIEM_READ, _talking)
#: {logons: [{host, source_ip, count, log_id, timestamp, message}], complete}, the first of each host and source
LOGONS_ELSEWHERE = Tool("logons_elsewhere", "Where else an account logged on", LogonArguments, SIEM_READ, _logons)
#: {hosts: {host: its first alert}, complete}
RULE_ELSEWHERE = Tool(
    "rule_elsewhere", "On which other hosts a rule fired", RuleArguments, ALERTS_READ, _rule_elsewhere
)
