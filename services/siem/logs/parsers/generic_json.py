"""JSON logs of no format known here: ECS documents pass, other objects are flattened to dotted names.

Common names of other loggers also get their ECS name beside their own. The Sigma view has the document's own names; its
log source comes from `event.dataset` ("zeek.dns": product zeek, service dns) or `event.module`. A document that ECS
calls a process start, a file creation, a connection or a DNS query also gets that Sigma category's view (ecs_views.py).
"""

from typing import Any

from services.siem.event import Event, View
from services.siem.logs.parsers.ecs_views import category_views
from services.siem.logs.parsers.interface import MAX_SUMMARY, Context, Document
from services.siem.logs.parsers.times import any_time
from services.siem.logs.parsers.values import flatten, integer, ip_address, one_line

_TIMES = ("@timestamp", "timestamp", "time", "ts", "eventTime", "event.created")
_MESSAGES = ("message", "msg", "Message", "log", "event.original", "MESSAGE")
#: Other loggers' names -> ECS. A scalar under the name of an ECS object (`host: web1`) is its name.
_ALIASES = {
    "host": "host.name", "hostname": "host.name", "computer": "host.name", "user": "user.name", "username": "user.name",
    "process": "process.name", "program": "process.name", "pid": "process.pid", "ppid": "process.parent.pid",
    "exe": "process.executable", "cmdline": "process.command_line", "command_line": "process.command_line",
    "src_ip": "source.ip", "srcip": "source.ip", "source_ip": "source.ip", "client_ip": "source.ip",
    "remote_addr": "source.ip", "sourceIPAddress": "source.ip", "src_port": "source.port", "srcport": "source.port",
    "source_port": "source.port", "dst_ip": "destination.ip", "dstip": "destination.ip", "dest_ip": "destination.ip",
    "destination_ip": "destination.ip", "dst_port": "destination.port", "dest_port": "destination.port",
    "destination_port": "destination.port", "level": "log.level", "severity": "log.level", "logger": "log.logger",
    "user_agent": "user_agent.original", "userAgent": "user_agent.original", "url": "url.original",
    "method": "http.request.method", "status_code": "http.response.status_code", "eventName": "event.action",
}  # fmt: skip
_NUMBERS = frozenset(
    ("process.pid", "process.parent.pid", "source.port", "destination.port", "http.response.status_code")
)
_ADDRESSES = frozenset(("source.ip", "destination.ip"))
#: Names whose scalar form would stand where ECS has an object.
_OBJECTS = frozenset(("host", "user", "process", "url", "user_agent"))


def parse(document: Document, raw: str, context: Context) -> Event:
    """Any JSON object. Its time is the first of `_TIMES` that is one, else the time of receipt."""
    flat = flatten(document)
    when = next((found for name in _TIMES if (found := any_time(flat.get(name))) is not None), context.received_at)
    ecs: dict[str, Any] = {}
    for name, value in flat.items():
        if name in ("@timestamp", "message"):
            continue
        if name not in _OBJECTS:
            ecs[name] = value
        if name in _ALIASES:
            _alias(_ALIASES[name], value, ecs, flat)
    dataset = _word(flat.get("event.dataset")) or _word(flat.get("event.module")) or "generic.json"
    ecs["event.dataset"] = dataset
    message = next((value for name in _MESSAGES if isinstance(value := flat.get(name), str) and value), None)
    shown = one_line(message) if message else one_line(raw, MAX_SUMMARY)
    product, services = _logsource(flat, dataset)
    views = [View(product, None, services, flat), *category_views(ecs)]
    return Event(when, dataset, shown, ecs, views, raw)


def _word(value: Any) -> str | None:
    return value[:128] if isinstance(value, str) and value else None


def _alias(name: str, value: Any, ecs: dict[str, Any], flat: dict[str, Any]) -> None:
    if name in flat or isinstance(value, list | bool):
        return
    if name in _NUMBERS:
        value = integer(value)
    elif name in _ADDRESSES:
        value = ip_address(value) if isinstance(value, str) else None
    else:
        value = str(value)
    if value is not None and value != "":
        ecs.setdefault(name, value)


def _logsource(flat: dict[str, Any], dataset: str) -> tuple[str | None, tuple[str, ...]]:
    if dataset == "generic.json":
        return None, ()
    product, _, service = dataset.partition(".")
    product = _word(flat.get("event.module")) or product
    return product, tuple(dict.fromkeys(name for name in (service, dataset) if name))
