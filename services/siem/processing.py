"""A process beside siem that does the CPU work of intake: it parses, encodes rows, and holds events against the rules.

Owns one engine and the order of its work: who waits for a receipt comes first, evaluation follows, and when too much
waits for evaluation that comes first. It reads frames from its standard input and answers on its standard output, knows
no store, and ends with the process that started it. What it had then is in the log table, and is read again.
"""

from __future__ import annotations

import ctypes
import gc
import os
import pickle
import select
import signal
import sys
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from services.siem.batch import StoredEvent
from services.siem.detections.engine.compiled import decode
from services.siem.detections.engine.engine import Engine
from services.siem.evaluate import evaluate_event
from services.siem.frames import HEADER, Again, Answer, Changes, Evaluated, Order, Prepare, Prepared, Refused, framed
from services.siem.logs.preparation import Part, parse_again, prepare
from services.siem.match import Failure, Found, Match
from shared import config, log
from shared.errors import INTERNAL, AuroraError
from shared.log import get_logger

#: Raw bytes that wait for evaluation; what is kept of them takes some thirty times that.
_KEPT_BYTES = 6 * 1024 * 1024
#: Events evaluated before looking whether somebody waits for a receipt: some milliseconds of work.
_SLICE_EVENTS = 64
_PR_SET_PDEATHSIG = 1
_log = get_logger("processing")


@dataclass(slots=True)
class _Waiting:
    """Events of a part on their way through the engine."""

    job: int
    part: int
    events: list[StoredEvent]
    size: int
    matches: list[Match] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    done: int = 0
    version: int = 0


class _Pipe:
    """Frames from and to the process that started this one."""

    def __init__(self, source: int, sink: int) -> None:
        self._source, self._sink = source, sink

    def waiting(self) -> bool:
        """Whether a frame has begun to arrive, or the other end is gone."""
        return bool(select.select([self._source], [], [], 0)[0])

    def receive(self) -> Order:
        """The next frame. Raises EOFError when the other end is gone."""
        (length,) = HEADER.unpack(self._exactly(HEADER.size))
        order: Order = pickle.loads(self._exactly(length))  # noqa: S301 - from the process that started this one
        return order

    def send(self, answer: Answer) -> None:
        """Waits until the other end has taken it."""
        rest = memoryview(framed(answer))
        while rest:
            rest = rest[os.write(self._sink, rest) :]

    def _exactly(self, count: int) -> bytearray:
        data = bytearray(count)
        rest = memoryview(data)
        while rest:
            taken = os.readv(self._source, [rest])
            if not taken:
                raise EOFError
            rest = rest[taken:]
        return data


class _Work:
    """What there is to do, and in which order."""

    def __init__(self, pipe: _Pipe, engine: Engine) -> None:
        self._pipe = pipe
        self._engine = engine
        self._version = 0
        self._jobs: deque[tuple[int, int, Iterator[tuple[Part, list[StoredEvent]]]]] = deque()
        self._waiting: deque[_Waiting] = deque()
        self._kept = 0

    def run(self) -> None:
        """Works until the other end is gone."""
        while True:
            while self._pipe.waiting() or not (self._jobs or self._waiting):
                self._take(self._pipe.receive())
            if self._jobs and self._kept < _KEPT_BYTES:
                self._prepare_one()
            elif self._waiting:
                self._evaluate_some()

    def _take(self, order: Order) -> None:
        if isinstance(order, Changes):
            for rule_id, encoded in order.rules:
                if encoded is None:
                    self._engine.remove(rule_id)
                else:
                    self._engine.add(decode(encoded))
            self._version = order.version
            # What was made of rules stays, so the collector needn't look at it.
            gc.collect()
            gc.freeze()
        elif isinstance(order, Prepare):
            self._jobs.append((order.job, 0, prepare(order.content, order.request)))
        else:
            self._parse_again(order)

    def _parse_again(self, order: Again) -> None:
        try:
            events = parse_again(order.rows)
        except Exception as error:  # noqa: BLE001 - as in _prepare_one
            _log.error("stored events broke", exc_info=error)
            self._pipe.send(Refused(order.job, INTERNAL.code, None, INTERNAL.message))
        else:
            self._keep(order.job, 0, events)

    def _prepare_one(self) -> None:
        """One part of the job that has waited longest; those of a large job take turns with other jobs."""
        job, number, parts = self._jobs.popleft()
        try:
            part, events = next(parts)
            self._pipe.send(Prepared(job, part))
        except StopIteration:
            self._pipe.send(Prepared(job, None))
        except AuroraError as error:
            self._pipe.send(Refused(job, error.code.code, error.detail, error.message))
        except BrokenPipeError:
            raise
        except Exception as error:  # noqa: BLE001 - what breaks a parser must not end what others have sent here
            _log.error("a request broke", exc_info=error)
            self._pipe.send(Refused(job, INTERNAL.code, None, INTERNAL.message))
        else:
            self._keep(job, number, events)
            self._jobs.append((job, number + 1, parts))

    def _keep(self, job: int, number: int, events: list[StoredEvent]) -> None:
        size = sum(len(stored.event.raw) for stored in events)
        self._kept += size
        self._waiting.append(_Waiting(job, number, events, size))

    def _evaluate_some(self) -> None:
        waiting = self._waiting[0]
        if not waiting.done:
            # That of the first event: a change in the middle must not make the part look newer.
            waiting.version = self._version
        for stored in waiting.events[waiting.done : waiting.done + _SLICE_EVENTS]:
            result = evaluate_event(stored, self._engine)
            if isinstance(result, Failure):
                waiting.failures.append(result)
            else:
                waiting.matches += result
        waiting.done += _SLICE_EVENTS
        if waiting.done >= len(waiting.events):
            self._waiting.popleft()
            self._kept -= waiting.size
            found = Found(waiting.matches, waiting.failures, waiting.version)
            self._pipe.send(Evaluated(waiting.job, waiting.part, found, self._engine.measured()))


def main(index: bool) -> None:
    """Serves the process that started this one until that is gone."""
    # It ends with that process, however that ends; Ctrl-C is for that one to act on.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    log.configure("siem", config.load(config.LogSettings).log_level)
    # Nothing but frames may be written there; a stray print goes where the log goes.
    sink = os.dup(1)
    os.dup2(2, 1)
    gc.set_threshold(50_000, 20, 50)
    try:
        _Work(_Pipe(0, sink), Engine(index=index)).run()
    except (EOFError, BrokenPipeError):
        return


if __name__ == "__main__":
    main(index="--no-index" not in sys.argv)
