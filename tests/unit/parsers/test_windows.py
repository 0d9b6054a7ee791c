"""Windows event log entries in their three JSON shapes."""

from datetime import UTC, datetime
from typing import Any

import pytest

from services.siem.logs.parsers.windows_logsource import categories_of, services_of
from tests.unit.parsers.parsing import event, view

SYSMON = "Microsoft-Windows-Sysmon/Operational"
START = {
    "RuleName": "-",
    "UtcTime": "2026-04-20 10:00:35.640",
    "ProcessGuid": "{0197231E-F943-69E5-A527-000000000800}",
    "ProcessId": "6180",
    "Image": "C:\\Windows\\System32\\cmd.exe",
    "OriginalFileName": "Cmd.Exe",
    "CommandLine": "cmd /c whoami",
    "CurrentDirectory": "C:\\Users\\bob\\",
    "User": "CORP\\bob",
    "Hashes": "MD5=FF9D1E,SHA256=A80CB3,IMPHASH=3D4392",
    "ParentProcessGuid": "{0197231E-8126-69E4-8326-000000000800}",
    "ParentProcessId": "6428",
    "ParentImage": "C:\\Windows\\explorer.exe",
    "ParentCommandLine": "explorer",
}
EXPECTED = {
    "event.action": "process-created",
    "event.category": ["process"],
    "event.type": ["start"],
    "event.code": "1",
    "host.name": "ws5.corp",
    "winlog.channel": SYSMON,
    "winlog.event_id": "1",
    "winlog.computer_name": "ws5.corp",
    "event.provider": "Microsoft-Windows-Sysmon",
    "process.entity_id": "{0197231E-F943-69E5-A527-000000000800}",
    "process.pid": 6180,
    "process.executable": "C:\\Windows\\System32\\cmd.exe",
    "process.name": "cmd.exe",
    "process.command_line": "cmd /c whoami",
    "process.working_directory": "C:\\Users\\bob\\",
    "process.hash.md5": "ff9d1e",
    "process.hash.sha256": "a80cb3",
    "process.pe.imphash": "3d4392",
    "process.pe.original_file_name": "Cmd.Exe",
    "process.parent.entity_id": "{0197231E-8126-69E4-8326-000000000800}",
    "process.parent.pid": 6428,
    "process.parent.executable": "C:\\Windows\\explorer.exe",
    "process.parent.name": "explorer.exe",
    "process.parent.command_line": "explorer",
    "user.name": "bob",
    "user.domain": "CORP",
}


def flat(event_id: int, channel: str = SYSMON, **data: Any) -> dict[str, Any]:
    head = {"EventID": event_id, "Channel": channel, "SourceName": "Microsoft-Windows-Sysmon", "Hostname": "ws5.corp"}
    return {**head, "@timestamp": "2026-04-20T10:00:36.000Z", **data}


def nested(event_id: Any, channel: str, data: Any, **system: Any) -> dict[str, Any]:
    head = {
        "Provider": {"#attributes": {"Name": "Microsoft-Windows-Sysmon"}},
        "EventID": event_id,
        "TimeCreated": {"#attributes": {"SystemTime": "2026-04-20T10:00:35.646624Z"}},
        "Channel": channel,
        "Computer": "ws5.corp",
        "Level": 4,
        **system,
    }
    return {"Event": {"System": head, "EventData": data}}


def winlogbeat(event_id: Any, channel: str, data: dict[str, Any], **more: Any) -> dict[str, Any]:
    winlog = {
        "channel": channel,
        "event_id": event_id,
        "provider_name": "Microsoft-Windows-Sysmon",
        "computer_name": "ws5.corp",
        "event_data": data,
    }
    return {"@timestamp": "2026-04-20T10:00:35.646Z", "winlog": winlog, **more}


@pytest.mark.parametrize(
    "document",
    [flat(1, **START), nested(1, SYSMON, START), winlogbeat("1", SYSMON, START)],
    ids=["flat", "nested", "winlogbeat"],
)
def test_every_shape_gives_the_same_process_creation(document: dict[str, Any]) -> None:
    found = event(document)
    assert found.dataset == "windows.sysmon"
    assert {name: found.ecs.get(name) for name in EXPECTED} == EXPECTED
    sigma = view(found, "process_creation")
    assert (sigma.product, sigma.services) == ("windows", ("sysmon",))
    wanted = {**START, "EventID": 1, "Channel": SYSMON, "Provider_Name": "Microsoft-Windows-Sysmon"}
    assert {name: sigma.fields.get(name) for name in wanted} == wanted
    assert sigma.fields["Computer"] == "ws5.corp"


