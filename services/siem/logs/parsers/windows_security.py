"""The security log and other Windows channels in ECS: per event id its title, category, type, action and fields.

Source: Microsoft's audit event reference and the field names of Elastic's Windows integration. Ids that aren't listed
get the fields that all security events share.
"""

from typing import Any

from services.siem.logs.parsers.windows_fields import Kind, Table, account, address, each, number, path, text

_SUBJECT: Table = {
    "SubjectUserName": text("user.name"),
    "SubjectDomainName": text("user.domain"),
    "SubjectUserSid": text("user.id"),
    "SubjectLogonId": text("winlog.logon.id"),
}
_TARGET: Table = {
    "TargetUserName": text("user.target.name"),
    "TargetDomainName": text("user.target.domain"),
    "TargetUserSid": text("user.target.id"),
    "TargetSid": text("user.target.id"),
}
_PROCESS: Table = {
    "ProcessId": number("process.pid"),
    "ProcessID": number("process.pid"),
    "ProcessName": path("process.executable", "process.name"),
}
_PEER: Table = {
    "IpAddress": address("source.ip"),
    "IpPort": number("source.port"),
    "WorkstationName": text("source.domain"),
    "Workstation": text("source.domain"),
}
COMMON: Table = {**_SUBJECT, **_TARGET, **_PROCESS, **_PEER}
#: In a logon the account that matters is the one logged on, not the one that asked for it.
_LOGON: Table = {
    **_PROCESS,
    **_PEER,
    "TargetUserName": text("user.name"),
    "TargetDomainName": text("user.domain"),
    "TargetUserSid": text("user.id"),
    "TargetLogonId": text("winlog.logon.id"),
    "LogonType": text("winlog.logon.type"),
    "Status": text("winlog.logon.failure.status"),
    "SubStatus": text("winlog.logon.failure.sub_status"),
    "FailureReason": text("event.reason"),
    "ServiceName": text("service.name"),
}
_START: Table = {
    **_SUBJECT,
    "NewProcessId": number("process.pid"),
    "NewProcessName": path("process.executable", "process.name"),
    "CommandLine": text("process.command_line"),
    "ProcessId": number("process.parent.pid"),
    "ParentProcessName": path("process.parent.executable", "process.parent.name"),
}
_SERVICE: Table = {
    **_SUBJECT,
    "ServiceName": text("service.name"),
    "ServiceFileName": text("process.command_line"),
    "ImagePath": text("process.command_line"),
}
_TASK: Table = {**COMMON, "TaskName": text("winlog.task_name")}
_FLOW: Table = {
    **_PROCESS,
    "Application": path("process.executable", "process.name"),
    "SourceAddress": address("source.ip"),
    "SourcePort": number("source.port"),
    "DestAddress": address("destination.ip"),
    "DestPort": number("destination.port"),
    "Protocol": text("network.iana_number"),
}
_SHARE: Table = {**COMMON, "RelativeTargetName": path("file.path", "file.name")}


def _object_name(ecs: dict[str, Any], value: Any) -> None:
    name = str(value)
    if name.startswith("\\REGISTRY\\"):
        ecs["registry.path"] = name
    else:
        path("file.path", "file.name")(ecs, name)


_OBJECT: Table = {**COMMON, "ObjectName": _object_name}
_MEMBER: Table = {
    **_SUBJECT,
    "TargetUserName": text("group.name"),
    "TargetDomainName": text("group.domain"),
    "TargetSid": text("group.id"),
    "MemberName": text("user.target.name"),
    "MemberSid": text("user.target.id"),
}


def _user(title: str, kind: str, action: str) -> Kind:
    return Kind(title, ("iam",), ("user", kind), action, COMMON)


def _group(title: str, kind: str, action: str, fields: Table = _MEMBER) -> Kind:
    return Kind(title, ("iam",), ("group", kind), action, fields)


