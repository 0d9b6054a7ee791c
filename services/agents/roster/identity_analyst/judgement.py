"""What the tables of logins, tickets and changes say of an attack. Pure: results to signs, by stated thresholds.

Owns the thresholds. Refuses to know how the tables were read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from services.agents.toolkit.books import ACCOUNT_FACTS
from services.agents.toolkit.fencing import quote
from services.agents.toolkit.journeys import is_impossible, told
from services.agents.toolkit.signs import Sign
from shared.contracts.claims import Citation

#: Failures of one account from one source within an hour: a person mistypes a few times, a programme doesn't stop.
GUESSES = 8
_SOME_GUESSES = 5
#: Accounts that failed from one source within an hour, with few tries each.
SPRAYED = 4
_SPRAY_TRIES = 5
#: So many failures to each login: many people behind one address mistype less.
_FAILURES_TO_LOGINS = 3
_CROWD = 5
_PUSHED = 3
_BOMBED = 5
_ROASTED = 5
_SOME_ROASTED = 3
_OPEN_ACCOUNTS = 3
#: Done on so many days of the month before: the account does it.
_USUAL_DAYS = 3
#: Days of an account's own past that make something new in it worth telling.
_SETTLED_DAYS = 5
_SHOWN = 3


def login_signs(found: Citation) -> list[Sign]:
    """Guessing, spraying, pushing second factors and odd manners, in one table of logins."""
    tables = found.result
    return [
        *(sign for row in tables.get("pairs", ()) for sign in _pair_signs(row, found)),
        *(sign for row in tables.get("sources", ()) for sign in _source_signs(row, found)),
        *(sign for row in tables.get("accounts", ()) for sign in _account_signs(row, found)),
        *(sign for row in tables.get("logins", ()) if (sign := _manner_sign(row, found)) is not None),
    ]


def _pair_signs(row: Mapping[str, Any], found: Citation) -> list[Sign]:
    """One account from one source."""
    who = f"{quote(row['user'], 60)} from {_from(row['source'])}"
    after, worst = row["after"], row["worst_hour"]
    before = 0 if after is None else after["failed_before"]
    signs: list[Sign] = []
    if row["even"]:
        claim = f"{who} failed {row['failed']} times at one pace, like a program with an old password"
        signs.append(Sign("old-password", claim, 0.2, ("T1110.001",), found))
    elif worst >= GUESSES and row["failed"] >= _FAILURES_TO_LOGINS * row["entered"]:
        claim = f"{who} failed to log in {worst} times within an hour"
        signs.append(Sign("guessing", claim, 0.7, ("T1110.001",), found))
    if before >= GUESSES and not row["even"]:
        claim = f"after {before} failures within the hour, {who} got in{_on(after)}"
        signs.append(Sign("guessed-login", claim, 0.9, ("T1110.001", "T1078"), found))
    elif before >= _SOME_GUESSES:
        claim = f"after {before} failures {who} got in{_on(after)}, as people do who forgot"
        signs.append(Sign("late-login", claim, 0.25, ("T1110.001",), found))
    return signs


def _source_signs(row: Mapping[str, Any], found: Citation) -> list[Sign]:
    """One source, several accounts."""
    many = row["failed"] >= max(GUESSES, _FAILURES_TO_LOGINS * row["entered"])
    if row["users_hour"] < SPRAYED or not many:
        return []
    spraying = row["tries"] <= _SPRAY_TRIES
    kind, technique = ("spraying", "T1110.003") if spraying else ("guessing", "T1110.001")
    tried = f"{_from(row['source'])} failed {row['failed']} times as {row['users']} accounts"
    signs = [Sign(kind, f"{tried}, {row['users_hour']} of them within an hour", 0.7, (technique,), found)]
    if row["got_in"]:
        names = ", ".join(quote(name, 40) for name in row["got_in"])
        claim = f"after trying {row['users']} accounts, {_from(row['source'])} got in as {names}"
        signs.append(Sign("guessed-login", claim, 0.9, (technique, "T1078"), found))
    return signs


def _account_signs(row: Mapping[str, Any], found: Citation) -> list[Sign]:
    """One account, several sources; second factors that its owner refused."""
    user, signs = quote(row["user"], 60), list[Sign]()
    if row["sources_hour"] >= _CROWD and row["failed_hour"] >= GUESSES:
        claim = f"{user} failed from {row['sources_hour']} addresses within an hour, {row['failed_hour']} times"
        signs.append(Sign("distributed-guessing", claim, 0.6, ("T1110.004",), found))
    if row["denied"] >= _PUSHED:
        claim = f"second factors for {user} were refused {row['denied']} times within an hour"
        weight = 0.6 if row["denied"] >= _BOMBED else 0.35
        if row["accepted"]:
            claim, weight = f"{claim}, and then one was accepted", 0.85
        signs.append(Sign("pushed-factors", claim, weight, ("T1621",), found))
    return signs


def sources_after_failures(found: Citation) -> list[str]:
    """From where accounts were entered after failures, the most failures first."""
    rows = [row for row in found.result.get("pairs", ()) if row["after"] is not None and row["source"]]
    return [row["source"] for row in sorted(rows, key=lambda row: -row["after"]["failed_before"])]


def impossible(found: Citation) -> list[Mapping[str, Any]]:
    """The journeys between logins that nobody makes, the fastest first."""
    return [row for row in found.result.get("journeys", ()) if is_impossible(row)]


def journey_sign(row: Mapping[str, Any], days: int, found: Citation) -> Sign:
    """An impossible journey, at half its weight where the account came from both ends on so many `days` before: two
    ways out of the net that are both its own."""
    if days < _USUAL_DAYS:
        return Sign("impossible-travel", told(row), 0.6, ("T1078",), found)
    claim = f"{told(row)}, and came from both on {days} days of the month before"
    return Sign("impossible-travel", claim, 0.3, ("T1078",), found)


def _manner_sign(row: Mapping[str, Any], found: Citation) -> Sign | None:
    """How Windows was entered, as far as that hints at a hash in place of a password."""
    kind, _package, process = row["manner"]
    if kind != "9" or not process.lower().startswith("seclogo"):
        return None
    claim = f"other credentials were put into a session of {quote(row['user'], 60)} on {quote(row['host'] or '-', 60)}"
    return Sign("new-credentials-logon", claim, 0.4, ("T1550.002",), found)


def ticket_signs(found: Citation) -> list[Sign]:
    """Roasting: tickets whose weak encryption lets passwords be guessed at leisure."""
    seen = found.result
    signs: list[Sign] = []
    services, by = seen.get("weak_services_count", 0), ", ".join(quote(name, 40) for name in seen.get("asked_by", ()))
    if services >= _SOME_ROASTED:
        weight = 0.75 if services >= _ROASTED else 0.4
        claim = f"{by} asked for RC4 tickets of {services} services run by accounts within ten minutes"
        signs.append(Sign("kerberoasting", claim, weight, ("T1558.003",), found))
    if accounts := seen.get("without_preauthentication", ()):
        names = ", ".join(quote(name, 40) for name in accounts[:5])
        weight = 0.75 if len(accounts) >= _OPEN_ACCOUNTS else 0.4
        claim = f"tickets of {len(accounts)} account(s) were given without pre-authentication: {names}"
        signs.append(Sign("as-rep-roasting", claim, weight, ("T1558.004",), found))
    for row in seen.get("weak_logins", ()):
        claim = f"{quote(row['user'], 60)} got a ticket for all services by RC4, as a hash does in place of a password"
        claim += ", though its others are by AES" if row["strong_too"] else ""
        signs.append(Sign("weak-login-ticket", claim, 0.45 if row["strong_too"] else 0.2, ("T1550.002",), found))
    return signs


def change_signs(found: Citation) -> list[tuple[Sign, Mapping[str, Any]]]:
    """What the changes mean, each sign with its event."""
    changes = found.result.get("changes", ())
    return [(sign, change) for change in changes for sign in ACCOUNT_FACTS.signs_of(change, found)]


def less_when_usual(sign: Sign, days: int) -> Sign:
    """Half the weight for what its actor did on other days before."""
    if days < _USUAL_DAYS:
        return sign
    claim = f"{sign.claim}, as on {days} days of the month before"
    return replace(sign, claim=claim, weight=round(sign.weight * 0.5, 4))


def is_settled(past: Mapping[str, Any] | None) -> bool:
    """Whether an account has a past here long enough for something to be new in it."""
    return past is not None and past["days"] >= _SETTLED_DAYS


def new_source_sign(user: str, source: str, public: bool, past: Citation, seen: Citation) -> Sign | None:
    """A source from which the account never came (`seen`) in its past (`past`: its sources); None where it did."""
    if seen.result["count"]:
        return None
    usual = ", ".join(quote(name, 45) for name in list(past.result.get("values", {}))[:_SHOWN])
    claim = f"{quote(user, 60)} never came from {_from(source)} in the month before"
    claim += f", but from {usual}" if usual else ""
    return Sign("first-seen-source", claim, 0.3 if public else 0.1, ("T1078",), seen)


def new_host_sign(user: str, host: str, seen: Citation) -> Sign | None:
    """A host that the account never was on in its past; None where it was."""
    if seen.result["count"]:
        return None
    claim = f"{quote(user, 60)} was never on {quote(host, 60)} in the month before"
    return Sign("first-seen-host", claim, 0.15, ("T1078", "T1021"), seen)


def _from(source: str) -> str:
    return quote(source, 60) if source else "the host itself"


def _on(after: Mapping[str, Any]) -> str:
    return f" on {quote(after['host'], 60)}" if after["host"] else ""