def test_the_message_is_one_readable_line() -> None:
    shown = event(nested(1, SYSMON, START)).message
    assert shown.startswith("Process created: ")
    assert "CommandLine=cmd /c whoami" in shown
    assert event(flat(1, Message="Process Create:\r\n\tUser: bob ")).message == "Process Create: User: bob"


def test_the_system_time_with_a_zone_comes_first() -> None:
    assert event(nested(1, SYSMON, START)).timestamp == datetime(2026, 4, 20, 10, 0, 35, 646624, tzinfo=UTC)


def test_a_local_time_without_a_zone_yields_to_the_utc_time() -> None:
    found = event(flat(1, **START, TimeCreated="2026-04-20 18:00:35.640", EventTime="2026-04-20 18:00:35"))
    assert found.timestamp == datetime(2026, 4, 20, 10, 0, 35, 640000, tzinfo=UTC)


def test_a_local_time_is_taken_as_utc_where_there_is_no_other() -> None:
    document = {"EventID": 7036, "Channel": "System", "EventTime": "2026-04-20 18:00:35"}
    assert event(document).timestamp == datetime(2026, 4, 20, 18, 0, 35, tzinfo=UTC)


SYSMON_EVENTS: list[tuple[int, dict[str, Any], dict[str, Any]]] = [
    (
        3,
        {
            "SourceIp": "10.0.0.5",
            "SourcePort": "555",
            "DestinationIp": "192.0.2.7",
            "DestinationPort": 443,
            "Protocol": "tcp",
            "Initiated": "true",
            "DestinationHostname": "-",
        },
        {
            "source.ip": "10.0.0.5",
            "source.port": 555,
            "destination.ip": "192.0.2.7",
            "destination.port": 443,
            "network.transport": "tcp",
            "network.direction": "egress",
        },
    ),
    (
        7,
        {"Image": "C:\\a.exe", "ImageLoaded": "C:\\b.dll", "Signed": "false"},
        {"dll.path": "C:\\b.dll", "dll.name": "b.dll", "file.code_signature.exists": "false"},
    ),
    (
        10,
        {
            "SourceProcessGUID": "{1}",
            "SourceImage": "C:\\a.exe",
            "TargetImage": "C:\\lsass.exe",
            "GrantedAccess": "0x1410",
        },
        {"process.entity_id": "{1}", "process.name": "a.exe", "winlog.event_data.TargetImage": "C:\\lsass.exe"},
    ),
    (11, {"TargetFilename": "C:\\tmp\\x.exe"}, {"file.path": "C:\\tmp\\x.exe", "file.name": "x.exe"}),
    (
        13,
        {"EventType": "SetValue", "TargetObject": "HKLM\\SOFTWARE\\Run\\x", "Details": "evil"},
        {
            "registry.path": "HKLM\\SOFTWARE\\Run\\x",
            "registry.hive": "HKLM",
            "registry.key": "SOFTWARE\\Run\\x",
            "registry.value": "x",
            "registry.data.strings": "evil",
        },
    ),
    (
        22,
        {"QueryName": "example.com", "QueryResults": "type:  5 a.example.com;::ffff:192.0.2.7;2001:db8::1;"},
        {"dns.question.name": "example.com", "dns.resolved_ip": ["192.0.2.7", "2001:db8::1"]},
    ),
    (23, {"TargetFilename": "C:\\x", "Hashes": "SHA1=AB"}, {"file.hash.sha1": "ab"}),
    (17, {"PipeName": "\\evil"}, {"file.name": "\\evil"}),
]


@pytest.mark.parametrize(("event_id", "data", "expected"), SYSMON_EVENTS)
def test_a_sysmon_event_gives_its_ecs_fields(event_id: int, data: dict[str, Any], expected: dict[str, Any]) -> None:
    found = event(nested(event_id, SYSMON, data))
    assert {name: found.ecs.get(name) for name in expected} == expected


