"""How long a connection waits for a client that is slow on purpose, or gone. Pure: told the time and what is seen.

A client may send its request's head a byte at a time, dribble its body, or take nothing of the answer; each would keep
a connection, and what waits on it, for ever. Knows neither sockets nor HTTP's messages.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class PatienceSettings:
    """Read from AURORA_<FIELD>. Times in seconds."""

    #: From the connection, or the first byte of a further request, to the end of that request's head.
    head_seconds: float = 10.0
    #: In each stretch of this length a client that owes a body must send at least `body_least_bytes`.
    body_seconds: float = 30.0
    body_least_bytes: int = 4096
    #: A client that takes nothing of an answer for so long is let go.
    reader_seconds: float = 60.0

    @property
    def look_seconds(self) -> float:
        """How often to look: each limit is kept to a quarter of itself."""
        return min(self.head_seconds, self.body_seconds, self.reader_seconds) / 4


@dataclass(frozen=True, slots=True)
class Seen:
    """A connection at one moment. `received` counts bytes, `taken` how often the client made room for more, `left` the
    bytes that it hasn't acknowledged.

    `head_since` is when the head that is waited for began, None while none is; `owes_body` says that a request is being
    handled whose body isn't whole and that nobody but the client delays it; `holds_answer` that it has to take more
    before more is written, or before the connection closes.
    """

    head_since: float | None
    owes_body: bool
    received: int
    holds_answer: bool
    taken: int
    left: int


@dataclass(slots=True)
class Patience:
    """What is remembered of one connection between two looks."""

    settings: PatienceSettings
    _body: tuple[float, int] | None = field(default=None, init=False)
    _answer: tuple[float, int, int] | None = field(default=None, init=False)

    def lost(self, seen: Seen, now: float) -> str | None:
        """What the client was too slow at, None while it wasn't."""
        if seen.head_since is not None and now - seen.head_since > self.settings.head_seconds:
            return "head"
        if self._body_is_late(seen, now):
            return "body"
        return "answer" if self._answer_is_late(seen, now) else None

    def _body_is_late(self, seen: Seen, now: float) -> bool:
        if not seen.owes_body:
            self._body = None
            return False
        if self._body is None:
            self._body = now, seen.received
        since, received = self._body
        if now - since < self.settings.body_seconds:
            return False
        self._body = now, seen.received
        return seen.received - received < self.settings.body_least_bytes

    def _answer_is_late(self, seen: Seen, now: float) -> bool:
        if not seen.holds_answer:
            self._answer = None
            return False
        if self._answer is None or self._answer[1] != seen.taken or seen.left < self._answer[2]:
            self._answer = now, seen.taken, seen.left
        return now - self._answer[0] > self.settings.reader_seconds
