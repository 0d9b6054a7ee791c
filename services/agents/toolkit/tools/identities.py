"""Tools about accounts: their logins as tables, the Kerberos tickets that were asked for, and the changes made to them.

One bounded search each. What is suspicious in the answers is for judgement to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from services.agents.toolkit import geography
from services.agents.toolkit.attempts import FIELDS, account_of, attempts_in, tables
from services.agents.toolkit.books import ACCOUNT_FACTS
from services.agents.toolkit.fitting import fitted
from services.agents.toolkit.sources import Found, Sources
from services.agents.toolkit.tool import Tool
from shared.contracts.constants import SIEM_READ
from shared.contracts.logs import LogEvent, LogQuery, log_term
from shared.contracts.wire import format_time

_PAGE = 200
_PAGES = 5
_BURST = timedelta(minutes=10)
_MAX_CHANGES = 24
_CHANGES_BYTES = 14000
_MAX_SERVICES = 15
_TEXT = 160
_RC4 = ("0x17", "0x18")
_ENCRYPTION = "winlog.event_data.TicketEncryptionType"
_TICKET_FIELDS = (
    "event.code", "event.module", "event.outcome", "user.name", "source.ip", "service.name",
    "winlog.event_data.PreAuthType", _ENCRYPTION,
)  # fmt: skip
#: What every change is told with, beside what the facts about it show.
_CHANGE_FIELDS = (
    "event.action", "event.code", "event.outcome", "user.name", "user.target.name", "group.name", "host.name",
    "source.ip", "event.reason",
)  # fmt: skip
#: Categories that tell of accounts; the other conditions are steps that stand elsewhere.
_CHANGES = '(event.category:(iam or threat or configuration) or event.action:(sudo or "audit-log-cleared"))'
_NOT_CHANGES = "not event.code:(4672 or 4799 or 4798) not event.dataset:(aws.cloudtrail or azure.activitylogs)"

LoginField = Literal["user.name", "source.ip", "host.name"]
Subject = Annotated[str, Meta(min_length=1, max_length=512)]


class LoginArguments(msgspec.Struct, frozen=True, kw_only=True):
    """Whose logins: those of an account, from a source or on a host; `since` included, `until` not."""

    field: LoginField
    value: Subject
    since: datetime
    until: datetime


class ChangeArguments(msgspec.Struct, frozen=True, kw_only=True):
    """Changes that an account made or that were made to it (`account`), or on a host; `since` included, `until` not."""

    field: Literal["account", "host.name"]
    value: Subject
    since: datetime
    until: datetime


async def _logins(arguments: LoginArguments, sources: Sources) -> Any:
    await geography.load()
    wanted = '(event.category:authentication or event.action:"user.mfa.okta_verify.deny_push")'
    q = f"{log_term(arguments.field, arguments.value)} {wanted} not event.code:(4769 or 4634 or 4647)"
    found = await _read(q, FIELDS, arguments, sources)
    return {"seen": len(found.events), "complete": found.complete, **tables(attempts_in(found.events))}


async def _tickets(arguments: LoginArguments, sources: Sources) -> Any:
    q = f"{_whose(arguments)} event.code:(4768 or 4769) event.outcome:success"
    found = await _read(q, _TICKET_FIELDS, arguments, sources)
    weak = [event for event in reversed(found.events) if event.ecs.get(_ENCRYPTION) in _RC4]
    served = [event for event in weak if event.ecs.get("event.code") == "4769" and _is_person(event)]
    open_accounts = {
        account_of(event.ecs)
        for event in found.events
        if event.ecs.get("event.code") == "4768" and str(event.ecs.get("winlog.event_data.PreAuthType")) == "0"
    }
    granted = [event for event in found.events if event.ecs.get("event.code") == "4768"]
    by_strength = [
        {account_of(event.ecs) for event in granted if (event.ecs.get(_ENCRYPTION) in _RC4) is weakly}
        for weakly in (True, False)
    ]
    weak_logins = sorted(user for user in by_strength[0] - open_accounts if not user.endswith("$"))
    burst = _burst(served)
    return {
        "seen": len(found.events),
        "complete": found.complete,
        "weak_services": burst[:_MAX_SERVICES],
        "weak_services_count": len(burst),
        "asked_by": sorted({account_of(event.ecs) for event in served})[:5],
        "sources": sorted({str(event.ecs.get("source.ip", "")) for event in served} - {""})[:5],
        "weak_logins": [{"user": user, "strong_too": user in by_strength[1]} for user in weak_logins[:_MAX_SERVICES]],
        "without_preauthentication": sorted(open_accounts)[:_MAX_SERVICES],
    }


def _whose(arguments: LoginArguments) -> str:
    """Windows writes the account of a ticket as `name@REALM`."""
    if arguments.field != "user.name":
        return log_term(arguments.field, arguments.value)
    realm = log_term("user.name", f"{arguments.value}@")[:-1] + '*"'
    return f"({log_term('user.name', arguments.value)} or {realm})"


def _is_person(event: LogEvent) -> bool:
    """Whether the ticket is for a service that runs as a person's account: those have passwords to guess."""
    service = str(event.ecs.get("service.name", ""))
    return bool(service) and not service.endswith("$") and service.lower() != "krbtgt"


