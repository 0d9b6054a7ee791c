"""The composition root of the orchestrator: nothing is built before `start`."""

from __future__ import annotations

from pathlib import Path

from services.orchestrator.dispatch import routes as dispatch_routes
from services.orchestrator.dispatch.service import Dispatcher
from services.orchestrator.fleet import events as fleet_events
from services.orchestrator.fleet import routes as fleet_routes
from services.orchestrator.fleet.service import FleetService
from services.orchestrator.investigations import events
from services.orchestrator.investigations import routes as investigation_routes
from services.orchestrator.investigations.decisions import Decisions
from services.orchestrator.investigations.merging import outcome_of
from services.orchestrator.investigations.opinion import NoOpinion
from services.orchestrator.investigations.service import InvestigationsService
from services.orchestrator.investigations.telling import Telling
from services.orchestrator.investigations.work import Workers
from services.orchestrator.replays import routes as replay_routes
from services.orchestrator.replays.service import ReplaysService
from services.orchestrator.samples import routes as sample_routes
from services.orchestrator.samples.service import SamplesService
from services.orchestrator.settings import OrchestratorSettings
from shared.client import Client
from shared.contracts.samples import SAMPLES_BUCKET
from shared.objects import Objects
from shared.registry import Directory, Where
from shared.rpc import Fleet
from shared.runtime import Platform

MIGRATIONS = Path(__file__).parent / "migrations"


async def start(platform: Platform) -> None:
    """Opens the stores, follows the agents, starts the workers, serves."""
    settings = platform.settings(OrchestratorSettings)
    database = await platform.postgres(MIGRATIONS)
    outbox = await platform.outbox(database)
    siem = Client(settings.siem_url, token=lambda: platform.signer.own_token("siem"))
    platform.on_stop(siem.close)
    agents = Fleet(lambda agent: platform.signer.own_token(f"agent:{agent}"), settings.agent_urls or {})
    platform.on_stop(agents.close)
    fleet = FleetService(database, agents, settings.tool_call_days)

    def changed(there: Where) -> None:
        agents.follow(there)
        fleet.follow(directory.registrations)

    directory = Directory(changed)
    dispatcher = Dispatcher(database, agents, settings, fleet.keep)
    investigations = InvestigationsService(database, outbox, dispatcher, siem, settings)
    decisions = Decisions(database, dispatcher, investigations)
    telling = Telling(await platform.bus())
    workers = Workers(database, outbox, dispatcher, investigations, telling, NoOpinion(), settings)
    replays = ReplaysService(investigations, dispatcher, agents, fleet, outcome_of, settings.step_seconds)
    objects = Objects(await platform.bus(), SAMPLES_BUCKET, most_bytes=settings.samples_gib * 1024**3)
    samples = SamplesService(database, objects, dispatcher)
    platform.spawn("samples", samples.analyse())
    platform.spawn("fleet", directory.follow(await platform.bus()))
    platform.spawn("tool-calls", fleet_events.listen(await platform.bus(), fleet))
    platform.spawn("tool-calls-retention", fleet.clean())
    platform.spawn("alerts", events.listen(await platform.bus(), investigations))
    platform.spawn("alert-updates", events.listen_to_updates(await platform.bus(), investigations))
    platform.spawn("leases", workers.keep_leases())
    for number in range(settings.parallel_investigations):
        platform.spawn(f"worker-{number}", workers.run())
    await platform.serve(
        [
            *dispatch_routes.routes(dispatcher),
            *investigation_routes.routes(investigations, decisions),
            *fleet_routes.routes(fleet),
            *replay_routes.routes(replays),
            *sample_routes.routes(samples),
        ]
    )
