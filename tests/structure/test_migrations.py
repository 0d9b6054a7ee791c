"""Migrations are numbered .sql files without gaps, each saying in its first line what it does."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.migrate import files_of
from tests.structure.source_tree import INSTALLED, ROOT, listed, name_of

SQL_FILES = sorted(path for folder in INSTALLED for path in (ROOT / folder).rglob("*.sql"))
#: migrations/ is PostgreSQL's, clickhouse/ the log store's.
FOLDERS = sorted({path.parent for path in SQL_FILES if path.parent.name in {"migrations", "clickhouse"}})


@pytest.mark.parametrize("folder", FOLDERS, ids=name_of)
def test_migrations_are_numbered_without_gaps(folder: Path) -> None:
    assert len(files_of(folder)) == len([*folder.iterdir()]), f"{name_of(folder)} holds more than NNNN_name.sql files"


def test_sql_files_are_migrations() -> None:
    stray = [name_of(path) for path in SQL_FILES if path.parent not in FOLDERS]
    assert not stray, listed(stray, "A query stands in store.py, beside the function that uses it.")


def test_each_migration_says_what_it_does() -> None:
    silent = [name_of(path) for path in SQL_FILES if not path.read_text().startswith("-- ")]
    assert not silent, listed(silent, "Begin with a `-- ` line: what changes, and whether it blocks writers.")
