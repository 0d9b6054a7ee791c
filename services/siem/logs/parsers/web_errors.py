"""Error logs of apache (2.2 and 2.4) and nginx.

Sigma's services `apache` and `nginx` are about these lines; its category `webserver` is about requests, so an error
line has no part in it.
"""

import re
from datetime import UTC, datetime
from typing import Any

from services.siem.event import Event, View
from services.siem.logs.parsers.interface import Context
from services.siem.logs.parsers.times import MONTHS
from services.siem.logs.parsers.values import integer, ip_address, one_line

_APACHE = re.compile(
    r"\[[A-Z][a-z]{2} (?P<month>[A-Z][a-z]{2}) (?P<day>[ \d]\d) (?P<clock>\d\d:\d\d:\d\d)(?:\.(?P<micros>\d{6}))? "
    r"(?P<year>\d{4})\] \[(?:(?P<module>[\w-]{0,64}):)?(?P<level>[a-z]{3,8}\d?)\] "
    r"(?:\[pid (?P<pid>\d{1,10})(?::tid (?P<tid>\d{1,20}))?\] )?"
    r"(?:(?:\(\d{1,6}\)[^:]{1,256}: )?\[(?:remote|client) "
    r"(?P<client>\[[^\]\s]{1,64}\](?::\d{1,5})?|[^\]\s]{1,255})\] )?"
)
_NGINX = re.compile(
    r"(?P<year>\d{4})/(?P<month>\d\d)/(?P<day>\d\d) (?P<clock>\d\d:\d\d:\d\d) \[(?P<level>[a-z]{3,8})\] "
    r"(?P<pid>\d{1,10})#(?P<tid>\d{1,10}): (?:\*(?P<connection>\d{1,19}) )?"
)
_CODE = re.compile(r"(AH\d{5}): ")
_PORT = re.compile(r"(.+):(\d{1,5})$")
#: nginx ends a line with these, in this order, each where it is known.
_TAIL = re.compile(r", (client|server|request|subrequest|upstream|host|referrer): (\"[^\"]*\"|[^,\"]*)")
_ECS = {"server": "url.domain", "host": "destination.domain", "upstream": "destination.address",
        "referrer": "http.request.referrer"}  # fmt: skip
_MESSAGE = 16_384


def parse_apache(line: str, context: Context) -> Event | None:
    """A line of apache's error log, or None."""
    head = _APACHE.match(line) if line.startswith("[") else None
    if head is None:
        return None
    text = line[head.end() :]
    fields = _fields(head, text)
    ecs = _ecs("apache", fields)
    if (code := _CODE.match(text)) is not None:
        fields["code"] = ecs["event.code"] = code[1]
    if client := fields.get("client"):
        _client(client, ecs, ported="module" in fields)
    when = _time(head["year"], MONTHS.get(head["month"]), head["day"], head["clock"], head["micros"])
    return _event("apache", when, text, fields, ecs, line, context)


def parse_nginx(line: str, context: Context) -> Event | None:
    """A line of nginx's error log, or None."""
    head = _NGINX.match(line)
    if head is None:
        return None
    text = line[head.end() :]
    fields = _fields(head, text)
    for name, value in _TAIL.findall(text[:_MESSAGE]):
        fields[name] = value.strip('" ')
    ecs = _ecs("nginx", fields)
    if client := fields.get("client"):
        _client(client, ecs, ported=False)
    for name, field in _ECS.items():
        if fields.get(name):
            ecs[field] = fields[name]
    method, _, rest = fields.get("request", "").partition(" ")
    if rest:
        ecs["http.request.method"], ecs["url.original"] = method, rest.rpartition(" HTTP/")[0] or rest
    when = _time(head["year"], int(head["month"]), head["day"], head["clock"], None)
    return _event("nginx", when, text, fields, ecs, line, context)


def _fields(head: re.Match[str], text: str) -> dict[str, Any]:
    named = ("level", "module", "pid", "tid", "client", "connection")
    known = head.groupdict()
    return {"message": one_line(text)} | {name: known[name] for name in named if known.get(name)}


def _ecs(server: str, fields: dict[str, Any]) -> dict[str, Any]:
    ecs: dict[str, Any] = {
        "event.dataset": f"{server}.error",
        "event.module": server,
        "event.category": ["web"],
        "event.type": ["error"],
        "log.level": fields["level"],
        "process.name": server,
    }
    for name, field in (("pid", "process.pid"), ("tid", "process.thread.id")):
        if (number := integer(fields.get(name))) is not None:
            ecs[field] = number
    return ecs


def _client(client: str, ecs: dict[str, Any], ported: bool) -> None:
    """The address of the other side; `ported` where the server writes a port behind it, even without brackets."""
    parted = _PORT.match(client) if ported else None
    address = ip_address(parted[1]) if parted is not None else None
    if parted is not None and address is not None:
        ecs["source.port"] = int(parted[2])
    address = address or ip_address(client)
    ecs["source.address"] = address or client
    if address is not None:
        ecs["source.ip"] = address


def _time(year: str, month: int | None, day: str, clock: str, micros: str | None) -> datetime | None:
    if month is None:
        return None
    hour, minute, second = map(int, clock.split(":"))
    try:
        when = datetime(int(year), month, int(day), hour, minute, second, int(micros or 0), tzinfo=UTC)
    except ValueError:
        return None
    return when if 1970 <= when.year < 2200 else None


def _event(
    server: str,
    when: datetime | None,
    text: str,
    fields: dict[str, Any],
    ecs: dict[str, Any],
    line: str,
    context: Context,
) -> Event:
    view = View(server, None, (server, "error"), fields)
    return Event(when or context.received_at, ecs["event.dataset"], one_line(text), ecs, [view], line)
