"""Cisco ASA and Firepower Threat Defense messages: `%ASA-6-302013: ...`, with whatever the relay put before them.

A table of message numbers gives the action, the decision and where the ends of a connection stand; others keep their
text. Source: Cisco's "ASA Series Syslog Messages".
"""

import re
from datetime import UTC, datetime
from typing import Any, NamedTuple

from services.siem.event import Event, View
from services.siem.logs.parsers import linux_syslog
from services.siem.logs.parsers.interface import Context
from services.siem.logs.parsers.network_views import firewall_view
from services.siem.logs.parsers.times import MONTHS, bsd
from services.siem.logs.parsers.values import integer, ip_address, one_line

_CODE = re.compile(r"%(?P<device>ASA|FTD|PIX|FWSM)-(?:[a-z]{2,16}-)?(?P<severity>[0-7])-(?P<number>\d{6}): ?")
_TIME = re.compile(r"([A-Z][a-z]{2}) +(\d{1,2}) (?:(\d{4}) )?(\d\d:\d\d:\d\d)")
_LEVELS = ("emergency", "alert", "critical", "error", "warning", "notice", "informational", "debug")
_HEADER, _BODY = 512, 4096
_ADDRESS = r"[0-9A-Fa-f.:]{2,45}"


def _end(side: str) -> str:
    """`outside:192.0.2.1/443 (192.0.2.1/443)`."""
    return (
        rf"(?:(?P<{side}_interface>[\w.-]{{1,64}}):)?(?P<{side}_ip>{_ADDRESS})(?:[/(](?P<{side}_port>\d{{1,5}})\)?)?"
        r"(?: ?\([^)]{0,128}\))*"
    )


_FROM_TO = re.compile(rf"(?:from|src) {_end('src')}[^:]{{0,128}}? (?:to|dst) {_end('dst')}")
#: A built or torn down connection names the outside first; its direction says who began it.
_FOR_TO = re.compile(rf"(?:(?P<way>inbound|outbound) )?(?P<transport>TCP|UDP|ICMP|GRE) connection \d+ for {_end('a')} "
                     rf"to {_end('b')}")  # fmt: skip
_LIST = re.compile(
    r"access-list (?P<acl>\S{1,128}) (?P<decision>permitted|denied|est-allowed) \w{1,16} "
    rf"(?P<src_interface>[\w.-]{{1,64}})/(?P<src_ip>{_ADDRESS})\((?P<src_port>\d{{1,5}})\)[^>]{{0,128}}-> "
    rf"(?P<dst_interface>[\w.-]{{1,64}})/(?P<dst_ip>{_ADDRESS})\((?P<dst_port>\d{{1,5}})\)"
)
_TRANSPORT = re.compile(r"\b(tcp|udp|icmp|gre)\b", re.IGNORECASE)
_GROUP = re.compile(r'access-group "([^"]{1,128})"')
_USER = re.compile(r"""\b[Uu]ser(?:name)?(?: ?[=:] ?| (?=[<'"]))[<'"]?([^\s,'"<>:]{1,128})""")
_FROM = re.compile(rf"(?:\b[Ff]rom|IP =?|running '[^']{{0,64}}' from IP) <?({_ADDRESS})")
_COMMAND = re.compile(r"executed (?:the )?'?(?:cmd: )?'?([^'\"]{1,2048})")


class _Kind(NamedTuple):
    """What a message number means. `allowed`: the firewall's decision, None where it made none."""

    action: str
    category: str
    type: str
    allowed: bool | None = None
    outcome: str | None = None


_BUILT = _Kind("connection-started", "network", "connection", True)
_ENDED = _Kind("connection-ended", "network", "end", True)
_DENIED = _Kind("connection-denied", "network", "denied", False)
_LOGIN = _Kind("login", "authentication", "start", outcome="success")
_REFUSED = _Kind("login", "authentication", "start", outcome="failure")
_COMMANDED = _Kind("command-executed", "configuration", "change", outcome="success")
_KINDS: dict[str, _Kind] = {
    **dict.fromkeys(("302013", "302015", "302020", "302017"), _BUILT),
    **dict.fromkeys(("302014", "302016", "302021", "302018"), _ENDED),
    **dict.fromkeys(
        ("106001", "106002", "106006", "106007", "106010", "106014", "106015", "106021", "106023", "313001", "313005",
         "710003", "419002", "402117"), _DENIED),
    "106100": _Kind("access-list", "network", "connection"),
    "106102": _Kind("access-list", "network", "connection"),
    "710002": _Kind("connection-permitted", "network", "connection", True),
    **dict.fromkeys(("113004", "113012", "109005", "605005", "611101", "716038", "113039"), _LOGIN),
    **dict.fromkeys(("113005", "113006", "113015", "109006", "605004", "611102", "716039", "308001"), _REFUSED),
    **dict.fromkeys(("111008", "111009", "111010"), _COMMANDED),
    "722051": _Kind("vpn-address-assigned", "network", "start"),
    "113019": _Kind("vpn-ended", "network", "end"),
    "733100": _Kind("threat-rate-exceeded", "intrusion_detection", "info"),
}  # fmt: skip


