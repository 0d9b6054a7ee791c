"""Puts together the audit records of one serial: those of one request, and later those that came in several.

One syscall makes several records (SYSCALL, EXECVE, CWD, PATH, SOCKADDR, PROCTITLE). Each stays an event of its own;
here each learns who did it, and the one that says the most also gets the view Sigma's Linux categories are written
for: process_creation, file_event or network_connection. Records whose siblings came in another request are marked as
apart, and completed when all have had time to arrive. Those beyond the number that one syscall can make stay alone:
what is shared is stored once per record.
"""

import posixpath
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

from services.siem.event import Event, View
from services.siem.logs.parsers.auditd import AuditRecord, arguments
from services.siem.logs.parsers.interface import MAX_VALUE
from services.siem.logs.parsers.values import base_name

Group: TypeAlias = dict[str, list[Event]]

#: Records of one serial that are put together, and characters of a value that the others get from one of them.
_MAX_RECORDS = 32
_MAX_SHARED = 2048
_MADE = ("process_creation", "file_event", "network_connection")
_EXEC = frozenset(("execve", "execveat"))
#: What the kernel writes beside a SYSCALL record, never alone.
_BESIDE_SYSCALL = frozenset(("EXECVE", "CWD", "PATH", "SOCKADDR", "PROCTITLE"))
#: What every record of a serial shares with its SYSCALL record.
_CONTEXT = (
    "process.pid", "process.parent.pid", "process.executable", "process.name", "process.tty",
    "process.working_directory", "process.command_line", "user.id", "user.name", "user.effective.id",
    "user.effective.name", "user.audit.id", "user.audit.name", "auditd.session", "auditd.key",
    "auditd.syscall", "event.outcome",
)  # fmt: skip
#: Sigma's name of a process field -> where ECS has it.
_PROCESS_VIEW = {
    "Image": "process.executable",
    "CommandLine": "process.command_line",
    "CurrentDirectory": "process.working_directory",
    "ProcessId": "process.pid",
    "ParentProcessId": "process.parent.pid",
    "User": "user.name",
    "LogonId": "user.audit.id",
}


def join(events: Iterable[Event], *, continued: bool = False) -> None:
    """Complete the audit events among `events`, in place.

    With `continued`, siblings may come in other requests: a group that lacks some is left as it is, marked `apart`.
    """
    started: dict[tuple[Any, int], Event] = {}
    for key, group in _groups(events).items():
        if continued and _is_apart(group):
            for event in _of(group):
                event.apart = True
        elif "SYSCALL" in group or "EXECVE" in group:
            _join_group(group)
            _name_parent(key[0], group, started)


def join_apart(events: Iterable[Event]) -> None:
    """Complete what `join` left apart, in place, from the records of several requests. A new process' parent isn't
    looked for: it began in yet another request, or its record here may be out of order."""
    for group in _groups(events).values():
        records = list(_of(group))
        if not any(event.apart for event in records):
            continue
        for event in records:
            event.apart = False
            # What was made from some of the records only.
            event.views = [view for view in event.views if view.category not in _MADE]
        if "SYSCALL" in group or "EXECVE" in group:
            _join_group(group)


def _of(group: Group) -> Iterator[Event]:
    return (event for records in group.values() for event in records)


def _is_apart(group: Group) -> bool:
    """Whether a record is missing that the kernel has written, as far as can be told from the others."""
    if "SYSCALL" not in group:
        return not _BESIDE_SYSCALL.isdisjoint(group)
    ecs = group["SYSCALL"][0].ecs
    began = ecs.get("auditd.syscall") in _EXEC and ecs.get("event.outcome") != "failure"
    return began and "EXECVE" not in group


def _groups(events: Iterable[Event]) -> dict[tuple[Any, ...], Group]:
    groups: dict[tuple[Any, ...], Group] = {}
    sizes: Counter[tuple[Any, ...]] = Counter()
    for event in events:
        if isinstance(event, AuditRecord):
            key = (event.ecs.get("host.name"), event.timestamp, event.ecs["auditd.serial"])
            sizes[key] += 1
            if sizes[key] <= _MAX_RECORDS:
                groups.setdefault(key, defaultdict(list))[event.ecs["auditd.type"]].append(event)
    return groups