@pytest.mark.parametrize(
    ("event_id", "kind", "categories"),
    [
        (1, None, {"process_creation"}),
        (12, "CreateKey", {"registry_event", "registry_add"}),
        (12, "DeleteKey", {"registry_event", "registry_delete"}),
        (12, "DeleteValue", {"registry_event", "registry_delete"}),
        (12, None, {"registry_event", "registry_add", "registry_delete"}),
        (13, "SetValue", {"registry_event", "registry_set"}),
        (26, None, {"file_delete"}),
        (99, None, {None}),
    ],
)
def test_a_sysmon_event_has_a_view_per_sigma_category(
    event_id: int, kind: str | None, categories: set[str | None]
) -> None:
    found = event(nested(event_id, SYSMON, {} if kind is None else {"EventType": kind}))
    assert {each.category for each in found.views} == categories


def test_nxlogs_renamed_event_type_is_put_back() -> None:
    document = flat(12, EventType="INFO", EventTypeOrignal="DeleteValue", TargetObject="HKLM\\x")
    assert view(event(document), "registry_delete").fields["EventType"] == "DeleteValue"


def test_a_4688_is_also_a_process_creation_under_sysmons_names() -> None:
    found = event(
        nested(
            4688,
            "Security",
            {
                "SubjectUserName": "bob",
                "SubjectDomainName": "CORP",
                "SubjectLogonId": "0x3e7",
                "NewProcessId": "0x24a8",
                "NewProcessName": "C:\\Windows\\System32\\regsvr32.exe",
                "ProcessId": "0x21c8",
                "ParentProcessName": "C:\\Windows\\System32\\cmd.exe",
                "CommandLine": "regsvr32 /s x",
                "MandatoryLabel": "S-1-16-12288",
            },
            Keywords="0x8020000000000000",
        )
    )
    assert found.ecs["process.pid"] == 0x24A8
    assert found.ecs["process.parent.pid"] == 0x21C8
    assert found.ecs["event.outcome"] == "success"
    assert view(found, None).fields["NewProcessId"] == "0x24a8"
    assert view(found, "process_creation").fields == {
        "EventID": 4688,
        "Channel": "Security",
        "Provider_Name": "Microsoft-Windows-Sysmon",
        "Computer": "ws5.corp",
        "Image": "C:\\Windows\\System32\\regsvr32.exe",
        "CommandLine": "regsvr32 /s x",
        "ProcessId": 0x24A8,
        "ParentImage": "C:\\Windows\\System32\\cmd.exe",
        "ParentProcessId": 0x21C8,
        "User": "CORP\\bob",
        "LogonId": "0x3e7",
        "IntegrityLevel": "High",
    }


def test_a_failed_logon_names_the_account_and_the_address() -> None:
    data = {
        "TargetUserName": "bob",
        "TargetDomainName": "CORP",
        "IpAddress": "::ffff:10.1.1.1",
        "IpPort": "555",
        "LogonType": "3",
    }
    found = event(winlogbeat(4625, "Security", data, event={"outcome": "failure"}))
    assert found.dataset == "windows.security"
    assert found.ecs["user.name"] == "bob"
    assert found.ecs["source.ip"] == "10.1.1.1"
    assert found.ecs["event.outcome"] == "failure"
    assert found.ecs["winlog.logon.type"] == "3"


@pytest.mark.parametrize(
    ("keywords", "outcome"),
    [("0x8010000000000000", "failure"), (-9214364837600034816, "success"), ("0x8000000000000000", None), ("x", None)],
)
def test_the_audit_bits_tell_the_outcome(keywords: Any, outcome: str | None) -> None:
    assert event(flat(4656, "security", Keywords=keywords)).ecs.get("event.outcome") == outcome


def test_winlogbeats_own_ecs_fields_win() -> None:
    found = event(winlogbeat(1, SYSMON, START, process={"name": "CMD.EXE"}, message="Process\n Create", tags=["a"]))
    assert found.ecs["process.name"] == "CMD.EXE"
    assert found.ecs["tags"] == ["a"]
    assert found.message == "Process Create"


def test_winlogbeat_with_dotted_names_is_recognised() -> None:
    found = event({"winlog.event_id": 1, "winlog.channel": SYSMON, "winlog.event_data.Image": "C:\\a.exe"})
    assert view(found, "process_creation").fields["Image"] == "C:\\a.exe"


