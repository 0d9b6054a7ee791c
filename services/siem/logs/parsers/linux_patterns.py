"""The messages of Linux programs: one table per program, from how a message reads to what ECS calls it.

A pattern is tried only where the message starts with its first word, and none can backtrack over more than one free
part. Sources: OpenSSH 9, sudo, shadow-utils, pam_unix, Debian's cron, systemd-logind, polkit. A user name comes from
the other side and may hold anything: patterns take the *last* " from " of a line, which the daemon wrote.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pattern:
    """A kind of message: how it reads, and what ECS calls it. `outcome` is "success", "failure" or ""."""

    regex: re.Pattern[str]
    action: str
    category: tuple[str, ...]
    type: tuple[str, ...]
    outcome: str


def _p(regex: str, action: str, kind: str) -> Pattern:
    """`kind` is `category[,category]:type[,type]:outcome`."""
    category, types, outcome = kind.split(":")
    return Pattern(re.compile(regex), action, tuple(category.split(",")), tuple(types.split(",")), outcome)


_FROM = r"from (?P<src>\S{1,255})(?: port (?P<port>\d{1,5}))?"
_WHO = (
    r"(?:(?:authenticating |invalid )?user (?P<user>.*) )?(?P<src>[0-9A-Fa-f:.]{2,45}|UNKNOWN) port (?P<port>\d{1,5})"
)
_SSHD = {
    "Accepted": [
        _p(
            rf"Accepted (?P<method>\S+) for (?P<user>.*) {_FROM}(?: ssh2?)?(?:: (?P<signature>.*))?$",
            "ssh_login",
            "authentication,session:start:success",
        )
    ],
    "Failed": [
        _p(
            rf"Failed (?P<method>\S+) for (?:invalid user )?(?P<user>.*) {_FROM}(?: ssh2?)?(?:: (?P<signature>.*))?$",
            "ssh_login",
            "authentication:start:failure",
        )
    ],
    "Invalid": [_p(rf"Invalid user (?P<user>.*) {_FROM}$", "ssh_invalid_user", "authentication:info:failure")],
    "Disconnecting": [
        _p(rf"Disconnecting {_WHO}: (?P<reason>.*)$", "ssh_disconnect", "session,network:end:failure"),
    ],
    "Disconnected": [_p(rf"Disconnected from {_WHO}", "ssh_disconnect", "session,network:end:")],
    "Connection": [
        _p(rf"Connection (?:closed|reset) by {_WHO}", "ssh_connection_closed", "session,network:end:"),
        _p(rf"Connection {_FROM}", "ssh_connection", "network:connection,start:"),
    ],
    "Received": [
        _p(rf"Received disconnect {_FROM}:\s?\d*:? ?(?P<reason>.*)$", "ssh_disconnect", "session,network:end:")
    ],
    "Did": [_p(rf"Did not receive identification string {_FROM}", "ssh_no_identification", "network:connection:")],
    "Unable": [
        _p(
            r"Unable to negotiate with (?P<src>\S+) port (?P<port>\d+): (?P<reason>.*)$",
            "ssh_negotiation",
            "network:connection,denied:failure",
        )
    ],
    "banner": [
        _p(rf"banner exchange: Connection {_FROM}: (?P<reason>.*)$", "ssh_banner", "network:connection,denied:failure")
    ],
    "User": [
        _p(
            rf"User (?P<user>.*) {_FROM} not allowed because (?P<reason>.*)$",
            "ssh_login",
            "authentication:start,denied:failure",
        )
    ],
    "error:": [
        _p(
            rf"error: maximum authentication attempts exceeded for (?:invalid user )?(?P<user>.*) {_FROM}",
            "ssh_attempts_exceeded",
            "authentication:info:failure",
        ),
        _p(
            rf"error: PAM: (?P<reason>[\w ]{{1,64}}?) for (?:illegal user )?(?P<user>.*) {_FROM}",
            "ssh_login",
            "authentication:start:failure",
        ),
    ],
    "Starting": [
        _p(rf"Starting session: (?P<command>.*) for (?P<user>\S+) {_FROM}", "ssh_session", "session:start:success")
    ],
    "reverse": [
        _p(
            r"reverse mapping checking getaddrinfo for \S+ \[(?P<src>[^\]]+)\] failed",
            "ssh_reverse_mapping",
            "network:info:",
        )
    ],
    "Server": [_p(r"Server listening on \S+ port \d+", "ssh_listening", "network:start:")],
}
_SUDO_TAIL = (
    r"TTY=(?P<tty>[^\s;]*) ; PWD=(?P<cwd>[^;]*) ; USER=(?P<effective>[^;]*?)(?: ; GROUP=[^\s;]*)?"
    r"(?: ; TSID=[^\s;]*)?(?: ; ENV=[^;]*)? ; COMMAND=(?P<command>.*)$"
)
_SUDO = [
    _p(rf"(?P<user>\S+) : {_SUDO_TAIL}", "sudo", "process,authentication:start:success"),
    _p(
        rf"(?P<user>\S+) : (?P<reason>[^;]*) ; {_SUDO_TAIL}",
        "sudo",
        "process,authentication:start,denied:failure",
    ),
]
_SU = {
    "FAILED": [
        _p(r"FAILED SU \(to (?P<effective>\S+)\) (?P<user>\S+) on (?P<tty>\S+)", "su", "authentication:start:failure")
    ],
    "Successful": [_p(r"Successful su for (?P<effective>\S+) by (?P<user>\S+)", "su", "authentication:start:success")],
    "(to": [_p(r"\(to (?P<effective>\S+)\) (?P<user>\S+) on (?P<tty>\S+)", "su", "authentication:start:success")],
    "+": [_p(r"\+ (?P<tty>\S+) (?P<user>[^\s:]+):(?P<effective>\S+)", "su", "authentication:start:success")],
    "-": [_p(r"- (?P<tty>\S+) (?P<user>[^\s:]+):(?P<effective>\S+)", "su", "authentication:start:failure")],
}
_CRON = [
    _p(r"\((?P<user>[^)]*)\) CMD \( *(?P<command>.*)\)$", "cron_command", "process:start:success"),
    _p(
        r"\((?P<user>[^)]*)\) (?:REPLACE|BEGIN EDIT|END EDIT|DELETE) \((?P<target>[^)]*)\)",
        "crontab_change",
        "configuration:change:",
    ),
    _p(r"\((?P<user>[^)]*)\) LIST \((?P<target>[^)]*)\)", "crontab_list", "configuration:access:"),
    _p(r"\((?P<user>[^)]*)\) RELOAD \((?P<file>[^)]*)\)", "crontab_reload", "configuration:change:"),
]
_ACCOUNTS = {
    "new": [
        _p(
            r"new user: name=(?P<target>[^,]+), UID=(?P<target_uid>\d+), GID=(?P<gid>\d+)(?:,"
            r" home=(?P<home>[^,]*))?(?:, shell=(?P<shell>[^,]*))?",
            "user_added",
            "iam:user,creation:success",
        ),
        _p(r"new group: name=(?P<group>[^,]+), GID=(?P<gid>\d+)", "group_added", "iam:group,creation:success"),
    ],
    "group": [
        _p(
            r"group added to \S+: name=(?P<group>[^,]+)(?:, GID=(?P<gid>\d+))?",
            "group_added",
            "iam:group,creation:success",
        )
    ],
    "add": [
        _p(
            r"add '(?P<target>[^']+)' to (?:shadow )?group '(?P<group>[^']+)'",
            "group_member_added",
            "iam:group,change:success",
        )
    ],
    "user": [
        _p(
            r"user (?P<target>\S+) added by (?P<by>\S+) to group (?P<group>\S+)",
            "group_member_added",
            "iam:group,change:success",
        )
    ],
    "change": [_p(r"change user '(?P<target>[^']+)' (?P<reason>.*)$", "user_changed", "iam:user,change:success")],
    "changed": [
        _p(r"changed user '(?P<target>[^']+)' (?P<reason>.*)$", "user_changed", "iam:user,change:success"),
        _p(r"changed (?P<reason>password expiry) for (?P<target>\S+)", "user_changed", "iam:user,change:success"),
    ],
    "lock": [_p(r"lock user '(?P<target>[^']+)'", "user_locked", "iam:user,change:success")],
    "delete": [
        _p(r"delete user '(?P<target>[^']+)'", "user_deleted", "iam:user,deletion:success"),
        _p(
            r"delete '(?P<target>[^']+)' from (?:shadow )?group '(?P<group>[^']+)'",
            "group_member_removed",
            "iam:group,change:success",
        ),
    ],
    "removed": [_p(r"removed (?:shadow )?group '(?P<group>[^']+)'", "group_deleted", "iam:group,deletion:success")],
    "failed": [
        _p(r"failed adding user '(?P<target>[^']+)'(?:, (?P<reason>.*))?$", "user_added", "iam:user,creation:failure")
    ],
}
_LOGIND = {
    "New": [_p(r"New session (?P<session>\S+) of user (?P<user>[^\s.]+)", "session_started", "session:start:success")],
    "Removed": [_p(r"Removed session (?P<session>[^\s.]+)", "session_ended", "session:end:success")],
    "Session": [_p(r"Session (?P<session>\S+) logged out", "session_ended", "session:end:success")],
    "System": [_p(r"System is (?P<reason>[^.]*)", "system_state", "host:change:")],
}
_LOGIN = [
    _p(
        r"FAILED LOGIN \(\d+\) on '(?P<tty>[^']*)'(?: from '(?P<src>[^']*)')? FOR '(?P<user>.*)', (?P<reason>.*)$",
        "login",
        "authentication:start:failure",
    ),
    _p(r"ROOT LOGIN ON (?P<tty>\S+)(?: FROM '?(?P<src>[^\s']+))?", "login", "authentication,session:start:success"),
    _p(
        r"(?:LOGIN|DIALUP) ON (?P<tty>\S+) BY (?P<user>\S+)(?: FROM (?P<src>\S+))?",
        "login",
        "authentication,session:start:success",
    ),
]
_PKEXEC = [
    _p(
        r"(?P<user>\S+): Executing command \[USER=(?P<effective>[^\]]*)\] \[TTY=(?P<tty>[^\]]*)\]"
        r" \[CWD=(?P<cwd>[^\]]*)\] \[COMMAND=(?P<command>.*)\]$",
        "pkexec",
        "process,authentication:start:success",
    ),
    _p(
        r"(?P<user>\S+): (?P<reason>[^\[]*) \[USER=(?P<effective>[^\]]*)\] \[TTY=(?P<tty>[^\]]*)\]"
        r" \[CWD=(?P<cwd>[^\]]*)\] \[COMMAND=(?P<command>.*)\]$",
        "pkexec",
        "process,authentication:start,denied:failure",
    ),
]
PAM = [
    _p(
        r"pam_\w+\([\w:.-]+:session\): session opened for user"
        r" (?P<user>[^\s(]+)(?:\(uid=(?P<uid>\d+)\))?(?: by (?P<caller>[^\s(]*))?",
        "session_opened",
        "session:start:success",
    ),
    _p(
        r"pam_\w+\([\w:.-]+:session\): session closed for user (?P<user>[^\s(]+)",
        "session_closed",
        "session:end:success",
    ),
    _p(
        r"pam_\w+\([\w:.-]+:auth\): authentication failure;.*? tty=(?P<tty>\S*) ruser=(?P<ruser>\S*)"
        r" rhost=(?P<src>\S*)(?: +user=(?P<user>.*))?$",
        "pam_authentication",
        "authentication:start:failure",
    ),
    _p(
        r"pam_\w+\([\w:.-]+:auth\): (?P<reason>check pass; user unknown|conversation failed|auth could"
        r" not identify password for \[(?P<user>[^\]]*)\])",
        "pam_authentication",
        "authentication:start:failure",
    ),
    _p(
        r"pam_\w+\([\w:.-]+:chauthtok\): password changed for (?P<target>\S+)",
        "password_changed",
        "iam:user,change:success",
    ),
    _p(r"pam_\w+\([\w:.-]+:account\): (?P<reason>.*)$", "pam_account", "authentication:info:failure"),
]
PAM_MORE = _p(
    r"PAM (?P<count>\d+) more authentication failures?;.*? rhost=(?P<src>\S*)(?: +user=(?P<user>.*))?$",
    "pam_authentication",
    "authentication:start:failure",
)

#: Program -> patterns, by the first word of the message where the program has many kinds.
BY_WORD: dict[str, dict[str, list[Pattern]]] = {"sshd": _SSHD, "su": _SU, "systemd-logind": _LOGIND}
BY_WORD |= dict.fromkeys(
    (
        "useradd",
        "userdel",
        "usermod",
        "groupadd",
        "groupdel",
        "groupmod",
        "gpasswd",
        "passwd",
        "chpasswd",
        "chage",
        "chfn",
        "chsh",
        "newusers",
    ),
    _ACCOUNTS,
)
WHOLE: dict[str, list[Pattern]] = {"sudo": _SUDO, "cron": _CRON, "login": _LOGIN, "pkexec": _PKEXEC}
