"""Linux audit records, as auditd writes them: one event per line, under the record's own keys.

Values that auditd writes in hex because they hold spaces or control characters are decoded; the fields that an enriched
log adds after the group separator keep their upper-case names; the quoted fields of user-space messages are lifted out.
Records of one serial are put together by auditd_join.py. Sources: auditd(8), the audit project's field dictionary.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from services.siem.event import Event, View
from services.siem.logs.parsers.auditd_tables import (
    ARCHITECTURES,
    CATEGORIES,
    RECORD_NUMBERS,
    SYSCALLS,
)
from services.siem.logs.parsers.interface import MAX_FIELDS, Context
from services.siem.logs.parsers.values import base_name, integer, ip_address, one_line, safe_text

_HEAD = re.compile(
    r"(?:node=(?P<node>\S{1,255}) )?type=(?P<type>[\w\[\]]{1,64}) "
    r"(?:msg=)?audit\((?P<seconds>\d{1,11})(?:\.(?P<fraction>\d{1,9}))?:(?P<serial>\d{1,19})\):\s?"
)
# The look-behind keeps a long run of word characters from being tried at each of its positions.
_PAIR = re.compile(r"(?<![\w.-])([A-Za-z_][\w.-]*(?:\[\d+\])?)=(\"[^\"]*\"?|\{[^}]*\}?|[^\s]*)")
_UNKNOWN = re.compile(r"UNKNOWN\[(\d+)\]")
_HEX = re.compile(r"(?:[0-9A-F]{2})+")
_ARGUMENT = re.compile(r"a\d+(?:\[\d+\])?")
#: Fields that the kernel or user space writes in hex when they hold anything but plain characters.
_ENCODED = frozenset(("proctitle", "name", "cwd", "exe", "comm", "ocomm", "acct", "cmd", "data", "path", "dir", "key"))
#: The login uid and session before a login: (uint32) -1, and its name in enriched logs.
_UNSET = ("unset", "4294967295")
_NONE = frozenset(("(null)", "(none)", "?", ""))
#: Records of a login itself: they name its account by `acct` before it is known to exist, by `id` afterwards.
_LOGINS = frozenset(("USER_LOGIN", "USER_LOGOUT"))
#: Audit field -> ECS field, for every record type. Ids are keywords in ECS.
_ECS = {
    "exe": "process.executable",
    "cwd": "process.working_directory",
    "uid": "user.id",
    "UID": "user.name",
    "euid": "user.effective.id",
    "EUID": "user.effective.name",
    "auid": "user.audit.id",
    "AUID": "user.audit.name",
    "ses": "auditd.session",
    "key": "auditd.key",
    "tty": "process.tty",
    "terminal": "process.tty",
    "hostname": "source.domain",
    "unit": "service.name",
    "SYSCALL": "auditd.syscall",
}


class AuditRecord(Event):
    """An event that came from one audit record; auditd_join.py works on these alone."""

    __slots__ = ()


def parse(line: str, context: Context) -> AuditRecord | None:
    """One audit record, or None when the line isn't one."""
    head = _HEAD.match(line)
    if head is None:
        return None
    node, record, seconds, fraction, serial = head.groups()
    unknown = _UNKNOWN.fullmatch(record)
    kind = RECORD_NUMBERS.get(unknown[1] if unknown else record, record)
    body, _, enriched = line[head.end() :].partition("\x1d")
    fields: dict[str, Any] = {"type": kind}
    read_fields(kind, body, fields)
    if enriched:
        read_fields("", enriched, fields)
    if kind == "SYSCALL":
        _name_syscall(fields)
    ecs = _ecs(kind, fields)
    ecs["auditd.type"] = kind
    ecs["auditd.serial"] = int(serial)
    if node:
        fields["node"] = ecs["host.name"] = node
    message = f"{kind}: {_summary(kind, body, fields)}"
    when = _time(seconds, fraction) or context.received_at
    return AuditRecord(when, "auditd", message, ecs, [View("linux", None, ("auditd",), fields)], line)


def _time(seconds: str, fraction: str | None) -> datetime | None:
    whole = int(seconds)
    if whole > 7_258_118_399:  # the end of the year 2199
        return None
    return datetime.fromtimestamp(whole, UTC) + timedelta(microseconds=int((fraction or "0")[:6].ljust(6, "0")))


def read_fields(kind: str, body: str, fields: dict[str, Any]) -> None:
    """Add the `key=value` pairs of a record's body to `fields`; those in the user message don't replace others."""
    start, end = body.find("msg='"), body.rfind("'")
    if 0 <= start < end - 4:
        _read_pairs(kind, body[:start], fields)
        inner: dict[str, Any] = {}
        _read_pairs(kind, body[start + 5 : end], inner)
        for name, value in inner.items():
            fields.setdefault(name, value)
        return
    _read_pairs(kind, body, fields)


def _read_pairs(kind: str, body: str, fields: dict[str, Any]) -> None:
    arguments = kind == "EXECVE"
    for name, value in _PAIR.findall(body):
        if value[:1] == '"':
            fields[name] = value.strip('"')
        elif (name in _ENCODED or (arguments and _ARGUMENT.fullmatch(name))) and _HEX.fullmatch(value):
            fields[name] = _decode(value)
        elif value not in _NONE:
            fields[name] = value
        if len(fields) >= MAX_FIELDS:
            break


