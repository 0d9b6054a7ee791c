"""The HTTP edge of replays."""

from __future__ import annotations

from services.orchestrator.replays.service import ReplaysService
from shared.contracts.replays import REPLAY_INVESTIGATION, InvestigationReplay
from shared.http import Call, Route, bind


def routes(replays: ReplaysService) -> list[Route]:
    """The endpoint, bound."""

    async def replay(call: Call[None, None]) -> InvestigationReplay:
        return await replays.replay(call.path["investigation_id"])

    return [bind(REPLAY_INVESTIGATION, replay)]
