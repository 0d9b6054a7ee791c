"""Linux syslog lines and what their messages say."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.unit.parsers.parsing import event

HEAD = "2026-11-22T09:00:00.5+01:00 web01 "


def test_a_bsd_line_gives_its_time_host_program_and_pid() -> None:
    found = event("Nov  2 08:19:44 web01 sshd[1234]: Server listening on 0.0.0.0 port 22.")
    assert found.timestamp == datetime(2026, 11, 2, 8, 19, 44, tzinfo=UTC)
    assert found.dataset == "linux.auth"
    assert found.message == "sshd: Server listening on 0.0.0.0 port 22."
    assert found.ecs["host.name"] == "web01"
    assert found.ecs["process.name"] == "sshd"
    assert found.ecs["process.pid"] == 1234
    assert found.views[0].services == ("sshd", "auth", "syslog")
    assert found.views[0].product == "linux"


def test_an_iso_line_gives_its_time_in_utc() -> None:
    assert event(HEAD + "cron[7]: (CRON) INFO (x)").timestamp == datetime(2026, 11, 22, 8, 0, 0, 500000, tzinfo=UTC)


def test_a_priority_gives_severity_and_facility() -> None:
    found = event("<38>Nov  2 08:19:44 web01 sshd[1]: hello")
    assert found.ecs["log.level"] == "informational"
    assert found.ecs["log.syslog.facility.name"] == "auth"


def test_a_line_without_a_host_keeps_its_program() -> None:
    found = event("Nov  2 08:19:44 su: pam_unix(su:session): session closed for user root")
    assert found.ecs["process.name"] == "su"
    assert "host.name" not in found.ecs


def test_a_host_may_be_an_ipv6_address() -> None:
    assert event("Nov  2 08:19:44 2001:db8::7 app: hello").ecs["host.name"] == "2001:db8::7"


def test_a_line_without_a_tag_is_still_syslog() -> None:
    found = event("Nov  2 08:19:44 web01 last message repeated 2 times")
    assert found.dataset == "linux.syslog"
    assert found.message == "last message repeated 2 times"
    assert found.ecs["host.name"] == "web01"


def test_an_rfc5424_line_gives_its_structured_data() -> None:
    found = event(
        '<34>1 2026-11-02T22:14:15.003Z mx su 77 ID47 [ex@32473 iut="3" src="App\\"x\\]"][y@1 z="1"] "su root" failed'
    )
    assert found.timestamp == datetime(2026, 11, 2, 22, 14, 15, 3000, tzinfo=UTC)
    assert found.views[0].fields["src"] == 'App"x]'
    assert found.ecs["log.syslog.structured_data.iut"] == "3"
    assert found.ecs["process.pid"] == 77
    assert found.message == 'su: "su root" failed'


def test_an_rfc5424_line_may_have_no_values() -> None:
    found = event("<13>1 - - - - - - hello")
    assert found.message == "hello"
    assert found.dataset == "linux.syslog"


SSH: list[tuple[str, dict[str, Any]]] = [
    (
        "Failed password for invalid user admin from 192.0.2.9 port 4242 ssh2",
        {
            "event.action": "ssh_login",
            "event.outcome": "failure",
            "event.category": ["authentication"],
            "user.name": "admin",
            "source.ip": "192.0.2.9",
            "source.port": 4242,
            "system.auth.ssh.method": "password",
        },
    ),
    (
        "Accepted publickey for bob from fe80::1%eth0 port 22 ssh2: RSA SHA256:abc",
        {"event.outcome": "success", "source.ip": "fe80::1", "system.auth.ssh.signature": "RSA SHA256:abc"},
    ),
    ("Invalid user x y from 192.0.2.9 port 1", {"user.name": "x y", "event.action": "ssh_invalid_user"}),
    (
        "Disconnected from authenticating user root 192.0.2.9 port 555 [preauth]",
        {"event.action": "ssh_disconnect", "user.name": "root", "source.port": 555},
    ),
    ("Disconnected from user bob 192.0.2.9 port 555", {"user.name": "bob", "source.ip": "192.0.2.9"}),
    ("Disconnected from 192.0.2.9 port 555", {"source.ip": "192.0.2.9"}),
    (
        "Disconnecting invalid user git 192.0.2.9 port 5: Too many authentication failures [preauth]",
        {"user.name": "git", "event.reason": "Too many authentication failures [preauth]"},
    ),
    ("Connection closed by invalid user git 192.0.2.9 port 5 [preauth]", {"user.name": "git"}),
    ("Connection from 192.0.2.9 port 5 on 192.0.2.1 port 22", {"source.ip": "192.0.2.9", "source.port": 5}),
    ("Received disconnect from 192.0.2.9 port 5:11: Bye Bye [preauth]", {"event.reason": "Bye Bye [preauth]"}),
    (
        "error: maximum authentication attempts exceeded for root from 192.0.2.9 port 5 ssh2 [preauth]",
        {"event.action": "ssh_attempts_exceeded", "user.name": "root"},
    ),
    (
        "error: PAM: Authentication failure for illegal user x from host.example.com",
        {"user.name": "x", "source.domain": "host.example.com"},
    ),
    (
        "User bob from 192.0.2.9 not allowed because not listed in AllowUsers",
        {"event.outcome": "failure", "event.reason": "not listed in AllowUsers"},
    ),
    (
        "pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.9  user=bob",
        {"event.action": "pam_authentication", "user.name": "bob", "source.ip": "192.0.2.9"},
    ),
    (
        "PAM 2 more authentication failures; logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.9  user=bob",
        {"system.auth.count": "2", "user.name": "bob"},
    ),
    (
        "message repeated 3 times: [ Failed password for root from 192.0.2.9 port 5 ssh2]",
        {"system.auth.count": 3, "event.outcome": "failure", "user.name": "root"},
    ),
]


@pytest.mark.parametrize(("message", "expected"), SSH)
def test_an_sshd_message_gives_who_and_from_where(message: str, expected: dict[str, Any]) -> None:
    found = event(HEAD + f"sshd[9]: {message}")
    assert {name: found.ecs.get(name) for name in expected} == expected


def test_a_user_name_cannot_forge_the_address_it_came_from() -> None:
    found = event(
        HEAD + "sshd[9]: Failed password for invalid user x from 1.1.1.1 port 1 ssh2: y from 192.0.2.9 port 5 ssh2"
    )
    assert found.ecs["source.ip"] == "192.0.2.9"
    assert found.ecs["user.name"] == "x from 1.1.1.1 port 1 ssh2: y"


def test_the_split_sshd_counts_as_sshd() -> None:
    found = event(HEAD + "sshd-session[9]: Accepted password for bob from 192.0.2.9 port 5 ssh2")
    assert found.views[0].services[0] == "sshd"
    assert found.ecs["event.outcome"] == "success"


OTHERS: list[tuple[str, dict[str, Any]]] = [
    (
        "sudo:   bob : TTY=pts/0 ; PWD=/home/bob ; USER=root ; COMMAND=/usr/bin/id -u ; ls",
        {
            "user.name": "bob",
            "user.effective.name": "root",
            "process.working_directory": "/home/bob",
            "process.command_line": "/usr/bin/id -u ; ls",
            "event.outcome": "success",
        },
    ),
    (
        "sudo: bob : 3 incorrect password attempts ; TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/sh",
        {"event.outcome": "failure", "event.reason": "3 incorrect password attempts"},
    ),
    ("su[3]: (to root) bob on pts/1", {"user.name": "bob", "user.effective.name": "root", "event.outcome": "success"}),
    ("su[3]: FAILED SU (to root) bob on pts/1", {"user.name": "bob", "event.outcome": "failure"}),
    (
        "CRON[77]: (root) CMD (   cd / && run-parts /etc/cron.hourly)",
        {"user.name": "root", "process.command_line": "cd / && run-parts /etc/cron.hourly"},
    ),
    ("crontab[77]: (bob) REPLACE (alice)", {"event.action": "crontab_change", "user.target.name": "alice"}),
    (
        "useradd[7]: new user: name=eve, UID=0, GID=0, home=/home/eve, shell=/bin/bash, from=/dev/pts/1",
        {
            "event.action": "user_added",
            "event.category": ["iam"],
            "event.type": ["user", "creation"],
            "user.target.name": "eve",
            "user.target.id": "0",
        },
    ),
    ("usermod[7]: add 'eve' to group 'sudo'", {"group.name": "sudo", "user.target.name": "eve"}),
    ("groupadd[7]: group added to /etc/group: name=ops, GID=1005", {"group.name": "ops", "group.id": "1005"}),
    ("userdel[7]: delete user 'eve'", {"event.type": ["user", "deletion"], "user.target.name": "eve"}),
    ("passwd[7]: pam_unix(passwd:chauthtok): password changed for bob", {"event.action": "password_changed"}),
    ("systemd-logind[7]: New session 3 of user bob.", {"session.id": "3", "user.name": "bob"}),
    (
        "sudo: pam_unix(sudo:session): session opened for user root(uid=0) by bob(uid=1000)",
        {"event.action": "session_opened", "user.name": "root", "user.id": "0", "system.auth.caller": "bob"},
    ),
    (
        "pkexec[5]: bob: Executing command [USER=root] [TTY=unknown] [CWD=/home/bob] [COMMAND=/usr/bin/id]",
        {"event.action": "pkexec", "user.name": "bob", "process.command_line": "/usr/bin/id"},
    ),
    ("login[5]: FAILED LOGIN (1) on '/dev/tty1' FOR 'bob', Authentication failure", {"event.outcome": "failure"}),
]


@pytest.mark.parametrize(("line", "expected"), OTHERS)
def test_a_message_of_another_program_is_understood(line: str, expected: dict[str, Any]) -> None:
    found = event(HEAD + line)
    assert {name: found.ecs.get(name) for name in expected} == expected


def test_sigma_sees_the_sudo_fields_under_their_own_names() -> None:
    fields = event(HEAD + "sudo: bob : TTY=pts/0 ; PWD=/ ; USER=#-1 ; COMMAND=/bin/sh").views[0].fields
    assert fields["USER"] == "#-1"
    assert fields["COMMAND"] == "/bin/sh"
    assert fields["user"] == "bob"


def test_a_pam_message_belongs_to_auth_whatever_the_program() -> None:
    found = event(HEAD + "CRON[7]: pam_unix(cron:session): session closed for user root")
    assert found.dataset == "linux.auth"
    assert found.views[0].services == ("cron", "auth", "syslog")


def test_an_unknown_message_is_kept_without_claims() -> None:
    found = event(HEAD + "postfix/smtpd[7]: connect from unknown[192.0.2.9]")
    assert found.dataset == "linux.syslog"
    assert found.views[0].services == ("smtpd", "syslog")
    assert "event.action" not in found.ecs


def test_a_journal_object_reads_like_its_line() -> None:
    found = event(
        {
            "MESSAGE": "Accepted password for bob from 192.0.2.9 port 5 ssh2",
            "SYSLOG_IDENTIFIER": "sshd",
            "_PID": "55",
            "_HOSTNAME": "web01",
            "__REALTIME_TIMESTAMP": "1761955200500000",
            "PRIORITY": "6",
            "SYSLOG_FACILITY": "10",
            "_EXE": "/usr/sbin/sshd",
        }
    )
    assert found.timestamp == datetime(2025, 11, 1, 0, 0, 0, 500000, tzinfo=UTC)
    assert found.dataset == "linux.auth"
    assert found.ecs["source.ip"] == "192.0.2.9"
    assert found.ecs["host.name"] == "web01"
    assert found.ecs["process.executable"] == "/usr/sbin/sshd"
    assert found.ecs["log.syslog.facility.name"] == "authpriv"


def test_a_journal_message_of_bytes_becomes_text() -> None:
    assert event({"MESSAGE": [104, 105], "SYSLOG_IDENTIFIER": "app"}).message == "app: hi"