SECURITY: dict[int, Kind] = {
    1102: Kind("Audit log cleared", ("iam",), ("admin", "change"), "audit-log-cleared", COMMON),
    4624: Kind("Logon", ("authentication",), ("start",), "logged-in", _LOGON),
    4625: Kind("Logon failed", ("authentication",), ("start",), "logon-failed", _LOGON),
    4634: Kind("Logoff", ("authentication",), ("end",), "logged-out", _LOGON),
    4647: Kind("Logoff by user", ("authentication",), ("end",), "logged-out", _LOGON),
    4648: Kind("Logon with explicit credentials", ("authentication",), ("start",), "logged-in-explicit", COMMON),
    4656: Kind("Handle requested", ("file",), ("access",), "handle-requested", _OBJECT),
    4657: Kind("Registry value changed", ("registry",), ("change",), "registry-value-modified", _OBJECT),
    4658: Kind("Handle closed", ("file",), ("access",), "handle-closed", _OBJECT),
    4663: Kind("Object accessed", ("file",), ("access",), "object-accessed", _OBJECT),
    4672: Kind("Special privileges assigned", ("iam",), ("admin",), "logged-in-special", COMMON),
    4688: Kind("Process created", ("process",), ("start",), "created-process", _START),
    4689: Kind("Process exited", ("process",), ("end",), "exited-process", COMMON),
    4697: Kind("Service installed", ("configuration",), ("creation",), "service-installed", _SERVICE),
    4698: Kind("Scheduled task created", ("configuration",), ("creation",), "scheduled-task-created", _TASK),
    4699: Kind("Scheduled task deleted", ("configuration",), ("deletion",), "scheduled-task-deleted", _TASK),
    4702: Kind("Scheduled task updated", ("configuration",), ("change",), "scheduled-task-updated", _TASK),
    4720: _user("User account created", "creation", "added-user-account"),
    4722: _user("User account enabled", "change", "enabled-user-account"),
    4723: _user("Password change attempted", "change", "changed-password"),
    4724: _user("Password reset attempted", "change", "reset-password"),
    4725: _user("User account disabled", "deletion", "disabled-user-account"),
    4726: _user("User account deleted", "deletion", "deleted-user-account"),
    4728: _group("Member added to global group", "change", "added-member-to-group"),
    4732: _group("Member added to local group", "change", "added-member-to-group"),
    4733: _group("Member removed from local group", "change", "removed-member-from-group"),
    4738: _user("User account changed", "change", "modified-user-account"),
    4740: _user("User account locked", "change", "locked-out-user-account"),
    4756: _group("Member added to universal group", "change", "added-member-to-group"),
    4768: Kind("Kerberos ticket requested", ("authentication",), ("start",), "kerberos-ticket-requested", _LOGON),
    4769: Kind("Kerberos service ticket requested", ("authentication",), ("start",), "kerberos-service-ticket", _LOGON),
    4771: Kind("Kerberos pre-authentication failed", ("authentication",), ("start",), "kerberos-failed", _LOGON),
    4776: Kind("Credentials validated", ("authentication",), ("start",), "credential-validated", _LOGON),
    4778: Kind("Session reconnected", ("session",), ("start",), "session-reconnected", COMMON),
    4799: _group("Group membership enumerated", "info", "group-membership-enumerated", COMMON),
    5140: Kind("Share accessed", ("network", "file"), ("access",), "network-share-object-accessed", _SHARE),
    5145: Kind("Share file checked", ("network", "file"), ("access",), "network-share-object-access-checked", _SHARE),
    5156: Kind("Connection permitted", ("network",), ("connection", "allowed"), "windows-firewall-connection", _FLOW),
    5157: Kind("Connection blocked", ("network",), ("connection", "denied"), "windows-firewall-connection", _FLOW),
    5158: Kind("Port bound", ("network",), ("connection", "allowed"), "windows-firewall-bind", _FLOW),
}  # fmt: skip
_POWERSHELL: Table = {
    "ScriptBlockText": text("powershell.file.script_block_text"),
    "ScriptBlockId": text("powershell.file.script_block_id"),
    "Path": path("file.path", "file.name"),
    "Payload": text("powershell.command.invocation_details"),
}
POWERSHELL: dict[int, Kind] = {
    4103: Kind("PowerShell module", ("process",), ("info",), "powershell-module", _POWERSHELL),
    4104: Kind("PowerShell script block", ("process",), ("info",), "powershell-script-block", _POWERSHELL),
}
_STATE: Table = {"param1": text("service.name")}
SYSTEM: dict[int, Kind] = {
    104: Kind("Event log cleared", ("iam",), ("admin", "change"), "event-log-cleared", COMMON),
    7036: Kind("Service state changed", ("process",), ("change",), "service-state-changed", _STATE),
    7040: Kind("Service start type changed", ("configuration",), ("change",), "service-changed", _STATE),
    7045: Kind(
        "Service installed", ("configuration",), ("creation",), "service-installed",
        {**_SERVICE, "AccountName": each(text("winlog.event_data.AccountName"), account("user.target"))},
    ),
}  # fmt: skip
