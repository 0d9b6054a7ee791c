"""The composition root of siem: opens the stores, puts the features together, serves."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

from services.siem.alerts import events as alert_events
from services.siem.alerts.routes import routes as alert_routes
from services.siem.alerts.service import AlertsService
from services.siem.attack_coverage.routes import routes as attack_coverage_routes
from services.siem.attack_coverage.service import AttackCoverageService
from services.siem.audit_joins.service import AuditJoins
from services.siem.batch import Evaluation
from services.siem.correlations.service import Correlations
from services.siem.correlations.settling import Settling
from services.siem.coverage.routes import routes as coverage_routes
from services.siem.coverage.service import CoverageService
from services.siem.detections.domain import draft_of
from services.siem.detections.engine.compiled import CompiledRule
from services.siem.detections.engine.ruleset import Ruleset
from services.siem.detections.evaluation import Detection
from services.siem.detections.routes import routes as rule_routes
from services.siem.detections.service import RulesService
from services.siem.doors.routes import elasticsearch_routes, splunk_routes, stream_routes
from services.siem.doors.service import Acks
from services.siem.evaluate import evaluate_rows, events_of
from services.siem.explanations.routes import routes as explanation_routes
from services.siem.explanations.service import Explanations
from services.siem.hunts.routes import routes as hunt_routes
from services.siem.hunts.runs import HuntRuns
from services.siem.hunts.service import HuntsService
from services.siem.hunts.sigma import Narrowed, PastSigma
from services.siem.intel.routes import routes as intel_routes
from services.siem.intel.service import IntelService
from services.siem.logs.query import parse, slow_forms
from services.siem.logs.routes import routes as log_routes
from services.siem.logs.service import Logs
from services.siem.logs.store import WRITE_SETTINGS, LogStore
from services.siem.logs.writer import Writer
from services.siem.past import Past
from services.siem.past_engine import PastEngine
from services.siem.placeholders.routes import routes as placeholder_routes
from services.siem.placeholders.service import ConfiguredLists, PlaceholdersService
from services.siem.processes import Processes
from services.siem.promotion.routes import routes as promotion_routes
from services.siem.promotion.service import Promotion
from services.siem.quality.routes import routes as quality_routes
from services.siem.quality.service import Quality
from services.siem.rejections.routes import routes as rejection_routes
from services.siem.rejections.service import RejectionsService
from services.siem.rule_tests import check_tests
from services.siem.runs import store as run_store
from services.siem.runs.domain import prefilter
from services.siem.runs.routes import routes as run_routes
from services.siem.runs.service import RunsService
from services.siem.runs.worker import Worker
from services.siem.settings import SiemSettings
from services.siem.sources.routes import routes as source_routes
from services.siem.sources.service import Others, Retention, SourcesService
from services.siem.suppressions.routes import routes as suppression_routes
from services.siem.suppressions.service import Suppressions
from services.siem.syslog.listeners import Listeners, Listening
from services.siem.syslog.service import Collector
from services.siem.uploads.routes import upload_routes
from services.siem.worklist.service import Worklist
from shared import config
from shared.clickhouse import ClickHouse, Embedded, LimitExceededError, Server, unavailable
from shared.errors import AuroraError
from shared.http import Route
from shared.log import get_logger
from shared.outbox import Outbox
from shared.postgres import Database
from shared.runtime import Platform

HERE = Path(__file__).parent
_WRITERS = 2
_SCHEMA_RETRY_SECONDS = 2.0
_log = get_logger("siem")


async def start(platform: Platform) -> None:
    """Runs siem until the platform stops it."""
    settings = platform.settings(SiemSettings)
    database = await platform.postgres(HERE / "migrations")
    clickhouse = await _open_clickhouse(platform, settings)
    outbox = await platform.outbox(database)
    rejections, retention = RejectionsService(database), await _retention(platform, database)
    rows = LogStore(clickhouse)
    processes = _processes(platform, settings)
    logs, worklist = await _logs(platform, settings, database, rows, processes, rejections, retention)
    alerts = AlertsService(database, outbox)
    past = Past(rows)
    lists = ConfiguredLists(database)
    suppressions = Suppressions(database, past, outbox, lists.compile)
    rules = RulesService(database, check_tests, lists, outbox)
    await rules.load_builtin()
    ruleset = Ruleset()
    coverage = CoverageService(database, alerts, outbox)
    correlations = Correlations(ruleset, draft_of, suppressions, lateness=settings.correlation_lateness)
    detection = Detection(
        database,
        worklist,
        alerts,
        outbox,
        correlations,
        suppressions,
        evaluator=processes,
        ruleset=ruleset,
        ledger=coverage,
        compile=lists.compile,
    )
    others = Others(rejections.counts, rejections.waiting, rules.enabled, alerts.open_by_severity, worklist.waiting)
    await detection.refresh()
    platform.spawn("detection", detection.run())
    alone = settings.clickhouse_url is None
    worker = Worker(database, rows, ruleset, detection, coverage, outbox, PastEngine, alone=alone)
    joins = AuditJoins(database, worklist, rows, ruleset, detection, outbox, evaluate_rows)
    platform.spawn("audit-joins", joins.run())
    _settle(platform, Settling(database, correlations, detection, outbox))
    platform.spawn("investigations", alert_events.listen(await platform.bus(), alerts))
    platform.spawn("investigation-joins", alert_events.listen_to_joins(await platform.bus(), alerts))
    await platform.serve(
        [
            *log_routes(logs),
            *_hunts(platform, database, rows, logs),
            *source_routes(SourcesService(database, clickhouse, retention, others)),
            *rejection_routes(rejections, logs),
            *_doors(platform, database, logs),
            *alert_routes(alerts),
            *_rules(database, rules, outbox),
            *_runs(platform, database, worker, coverage),
            *attack_coverage_routes(AttackCoverageService(database, clickhouse, rows, ruleset, events_of, check_tests)),
            *suppression_routes(suppressions),
            *quality_routes(Quality(database, processes.costs)),
            *promotion_routes(Promotion(past, rules)),
            *explanation_routes(Explanations(rules, past, ruleset, lists.compile)),
            *intel_routes(IntelService(database)),
        ]
    )
    await _syslog(platform, settings, logs)


def _settle(platform: Platform, settling: Settling) -> None:
    platform.spawn("correlations", settling.run())
    platform.spawn("correlations-prune", settling.prune())


async def _retention(platform: Platform, database: Database) -> Retention:
    retention = Retention(database, lambda: platform.live.current.log_retention_days)
    await retention.refresh()
    return retention


def _processes(platform: Platform, settings: SiemSettings) -> Processes:
    processes = Processes(settings.intake_processes, index=settings.detection_index)
    platform.spawn("processes", processes.run())
    platform.check("processes", processes.ready)
    return processes


async def _read_batch(store: LogStore, processes: Processes, seq: int) -> Evaluation | None:
    """A stored batch, evaluated with the rules of now; None when it was never stored. Raises AURORA-5030, 5032."""
    try:
        rows = await store.batch(seq)
    except LimitExceededError as error:
        raise unavailable() from error
    return await processes.again(rows) if rows else None


def _doors(platform: Platform, database: Database, logs: Logs) -> list[Route]:
    acks = Acks(database)
    platform.spawn("acks", acks.run())
    return [*stream_routes(logs), *elasticsearch_routes(logs), *splunk_routes(logs, acks), *upload_routes(logs)]


def _rules(database: Database, rules: RulesService, outbox: Outbox) -> list[Route]:
    return [*rule_routes(rules), *placeholder_routes(PlaceholdersService(database, rules, outbox))]


def _runs(platform: Platform, database: Database, worker: Worker, coverage: CoverageService) -> list[Route]:
    runs = RunsService(database)
    platform.spawn("runs", worker.run(runs))
    platform.spawn("coverage", coverage.tell())
    return [*run_routes(runs), *coverage_routes(coverage)]


def _hunts(platform: Platform, database: Database, rows: LogStore, logs: Logs) -> list[Route]:
    sigma = PastSigma(rows, _narrowed, ConfiguredLists(database).compile)
    hunts = HuntsService(database, logs, sigma, lambda query: slow_forms(parse(query)))
    platform.spawn("hunts", HuntRuns(database, hunts, logs, sigma).run())
    return hunt_routes(hunts)


def _narrowed(rule: CompiledRule) -> Narrowed:
    asked = prefilter(rule)
    condition, values = run_store.condition(asked)
    return Narrowed(condition, values, bool(asked.needles))


async def _syslog(platform: Platform, settings: SiemSettings, logs: Logs) -> None:
    """Last, so that it is closed first: what was received is stored while everything else still runs."""
    collector = Collector(logs, max_bytes=settings.syslog_waiting_bytes)
    listening = Listening(
        udp=settings.syslog_udp,
        tcp=settings.syslog_tcp,
        tls=settings.syslog_tls,
        cert_file=settings.syslog_tls_cert_file,
        key_file=settings.syslog_tls_key_file,
        client_ca_file=settings.syslog_tls_client_ca_file,
        networks=settings.syslog_networks,
        connections=settings.syslog_connections,
        line_bytes=settings.syslog_line_bytes,
    )
    listeners = Listeners(listening, collector)
    platform.spawn("syslog", collector.run())
    platform.on_stop(listeners.close)
    await listeners.open()


async def _open_clickhouse(platform: Platform, settings: SiemSettings) -> ClickHouse:
    place = _place(settings)
    clickhouse = await ClickHouse.open(place, read_seconds=settings.search_seconds, write_settings=WRITE_SETTINGS)
    platform.on_stop(clickhouse.close)
    platform.check("clickhouse", clickhouse.ping)
    try:
        await clickhouse.apply(HERE / "clickhouse")
    except AuroraError:
        if isinstance(place, Embedded):
            raise
        platform.spawn("clickhouse-schema", _apply_later(clickhouse))
    return clickhouse


def _place(settings: SiemSettings) -> Embedded | Server:
    if settings.clickhouse_url is not None:
        file = settings.clickhouse_password_file
        password = None if file is None else config.read_secret(file)
        return Server(settings.clickhouse_url, settings.clickhouse_user, password)
    if settings.clickhouse_path is None:
        raise config.ConfigError("AURORA_CLICKHOUSE_PATH or AURORA_CLICKHOUSE_URL is not set")
    return Embedded(settings.clickhouse_path)


async def _apply_later(clickhouse: ClickHouse) -> None:
    """A server that is down stops no start: until it answers, intake and search say so."""
    while True:
        await asyncio.sleep(_SCHEMA_RETRY_SECONDS)
        try:
            await clickhouse.apply(HERE / "clickhouse")
        except AuroraError as error:
            _log.info("waiting for clickhouse", reason=error.code.code)
        else:
            return


async def _logs(
    platform: Platform,
    settings: SiemSettings,
    database: Database,
    store: LogStore,
    processes: Processes,
    rejections: RejectionsService,
    retention: Retention,
) -> tuple[Logs, Worklist]:
    worklist = Worklist(
        database,
        partial(_read_batch, store, processes),
        store.forget,
        alone=settings.clickhouse_url is None,
        max_events=settings.waiting_events,
    )
    writer = Writer(store, worklist, max_bytes=settings.intake_bytes)
    await worklist.start()
    platform.on_stop(worklist.close)
    platform.spawn("worklist-heartbeat", worklist.heartbeat())
    for number in range(_WRITERS):
        platform.spawn(f"log-writer-{number}", writer.run())
    platform.spawn("dead-letters", rejections.run())
    platform.spawn("retention", retention.run())
    return Logs(store, writer, processes, rejections, retention), worklist
