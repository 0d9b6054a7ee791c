"""The small converters that Windows field tables are made of: each takes a value and sets ECS fields from it.

A table maps the name of a Windows event field to its converter; `apply` runs a table over an event's data. Sysmon and
the security log write "-" for "none".
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

from services.siem.logs.parsers.values import base_name, integer, ip_address

Setter: TypeAlias = Callable[[dict[str, Any], Any], None]
Table: TypeAlias = Mapping[str, Setter]

_NOTHING = (None, "", "-")
_ADDRESS = re.compile(r"[0-9A-Fa-f:.]{3,45}")
_HASHES = {"MD5": "hash.md5", "SHA1": "hash.sha1", "SHA256": "hash.sha256", "IMPHASH": "pe.imphash"}
_HIVES = {
    "HKLM": "HKLM", "HKU": "HKU", "HKCR": "HKCR", "HKCU": "HKCU", "HKCC": "HKCC", r"\REGISTRY\MACHINE": "HKLM",
    r"\REGISTRY\USER": "HKU",
}  # fmt: skip


class Kind(NamedTuple):
    """What one event id is: a title for people, ECS category, type and action, and the fields it has of its own."""

    title: str
    category: tuple[str, ...]
    type: tuple[str, ...]
    action: str
    fields: Table


def text(field: str) -> Setter:
    """The value as it is."""

    def put(ecs: dict[str, Any], value: Any) -> None:
        ecs[field] = value

    return put


def number(field: str) -> Setter:
    """A decimal or `0x` number; left out when it isn't one."""

    def put(ecs: dict[str, Any], value: Any) -> None:
        if (found := integer(value)) is not None:
            ecs[field] = found

    return put


def path(field: str, name: str) -> Setter:
    """A path, and its last part as `name`."""

    def put(ecs: dict[str, Any], value: Any) -> None:
        ecs[field] = value
        ecs[name] = base_name(value) if isinstance(value, str) else value

    return put


def address(field: str) -> Setter:
    """An IP address; left out when it isn't one."""

    def put(ecs: dict[str, Any], value: Any) -> None:
        if isinstance(value, str) and (found := ip_address(value)) is not None:
            ecs[field] = found

    return put


def account(prefix: str) -> Setter:
    r"""`DOMAIN\name` as `<prefix>.domain` and `<prefix>.name`."""

    def put(ecs: dict[str, Any], value: Any) -> None:
        domain, _, name = str(value).rpartition("\\")
        ecs[f"{prefix}.name"] = name
        if domain:
            ecs[f"{prefix}.domain"] = domain

    return put


def hashes(prefix: str) -> Setter:
    """`MD5=...,SHA256=...,IMPHASH=...` as `<prefix>.hash.*` and `<prefix>.pe.imphash`, in lower case."""
    names = {key: f"{prefix}.{field}" for key, field in _HASHES.items()}

    def put(ecs: dict[str, Any], value: Any) -> None:
        for pair in str(value).split(","):
            algorithm, _, digest = pair.partition("=")
            if (field := names.get(algorithm)) and digest:
                ecs[field] = digest.lower()

    return put


def lowered(field: str, table: Mapping[str, str]) -> Setter:
    """The value looked up in `table` by its lower case; left out when the table doesn't have it."""

    def put(ecs: dict[str, Any], value: Any) -> None:
        if (found := table.get(str(value).lower())) is not None:
            ecs[field] = found

    return put


def each(*setters: Setter) -> Setter:
    """Several converters of one value."""

    def put(ecs: dict[str, Any], value: Any) -> None:
        for setter in setters:
            setter(ecs, value)

    return put


def registry(ecs: dict[str, Any], value: Any) -> None:
    r"""`HKLM\Software\...\Name` as registry.path, .hive, .key and .value (its last part)."""
    target = str(value)
    ecs["registry.path"] = target
    for prefix, hive in _HIVES.items():
        if target.startswith(prefix + "\\"):
            ecs["registry.hive"] = hive
            ecs["registry.key"] = target[len(prefix) + 1 :]
            break
    ecs["registry.value"] = base_name(target)


def dns_answers(ecs: dict[str, Any], value: Any) -> None:
    """Sysmon's `QueryResults` (`type: 5 alias;::ffff:192.0.2.1;`) as dns.resolved_ip."""
    found = [ip for part in str(value).split(";")[:64] if _ADDRESS.fullmatch(part) and (ip := ip_address(part))]
    if found:
        ecs["dns.resolved_ip"] = found


def apply(table: Table, data: Mapping[str, Any], ecs: dict[str, Any]) -> None:
    """Set the ECS fields of an event's data; what the table doesn't know is kept under `winlog.event_data`."""
    for name, value in data.items():
        if value in _NOTHING:
            continue
        setter = table.get(name)
        if setter is None:
            ecs[f"winlog.event_data.{name}"] = value
        else:
            setter(ecs, value)
