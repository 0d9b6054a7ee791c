"""Numbered .sql files, applied once and in order; and the role and schema a service lives in.

Each file runs in its own transaction under an advisory lock, so that several replicas may start at once. A file that
was applied and then changed stops the start, because nobody can tell what the database really holds.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from shared.postgres import Connection, Database

SHARED = Path(__file__).parent / "migrations"
_NUMBERED = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")
_LOCK = 0x41555230  # "AUR0"


class MigrationError(Exception):
    """A migration can't be applied. The message names the file and says why."""


def files_of(directory: Path) -> list[Path]:
    """The numbered files in order. Raises MigrationError for a gap or a stray file."""
    files = sorted(directory.glob("*.sql"))
    for number, file in enumerate(files, start=1):
        match = _NUMBERED.fullmatch(file.name)
        if match is None or int(match.group(1)) != number:
            raise MigrationError(f"{file.name}: expected a file numbered {number:04d}_name.sql")
    return files


async def migrate(database: Database, directory: Path) -> list[str]:
    """Applies what is new of the shared files and then of `directory`; the names that were applied."""
    applied = []
    for file in [*files_of(SHARED), *files_of(directory)]:
        name = f"{'shared' if file.parent == SHARED else 'service'}/{file.name}"
        async with database.transaction() as connection:
            await connection.execute("SELECT pg_advisory_xact_lock($1, hashtext(current_schema()))", _LOCK)
            if await _apply(connection, name, file.read_text(encoding="utf-8")):
                applied.append(name)
    return applied


async def _apply(connection: Connection, name: str, sql: str) -> bool:
    await connection.execute(
        "CREATE TABLE IF NOT EXISTS migrations "
        "(name text PRIMARY KEY, checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
    )
    checksum = hashlib.sha256(sql.encode()).hexdigest()
    known = await connection.fetchval("SELECT checksum FROM migrations WHERE name = $1", name)
    if known == checksum:
        return False
    if known is not None:
        raise MigrationError(f"{name} was changed after it had been applied")
    await connection.execute(sql)
    await connection.execute("INSERT INTO migrations (name, checksum) VALUES ($1, $2)", name, checksum)
    return True


async def provision(admin_dsn: str, service: str, password: str) -> None:
    """Makes (or brings up to date) role aurora_<service> and its schema <service>, and nothing more for it.

    Identifiers and the password are quoted by the server itself, since DDL takes no bind parameters.
    """
    database = await Database.connect(admin_dsn, max_size=1)
    try:
        async with database.transaction() as connection:
            await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
            role = f"aurora_{service}"
            exists = await connection.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", role)
            verb = "ALTER" if exists else "CREATE"
            await _run(
                connection, f"{verb} ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD %L", role, password
            )
            if not await connection.fetchval("SELECT true FROM pg_namespace WHERE nspname = $1", service):
                await _run(connection, "CREATE SCHEMA %I AUTHORIZATION %I", service, role)
            await _run(connection, "ALTER ROLE %I SET search_path = %I", role, service)
            await connection.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
    finally:
        await database.close()


async def _run(connection: Connection, template: str, *values: str) -> None:
    places = ", ".join(f"${number}::text" for number in range(2, len(values) + 2))
    statement = await connection.fetchval(f"SELECT format($1::text, {places})", template, *values)
    await connection.execute(statement)
