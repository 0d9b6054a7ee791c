"""The port for a second opinion on severity, such as a model's. It may raise a severity; it can't lower one or change a
verdict, whatever it says (merging.raised)."""

from __future__ import annotations

from typing import Protocol

from services.orchestrator.investigations.merging import Outcome
from shared.contracts.common import Severity


class SeverityOpinion(Protocol):
    """Somebody who reads an outcome and says how severe it is."""

    async def severity(self, outcome: Outcome) -> Severity | None:
        """None for no opinion. Raises nothing: without an answer there is no opinion."""


class NoOpinion:
    """Nobody is asked: the verdict of the evidence stands."""

    async def severity(self, outcome: Outcome) -> Severity | None:
        """None, always."""
        return None
