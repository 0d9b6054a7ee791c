"""`aurora intel`: import intelligence from files, folders and archives, look values up, list and forget sources."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import get_args

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from cli import intelfiles, options, session
from cli.failure import Failure, line_of
from cli.intelfiles import IntelFile
from cli.paging import every
from cli.terminal import output, plain, print_json, safe, table
from shared.contracts.common import Observable, PageQuery
from shared.contracts.intel import (
    DELETE_INTEL_SOURCE,
    IMPORT_INTEL,
    LIST_INTEL_SOURCES,
    LOOKUP_INTEL,
    IntelFormat,
    IntelImportQuery,
    IntelIndicator,
    IntelLookup,
    IntelMatches,
    IntelReport,
    IntelSource,
)
from shared.contracts.wire import format_time
from shared.errors import CONFLICT, MALFORMED_REQUEST, PAYLOAD_TOO_LARGE, VALIDATION, AuroraError
from shared.observables import type_of

#: Refusals of one file; the others are still imported.
_OF_A_FILE = (MALFORMED_REQUEST, PAYLOAD_TOO_LARGE, VALIDATION, CONFLICT)
_SHOWN_PROBLEMS = 20


class Imported(msgspec.Struct):
    """What became of a file: the service's report, or why it was refused."""

    file: str
    report: IntelReport | None = None
    refused: str | None = None


@click.group("intel")
def command() -> None:
    """Imported intelligence: indicators, vulnerabilities, benign values."""


@command.command("import")
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--source", metavar="NAME", help="What it is called.  [default: the name of each file]")
@click.option("--format", "kind", type=click.Choice(get_args(IntelFormat)), help="[default: recognised]")
@click.option("--confidence", type=click.IntRange(0, 100), help="Percent, for entries that say none.")
@options.data_dir
@options.url
@options.as_json
def import_(
    paths: tuple[Path, ...],
    source: str | None,
    kind: IntelFormat | None,
    confidence: int | None,
    data_dir: Path,
    url: str | None,
    as_json: bool,
) -> None:
    """Import STIX 2.1 bundles, MISP events, CSV, plain lists, CISA's KEV and warning lists of PATHS: files, folders or
    .zip archives.

    What a source brought before is updated, nothing of it is removed. Exit code: 0, or 1 when a file was refused.
    """

    def query(file: IntelFile) -> IntelImportQuery:
        return IntelImportQuery(source=source or file.source, format=kind, confidence=confidence)

    done = asyncio.run(_import(session.find(data_dir, url), paths, query))
    if not done:
        raise Failure(f"no files of intelligence there ({', '.join(intelfiles.SUFFIXES)})")
    if as_json:
        for item in done:
            print_json(item)
    else:
        _show(done)
    sys.exit(1 if any(item.refused for item in done) else 0)


async def _import(
    target: session.Target, paths: Sequence[Path], query: Callable[[IntelFile], IntelImportQuery]
) -> list[Imported]:
    done: list[Imported] = []
    display, told = _audience(intelfiles.count(paths))
    with display:
        async with session.opened(target) as opened:
            for file in intelfiles.read(paths):
                try:
                    report = await opened.call(IMPORT_INTEL, query=query(file), body=file.body)
                    done.append(Imported(file.name, report))
                except AuroraError as error:
                    if error.code not in _OF_A_FILE:
                        raise
                    done.append(Imported(file.name, refused=line_of(error)))
                told()
    return done


