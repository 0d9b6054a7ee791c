"""The HTTP edge of runs."""

from __future__ import annotations

from services.siem.runs.service import RunsService
from shared.contracts.common import Page
from shared.contracts.runs import (
    CANCEL_RUN,
    GET_RUN,
    LIST_RULE_RUNS,
    RUN_ALL_RULES,
    RUN_RULE,
    Run,
    RunQuery,
    RunRequest,
)
from shared.http import Call, Route, bind


def routes(runs: RunsService) -> list[Route]:
    """Every run endpoint, bound."""

    async def run_rule(call: Call[None, RunRequest]) -> Run:
        return await runs.request(call.path["rule_id"], call.body, call.principal.name)

    async def run_all(call: Call[None, RunRequest]) -> Run:
        return await runs.request(None, call.body, call.principal.name)

    async def list_runs(call: Call[RunQuery, None]) -> Page[Run]:
        return await runs.list_runs(call.path["rule_id"], call.query)

    async def get(call: Call[None, None]) -> Run:
        return await runs.get(call.path["run_id"])

    async def cancel(call: Call[None, None]) -> Run:
        return await runs.cancel(call.path["run_id"])

    return [
        bind(RUN_RULE, run_rule),
        bind(RUN_ALL_RULES, run_all),
        bind(LIST_RULE_RUNS, list_runs),
        bind(GET_RUN, get),
        bind(CANCEL_RUN, cancel),
    ]
