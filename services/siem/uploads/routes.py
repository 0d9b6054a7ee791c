"""The HTTP edge of file uploads: a file is opened, then taken as any other intake request."""

from __future__ import annotations

import asyncio
from typing import Protocol

from services.siem.uploads import domain
from shared.contracts.logs import UPLOAD_LOGS, IngestQuery, IngestReceipt, UploadQuery
from shared.http import Call, Route, bind


class Intake(Protocol):
    """What takes a body in (the logs feature)."""

    async def ingest(self, body: bytes, content_type: str, query: IngestQuery) -> IngestReceipt:
        """Its receipt, when its events are durable. Raises AuroraError."""


def upload_routes(intake: Intake) -> list[Route]:
    """The upload endpoint, bound."""

    async def upload(call: Call[UploadQuery, bytes]) -> IngestReceipt:
        # In a thread: a packed file may take a second to unpack.
        body, media_type = await asyncio.to_thread(
            domain.open_file, call.body, call.request.content_type, call.query.filename
        )
        return await intake.ingest(body, media_type, call.query)

    return [bind(UPLOAD_LOGS, upload)]