def _join_group(group: Group) -> None:
    syscall = group["SYSCALL"][0] if "SYSCALL" in group else group["EXECVE"][0]
    context = syscall.ecs
    if cwd := next((event.views[0].fields.get("cwd") for event in group.get("CWD", ())), None):
        context["process.working_directory"] = cwd
    is_exec = "EXECVE" in group or context.get("auditd.syscall") in _EXEC
    if command_line := _command_line(group):
        context["process.command_line"] = command_line
    shared = {name: _short(context[name]) for name in _CONTEXT if name in context}
    for record in group.values():
        for event in record:
            event.ecs.update((name, value) for name, value in shared.items() if name not in event.ecs)
    _resolve_paths(group, context.get("process.working_directory"))
    if is_exec:
        _process_creation(group, group["EXECVE"][0] if "EXECVE" in group else syscall)
    _file_events(group)
    _network_connection(group)


def _short(value: Any) -> Any:
    return value[:_MAX_SHARED] if isinstance(value, str) else value


def _command_line(group: Group) -> str | None:
    """From the arguments, which may be spread over several EXECVE records; else from the process title."""
    if executions := group.get("EXECVE"):
        fields: dict[str, Any] = {}
        for event in executions:
            fields.update(event.views[0].fields)
        line = " ".join(arguments(fields))[:MAX_VALUE]
        executions[0].ecs["process.command_line"] = line
        return line
    return next((event.views[0].fields.get("proctitle") for event in group.get("PROCTITLE", ())), None)


def _resolve_paths(group: Group, cwd: str | None) -> None:
    for event in group.get("PATH", ()):
        path = event.ecs.get("file.path")
        if path and cwd and not path.startswith("/"):
            event.ecs["file.path"] = posixpath.normpath(posixpath.join(cwd, path))


def _fields(event: Event) -> dict[str, Any]:
    ecs = event.ecs
    fields = {sigma: ecs[name] for sigma, name in _PROCESS_VIEW.items() if name in ecs}
    fields.setdefault("User", ecs.get("user.id"))
    return {name: value for name, value in fields.items() if value is not None}


def _process_creation(group: Group, event: Event) -> None:
    ecs = event.ecs
    if "process.executable" not in ecs and (paths := group.get("PATH")) and "file.path" in paths[0].ecs:
        ecs["process.executable"] = paths[0].ecs["file.path"]
        ecs["process.name"] = base_name(ecs["process.executable"])
    ecs["event.category"] = ["process"]
    # A failed execve is a try: no process began.
    ecs["event.type"] = ["start"] if ecs.get("event.outcome") != "failure" else ["info"]
    ecs["event.action"] = "executed"
    if ecs.get("event.outcome") != "failure":
        event.views.append(View("linux", "process_creation", ("auditd",), _fields(event)))


def _file_events(group: Group) -> None:
    for event in group.get("PATH", ()):
        if event.views[0].fields.get("nametype") == "CREATE" and "file.path" in event.ecs:
            event.ecs["event.type"] = ["creation"]
            fields = _fields(event) | {"TargetFilename": event.ecs["file.path"]}
            event.views.append(View("linux", "file_event", ("auditd",), fields))


def _network_connection(group: Group) -> None:
    for event in group.get("SOCKADDR", ()):
        if event.ecs.get("auditd.syscall") == "connect" and "destination.ip" in event.ecs:
            event.ecs["event.type"] = ["connection", "start"]
            event.ecs["network.direction"] = "egress"
            fields = _fields(event) | {
                "DestinationIp": event.ecs["destination.ip"],
                "DestinationPort": event.ecs["destination.port"],
                "Initiated": "true",
            }
            event.views.append(View("linux", "network_connection", ("auditd",), fields))


def _name_parent(node: Any, group: Group, started: dict[tuple[Any, int], Event]) -> None:
    """Give a new process its parent's image and command line where that one began in the same request."""
    for event in (*group.get("EXECVE", ()), *group.get("SYSCALL", ())):
        view = next((view for view in event.views if view.category == "process_creation"), None)
        if view is None or "process.pid" not in event.ecs:
            continue
        parent = started.get((node, event.ecs.get("process.parent.pid", -1)))
        if parent is not None:
            for ecs, sigma in (("executable", "ParentImage"), ("command_line", "ParentCommandLine")):
                if (value := parent.ecs.get(f"process.{ecs}")) is not None:
                    event.ecs[f"process.parent.{ecs}"] = view.fields[sigma] = value
        started[node, event.ecs["process.pid"]] = event
