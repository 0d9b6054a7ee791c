"""The supervisor: brings the whole stack up, keeps it up, and takes it down in order.

First every check that can refuse, then the servers, then roles and schemas, then the services; runtime.json comes
last and goes first. It knows the stack's parts only as Commands; what they do is theirs.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass

from structlog.typing import FilteringBoundLogger

from deploy.local import keys
from deploy.local.errors import StackError, explain
from deploy.local.group import Group
from deploy.local.journal import journal
from deploy.local.layout import DataFolder, locked
from deploy.local.plan import Options, Plan, make_plan
from deploy.local.postgres_server import role_of
from deploy.local.process import Command
from deploy.local.publication import publish
from deploy.local.servers import makers
from deploy.local.supervised import Supervised
from shared.errors import AuroraError
from shared.migrate import provision

_PROVISION_SECONDS = 30.0
#: Told (process, state) as it happens; the state is starting, ready or stopping.
Report = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class Ready:
    """What the operator is told. `new_password` is the first account's, and only at the first start."""

    gateway: str
    admin_password_file: str
    runtime_file: str
    new_password: str | None


async def run(options: Options, stop: asyncio.Event, report: Report, on_ready: Callable[[Ready], None]) -> None:
    """Runs the stack until `stop` is set. Call in the main thread.

    Raises StackError, with everything ended, when the stack can't start or a part of it can't be kept running.
    """
    folder = DataFolder(options.data_dir)
    try:
        with locked(folder) as last_died:
            folder.prepare(options.minimum_free)
            with journal(folder.log("supervisor")) as log:
                log.info("starting", pid=os.getpid(), last_died=last_died)
                stack = _Stack(options, folder, log, report)
                try:
                    await stack.run_until(stop, on_ready, last_died=last_died)
                except BaseException as error:
                    # Here because a detached supervisor has no terminal; what it means is the caller's to say.
                    log.error("stack failed", error=str(error), exc_info=not isinstance(error, StackError))
                    raise
                finally:
                    log.info("stopped")
    except OSError as error:
        raise explain(error) from error


class _Stack:
    """One stack, brought up once."""

    def __init__(self, options: Options, folder: DataFolder, log: FilteringBoundLogger, report: Report) -> None:
        self._options = options
        self._folder = folder
        self._log = log
        self._report = report
        self._groups: list[Group] = []
        self._published: Plan | None = None

    async def run_until(self, stop: asyncio.Event, on_ready: Callable[[Ready], None], *, last_died: bool) -> None:
        """Up, until `stop`, and down again."""
        work = asyncio.create_task(self._serve(on_ready, last_died), name="bring the stack up and watch it")
        stopped = asyncio.create_task(_wait(stop), name="wait for the stop")
        try:
            await _first_of(work, stopped)
        finally:
            await self._stop()

    async def _serve(self, on_ready: Callable[[Ready], None], last_died: bool) -> None:
        self._folder.runtime_file.unlink(missing_ok=True)
        plan = await asyncio.to_thread(make_plan, self._options, self._folder, last_died=last_died)
        await self._start(await self._server_commands(plan))
        await self._provision(plan)
        await self._start(plan.launcher.commands())
        keys.write_agent_tokens(self._folder, plan.agents)
        self._published = plan
        runtime = publish(plan, self._processes())
        self._log.info("ready", gateway=runtime.gateway)
        on_ready(Ready(runtime.gateway, runtime.admin.password_file, str(self._folder.runtime_file), plan.new_password))
        await _first_of(self._renewal(plan), *self._watches())

    async def _server_commands(self, plan: Plan) -> list[Command]:
        made = makers(self._folder, self._options.external, plan.ports, plan.service_names)
        # PostgreSQL's first start takes a second to make its files.
        return await asyncio.gather(*(asyncio.to_thread(make) for make in made))

    async def _provision(self, plan: Plan) -> None:
        admin_dsn = plan.addresses.postgres_admin_dsn()
        for service in self._options.table:
            if service.schema:
                password = self._folder.password(role_of(service.name))
                await _translated(provision(admin_dsn, service.name, password), service.name)

    async def _start(self, commands: Iterable[Command]) -> None:
        group = Group(commands, self._log, on_serving=self._serving, policy=self._options.policy)
        self._groups.append(group)
        for process in group.processes:
            self._report(process.name, "starting")
        await _first_of(asyncio.create_task(group.start(), name="start a group"), *self._watches())

    def _serving(self, process: Supervised) -> None:
        self._report(process.name, "ready")
        if self._published is not None:
            publish(self._published, self._processes())  # a restart has a new pid

    def _processes(self) -> list[Supervised]:
        return [process for group in self._groups for process in group.processes]

    def _watches(self) -> list[asyncio.Task[None]]:
        return [asyncio.create_task(group.failed(), name="watch a group") for group in self._groups]

    def _renewal(self, plan: Plan) -> asyncio.Task[None]:
        async def renew() -> None:
            while True:
                await asyncio.sleep(keys.TOKEN_RENEWAL_SECONDS)
                keys.write_agent_tokens(self._folder, plan.agents)

        return asyncio.create_task(renew(), name="renew the agents' tokens")

    async def _stop(self) -> None:
        self._published = None
        with suppress(OSError):
            self._folder.runtime_file.unlink(missing_ok=True)
        # Services first: what they still have in flight needs the servers.
        for group in reversed(self._groups):
            for process in group.processes:
                self._report(process.name, "stopping")
            await group.stop()


async def _wait(event: asyncio.Event) -> None:
    await event.wait()


async def _first_of(*tasks: asyncio.Task[None]) -> None:
    """Waits for the first to end and takes the others along; raises what it raised."""
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _translated(work: Awaitable[None], service: str) -> None:
    try:
        async with asyncio.timeout(_PROVISION_SECONDS):
            await work
    except (TimeoutError, AuroraError) as error:
        raise StackError("PostgreSQL does not answer: is AURORA_POSTGRES_DSN right?") from error
    except Exception as error:
        # The boundary to a server that may be anybody's: whatever it refuses is one line here.
        raise StackError(f"PostgreSQL refused to set up the role of {service} ({type(error).__name__})") from error
