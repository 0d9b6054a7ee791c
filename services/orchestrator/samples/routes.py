"""The HTTP edge of samples."""

from __future__ import annotations

from collections.abc import AsyncIterator

from aiohttp import web

from services.orchestrator.samples.service import SamplesService
from shared.contracts.samples import GET_SAMPLE, STORE_SAMPLE, Sample, SampleReceipt
from shared.http import Call, Route, bind, bind_streamed, json_response


def routes(samples: SamplesService) -> list[Route]:
    """Both endpoints, bound."""

    async def store(call: Call[None, AsyncIterator[bytes]]) -> SampleReceipt | web.StreamResponse:
        receipt, is_new = await samples.store(call.body, call.principal)
        return json_response(receipt, 201 if is_new else 200)

    async def get(call: Call[None, None]) -> Sample:
        return await samples.get(call.path["sha256"])

    return [bind_streamed(STORE_SAMPLE, store), bind(GET_SAMPLE, get)]
