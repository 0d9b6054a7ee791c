"""The HTTP edge of hunts."""

from __future__ import annotations

from services.siem.hunts.service import HuntsService
from shared.contracts.common import Page, PageQuery
from shared.contracts.hunts import (
    CANCEL_HUNT_RUN,
    CREATE_HUNT,
    GET_HUNT_RUN,
    LIST_HUNT_RUNS,
    LIST_HUNTS,
    RUN_HUNT,
    UPDATE_HUNT,
    Hunt,
    HuntCreate,
    HuntRun,
    HuntRunDetail,
    HuntRunRequest,
    HuntUpdate,
)
from shared.http import Call, Route, bind


def routes(hunts: HuntsService) -> list[Route]:
    """Every hunt endpoint, bound."""

    async def list_hunts(call: Call[PageQuery, None]) -> Page[Hunt]:
        return await hunts.list_hunts(call.query)

    async def create(call: Call[None, HuntCreate]) -> Hunt:
        return await hunts.create(call.body, call.principal.name)

    async def update(call: Call[None, HuntUpdate]) -> Hunt:
        return await hunts.update(call.path["hunt_id"], call.body)

    async def run(call: Call[None, HuntRunRequest]) -> HuntRun:
        return await hunts.run(call.path["hunt_id"], call.body, call.principal.name)

    async def runs(call: Call[PageQuery, None]) -> Page[HuntRun]:
        return await hunts.runs(call.path["hunt_id"], call.query)

    async def get_run(call: Call[None, None]) -> HuntRunDetail:
        return await hunts.get_run(call.path["run_id"])

    async def cancel(call: Call[None, None]) -> HuntRun:
        return await hunts.cancel(call.path["run_id"])

    return [
        bind(LIST_HUNTS, list_hunts),
        bind(CREATE_HUNT, create),
        bind(UPDATE_HUNT, update),
        bind(RUN_HUNT, run),
        bind(LIST_HUNT_RUNS, runs),
        bind(GET_HUNT_RUN, get_run),
        bind(CANCEL_HUNT_RUN, cancel),
    ]
