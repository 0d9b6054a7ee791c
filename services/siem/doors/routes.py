"""The HTTP edge of the doors that unmodified shippers knock at: each answers as the product it stands in for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiohttp import web

from services.siem.doors import loki, otlp
from services.siem.doors.streams import Delivery, Intake, Outcome
from shared.contracts.doors_loki import LOKI_PUSH
from shared.contracts.doors_otlp import OTLP_LOGS
from shared.errors import MALFORMED_REQUEST, AuroraError
from shared.http import Call, Route, bind

#: Reading as much takes some milliseconds, as long as the loop may be busy.
_INLINE_BYTES = 32 * 1024
_MAX_PROBLEMS = 5


def stream_routes(intake: Intake) -> list[Route]:
    """The doors of Loki and OpenTelemetry."""

    async def push(call: Call[None, bytes]) -> None:
        outcome = await (await _read(loki.read_push, call)).store(intake)
        if outcome.rejected:  # as Loki does: the others are stored, and no client sends a 400 again
            raise AuroraError(MALFORMED_REQUEST, message=_told(outcome))

    async def export(call: Call[None, bytes]) -> web.Response:
        outcome = await (await _read(otlp.read_export, call)).store(intake)
        media_type = call.request.content_type
        return web.Response(body=otlp.answer(outcome, media_type), content_type=media_type)

    return [bind(LOKI_PUSH, push), bind(OTLP_LOGS, export)]


async def _read(read: Callable[[bytes, str], Delivery], call: Call[None, bytes]) -> Delivery:
    if len(call.body) <= _INLINE_BYTES:
        return read(call.body, call.request.content_type)
    return await asyncio.to_thread(read, call.body, call.request.content_type)


def _told(outcome: Outcome) -> str:
    entries = "1 entry" if outcome.rejected == 1 else f"{outcome.rejected} entries"
    verb = "was" if outcome.rejected == 1 else "were"
    problems = "; ".join(outcome.problems[:_MAX_PROBLEMS])
    return f"{entries} of {outcome.accepted + outcome.rejected} {verb} rejected: {problems}"
