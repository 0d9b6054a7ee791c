"""Sigma views of documents that came in ECS: which Sigma category an event is, and its fields under Sigma's names.

Source: the ECS field mapping that SigmaHQ's converters use, read the other way round.
"""

from typing import Any, NamedTuple

from services.siem.event import View

_PROCESS = {
    "Image": "process.executable",
    "ProcessId": "process.pid",
    "ProcessGuid": "process.entity_id",
    "User": "user.name",
    "CommandLine": "process.command_line",
    "CurrentDirectory": "process.working_directory",
    "ParentImage": "process.parent.executable",
    "ParentProcessId": "process.parent.pid",
    "ParentCommandLine": "process.parent.command_line",
    "OriginalFileName": "process.pe.original_file_name",
}


class _Category(NamedTuple):
    """Sigma's category for an ECS category and type, the ECS field it can't do without, and its field names."""

    sigma: str
    category: str
    types: frozenset[str]
    needs: str
    fields: dict[str, str]


_CATEGORIES = (
    _Category("process_creation", "process", frozenset(("start",)), "process.executable", _PROCESS),
    _Category("file_event", "file", frozenset(("creation",)), "file.path", {**_PROCESS, "TargetFilename": "file.path"}),
    _Category(
        "file_delete", "file", frozenset(("deletion",)), "file.path", {**_PROCESS, "TargetFilename": "file.path"}
    ),
    _Category(
        "network_connection",
        "network",
        frozenset(("start", "connection")),
        "destination.ip",
        {
            **_PROCESS,
            "SourceIp": "source.ip",
            "SourcePort": "source.port",
            "DestinationIp": "destination.ip",
            "DestinationPort": "destination.port",
            "DestinationHostname": "destination.domain",
        },
    ),
    _Category(
        "dns_query",
        "network",
        frozenset(("protocol", "info", "connection")),
        "dns.question.name",
        {**_PROCESS, "QueryName": "dns.question.name"},
    ),
)
_PLATFORMS = {"linux": "linux", "windows": "windows", "macos": "macos", "darwin": "macos"}


def category_views(ecs: dict[str, Any]) -> list[View]:
    """The views of a flat ECS document; [] where its category isn't one of Sigma's."""
    categories = _words(ecs.get("event.category"))
    if not categories:
        return []
    types = _words(ecs.get("event.type"))
    views = []
    for entry in _CATEGORIES:
        if entry.category in categories and entry.needs in ecs and entry.types & types:
            fields = {sigma: ecs[name] for sigma, name in entry.fields.items() if name in ecs}
            if entry.sigma == "network_connection":
                fields["Initiated"] = "false" if ecs.get("network.direction") in ("ingress", "inbound") else "true"
            views.append(View(_product(ecs), entry.sigma, (), fields))
    return views


def _words(value: Any) -> set[str]:
    return {str(item) for item in value} if isinstance(value, list) else {value} if isinstance(value, str) else set()


def _product(ecs: dict[str, Any]) -> str | None:
    """The platform that the document names; else by the form of the executable's path."""
    for name in ("host.os.type", "host.os.platform", "host.os.family"):
        if (platform := _PLATFORMS.get(str(ecs.get(name)).lower())) is not None:
            return platform
    executable = str(ecs.get("process.executable", ""))
    return "linux" if executable.startswith("/") else "windows" if executable[1:3] == ":\\" else None
