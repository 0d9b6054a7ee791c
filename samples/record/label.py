"""Writes samples/manifest.json: which recorded lines are the intrusion's, found from the recording itself.

A line is the intrusion's when it names the attacker's address, or was written by a process of a connection or login
session that does (sshd's process id; the kernel's session id, which sudo and cron jobs keep). Its stage is the one
that was running at its time, as record.py noted in run.json. Owns that reasoning; changes no log.
"""

from __future__ import annotations

import bisect
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

SAMPLES = Path(__file__).parent.parent
SOURCES = {
    "auth.log": "web01/auth",
    "cron.log": "web01/cron",
    "nginx-access.log": "web01/nginx",
    "audit.log": "web01/audit",
}
#: stage -> what it was, ATT&CK techniques
STAGES = {
    "path-probing": ("A scanner asks for secrets and administration pages", ["T1595.003"]),
    "web-shell-probing": ("The scanner looks for web shells left by others", ["T1595.002", "T1505.003"]),
    "web-exploits": ("SQL injection, path traversal and other exploits are tried", ["T1190"]),
    "password-guessing": ("Passwords are guessed over SSH, until deploy's fits", ["T1110.001", "T1078.003"]),
    "discovery": ("A first login asks who and where it is", ["T1033", "T1082", "T1087.001"]),
    "download-to-shell": ("A script is downloaded and piped into a shell", ["T1105", "T1059.004"]),
    "encoded-command": ("A base64-encoded command is decoded into a shell", ["T1027", "T1140", "T1059.004"]),
    "dropped-program": ("A program is downloaded to /tmp, made executable and run", ["T1105", "T1222.002"]),
    "shadow-read": ("The password hashes are read with sudo", ["T1003.008", "T1548.003"]),
    "cron-persistence": ("The account's crontab is replaced by one that downloads and runs a script", ["T1053.003"]),
    "new-sudo-account": ("An account with root's id and membership of sudo is made", ["T1136.001", "T1098.007"]),
    "authorized-key": ("An SSH key is added for deploy and for root", ["T1098.004"]),
    "setuid-shell": ("A copy of bash is made setuid root", ["T1548.001"]),
    "reverse-shell": ("Reverse shells by bash, Python and netcat", ["T1059.004", "T1059.006", "T1095"]),
    "covering-tracks": ("Shell history and system logs are destroyed", ["T1070.003", "T1685.006"]),
    "cron-run": ("The crontab that was left downloads and runs its script", ["T1053.003", "T1105"]),
}
UNSET = "4294967295"
AUDIT_ID = re.compile(r"msg=audit\((?P<time>\d+\.\d+):(?P<serial>\d+)\)")
SESSION = re.compile(r"\bses=(\d+)")
PID = re.compile(r"\bpid=(\d+)")
SYSLOG = re.compile(r"(?P<time>\S+) \S+ (?P<program>[^\[:]+)(?:\[(?P<pid>\d+)\])?: ")
NGINX = re.compile(r"(?P<address>\S+) \S+ \S+ \[(?P<time>[^\]]+)\]")

Labelled = Iterator[tuple[int, str]]


