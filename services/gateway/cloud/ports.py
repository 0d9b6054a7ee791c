"""What cloud sign-in asks of other features: who still has an account, and a record of what was done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol

from shared.postgres import Connection

Outcome = Literal["success", "failure", "denied"]


class Auditor(Protocol):
    """What is told with a connection commits with the act."""

    async def record(
        self,
        action: str,
        *,
        actor: str | None,
        outcome: Outcome,
        target: str | None = None,
        detail: Mapping[str, object] | None = None,
        connection: Connection | None = None,
    ) -> None: ...


class People(Protocol):
    """The user, unless disabled or gone."""

    async def active(self, user_id: str) -> object | None: ...
