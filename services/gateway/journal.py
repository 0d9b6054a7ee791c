"""What the features of the gateway ask of the audit log: the port that each of them is given.

Knows neither where records are kept nor who reads them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol

from shared.postgres import Connection


class Journal(Protocol):
    """Keeps who did what, from where."""

    async def record(
        self,
        action: str,
        *,
        actor: str | None,
        outcome: Literal["success", "failure", "denied"],
        target: str | None = None,
        address: str | None = None,
        detail: Mapping[str, object] | None = None,
        connection: Connection | None = None,
    ) -> None:
        """One record; with `connection` in the caller's transaction, else within a second. `detail` has no secrets."""
