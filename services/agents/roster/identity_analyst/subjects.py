"""Whom an alert is about: the accounts, sources and logins that its events and entities name. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from services.agents.toolkit.evidence import Evidence, Seen
from services.agents.toolkit.indicators import classify_address

_MAX_USERS = 2
_MAX_SOURCES = 3
_MAX_LOGINS = 2
_IDENTITY = frozenset({"authentication", "iam"})
#: Accounts that are the machine itself, or nobody.
_NOBODY = re.compile(
    r"^(nt authority\\)?(system|local service|network service|anonymous logon|iusr)$|\$$|^(dwm|umfd)-\d+$|^-?$"
    r"|^system:",
    re.IGNORECASE,
)
_HERE = frozenset({"", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Login:
    """A login that succeeded; `source` and `host` may be empty. `public`: from outside."""

    user: str
    source: str
    host: str
    public: bool


@dataclass(frozen=True, slots=True)
class Subjects:
    """`direct`: the alert itself is about identity; else only its events' account leads here. `windows`: there may be
    Kerberos. `told` are sources whose logins another specialist tells of."""

    users: tuple[str, ...]
    sources: tuple[str, ...]
    logins: tuple[Login, ...]
    direct: bool
    windows: bool
    told: tuple[str, ...] = ()


def subjects_of(evidence: Evidence, heard: Collection[str] = ()) -> Subjects:
    """The accounts and sources to look at, those of identity events first, without the sources that were `heard` of."""
    about = [seen for seen in evidence.events if is_identity(seen)]
    ordered = [*about, *(seen for seen in evidence.events if seen not in about)]
    users = [name for seen in ordered for name in (seen.field("user.name"), seen.field("user.target.name"))]
    sources = [seen.field("source.ip") for seen in ordered]
    named = [item.value for item in evidence.iocs if item.type == "user"]
    # Where a session came from is found by others: it stands among the indicators.
    origins = [item.value for item in evidence.iocs if item.type == "ip"]
    named_sources = _first([*sources, evidence.entity("source_ip"), *origins], _MAX_SOURCES + 1)
    known = [source for source in named_sources if source not in _HERE][:_MAX_SOURCES]
    return Subjects(
        users=_first([*users, evidence.entity("user"), evidence.entity("target_user"), *named], _MAX_USERS),
        sources=tuple(source for source in known if source not in heard),
        told=tuple(source for source in known if source in heard),
        logins=tuple(dict.fromkeys(_logins(about)))[:_MAX_LOGINS],
        direct=bool(about),
        windows=any(seen.event["dataset"].startswith("windows.") for seen in evidence.events),
    )


def is_identity(seen: Seen) -> bool:
    """Whether an event is about logging in or about accounts, in a directory or on a host."""
    categories = seen.event["ecs"].get("event.category", ())
    return bool(_IDENTITY.intersection(categories)) or seen.event["dataset"] == "azure.riskdetection"


def _first(names: Iterable[str], most: int) -> tuple[str, ...]:
    known: dict[str, str] = {}
    for name in names:
        if not _NOBODY.search(name):
            known.setdefault(name.lower(), name)
    return tuple(known.values())[:most]


def _logins(about: Iterable[Seen]) -> Iterable[Login]:
    for seen in about:
        user, source = seen.field("user.name"), seen.field("source.ip")
        entered = seen.field("event.outcome") == "success" and "authentication" in seen.event["ecs"]["event.category"]
        if entered and not _NOBODY.search(user):
            source = "" if source in _HERE else source
            yield Login(user, source, seen.field("host.name"), _is_public(source))


def _is_public(source: str) -> bool:
    try:
        return classify_address(source) in ("public", "documentation")
    except ValueError:
        return False
