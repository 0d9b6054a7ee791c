"""FortiGate logs: `key=value` pairs, quoted where a value holds spaces, with or without a syslog header before them.

Sigma's product is fortigate and its service the log's `type`; traffic and UTM lines are also of category firewall.
Source: the FortiOS log message reference.
"""

import re
from datetime import datetime
from typing import Any

from services.siem.event import Event, View
from services.siem.logs.parsers.documents import Column, fill, sentence, text_of
from services.siem.logs.parsers.interface import MAX_FIELDS, Context
from services.siem.logs.parsers.network_views import firewall_view
from services.siem.logs.parsers.times import epoch, iso

#: Where the pairs begin; the header before them is the relay's.
_START = re.compile(r"(?:^|[\s>])((?:date=\d{4}-\d\d-\d\d time=\d\d:\d\d:\d\d|logver=\d+ timestamp=\d+) ?)")
_PAIR = re.compile(r'(?<![\w.-])([A-Za-z_][\w.-]{0,127})=("(?:[^"\\]|\\.)*"|[^\s"]*)')
_ESCAPED = re.compile(r'\\(["\\])')
_HEADER = 300
_COLUMNS = (
    Column("logid", "event.code"),
    Column("action", "event.action"),
    Column("level", "log.level"),
    Column("devname", "observer.name"),
    Column("devname", "host.name"),
    Column("devid", "observer.serial_number"),
    Column("vd", "observer.virtual_domain"),
    Column("srcip", "source.ip", "address"),
    Column("srcport", "source.port", "number"),
    Column("srcmac", "source.mac"),
    Column("transip", "source.nat.ip", "address"),
    Column("remip", "source.ip", "address"),
    Column("dstip", "destination.ip", "address"),
    Column("dstport", "destination.port", "number"),
    Column("srcintf", "observer.ingress.interface.name"),
    Column("dstintf", "observer.egress.interface.name"),
    Column("sentbyte", "source.bytes", "number"),
    Column("rcvdbyte", "destination.bytes", "number"),
    Column("service", "network.protocol"),
    Column("policyid", "rule.id"),
    Column("policyname", "rule.name"),
    Column("attack", "rule.name"),
    Column("user", "user.name"),
    Column("hostname", "url.domain"),
    Column("url", "url.original"),
    Column("qname", "dns.question.name"),
    Column("agent", "user_agent.original"),
    Column("msg", "event.reason"),
)
_TRANSPORTS = {"1": "icmp", "6": "tcp", "17": "udp", "47": "gre", "50": "esp", "58": "ipv6-icmp"}
_ALLOWED = frozenset(("accept", "allow", "pass", "passthrough", "close", "server-rst", "client-rst", "timeout", "start",
                      "ip-conn", "monitor", "detected", "redirect"))  # fmt: skip
_DENIED = frozenset(("deny", "block", "blocked", "dropped", "drop", "reset", "quarantine"))


def parse(line: str, context: Context) -> Event | None:
    """A FortiGate line, or None when no pairs of one begin near its start."""
    start = _START.search(line, 0, _HEADER) if "=" in line[:_HEADER] else None
    if start is None:
        return None
    fields = _pairs(line[start.start(1) :])
    if "type" not in fields or ("devid" not in fields and "logid" not in fields and "log_id" not in fields):
        return None
    kind, subtype = text_of(fields, "type").lower()[:64], text_of(fields, "subtype").lower()[:64]
    ecs: dict[str, Any] = {"event.dataset": f"fortinet.{kind or 'log'}", "event.module": "fortinet"}
    fill(ecs, fields, _COLUMNS)
    if (transport := _TRANSPORTS.get(text_of(fields, "proto"))) is not None:
        ecs["network.transport"] = transport
    services = tuple(name for name in (kind, subtype) if name)
    if kind in ("traffic", "utm"):
        ecs["event.category"], ecs["event.type"] = ["network"], ["connection"]
        action = text_of(fields, "action").lower()
        allowed = True if action in _ALLOWED else False if action in _DENIED else None
        if allowed is not None:
            ecs["event.type"] = ["connection", "allowed" if allowed else "denied"]
        views = [firewall_view("fortigate", services, ecs, fields, allowed)]
    else:
        _changed(fields, ecs)
        views = [View("fortigate", None, services, fields)]
    for name, value in fields.items():
        ecs.setdefault(f"fortinet.{name}", value)
    shown = sentence(kind, subtype, fields.get("logdesc"), fields.get("action"), _flow(ecs), fields.get("msg"))
    return Event(_time(fields) or context.received_at, ecs["event.dataset"], shown, ecs, views, line)


def _pairs(text: str) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in _PAIR.findall(text):
        plain = _ESCAPED.sub(r"\1", value[1:-1]) if value[:1] == '"' else value
        if plain != "":
            fields[name] = plain
        if len(fields) >= MAX_FIELDS // 3:  # each is kept under its own name and may have an ECS one
            break
    return fields


def _changed(fields: dict[str, Any], ecs: dict[str, Any]) -> None:
    """What a line of the device's own events is about."""
    action = text_of(fields, "action").lower()
    if "cfgpath" in fields:
        ecs["event.category"], ecs["event.type"] = ["configuration"], ["change"]
    elif action in ("login", "logout", "tunnel-up", "tunnel-down", "ssl-login-fail", "authentication"):
        ecs["event.category"], ecs["event.type"] = ["authentication"], ["end" if action == "logout" else "start"]
    status = text_of(fields, "status").lower()
    if status in ("success", "failed", "failure"):
        ecs["event.outcome"] = "success" if status == "success" else "failure"


def _flow(ecs: dict[str, Any]) -> str:
    if "source.ip" not in ecs or "destination.ip" not in ecs:
        return ""
    ends = f"{ecs['source.ip']}:{ecs.get('source.port', '-')}"
    return f"{ends} -> {ecs['destination.ip']}:{ecs.get('destination.port', '-')}"


def _time(fields: dict[str, Any]) -> datetime | None:
    """`eventtime` counts from 1970 and needs no zone; else the local date and time with `tz`, without it as UTC."""
    if (when := epoch(fields.get("eventtime"))) is not None:
        return when
    zone = text_of(fields, "tz")
    local = f"{text_of(fields, 'date')}T{text_of(fields, 'time')}"
    return iso(local + zone) or iso(local) or epoch(fields.get("timestamp"))