def _decode(value: str) -> str:
    """Text that was written in hex; its NULs part words, as in /proc/PID/cmdline."""
    return safe_text(bytes.fromhex(value).replace(b"\0", b" ").decode("utf-8", "backslashreplace")).rstrip(" ")


def _name_syscall(fields: dict[str, Any]) -> None:
    if "SYSCALL" not in fields:
        architecture = ARCHITECTURES.get(fields.get("arch", ""), "")
        name = SYSCALLS.get(architecture, {}).get(fields.get("syscall", ""))
        if name:
            fields["SYSCALL"] = name


def arguments(fields: dict[str, Any]) -> list[str]:
    """The words of an EXECVE record in order; long ones are logged in parts (`a1[0]`, `a1[1]`) and put together."""
    words: list[str] = []
    for index in range(min(integer(fields.get("argc")) or 0, MAX_FIELDS)):
        word = fields.get(f"a{index}")
        if word is None:
            parts: list[str] = []
            while (part := fields.get(f"a{index}[{len(parts)}]")) is not None:
                parts.append(part)
            if not parts:
                continue  # continued in a later record of the same serial
            word = "".join(parts)
        words.append(word)
    return words


def _summary(kind: str, body: str, fields: dict[str, Any]) -> str:
    if kind == "EXECVE":
        return one_line(" ".join(arguments(fields)))
    if kind == "PROCTITLE":
        return one_line(str(fields.get("proctitle", "")))
    return one_line(body)


def _ecs(kind: str, fields: dict[str, Any]) -> dict[str, Any]:
    ecs: dict[str, Any] = {"event.dataset": "auditd", "event.module": "auditd"}
    category, types, action = CATEGORIES.get(kind, ((), (), None))
    if category:
        ecs["event.category"] = list(category)
        ecs["event.type"] = list(types)
    ecs["event.action"] = action or fields.get("SYSCALL") or fields.get("op") or kind.lower().replace("_", "-")
    for name, value in fields.items():
        field = _ECS.get(name)
        if field and value not in _UNSET:
            ecs[field] = value
    if ecs.get("user.id") == "0":
        ecs.setdefault("user.name", "root")
    for name, field in (("pid", "process.pid"), ("ppid", "process.parent.pid"), ("exit", "auditd.exit")):
        if name in fields and (number := integer(fields[name])) is not None:
            ecs[field] = number
    if "exe" in fields or "comm" in fields:
        ecs["process.name"] = fields.get("comm") or base_name(fields["exe"])
    result = fields.get("success") or fields.get("res")
    if result is not None:
        ecs["event.outcome"] = "success" if result in ("yes", "success", "1") else "failure"
    _ecs_of_kind(kind, fields, ecs)
    return ecs


def _ecs_of_kind(kind: str, fields: dict[str, Any], ecs: dict[str, Any]) -> None:
    if kind == "PATH" and (path := fields.get("name")):
        ecs["file.path"] = path
        ecs["file.name"] = base_name(path)
    elif kind == "EXECVE":
        words = arguments(fields)
        ecs["process.args"] = words
        ecs["process.command_line"] = " ".join(words)
    elif kind == "PROCTITLE" and "proctitle" in fields:
        ecs["process.title"] = fields["proctitle"]
    elif kind == "SOCKADDR":
        _socket_address(fields, ecs)
    else:
        _account(kind, fields, ecs)
    for name in ("hostname", "addr"):
        if name in fields and (address := ip_address(fields[name])) is not None:
            ecs["source.ip"] = address
            ecs.pop("source.domain", None)


def _account(kind: str, fields: dict[str, Any], ecs: dict[str, Any]) -> None:
    """Whom a record of user space is about: its uid is that of the program that speaks (root's sshd), not theirs."""
    if "acct" in fields:
        ecs.pop("user.id", None)
        ecs["user.name"] = fields["acct"]
    elif kind in _LOGINS and "id" in fields:
        ecs["user.id"] = fields["id"]
        ecs.pop("user.name", None)
        if name := fields.get("ID") or ("root" if fields["id"] == "0" else None):
            ecs["user.name"] = name
    if "cmd" in fields:
        ecs["process.command_line"] = fields["cmd"]


def _socket_address(fields: dict[str, Any], ecs: dict[str, Any]) -> None:
    """`saddr`: the kernel's struct sockaddr in hex; the family is in the machine's order (little-endian here)."""
    try:
        data = bytes.fromhex(fields.get("saddr", ""))
    except ValueError:
        return
    family = int.from_bytes(data[:2], "little")
    if family == 1 and (path := data[2:].lstrip(b"\0").partition(b"\0")[0]):
        fields["path"] = ecs["file.path"] = safe_text(path.decode("utf-8", "backslashreplace"))
    address = None
    if family == 2 and len(data) >= 8:
        address = ".".join(map(str, data[4:8]))
    elif family == 10 and len(data) >= 24:
        address = ip_address(":".join(data[at : at + 2].hex() for at in range(8, 24, 2)))
    if address:
        fields["laddr"] = ecs["destination.ip"] = address
        fields["lport"] = ecs["destination.port"] = int.from_bytes(data[2:4], "big")
