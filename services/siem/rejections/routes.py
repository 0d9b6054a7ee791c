"""The HTTP edge of dead letters."""

from __future__ import annotations

from services.siem.rejections.service import Intake, RejectionsService
from shared.contracts.common import Page
from shared.contracts.dead_letters import (
    LIST_DEAD_LETTERS,
    REPLAY_DEAD_LETTER,
    DeadLetter,
    DeadLetterQuery,
    Replayed,
)
from shared.http import Call, Route, bind


def routes(rejections: RejectionsService, intake: Intake) -> list[Route]:
    """Every dead-letter endpoint, bound."""

    async def list_letters(call: Call[DeadLetterQuery, None]) -> Page[DeadLetter]:
        return await rejections.list_letters(call.query)

    async def replay(call: Call[None, None]) -> Replayed:
        return await rejections.replay(call.path["dead_letter_id"], intake)

    return [bind(LIST_DEAD_LETTERS, list_letters), bind(REPLAY_DEAD_LETTER, replay)]
