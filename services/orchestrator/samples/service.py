"""Samples: bytes are kept once under their SHA-256, described in a row, and handed to the malware analyst.

The bytes are in the object store before the row says so, and a row is analysed until it is or has been tried often
enough: a process that is killed between any two steps loses nothing. Knows nothing of what bytes mean.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from tempfile import SpooledTemporaryFile
from typing import Protocol

import msgspec

from services.orchestrator.samples import store
from shared.clock import utc_now
from shared.contracts.investigations import DispatchRecord, DispatchRequest
from shared.contracts.samples import TRIAGE_SAMPLE, Sample, SampleReceipt, SampleReport, alias_of, masked
from shared.errors import NOT_FOUND, UNAVAILABLE, AuroraError, field_error
from shared.identity import Principal, service_principal
from shared.log import get_logger
from shared.objects import Objects
from shared.postgres import Database

_ANALYST = "malware_analyst"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SECONDS = 90.0
#: What is on its way and smaller stays in memory.
_IN_MEMORY = 1024 * 1024
#: A claim that isn't finished by then is another's to take.
_CLAIM = timedelta(seconds=_SECONDS + 30)
_POLL_SECONDS = 5.0
_RETRY = timedelta(seconds=15)
MOST_ATTEMPTS = 6
_log = get_logger("samples")


class Dispatch(Protocol):
    """Calls of specialists, as this feature needs them."""

    async def dispatch(self, request: DispatchRequest, caller: Principal) -> DispatchRecord:
        """The call when it has ended well. Raises AURORA-4043, 4220, 5030 or 5040."""


class SamplesService:
    """Keeps samples and has them looked at."""

    def __init__(self, database: Database, objects: Objects, dispatch: Dispatch) -> None:
        self._database = database
        self._objects = objects
        self._dispatch = dispatch
        self._new = asyncio.Event()

    async def store(self, pieces: AsyncIterator[bytes], caller: Principal) -> tuple[SampleReceipt, bool]:
        """The receipt, and whether the bytes are new here; they are never in memory as a whole. Raises AURORA-4220 for
        none, 5030 when they aren't kept, and what iterating over the pieces does."""
        with _Spool() as spool:
            async for piece in pieces:
                await asyncio.to_thread(spool.add, piece)
            if not spool.size:
                raise field_error("body", "holds no bytes")
            return await self._keep(spool, caller)

    async def _keep(self, spool: _Spool, caller: Principal) -> tuple[SampleReceipt, bool]:
        sha256 = spool.sha256.hexdigest()
        known = await store.find(self._database, sha256)
        if known is not None:
            if known.analysis is None and await store.due_again(self._database, sha256, utc_now()):
                self._new.set()
            return SampleReceipt(sha256=sha256, size=known.size, stored_at=known.stored_at), False
        md5, sha1 = spool.md5.hexdigest(), spool.sha1.hexdigest()
        await self._objects.put(sha256, spool.masked())
        for other in (md5, sha1):
            await self._objects.put(alias_of(other), sha256.encode())
        sample = Sample(sha256=sha256, md5=md5, sha1=sha1, size=spool.size, stored_at=utc_now(), stored_by=caller.id)
        kept, is_new = await store.insert(self._database, sample)
        self._new.set()
        return SampleReceipt(sha256=sha256, size=kept.size, stored_at=kept.stored_at), is_new

    async def get(self, sha256: str) -> Sample:
        """Raises AURORA-4220 for what is no SHA-256, 4040 when nothing is stored under it."""
        if _SHA256.fullmatch(sha256) is None:
            raise field_error("path.sha256", "must be 64 hexadecimal digits in lower case")
        sample = await store.find(self._database, sha256)
        if sample is None:
            raise AuroraError(NOT_FOUND, {"sha256": sha256})
        return sample

    async def analyse(self) -> None:
        """Has samples looked at, one after the other, until cancelled."""
        while True:
            try:
                while await self._next():
                    pass
                async with asyncio.timeout(_POLL_SECONDS):
                    await self._new.wait()
            except TimeoutError:
                continue
            except AuroraError as error:
                _log.warning("samples wait", reason=error.code.code)
                await asyncio.sleep(_POLL_SECONDS)
            self._new.clear()

    async def _next(self) -> bool:
        """Looks at the sample that waits longest; false when none does."""
        now = utc_now()
        claimed = await store.claim(self._database, now, now + _CLAIM)
        if claimed is None:
            return False
        sha256, attempts = claimed
        request = DispatchRequest(
            agent=_ANALYST,
            method=TRIAGE_SAMPLE.name,
            params={"sha256": sha256},
            reason="a file was stored",
            timeout_seconds=_SECONDS,
        )
        try:
            record = await self._dispatch.dispatch(request, service_principal("orchestrator"))
            report = msgspec.convert(record.result, SampleReport)
        except AuroraError as error:
            due = None if attempts >= MOST_ATTEMPTS else utc_now() + _RETRY * attempts
            await store.failed(self._database, sha256, f"{error.code.code} {error.message}", due)
            _log.warning("sample not analysed", sha256=sha256, code=error.code.code, attempts=attempts)
            return True
        await store.analysed(self._database, sha256, report, utc_now())
        return True


class _Spool:
    """Bytes on their way, masked as they are stored: a large file in a nameless one of the disk, which goes with the
    process. Their name in the store is their hash, which is known at their end only."""

    def __init__(self) -> None:
        self.size = 0
        self.sha256 = hashlib.sha256()
        self.md5 = hashlib.md5(usedforsecurity=False)
        self.sha1 = hashlib.sha1(usedforsecurity=False)
        self._file: SpooledTemporaryFile[bytes] = SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - see __exit__

    def __enter__(self) -> _Spool:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, piece: bytes) -> None:
        """Takes the next bytes. Raises AURORA-5030 when the disk doesn't."""
        for digest in (self.sha256, self.md5, self.sha1):
            digest.update(piece)
        try:
            self._file.write(masked(piece))
        except OSError as error:
            raise AuroraError(UNAVAILABLE, {"dependency": "disk"}) from error
        self.size += len(piece)

    def masked(self) -> SpooledTemporaryFile[bytes]:
        """All of them, from the first."""
        self._file.seek(0)
        return self._file