def _burst(events: Sequence[LogEvent]) -> list[str]:
    """The most services that were asked for within ten minutes."""
    most: set[str] = set()
    start = 0
    for end, event in enumerate(events):
        while events[start].timestamp < event.timestamp - _BURST:
            start += 1
        named = {str(item.ecs["service.name"])[:_TEXT] for item in events[start : end + 1]}
        most = max(most, named, key=len)
    return sorted(most)


async def _account_changes(arguments: ChangeArguments, sources: Sources) -> Any:
    if arguments.field == "account":
        names = ("user.name", "user.target.name", "azure.properties.targetResources.userPrincipalName")
        whose = f"({' or '.join(log_term(name, arguments.value) for name in names)})"
    else:
        whose = log_term("host.name", arguments.value)
    kept = tuple(dict.fromkeys((*_CHANGE_FIELDS, *sorted(ACCOUNT_FACTS.fields))))
    found = await _read(f"{whose} {_CHANGES} {_NOT_CHANGES}", kept, arguments, sources)
    telling: dict[bytes, dict[str, Any]] = {}
    others: dict[bytes, dict[str, Any]] = {}
    for event in reversed(found.events):
        facts = [fact.id for fact in ACCOUNT_FACTS.facts_of({"dataset": event.dataset, "ecs": event.ecs})]
        change = {**_brief(event, kept), "facts": facts}
        (telling if facts else others).setdefault(msgspec.json.encode(change["ecs"]), change)
    changes = fitted([*telling.values(), *others.values()][:_MAX_CHANGES], _CHANGES_BYTES)
    return {
        "seen": len(found.events),
        "complete": found.complete and len(telling) + len(others) == len(changes),
        "changes": sorted(changes, key=lambda change: (change["timestamp"], change["log_id"])),
    }


def _brief(event: LogEvent, kept: Sequence[str]) -> dict[str, Any]:
    return {
        "log_id": event.id,
        "timestamp": format_time(event.timestamp),
        "dataset": event.dataset,
        "ecs": {name: _short(event.ecs[name]) for name in kept if name in event.ecs},
    }


def _short(value: Any) -> Any:
    if isinstance(value, list):
        return [_short(item) for item in value[:6]]
    return value[:_TEXT] if isinstance(value, str) else value


async def _read(q: str, fields: Sequence[str], arguments: LoginArguments | ChangeArguments, sources: Sources) -> Found:
    query = LogQuery(
        q=q, since=arguments.since, until=arguments.until, limit=_PAGE, fields=",".join(dict.fromkeys(fields))
    )
    return await sources.pages(query, _PAGES)


#: {seen, complete, failed, entered, pairs, sources, accounts, journeys, logins}: the rows of toolkit/attempts.py.
LOGINS = Tool("logins", "Who tried to log in, from where, and who got in", LoginArguments, SIEM_READ, _logins)
#: {seen, complete, weak_services, weak_services_count, asked_by, sources, weak_logins, without_preauthentication}.
TICKETS = Tool(
    "kerberos_tickets", "Which weakly encrypted Kerberos tickets were asked for", LoginArguments, SIEM_READ, _tickets
)
#: {seen, complete, changes: [{log_id, timestamp, dataset, ecs}]}: each different change once, telling ones first kept.
ACCOUNT_CHANGES = Tool(
    "account_changes", "What was changed about accounts, by whom", ChangeArguments, SIEM_READ, _account_changes
)
