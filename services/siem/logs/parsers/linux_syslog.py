"""Linux syslog lines: the header (RFC 3164, RFC 5424, rsyslog's ISO form; with and without <PRI>) and its program.

What the message says is read by the tables in linux_messages.py; a message that is itself a record of another format
(auditd's dispatcher, web servers) is unwrapped by recognise.py.
"""

import re
from datetime import datetime
from typing import Any, NamedTuple

from services.siem.event import Event, View
from services.siem.logs.parsers.interface import MAX_FIELDS, Context
from services.siem.logs.parsers.linux_messages import describe
from services.siem.logs.parsers.times import bsd, epoch, iso
from services.siem.logs.parsers.values import integer, one_line

_PRI = r"(?:<(?P<pri>\d{1,3})>)?"
_BSD_TIME = r"(?P<month>[A-Z][a-z]{2}) +(?P<day>\d{1,2}) (?P<clock>\d\d:\d\d:\d\d)(?:\.\d+)?"
# rsyslog always writes the T and the zone; a time without them is more likely some application's own log.
_ISO_TIME = r"(?P<iso>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:?\d\d))"
_HOST = r"(?P<host>[^\s:\[\]]{1,255}|(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f:.]{0,39})"
_TAG = r"(?P<program>[^\s\[:]{1,128})(?:\[(?P<pid>[^\]\s]{0,32})\])?:(?: +|$)"
_HEAD = re.compile(rf"{_PRI}(?:{_BSD_TIME}|{_ISO_TIME}) ")
_ORIGIN = re.compile(rf"(?:{_HOST} +)?{_TAG}")
_RFC5424 = re.compile(
    r"<(?P<pri>\d{1,3})>1 (?P<time>\S{1,40}) (?P<host>\S{1,255}) (?P<program>\S{1,128}) (?P<pid>\S{1,128}) "
    r"(?P<msgid>\S{1,32}) (?P<data>-|(?:\[[^\s\]]{1,64}(?: [^\s=\]]{1,64}=\"(?:[^\"\\]|\\.)*\")*\])+)(?: |$)"
)
_ELEMENT = re.compile(r'([^\s=\]\["]{1,64})="((?:[^"\\]|\\.)*)"')
_ESCAPED = re.compile(r'\\(["\\\]])')

_SEVERITIES = ("emergency", "alert", "critical", "error", "warning", "notice", "informational", "debug")
_FACILITIES = (
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp",
    "security", "console", "solaris-cron", "local0", "local1", "local2", "local3", "local4", "local5", "local6",
    "local7",
)  # fmt: skip
#: Programs that log to the auth facility; Sigma's service "auth" and the dataset "linux.auth".
_AUTH = frozenset((
    "sshd", "sudo", "su", "login", "useradd", "userdel", "usermod", "groupadd", "groupdel", "groupmod", "gpasswd",
    "passwd", "chpasswd", "chage", "chfn", "chsh", "newusers", "adduser", "addgroup", "systemd-logind", "polkitd",
    "pkexec", "doas", "runuser", "gdm-password", "lightdm", "sssd", "unix_chkpwd",
))  # fmt: skip
#: What a program is called under other names: newer sshd splits itself, cron has a name per system.
_ALIASES = {
    "sshd-session": "sshd", "sshd-auth": "sshd", "CRON": "cron", "crond": "cron", "crontab": "cron", "anacron": "cron",
    "atd": "cron", "clamd": "clamav", "freshclam": "clamav", "clamscan": "clamav", "guacd": "guacamole",
    "-su": "su", "su-l": "su", "polkit-agent-helper-1": "polkitd",
}  # fmt: skip
#: The journal counts microseconds; a smaller number (before 1973) would read as another unit.
_FIRST_MICROSECOND = 10**14


class Line(NamedTuple):
    """A syslog line taken apart. `priority` is facility * 8 + severity, `fields` RFC 5424's structured data."""

    timestamp: datetime | None
    host: str | None
    program: str
    pid: str | None
    message: str
    priority: int | None = None
    fields: dict[str, Any] | None = None


