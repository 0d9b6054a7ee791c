"""`aurora rules`: import Sigma rules from files, folders and archives, list them; cli/rule_life.py has the rest."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from cli import options, placeholders, rule_life, rulefiles, session
from cli.paging import every
from cli.rulefiles import Chunk, RuleFile
from cli.terminal import output, plain, print_json, safe, table
from shared.contracts.detections import (
    IMPORT_RULES,
    LIST_RULES,
    DetectionRule,
    ImportReport,
    Level,
    RuleProblem,
    RuleQuery,
)


class Place(msgspec.Struct, omit_defaults=True):
    """A rule that was refused or can't run, and why."""

    file: str
    line: int
    message: str
    title: str | None = None


class Report(msgspec.Struct):
    """The reports of all requests together. `unserved` rules are stored but can't run."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    unserved: list[Place] = []
    errors: list[Place] = []

    def add(self, chunk: Chunk, part: ImportReport) -> None:
        """Counts a request; lines of its body become lines of the files."""
        self.created += part.created
        self.updated += part.updated
        self.unchanged += part.unchanged
        self.unserved += [_place(chunk, problem) for problem in part.unserved]
        self.errors += [_place(chunk, problem) for problem in part.errors]


def _place(chunk: Chunk, problem: RuleProblem) -> Place:
    file, line = chunk.place(problem.line)
    return Place(file, line, problem.message, problem.title)


@click.group("rules")
def command() -> None:
    """Detection rules."""


for _command in (rule_life.enable, rule_life.disable, rule_life.show, rule_life.suppress, rule_life.metrics):
    command.add_command(_command)
command.add_command(placeholders.command)


@command.command("import")
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@options.data_dir
@options.url
@options.as_json
def import_(path: Path, data_dir: Path, url: str | None, as_json: bool) -> None:
    """Store the Sigma rules of a file, a folder, or a .tar, .tar.gz, .tar.xz or .zip archive.

    A rule that is stored already is replaced. Exit code: 0, or 1 when a rule was refused.
    """
    files = rulefiles.read(path)
    report = asyncio.run(_import(session.find(data_dir, url), files))
    if as_json:
        print_json(report)
    else:
        _show(report)
    sys.exit(1 if report.errors else 0)


async def _import(target: session.Target, files: list[RuleFile]) -> Report:
    report = Report()
    display, told = _audience(len(files))
    with display:
        async with session.opened(target) as opened:
            for chunk in rulefiles.chunks(files):
                report.add(chunk, await opened.call(IMPORT_RULES, body=chunk.body()))
                told(len(chunk.names))
    return report


def _audience(total: int) -> tuple[AbstractContextManager[object], Callable[[int], None]]:
    if not Console(stderr=True).is_terminal:
        return nullcontext(), lambda count: click.echo(f"{count} files imported", err=True)
    columns = (TextColumn("rule files"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    progress = Progress(*columns, console=Console(stderr=True))
    task = progress.add_task("", total=total)
    return progress, lambda count: progress.advance(task, count)


def _show(report: Report) -> None:
    for place in report.errors:
        click.echo(f"{plain(place.file)}:{place.line}: {plain(place.message)}", err=True)
    rows = table("outcome", "rules", "why")
    for outcome in ("created", "updated", "unchanged"):
        rows.add_row(outcome, str(getattr(report, outcome)), "")
    for message, count in Counter(place.message for place in report.unserved).most_common():
        rows.add_row("stored, can't run", str(count), safe(message))
    rows.add_row("refused", str(len(report.errors)), "")
    output().print(rows)


@command.command("list")
@click.option("--level", type=click.Choice(["informational", "low", "medium", "high", "critical"]))
@click.option("--search", metavar="TEXT", help="Only titles that hold this.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
@options.data_dir
@options.url
@options.as_json
def list_(level: Level | None, search: str | None, limit: int, data_dir: Path, url: str | None, as_json: bool) -> None:
    """List stored rules, newest first."""
    rules = asyncio.run(_list(session.find(data_dir, url), RuleQuery(q=search, level=level), limit))
    if as_json:
        for rule in rules:
            print_json(rule)
        return
    rows = table("id", "level", "runs", "title")
    for rule in rules:
        rows.add_row(safe(rule.id), rule.level, safe(_runs(rule)), safe(rule.title))
    output().print(rows)


def _runs(rule: DetectionRule) -> str:
    return rule.problem or ("yes" if rule.enabled else "disabled")


async def _list(target: session.Target, query: RuleQuery, limit: int) -> list[DetectionRule]:
    async with session.opened(target) as opened:
        return await every(opened, LIST_RULES, query, limit=limit)
