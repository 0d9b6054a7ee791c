"""Objects: bytes too large for a message or a row, in a bucket of NATS's object store. The one home of that API.

An object is written once under its name and never changes. Knows neither what the bytes are nor who may see them.
"""

from __future__ import annotations

import asyncio
from io import BytesIO
from typing import Any, Protocol

import nats.errors
import nats.js.errors
from nats.js.api import StorageType
from nats.js.object_store import ObjectStore

from shared.bus import Bus
from shared.errors import UNAVAILABLE, AuroraError

#: Moving the largest object takes a second or two; a server that is away must not be waited for much longer.
_SECONDS = 45.0
_CONNECT_SECONDS = 1.0
_FAILURES = (nats.errors.Error, nats.js.errors.Error, OSError, TimeoutError)


class Readable(Protocol):
    """A file, as far as it is read here."""

    def readinto(self, buffer: Any, /) -> int:
        """How many bytes it put there; 0 at the end."""


class Objects:
    """One bucket. `most_bytes` is what it may hold together; it is made at the first write."""

    def __init__(self, bus: Bus, bucket: str, *, most_bytes: int = 0) -> None:
        self._bus = bus
        self._bucket = bucket
        self._most_bytes = most_bytes
        self._known: ObjectStore | None = None

    async def put(self, name: str, data: bytes | Readable) -> bool:
        """Keeps the bytes under the name; false when something is kept there already. Durable when this returns. A file
        is read from where it stands, in a thread, and never whole.

        Raises AURORA-5030 when the server is away or the bucket is full."""
        try:
            async with asyncio.timeout(_SECONDS):
                if await self.size(name) is not None:
                    return False
                store = await self._store(make=True)
                await store.put(name, data)
        except _FAILURES as error:
            raise self._unavailable() from error
        return True

    async def size(self, name: str) -> int | None:
        """How many bytes are kept under the name; None when nothing is. Raises AURORA-5030."""
        try:
            store = await self._store(make=False)
            return None if store is None else int((await store.get_info(name)).size or 0)
        except nats.js.errors.NotFoundError:
            return None
        except _FAILURES as error:
            raise self._unavailable() from error

    async def get(self, name: str, most_bytes: int) -> bytes | None:
        """The bytes; None when nothing is kept there, or more than `most_bytes`. Raises AURORA-5030."""
        try:
            async with asyncio.timeout(_SECONDS):
                size = await self.size(name)
                if size is None or size > most_bytes:
                    return None
                whole = BytesIO()
                store = await self._store(make=True)
                await store.get(name, writeinto=whole)
        except nats.js.errors.NotFoundError:
            return None
        except _FAILURES as error:
            raise self._unavailable() from error
        return whole.getvalue()

    async def _store(self, *, make: bool) -> Any:
        if not await self._bus.connected(_CONNECT_SECONDS):
            raise self._unavailable()
        if self._known is None:
            stream = self._bus.jetstream
            try:
                self._known = await stream.object_store(self._bucket)
            except nats.js.errors.BucketNotFoundError:
                if not make:
                    return None
                self._known = await stream.create_object_store(
                    bucket=self._bucket, storage=StorageType.FILE, max_bytes=self._most_bytes
                )
        return self._known

    def _unavailable(self) -> AuroraError:
        return AuroraError(UNAVAILABLE, {"dependency": "nats"})
