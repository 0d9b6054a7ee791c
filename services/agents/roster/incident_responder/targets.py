"""What a plan may be about: the things that recorded evidence shows, each with the results that show it. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal

from services.agents.toolkit.eventsigns import texts_of
from shared.contracts.claims import Citation, Finding
from shared.contracts.common import SEVERITIES, Observable, Severity
from shared.contracts.wire import encode

TargetKind = Literal[
    "host", "user", "superuser", "ip", "domain", "hash", "process", "file", "service", "task", "run_key", "cron_file",
    "keys_file", "unit_file", "new_account",
]  # fmt: skip
Platform = Literal["linux", "windows", "unknown"]
_MAX_CITED = 3
_WORST = len(SEVERITIES) - 1
#: Accounts of the system itself: they can be neither locked nor given a password.
_SYSTEM = frozenset(
    {
        "", "-", "system", "local service", "network service", "anonymous logon", "nobody", "daemon", "dwm-1", "umfd-0",
        "local system", "unset", "4294967295",
    }
)  # fmt: skip
_RUN_KEY = re.compile(r"\\CurrentVersion\\(Run|RunOnce|RunOnceEx|RunServices|Policies\\Explorer\\Run)\\", re.IGNORECASE)
_FILES: tuple[tuple[TargetKind, re.Pattern[str]], ...] = (
    # crontab writes a temporary file first, which is gone when it is done.
    ("cron_file", re.compile(r"^/etc/(cron|anacrontab)|^/var/spool/cron/(?!.*\btmp\.\w+$).")),
    ("keys_file", re.compile(r"/authorized_keys2?$")),
    ("unit_file", re.compile(r"^/(etc|usr/lib|lib)/systemd/.*\.(service|timer)$")),
)
_ODD_PROGRAM = re.compile(
    r"^(/tmp|/var/tmp|/dev/shm|/run/shm)/.|\\(Users\\Public|Windows\\(Temp|Tasks|Fonts)|PerfLogs|AppData\\Local\\Temp)\\"
    r"|^[a-z]:\\ProgramData\\[^\\]+\.exe$",
    re.IGNORECASE,
)
_CREATED: dict[str, tuple[TargetKind, str]] = {
    "service-installed": ("service", "service.name"),
    "scheduled-task-created": ("task", "winlog.task_name"),
    "scheduled-task-updated": ("task", "winlog.task_name"),
    "added-user-account": ("new_account", "user.target.name"),
    "user_added": ("new_account", "user.target.name"),
}
_INDICATORS: dict[str, TargetKind] = {"ip": "ip", "source_ip": "ip", "domain": "domain", "hash": "hash"}


@dataclass(frozen=True, slots=True)
class Target:
    """One thing, where it is, and the ids of the results that show it. `by` is who set it up, where that is known.
    `alerts` are those that name it or whose events show it; `sure` is the confidence of the surest finding about it."""

    kind: TargetKind
    value: str
    host: str = ""
    platform: Platform = "unknown"
    citations: tuple[str, ...] = field(default=(), compare=False)
    by: str = field(default="", compare=False)
    alerts: frozenset[str] = field(default=frozenset(), compare=False)
    sure: float = field(default=0.0, compare=False)


class Targets:
    """The targets of a plan, each once."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str, str], Target] = {}

    def add(self, target: Target) -> None:
        """Adds a target; of one that is known, what shows it and what wasn't known of its platform."""
        key = (target.kind, target.value, target.host)
        known = self._found.get(key)
        if known is not None:
            cited = tuple(dict.fromkeys((*known.citations, *target.citations)))[:_MAX_CITED]
            platform = target.platform if known.platform == "unknown" else known.platform
            target = replace(
                known,
                citations=cited,
                platform=platform,
                by=min(known.by, target.by) if known.by and target.by else known.by or target.by,
                alerts=known.alerts | target.alerts,
                sure=max(known.sure, target.sure),
            )
        self._found[key] = target

    def all(self) -> list[Target]:
        """All of them, in the order in which they were seen."""
        return list(self._found.values())

    def ranked(self, severities: Mapping[str, Severity]) -> list[Target]:
        """All of them, the strongest first: by the worst alert (`severities` has them all) or the surest finding that
        shows one, then by how many alerts do, then by kind, host and name. Nothing here is when they were seen."""

        def place(target: Target) -> tuple[float, int, str, str, int, str]:
            ranks = (SEVERITIES.index(severities[alert]) / _WORST for alert in target.alerts if alert in severities)
            strength = max((target.sure, *ranks))
            # The longer of two sums of one file is the one that is not found twice.
            length = -len(target.value) if target.kind == "hash" else 0
            return (-strength, -len(target.alerts), target.kind, target.host, length, target.value)

        return sorted(self._found.values(), key=place)

    def platform_of(self, host: str) -> Platform:
        """What is known of a host's system."""
        known = self._found.get(("host", host, ""))
        return "unknown" if known is None else known.platform


