"""A person at an SSH terminal: types commands, waits for the prompt, answers sudo's question.

Owns one interactive or one-command SSH session from a chosen loopback address. Refuses to know what the commands
mean. Every wait is bounded by 30 seconds.
"""

from __future__ import annotations

import random
import re
import socket
import time
from collections.abc import Sequence

import paramiko

SERVER = ("127.0.0.1", 22)
CONTROL_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07|\r")
PROMPT = re.compile(r"[$#] \Z")
PASSWORD_QUESTION = re.compile(r"assword[^\n]*: ?\Z")


def connect(source: str) -> paramiko.Transport:
    """Open a connection from `source` to web01 and exchange keys; nobody is logged in yet."""
    transport = paramiko.Transport(socket.create_connection(SERVER, timeout=10, source_address=(source, 0)))
    transport.start_client(timeout=20)
    return transport


def login(
    source: str, user: str, passwords: Sequence[str] = (), key: paramiko.PKey | None = None
) -> paramiko.Transport:
    """Log in by key, or try the passwords in turn as a person with a typo does. Raises AuthenticationException."""
    transport = connect(source)
    if key is not None:
        transport.auth_publickey(user, key)
        return transport
    for attempt, password in enumerate(passwords, start=1):
        try:
            transport.auth_password(user, password, fallback=False)
            return transport
        except paramiko.AuthenticationException:
            if attempt == len(passwords):
                raise
            time.sleep(2)
    raise ValueError("no way to log in was given")


class Terminal:
    """An interactive shell on a pty. `think` is the range of seconds a person pauses before each command."""

    def __init__(self, transport: paramiko.Transport, password: str, think: tuple[float, float] = (0.8, 3.0)) -> None:
        self._channel = transport.open_session(timeout=10)
        self._channel.get_pty("xterm", 120, 40)
        self._channel.invoke_shell()
        self._password = password
        self._think = think
        self._wait(PROMPT)

    def type(self, command: str) -> str:
        """Type one line, answer a password question if sudo asks, and return what appeared."""
        time.sleep(random.uniform(*self._think))
        self._channel.sendall((command + "\n").encode())
        text = self._wait(re.compile(f"(?:{PROMPT.pattern})|(?:{PASSWORD_QUESTION.pattern})"))
        if PASSWORD_QUESTION.search(text):
            self._channel.sendall((self._password + "\n").encode())
            text += self._wait(PROMPT)
        return text

    def edit(self, command: str, line: str) -> None:
        """Open nano with `command`, type `line` at the top, save and leave (Ctrl-O, Enter, Ctrl-X)."""
        time.sleep(random.uniform(*self._think))
        self._channel.sendall((command + "\n").encode())
        self._wait(re.compile(r"Exit"))
        for keys in (line + "\r", "\x0f", "\r", "\x18"):
            time.sleep(0.7)
            self._channel.sendall(keys.encode())
        self._wait(PROMPT)

    def leave(self) -> None:
        """Log out and close the connection."""
        self._channel.sendall(b"exit\n")
        time.sleep(0.5)
        self._channel.get_transport().close()

    def _wait(self, pattern: re.Pattern[str]) -> str:
        text = ""
        deadline = time.monotonic() + 30
        self._channel.settimeout(1)
        while time.monotonic() < deadline:
            try:
                text += self._channel.recv(65536).decode(errors="replace")
            except TimeoutError:
                continue
            if pattern.search(CONTROL_CODES.sub("", text)):
                return CONTROL_CODES.sub("", text)
        raise TimeoutError(f"no {pattern.pattern!r} within 30 s; seen: {text[-500:]!r}")


def one_command(transport: paramiko.Transport, command: str) -> int:
    """Run `ssh host command` and return its exit status (30 s at most)."""
    channel = transport.open_session(timeout=10)
    channel.settimeout(30)
    channel.exec_command(command)
    while channel.recv(65536):
        pass
    return int(channel.recv_exit_status())
