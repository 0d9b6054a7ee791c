"""Reads the message of a Linux program into ECS fields and Sigma names, by the tables in linux_patterns.py.

Owns what a pattern's named groups mean. Refuses to know programs.
"""

import re
from typing import Any

from services.siem.logs.parsers.linux_patterns import BY_WORD, PAM, PAM_MORE, WHOLE, Pattern
from services.siem.logs.parsers.values import integer, ip_address

_MAX_MESSAGE = 8192
#: What a named group means: its name in the Sigma view, and in ECS.
_GROUPS = {
    "user": ("user", "user.name"),
    "uid": ("uid", "user.id"),
    "by": ("by", "user.name"),
    "caller": ("by", "system.auth.caller"),
    "ruser": ("ruser", "source.user.name"),
    "target": ("target_user", "user.target.name"),
    "target_uid": ("uid", "user.target.id"),
    "effective": ("USER", "user.effective.name"),
    "group": ("group", "group.name"),
    "gid": ("gid", "group.id"),
    "method": ("method", "system.auth.ssh.method"),
    "signature": ("signature", "system.auth.ssh.signature"),
    "tty": ("TTY", "process.tty"),
    "cwd": ("PWD", "process.working_directory"),
    "command": ("COMMAND", "process.command_line"),
    "home": ("home", "system.auth.useradd.home"),
    "shell": ("shell", "system.auth.useradd.shell"),
    "session": ("session", "session.id"),
    "reason": ("reason", "event.reason"),
    "count": ("count", "system.auth.count"),
    "file": ("file", "file.path"),
}
_REPEATED = re.compile(r"message repeated (\d{1,9}) times: \[ ?(.*)\]$")


def describe(program: str, message: str, fields: dict[str, Any], ecs: dict[str, Any]) -> None:
    """Add what the message of `program` says to the Sigma and ECS fields; nothing where no table knows it."""
    if len(message) > _MAX_MESSAGE:
        return
    if message.startswith("message repeated") and (repeated := _REPEATED.match(message)):
        fields["count"] = ecs["system.auth.count"] = int(repeated[1])
        message = repeated[2]
    for pattern in _candidates(program, message):
        if match := pattern.regex.match(message):
            _apply(pattern, match, fields, ecs)
            return


def _candidates(program: str, message: str) -> list[Pattern]:
    word = message.partition(" ")[0]
    if word.startswith("pam_"):
        return PAM
    if word == "PAM":
        return [PAM_MORE]
    by_word = BY_WORD.get(program)
    return by_word.get(word, []) if by_word else WHOLE.get(program, [])


def _apply(pattern: Pattern, match: re.Match[str], fields: dict[str, Any], ecs: dict[str, Any]) -> None:
    ecs["event.action"] = pattern.action
    ecs["event.category"] = list(pattern.category)
    ecs["event.type"] = list(pattern.type)
    if pattern.outcome:
        fields["outcome"] = ecs["event.outcome"] = pattern.outcome
    for group, value in match.groupdict().items():
        if not value:
            continue
        if group == "src":
            _source(value, fields, ecs)
        elif group == "port":
            fields["src_port"] = ecs["source.port"] = integer(value)
        elif names := _GROUPS.get(group):
            sigma, name = names
            fields[sigma] = ecs[name] = value
    if (target := ecs.get("user.target.name")) is not None:
        fields.setdefault("user", target)


def _source(value: str, fields: dict[str, Any], ecs: dict[str, Any]) -> None:
    address = ip_address(value)
    fields["src_ip"] = ecs["source.address"] = address or value
    if address:
        ecs["source.ip"] = address
    elif value != "UNKNOWN":
        ecs["source.domain"] = value