def platform_of(event: Mapping[str, Any]) -> Platform:
    """The system of the host that an event is from."""
    dataset = str(event.get("dataset", ""))
    if dataset.startswith("windows") or "winlog.channel" in event["ecs"]:
        return "windows"
    return "linux" if dataset.startswith(("linux", "auditd")) else "unknown"


def seen_in(event: Mapping[str, Any], citation: Citation, targets: Targets, alerts: Collection[str] = ()) -> None:
    """Adds what one compact event shows. Only events of alerts (`alerts` has their ids) name processes and people."""
    host = _text(event, "host.name")
    if not host:
        return
    seen = Target("host", host, "", platform_of(event), (citation.id,), alerts=frozenset(alerts))
    targets.add(seen)
    if alerts:
        for kind, value in (*_people(event), *_processes(event)):
            targets.add(replace(seen, kind=kind, value=value, host=host))
    by = _text(event, "user.audit.name") or _text(event, "user.name")
    for kind, value in (*_set_up(event), *_programs(event)):
        targets.add(replace(seen, kind=kind, value=value, host=host, by=by))


def _people(event: Mapping[str, Any]) -> Iterable[tuple[TargetKind, str]]:
    user = _text(event, "user.name")
    if "authentication" in texts_of(event, "event.category") and _text(event, "event.outcome") == "failure":
        # Whoever tries to sign in says any name: it may be nobody's, or somebody's who has nothing to do with it.
        return
    if user.lower() not in _SYSTEM and not user.endswith("$"):
        yield "superuser" if user == "root" else "user", user


def _processes(event: Mapping[str, Any]) -> Iterable[tuple[TargetKind, str]]:
    pid = _text(event, "process.pid")
    if pid.isdecimal() and pid not in ("0", "1", "4") and "start" in texts_of(event, "event.type"):
        yield "process", pid


def _set_up(event: Mapping[str, Any]) -> Iterable[tuple[TargetKind, str]]:
    """What the event says was set up to come back."""
    created = _CREATED.get(_text(event, "event.action"))
    if created is not None and (value := _text(event, created[1])):
        yield created[0], value
    path = _text(event, "registry.path")
    if _RUN_KEY.search(path):
        yield "run_key", path
    changed = {"creation", "change"}.intersection(texts_of(event, "event.type"))
    file = _text(event, "file.path")
    if changed and file:
        yield from ((kind, file) for kind, pattern in _FILES if pattern.search(file))


def _programs(event: Mapping[str, Any]) -> Iterable[tuple[TargetKind, str]]:
    program = _text(event, "process.executable")
    if _ODD_PROGRAM.search(program):
        yield "file", program


def indicated(
    observables: Sequence[Observable],
    read: Sequence[Citation],
    findings: Sequence[Finding],
    targets: Targets,
    alerts: Mapping[str, Collection[str]] = MappingProxyType({}),
) -> list[Observable]:
    """Adds the addresses, domains and hashes that a recorded result or a cited finding shows; those that none does.
    `alerts` has the alerts to which a result belongs, by its id."""
    texts = [(citation.id, encode(citation.result).decode("utf-8", "replace").lower()) for citation in read]
    unseen = []
    for observable in dict.fromkeys(observables):
        kind = _INDICATORS.get(observable.type)
        if kind is None:
            continue
        pattern = re.compile(rf"(?<![\w.-]){re.escape(observable.value.lower())}(?![\w-]|\.\w)")
        cited = [identifier for identifier, text in texts if pattern.search(text)]
        claims = [item for item in findings if pattern.search(item.claim.lower())]
        named = frozenset(alert for identifier in cited for alert in alerts.get(identifier, ()))
        cited += [identifier for item in claims for identifier in item.citations]
        if cited:
            ids = tuple(dict.fromkeys(cited))[:_MAX_CITED]
            sure = max((item.confidence for item in claims), default=0.0)
            targets.add(Target(kind, observable.value, "", "unknown", ids, alerts=named, sure=sure))
        else:
            unseen.append(observable)
    return unseen


def _text(event: Mapping[str, Any], name: str) -> str:
    return next(iter(texts_of(event, name)), "")