class Labels:
    """What of the recording belongs to the intrusion: login sessions, cron's among them, and process ids."""

    def __init__(self, run: dict[str, Any], auth: list[str], audit: list[str]) -> None:
        self.attacker: str = run["attacker"]
        self._begins = [mark["begin"] - 1 for mark in run["marks"]]
        self._stages = [mark["stage"] for mark in run["marks"]]
        encoded = self.attacker.encode().hex().upper()
        events: dict[str, list[str]] = defaultdict(list)
        for line in audit:
            if match := AUDIT_ID.search(line):
                events[match["serial"]].append(line)
        texts = ["\n".join(lines) for lines in events.values()]
        named = {ses for text in texts if self.attacker in text or encoded in text for ses in SESSION.findall(text)}
        self.sessions = named - {UNSET}
        self.cron = {ses for text in texts if 'exe="/usr/sbin/cron"' in text for ses in SESSION.findall(text)} - {UNSET}
        self.pids = {m["pid"] for line in auth if self.attacker in line and (m := SYSLOG.match(line)) and m["pid"]}
        inside = [text for text in texts if self.sessions & set(SESSION.findall(text))]
        self.pids |= {pid for text in inside for pid in PID.findall(text)}
        self.cron_pids = {pid for text in inside if self.cron & set(SESSION.findall(text)) for pid in PID.findall(text)}

    def stage(self, when: float) -> str:
        """The stage that ran at `when` (epoch seconds), or the last before it."""
        return str(self._stages[max(0, bisect.bisect_right(self._begins, when) - 1)])

    def syslog(self, lines: list[str]) -> Labelled:
        """(line number, stage) of auth.log and cron.log."""
        for number, line in enumerate(lines, start=1):
            match = SYSLOG.match(line)
            if match is None or not (self.attacker in line or match["pid"] in self.pids):
                continue
            cron = match["program"] == "CRON"
            yield number, "cron-run" if cron else self.stage(datetime.fromisoformat(match["time"]).timestamp())

    def nginx(self, lines: list[str]) -> Labelled:
        """(line number, stage) of the access log."""
        for number, line in enumerate(lines, start=1):
            match = NGINX.match(line)
            if match and match["address"] == self.attacker:
                when = datetime.strptime(match["time"], "%d/%b/%Y:%H:%M:%S %z")
                yield number, self.stage(when.timestamp())

    def audit(self, lines: list[str]) -> Labelled:
        """(line number, stage) of the audit log: every record of an event that is the intrusion's."""
        ours: dict[str, str] = {}
        for line in lines:
            match = AUDIT_ID.search(line)
            if match is None:
                continue
            sessions, pids = set(SESSION.findall(line)), set(PID.findall(line))
            before_login = pids & self.pids and sessions <= {UNSET}
            if self.attacker in line or sessions & self.sessions or before_login:
                cron = sessions & self.cron or pids & self.cron_pids
                # The first record of an event knows the session, the later ones need not.
                ours.setdefault(match["serial"], "cron-run" if cron else self.stage(float(match["time"])))
        for number, line in enumerate(lines, start=1):
            if (match := AUDIT_ID.search(line)) and match["serial"] in ours:
                yield number, ours[match["serial"]]


def ranges(numbers: list[int]) -> list[list[int]]:
    """Ascending line numbers as [first, last] pairs."""
    pairs: list[list[int]] = []
    for number in numbers:
        if pairs and number == pairs[-1][1] + 1:
            pairs[-1][1] = number
        else:
            pairs.append([number, number])
    return pairs


def manifest(run: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The manifest of the recording in `folder`."""
    # Not splitlines(): the enriched part of an audit record begins with a control character that it takes for a break.
    lines = {name: (folder / name).read_text().removesuffix("\n").split("\n") for name in SOURCES}
    labels = Labels(run, lines["auth.log"], lines["audit.log"])
    read = {"nginx-access.log": labels.nginx, "audit.log": labels.audit}
    found: dict[tuple[str, str], list[int]] = defaultdict(list)
    for name in SOURCES:
        for number, stage in read.get(name, labels.syslog)(lines[name]):
            found[stage, name].append(number)
    attack = [
        {
            "stage": stage,
            "path": f"recorded/{name}",
            "lines": ranges(found[stage, name]),
            "what": what,
            "techniques": techniques,
        }
        for stage, (what, techniques) in STAGES.items()
        for name in SOURCES
        if (stage, name) in found
    ]
    files = [
        {
            "path": f"recorded/{name}",
            "source": source,
            "format": None,
            "content_type": "text/plain",
            "lines": len(lines[name]),
        }
        for name, source in SOURCES.items()
    ]
    facts = {key: run[key] for key in ("host", "attacker", "recorded_at", "duration_seconds")}
    return {**facts, "files": files, "attack": attack}


def table(labelled: dict[str, Any]) -> str:
    """The attack as a Markdown table: stage, techniques, and per file how many lines between which."""
    rows = ["| stage | what | ATT&CK | lines |", "|---|---|---|---|"]
    for stage, (what, techniques) in STAGES.items():
        parts = [part for part in labelled["attack"] if part["stage"] == stage]
        where = [
            f"{Path(part['path']).name} {part['lines'][0][0]}-{part['lines'][-1][1]} "
            f"({sum(last - first + 1 for first, last in part['lines'])})"
            for part in parts
        ]
        rows.append(f"| {stage} | {what} | {', '.join(techniques)} | {'; '.join(where)} |")
    return "\n".join(rows)


def main() -> None:
    """`python label.py`: label samples/recorded, and print the table of samples/README.md."""
    run = json.loads((SAMPLES / "recorded/run.json").read_text())
    labelled = manifest(run, SAMPLES / "recorded")
    print(table(labelled))
    text = json.dumps(labelled, indent=1)
    compact = re.sub(r"\[\s+(\d+),\s+(\d+)\s+\]", r"[\1, \2]", text)
    (SAMPLES / "manifest.json").write_text(compact + "\n")


if __name__ == "__main__":
    main()