def parse(line: str, context: Context) -> Event | None:
    """An ASA message, or None when the line holds no message code of one near its start."""
    if "%" not in line[:_HEADER] or (code := _CODE.search(line, 0, _HEADER + 64)) is None:
        return None
    device, severity, number = code.groups()
    text = one_line(line[code.end() :])
    kind = _KINDS.get(number)
    fields: dict[str, Any] = {"message": one_line(line), "message_id": number, "severity": int(severity)}
    ecs: dict[str, Any] = {
        "event.dataset": "cisco.asa",
        "event.module": "cisco",
        "event.code": number,
        "log.level": _LEVELS[int(severity)],
        "observer.vendor": "Cisco",
        "observer.product": device.lower(),
    }
    if kind is not None:
        ecs["event.action"], ecs["event.category"], ecs["event.type"] = kind.action, [kind.category], [kind.type]
        if kind.outcome is not None:
            ecs["event.outcome"] = kind.outcome
    allowed = _read(text[:_BODY], kind, fields, ecs)
    header = line[: code.start()]
    _host(header, context, ecs)
    services = ("asa", "aaa", "syslog") if kind is _COMMANDED else ("asa", "syslog")
    if kind is not None and kind.category == "network":
        views = [firewall_view("cisco", services, ecs, fields, allowed)]
    else:
        views = [View("cisco", None, services, fields)]
    shown = f"%{device}-{severity}-{number}: {text}"
    return Event(_time(header, context) or context.received_at, "cisco.asa", shown, ecs, views, line)


def _read(text: str, kind: _Kind | None, fields: dict[str, Any], ecs: dict[str, Any]) -> bool | None:
    """Put what the text says into `fields` and `ecs`; the decision of the firewall."""
    allowed = kind.allowed if kind is not None else None
    if (listed := _LIST.search(text)) is not None:
        allowed = listed["decision"] != "denied"
        ecs["rule.name"] = fields["acl"] = listed["acl"]
        ecs["event.type"] = ["connection", "allowed" if allowed else "denied"]
        _ends(listed.groupdict(), "src", "dst", ecs)
    elif (built := _FOR_TO.search(text)) is not None:
        first, second = ("b", "a") if built["way"] == "outbound" else ("a", "b")
        _ends(built.groupdict(), first, second, ecs)
        if built["way"]:
            ecs["network.direction"] = built["way"]
    elif (ends := _FROM_TO.search(text)) is not None:
        _ends(ends.groupdict(), "src", "dst", ecs)
    if (transport := _TRANSPORT.search(text)) is not None:
        fields["protocol"] = ecs["network.transport"] = transport[1].lower()
    if (group := _GROUP.search(text)) is not None:
        ecs["rule.name"] = fields["acl"] = group[1]
    if kind is None or kind.category != "network":
        _account(text, fields, ecs)
    return allowed


def _ends(found: dict[str, str | None], source: str, destination: str, ecs: dict[str, Any]) -> None:
    for side, name, interface in ((source, "source", "ingress"), (destination, "destination", "egress")):
        if (address := ip_address(found.get(f"{side}_ip") or "")) is not None:
            ecs[f"{name}.ip"] = address
        if (port := integer(found.get(f"{side}_port"))) is not None:
            ecs[f"{name}.port"] = port
        if found.get(f"{side}_interface"):
            ecs[f"observer.{interface}.interface.name"] = found[f"{side}_interface"]


def _account(text: str, fields: dict[str, Any], ecs: dict[str, Any]) -> None:
    if (user := _USER.search(text)) is not None:
        fields["user"] = ecs["user.name"] = user[1]
    if (origin := _FROM.search(text)) is not None and (address := ip_address(origin[1])) is not None:
        fields["src_ip"] = ecs["source.ip"] = address
    if (command := _COMMAND.search(text)) is not None:
        fields["command"] = ecs["process.command_line"] = command[1].strip()


def _host(header: str, context: Context, ecs: dict[str, Any]) -> None:
    """The device as the relay's header names it."""
    parts = linux_syslog.read_line(f"{header}x", context.received_at)
    host = parts.host if parts is not None else None
    host = host if host is not None and host not in (":", "x") else None
    if host:
        ecs["host.name"] = ecs["observer.hostname"] = host
        if (address := ip_address(host)) is not None:
            ecs["host.ip"] = address


def _time(header: str, context: Context) -> datetime | None:
    if (parts := linux_syslog.read_line(f"{header}x", context.received_at)) is not None and parts.timestamp is not None:
        return parts.timestamp
    found = _TIME.search(header)
    if found is None:
        return None
    month, day, year, clock = found.groups()
    if year is None:
        return bsd(month, day, clock, context.received_at)
    try:
        hour, minute, second = map(int, clock.split(":"))
        when = datetime(int(year), MONTHS[month], int(day), hour, minute, second, tzinfo=UTC)
    except (ValueError, KeyError):
        return None
    return when if 1970 <= when.year < 2200 else None
