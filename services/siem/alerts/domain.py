"""The id of an alert. No I/O, no clock."""

from __future__ import annotations


def alert_id(year: int, number: int) -> str:
    """`ALRT-2026-000001` (DECISIONS, "Requests and errors")."""
    return f"ALRT-{year}-{number:06d}"
