"""An hour's worth of ordinary administration of web01, done at a person's pace but without the idle time between.

Owns how the sessions of administration.toml are played. Refuses to know of the intrusion that runs meanwhile. Much
of it is chosen to look a little like an attack without being one: a mistyped password, base64, curl into an
interpreter, a port check with nc, chmod +x, crontab -e, a new account, sudo reading logs.
"""

from __future__ import annotations

import threading
import time
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import paramiko
from session import Terminal, login, one_command


@dataclass(frozen=True)
class Visit:
    """One session of administration.toml, which says what each field means."""

    at: float
    user: str
    source: str
    commands: Sequence[str]
    typos: Sequence[str] = ()
    edit: dict[str, str] | None = None
    one_shot: bool = False


def visits() -> list[Visit]:
    """The sessions of administration.toml."""
    tables = tomllib.loads((Path(__file__).parent / "administration.toml").read_text())["visit"]
    return [Visit(**{**table, "commands": table["commands"].splitlines()}) for table in tables]


def administrate(passwords: dict[str, str], key: paramiko.PKey, errors: list[BaseException]) -> list[threading.Thread]:
    """Start one thread per visit; each waits for its second. What goes wrong lands in `errors`."""
    threads = [threading.Thread(target=_visit, args=(visit, passwords, key, errors)) for visit in visits()]
    for thread in threads:
        thread.start()
    return threads


def _visit(visit: Visit, passwords: dict[str, str], key: paramiko.PKey, errors: list[BaseException]) -> None:
    time.sleep(visit.at)
    password = passwords[visit.user]
    try:
        by_key = visit.user == "alice" and not visit.typos
        transport = login(visit.source, visit.user, (*visit.typos, password), key if by_key else None)
        if visit.one_shot:
            for command in visit.commands:
                one_command(transport, command)
            transport.close()
            return
        terminal = Terminal(transport, password)
        for command in visit.commands:
            terminal.type(command)
        if visit.edit:
            terminal.edit(visit.edit["command"], visit.edit["line"])
            terminal.type("crontab -l")
        terminal.leave()
    except (paramiko.SSHException, OSError) as error:
        errors.append(error)
