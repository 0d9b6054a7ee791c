"""`aurora samples`: store files for static triage, and see what was found in them. Files are read, never run."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from pathlib import Path

import click

from cli import options, session
from cli.failure import Failure
from cli.terminal import output, print_json, safe, table
from shared.contracts.samples import (
    GET_SAMPLE,
    MAX_SAMPLE_BYTES,
    STORE_SAMPLE,
    ArchiveMember,
    Sample,
    SampleReceipt,
    SampleReport,
)
from shared.contracts.wire import format_time

_SHOWN = 12


@click.group("samples")
def command() -> None:
    """Samples: files stored for static triage."""


@command.command("add")
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)
)
@options.data_dir
@options.url
@options.as_json
def add(files: tuple[Path, ...], data_dir: Path, url: str | None, as_json: bool) -> None:
    """Store FILES, each of up to 32 MiB. They are looked at by the malware analyst, and never run."""
    for file in files:
        if not 0 < file.stat().st_size <= MAX_SAMPLE_BYTES:
            raise Failure(f"{file}: must have between 1 byte and {MAX_SAMPLE_BYTES // 1024**2} MiB")
    receipts = asyncio.run(_add(session.find(data_dir, url), files))
    if as_json:
        for receipt in receipts:
            print_json(receipt)
        return
    rows = table("file", "SHA-256", "bytes", "stored")
    for file, receipt in zip(files, receipts, strict=True):
        rows.add_row(safe(file.name), receipt.sha256, str(receipt.size), format_time(receipt.stored_at))
    output().print(rows)


async def _add(target: session.Target, files: Sequence[Path]) -> list[SampleReceipt]:
    receipts = []
    async with session.opened(target) as opened:
        for file in files:
            data = await asyncio.to_thread(file.read_bytes)
            receipts.append(await opened.call(STORE_SAMPLE, body=data))
    return receipts


@command.command("show")
@click.argument("sample", metavar="SHA256|FILE")
@options.data_dir
@options.url
@options.as_json
def show(sample: str, data_dir: Path, url: str | None, as_json: bool) -> None:
    """Show what is known of a stored file, named by its SHA-256 or by a copy of it here."""
    path = Path(sample)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else sample
    found = asyncio.run(_show(session.find(data_dir, url), sha256))
    if as_json:
        print_json(found)
        return
    rows = table("", "")
    for name, value in _lines(found):
        rows.add_row(name, safe(value))
    output().print(rows)


async def _show(target: session.Target, sha256: str) -> Sample:
    async with session.opened(target) as opened:
        return await opened.call(GET_SAMPLE, path={"sha256": sha256})


def _lines(sample: Sample) -> list[tuple[str, str]]:
    lines = [
        ("SHA-256", sample.sha256),
        ("SHA-1", sample.sha1),
        ("MD5", sample.md5),
        ("bytes", str(sample.size)),
        ("stored", f"{format_time(sample.stored_at)} by {sample.stored_by}"),
    ]
    if sample.analysis is None:
        return [*lines, ("analysis", sample.analysis_error or "not yet")]
    return [*lines, *_said(sample.analysis)]


def _member(member: ArchiveMember) -> str:
    unread = "; ".join(f"{part} not read: {reason}" for part, reason in member.unread.items())
    if not member.sha256:
        return f"{member.name}: {unread}"
    rules = "".join(f", rule {match.rule}" for match in member.rules)
    return f"{member.name}: {member.type}, {member.size} bytes, {member.sha256}{rules}{unread and f' ({unread})'}"


def _said(report: SampleReport) -> list[tuple[str, str]]:
    lines = [
        ("type", f"{report.type}, {report.entropy:.2f} bits a byte"),
        ("verdict", f"{report.verdict} ({report.confidence:.2f}), by a static look"),
    ]
    lines += [("finding", finding.claim) for finding in report.findings[:_SHOWN]]
    lines += [("in it", _member(member)) for member in report.members]
    lines += [(ioc.type, ioc.value) for ioc in report.iocs[:_SHOWN]]
    lines += [("not checked", note) for note in report.not_checked[:_SHOWN]]
    return lines
