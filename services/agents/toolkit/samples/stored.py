"""Stored samples: found in the object store by any of their hashes, checked, and looked at in the triage process."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

from services.agents.toolkit.samples.sandbox import Sandbox
from shared.contracts.samples import MAX_SAMPLE_BYTES, alias_of, masked
from shared.objects import Objects

_SHA256 = 64
#: Two at a time, also in memory: each look may take a GiB and a processor, and its bytes are here twice.
_AT_ONCE = 2


class StoredSamples:
    """What `Sources` asks. Agents may read the bucket; only the orchestrator writes it."""

    def __init__(self, objects: Objects, sandbox: Sandbox) -> None:
        self._objects = objects
        self._sandbox = sandbox
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def triage(self, file_hash: str) -> dict[str, Any] | None:
        """As the port says. Bytes that don't have the hash they are stored under are none."""
        sha256 = file_hash
        if len(file_hash) != _SHA256:
            named = await self._objects.get(alias_of(file_hash), _SHA256)
            if named is None:
                return None
            sha256 = named.decode("ascii", "replace")
        # Most hashes that are asked for are not stored: they wait for nobody.
        if await self._objects.size(sha256) is None:
            return None
        async with self._turns:
            return await self._looked_at(sha256)

    async def _looked_at(self, sha256: str) -> dict[str, Any] | None:
        kept = await self._objects.get(sha256, MAX_SAMPLE_BYTES)
        data = None if kept is None else masked(kept)
        if data is None or hashlib.sha256(data).hexdigest() != sha256:
            return None
        # Also when the process said nothing at all.
        return {"sha256": sha256, "size": len(data), **await self._sandbox.triage(data)}

    async def has(self, file_hash: str) -> bool:
        """As the port says."""
        name = file_hash if len(file_hash) == _SHA256 else alias_of(file_hash)
        return await self._objects.size(name) is not None
