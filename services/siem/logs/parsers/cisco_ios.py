"""Cisco IOS messages: `... %FACILITY-SEVERITY-MNEMONIC: text`, with whatever the relay put before them.

Recognised by the message code alone, since the header varies with the device's settings. Sigma's services for Cisco are
named after the facility (bgp, ldp); logged commands are its service "aaa".
"""

import re
from typing import Any

from services.siem.event import Event, View
from services.siem.logs.parsers.interface import Context
from services.siem.logs.parsers.times import bsd
from services.siem.logs.parsers.values import ip_address, one_line

_CODE = re.compile(
    r"%(?P<facility>[A-Z][A-Z0-9_]{1,31})-(?:[A-Z0-9_]{1,31}-)?(?P<severity>[0-7])-(?P<mnemonic>[A-Z0-9_]{2,64}): ?"
)
_TIME = re.compile(r"([A-Z][a-z]{2}) +(\d{1,2}) (?:\d{4} )?(\d\d:\d\d:\d\d)")
_DEVICE = re.compile(r"(?:<\d{1,3}>)?(\S{2,255}) ")
_COMMAND = re.compile(r"User:\s?(?P<user>\S+)\s+logged command:\s?(?P<command>.*)$")
_LEVELS = ("emergency", "alert", "critical", "error", "warning", "notice", "informational", "debug")
_HEADER = 512


def parse(line: str, context: Context) -> Event | None:
    """A Cisco IOS message, or None when the line holds no message code near its start."""
    if "%" not in line[:_HEADER] or (code := _CODE.search(line, 0, _HEADER + 128)) is None:
        return None
    facility, severity, mnemonic = code.groups()
    text = one_line(line[code.end() :])
    fields: dict[str, Any] = {"message": one_line(line), "facility": facility, "mnemonic": mnemonic}
    ecs: dict[str, Any] = {
        "event.dataset": "cisco.ios",
        "event.code": mnemonic,
        "event.provider": facility,
        "event.action": mnemonic.lower(),
        "log.level": _LEVELS[int(severity)],
    }
    header = line[: code.start()]
    if (device := _DEVICE.match(header)) and (address := ip_address(device[1])):
        ecs["host.ip"] = ecs["host.name"] = address
    if command := _COMMAND.search(text[:_HEADER]):
        ecs["event.category"], ecs["event.type"] = ["configuration"], ["change"]
        fields["user"] = ecs["user.name"] = command["user"]
        fields["command"] = ecs["process.command_line"] = command["command"]
    when = (time := _TIME.search(header)) and bsd(time[1], time[2], time[3], context.received_at)
    view = View("cisco", None, (facility.lower(), "aaa", "syslog"), fields)
    message = f"%{facility}-{severity}-{mnemonic}: {text}"
    return Event(when or context.received_at, "cisco.ios", message, ecs, [view], line)
