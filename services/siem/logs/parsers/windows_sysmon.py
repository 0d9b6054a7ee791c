"""Sysmon's events in ECS: per event id its title, category, type, action and fields.

Source: Sysmon's schema 4.90 and the field names of Elastic's Sysmon integration.
"""

from services.siem.logs.parsers.windows_fields import (
    Kind,
    Table,
    account,
    address,
    dns_answers,
    hashes,
    lowered,
    number,
    path,
    registry,
    text,
)

_PROCESS: Table = {
    "ProcessGuid": text("process.entity_id"),
    "ProcessGUID": text("process.entity_id"),
    "ProcessId": number("process.pid"),
    "Image": path("process.executable", "process.name"),
    "User": account("user"),
    "RuleName": text("rule.name"),
}
_PE: Table = {
    "OriginalFileName": text("process.pe.original_file_name"),
    "Description": text("process.pe.description"),
    "Company": text("process.pe.company"),
    "Product": text("process.pe.product"),
    "FileVersion": text("process.pe.file_version"),
}
_FILE: Table = {**_PROCESS, "TargetFilename": path("file.path", "file.name"), "CreationUtcTime": text("file.created")}
_FILE_HASHED: Table = {**_FILE, "Hashes": hashes("file"), "Hash": hashes("file")}
_IMAGE: Table = {
    **_PROCESS,
    "Hashes": hashes("file"),
    "Signature": text("file.code_signature.subject_name"),
    "SignatureStatus": text("file.code_signature.status"),
    "Signed": lowered("file.code_signature.exists", {"true": "true", "false": "false"}),
    "OriginalFileName": text("file.pe.original_file_name"),
    "Description": text("file.pe.description"),
    "Company": text("file.pe.company"),
    "Product": text("file.pe.product"),
    "FileVersion": text("file.pe.file_version"),
}
_DRIVER: Table = {**_IMAGE, "ImageLoaded": path("file.path", "file.name")}
_LIBRARY: Table = {**_IMAGE, "ImageLoaded": path("dll.path", "dll.name")}
#: One process acting on another: ECS's process is the one that acts.
_BETWEEN: Table = {
    "SourceProcessGuid": text("process.entity_id"),
    "SourceProcessGUID": text("process.entity_id"),
    "SourceProcessId": number("process.pid"),
    "SourceImage": path("process.executable", "process.name"),
    "SourceThreadId": number("process.thread.id"),
    "SourceUser": account("user"),
    "RuleName": text("rule.name"),
}
_REGISTRY: Table = {**_PROCESS, "TargetObject": registry, "Details": text("registry.data.strings")}
_PIPE: Table = {**_PROCESS, "PipeName": text("file.name")}
_WMI: Table = {"User": account("user"), "RuleName": text("rule.name")}
_START: Table = {
    **_PROCESS,
    **_PE,
    "CommandLine": text("process.command_line"),
    "CurrentDirectory": text("process.working_directory"),
    "Hashes": hashes("process"),
    "LogonId": text("winlog.logon.id"),
    "IntegrityLevel": text("process.integrity_level"),
    "ParentProcessGuid": text("process.parent.entity_id"),
    "ParentProcessId": number("process.parent.pid"),
    "ParentImage": path("process.parent.executable", "process.parent.name"),
    "ParentCommandLine": text("process.parent.command_line"),
    "ParentUser": account("process.parent.user"),
}
_CONNECTION: Table = {
    **_PROCESS,
    "SourceIp": address("source.ip"),
    "SourcePort": number("source.port"),
    "SourceHostname": text("source.domain"),
    "DestinationIp": address("destination.ip"),
    "DestinationPort": number("destination.port"),
    "DestinationHostname": text("destination.domain"),
    "Protocol": text("network.transport"),
    "Initiated": lowered("network.direction", {"true": "egress", "false": "ingress"}),
}
_DNS: Table = {**_PROCESS, "QueryName": text("dns.question.name"), "QueryResults": dns_answers}

KINDS: dict[int, Kind] = {
    1: Kind("Process created", ("process",), ("start",), "process-created", _START),
    2: Kind("File creation time changed", ("file",), ("change",), "file-time-changed", _FILE),
    3: Kind("Network connection", ("network",), ("connection", "start"), "network-connection", _CONNECTION),
    4: Kind("Sysmon state changed", ("process",), ("change",), "sysmon-state-changed", {}),
    5: Kind("Process terminated", ("process",), ("end",), "process-terminated", _PROCESS),
    6: Kind("Driver loaded", ("driver",), ("start",), "driver-loaded", _DRIVER),
    7: Kind("Image loaded", ("library",), ("start",), "image-loaded", _LIBRARY),
    8: Kind("Remote thread created", ("process",), ("change",), "remote-thread-created", _BETWEEN),
    9: Kind("Raw disk access", ("process",), ("access",), "raw-access", _PROCESS),
    10: Kind("Process accessed", ("process",), ("access",), "process-accessed", _BETWEEN),
    11: Kind("File created", ("file",), ("creation",), "file-created", _FILE),
    12: Kind("Registry object created or deleted", ("registry",), ("change",), "registry-changed", _REGISTRY),
    13: Kind("Registry value set", ("registry",), ("change",), "registry-value-set", _REGISTRY),
    14: Kind("Registry key or value renamed", ("registry",), ("change",), "registry-renamed", _REGISTRY),
    15: Kind("File stream created", ("file",), ("creation",), "file-stream-created", _FILE_HASHED),
    16: Kind("Sysmon configuration changed", ("configuration",), ("change",), "sysmon-configured", {}),
    17: Kind("Pipe created", ("file",), ("creation",), "pipe-created", _PIPE),
    18: Kind("Pipe connected", ("file",), ("access",), "pipe-connected", _PIPE),
    19: Kind("WMI filter registered", ("configuration",), ("creation",), "wmi-filter", _WMI),
    20: Kind("WMI consumer registered", ("configuration",), ("creation",), "wmi-consumer", _WMI),
    21: Kind("WMI consumer bound to filter", ("configuration",), ("creation",), "wmi-binding", _WMI),
    22: Kind("DNS query", ("network",), ("connection", "protocol"), "dns-query", _DNS),
    23: Kind("File deleted and kept", ("file",), ("deletion",), "file-deleted", _FILE_HASHED),
    24: Kind("Clipboard changed", ("process",), ("change",), "clipboard-changed", _PROCESS),
    25: Kind("Process image changed", ("process",), ("change",), "process-tampered", _PROCESS),
    26: Kind("File deleted", ("file",), ("deletion",), "file-deleted", _FILE_HASHED),
    27: Kind("Executable blocked", ("file",), ("denied",), "file-blocked", _FILE_HASHED),
    28: Kind("Shredding blocked", ("file",), ("denied",), "shredding-blocked", _FILE_HASHED),
    29: Kind("Executable created", ("file",), ("creation",), "executable-created", _FILE_HASHED),
    255: Kind("Sysmon error", ("process",), ("error",), "sysmon-error", {}),
}  # fmt: skip
