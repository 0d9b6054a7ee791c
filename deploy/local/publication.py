"""Fills runtime.json from a plan and the processes that run.

Knows what is published and under which name; the file's shape and writing are runtime_file's.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from deploy.local import keys, nats_server
from deploy.local.plan import Plan
from deploy.local.runtime_file import Admin, Agent, Nats, Process, Runtime, Supervisor, write_credentials, write_runtime
from deploy.local.services import ADMIN_SECRET, GATEWAY
from deploy.local.supervised import Supervised

#: The account that the gateway makes at its first start.
ADMIN = "admin"


def publish(plan: Plan, processes: Iterable[Supervised]) -> Runtime:
    """Writes runtime.json and returns what is in it."""
    folder = plan.folder
    nats, redis = plan.addresses.nats(nats_server.OPERATOR), plan.addresses.redis()
    runtime = Runtime(
        gateway=plan.launcher.url(GATEWAY),
        admin=Admin(ADMIN, str(folder.password_file(ADMIN_SECRET))),
        supervisor=Supervisor(os.getpid()),
        services={process.name: Process(process.command.url, process.pid) for process in processes},
        agents={
            agent: Agent(url, str(keys.agent_token_file(folder, agent)))
            for agent, url in plan.launcher.agent_urls().items()
        },
        nats=Nats(nats.url, str(write_credentials(folder, nats.user, nats.password_file))),
        postgres=plan.addresses.postgres_admin_dsn(),
        redis=redis.url,
        redis_password_file=str(redis.password_file) if redis.password_file else None,
        syslog=plan.launcher.syslog_address(),
    )
    write_runtime(folder, runtime)
    return runtime
