"""What the logins of some hours add up to: who failed and got in from where, and journeys nobody makes. Pure.

Owns which events are attempts to log in, and the tables over them. What a table means is for judgement to say.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, NamedTuple

from services.agents.toolkit.fitting import fitted
from services.agents.toolkit.geography import Place, place_of
from services.agents.toolkit.journeys import Point, journeys
from shared.contracts.logs import LogEvent
from shared.contracts.wire import format_time

_HOUR = timedelta(hours=1)
_ROWS = 12
_NAME = 80
#: Fewer failures before a login are a matter of typing.
_FEWEST_BEFORE = 3
#: A program that repeats itself keeps its pace within a tenth.
_EVEN = 0.1
_EVEN_FROM = 8
#: Not attempts at a password: tickets for services, what follows a login, what another event tells already.
_OTHERS = frozenset(
    {
        "kerberos-service-ticket", "logged-in-explicit", "logged-out", "sudo", "su", "pkexec", "ssh_invalid_user",
        "ssh_attempts_exceeded", "pam_account",
    }
)  # fmt: skip
#: Programs that ask for a password inside a session.
_WITHIN = frozenset({"sudo", "su", "cron", "crond", "pkexec", "polkitd", "runuser", "chsh", "passwd"})
#: Windows: by the system, a task, a service, at the unlocked screen, from the cache.
_LOCAL_TYPES = frozenset({"0", "4", "5", "7", "11", "13"})
#: Entra ID asked for more, such as a second factor; the password was right and nothing failed yet.
_INTERRUPTED = frozenset(
    {"16000", "50055", "50058", "50072", "50074", "50076", "50079", "50097", "50125", "50140", "65001"}
)
_DENIED_CODES = frozenset({"500121"})
_DENIED_ACTIONS = frozenset({"user.mfa.okta_verify.deny_push", "user.authentication.auth_via_mfa"})
_NOBODY = frozenset({"", "-", "system", "anonymous logon", "local service", "network service", "iusr"})
_HERE = frozenset({"127.0.0.1", "::1"})
#: How Windows was entered: logon type, authentication package, logon process. Each empty elsewhere.
_MANNER = (
    "winlog.logon.type", "winlog.event_data.AuthenticationPackageName", "winlog.event_data.LogonProcessName",
)  # fmt: skip
#: What of an event these tables need.
FIELDS = (
    *_MANNER,
    "event.action", "event.category", "event.type", "event.outcome", "event.code", "event.module", "user.name",
    "source.ip", "source.domain", "host.name", "process.name", "system.auth.count",
    "okta.client.geographicalContext.geolocation.lat", "okta.client.geographicalContext.geolocation.lon",
    "azure.properties.location.geoCoordinates.latitude", "azure.properties.location.geoCoordinates.longitude",
    "azure.location.geoCoordinates.latitude", "azure.location.geoCoordinates.longitude",
)  # fmt: skip


class Attempt(NamedTuple):
    """One attempt to log in. `times` counts what a log folded into one line; `denied` is a refused second factor; `log`
    is the kind of record that tells of it."""

    at: datetime
    log_id: str
    log: str
    user: str
    source: str
    host: str
    entered: bool
    denied: bool
    times: int
    manner: tuple[str, ...]
    place: Place | None


def attempts_in(events: Iterable[LogEvent]) -> list[Attempt]:
    """The attempts among events, oldest first. One login is often told by several logs (sshd, PAM, two audit records):
    of an account, source, host and outcome only the log that tells most is believed, so that none counts twice."""
    found = [attempt for event in events if (attempt := _attempt(event)) is not None]
    told = _grouped(found, lambda item: (item.user, item.source, item.host, item.entered, item.denied))
    believed = [item for group in told.values() for item in _most_told(group)]
    return sorted(believed, key=lambda attempt: (attempt.at, attempt.log_id))


def _most_told(group: Sequence[Attempt]) -> list[Attempt]:
    logs = _grouped(group, lambda item: item.log)
    return max(sorted(logs.items()), key=lambda pair: sum(item.times for item in pair[1]))[1]


def _attempt(event: LogEvent) -> Attempt | None:
    ecs = event.ecs
    action, code = _text(ecs, "event.action"), _text(ecs, "event.code")
    outcome, user = _text(ecs, "event.outcome"), account_of(ecs)
    denied = action in _DENIED_ACTIONS or code in _DENIED_CODES
    denied = denied and (outcome == "failure" or action.endswith("deny_push"))
    is_login = "authentication" in ecs.get("event.category", ()) and "end" not in ecs.get("event.type", ())
    if (
        not (denied or (is_login and outcome in ("success", "failure")))
        or user.lower() in _NOBODY
        or user.endswith("$")
    ):
        return None
    if action in _OTHERS or _text(ecs, "process.name") in _WITHIN:
        return None
    if code in _INTERRUPTED or _text(ecs, "winlog.logon.type") in _LOCAL_TYPES:
        return None
    source = next((text for name in ("source.ip", "source.domain") if (text := _text(ecs, name))), "")
    entered = outcome == "success" and not denied
    return Attempt(
        at=event.timestamp,
        log_id=event.id,
        log=f"{event.dataset} {action}",
        user=user,
        source="" if source in _HERE else source,
        host=_text(ecs, "host.name"),
        entered=entered,
        denied=denied,
        times=_count(ecs.get("system.auth.count")),
        manner=tuple(_text(ecs, name).strip() for name in _MANNER),
        place=place_of(source, ecs) if entered else None,
    )


def account_of(ecs: Mapping[str, Any]) -> str:
    """The account's name; of Windows' own `name@REALM` the name."""
    user = _text(ecs, "user.name")
    return user.partition("@")[0] if ecs.get("event.module") == "windows" else user


def _text(ecs: Mapping[str, Any], name: str) -> str:
    value = ecs.get(name)
    if isinstance(value, list):
        value = value[0] if value else None
    return "" if value is None else str(value)[:_NAME]


def _count(value: Any) -> int:
    return max(1, min(value, 1000)) if isinstance(value, int) else 1


def tables(attempts: Sequence[Attempt]) -> dict[str, Any]:
    """All tables of what was attempted: each has at most twelve rows, the most telling first, and its part of the
    bytes of a result."""
    return {
        "failed": sum(item.times for item in attempts if not item.entered),
        "entered": sum(item.entered for item in attempts),
        "pairs": fitted(_pairs(attempts), 4500),
        "sources": fitted(_by_source(attempts), 2500),
        "accounts": fitted(_by_account(attempts), 1500),
        "journeys": fitted(journeys(_points(attempts)), 2500),
        "logins": fitted(_logins(attempts), 3500),
    }


def _grouped(attempts: Iterable[Attempt], key: Callable[[Attempt], Any]) -> dict[Any, list[Attempt]]:
    groups: dict[Any, list[Attempt]] = {}
    for attempt in attempts:
        groups.setdefault(key(attempt), []).append(attempt)
    return groups


def _pairs(attempts: Sequence[Attempt]) -> list[dict[str, Any]]:
    """One account from one source: {user, source, failed, entered, worst_hour, even, after}."""
    rows: list[dict[str, Any]] = []
    for (user, source), group in _grouped(attempts, lambda item: (item.user, item.source)).items():
        failures = [item for item in group if not item.entered]
        if failures:
            rows.append(
                {
                    "user": user,
                    "source": source,
                    "failed": sum(item.times for item in failures),
                    "entered": sum(item.entered for item in group),
                    "worst_hour": _worst_hour(failures, lambda window: sum(item.times for item in window)),
                    "even": _even(failures),
                    "after": _login_after(group),
                }
            )
    return sorted(rows, key=lambda row: (row["after"] is None, -row["worst_hour"], row["user"]))[:_ROWS]


def _by_source(attempts: Sequence[Attempt]) -> list[dict[str, Any]]:
    """Sources that failed as several accounts: {source, users, users_hour, failed, entered, tries, got_in}."""
    rows: list[dict[str, Any]] = []
    for source, group in _grouped([item for item in attempts if item.source], lambda item: item.source).items():
        failures = [item for item in group if not item.entered]
        by_user = _grouped(failures, lambda item: item.user)
        if len(by_user) < 2:
            continue
        first = {user: items[0].at for user, items in by_user.items()}
        got_in = {item.user for item in group if item.entered and first.get(item.user, item.at) < item.at}
        rows.append(
            {
                "source": source,
                "users": len(by_user),
                "users_hour": _worst_hour(failures, lambda window: len({item.user for item in window})),
                "failed": sum(item.times for item in failures),
                "entered": sum(item.entered for item in group),
                "tries": statistics.median(sum(item.times for item in items) for items in by_user.values()),
                "got_in": sorted(got_in)[:5],
            }
        )
    return sorted(rows, key=lambda row: (-row["users_hour"], row["source"]))[:_ROWS]


def _by_account(attempts: Sequence[Attempt]) -> list[dict[str, Any]]:
    """Accounts tried from several sources or by second factors: {user, sources_hour, failed_hour, denied, accepted}."""
    rows: list[dict[str, Any]] = []
    for user, group in _grouped(attempts, lambda item: item.user).items():
        failures = [item for item in group if not item.entered and item.source]
        denied = [item for item in group if item.denied]
        sources = _worst_hour(failures, lambda window: len({item.source for item in window}))
        if sources < 2 and not denied:
            continue
        rows.append(
            {
                "user": user,
                "sources_hour": sources,
                "failed_hour": _worst_hour(failures, lambda window: sum(item.times for item in window)),
                "denied": _worst_hour(denied, len),
                "accepted": any(
                    item.entered and any(item.at - _HOUR <= no.at < item.at for no in denied) for item in group
                ),
            }
        )
    return sorted(rows, key=lambda row: (-row["denied"], -row["sources_hour"], row["user"]))[:_ROWS]


def _points(attempts: Sequence[Attempt]) -> list[Point]:
    """Where the accounts were when they logged in, as far as it is known."""
    return [
        Point(item.at, item.user, item.source, item.place, item.log_id) for item in attempts if item.place is not None
    ]


def _logins(attempts: Sequence[Attempt]) -> list[dict[str, Any]]:
    """What was entered, newest first: {user, source, host, manner, count, first, last, log_id}."""
    entered = [item for item in attempts if item.entered]
    rows: list[dict[str, Any]] = [
        {
            "user": user,
            "source": source,
            "host": host,
            "manner": list(manner),
            "count": len(group),
            "first": format_time(group[0].at),
            "last": format_time(group[-1].at),
            "log_id": group[-1].log_id,
        }
        for (user, source, host, manner), group in _grouped(
            entered, lambda item: (item.user, item.source, item.host, item.manner)
        ).items()
    ]
    return sorted(rows, key=lambda row: (row["last"], row["log_id"]), reverse=True)[:_ROWS]


def _worst_hour(items: Sequence[Attempt], measure: Callable[[Sequence[Attempt]], int]) -> int:
    """The most that `measure` gives for the items of any hour."""
    worst, start = 0, 0
    for end, item in enumerate(items):
        while items[start].at < item.at - _HOUR:
            start += 1
        worst = max(worst, measure(items[start : end + 1]))
    return worst


def _login_after(group: Sequence[Attempt]) -> dict[str, Any] | None:
    """The login that the most failures of the hour before led to."""
    best: dict[str, Any] | None = None
    failures: list[Attempt] = []
    for item in group:
        if not item.entered:
            failures.append(item)
            continue
        before = sum(no.times for no in failures if no.at >= item.at - _HOUR)
        if before >= _FEWEST_BEFORE and (best is None or before > best["failed_before"]):
            best = {"at": format_time(item.at), "log_id": item.log_id, "host": item.host, "failed_before": before}
        failures = []
    return best


def _even(failures: Sequence[Attempt]) -> bool:
    """Whether the failures come at one pace, like those of a program that was left with an old password."""
    gaps = [(two.at - one.at).total_seconds() for one, two in pairwise(failures)]
    if len(gaps) + 1 < _EVEN_FROM:
        return False
    middle = statistics.median(gaps)
    return middle >= 20 and statistics.median(abs(gap - middle) for gap in gaps) <= _EVEN * middle
