"""What a plan may be about: the things that recorded evidence shows, each with the results that show it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from services.agents.toolkit.eventsigns import texts_of
from shared.contracts.claims import Citation, Finding
from shared.contracts.common import Observable
from shared.contracts.wire import encode

TargetKind = Literal[
    "host", "user", "superuser", "ip", "domain", "hash", "process", "file", "service", "task", "run_key", "cron_file",
    "keys_file", "unit_file", "new_account",
]  # fmt: skip
Platform = Literal["linux", "windows", "unknown"]
_MAX_CITED = 3
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
    """One thing, where it is, and the ids of the results that show it. `by` is who set it up, where that is known."""

    kind: TargetKind
    value: str
    host: str = ""
    platform: Platform = "unknown"
    citations: tuple[str, ...] = field(default=(), compare=False)
    by: str = field(default="", compare=False)


class Targets:
    """The targets of a plan, each once, in the order in which they were seen."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str, str], Target] = {}

    def add(self, target: Target) -> None:
        """Adds a target; of one that is known, its citations and what wasn't known of its platform."""
        key = (target.kind, target.value, target.host)
        known = self._found.get(key)
        if known is not None:
            cited = tuple(dict.fromkeys((*known.citations, *target.citations)))[:_MAX_CITED]
            platform = target.platform if known.platform == "unknown" else known.platform
            target = replace(known, citations=cited, platform=platform)
        self._found[key] = target

    def all(self) -> list[Target]:
        """All of them."""
        return list(self._found.values())

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


def seen_in(event: Mapping[str, Any], citation: Citation, targets: Targets, *, of_alert: bool) -> None:
    """Adds what one compact event shows. Only the alert's own events name processes and people."""
    host, platform = _text(event, "host.name"), platform_of(event)
    cited = (citation.id,)
    if not host:
        return
    targets.add(Target("host", host, "", platform, cited))
    if of_alert:
        _people(event, host, platform, cited, targets)
        pid = _text(event, "process.pid")
        if pid.isdecimal() and pid not in ("0", "1", "4") and "start" in texts_of(event, "event.type"):
            targets.add(Target("process", pid, host, platform, cited))
    by = _text(event, "user.audit.name") or _text(event, "user.name")
    for kind, value in (*_set_up(event), *_programs(event)):
        targets.add(Target(kind, value, host, platform, cited, by))


def _people(event: Mapping[str, Any], host: str, platform: Platform, cited: tuple[str, ...], targets: Targets) -> None:
    user = _text(event, "user.name")
    if user.lower() in _SYSTEM or user.endswith("$"):
        return
    kind: TargetKind = "superuser" if user == "root" else "user"
    targets.add(Target(kind, user, host, platform, cited))


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
    observables: Sequence[Observable], read: Sequence[Citation], findings: Sequence[Finding], targets: Targets
) -> list[Observable]:
    """Adds the addresses, domains and hashes that a recorded result or a cited finding shows; those that none does."""
    texts = [(citation.id, encode(citation.result).decode("utf-8", "replace").lower()) for citation in read]
    unseen = []
    for observable in dict.fromkeys(observables):
        kind = _INDICATORS.get(observable.type)
        if kind is None:
            continue
        pattern = re.compile(rf"(?<![\w.-]){re.escape(observable.value.lower())}(?![\w-]|\.\w)")
        cited = [identifier for identifier, text in texts if pattern.search(text)]
        cited += [id_ for item in findings if pattern.search(item.claim.lower()) for id_ in item.citations]
        if cited:
            ids = tuple(dict.fromkeys(cited))[:_MAX_CITED]
            targets.add(Target(kind, observable.value, "", "unknown", ids))
        else:
            unseen.append(observable)
    return unseen


def _text(event: Mapping[str, Any], name: str) -> str:
    return next(iter(texts_of(event, name)), "")
