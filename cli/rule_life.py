"""The life of one rule, for `aurora rules`: enable, disable, show, suppress, and the figures of all.

Owns what these commands say. The group they belong to is cli/rules.py.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from pathlib import Path

import click

from cli import options, session
from cli.failure import Failure
from cli.terminal import output, plain, print_json, safe, table
from shared.clock import utc_now
from shared.contracts.common import PageQuery
from shared.contracts.detections import GET_RULE, UPDATE_RULE, DetectionRule, RuleUpdate
from shared.contracts.feedback import DETECTION_METRICS, DetectionMetrics, MetricsQuery, RuleMetrics
from shared.contracts.rule_versions import LIST_RULE_VERSIONS, RuleVersion
from shared.contracts.suppressions import (
    CREATE_SUPPRESSION,
    PREVIEW_SUPPRESSION,
    Suppression,
    SuppressionCreate,
    SuppressionPreview,
)
from shared.contracts.wire import format_time

_VERSIONS = 10


@click.command("enable")
@click.argument("rule_id")
@options.data_dir
@options.url
def enable(rule_id: str, data_dir: Path, url: str | None) -> None:
    """Evaluate the rule over what comes from now on."""
    _tell(asyncio.run(_set_enabled(session.find(data_dir, url), rule_id, enabled=True)))


@click.command("disable")
@click.argument("rule_id")
@options.data_dir
@options.url
def disable(rule_id: str, data_dir: Path, url: str | None) -> None:
    """Stop evaluating the rule; it stays stored, and an import leaves it disabled."""
    _tell(asyncio.run(_set_enabled(session.find(data_dir, url), rule_id, enabled=False)))


def _tell(rule: DetectionRule) -> None:
    click.echo(f"{plain(rule.title)}: {'enabled' if rule.enabled else 'disabled'}")


async def _set_enabled(target: session.Target, rule_id: str, *, enabled: bool) -> DetectionRule:
    async with session.opened(target) as opened:
        return await opened.call(UPDATE_RULE, path={"rule_id": rule_id}, body=RuleUpdate(enabled=enabled))


@click.command("show")
@click.argument("rule_id")
@options.data_dir
@options.url
@options.as_json
def show(rule_id: str, data_dir: Path, url: str | None, as_json: bool) -> None:
    """Show a rule, its text and its last versions."""
    rule, versions = asyncio.run(_show(session.find(data_dir, url), rule_id))
    if as_json:
        print_json(rule)
        return
    state = rule.problem or ("enabled" if rule.enabled else "disabled")
    click.echo(f"{plain(rule.title)} ({rule.level}, {plain(state)}, from {rule.origin})\n")
    for line in rule.sigma.splitlines():
        click.echo(plain(line))
    rows = table("version", "when", "who", "why")
    for version in versions:
        who, why = safe(version.created_by), safe(version.reason)
        rows.add_row(str(version.version), format_time(version.created_at), who, why)
    output().print(rows)


async def _show(target: session.Target, rule_id: str) -> tuple[DetectionRule, list[RuleVersion]]:
    async with session.opened(target) as opened:
        rule = await opened.call(GET_RULE, path={"rule_id": rule_id})
        query = PageQuery(limit=_VERSIONS)
        return rule, (await opened.call(LIST_RULE_VERSIONS, path={"rule_id": rule_id}, query=query)).items


@click.command("suppress")
@click.argument("rule_id")
@click.option(
    "--field", "fields", metavar="NAME=VALUE", multiple=True, required=True, help="May be repeated; * is any text."
)
@click.option("--reason", required=True)
@click.option("--days", type=click.IntRange(1), help="Expires after so many days.")
@click.option("--preview", is_flag=True, help="Only say what it would have hidden in the last 30 days.")
@options.data_dir
@options.url
@options.as_json
def suppress(
    rule_id: str,
    fields: tuple[str, ...],
    reason: str,
    days: int | None,
    preview: bool,
    data_dir: Path,
    url: str | None,
    as_json: bool,
) -> None:
    """Raise no more alerts for matches whose fields have these values.

    Several values of one field: any of them. Several fields: all of them. Refused where somebody called a match of the
    last 30 days a true positive.
    """
    expires_at = None if days is None else utc_now() + timedelta(days=days)
    wanted = SuppressionCreate(fields=_fields(fields), reason=reason, expires_at=expires_at)
    seen, made = asyncio.run(_suppress(session.find(data_dir, url), rule_id, wanted, preview_only=preview))
    if as_json:
        print_json(seen if made is None else made)
        return
    click.echo(f"of {seen.examined} matches in 30 days it would have hidden {seen.would_hide}")
    if made is not None:
        click.echo(f"suppression {made.id} is in force")


def _fields(pairs: tuple[str, ...]) -> dict[str, list[str]]:
    fields: dict[str, list[str]] = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not (name and separator and value):
            raise Failure(f"--field {pair}: write NAME=VALUE")
        fields.setdefault(name, []).append(value)
    return fields


async def _suppress(
    target: session.Target, rule_id: str, wanted: SuppressionCreate, *, preview_only: bool
) -> tuple[SuppressionPreview, Suppression | None]:
    path = {"rule_id": rule_id}
    async with session.opened(target) as opened:
        seen = await opened.call(PREVIEW_SUPPRESSION, path=path, body=wanted)
        return seen, None if preview_only else await opened.call(CREATE_SUPPRESSION, path=path, body=wanted)


@click.command("metrics")
@click.option("--days", type=click.IntRange(1, 3650), default=30, show_default=True)
@click.option("--limit", type=click.IntRange(1, 200), default=20, show_default=True)
@options.data_dir
@options.url
@options.as_json
def metrics(days: int, limit: int, data_dir: Path, url: str | None, as_json: bool) -> None:
    """The noisiest rules: matches, what was hidden, alerts, latency, cost, precision."""
    query = MetricsQuery(since=_days_ago(days), limit=limit)
    found = asyncio.run(_metrics(session.find(data_dir, url), query))
    if as_json:
        print_json(found)
        return
    columns = ("matches", "a day", "noise", "suppressed", "alerts", "p50 ms", "p95 ms", "µs an event")
    rows = table(*columns, "precision", "level", "rule")
    for item in found.items:
        rows.add_row(
            str(item.matches),
            f"{item.matches_per_day:.1f}",
            f"{item.noise:.1%}",
            str(item.suppressed),
            str(item.alerts),
            _number(item.latency_p50_ms),
            _number(item.latency_p95_ms),
            "" if item.cost_us is None else f"{item.cost_us:.2f}",
            _precision(item),
            item.level,
            safe(item.title),
        )
    output().print(rows)
    totals = found.totals
    click.echo(
        f"{totals.matches} matches of {totals.rules_matched} of {totals.rules} rules in {days} days, "
        f"{totals.suppressed} suppressed, {totals.alerts} alerts"
    )


def _days_ago(days: int) -> datetime:
    return utc_now() - timedelta(days=days)


def _number(value: int | None) -> str:
    return "" if value is None else str(value)


def _precision(item: RuleMetrics) -> str:
    known = item.labels.precision
    return "" if known is None else f"{known.value:.0%} ({known.low:.0%} to {known.high:.0%})"


async def _metrics(target: session.Target, query: MetricsQuery) -> DetectionMetrics:
    async with session.opened(target) as opened:
        return await opened.call(DETECTION_METRICS, query=query)
