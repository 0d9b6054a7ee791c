"""Many callers' questions in one round trip: those that come while one is on its way go together with the next.

It bounds what goes at once and tells everyone their own answer, or the refusal that all of them share. It knows no
store: `ask` takes the questions and returns their answers in order.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from shared.errors import UNAVAILABLE, AuroraError

Q = TypeVar("Q")
A = TypeVar("A")
_AT_ONCE = 128
#: More wait only when the store has stopped answering.
_WAITING = 10_000


class Tally(Generic[Q, A]):
    """One round trip after the other, for as long as somebody waits. `ask` raises only AuroraError."""

    def __init__(self, name: str, ask: Callable[[Sequence[Q]], Awaitable[Sequence[A]]]) -> None:
        self._name = name
        self._ask = ask
        self._waiting: deque[tuple[Q, asyncio.Future[A]]] = deque()
        self._asking: asyncio.Task[None] | None = None

    async def ask(self, question: Q) -> A:
        """The answer. Raises what `ask` raised, AURORA-5030 when too many wait already."""
        if len(self._waiting) >= _WAITING:
            raise AuroraError(UNAVAILABLE, {"dependency": self._name})
        answer: asyncio.Future[A] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, answer))
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask_all(), name=f"tally:{self._name}")
        return await answer

    async def _ask_all(self) -> None:
        try:
            while self._waiting:
                together = [self._waiting.popleft() for _ in range(min(_AT_ONCE, len(self._waiting)))]
                await self._ask_for(together)
        finally:
            self._asking = None
            for _, future in self._waiting:  # only after a programming error, or at the end of the process
                future.cancel()
            self._waiting.clear()

    async def _ask_for(self, together: Sequence[tuple[Q, asyncio.Future[A]]]) -> None:
        try:
            answers = await self._ask([question for question, _ in together])
            for (_, future), answer in zip(together, answers, strict=True):
                if not future.done():
                    future.set_result(answer)
        except AuroraError as refusal:
            for _, future in together:
                if not future.done():
                    # One for each: an exception that is raised twice grows its traceback.
                    future.set_exception(AuroraError(refusal.code, refusal.detail, message=refusal.message))
        finally:
            for _, future in together:
                future.cancel()  # nobody waits for an answer that can't come any more; answered ones don't mind

    async def close(self) -> None:
        """Waits for what is on its way."""
        if self._asking is not None:
            await asyncio.wait([self._asking])