def read_line(line: str, received_at: datetime) -> Line | None:
    """The parts of a line, or None when it has no syslog header."""
    head = _HEAD.match(line)
    if head is None:
        return _read_rfc5424(line) if line.startswith("<") else None
    pri, month, day, clock, iso_time = head.groups()
    when = iso(iso_time) if iso_time else bsd(month, day, clock, received_at)
    priority = int(pri) if pri else None
    origin = _ORIGIN.match(line, head.end())
    if origin is None:  # no tag, as in "last message repeated 2 times"
        host, _, message = line[head.end() :].partition(" ")
        return Line(when, host or None, "", None, message, priority)
    host, program, pid = origin.groups()
    return Line(when, host, program, pid, line[origin.end() :], priority)


def _read_rfc5424(line: str) -> Line | None:
    match = _RFC5424.match(line)
    if match is None:
        return None
    pri, time, host, program, pid, msgid, data = (None if part == "-" else part for part in match.groups())
    fields = {} if msgid is None else {"msgid": msgid}
    for name, value in _ELEMENT.findall(data or "")[:MAX_FIELDS]:
        fields[name] = _ESCAPED.sub(r"\1", value)
    message = line[match.end() :].removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}")
    return Line(iso(time), host, program or "", pid, message, int(pri or 0), fields)


def parse(line: str, context: Context) -> Event | None:
    """A syslog line, or None when it has no header of one."""
    parts = read_line(line, context.received_at)
    return None if parts is None else event_of(parts, line, context)


def event_of(parts: Line, raw: str, context: Context) -> Event:
    """The event of a line taken apart; `raw` is what is kept of it."""
    program = parts.program.rpartition("/")[2].strip("()") or parts.program
    service = _ALIASES.get(program, program.lower())
    auth = service in _AUTH or parts.message.startswith("pam_")
    message = one_line(parts.message)
    fields: dict[str, Any] = {"message": message, "program": program}
    dataset = "linux.auth" if auth else "linux.syslog"
    ecs: dict[str, Any] = {"event.dataset": dataset}
    if program:
        ecs["event.provider"] = ecs["process.name"] = program
    if parts.pid:
        fields["pid"] = parts.pid
        if (pid := integer(parts.pid)) is not None:
            ecs["process.pid"] = pid
    if parts.host:
        fields["host"] = ecs["host.name"] = parts.host
    if parts.priority is not None and parts.priority < 192:
        ecs["log.level"] = _SEVERITIES[parts.priority % 8]
        ecs["log.syslog.facility.name"] = _FACILITIES[parts.priority // 8]
    if parts.fields:
        fields.update(parts.fields)
        ecs.update((f"log.syslog.structured_data.{name}", value) for name, value in parts.fields.items())
    describe(service, message, fields, ecs)
    services = tuple(name for name in (service, "auth" if auth else "", "syslog") if name)
    shown = f"{program}: {message}" if program else message
    view = View("linux", None, services, fields)
    return Event(parts.timestamp or context.received_at, dataset, shown, ecs, [view], raw)


def from_journal(document: dict[str, Any], raw: str, context: Context) -> Event:
    """One object of `journalctl -o json`: MESSAGE with the names systemd gives its origin."""
    micros = integer(document.get("_SOURCE_REALTIME_TIMESTAMP") or document.get("__REALTIME_TIMESTAMP"))
    when = epoch(micros) if micros is not None and micros > _FIRST_MICROSECOND else None
    message = document.get("MESSAGE")
    if isinstance(message, list):  # journald gives text with control characters as a list of bytes
        message = bytes(byte & 255 for byte in message if isinstance(byte, int)).decode("utf-8", "backslashreplace")
    program = document.get("SYSLOG_IDENTIFIER") or document.get("_COMM") or ""
    priority = integer(document.get("PRIORITY"))
    facility = integer(document.get("SYSLOG_FACILITY")) or 0
    parts = Line(
        when,
        _text(document.get("_HOSTNAME")),
        str(program),
        _text(document.get("_PID") or document.get("SYSLOG_PID")),
        str(message or "").replace("\0", " "),
        None if priority is None or not 0 <= priority < 8 or not 0 <= facility < 24 else facility * 8 + priority,
    )
    event = event_of(parts, raw, context)
    for name, field in (("_EXE", "process.executable"), ("_CMDLINE", "process.command_line")):
        if isinstance(value := document.get(name), str):
            event.ecs[field] = value
    return event


def _text(value: Any) -> str | None:
    return str(value) if isinstance(value, str | int) and value != "" else None