def _audience(total: int) -> tuple[AbstractContextManager[object], Callable[[], None]]:
    if not Console(stderr=True).is_terminal:
        return nullcontext(), lambda: None
    columns = (TextColumn("files"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    progress = Progress(*columns, console=Console(stderr=True))
    task = progress.add_task("", total=total)
    return progress, lambda: progress.advance(task)


def _show(done: Sequence[Imported]) -> None:
    rows = table("file", "source", "format", "new", "updated", "as before", "merged", "skipped")
    reasons: Counter[str] = Counter()
    left_out: Counter[str] = Counter()
    for item in done:
        if item.report is None:
            click.echo(f"{plain(item.file)}: {plain(item.refused)}", err=True)
            continue
        report = item.report
        reasons.update(report.reasons)
        left_out.update(report.left_out)
        for problem in report.problems[:_SHOWN_PROBLEMS]:
            click.echo(f"{plain(item.file)}: {plain(problem.place)}: {plain(problem.message)}", err=True)
        counts = (report.imported, report.updated, report.unchanged, report.merged, report.skipped)
        rows.add_row(safe(item.file), safe(report.source), report.format, *map(str, counts))
    output().print(rows)
    _counted("skipped", "why", reasons)
    _counted("left out", "part of a pattern", left_out)


def _counted(count: str, what: str, counts: Counter[str]) -> None:
    if not counts:
        return
    rows = table(count, what)
    for name, number in counts.most_common():
        rows.add_row(str(number), safe(name))
    output().print(rows)


@command.command("lookup")
@click.argument("values", nargs=-1, required=True)
@click.option("--type", "kind", help="What the values are.  [default: by their form]")
@options.data_dir
@options.url
@options.as_json
def lookup(values: tuple[str, ...], kind: str | None, data_dir: Path, url: str | None, as_json: bool) -> None:
    """Look VALUES up: addresses, domains, URLs, hashes, e-mail addresses, CVE ids, also defanged ones.

    Exit code: 0 when something is known, 1 when nothing is.
    """
    asked = [Observable(kind or type_of(value) or "other", value) for value in values]
    found = asyncio.run(_lookup(session.find(data_dir, url), asked))
    if as_json:
        print_json(found)
    else:
        _tell(found)
    sys.exit(0 if found.matches or found.benign or found.vulnerabilities else 1)


async def _lookup(target: session.Target, asked: list[Observable]) -> IntelMatches:
    async with session.opened(target) as opened:
        return await opened.call(LOOKUP_INTEL, body=IntelLookup(observables=asked))


def _tell(found: IntelMatches) -> None:
    rows = table("value", "source", "state", "sure", "met as", "names", "until")
    for match in found.matches:
        known = match.indicator
        sure = "" if known.confidence is None else f"{known.confidence}%"
        until = "" if known.valid_until is None else format_time(known.valid_until)
        state = known.status if match.complete else f"{known.status}, in part"
        met = known.value if match.via != "exact" else ""
        rows.add_row(
            safe(match.observable.value), safe(known.source), state, sure, safe(met), safe(_names(known)), until
        )
    for benign in found.benign:
        rows.add_row(safe(benign.observable.value), safe(benign.list), "benign", "", "", "", "")
    for item in found.vulnerabilities:
        state = "exploited" if item.exploited else "known"
        rows.add_row(item.cve, safe(item.source), state, "", "", safe(f"{item.vendor} {item.product}".strip()), "")
    if rows.row_count:
        output().print(rows)
    else:
        click.echo(f"nothing is known of it among {found.indicators} imported values")


def _names(known: IntelIndicator) -> str:
    return ", ".join(dict.fromkeys(name.name for name in known.names)) or known.description[:80]


@command.command("sources")
@options.data_dir
@options.url
@options.as_json
def sources(data_dir: Path, url: str | None, as_json: bool) -> None:
    """List where intelligence comes from."""
    found = asyncio.run(_sources(session.find(data_dir, url)))
    if as_json:
        for item in found:
            print_json(item)
        return
    rows = table("source", "format", "values", "imports", "last import", "by")
    for item in found:
        last = format_time(item.last_import)
        rows.add_row(safe(item.name), item.format, str(item.entries), str(item.imports), last, safe(item.imported_by))
    output().print(rows)


async def _sources(target: session.Target) -> list[IntelSource]:
    async with session.opened(target) as opened:
        return await every(opened, LIST_INTEL_SOURCES, PageQuery())


@command.command("forget")
@click.argument("name")
@options.data_dir
@options.url
def forget(name: str, data_dir: Path, url: str | None) -> None:
    """Forget the source NAME and all that it brought."""
    asyncio.run(_forget(session.find(data_dir, url), name))
    click.echo(f"forgotten: {plain(name)}")


async def _forget(target: session.Target, name: str) -> None:
    async with session.opened(target) as opened:
        await opened.call(DELETE_INTEL_SOURCE, path={"name": name})
