"""The composition root of the orchestrator: nothing is built before `start`."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from services.orchestrator.dispatch import routes as dispatch_routes
from services.orchestrator.dispatch.service import Dispatcher
from services.orchestrator.investigations import events
from services.orchestrator.investigations import routes as investigation_routes
from services.orchestrator.investigations.service import InvestigationsService
from services.orchestrator.investigations.work import Workers
from services.orchestrator.settings import OrchestratorSettings
from shared.client import Client
from shared.rpc import Peer
from shared.runtime import Platform

MIGRATIONS = Path(__file__).parent / "migrations"


async def start(platform: Platform) -> None:
    """Opens the stores and the peers, starts the workers, serves."""
    settings = platform.settings(OrchestratorSettings)
    database = await platform.postgres(MIGRATIONS)
    outbox = await platform.outbox(database)
    siem = Client(settings.siem_url, token=lambda: platform.signer.own_token("siem"))
    platform.on_stop(siem.close)
    dispatcher = Dispatcher(database, _peers(platform, settings), settings)
    investigations = InvestigationsService(database, outbox, dispatcher, siem)
    workers = Workers(database, outbox, dispatcher, investigations.queued, settings)
    platform.spawn("alerts", events.listen(await platform.bus(), investigations))
    platform.spawn("leases", workers.keep_leases())
    for number in range(settings.parallel_investigations):
        platform.spawn(f"worker-{number}", workers.run())
    await platform.serve([*dispatch_routes.routes(dispatcher), *investigation_routes.routes(investigations)])


def _peers(platform: Platform, settings: OrchestratorSettings) -> dict[str, Peer]:
    peers = {}
    for agent, url in (settings.agent_urls or {}).items():
        peers[agent] = Peer(url, partial(platform.signer.own_token, f"agent:{agent}"))
        platform.on_stop(peers[agent].close)
    return peers
