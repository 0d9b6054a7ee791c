"""The SQL of samples."""

from __future__ import annotations

from datetime import datetime

import msgspec

from shared.contracts.samples import Sample, SampleReport
from shared.postgres import Database, Record


def _sample(row: Record) -> Sample:
    return Sample(
        sha256=row["sha256"],
        md5=row["md5"],
        sha1=row["sha1"],
        size=row["size"],
        stored_at=row["stored_at"],
        stored_by=row["stored_by"],
        analysis=None if row["analysis"] is None else msgspec.convert(row["analysis"], SampleReport),
        analysed_at=row["analysed_at"],
        analysis_error=row["analysis_error"],
    )


async def find(database: Database, sha256: str) -> Sample | None:
    """One sample."""
    row = await database.fetchrow("SELECT * FROM samples WHERE sha256 = $1", sha256)
    return None if row is None else _sample(row)


async def insert(database: Database, sample: Sample) -> tuple[Sample, bool]:
    """Keeps it, due at once, unless it is known; as it stands, and whether it is new."""
    row = await database.fetchrow(
        """INSERT INTO samples (sha256, md5, sha1, size, stored_at, stored_by, due_at)
           VALUES ($1, $2, $3, $4, $5, $6, $5) ON CONFLICT (sha256) DO NOTHING RETURNING *""",
        sample.sha256,
        sample.md5,
        sample.sha1,
        sample.size,
        sample.stored_at,
        sample.stored_by,
    )
    if row is not None:
        return _sample(row), True
    known = await find(database, sample.sha256)
    return known or sample, False


async def claim(database: Database, now: datetime, until: datetime) -> tuple[str, int] | None:
    """The sample that has waited longest and the number of this attempt; nobody else gets it before `until`."""
    row = await database.fetchrow(
        """UPDATE samples SET due_at = $2, attempts = attempts + 1
           WHERE sha256 = (SELECT sha256 FROM samples WHERE due_at <= $1
                           ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED)
           RETURNING sha256, attempts""",
        now,
        until,
    )
    return None if row is None else (row["sha256"], row["attempts"])


async def due_again(database: Database, sha256: str, now: datetime) -> bool:
    """Makes one due that was given up; whether it was."""
    row = await database.fetchrow(
        """UPDATE samples SET due_at = $2, attempts = 0
           WHERE sha256 = $1 AND analysis IS NULL AND due_at IS NULL RETURNING sha256""",
        sha256,
        now,
    )
    return row is not None


async def analysed(database: Database, sha256: str, report: SampleReport, now: datetime) -> None:
    """Keeps what was said."""
    await database.execute(
        """UPDATE samples SET analysis = $2, analysed_at = $3, analysis_error = NULL, due_at = NULL
           WHERE sha256 = $1""",
        sha256,
        report,
        now,
    )


async def failed(database: Database, sha256: str, error: str, due: datetime | None) -> None:
    """Notes why it wasn't looked at, and when it is tried again; None: no more."""
    await database.execute("UPDATE samples SET analysis_error = $2, due_at = $3 WHERE sha256 = $1", sha256, error, due)