def test_the_older_winlogbeat_with_its_fields_at_the_root_is_recognised() -> None:
    found = event(
        {
            "@timestamp": "2019-03-01T10:00:00Z",
            "log_name": SYSMON,
            "event_id": 1,
            "source_name": "Microsoft-Windows-Sysmon",
            "computer_name": "ws5.corp",
            "event_data": START,
        }
    )
    assert {name: found.ecs.get(name) for name in EXPECTED} == EXPECTED


def test_named_data_elements_and_an_event_id_with_attributes_are_read() -> None:
    data = {
        "Data": [{"@Name": "ServiceName", "#text": "evil"}, {"#attributes": {"Name": "ImagePath"}, "#text": "x.exe"}]
    }
    found = event(nested({"#attributes": {"Qualifiers": 16384}, "#text": 7045}, "System", data))
    assert found.ecs["event.code"] == "7045"
    assert found.ecs["service.name"] == "evil"
    assert view(found, None).fields["ImagePath"] == "x.exe"


def test_unnamed_data_is_kept_as_data() -> None:
    one = event(nested(400, "Windows PowerShell", {"Data": {"#text": ["a", "HostApplication=powershell"]}}))
    assert view(one, "ps_classic_start").fields["Data"] == ["a", "HostApplication=powershell"]
    two = event(nested(1000, "Application", {"Data": "crash", "Binary": None}))
    assert view(two, None).fields["Data"] == "crash"


def test_classic_powershell_without_data_has_its_rendering() -> None:
    found = event({"EventID": 400, "Channel": "Windows PowerShell", "Message": "x\r\n\tHostApplication=powershell"})
    assert "HostApplication=powershell" in view(found, "ps_classic_start").fields["Data"]


def test_user_data_is_read_like_event_data() -> None:
    document = nested(5858, "Microsoft-Windows-WMI-Activity/Operational", None)
    document["Event"]["UserData"] = {"Operation_ClientFailure": {"#attributes": {"xmlns": "x"}, "Operation": "Start"}}
    found = event(document)
    assert found.views[0].services == ("wmi",)
    assert found.views[0].fields["Operation"] == "Start"
    assert "xmlns" not in str(found.views[0].fields)


def test_channels_are_known_in_any_case() -> None:
    assert services_of("SECURITY") == ("security",)
    assert services_of("Microsoft-ServiceBus-Client/Admin") == ("servicebus-client", "microsoft-servicebus-client")
    assert services_of("Unheard/Of") == ()
    assert categories_of("windows powershell", 400, {}) == ("ps_classic_start",)
    assert categories_of(SYSMON, None, {}) == ()


def test_an_unknown_channel_is_still_a_windows_event() -> None:
    found = event({"EventID": "5", "Channel": "Some-App/Operational", "Reason": "why"})
    assert found.dataset == "windows.eventlog"
    assert found.views[0].product == "windows"
    assert found.ecs["winlog.event_data.Reason"] == "why"


@pytest.mark.parametrize(
    "document",
    [
        {"EventID": 4104, "Channel": "Microsoft-Windows-PowerShell/Operational", "ExecutionProcessID": 4242,
         "SourceName": "Microsoft-Windows-PowerShell", "ScriptBlockText": "whoami"},
        {"Event": {"System": {"EventID": 4104, "Channel": "Microsoft-Windows-PowerShell/Operational",
                              "Execution": {"#attributes": {"ProcessID": 4242, "ThreadID": 8}}},
                   "EventData": {"ScriptBlockText": "whoami"}}},
        {"winlog": {"channel": "Microsoft-Windows-PowerShell/Operational", "event_id": 4104,
                    "process": {"pid": 4242}, "event_data": {"ScriptBlockText": "whoami"}}},
    ],
)  # fmt: skip
def test_powershell_entries_keep_the_process_that_ran_the_script(document: dict[str, Any]) -> None:
    assert event(document).ecs["process.pid"] == 4242


def test_an_entry_about_another_process_does_not_take_its_writers_id() -> None:
    document = {"EventID": 4624, "Channel": "Security", "SourceName": "x", "ExecutionProcessID": 700}
    assert "process.pid" not in event(document).ecs
